//! `test`: every test there is, in one target directory.
//!
//! The programs and modules that tests start are built once beforehand and named to them by environment variables. The
//! last line is libtest's form of a result, over all phases, so that what reads test output can read this.

use crate::{
    phases::{Phases, cargo, shown, succeed, target_dir, works},
    setup, sim,
};
use anyhow::{Context as _, Result, bail};
use bivouac_testbed::artifacts::{BIN_VARIABLE, MODULE_PROFILE, MODULE_TARGET, MODULES_VARIABLE};
use std::{
    io::{BufRead as _, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

/// The packages whose modules tests start.
pub(crate) const MODULES: [&str; 4] = ["hello", "order", "programs", "trip-planner"];

/// The package whose tests start a module on a host of somebody else's, and a key-value server.
const FOREIGN: &str = "foreign";

/// The package whose tests run the official A2A clients.
const CLIENTS: &str = "bivouac-conformance-a2a";

/// The seeds that the simulation runs unless told otherwise.
const SEEDS: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds the simulation runs
    #[arg(long, default_value_t = SEEDS)]
    seeds: u32,
    /// Only tests of these crates; no simulation
    #[arg(long, short, value_name = "CRATE")]
    package: Vec<String>,
}

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut phases = Phases::default();
    let mut tally = Tally::default();
    let result = all(arguments, &mut phases, &mut tally);
    phases.print();
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out; finished in {:.2}s",
        tally.passed,
        tally.failed,
        tally.ignored,
        phases.total().as_secs_f64()
    );
    result
}

fn all(arguments: &Arguments, phases: &mut Phases, tally: &mut Tally) -> Result<()> {
    setup::ensure(phases)?;
    let whole = arguments.package.is_empty();
    if whole || arguments.package.iter().any(|name| name == CLIENTS) {
        setup::ensure_clients(phases)?;
    }
    if whole || arguments.package.iter().any(|name| name == FOREIGN) {
        setup::ensure_programs(phases)?;
    }
    let scope: Vec<&str> = match whole {
        true => vec!["--workspace", "--all-features"],
        false => arguments.package.iter().flat_map(|name| ["-p", name]).collect(),
    };
    phases.run("test: build the modules", || build_modules(&MODULES))?;
    // By itself, so that the other modules are built without what only this one asks for.
    phases.run("test: build the module for another host", || build_modules(&[FOREIGN]))?;
    // All at once, so that cargo decides once which features the crates have, and builds nothing twice.
    phases.run("test: build programs and tests", || succeed(cargo(["build", "--all-targets"]).args(&scope)))?;
    let runner: &[&str] = if works("cargo", &["nextest", "--version"]) {
        &["nextest", "run", "--no-fail-fast", "--color", "always"]
    } else {
        &["test", "--no-fail-fast", "--all-targets"]
    };
    // Both kinds of tests are run though one failed: who asks for every test wants every failure.
    let tests = phases.run("test: tests", || counted(prepared(cargo(runner).args(&scope), whole), tally));
    let examples = phases.run("test: examples in the docs", || counted(cargo(["test", "--doc"]).args(&scope), tally));
    // The compiler's words depend on what else is built: what it says to authors is tested with what authors build.
    let words = phases.run("test: the compiler's words to authors", || {
        counted(&mut cargo(["test", "-p", "bivouac", "--features", "testing", "--test", "it", "macros::"]), tally)
    });
    tests.and(examples).and(words)?;
    if whole {
        phases.run(&format!("test: simulation, {} seeds", arguments.seeds), || sim::seeds(arguments.seeds))?;
    }
    Ok(())
}

/// Names to the tests what was built for them; where only some crates were built, the tests build what they need.
fn prepared(command: &mut Command, whole: bool) -> &mut Command {
    let target = target_dir();
    if whole {
        command.env(BIN_VARIABLE, target.join("debug/bivouac"));
    }
    command.env(MODULES_VARIABLE, target.join(MODULE_TARGET).join(MODULE_PROFILE))
}

/// Builds modules as authors do.
pub(crate) fn build_modules(packages: &[&str]) -> Result<()> {
    let packages = packages.iter().flat_map(|name| ["-p", name]);
    let target = ["build", "--lib", "--target", MODULE_TARGET, "--profile", MODULE_PROFILE];
    succeed(cargo(target).args(packages))
}

/// Runs tests: shows what they print, and adds up what they report.
fn counted(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{shown}`"))?;
    let counted = Mutex::new(Tally::default());
    let pipes = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        if let Some(pipe) = pipes.0 {
            scope.spawn(|| pass_on(pipe, std::io::stdout(), &counted));
        }
        if let Some(pipe) = pipes.1 {
            scope.spawn(|| pass_on(pipe, std::io::stderr(), &counted));
        }
    });
    tally.add(counted.into_inner().unwrap_or_default());
    let status = child.wait().with_context(|| format!("waiting for `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

fn pass_on(pipe: impl Read, mut to: impl Write, counted: &Mutex<Tally>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if let Some(found) = tally_of(&String::from_utf8_lossy(&line))
            && let Ok(mut counted) = counted.lock()
        {
            counted.add(found);
        }
        // Whoever closed our output does not want to read it; the tests go on.
        to.write_all(&line).and_then(|()| to.flush()).ok();
        line.clear();
    }
}

/// Reads nextest's `Summary [ 1.2s] 25 tests run: 24 passed (1 slow), 1 failed, 2 skipped`, and libtest's `test result:`.
fn tally_of(line: &str) -> Option<Tally> {
    let line = without_colours(line);
    let line = line.trim();
    let counts = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => line.strip_prefix("Summary [")?.split_once(" run: ")?.1,
    };
    let count = |word: &str| {
        let mut words = counts.split([' ', ',', ';']).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        words.retain(|part| !part.starts_with('(') && !part.ends_with(')'));
        words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
    };
    Some(Tally {
        passed: count("passed"),
        failed: count("failed") + count("timed"),
        ignored: count("ignored") + count("skipped"),
    })
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_summaries_are_understood() {
        let tally = |passed, failed, ignored| Some(Tally { passed, failed, ignored });
        let nextest = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.349s] \u{1b}[1m25\u{1b}[0m tests run: 24 passed (1 slow), 1 failed, 3 skipped";
        assert_eq!(tally_of(nextest), tally(24, 1, 3));
        let libtest = "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(tally_of(libtest), tally(7, 0, 2));
        assert_eq!(tally_of("test result: FAILED. 1 passed; 6 failed; 0 ignored; 0 measured"), tally(1, 6, 0));
        assert_eq!(tally_of("        PASS [   0.349s] a test"), None);
    }
}
