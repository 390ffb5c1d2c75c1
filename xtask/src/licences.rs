//! Licences, bans and sources, by the lists of `deny.toml`.
//!
//! The lists are cargo-deny's. Where cargo-deny is installed, `check` runs it too; building it takes minutes, so this
//! check makes do with `cargo metadata` and holds everywhere. It does not look at advisories, which need the network.

use crate::{edges, phases::root};
use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, Package};
use serde::Deserialize;
use std::{collections::BTreeSet, fs};

/// The part of `deny.toml` that is read.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// Checks every crate that is built.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(root().join("deny.toml")).context("reading deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("reading deny.toml")?;
    let metadata = edges::metadata()?;
    let broken = broken(&deny, &metadata);
    if !broken.is_empty() {
        bail!("deny.toml does not allow:\n  {}", broken.join("\n  "));
    }
    println!("{} crates have an allowed licence and source, and none is banned", metadata.packages.len());
    Ok(())
}

fn broken(deny: &Deny, metadata: &Metadata) -> Vec<String> {
    let members: BTreeSet<_> = metadata.workspace_members.iter().collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let named = format!("{} {}", package.name, package.version);
        if let Err(why) = licence(&deny.licenses, package) {
            broken.push(format!("{named}: {why}"));
        }
        if let Some(ban) = deny.bans.deny.iter().find(|ban| ban.name == package.name.as_str()) {
            broken.push(format!("{named} is banned: {}", ban.reason));
        }
        let source = package.source.as_ref().map(|source| source.repr.trim_start_matches("registry+"));
        let known = match source {
            Some(source) => deny.sources.allow_registry.iter().any(|registry| registry == source),
            None => members.contains(&package.id),
        };
        if !known {
            broken.push(format!("{named} comes from {}", source.unwrap_or("outside the workspace")));
        }
    }
    broken
}

fn licence(licences: &Licenses, package: &Package) -> Result<(), String> {
    let Some(text) = package.license.as_deref() else { return Err("it names no licence".to_owned()) };
    let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
        .map_err(|error| format!("its licence `{text}` cannot be read: {}", error.reason))?;
    let exception = licences.exceptions.iter().find(|exception| exception.name == package.name.as_str());
    let allowed = |name: &str| {
        licences.allow.iter().chain(exception.iter().flat_map(|exception| &exception.allow)).any(|allow| allow == name)
    };
    if expression.evaluate(|requirement| allowed(&requirement.to_string())) {
        Ok(())
    } else {
        Err(format!("its licence is `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_toml_allows_what_is_built() {
        check().unwrap();
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        let metadata = edges::metadata().unwrap();
        let deny = Deny {
            licenses: Licenses { allow: vec!["Apache-2.0".to_owned()], exceptions: Vec::new() },
            bans: Bans { deny: vec![Ban { name: "tokio".to_owned(), reason: "for this test".to_owned() }] },
            sources: Sources { allow_registry: Vec::new() },
        };
        let broken = broken(&deny, &metadata);
        let has = |text: &str| broken.iter().any(|line| line.contains(text));
        assert!(has("is banned: for this test") && has("its licence is `MIT`") && has("comes from https://"));
        assert!(!has("xtask"), "a crate of the workspace under Apache-2.0 is fine");
    }
}
