//! `bivouac dev`: a server in this very process, and a project that is built and deployed at every save.
//!
//! The loop is: build, check, deploy, wait for a change. What fails is said and changes nothing: the deployment before it
//! goes on. The server is the one of `bivouac serve --dev`; the module goes to it over the route that everybody uses.

use super::{
    deploy::{Deployed, Plan, derived_ref},
    json, serve,
};
use crate::{
    cli::Globals,
    client::Client,
    connection::Connection,
    failure::{Exit, Failure, Result},
    grants::{self, Grant, GrantArgs},
    module::{self, Built, GUEST_DEV, Source},
    output::{self, Style},
    project::Project,
    server_config::{self, Options},
    stop::Stop,
    watch::Watch,
};
use bivouac_protocol::manifest::{Capabilities, ComponentKind};
use bivouac_server::{Config, Server};
use clap::Args;
use reqwest::Url;
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What is logged unless `RUST_LOG` says otherwise: the terminal belongs to the project.
const DEFAULT_LOG: &str = "warn";
/// How long whoever holds our port is asked what it is.
const PROBE: Duration = Duration::from_secs(2);

/// Serve a project while you write it
///
/// Starts a server with an embedded store, builds the project to WebAssembly, deploys it, and does so again at every
/// save. While a change does not compile, the deployment before it goes on. No key is needed from this
/// machine; of what the module asks for, memory and this machine's own addresses are granted, and whatever [grants] in
/// bivouac.toml lists. Runs are kept in the project's folder .bivouac and go on at the next start.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac dev                                    the project in this folder, on 127.0.0.1:7420
  bivouac dev examples/hello --listen 127.0.0.1:7421
  bivouac dev --grant host=api.example.com       besides what is granted anyway")]
pub(crate) struct DevArgs {
    /// The project's folder
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// The package to build, where the folder holds several [default: `package` in bivouac.toml]
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// Where to listen [default: 127.0.0.1:7420]
    #[arg(long, env = "BIVOUAC_LISTEN", hide_env = true, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where runs are kept [default: .bivouac in the project's folder]
    #[arg(long, env = "BIVOUAC_DATA", hide_env = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Grant something more that the module asks for: host=HOST or secret=NAME; repeatable
    #[arg(long, value_name = "GRANT")]
    grant: Vec<Grant>,
}

pub(crate) fn run(args: &DevArgs, globals: &Globals) -> Result {
    // What is wrong with the project itself is said before anything starts.
    let source = args.source()?;
    let config = args.config()?;
    serve::start_logging(config.log_format, DEFAULT_LOG);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the server did not start").why(error.to_string()))?;
    runtime.block_on(dev(args, config, &source, json(globals)))
}

impl DevArgs {
    fn source(&self) -> Result<Source> {
        let project = Project::find(&self.path)?;
        Source::find(&self.path, self.package.as_deref().or(project.package.as_deref()))
    }

    fn config(&self) -> Result<Config> {
        let mut options = Options::default();
        (options.listen, options.data, options.dev) = (self.listen, self.data.clone(), Some(true));
        let mut config = server_config::load(&options, None)?;
        if config.data == Config::default().data {
            config.data = self.path.join(&config.data);
        }
        Ok(config)
    }
}

async fn dev(args: &DevArgs, config: Config, source: &Source, json: bool) -> Result {
    let mut stop = Stop::new()?;
    let listen = config.listen;
    let data = config.data.clone();
    let server = match Server::start(config, Vec::new()).await {
        Ok(server) => server,
        Err(error) => return Err(not_started(&error, listen).await),
    };
    let told = Told { json, url: base(server.address()) };
    told.listening(source.name(), &data)?;
    let client = Client::new(Connection {
        server: told.url.clone(),
        server_from: "of this command".to_owned(),
        key: None,
        key_from: String::new(),
    })?;
    let mut project = Development { args, client, cache: data.join("cache"), first: true, last: None };
    let developed = tokio::select! {
        developed = project.develop(source, &told) => developed,
        () = stop.wait() => Ok(()),
    };
    if !json {
        output::note("\nStopping: runs that are under way go on at the next start (Ctrl-C again to stop at once).");
    }
    let stopped = tokio::select! {
        stopped = server.shutdown() => stopped,
        () = stop.wait() => return Err(Failure::silent(Exit::Interrupted)),
    };
    developed?;
    stopped.map_err(|error| Failure::failed("the server did not stop cleanly").why(format!("{error:#}")))
}

/// How the server is reached from this machine, also where it listens on all addresses.
fn base(address: SocketAddr) -> Url {
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Url::parse(&format!("http://{host}:{}", address.port())).expect("an address and a port are a URL")
}

/// Why it did not start. Who holds the port is asked: mostly it is an earlier `bivouac dev`.
async fn not_started(error: &anyhow::Error, listen: SocketAddr) -> Failure {
    let failure = serve::not_started(error, listen);
    if !serve::is_in_use(error) {
        return failure;
    }
    let url = base(listen);
    let free = SocketAddr::new(listen.ip(), listen.port().wrapping_add(1).max(1));
    let elsewhere = format!("bivouac dev --listen {free}");
    let asked = async { reqwest::get(url.join("health").ok()?).await.ok()?.json::<serde_json::Value>().await.ok() };
    let answered = tokio::time::timeout(PROBE, asked).await.ok().flatten();
    match answered.as_ref().filter(|health| health["status"] == "ok").and_then(|health| health["version"].as_str()) {
        Some(version) => failure
            .why(format!("another Bivouac server, version {}, listens on {listen} already", output::short(version, 20)))
            .hint(format!(
                "end that one (another `bivouac dev` or `bivouac serve`), or deploy to it: bivouac deploy --server {listen}\nor \
                 choose another address: {elsewhere}"
            )),
        None => failure.hint(format!("end that program, or choose another address: {elsewhere}")),
    }
}

/// The project, between one save and the next.
struct Development<'a> {
    args: &'a DevArgs,
    client: Client,
    /// Where the server keeps compiled modules.
    cache: PathBuf,
    first: bool,
    /// The ref of what is deployed.
    last: Option<String>,
}

/// What was deployed, and how long it took.
struct Step {
    built: Built,
    deployed: Deployed,
    refused: BTreeSet<Grant>,
    compiling: Duration,
    all: Duration,
}

impl Development<'_> {
    /// Builds and deploys, now and after every change.
    async fn develop(&mut self, source: &Source, told: &Told) -> Result {
        let mut watch = Watch::start(source.folders(), source.target_folder())?;
        loop {
            match self.step().await {
                Ok(Some(step)) => told.deployed(&step, self.first)?,
                Ok(None) => told.unchanged()?,
                Err(failure) => told.failed(&failure, self.last.is_some())?,
            }
            self.first = self.first && self.last.is_none();
            told.changed(&watch.changed().await?)?;
        }
    }

    /// Builds and deploys once; nothing where the module is the one that is deployed.
    async fn step(&mut self) -> Result<Option<Step>> {
        let began = Instant::now();
        // Read again: what changed may be the project's own description.
        let project = Project::find(&self.args.path)?;
        let source = self.args.source()?;
        let wasm = source.compile(&GUEST_DEV, !self.first).await?;
        let compiling = began.elapsed();
        let (name, cache) = (source.name().to_owned(), self.cache.clone());
        let inspected = tokio::task::spawn_blocking(move || module::inspect(wasm, name, Some(&cache))).await;
        let built =
            inspected.map_err(|error| Failure::failed("the module was not checked").why(error.to_string()))??;
        let plan = self.plan(&project, &built)?;
        if self.last.as_ref() == Some(&plan.immutable_ref) {
            return Ok(None);
        }
        let answer = plan.send(&self.client, &built).await?;
        let deployed = self.client.read(&answer, "the deployment cannot be shown")?;
        self.last = Some(plan.immutable_ref);
        Ok(Some(Step { built, deployed, refused: plan.settled.refused, compiling, all: began.elapsed() }))
    }

    fn plan(&self, project: &Project, built: &Built) -> Result<Plan> {
        let asked = grants::asked(&built.manifest.capabilities);
        let mut grant = self.args.grant.clone();
        grant.extend(harmless(&built.manifest.capabilities));
        let args = GrantArgs { grant, grant_all: false, partial: true };
        let settled = grants::settle(&asked, &args, &project.grants, None)?;
        Ok(Plan {
            environment: None,
            service: project.name.clone().unwrap_or_else(|| built.name.clone()),
            immutable_ref: derived_ref(built, &settled),
            settled,
            activate: true,
            // The server is this project's own, also under the name that it had before.
            replace_route_owners: true,
        })
    }
}

/// What is granted without being asked: what stays on this machine.
fn harmless(asked: &Capabilities) -> Vec<Grant> {
    let local = asked.hosts.iter().filter(|host| is_loopback(host)).cloned().map(Grant::Host);
    local.chain(asked.memory.then_some(Grant::Memory)).collect()
}

/// Whether a host, as a module asks for it, is this machine: `localhost:*`, `127.0.0.1:8080`, `[::1]`.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What is told to a person, or to a program in lines of JSON.
struct Told {
    json: bool,
    url: Url,
}

impl Told {
    fn listening(&self, name: &str, data: &Path) -> Result {
        if self.json {
            return output::say_json(&json!({"event": "listening", "url": self.address(), "data": data}));
        }
        let style = Style::stdout();
        output::say(&format!(
            "{} on {}, runs are kept in {}",
            style.bold(&output::plain(name)),
            style.bold(self.address()),
            data.display()
        ))
    }

    fn changed(&self, files: &BTreeSet<PathBuf>) -> Result {
        let here = std::env::current_dir().unwrap_or_default();
        let shown: Vec<String> =
            files.iter().map(|file| file.strip_prefix(&here).unwrap_or(file).display().to_string()).collect();
        if self.json {
            return output::say_json(&json!({"event": "changed", "files": shown}));
        }
        let first = shown.first().map(String::as_str).unwrap_or_default();
        let more = if shown.len() > 1 { format!(" and {} more", shown.len() - 1) } else { String::new() };
        output::note(&Style::stderr().dim(&format!("{}{more} changed", output::plain(first))));
        Ok(())
    }

    fn deployed(&self, step: &Step, first: bool) -> Result {
        for grant in &step.refused {
            output::warn(&format!(
                "not granted: {grant}: {}; list it under [grants] in bivouac.toml, or give --grant {grant}",
                grant.without()
            ));
        }
        if self.json {
            let routes: Vec<&str> = step.deployed.routes.iter().map(|route| route.component.as_str()).collect();
            return output::say_json(&json!({
                "event": "deployed", "deployment_id": step.deployed.deployment_id, "existing": step.deployed.existing,
                "components": routes, "size": step.built.bytes.len(), "build_ms": step.compiling.as_millis(),
                "total_ms": step.all.as_millis(),
            }));
        }
        let style = Style::stdout();
        let verb = if first { "deployed" } else { "deployed again" };
        output::say(&format!(
            "{} {verb} in {} {}",
            style.green("ok"),
            seconds(step.all),
            style.dim(&format!(
                "(built in {}, {}, {})",
                seconds(step.compiling),
                output::size(step.built.bytes.len() as u64),
                output::plain(&step.deployed.deployment_id)
            ))
        ))?;
        if !step.deployed.dropped.is_empty() {
            output::note(&format!("no longer there: {}", output::plain(&step.deployed.dropped.join(", "))));
        }
        if first { self.ways_on(step) } else { Ok(()) }
    }

    /// Where everything is, and what can be tried.
    fn ways_on(&self, step: &Step) -> Result {
        let style = Style::stdout();
        let server = match self.address() {
            crate::connection::DEFAULT_SERVER => String::new(),
            address => format!(" --server {address}"),
        };
        let mut tries = Vec::new();
        for component in &step.built.manifest.components {
            let name = output::plain(&component.name);
            match component.kind {
                ComponentKind::Agent => {
                    output::say(&format!(
                        "  agent {}: {}/agents/{name}/.well-known/agent-card.json",
                        style.bold(&name),
                        self.address()
                    ))?;
                    tries.push(format!("bivouac chat {name}{server}"));
                }
                kind => {
                    output::say(&format!("  {kind} {}", style.bold(&name)))?;
                    tries.push(format!("bivouac run {kind}/{name}{server} --input '{{}}'"));
                }
            }
        }
        output::say(&format!("\nTry it from another terminal:\n  {}", tries.join("\n  ")))?;
        output::note(&style.dim("Every save builds and deploys again; Ctrl-C ends it."));
        Ok(())
    }

    fn unchanged(&self) -> Result {
        if self.json {
            return output::say_json(&json!({"event": "unchanged"}));
        }
        output::note(&Style::stderr().dim("the module is the same; nothing was deployed"));
        Ok(())
    }

    fn failed(&self, failure: &Failure, deployed: bool) -> Result {
        if self.json {
            output::say_json(&json!({
                "event": "failed", "error": failure.line(), "hint": failure.hint_text(), "error_code": failure.code_text(),
            }))?;
        }
        failure.show(None);
        output::note(if deployed {
            "The deployment before it goes on; waiting for a change."
        } else {
            "Nothing is deployed yet; waiting for a change."
        });
        Ok(())
    }

    /// The server's address without the slash that a URL ends with.
    fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_granted_unasked() {
        for host in ["localhost", "localhost:*", "127.0.0.1:8080", "127.8.8.8", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.com", "localhost.example.com:80", "*", "10.0.0.1:80", "*.localhost", "[2001:db8::1]:80"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_on_this_machine() {
        assert_eq!(base("0.0.0.0:7420".parse().unwrap()).as_str(), "http://127.0.0.1:7420/");
        assert_eq!(base("[::1]:1".parse().unwrap()).as_str(), "http://[::1]:1/");
    }
}
