//! `bivouac keys`: who may do what.

use super::{client, json};
use crate::{
    cli::Globals,
    client::Client,
    failure::Result,
    output::{self, Style},
};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

/// Create, list and revoke API keys
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    Create(CreateArgs),
    Ls(LsArgs),
    Revoke(RevokeArgs),
}

/// Create a key; it is printed this once
#[derive(Debug, Args)]
#[command(after_help = "Scopes:
  run          start runs and see them
  read         see runs and deployments
  workflow     cancel runs
  deploy       deploy, and see what is deployed
  impersonate  start runs in the name of another user
  admin        everything, in every environment

Example:
  bivouac keys create --name ci --scope deploy --scope read")]
pub(crate) struct CreateArgs {
    /// What to call it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do; repeatable
    #[arg(long, required = true, value_name = "SCOPE", value_delimiter = ',')]
    scope: Vec<String>,
    /// The user that it stands for [default: its name]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The environment that it belongs to [default: that of the key in use]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
}

/// List keys: never the keys themselves
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac keys ls")]
pub(crate) struct LsArgs {}

/// Revoke a key: it opens nothing from then on
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac keys revoke bvk_5f2c01ab34de")]
pub(crate) struct RevokeArgs {
    /// The key's id, as `keys ls` shows it
    #[arg(value_name = "ID")]
    id: String,
}

pub(crate) async fn run(command: &KeysCommand, globals: &Globals) -> Result {
    let client = client(globals)?;
    match command {
        KeysCommand::Create(args) => create(&client, args, globals).await,
        KeysCommand::Ls(_) => ls(&client, globals).await,
        KeysCommand::Revoke(args) => revoke(&client, args, globals).await,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Key {
    id: String,
    name: String,
    environment: String,
    scopes: Vec<String>,
    user: String,
    created_at: String,
    revoked_at: Option<String>,
    key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    keys: Vec<Key>,
}

async fn create(client: &Client, args: &CreateArgs, globals: &Globals) -> Result {
    let undone = "no key was created";
    let body = json!({"name": args.name, "scopes": args.scope, "user": args.user, "environment": args.env});
    let answer = client.text(client.post(&["api", "keys"]).json(&body), undone).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    let key: Key = client.read(&answer, "the key that was created is not shown")?;
    output::say(&output::fields(&[
        ("id", key.id),
        ("name", key.name),
        ("scopes", key.scopes.join(", ")),
        ("environment", key.environment),
        ("user", key.user),
    ]))?;
    output::note("The key, shown this once:\n");
    output::say(&format!("  export BIVOUAC_KEY={}", Style::stdout().bold(&output::plain(&key.key.unwrap_or_default()))))
}

async fn ls(client: &Client, globals: &Globals) -> Result {
    let undone = "the keys are not shown";
    let answer = client.text(client.get(&["api", "keys"]), undone).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    let list: List = client.read(&answer, undone)?;
    let rows = list.keys.into_iter().map(|key| {
        let state = key.revoked_at.map(|at| format!("revoked {at}")).unwrap_or_default();
        vec![key.id, key.name, key.environment, key.scopes.join(", "), key.user, key.created_at, state]
    });
    let header = ["KEY", "NAME", "ENVIRONMENT", "SCOPES", "USER", "CREATED", "STATE"];
    output::say(&output::table(&header, rows.collect()))
}

async fn revoke(client: &Client, args: &RevokeArgs, globals: &Globals) -> Result {
    // Whoever pastes the whole key means its public part; the secret part should not travel in an address.
    let id =
        args.id.strip_prefix("bvk_").and_then(|rest| rest.split_once('_')).map(|(public, _)| format!("bvk_{public}"));
    let id = id.unwrap_or_else(|| args.id.clone());
    let request = client.request(Method::DELETE, &["api", "keys", &id]);
    let answer = client.text(request, &format!("the key {id} was not revoked")).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    output::say(&format!("{} is revoked", output::plain(&id)))
}
