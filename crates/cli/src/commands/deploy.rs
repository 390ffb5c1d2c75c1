//! `bivouac deploy`: builds, settles the grants, uploads, routes.

use super::json;
use crate::{
    cli::Globals,
    client::{Capability, Client},
    connection::Connection,
    failure::Result,
    grants::{self, Ask, Grant, GrantArgs, Settled},
    module::{self, Built},
    output::{self, Style},
    project::Project,
};
use bivouac_protocol::{Code, manifest::ComponentKind};
use clap::{ArgAction, Args};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;

/// What a failure did not do.
const UNDONE: &str = "nothing was deployed";

/// Build a project or take a module, upload it, and route its components to it
///
/// A module gets nothing by asking for it: hosts, secrets and memory are granted with --grant, in bivouac.toml
/// (`[grants]`), or at the prompt. Without a terminal, nothing is deployed until every wish is granted or --partial
/// says that it may lack some.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac deploy                                     the project in this folder
  bivouac deploy examples/order --grant 'host=localhost:*' --grant memory
  bivouac deploy order.wasm --service order --immutable-ref v1.4.2
  bivouac deploy --dry-run                           shows what would be deployed, and sends nothing")]
pub(crate) struct DeployArgs {
    /// The project's folder, or a module that is already built
    #[arg(default_value = ".", value_name = "PATH|FILE.wasm")]
    path: PathBuf,
    /// The package to build, where the folder holds several [default: `package` in bivouac.toml]
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// The environment [default: `environment` in bivouac.toml, then the key's]
    #[arg(long, short = 'e', value_name = "NAME")]
    env: Option<String>,
    /// The service that owns the routes [default: `name` in bivouac.toml, then the package's name]
    #[arg(long, short, value_name = "NAME")]
    service: Option<String>,
    /// What this is a deployment of, such as a commit or a version; it names one module and its grants for ever
    /// [default: derived from both]
    #[arg(long, value_name = "REF")]
    immutable_ref: Option<String>,
    #[command(flatten)]
    grants: GrantArgs,
    /// Whether new runs go to it at once
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    activate: bool,
    /// Take over routes that belong to another service
    #[arg(long)]
    replace_route_owners: bool,
    /// Build, check and settle the grants, but send nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is about to be sent.
pub(super) struct Plan {
    /// The key's own, where none is named.
    pub(super) environment: Option<String>,
    pub(super) service: String,
    pub(super) immutable_ref: String,
    pub(super) settled: Settled,
    /// Whether new runs go to it at once.
    pub(super) activate: bool,
    /// Whether it may take routes of another service.
    pub(super) replace_route_owners: bool,
}

/// What the server answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployed {
    pub(super) deployment_id: String,
    environment: String,
    pub(super) existing: bool,
    pub(super) routes: Vec<RouteShown>,
    pub(super) dropped: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RouteShown {
    pub(super) component: String,
}

pub(crate) async fn run(args: &DeployArgs, globals: &Globals) -> Result {
    let project = Project::find(&args.path)?;
    let client = Client::new(Connection::resolve(globals, &project)?)?;
    if !args.dry_run {
        // A wrong address comes to light before the build, which takes a while.
        client.send(client.get(&["health"]), UNDONE).await?;
    }
    let built = module::obtain(&args.path, &project, args.package.as_deref()).await?;
    let plan = plan(args, &project, &built)?;
    for grant in &plan.settled.refused {
        output::warn(&format!("not granted: {grant}: {}", grant.without()));
    }
    if args.dry_run {
        return show_plan(&plan, &built, globals);
    }
    if built.manifest.components.iter().any(|component| component.kind == ComponentKind::Agent) {
        client.require(Capability::Agents, UNDONE).await?;
    }
    let answer = plan.send(&client, &built).await?;
    warn_of_unset_secrets(&client, &plan).await;
    if json(globals) { output::say_raw_json(&answer) } else { show(&client, &answer, &plan) }
}

fn plan(args: &DeployArgs, project: &Project, built: &Built) -> Result<Plan> {
    let asked = grants::asked(&built.manifest.capabilities);
    let ask: Option<Ask<'_>> = if grants::somebody_is_there() { Some(&grants::ask_person) } else { None };
    let settled = grants::settle(&asked, &args.grants, &project.grants, ask)?;
    Ok(Plan {
        environment: args.env.clone().or_else(|| project.environment.clone()),
        service: args.service.clone().or_else(|| project.name.clone()).unwrap_or_else(|| built.name.clone()),
        immutable_ref: args.immutable_ref.clone().unwrap_or_else(|| derived_ref(built, &settled)),
        settled,
        activate: args.activate,
        replace_route_owners: args.replace_route_owners,
    })
}

/// The ref of whoever names none: equal modules with equal grants are one deployment, others are not.
pub(super) fn derived_ref(built: &Built, settled: &Settled) -> String {
    let module = &built.sha256()[..12];
    if settled.granted.is_empty() {
        return module.to_owned();
    }
    let grants: Vec<String> = settled.granted.iter().map(Grant::to_string).collect();
    let digest = hex::encode(Sha256::digest(grants.join("\n")));
    format!("{module}-{}", &digest[..6])
}

impl Plan {
    /// Uploads the module; gives the server's answer.
    pub(super) async fn send(&self, client: &Client, built: &Built) -> Result<String> {
        let mut query = vec![
            ("service", self.service.clone()),
            ("immutable_ref", self.immutable_ref.clone()),
            ("activate", self.activate.to_string()),
            ("replace_route_owners", self.replace_route_owners.to_string()),
        ];
        query.extend(self.environment.clone().map(|environment| ("environment", environment)));
        query.extend(self.settled.granted.iter().map(|grant| ("grant", grant.to_string())));
        let request = client
            .post(&["api", "deployments"])
            .query(&query)
            .header("X-Content-SHA256", built.sha256())
            .header("Content-Type", "application/wasm");
        client.upload(request, &built.bytes, UNDONE).await.map_err(|failure| {
            if failure.code_text() != Some(Code::BODY_TOO_LARGE.as_str()) {
                return failure;
            }
            let size = output::size(built.bytes.len() as u64);
            failure.hint(format!("the module has {size}; `bivouac serve --max-module BYTES` takes larger ones"))
        })
    }
}

/// A secret that is granted but not set fails at its first use, which may be far from here.
async fn warn_of_unset_secrets(client: &Client, plan: &Plan) {
    let granted: Vec<&String> = plan
        .settled
        .granted
        .iter()
        .filter_map(|grant| match grant {
            Grant::Secret(name) => Some(name),
            Grant::Host(_) | Grant::Memory => None,
        })
        .collect();
    if granted.is_empty() {
        return;
    }
    // A key may deploy without seeing secrets; then there is nothing to warn of.
    let Ok(set) = super::secrets::names(client, plan.environment.as_deref()).await else { return };
    for name in granted.into_iter().filter(|name| !set.contains(*name)) {
        output::warn(&format!(
            "the secret {name} is granted but not set: bivouac secrets set {name} --host HOST < FILE"
        ));
    }
}

fn show(client: &Client, answer: &str, plan: &Plan) -> Result {
    let deployed: Deployed = client.read(answer, "the deployment cannot be shown")?;
    let routes: Vec<String> = deployed.routes.iter().map(|route| route.component.clone()).collect();
    let style = Style::stdout();
    let verb = if deployed.existing { "was already deployed" } else { "deployed" };
    output::say(&format!(
        "{} {} {verb} as {}",
        style.green("ok"),
        output::plain(&plan.service),
        style.bold(&output::plain(&deployed.deployment_id))
    ))?;
    output::say(&output::fields(&[
        ("environment", deployed.environment),
        ("ref", plan.immutable_ref.clone()),
        ("granted", list(plan.settled.granted.iter())),
        ("routes", routes.join(", ")),
        ("dropped", deployed.dropped.join(", ")),
    ]))?;
    if !plan.activate {
        output::note(
            "No route leads to it yet: deploy the same again without --activate=false to send new runs to it.",
        );
    } else if let Some(first) = routes.first() {
        let first = output::plain(first);
        let environment = plan.environment.as_ref().map(|name| format!(" --env {}", output::plain(name)));
        output::note(&match first.strip_prefix("agent/") {
            Some(agent) => format!("Try: bivouac chat {agent}{}", environment.unwrap_or_default()),
            None => format!("Try: bivouac run {first} --input '{{}}'"),
        });
    }
    Ok(())
}

fn show_plan(plan: &Plan, built: &Built, globals: &Globals) -> Result {
    let components: Vec<String> =
        built.manifest.components.iter().map(|component| format!("{}/{}", component.kind, component.name)).collect();
    let (granted, refused) = (strings(plan.settled.granted.iter()), strings(plan.settled.refused.iter()));
    if json(globals) {
        return output::say_json(&json!({
            "dry_run": true, "environment": plan.environment, "service": plan.service,
            "immutable_ref": plan.immutable_ref, "module": built.path, "size": built.bytes.len(),
            "sha256": built.sha256(), "components": components, "granted": granted, "not_granted": refused,
        }));
    }
    output::say("This would be deployed (nothing was sent):")?;
    output::say(&output::fields(&[
        ("service", plan.service.clone()),
        ("environment", plan.environment.clone().unwrap_or_else(|| "the key's".to_owned())),
        ("ref", plan.immutable_ref.clone()),
        ("module", format!("{} ({})", built.path.display(), output::size(built.bytes.len() as u64))),
        ("components", components.join(", ")),
        ("granted", granted.join(", ")),
        ("not granted", refused.join(", ")),
    ]))
}

fn strings<'a>(grants: impl Iterator<Item = &'a Grant>) -> Vec<String> {
    grants.map(ToString::to_string).collect()
}

fn list<'a>(grants: impl Iterator<Item = &'a Grant>) -> String {
    strings(grants).join(", ")
}
