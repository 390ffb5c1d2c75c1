//! What can be typed: the commands and the options that all of them share.
//!
//! Each command's own arguments stand beside what it does, in [`commands`].

use crate::{commands, output::Format};
use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
First steps:
  bivouac new my-agent              a project that builds, runs and passes its tests
  cd my-agent && bivouac dev        a server on 127.0.0.1:7420; builds, deploys, and again at every save
  bivouac chat                      talks with the agent, from another terminal

Exit codes:
  0 done   1 failed   2 wrong usage   3 not found   4 refused   5 cannot reach the server
  130 interrupted with Ctrl-C";

/// Durable agents and workflows in WebAssembly: write, build, deploy, talk.
#[derive(Debug, Parser)]
#[command(name = "bivouac", version, after_help = AFTER_HELP, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The server [default: BIVOUAC_SERVER, then `server` in bivouac.toml, then http://127.0.0.1:7420]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The API key [default: BIVOUAC_KEY, then `key` in bivouac.toml]
    #[arg(long, global = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// How results are printed [default: text in a terminal, json otherwise]
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(commands::new::NewArgs),
    Dev(commands::dev::DevArgs),
    Chat(commands::chat::ChatArgs),
    Build(commands::build::BuildArgs),
    Deploy(commands::deploy::DeployArgs),
    Serve(Box<commands::serve::ServeArgs>),
    Run(commands::run::RunArgs),
    #[command(subcommand)]
    Runs(commands::runs::RunsCommand),
    #[command(subcommand)]
    Deployments(commands::deployments::DeploymentsCommand),
    #[command(subcommand)]
    Secrets(commands::secrets::SecretsCommand),
    #[command(subcommand)]
    Keys(commands::keys::KeysCommand),
    Doctor(commands::doctor::DoctorArgs),
    Completions(commands::completions::CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_in_its_help() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("bivouac "), "`{path}` shows no example");
            }
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(|sub| check(sub, &path));
        }
        check(&Cli::command(), "");
    }
}
