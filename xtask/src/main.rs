//! The repository's own commands, `cargo xtask ...`: what a person runs is what the continuous integration runs.
//!
//! Each command is a file; [`phases`] runs programs and says how long they took. Nothing here is part of Bivouac: it
//! starts cargo, compilers and the programs of this workspace, and needs no network once the crates are fetched.

#![expect(clippy::print_stdout, reason = "a command talks to whoever runs it")]

mod bench;
mod check;
mod crash;
mod demo;
mod edges;
mod licences;
mod phases;
mod setup;
mod sim;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What can be done with this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing: the WebAssembly targets of the pinned compiler
    Setup,
    /// Format, lints, docs, WebAssembly builds, licences, dependency rules: what must hold before tests are worth it
    Check,
    /// Set up what is missing and run every test there is
    Test(test::Arguments),
    /// Watch an order survive a kill in its middle
    Demo,
    /// Run the benchmarks, all or those named
    Bench(bench::Arguments),
    /// Let the simulation try to break the engine
    Sim(sim::Arguments),
    /// Kill a server with orders in flight and cut its power, again and again
    Crash(crash::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup => setup::run(),
        Command::Check => check::run(),
        Command::Test(arguments) => test::run(&arguments),
        Command::Demo => demo::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Crash(arguments) => crash::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
