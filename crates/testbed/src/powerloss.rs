//! What a power cut would leave of a program's folder: only what was synced, names included.
//!
//! `kill -9` cannot catch a missing fsync, because the page cache survives it. [`PowerLoss`] starts a program under a
//! preloaded library (`powerloss/shim.c`, compiled with `cc` on first use) that keeps an *image* of the folder beside it:
//! a file's bytes as of its last fsync, a directory's names as of the directory's last fsync. Kill the program, start it
//! again on [`PowerLoss::image`], and look for what it had acknowledged. The shim's own head says what it does not model.

use crate::artifacts;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The shim's source.
const SOURCE: &str = include_str!("../powerloss/shim.c");

/// A folder under watch.
#[derive(Debug)]
pub struct PowerLoss {
    library: PathBuf,
    root: PathBuf,
    image: PathBuf,
    objects: PathBuf,
    counts: PathBuf,
}

/// What a watched program did below its folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Syncs of files.
    pub file_syncs: u64,
    /// Syncs of directories.
    pub directory_syncs: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Bytes that they wrote.
    pub bytes: u64,
}

impl PowerLoss {
    /// Watches a folder, which must exist; what it holds now counts as durable. The image and what belongs to it are made
    /// in `scratch`, an empty folder outside it.
    ///
    /// # Errors
    /// Where the shim cannot be compiled, or the folder not be copied.
    pub fn over(root: &Path, scratch: &Path) -> io::Result<Self> {
        let scratch = scratch.canonicalize()?;
        let watch = Self {
            library: library()?,
            root: root.canonicalize()?,
            image: scratch.join("image"),
            objects: scratch.join("objects"),
            counts: scratch.join("counts"),
        };
        copy_folder(&watch.root, &watch.image)?;
        fs::create_dir(&watch.objects)?;
        Ok(watch)
    }

    /// Lets a command run under watch. Syncs cost no time then: the image, not the disk, is what counts.
    pub fn watch<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("POWERLOSS_ROOT", &self.root)
            .env("POWERLOSS_IMAGE", &self.image)
            .env("POWERLOSS_OBJECTS", &self.objects)
            .env("POWERLOSS_COUNTS", &self.counts)
            .env("POWERLOSS_LATENCY_US", "0")
    }

    /// The folder that a power cut would leave. Look at it, or start on it, once the program is gone.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Copies the image to a folder that does not exist yet, so that a program can start on it under a watch of its own.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn copy_image(&self, to: &Path) -> io::Result<()> {
        copy_folder(&self.image, to)
    }

    /// What the program did so far.
    ///
    /// # Errors
    /// Where no program was started under watch.
    pub fn counts(&self) -> io::Result<Counts> {
        read_counts(&self.counts)
    }
}

/// Lets a command run so that its syncs and writes below `root` are counted in the file `counts`, and nothing else is
/// changed.
///
/// # Errors
/// Where the shim cannot be compiled.
pub fn count_only<'a>(command: &'a mut Command, root: &Path, counts: &Path) -> io::Result<&'a mut Command> {
    let root = root.canonicalize()?;
    Ok(command.env("LD_PRELOAD", library()?).env("POWERLOSS_ROOT", root).env("POWERLOSS_COUNTS", counts))
}

/// Lets a command run so that, while the file `full` exists, every write below `root` fails as on a full disk.
///
/// # Errors
/// Where the shim cannot be compiled.
pub fn fill_on_demand<'a>(command: &'a mut Command, root: &Path, full: &Path) -> io::Result<&'a mut Command> {
    let root = root.canonicalize()?;
    Ok(command.env("LD_PRELOAD", library()?).env("POWERLOSS_ROOT", root).env("POWERLOSS_FULL", full))
}

/// Reads a file of counts.
///
/// # Errors
/// Where it is not there or not whole.
pub fn read_counts(path: &Path) -> io::Result<Counts> {
    let bytes = fs::read(path)?;
    let number = |index: usize| {
        let bytes = bytes.get(index * 8..)?.first_chunk::<8>()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let counts = (|| {
        Some(Counts { file_syncs: number(0)?, directory_syncs: number(1)?, writes: number(2)?, bytes: number(3)? })
    })();
    counts.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} is too short", path.display())))
}

/// The compiled shim, in the target directory; compiled once per process, and anew only when its source changed.
///
/// # Errors
/// Where there is no C compiler, or it refuses.
pub fn library() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| compile().map_err(|error| error.to_string())).clone().map_err(io::Error::other)
}

fn compile() -> io::Result<PathBuf> {
    let folder = artifacts::target_dir()?.join("powerloss");
    fs::create_dir_all(&folder)?;
    let digest = bivouac_protocol::key::Digest::of([SOURCE.as_bytes()]).text();
    let library = folder.join(format!("shim-{digest}.so"));
    if library.exists() {
        return Ok(library);
    }
    // Compiled aside and renamed, because another test process may be about to do the same.
    let aside = folder.join(format!("shim-{}.so", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("powerloss/shim.c");
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(&aside)
        .arg(source)
        .args(["-ldl", "-lpthread"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("the C compiler `cc` cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    fs::rename(&aside, &library)?;
    Ok(library)
}

/// Copies the folders and files below `from`; `to` must not exist.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
