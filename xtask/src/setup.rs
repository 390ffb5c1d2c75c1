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
    ensure_etcd(&mut phases)?;
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

/// Installs the key-value server that agents without the platform keep their state in, in the tests; nothing where it is
/// there.
pub(crate) fn ensure_etcd(phases: &mut Phases) -> Result<()> {
    if works("etcd", &["--version"]) {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !root || !works("apt-get", &["--version"]) {
        bail!(
            "there is no etcd, which the tests of conformance/foreign start: install the package `etcd-server` (Debian, \
             Ubuntu) or etcd 3.4 or newer from elsewhere, so that `etcd --version` works"
        );
    }
    phases.run("setup: etcd", || {
        succeed(Command::new("apt-get").args(["update", "--quiet"]))?;
        let install = ["install", "--yes", "--quiet", "--no-install-recommends", "etcd-server"];
        succeed(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install))
    })
}
