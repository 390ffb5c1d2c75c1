//! `sim`: the virtual world that tries to break the engine, one seed after the other.

use crate::phases::{cargo, succeed, target_dir};
use anyhow::{Context as _, Result};
use std::{env, process::Command};

/// The variable that names one seed.
const SEED: &str = "SEED";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask sim --seeds 10000
  SEED=4711 cargo xtask sim                 one seed, told in full")]
pub(crate) struct Arguments {
    /// How many seeds, from 0
    #[arg(long, default_value_t = 1_000)]
    seeds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Ok(seed) = env::var(SEED) {
        seed.parse::<u64>().with_context(|| format!("{SEED}=`{seed}` is not a number"))?;
    }
    // The program reads the variable itself: it wins over the number of seeds.
    seeds(arguments.seeds)
}

/// Runs so many seeds, in the profile of the tests, where engine and simulation are optimised.
pub(crate) fn seeds(seeds: u32) -> Result<()> {
    // Of the whole workspace, so that the features of its crates are those that the tests were built with.
    succeed(&mut cargo(["build", "--quiet", "--workspace", "--example", "sim"]))?;
    let program = target_dir().join("debug/examples/sim");
    succeed(Command::new(program).args(["--seeds", &seeds.to_string()]))
}
