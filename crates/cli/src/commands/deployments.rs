//! `bivouac deployments`: what is deployed, and where new runs go.

use super::{client, json};
use crate::{cli::Globals, client::Client, failure::Result, grants, output};
use bivouac_protocol::manifest::{Capabilities, Manifest};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

/// List and show deployments
#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentsCommand {
    Ls(LsArgs),
    Show(ShowArgs),
}

/// List deployments, the newest first, and the components whose new runs go to each
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac deployments ls")]
pub(crate) struct LsArgs {
    /// The environment whose routes are shown [default: the key's]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
}

/// Show a deployment: its components, what it asked for and was granted
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac deployments show dep_6VXJ2C8QH1W4T7M9P3R5S0D2F4")]
pub(crate) struct ShowArgs {
    /// The deployment
    #[arg(value_name = "ID")]
    id: String,
}

pub(crate) async fn run(command: &DeploymentsCommand, globals: &Globals) -> Result {
    let client = client(globals)?;
    match command {
        DeploymentsCommand::Ls(args) => ls(&client, args, globals).await,
        DeploymentsCommand::Show(args) => show(&client, args, globals).await,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    deployments: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Routes {
    environment: String,
    routes: Vec<Route>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Route {
    environment: String,
    component: String,
    deployment_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Deployment {
    deployment_id: String,
    service: String,
    immutable_ref: String,
    carrier: String,
    sha256: String,
    size: u64,
    created_at: String,
    manifest: Option<Manifest>,
    grants: Capabilities,
    routes: Vec<Route>,
}

async fn ls(client: &Client, args: &LsArgs, globals: &Globals) -> Result {
    let undone = "the deployments are not shown";
    let raw = all(client, undone).await?;
    if json(globals) {
        return output::say_json(&json!({"count": raw.len(), "deployments": raw}));
    }
    if raw.is_empty() {
        output::note("Nothing is deployed. `bivouac deploy PATH` deploys a project.");
        return Ok(());
    }
    let read: Result<Vec<Deployment>> = raw.iter().map(|raw| client.read(raw.get(), undone)).collect();
    let mut deployments = read?;
    deployments.sort_by(|a, b| b.created_at.cmp(&a.created_at));
    let environment = args.env.as_ref().map(|env| ("environment", env));
    let request = client.get(&["api", "routes"]).query(environment.as_slice());
    let routes: Routes = client.json(request, undone).await?;
    let rows = deployments.into_iter().map(|deployment| {
        let here = routes.routes.iter().filter(|route| route.deployment_id == deployment.deployment_id);
        let components: Vec<&str> = here.map(|route| route.component.as_str()).collect();
        vec![
            deployment.deployment_id,
            deployment.service,
            output::short(&deployment.immutable_ref, 24),
            output::size(deployment.size),
            deployment.created_at,
            components.join(", "),
        ]
    });
    let header = format!("ROUTES IN {}", routes.environment.to_uppercase());
    output::say(&output::table(&["DEPLOYMENT", "SERVICE", "REF", "SIZE", "CREATED", &header], rows.collect()))
}

/// All deployments, page by page, as the server tells of them.
async fn all(client: &Client, undone: &str) -> Result<Vec<Box<RawValue>>> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = after.as_ref().map(|after| ("after", after));
        let page: Page = client.json(client.get(&["api", "deployments"]).query(query.as_slice()), undone).await?;
        found.extend(page.deployments);
        match page.next {
            // A server that gives the same place twice would keep us here for ever.
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => return Ok(found),
        }
    }
}

async fn show(client: &Client, args: &ShowArgs, globals: &Globals) -> Result {
    let undone = format!("{} is not shown", args.id);
    let answer = client.text(client.get(&["api", "deployments", &args.id]), &undone).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    let deployment: Deployment = client.read(&answer, &undone)?;
    let manifest = deployment.manifest;
    let asked = manifest.as_ref().map(|manifest| grants::asked(&manifest.capabilities)).unwrap_or_default();
    let granted = grants::asked(&deployment.grants);
    let components: Vec<String> = manifest
        .iter()
        .flat_map(|manifest| &manifest.components)
        .map(|component| match &component.description {
            Some(about) => format!("{}/{}  {}", component.kind, component.name, output::short(about, 80)),
            None => format!("{}/{}", component.kind, component.name),
        })
        .collect();
    let wishes: Vec<String> = asked
        .iter()
        .map(|wish| format!("{wish}{}", if granted.contains(wish) { "" } else { "  (not granted)" }))
        .collect();
    let routes: Vec<String> =
        deployment.routes.iter().map(|route| format!("{} in {}", route.component, route.environment)).collect();
    output::say(&output::fields(&[
        ("deployment", deployment.deployment_id),
        ("service", deployment.service),
        ("ref", deployment.immutable_ref),
        ("carrier", deployment.carrier),
        ("sdk", manifest.as_ref().map(|manifest| manifest.sdk.clone()).unwrap_or_default()),
        ("size", output::size(deployment.size)),
        ("sha256", deployment.sha256),
        ("created", deployment.created_at),
        ("components", components.join("\n")),
        ("asks for", wishes.join("\n")),
        ("routes", routes.join("\n")),
    ]))
}
