//! `bivouac secrets`: values that runs send to hosts and nobody sees again.
//!
//! A value is never an argument: arguments are in the shell's history and in the list of processes.

use super::{client, json};
use crate::{
    cli::Globals,
    client::Client,
    failure::{Failure, Result},
    output,
};
use clap::{Args, Subcommand};
use reqwest::Method;
use rustix::termios;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeSet,
    env,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
};

/// The most bytes that are read for a value; the server's limit is lower.
const MAX_READ: u64 = 1 << 20;

/// Set, list and remove secrets
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    Set(SetArgs),
    Ls(LsArgs),
    Rm(RmArgs),
}

/// Set a secret: its value comes from stdin or from a variable, never from an argument
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac secrets set API_TOKEN --host api.example.com                      asks for the value
  bivouac secrets set API_TOKEN --host api.example.com < token.txt
  bivouac secrets set API_TOKEN --host api.example.com --from-env TOKEN")]
pub(crate) struct SetArgs {
    /// Its name: letters, digits and _
    #[arg(value_name = "NAME")]
    name: String,
    /// A host that it may be sent to; repeatable
    #[arg(long, required = true, value_name = "HOST")]
    host: Vec<String>,
    /// Take the value from this variable instead of stdin
    #[arg(long, value_name = "VARIABLE")]
    from_env: Option<String>,
    /// The environment [default: the key's]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
}

/// List secrets: names and hosts, never values
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac secrets ls")]
pub(crate) struct LsArgs {
    /// The environment [default: the key's]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
}

/// Remove a secret: runs that use it from now on fail there
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac secrets rm API_TOKEN")]
pub(crate) struct RmArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The environment [default: the key's]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
}

pub(crate) async fn run(command: &SecretsCommand, globals: &Globals) -> Result {
    let client = client(globals)?;
    match command {
        SecretsCommand::Set(args) => set(&client, args, globals).await,
        SecretsCommand::Ls(args) => ls(&client, args, globals).await,
        SecretsCommand::Rm(args) => rm(&client, args, globals).await,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    environment: String,
    secrets: Vec<Listed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    name: String,
    hosts: Vec<String>,
    set_at: String,
}

async fn set(client: &Client, args: &SetArgs, globals: &Globals) -> Result {
    let undone = format!("the secret {} was not set", args.name);
    if args.name.contains('=') {
        return Err(Failure::usage("the secret was not set")
            .why("a value in the arguments can be seen in the shell's history and in the list of processes")
            .hint("bivouac secrets set NAME --host HOST, and give the value on stdin; then change the value that was seen"));
    }
    let value = match &args.from_env {
        Some(variable) => from_variable(variable, &undone)?,
        None => from_stdin(&undone)?,
    };
    if value.is_empty() {
        return Err(Failure::usage(undone).why("the value is empty").hint("`bivouac secrets rm` removes a secret"));
    }
    let environment = args.env.as_ref().map(|env| ("environment", env));
    let request = client
        .request(Method::PUT, &["api", "secrets", &args.name])
        .query(environment.as_slice())
        .json(&json!({"value": value, "hosts": args.host}));
    let answer = client.text(request, &undone).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    output::say(&format!("{} is set, for {}", args.name, args.host.join(", ")))
}

fn from_variable(variable: &str, undone: &str) -> Result<String> {
    env::var(variable).map_err(|error| {
        Failure::usage(undone).why(match error {
            env::VarError::NotPresent => format!("the variable {variable} is not set"),
            env::VarError::NotUnicode(_) => format!("the variable {variable} is not text"),
        })
    })
}

/// The value without the line break that `echo` and editors put behind it.
fn from_stdin(undone: &str) -> Result<String> {
    let unreadable = |error: io::Error| Failure::usage(undone).why(format!("the value cannot be read: {error}"));
    let mut value = String::new();
    if io::stdin().is_terminal() {
        // Before the prompt: whoever pastes the value at once must not see it.
        let _silent = Silence::start();
        prompt();
        io::stdin().lock().read_line(&mut value).map_err(unreadable)?;
        output::note("");
    } else {
        io::stdin().lock().take(MAX_READ).read_to_string(&mut value).map_err(unreadable)?;
    }
    let trimmed = value.strip_suffix('\n').unwrap_or(&value);
    Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
}

fn prompt() {
    // Where nobody can read the prompt, the terminal still takes the value.
    let _closed = write!(io::stderr(), "Value (not shown): ");
}

/// The terminal does not show what is typed as long as this lives.
struct Silence(Option<termios::Termios>);

impl Silence {
    fn start() -> Self {
        let Ok(before) = termios::tcgetattr(io::stdin()) else { return Self(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(termios::LocalModes::ECHO);
        let done = termios::tcsetattr(io::stdin(), termios::OptionalActions::Now, &silent);
        Self(done.is_ok().then_some(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that went away needs no restoring.
            let _gone = termios::tcsetattr(io::stdin(), termios::OptionalActions::Now, before);
        }
    }
}

async fn list(client: &Client, environment: Option<&str>) -> Result<String> {
    let environment = environment.map(|env| ("environment", env));
    client.text(client.get(&["api", "secrets"]).query(environment.as_slice()), "the secrets are not shown").await
}

/// The names of an environment's secrets.
pub(super) async fn names(client: &Client, environment: Option<&str>) -> Result<BTreeSet<String>> {
    let list: List = client.read(&list(client, environment).await?, "the secrets are not shown")?;
    Ok(list.secrets.into_iter().map(|secret| secret.name).collect())
}

async fn ls(client: &Client, args: &LsArgs, globals: &Globals) -> Result {
    let answer = list(client, args.env.as_deref()).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    let list: List = client.read(&answer, "the secrets are not shown")?;
    if list.secrets.is_empty() {
        output::note(&format!("No secrets in {}. `bivouac secrets set NAME --host HOST` sets one.", list.environment));
        return Ok(());
    }
    let rows = list.secrets.into_iter().map(|secret| vec![secret.name, secret.hosts.join(", "), secret.set_at]);
    output::say(&output::table(&["SECRET", "HOSTS", "SET"], rows.collect()))
}

async fn rm(client: &Client, args: &RmArgs, globals: &Globals) -> Result {
    let environment = args.env.as_ref().map(|env| ("environment", env));
    let request = client.request(Method::DELETE, &["api", "secrets", &args.name]).query(environment.as_slice());
    let answer = client.text(request, &format!("the secret {} was not removed", args.name)).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    output::say(&format!("{} is removed", output::plain(&args.name)))
}
