//! The `bivouac` command: makes projects and serves them while they are written, builds and deploys modules, runs the
//! server, starts runs and shows what became of them, talks with agents.
//!
//! Parses what was typed ([`cli`]), does it ([`commands`]), and ends with an [`failure::Exit`] code that a script can
//! rely on. It talks to a server over the routes that everybody uses ([`client`]); no rule of the server lives here.
//! Results go to stdout, everything else to stderr.

mod agents;
mod cli;
mod client;
mod commands;
mod connection;
mod failure;
mod follow;
mod grants;
mod lines;
mod module;
mod nearest;
mod output;
mod progress;
mod project;
mod server_config;
mod sse;
mod stop;
mod talk;
mod template;
mod time;
mod watch;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let format = cli.globals.output;
    match commands::dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.show(format);
            failure.exit.into()
        }
    }
}
