//! `crash`: a server that is killed and loses power with orders in flight, until it is believed.

use crate::phases::{cargo, succeed, target_dir};
use anyhow::Result;
use std::process::Command;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask crash                         100 kills and 20 power cuts, of modules and of native code
  cargo xtask crash --kills 1000 --powerloss 0 -- --mode native --seed 7")]
pub(crate) struct Arguments {
    /// How many times the server is killed at a random moment, besides in and after each step
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// How many times its power is cut
    #[arg(long, default_value_t = 20)]
    powerloss: u32,
    /// What else the drill is told, see `-- --help`
    #[arg(last = true)]
    more: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    succeed(&mut cargo(["build", "--quiet", "-p", "bivouac-testbed", "--example", "crash"]))?;
    let program = target_dir().join("debug/examples/crash");
    let (kills, powerloss) = (arguments.kills.to_string(), arguments.powerloss.to_string());
    succeed(Command::new(program).args(["--kills", &kills, "--powerloss", &powerloss]).args(&arguments.more))
}
