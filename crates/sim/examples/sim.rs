//! Runs seeds of the simulation: `--seeds N [--from S]`; with `SEED=n` one seed with its whole trace.
#![expect(clippy::print_stdout, reason = "what it prints is its purpose")]

use bivouac_sim::{Counts, simulate, trace};
use std::process::ExitCode;

/// How much of the trace is shown where a rule is broken.
const LINES_SHOWN: usize = 40;

fn main() -> ExitCode {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        let report = trace(seed, None);
        for line in &report.trace {
            println!("{line}");
        }
        print!("{}", report.counts);
        return verdict(&report);
    }
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (from, seeds) = (number("--from").unwrap_or(0), number("--seeds").unwrap_or(1_000));
    let mut counts = Counts::default();
    for seed in from..from + seeds {
        let report = simulate(seed, None);
        counts.add(&report.counts);
        if report.violation.is_some() {
            let report = trace(seed, None);
            for line in &report.trace[report.trace.len().saturating_sub(LINES_SHOWN)..] {
                println!("{line}");
            }
            return verdict(&report);
        }
    }
    print!("{counts}");
    println!("{seeds} seeds from {from}: nothing broken");
    ExitCode::SUCCESS
}

fn verdict(report: &bivouac_sim::Report) -> ExitCode {
    let Some(violation) = &report.violation else { return ExitCode::SUCCESS };
    println!(
        "seed {}: {violation}\nits trace: SEED={} cargo run -p bivouac-sim --example sim",
        report.seed, report.seed
    );
    ExitCode::FAILURE
}
