//! `bench`: the benchmark programs of the workspace, one after the other.
//!
//! A benchmark is an example named `bench_NAME` of any crate: a release build that measures, in the same run, the limit
//! it is held against, says on standard error how far it is, and prints its figures as JSON. What there is, is asked of
//! cargo, so a new one needs no line here. The figures are shown as tables and kept below the target directory.

use crate::{
    edges,
    phases::{Phases, cargo, shown, target_dir},
    setup,
};
use anyhow::{Context as _, Result, bail};
use cargo_metadata::TargetKind;
use serde_json::{Map, Value};
use std::{
    fs,
    process::{Command, Stdio},
};

/// What the name of a benchmark begins with.
const PREFIX: &str = "bench_";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench
  cargo xtask bench append -- --rounds 1 --seconds 0.2
  cargo xtask bench --list")]
pub(crate) struct Arguments {
    /// The benchmarks to run [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Show which there are
    #[arg(long)]
    list: bool,
    /// Options for the benchmarks themselves
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Benchmarks whose first argument is a module, and the package it is built from.
const MODULES: [(&str, &str); 1] = [("instance", "hello")];

/// A benchmark, as cargo knows it.
struct Bench {
    name: String,
    package: String,
    features: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let benches = benches()?;
    if arguments.list {
        benches.iter().for_each(|bench| println!("{:16} {}", bench.name, bench.package));
        return Ok(());
    }
    if let Some(name) = arguments.names.iter().find(|name| !benches.iter().any(|bench| bench.name == **name)) {
        bail!("there is no benchmark `{name}`; `cargo xtask bench --list` shows which there are");
    }
    let mut phases = Phases::default();
    setup::ensure(&mut phases)?;
    for bench in &benches {
        if arguments.names.is_empty() || arguments.names.contains(&bench.name) {
            phases.run(&format!("bench: {}", bench.name), || measure(bench, &arguments.options))?;
        }
    }
    phases.print();
    Ok(())
}

fn benches() -> Result<Vec<Bench>> {
    let metadata = edges::metadata()?;
    let mut benches = Vec::new();
    for package in metadata.workspace_packages() {
        for target in package.targets.iter().filter(|target| target.is_kind(TargetKind::Example)) {
            if let Some(name) = target.name.strip_prefix(PREFIX) {
                benches.push(Bench {
                    name: name.to_owned(),
                    package: package.name.to_string(),
                    features: target.required_features.clone(),
                });
            }
        }
    }
    benches.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(benches)
}

fn measure(bench: &Bench, options: &[String]) -> Result<()> {
    let example = format!("{PREFIX}{}", bench.name);
    let mut command = cargo(["run", "--quiet", "--release", "-p", &bench.package, "--example", &example]);
    command.args(["--features", &bench.features.join(",")]).arg("--");
    if let Some((_, package)) = MODULES.iter().find(|(name, _)| *name == bench.name) {
        command.arg(bivouac_testbed::artifacts::module(package)?);
    }
    command.args(options);
    let figures = printed(&mut command)?;
    let folder = target_dir().join("bench");
    let file = folder.join(format!("{}.json", bench.name));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, &figures))
        .with_context(|| file.display().to_string())?;
    let figures = serde_json::from_str(&figures).context("reading the figures, which should be JSON")?;
    let mut text = String::new();
    render(&mut text, &bench.name, &figures);
    println!("{text}\nkept in {}", file.display());
    Ok(())
}

/// Runs a command to its end and gives what it printed to standard output.
fn printed(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no text"))
}

/// Objects of single figures become rows, lists and objects of such rows become tables, anything else a heading.
fn render(text: &mut String, title: &str, value: &Value) {
    let rows: Option<Vec<(String, &Map<String, Value>)>> = match value {
        Value::Array(items) => items.iter().map(|item| flat(item).map(|row| (String::new(), row))).collect(),
        Value::Object(fields) => fields.iter().map(|(name, item)| flat(item).map(|row| (name.clone(), row))).collect(),
        _ => None,
    };
    match (rows, value) {
        (Some(rows), _) if !rows.is_empty() => table(text, title, &rows),
        (_, Value::Object(fields)) => {
            text.push_str(&format!("\n{title}\n"));
            let (figures, parts): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, item)| single(item));
            figures.iter().for_each(|(name, item)| text.push_str(&format!("  {name:32} {}\n", figure(item))));
            parts.iter().for_each(|(name, item)| render(text, &format!("{title}: {name}"), item));
        }
        (_, Value::Array(items)) => items.iter().for_each(|item| render(text, title, item)),
        (_, single) => text.push_str(&format!("  {title:32} {}\n", figure(single))),
    }
}

fn table(text: &mut String, title: &str, rows: &[(String, &Map<String, Value>)]) {
    let mut columns: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|(_, row)| row.keys()) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut cells = vec![std::iter::once(String::new()).chain(columns.iter().map(|name| (*name).to_owned())).collect()];
    for (name, row) in rows {
        let figures = columns.iter().map(|column| row.get(*column).map(figure).unwrap_or_default());
        cells.push(std::iter::once(name.clone()).chain(figures).collect::<Vec<_>>());
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
    text.push_str(&format!("\n{title}\n"));
    for row in &cells {
        let first = format!("  {:<width$}", row[0], width = widths[0]);
        let others = row.iter().zip(&widths).skip(1).map(|(cell, width)| format!("  {cell:>width$}"));
        text.push_str(&(first + &others.collect::<String>() + "\n"));
    }
}

fn flat(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|fields| fields.values().all(single))
}

fn single(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

fn figure(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_become_tables() {
        let mut text = String::new();
        render(
            &mut text,
            "t",
            &json!({"rounds": 5, "rows": [{"n": 1, "p99": 20.5}], "by": {"a": {"x": 1}, "bb": {"x": 22}}}),
        );
        let expected = "\nt\n  rounds                           5\n\nt: by\n       x\n  a    1\n  bb  22\n\nt: rows\n    n   p99\n    1  20.5\n";
        assert_eq!(text, expected);
    }
}
