//! The dependency rules: which crate of the workspace may know which, and what must not come along.
//!
//! Dependencies go down only: `cli -> server -> {wasm-host, store, engine, protocol}`, `store -> engine -> protocol`,
//! `wasm-host -> protocol`, `sdk -> {protocol, macros}`. What only tests use is free, but for cycles, which cargo refuses itself. A new crate
//! needs a line in [`ALLOWED`], so that its place is decided and not slipped into.

use crate::phases::root;
use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};

/// The crates of the workspace, and those that each may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("bivouac-protocol", &[]),
    ("bivouac-macros", &[]),
    ("bivouac-a2a", &["bivouac-protocol"]),
    ("bivouac-engine", &["bivouac-protocol"]),
    ("bivouac-store", &["bivouac-engine", "bivouac-protocol"]),
    ("bivouac-wasm-host", &["bivouac-protocol"]),
    ("bivouac-server", &["bivouac-a2a", "bivouac-engine", "bivouac-protocol", "bivouac-store", "bivouac-wasm-host"]),
    // Beside the server: `build` scans a module before anybody uploads it, `doctor` looks into a data directory.
    ("bivouac-cli", &["bivouac-a2a", "bivouac-protocol", "bivouac-server", "bivouac-store", "bivouac-wasm-host"]),
    // The server only with the feature `runtime`, see OPTIONAL.
    ("bivouac", &["bivouac-a2a", "bivouac-macros", "bivouac-protocol", "bivouac-server"]),
    // Not published: they are for tests, benchmarks and the repository's own commands.
    ("bivouac-sim", &["bivouac-engine", "bivouac-protocol"]),
    ("bivouac-testbed", &["bivouac-protocol"]),
    ("xtask", &["bivouac-testbed"]),
    ("hello", &["bivouac"]),
    ("order", &["bivouac"]),
    ("trip-planner", &["bivouac"]),
    ("foreign", &["bivouac", "trip-planner"]),
    ("programs", &["bivouac"]),
    ("bench-guest", &["bivouac"]),
    ("bivouac-conformance-a2a", &["bivouac-testbed"]),
    // Only tests: what it compiles and runs is a development dependency.
    ("bivouac-book", &[]),
];

/// Edges that exist only with a feature which is off by default.
const OPTIONAL: &[(&str, &str)] = &[("bivouac", "bivouac-server")];

/// What must not be reached by a crate's normal dependencies, over however many steps.
const UNREACHABLE: &[(&str, &[&str])] = &[
    ("bivouac-protocol", &["tokio", "hyper", "http", "axum", "rusqlite", "wasmtime"]),
    // It reaches serde_json by way of the payloads of `protocol`, but may not name it itself, see UNNAMED.
    ("bivouac-engine", &["tokio", "hyper", "http", "axum", "rusqlite", "wasmtime", "tracing"]),
    ("bivouac-store", &["tokio", "hyper", "http", "axum", "wasmtime"]),
    ("bivouac-wasm-host", &["tokio", "hyper", "http", "axum", "rusqlite"]),
    ("bivouac", &["tokio", "hyper", "http", "axum", "rusqlite", "wasmtime"]),
];

/// What a crate must not name among its own dependencies, but for those that come with a feature.
const UNNAMED: &[(&str, &[&str])] = &[
    ("bivouac-engine", &["serde", "serde_json", "hashbrown", "indexmap", "rand", "getrandom"]),
    ("bivouac-protocol", &["rand", "getrandom"]),
    ("bivouac", &["rand", "getrandom"]),
];

/// Checks the workspace against the rules.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata()?;
    let mut broken = edges(&metadata);
    broken.extend(reached(&metadata)?);
    broken.extend(named(&metadata));
    if !broken.is_empty() {
        bail!("the dependency rules are broken:\n  {}", broken.join("\n  "));
    }
    println!("{} crates, every edge is allowed", ALLOWED.len());
    Ok(())
}

/// What cargo knows of the workspace, for this machine's target and with default features.
pub(crate) fn metadata() -> Result<Metadata> {
    let host = env!("XTASK_HOST");
    let mut command = MetadataCommand::new();
    command.current_dir(root()).other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host.to_owned()]);
    command.exec().context("reading `cargo metadata --locked`")
}

fn edges(metadata: &Metadata) -> Vec<String> {
    let members: BTreeMap<&str, &Package> =
        metadata.workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect();
    let mut broken = Vec::new();
    for (name, package) in &members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            broken.push(format!("{name} is not in the list of xtask/src/edges.rs: decide what it may depend on"));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if dependency.kind == DependencyKind::Development || !members.contains_key(to) {
                continue;
            }
            if !allowed.contains(&to) {
                broken.push(format!("{name} depends on {to}"));
            }
            if OPTIONAL.contains(&(*name, to)) && !dependency.optional {
                broken.push(format!("{name} depends on {to} always; it may only with a feature"));
            }
        }
    }
    let missing = ALLOWED.iter().filter(|(name, _)| !members.contains_key(name));
    broken.extend(
        missing.map(|(name, _)| format!("{name} is in the list of xtask/src/edges.rs and not in the workspace")),
    );
    broken
}

fn named(metadata: &Metadata) -> Vec<String> {
    let mut broken = Vec::new();
    for package in metadata.workspace_packages() {
        let Some((_, unnamed)) = UNNAMED.iter().find(|(name, _)| package.name.as_str() == *name) else { continue };
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        let always = normal.filter(|dependency| !dependency.optional);
        let bad = always.filter(|dependency| unnamed.contains(&dependency.name.as_str()));
        broken.extend(bad.map(|dependency| format!("{} names {}", package.name, dependency.name)));
    }
    broken
}

fn reached(metadata: &Metadata) -> Result<Vec<String>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut broken = Vec::new();
    for package in metadata.workspace_packages() {
        let Some((from, unreachable)) = UNREACHABLE.iter().find(|(name, _)| package.name.as_str() == *name) else {
            continue;
        };
        let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
        let mut open = vec![(&package.id, vec![*from])];
        while let Some((id, way)) = open.pop() {
            let name = names.get(id).copied().unwrap_or_default();
            if unreachable.contains(&name) {
                broken.push(way.join(" -> "));
                continue;
            }
            for edge in nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default() {
                let normal = edge.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
                let to = names.get(&edge.pkg).copied().unwrap_or_default();
                if normal && !optional_of(metadata, name, to) && seen.insert(&edge.pkg) {
                    let mut way = way.clone();
                    way.push(to);
                    open.push((&edge.pkg, way));
                }
            }
        }
    }
    Ok(broken)
}

/// Whether a crate of the workspace has a dependency only with a feature, which another member may have switched on.
fn optional_of(metadata: &Metadata, from: &str, to: &str) -> bool {
    let packages = metadata.workspace_packages();
    let package = packages.iter().find(|package| package.name.as_str() == from);
    package.is_some_and(|package| {
        let mut to_it = package.dependencies.iter().filter(|dependency| dependency.name == to).peekable();
        to_it.peek().is_some()
            && to_it.all(|dependency| dependency.optional || dependency.kind != DependencyKind::Normal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_its_dependency_rules() {
        check().unwrap();
    }

    #[test]
    fn a_forbidden_edge_and_an_unknown_crate_are_found() {
        let mut metadata = metadata().unwrap();
        let store = metadata.packages.iter().find(|package| package.name.as_str() == "bivouac-store").unwrap();
        let edge = store.dependencies.iter().find(|dependency| dependency.name == "bivouac-engine").unwrap().clone();
        let mut serde_json = edge.clone();
        serde_json.name = "serde_json".to_owned();
        for package in &mut metadata.packages {
            match package.name.as_str() {
                "bivouac-wasm-host" => package.dependencies.push(edge.clone()),
                "bivouac-engine" => package.dependencies.push(serde_json.clone()),
                _ => {}
            }
        }
        assert!(edges(&metadata).contains(&"bivouac-wasm-host depends on bivouac-engine".to_owned()));
        assert!(named(&metadata).contains(&"bivouac-engine names serde_json".to_owned()));
    }
}
