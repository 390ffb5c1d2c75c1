//! From a project's source to a module: cargo with the settings of a guest, then a look at what came out.
//!
//! The compiler speaks for itself: its errors appear as it prints them. The module is loaded by the same host that the
//! server uses, so that what the server would refuse is refused here, before anything is sent.

use crate::{
    failure::{Exit, Failure, Result},
    progress::Spinner,
    project::Project,
};
use bivouac_protocol::manifest::Manifest;
use bivouac_wasm_host::{Host, HostConfig};
use cargo_metadata::{CrateType, Message, Metadata, MetadataCommand, Package, PackageId};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// What modules are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip1";

/// A cargo profile for modules. A project that has one of this name in its `Cargo.toml` keeps its own settings.
#[derive(Debug)]
pub(crate) struct Profile {
    name: &'static str,
    settings: &'static [&'static str],
}

/// What is deployed: small, whole-program optimised, and a panic that ends the instance, which is thrown away after one
/// anyway.
pub(crate) const GUEST: Profile = Profile {
    name: "guest",
    settings: &[
        "inherits=\"release\"",
        "opt-level=\"s\"",
        "lto=\"fat\"",
        "codegen-units=1",
        "panic=\"abort\"",
        "strip=true",
        "debug=false",
    ],
};

/// What `bivouac dev` builds again and again: incremental, without LTO. It stays optimised for size, since every byte of
/// a module is compiled once more by the server: without optimisation a build is hardly faster, and loading the module
/// takes twice as long. The figures are in `docs/measurements/cli.md`.
pub(crate) const GUEST_DEV: Profile = Profile {
    name: "guest-dev",
    settings: &[
        "inherits=\"release\"",
        "opt-level=\"s\"",
        "lto=false",
        "codegen-units=16",
        "incremental=true",
        "panic=\"abort\"",
        "strip=true",
        "debug=false",
    ],
};

/// What the linker is told: a heap that need not grow. A growth costs two system calls in every life of an instance; see
/// `docs/measurements/wasm-host.md`.
const LINK_ARGS: &[&str] = &["-Clink-arg=--initial-heap=1048576"];

/// The largest module that is looked at, in bytes. Each server has its own limit, and says so; this one is above them.
const MAX_MODULE: usize = 256 << 20;
/// The most memory that a module may take while it is asked what it offers, in bytes; above the servers' limits too.
const MAX_MEMORY: usize = 1 << 30;

/// A module in memory, with what it says of itself.
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: [u8; 32],
    pub(crate) manifest: Manifest,
    /// The package that it was built from; the file's name for a `.wasm` that was given.
    pub(crate) name: String,
}

impl Built {
    /// The digest as it is written.
    pub(crate) fn sha256(&self) -> String {
        hex::encode(self.digest)
    }
}

/// Reads a `.wasm`, or builds the project in a folder.
pub(crate) async fn obtain(path: &Path, project: &Project, package: Option<&str>) -> Result<Built> {
    if path.extension().is_some_and(|extension| extension == "wasm") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
        return inspect(path.to_owned(), name, None);
    }
    let source = Source::find(path, package.or(project.package.as_deref()))?;
    let wasm = source.compile(&GUEST, false).await.map_err(|failure| failure.hint("mend it and run the same again"))?;
    inspect(wasm, source.package.name.to_string(), None)
}

/// A package that becomes a module.
pub(crate) struct Source {
    manifest: PathBuf,
    metadata: Metadata,
    package: Package,
}

impl Source {
    /// Finds the package in a folder, and makes sure that the compiler can build it.
    pub(crate) fn find(folder: &Path, package: Option<&str>) -> Result<Self> {
        let manifest = find_manifest(folder)?;
        let metadata = read_metadata(&manifest)?;
        let package = choose_package(&metadata, &manifest, package)?.clone();
        ensure_target(&manifest)?;
        Ok(Self { manifest, metadata, package })
    }

    /// The package's name.
    pub(crate) fn name(&self) -> &str {
        &self.package.name
    }

    /// The folders whose files the module is made of: the package's, and those of the packages beside it that it uses.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let folder = |package: &Package| package.manifest_path.parent().map(|folder| folder.as_std_path().to_owned());
        // Without what it depends on, which may have to be fetched first, at least its own files are known.
        let resolved = MetadataCommand::new()
            .manifest_path(&self.manifest)
            .other_options(["--filter-platform".to_owned(), TARGET.to_owned()])
            .exec();
        let Ok(Metadata { packages, resolve: Some(resolve), .. }) = resolved else {
            return folder(&self.package).into_iter().collect();
        };
        let mut open = vec![&self.package.id];
        let mut used: BTreeSet<&PackageId> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            let node = resolve.nodes.iter().find(|node| node.id == *id);
            open.extend(node.iter().flat_map(|node| &node.dependencies).filter(|id| used.insert(id)));
        }
        let local = packages.iter().filter(|package| package.source.is_none() && used.contains(&package.id));
        local.filter_map(folder).collect()
    }

    /// Where cargo builds.
    pub(crate) fn target_folder(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Builds the module; gives where it lies. Cargo is ended where the future is dropped. `quiet` leaves only what the compiler complains of.
    pub(crate) async fn compile(&self, profile: &Profile, quiet: bool) -> Result<PathBuf> {
        let mut cargo = tokio::process::Command::from(self.cargo(profile)?);
        if quiet {
            cargo.arg("--quiet");
        }
        cargo.arg("--").args(LINK_ARGS).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = cargo.spawn().map_err(|error| no_cargo(&error))?;
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut wasm = None;
        while let Some(line) = lines.next_line().await.map_err(|error| no_cargo(&error))? {
            // What a build script or a macro prints stands between the messages.
            let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(&line) else { continue };
            if artifact.package_id == self.package.id {
                wasm = artifact.filenames.into_iter().find(|file| file.extension() == Some("wasm")).or(wasm);
            }
        }
        let status = child.wait().await.map_err(|error| no_cargo(&error))?;
        if !status.success() {
            return Err(Failure::failed(format!("{} was not built", self.name()))
                .why("cargo ended with an error; it stands above"));
        }
        wasm.map(|wasm| wasm.into_std_path_buf()).ok_or_else(|| {
            Failure::failed(format!("{} was built, but no module came out", self.name()))
                .why("cargo named no .wasm among its results")
        })
    }

    fn cargo(&self, profile: &Profile) -> Result<Command> {
        let mut cargo = Command::new(cargo());
        cargo.args(["rustc", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"]);
        cargo.args(["--profile", profile.name, "--manifest-path"]).arg(&self.manifest);
        cargo.args(["--package", &self.package.id.repr]);
        if !has_profile(&self.metadata, profile)? {
            for setting in profile.settings {
                cargo.arg("--config").arg(format!("profile.{}.{setting}", profile.name));
            }
        }
        Ok(cargo)
    }
}

fn find_manifest(folder: &Path) -> Result<PathBuf> {
    let undone = || format!("there is nothing to build at {}", folder.display());
    let manifest = if folder.is_dir() { folder.join("Cargo.toml") } else { folder.to_owned() };
    if manifest.file_name().is_none_or(|name| name != "Cargo.toml") && manifest.exists() {
        return Err(Failure::usage(undone())
            .why("it is neither a folder with a Cargo.toml nor a .wasm file")
            .hint("name the project's folder, or a module that is already built"));
    }
    if !manifest.exists() {
        let why = if folder.exists() { "the folder has no Cargo.toml" } else { "there is no such file or folder" };
        return Err(Failure::new(Exit::NotFound, undone())
            .why(why)
            .hint("name the folder of a Rust project, such as `examples/hello`, or a .wasm file"));
    }
    Ok(manifest)
}

fn read_metadata(manifest: &Path) -> Result<Metadata> {
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().map_err(|error| match error {
        cargo_metadata::Error::Io(error) => no_cargo(&error),
        cargo_metadata::Error::CargoMetadata { stderr } => {
            Failure::failed(format!("cargo cannot read {}", manifest.display())).why(stderr.trim_end())
        }
        other => Failure::failed(format!("cargo cannot read {}", manifest.display())).why(other.to_string()),
    })
}

/// The package to build: the named one, else the one of this very `Cargo.toml`, else the only one that makes a module.
fn choose_package<'a>(metadata: &'a Metadata, manifest: &Path, name: Option<&str>) -> Result<&'a Package> {
    let members = metadata.workspace_packages();
    let here = fs::canonicalize(manifest).ok();
    let modules: Vec<_> = members.iter().copied().filter(|package| makes_module(package)).collect();
    let names = || modules.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    let package = match name {
        Some(name) => members.iter().copied().find(|package| package.name.as_str() == name).ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("the package `{name}` is not in this workspace"))
                .hint(format!("packages that make a module: {}", names()))
        })?,
        None => match members.iter().find(|package| fs::canonicalize(&package.manifest_path).ok() == here) {
            Some(package) => package,
            None if modules.len() == 1 => modules[0],
            None => {
                return Err(Failure::usage(format!("{} is a workspace: which package?", manifest.display()))
                    .why("one module is built from one package")
                    .hint(format!("--package with one of: {}", names())));
            }
        },
    };
    if makes_module(package) {
        return Ok(package);
    }
    Err(Failure::usage(format!("the package `{}` makes no module", package.name))
        .why("its library is not of the type `cdylib`, which is what becomes a .wasm")
        .hint("add to its Cargo.toml:\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]"))
}

fn makes_module(package: &Package) -> bool {
    package.targets.iter().any(|target| target.crate_types.contains(&CrateType::CDyLib))
}

/// Whether the workspace has a profile of its own for modules.
fn has_profile(metadata: &Metadata, profile: &Profile) -> Result<bool> {
    let path = metadata.workspace_root.join("Cargo.toml");
    let unreadable = |why: String| Failure::failed(format!("{path} cannot be read")).why(why);
    let text = fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| unreadable(error.to_string()))?;
    Ok(table.get("profile").and_then(|profiles| profiles.get(profile.name)).is_some())
}

/// Makes sure that the compiler in use at the project knows the target, with rustup where it can.
fn ensure_target(manifest: &Path) -> Result {
    let folder = manifest.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if has_target(folder)? {
        return Ok(());
    }
    let by_hand = format!("rustup target add {TARGET}\n(it needs the network once)");
    let missing = || Failure::failed(format!("the compiler cannot build for {TARGET} yet"));
    let spinner = Spinner::start(format!("rustup target add {TARGET}"));
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(folder).output();
    drop(spinner);
    match added {
        Ok(output) if output.status.success() && has_target(folder)? => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("rustup does not say why");
            Err(missing()
                .why(format!("its standard library is missing, and rustup could not add it: {said}"))
                .hint(by_hand))
        }
        Err(_) => Err(missing().why("its standard library is missing, and there is no rustup to add it").hint(
            "install Rust with rustup (https://rustup.rs), or the target's standard library from where the compiler came \
             from, of the very same version",
        )),
    }
}

/// Whether the compiler in use at a folder has the target's standard library.
pub(crate) fn has_target(folder: &Path) -> Result<bool> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output()
        .map_err(|error| {
            Failure::failed("the Rust compiler cannot be started")
                .why(format!("rustc: {error}"))
                .hint("install Rust from https://rustup.rs")
        })?;
    let library = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let mut files = fs::read_dir(library).into_iter().flatten().flatten();
    Ok(files.any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

/// The cargo that is in use: the one that called us, where one did.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

fn no_cargo(error: &std::io::Error) -> Failure {
    Failure::failed("cargo cannot be started").why(error.to_string()).hint("install Rust from https://rustup.rs")
}

/// Loads a module as the server would, and asks it what it offers. With the folder where a server keeps compiled modules,
/// that server need not compile it once more.
pub(crate) fn inspect(path: PathBuf, name: String, cache: Option<&Path>) -> Result<Built> {
    let bytes = fs::read(&path).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("{} cannot be read", path.display())).why(error.to_string())
    })?;
    let spinner = Spinner::start(format!("checking {}", path.display()));
    let config = HostConfig {
        max_instances: 1,
        max_module_bytes: MAX_MODULE,
        max_memory_bytes: MAX_MEMORY,
        cache_dir: cache.map(Path::to_owned),
        ..HostConfig::default()
    };
    let module = Host::new(config)
        .map_err(|error| Failure::failed("the module cannot be checked").why(error.to_string()))?
        .load(&bytes)
        .map_err(|error| {
            let info = error.info();
            // The author's own code says what is wrong with its agents; where the SDK does so is of no interest.
            let failure = match info.message.split_once("panicked at ").and_then(|(_, said)| said.split_once('\n')) {
                Some((_, why)) => Failure::failed(format!("{name} does not say what it offers: it panics")).why(why),
                None => Failure::failed(format!("{} is not a module that a server accepts", path.display()))
                    .why(info.message.clone()),
            };
            failure.code(info.code.as_str())
        })?;
    drop(spinner);
    let digest = Sha256::digest(&bytes).into();
    Ok(Built { manifest: module.manifest().clone(), path, bytes, digest, name })
}
