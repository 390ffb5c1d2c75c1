//! Kills a server at random moments, cuts its power, and looks whether anything was lost or done twice.
//!
//! `cargo xtask crash --kills 100 --powerloss 20` runs it; what it prints at the end is a page of Markdown.

#![expect(clippy::print_stdout, reason = "a program for a person")]

use bivouac_testbed::{
    crash::{Drill, drill},
    node::Mode,
};
use clap::{Parser, ValueEnum};

/// Kills a server at random moments, and cuts its power.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many times the server is killed at a random moment, besides once in and once after each step.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// How many times its power is cut.
    #[arg(long, default_value_t = 20)]
    powerloss: u32,
    /// Where the moments come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the components get into the server.
    #[arg(long, value_enum, default_value_t = Modes::Both)]
    mode: Modes,
    /// How many orders are in flight at once.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
    /// The cargo profile of the server.
    #[arg(long, default_value = "release")]
    profile: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Modes {
    Wasm,
    Native,
    Both,
}

impl Modes {
    const fn list(self) -> &'static [Mode] {
        match self {
            Self::Wasm => &[Mode::Wasm],
            Self::Native => &[Mode::Native],
            Self::Both => &Mode::ALL,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut page = String::new();
    for mode in arguments.mode.list() {
        let plan = Drill {
            mode: *mode,
            profile: arguments.profile.clone(),
            seed: arguments.seed,
            steps: true,
            kills: arguments.kills,
            powerloss: arguments.powerloss,
            at_once: arguments.at_once,
        };
        let report = drill(&plan, &mut |line| println!("{line}"))?;
        page.push_str(&format!("{report}\n"));
    }
    println!("\n{page}");
    Ok(())
}
