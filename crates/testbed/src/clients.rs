//! The official A2A clients for JavaScript and Python, installed from their lock files below the target directory.
//!
//! `conformance/a2a` holds the lock files and the scripts. What is installed is kept until a lock file or the interpreter
//! changes: a stamp beside it holds what it was made from. Cargo's own way is copied in this too: the registries are
//! asked only when something is missing, and only for versions and checksums that the lock file names. A file lock keeps
//! two test processes from installing at once.

use crate::artifacts::{target_dir, workspace};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The oldest Node.js that the JavaScript client runs on.
pub const MIN_NODE: u32 = 20;

/// The oldest Python that the Python client runs on.
pub const MIN_PYTHON: (u32, u32) = (3, 10);

/// A client that could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The interpreter is missing or too old.
    #[error("{what}; the official A2A client for {language} is tested with it: install {wanted}")]
    Interpreter {
        /// What was found.
        what: String,
        /// Which client needs it.
        language: &'static str,
        /// What to install.
        wanted: String,
    },
    /// The packages could not be installed.
    #[error(
        "the official A2A client for {language} could not be installed: `{command}` ended with {status}; it needs the \
         package registry once, or after its lock file has changed. It printed:\n{output}"
    )]
    Install {
        /// Which client.
        language: &'static str,
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A client: the program that runs its scripts, and the folder that they lie in.
#[derive(Clone, Debug)]
pub struct Client {
    program: PathBuf,
    folder: PathBuf,
}

impl Client {
    /// The command that runs one of the client's scripts.
    #[must_use]
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.folder.join(name)).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// The JavaScript client, installed by `npm ci` where it is missing or its lock file has changed.
///
/// # Errors
/// [`ClientsError`], which says what to install.
pub fn javascript() -> Result<Client, ClientsError> {
    let language = "JavaScript";
    let refused = |what: String| ClientsError::Interpreter {
        what,
        language,
        wanted: format!("Node.js {MIN_NODE} or newer, with npm"),
    };
    let version = version_of("node", &["--version"]).map_err(refused)?;
    if numbers(&version).first().is_none_or(|major| *major < MIN_NODE) {
        return Err(refused(format!("node is {version}")));
    }
    let source = workspace().join("conformance/a2a/js");
    let folder = folder("js")?;
    let stamp = format!("{version}\n{}", read(&source.join("package-lock.json"))?);
    once(&folder, &stamp, || {
        for name in ["package.json", "package-lock.json"] {
            copy(&source, &folder, name)?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        install(language, &mut npm, &refused)
    })?;
    // Node looks for packages from where a script lies.
    scripts(&source, &folder, "mjs")?;
    Ok(Client { program: PathBuf::from("node"), folder })
}

/// The Python client, installed by pip into an environment of its own where it is missing or its lock file has changed.
///
/// # Errors
/// [`ClientsError`], which says what to install.
pub fn python() -> Result<Client, ClientsError> {
    let language = "Python";
    let (major, minor) = MIN_PYTHON;
    let refused = |what: String| ClientsError::Interpreter {
        what,
        language,
        wanted: format!("Python {major}.{minor} or newer, with its module venv (Debian: python3-venv)"),
    };
    let version = version_of("python3", &["--version"]).map_err(refused)?;
    if numbers(&version).get(..2).is_none_or(|found| found < &[major, minor]) {
        return Err(refused(version));
    }
    let source = workspace().join("conformance/a2a/python");
    let folder = folder("python")?;
    let program = folder.join("bin/python");
    let requirements = source.join("requirements.txt");
    let stamp = format!("{version}\n{}", read(&requirements)?);
    once(&folder, &stamp, || {
        install(language, Command::new("python3").args(["-m", "venv"]).arg(&folder), &refused)?;
        let mut pip = Command::new(&program);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "-r",
        ]);
        install(language, pip.arg(&requirements), &refused)
    })?;
    Ok(Client { program, folder: source })
}

/// Makes a folder unless its stamp says that it was made from the same.
fn once(folder: &Path, stamp: &str, make: impl FnOnce() -> Result<(), ClientsError>) -> Result<(), ClientsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ClientsError::Io { path, source }
    };
    let lock_path = folder.with_extension("lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;
    let stamp_path = folder.with_extension("stamp");
    if fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) && folder.is_dir() {
        return Ok(());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(folder)(error)),
        _ => fs::create_dir_all(folder).map_err(at(folder))?,
    }
    make()?;
    fs::write(&stamp_path, stamp).map_err(at(&stamp_path))
}

fn install(
    language: &'static str,
    command: &mut Command,
    refused: &impl Fn(String) -> ClientsError,
) -> Result<(), ClientsError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let shown = std::iter::once(program.clone()).chain(words).collect::<Vec<_>>().join(" ");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| refused(format!("{program} cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(ClientsError::Install {
        language,
        command: shown,
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&printed).into_owned(),
    })
}

fn version_of(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program} cannot be started: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The numbers in `v20.20.2` or `Python 3.11.7`.
fn numbers(version: &str) -> Vec<u32> {
    let text = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    text.split('.').map_while(|part| part.parse().ok()).collect()
}

fn folder(name: &str) -> Result<PathBuf, ClientsError> {
    let parent = target_dir()
        .map(|target| target.join("a2a-clients"))
        .map_err(|source| ClientsError::Io { path: PathBuf::from("target"), source })?;
    fs::create_dir_all(&parent).map_err(|source| ClientsError::Io { path: parent.clone(), source })?;
    Ok(parent.join(name))
}

fn read(path: &Path) -> Result<String, ClientsError> {
    fs::read_to_string(path).map_err(|source| ClientsError::Io { path: path.to_owned(), source })
}

fn copy(from: &Path, to: &Path, name: &str) -> Result<(), ClientsError> {
    // Under another name first, so that a script that another test is starting is never half there.
    let (new, path) = (to.join(format!("{name}.{}", std::process::id())), to.join(name));
    let copied = fs::copy(from.join(name), &new).and_then(|_| fs::rename(&new, &path));
    copied.map_err(|source| ClientsError::Io { path, source })
}

fn scripts(from: &Path, to: &Path, extension: &str) -> Result<(), ClientsError> {
    let at = |source| ClientsError::Io { path: from.to_owned(), source };
    for entry in fs::read_dir(from).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            copy(from, to, name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("v20.20.2"), [20, 20, 2]);
        assert!(numbers("Python 3.9.1")[..2] < [3, 10][..]);
        assert!(numbers("Python 3.11.0rc1")[..2] >= [3, 10][..]);
        assert!(numbers("no version").is_empty());
    }

    #[test]
    fn a_folder_is_made_once_for_each_stamp_and_again_after_a_failure() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("made");
        let mut made = 0;
        for stamp in ["a", "a", "b"] {
            once(&folder, stamp, || {
                made += 1;
                fs::write(folder.join(stamp), "").unwrap();
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(made, 2);
        assert!(folder.join("b").is_file() && !folder.join("a").exists(), "what the old stamp left is gone");
        let failed = || Err(ClientsError::Io { path: PathBuf::new(), source: io::ErrorKind::Other.into() });
        once(&folder, "c", failed).unwrap_err();
        once(&folder, "c", || Ok(())).unwrap();
        assert!(!folder.join("b").exists());
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_install() {
        let what = version_of("no-such-node", &["--version"]).unwrap_err();
        let error = ClientsError::Interpreter { what, language: "JavaScript", wanted: "Node.js 20".to_owned() };
        let text = error.to_string();
        assert!(text.contains("no-such-node cannot be started") && text.contains("install Node.js 20"), "{text}");
    }

    #[test]
    fn what_an_installer_printed_is_shown() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no network >&2; exit 3"]);
        let text = install("Python", &mut command, &|_| unreachable!()).unwrap_err().to_string();
        assert!(text.contains("no network") && text.contains("exit status: 3"), "{text}");
    }
}
