//! `setup`: what must be installed beside the compiler, and only where it is missing.

use crate::phases::{Phases, root, succeed, works};
use anyhow::{Result, bail};
use std::process::Command;

/// What modules are built for: the guest contract's target, and one without WASI that `check` builds a guest for.
const TARGETS: [&str; 2] = ["wasm32-wasip1", "wasm32-unknown-unknown"];

pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    ensure(&mut phases)?;
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
