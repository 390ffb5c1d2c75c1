//! `bivouac completions`: what a shell needs to complete commands and options.

use crate::{cli::Cli, failure::Result, output};
use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

/// Print a script that completes commands and options in a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac completions bash > ~/.local/share/bash-completion/completions/bivouac")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "bivouac", &mut script);
    output::say(String::from_utf8_lossy(&script).trim_end())
}
