//! The commands, one file each: what can be typed, and what it does.

pub(crate) mod answer;
pub(crate) mod build;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod deployments;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod keys;
pub(crate) mod new;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod serve;

use crate::{
    cli::{Cli, Command, Globals},
    client::Client,
    connection::Connection,
    failure::{Failure, Result},
    output::Format,
    project::Project,
};

/// Does what was typed.
pub(crate) fn dispatch(cli: Cli) -> Result {
    let globals = cli.globals;
    match cli.command {
        Command::New(args) => new::run(&args, &globals),
        Command::Dev(args) => dev::run(&args, &globals),
        Command::Build(args) => block_on(build::run(&args, &globals)),
        Command::Serve(args) => serve::run(*args, &globals),
        Command::Completions(args) => completions::run(&args),
        Command::Chat(args) => block_on(chat::run(&args, &globals)),
        Command::Deploy(args) => block_on(deploy::run(&args, &globals)),
        Command::Run(args) => block_on(run::run(&args, &globals)),
        Command::Runs(command) => block_on(runs::run(&command, &globals)),
        Command::Deployments(command) => block_on(deployments::run(&command, &globals)),
        Command::Secrets(command) => block_on(secrets::run(&command, &globals)),
        Command::Keys(command) => block_on(keys::run(&command, &globals)),
        Command::Doctor(args) => block_on(doctor::run(&args, &globals)),
    }
}

/// Waits for a command that talks to a server. One thread is enough for a client.
fn block_on(work: impl Future<Output = Result>) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the command cannot be started").why(error.to_string()))?;
    runtime.block_on(work)
}

/// The server that the command talks to.
fn client(globals: &Globals) -> Result<Client> {
    Client::new(Connection::resolve(globals, &Project::here()?)?)
}

/// Whether the result is printed for a program.
fn json(globals: &Globals) -> bool {
    Format::or_default(globals.output) == Format::Json
}
