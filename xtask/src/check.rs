//! `check`: everything that can be told without running a test.

use crate::{
    edges, licences,
    phases::{Phases, cargo, root, succeed, works},
    setup,
};
use anyhow::{Context as _, Result};
use std::{ffi::OsStr, fs, path::PathBuf, process::Command};

/// Crates that authors' code is built with, for the target that modules are built for.
const GUEST_CRATES: [&str; 4] = ["bivouac-protocol", "bivouac", "hello", "order"];

pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    setup::ensure(&mut phases)?;
    phases.run("check: format", || succeed(&mut cargo(["fmt", "--all", "--check"])))?;
    phases.run("check: scripts", scripts)?;
    phases.run("check: dependency rules", edges::check)?;
    phases.run("check: licences, bans, sources", || {
        licences::check()?;
        if works("cargo", &["deny", "--version"]) {
            return succeed(&mut cargo(["deny", "--offline", "check", "licenses", "bans", "sources"]));
        }
        println!("checked by xtask itself; cargo-deny is not installed, so advisories are not looked at");
        Ok(())
    })?;
    phases.run("check: lints", || {
        succeed(&mut cargo(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))
    })?;
    phases.run("check: lints for wasm32-wasip1", || {
        let packages = GUEST_CRATES.iter().flat_map(|name| ["-p", name]);
        succeed(cargo(["clippy", "--target", "wasm32-wasip1", "--lib"]).args(packages).args(["--", "-D", "warnings"]))
    })?;
    phases.run("check: a guest for wasm32-unknown-unknown", || {
        succeed(&mut cargo([
            "build",
            "--lib",
            "-p",
            "hello",
            "--target",
            "wasm32-unknown-unknown",
            "--profile",
            "guest",
        ]))
    })?;
    phases.run("check: docs", || {
        succeed(cargo(["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    phases.print();
    println!("\nAll checks passed in {:.0} s.", phases.total().as_secs_f64());
    Ok(())
}

/// Whether bash can read every script.
fn scripts() -> Result<()> {
    let folder = root().join("scripts");
    let entries = fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut scripts: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    scripts.retain(|path| path.extension() == Some(OsStr::new("sh")));
    scripts.push(root().join(".ci/run"));
    scripts.sort();
    for script in scripts {
        succeed(Command::new("bash").arg("-n").arg(script))?;
    }
    Ok(())
}
