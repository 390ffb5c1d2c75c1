//! `bivouac new`: a project that builds, runs and passes its tests at once.
//!
//! What it writes is in [`crate::template`]; here is where it goes, what it may be called, and where its SDK comes from.

use super::json;
use crate::{
    cli::Globals,
    failure::{Exit, Failure, Result},
    output::{self, Style},
    template::{Template, identifier},
};
use clap::Args;
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The longest name, as that of a service is.
const MAX_NAME: usize = 64;
/// Where the SDK lay when this command was built.
const BUILT_WITH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");
/// The SDK's package.
const PACKAGE: &str = "bivouac";
/// Names that other packages, folders of cargo's, or Rust itself have.
const TAKEN: &[&str] = &[
    "alloc",
    "as",
    "async",
    "await",
    "bivouac",
    "bivouac-macros",
    "bivouac-protocol",
    "bivouac-server",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Make a new project
///
/// The project is a Rust crate that is a WebAssembly module, a native program and a library for its tests. It uses the
/// SDK of the checkout that this command was built from, as the crates are not published yet; --sdk-path names another.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac new my-agent                          an agent, in the folder my-agent
  bivouac new nightly --template workflow       a workflow
  cd my-agent && bivouac dev                    builds it, deploys it, and again at every save")]
pub(crate) struct NewArgs {
    /// The project's name and its folder; folders may stand before it, as in agents/my-agent
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// What it begins with: agent or workflow
    #[arg(long, short, value_name = "TEMPLATE", default_value = "agent")]
    template: Template,
    /// The SDK: a checkout of Bivouac, or its folder crates/sdk [default: what this command was built from]
    #[arg(long, env = "BIVOUAC_SDK_PATH", hide_env = true, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
}

pub(crate) fn run(args: &NewArgs, globals: &Globals) -> Result {
    let name = name(&args.path)?;
    let sdk = sdk(args.sdk_path.as_deref())?;
    check_free(&args.path)?;
    let dependency = format!("path = {}", toml::Value::String(sdk.display().to_string()));
    let files = args.template.files(name, &dependency);
    for (file, text) in &files {
        write(&args.path.join(file), text.as_bytes())?;
    }
    // The versions that the SDK was tested with, and no need to look for newer ones; cargo leaves out what is not used.
    let lock = sdk.join("../../Cargo.lock");
    if let Ok(lock) = fs::read(lock) {
        write(&args.path.join("Cargo.lock"), &lock)?;
    }
    let shown = args.path.display().to_string();
    if json(globals) {
        let files: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
        return output::say_json(&json!({
            "name": name, "path": shown, "template": args.template.as_str(), "sdk": sdk, "files": files,
        }));
    }
    let style = Style::stdout();
    let what = args.template.as_str();
    output::say(&format!("{} {} is in {shown}", style.green("ok"), style.bold(&format!("the {what} {name}"))))?;
    let talk = match args.template {
        Template::Agent => format!("bivouac chat {name}"),
        Template::Workflow => format!("bivouac run workflow/{} --input '{{\"name\":\"Ada\"}}'", identifier(name)),
    };
    output::note(&format!(
        "\nNext:\n  cd {shown}\n  cargo test       its tests, without a server\n  bivouac dev      a server on this \
         machine; builds and deploys at every save\n  {talk}\n                   from another terminal"
    ));
    Ok(())
}

/// The project's name: the last part of its path, where that will do.
fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let wrong = |why: String| {
        let failure = Failure::usage(format!("`{}` cannot be a project's name", path.display())).why(why);
        match mended(name) {
            Some(mended) => failure.hint(format!("bivouac new {}", path.with_file_name(mended).display())),
            None => failure.hint("bivouac new my-agent"),
        }
    };
    if !is_name(name) {
        return Err(wrong(format!(
            "a name is 1 to {MAX_NAME} lower-case letters, digits, `-` and `_`, and begins with a letter: it becomes a cargo \
             package, a service and a part of addresses"
        )));
    }
    if is_taken(name) {
        return Err(wrong("Rust, cargo or a package that the project needs has this name already".to_owned()));
    }
    Ok(name)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(plain)
}

fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name.replace('_', "-").as_str())
}

/// A name that would do, near to one that does not.
fn mended(name: &str) -> Option<String> {
    let mut mended = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && mended.ends_with(|c: char| c.is_ascii_lowercase()) {
            mended.push('-');
        }
        mended.push(if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' });
    }
    let mended = mended.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    let mended = if is_taken(mended) { format!("my-{mended}") } else { mended.to_owned() };
    (is_name(&mended) && mended != name).then_some(mended)
}

/// Nothing of anybody's is written over.
fn check_free(path: &Path) -> Result {
    let undone = || format!("nothing was made: {} is there already", path.display());
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::new(Exit::Refused, undone())
                .why("the folder is not empty, and no file in it is to be written over")
                .hint("choose another name, or empty the folder first")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Failure::new(Exit::Refused, undone()).why("it is a file").hint("choose another name"))
        }
        Err(error) => Err(Failure::failed(format!("{} cannot be read", path.display())).why(error.to_string())),
    }
}

/// The SDK's folder: the named one, else the one that this command was built with.
fn sdk(named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        return sdk_in(Path::new(BUILT_WITH)).ok_or_else(|| {
            Failure::new(Exit::NotFound, "nothing was made: the SDK is not found")
                .why(format!(
                    "its crate `{PACKAGE}` is not published yet, and the checkout that this command was built from is no \
                     longer at {}",
                    Path::new(BUILT_WITH).display()
                ))
                .hint(format!(
                    "bivouac new NAME --sdk-path DIR, with a checkout of Bivouac {} (or set BIVOUAC_SDK_PATH)",
                    env!("CARGO_PKG_VERSION")
                ))
        });
    };
    sdk_in(named).or_else(|| sdk_in(&named.join("crates/sdk"))).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("nothing was made: the SDK is not at {}", named.display()))
            .why(format!("neither it nor its folder crates/sdk has a Cargo.toml of the package `{PACKAGE}`"))
            .hint("name a checkout of Bivouac with --sdk-path or BIVOUAC_SDK_PATH")
    })
}

fn sdk_in(folder: &Path) -> Option<PathBuf> {
    let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()?;
    let name = manifest.get("package")?.get("name")?.as_str()?;
    (name == PACKAGE).then(|| fs::canonicalize(folder).ok()).flatten()
}

fn write(path: &Path, text: &[u8]) -> Result {
    let unwritable =
        |error: io::Error| Failure::failed(format!("{} cannot be written", path.display())).why(error.to_string());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    fs::write(path, text).map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_will_not_do_is_answered_with_one_that_does() {
        for name in ["my-agent", "a", "a1_b"] {
            assert!(is_name(name) && !is_taken(name), "{name}");
        }
        for (wrong, mended) in [
            ("MyAgent", "bivouac new my-agent"),
            ("my agent", "bivouac new my-agent"),
            ("x/9lives", "bivouac new x/lives"),
            ("match", "bivouac new my-match"),
            ("serde", "bivouac new my-serde"),
            ("größe", "bivouac new gr--e"),
            ("42", "bivouac new my-agent"),
            ("..", "bivouac new my-agent"),
        ] {
            assert_eq!(name(Path::new(wrong)).unwrap_err().hint_text(), Some(mended), "{wrong}");
        }
    }

    #[test]
    fn the_sdk_is_found_in_a_checkout_and_by_itself() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(sdk(Some(&checkout)).unwrap(), sdk(None).unwrap());
        assert_eq!(sdk(Some(Path::new("/no/such/folder"))).unwrap_err().exit, Exit::NotFound);
    }
}
