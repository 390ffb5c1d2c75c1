//! `setup`: what must be installed beside the compiler, and only where it is missing.

use crate::phases::{Phases, root, succeed, works};
use anyhow::{Result, bail};
use bivouac_testbed::clients;
use std::process::Command;

/// What modules are built for: the guest contract's target, and one without WASI that `check` builds a guest for.
const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-unknown-unknown"];

pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    ensure(&mut phases)?;
    ensure_clients(&mut phases)?;
    ensure_programs(&mut phases)?;
    if !works("cargo", &["nextest", "--version"]) {
        println!("cargo-nextest is not installed: `cargo xtask test` uses `cargo test`, which is slower");
    }
    if !works("cargo", &["deny", "--version"]) {
        println!("cargo-deny is not installed: `cargo xtask check` makes its own check of licences, bans and sources");
    }
    println!("\nReady: cargo xtask test, cargo xtask demo");
    Ok(())
}

/// Installs what is missing, and says nothing where nothing is.
pub(crate) fn ensure(phases: &mut Phases) -> Result<()> {
    if !works("cc", &["--version"]) {
        bail!("there is no C compiler: SQLite is built from source and needs `cc`; install gcc or clang");
    }
    let script = root().join("scripts/wasm-target.sh");
    phases.run("setup: WebAssembly targets", || succeed(Command::new("bash").arg(&script).args(TARGETS)))
}

/// Installs the official A2A clients that the conformance tests run, from their lock files; nothing where they are there.
pub(crate) fn ensure_clients(phases: &mut Phases) -> Result<()> {
    phases.run("setup: A2A clients for JavaScript and Python", || {
        clients::javascript()?;
        clients::python()?;
        Ok(())
    })
}

/// What tests start beside the compiler's tools: the program, Debian's package of it, and what it is for.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("etcd", "etcd-server", "agents without the platform keep their state in it (conformance/foreign)"),
    ("curl", "curl", "the book's pages call the server with it (docs)"),
    ("jq", "jq", "the book's pages read JSON with it (docs)"),
];

/// Installs the programs that tests start; nothing where they are there.
pub(crate) fn ensure_programs(phases: &mut Phases) -> Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, ..)| !works(program, &["--version"])).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !root || !works("apt-get", &["--version"]) {
        let list: Vec<_> =
            missing.iter().map(|(program, package, what)| format!("  {program} (package {package}): {what}")).collect();
        bail!(
            "programs that the tests start are missing, and only root can install them here, with apt-get:\n{}\ninstall \
             them so that `PROGRAM --version` works",
            list.join("\n")
        );
    }
    phases.run("setup: programs that tests start", || {
        succeed(Command::new("apt-get").args(["update", "--quiet"]))?;
        let packages = missing.iter().map(|(_, package, _)| *package);
        let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
        succeed(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install).args(packages))
    })
}
