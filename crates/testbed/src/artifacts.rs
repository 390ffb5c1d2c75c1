//! Where the programs and modules come from that tests and benchmarks start: built once per process, by cargo, into the
//! target directory that is in use.
//!
//! `cargo xtask test` builds them beforehand and names them in `BIVOUAC_BIN` (other programs lie beside it) and
//! `BIVOUAC_MODULES`; then nothing is built here. Cargo's own lock keeps two test processes from building the same thing twice at once.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// The variable that names the built `bivouac`.
pub const BIN_VARIABLE: &str = "BIVOUAC_BIN";

/// The variable that names a folder of built modules, `NAME.wasm`.
pub const MODULES_VARIABLE: &str = "BIVOUAC_MODULES";

/// The target that modules are built for.
pub const MODULE_TARGET: &str = "wasm32-wasip1";

/// The cargo profile that modules are built with.
pub const MODULE_PROFILE: &str = "guest";

/// A program or module that could not be built.
#[derive(Debug, Clone, thiserror::Error)]
#[error("building {what} failed: {why}")]
pub struct BuildFailed {
    what: String,
    why: String,
}

static BUILT: Mutex<BTreeMap<String, Result<PathBuf, BuildFailed>>> = Mutex::new(BTreeMap::new());

/// The `bivouac` command: the one named by `BIVOUAC_BIN`, else built in the profile that the caller was built in.
///
/// # Errors
/// [`BuildFailed`], with what cargo printed.
pub fn bivouac_bin() -> Result<PathBuf, BuildFailed> {
    if let Some(path) = env::var_os(BIN_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    bin("bivouac-cli", "bivouac", profile)
}

/// A program of the workspace, built in a profile.
///
/// # Errors
/// [`BuildFailed`], with what cargo printed.
pub fn bin(package: &str, name: &str, profile: &str) -> Result<PathBuf, BuildFailed> {
    bin_with(package, name, profile, &[])
}

/// A program of the workspace, built in a profile with features.
///
/// # Errors
/// [`BuildFailed`], with what cargo printed.
pub fn bin_with(package: &str, name: &str, profile: &str, features: &[&str]) -> Result<PathBuf, BuildFailed> {
    if let Some(beside) = env::var_os(BIN_VARIABLE).map(|path| PathBuf::from(path).with_file_name(name))
        && beside.is_file()
    {
        return Ok(beside);
    }
    let features = features.join(",");
    let arguments = ["-p", package, "--bin", name, "--profile", profile, "--features", &features];
    once(format!("{name} in profile {profile} with {features}"), &arguments, |message| {
        let executable = message.get("executable")?.as_str()?;
        (message["target"]["name"] == name).then(|| PathBuf::from(executable))
    })
}

/// The module of an example or test package, as authors build them.
///
/// # Errors
/// [`BuildFailed`], with what cargo printed.
pub fn module(package: &str) -> Result<PathBuf, BuildFailed> {
    if let Some(folder) = env::var_os(MODULES_VARIABLE) {
        let path = Path::new(&folder).join(format!("{}.wasm", package.replace('-', "_")));
        if path.is_file() {
            return Ok(path);
        }
    }
    let arguments = ["-p", package, "--lib", "--target", MODULE_TARGET, "--profile", MODULE_PROFILE];
    once(format!("the module of {package}"), &arguments, |message| {
        let files = message.get("filenames")?.as_array()?;
        let mut paths = files.iter().filter_map(Value::as_str).map(PathBuf::from);
        let path = paths.find(|path| path.extension().is_some_and(|extension| extension == "wasm"))?;
        (message["target"]["name"] == package.replace('-', "_") || message["target"]["name"] == package).then_some(path)
    })
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder that cargo builds into.
///
/// # Errors
/// Where the folder of the running program cannot be told.
pub fn target_dir() -> io::Result<PathBuf> {
    if let Some(folder) = env::var_os("CARGO_TARGET_DIR") {
        return Ok(workspace().join(folder));
    }
    Ok(workspace().join("target"))
}

/// Builds a thing unless this process already did, and finds it among what cargo reports.
fn once(what: String, arguments: &[&str], find: impl Fn(&Value) -> Option<PathBuf>) -> Result<PathBuf, BuildFailed> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(result) = built.get(&what) {
        return result.clone();
    }
    let result = build(arguments, find).map_err(|why| BuildFailed { what: what.clone(), why });
    built.insert(what, result.clone());
    result
}

fn build(arguments: &[&str], find: impl Fn(&Value) -> Option<PathBuf>) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace())
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let found = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .find_map(|message| find(&message));
    found.ok_or_else(|| "cargo reported no such file".to_owned())
}
