//! Which agent a request is for and who asks; and the one place where a task is looked up.
//!
//! Environment, agent, sub-tenant and user are decided here, before anything is read. A task that belongs to another of
//! any of them does not exist for the caller, in the same words as one that never was.

use super::refusal;
use crate::{
    deployments::Deployment,
    http::{
        ApiError, Shared,
        auth::{Caller, Scope},
        begin::{MAX_IDENTITY, tenant, text_header},
    },
};
use axum::http::{HeaderMap, header};
use bivouac_a2a::{A2aError, ErrorKind};
use bivouac_protocol::{
    RunId,
    manifest::{Component, ComponentKind, ComponentRef},
};
use bivouac_store::{RunRecord, TaskFilter};
use std::{net::IpAddr, sync::Arc};

/// Where a request goes: an agent, and the environment if the path names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path that the agent's paths begin with, without a slash at its end.
    pub(super) base: String,
    pub(super) environment: Option<String>,
    pub(super) agent: String,
}

impl Place {
    /// The agent that a path lies below. Names need no decoding: they are letters, digits, `_`, `-` and `.`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').take(6).collect();
        let (environment, agent, length) = match *segments {
            ["", "agents", agent, _, ..] => (None, agent, "/agents/".len() + agent.len()),
            ["", "envs", environment, "agents", agent, _, ..] => {
                (Some(environment.to_owned()), agent, "/envs//agents/".len() + environment.len() + agent.len())
            }
            _ => return None,
        };
        Some(Self { base: path[..length].to_owned(), environment, agent: agent.to_owned() })
    }

    /// An agent of an environment, as the catalog names it.
    pub(super) fn of_agent(app: &Shared, environment: &str, agent: &str) -> Self {
        let public = environment == app.config.public_environment;
        let base = if public { format!("/agents/{agent}") } else { format!("/envs/{environment}/agents/{agent}") };
        Self { base, environment: (!public).then(|| environment.to_owned()), agent: agent.to_owned() }
    }
}

/// An agent, and the caller whose tasks of it are seen.
pub(super) struct Agent {
    pub(super) environment: String,
    pub(super) component: ComponentRef,
    pub(super) deployment: Arc<Deployment>,
    pub(super) tenant: String,
    pub(super) user: String,
    /// Where it is spoken to.
    pub(super) base_url: String,
    /// Whether callers have to show a key.
    pub(super) keyed: bool,
}

impl Agent {
    /// The agent that a caller asks for, where it is deployed in an environment of the caller's.
    pub(super) fn find(app: &Shared, place: &Place, caller: &Caller, headers: &HeaderMap) -> Result<Self, A2aError> {
        let environment = place.environment.as_deref().unwrap_or_else(|| caller.environment());
        let user = match text_header(headers, "x-user-id", MAX_IDENTITY)? {
            Some(user) if user != caller.user() => {
                caller.require(&[Scope::Impersonate])?;
                user
            }
            _ => caller.user(),
        };
        let tenant = tenant(headers)?.unwrap_or_default();
        let here = environment == caller.environment() || caller.has(Scope::Admin);
        let component = agent_ref(&place.agent);
        let deployment = if here { deployed(app, environment, &component)? } else { None };
        let deployment = deployment.ok_or_else(|| {
            let message = format!("there is no agent `{}` that you may speak to", shown(&place.agent));
            A2aError::new(ErrorKind::MethodNotFound, message)
        })?;
        Ok(Self {
            environment: environment.to_owned(),
            component,
            deployment,
            tenant: tenant.to_owned(),
            user: user.to_owned(),
            base_url: format!("{}{}", origin(app, headers), place.base),
            keyed: !app.config.dev,
        })
    }

    /// What the agent says of itself.
    pub(super) fn described(&self) -> Result<&Component, A2aError> {
        let components = &self.deployment.manifest.components;
        let named =
            |component: &&Component| component.kind == self.component.kind && component.name == self.component.name;
        components.iter().find(named).ok_or_else(|| {
            A2aError::new(ErrorKind::Internal, "the agent's deployment does not offer it any more: deploy it again")
        })
    }

    /// A task of this agent and this caller: every lookup of a task goes through here.
    pub(super) fn task(&self, app: &Shared, id: &str) -> Result<RunRecord, A2aError> {
        let found = match id.parse::<RunId>() {
            Ok(id) => app.driver.reader().run(id).map_err(refusal::store)?,
            Err(_) => None,
        };
        found.filter(|run| self.owned().takes(run)).ok_or_else(|| A2aError::task_not_found(id))
    }

    /// All tasks of this agent and this caller.
    pub(super) fn owned(&self) -> TaskFilter {
        TaskFilter {
            environment: self.environment.clone(),
            component: self.component.to_string(),
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            ..TaskFilter::default()
        }
    }
}

pub(super) fn agent_ref(name: &str) -> ComponentRef {
    ComponentRef { kind: ComponentKind::Agent, name: name.to_owned() }
}

/// The deployment that offers an agent in an environment.
pub(super) fn deployed(
    app: &Shared,
    environment: &str,
    component: &ComponentRef,
) -> Result<Option<Arc<Deployment>>, ApiError> {
    let routed = app.deployments.route(&app.driver, environment, component)?;
    if routed.is_some() || !app.deployments.routes(environment).is_empty() {
        return Ok(routed);
    }
    // An environment that this process has not worked in yet.
    app.deployments.read_routes(&app.driver, environment)?;
    Ok(app.deployments.route(&app.driver, environment, component)?)
}

/// The names of an environment's agents, in order.
pub(super) fn agents(app: &Shared, environment: &str) -> Vec<String> {
    let routes = app.deployments.routes(environment);
    routes.iter().filter_map(|route| route.component.strip_prefix("agent/")).map(str::to_owned).collect()
}

/// The context that a task belongs to. A run that was started without a session is a context of its own.
pub(super) fn context(run: &RunRecord) -> String {
    if run.session.is_empty() { run.id.to_string() } else { run.session.clone() }
}

/// Where the server is reached: as configured; in development as it was asked; else where it listens.
pub(super) fn origin(app: &Shared, headers: &HeaderMap) -> String {
    if let Some(origin) = &app.config.public_origin {
        return origin.trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    if let Some(host) = host.filter(|_| app.config.dev) {
        return format!("http://{host}");
    }
    let listen = app.config.listen;
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("http://localhost:{}", listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("http://localhost:{}", listen.port()),
        _ => format!("http://{listen}"),
    }
}

fn is_host(host: &str) -> bool {
    host.len() <= 255 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b))
}

fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_agent_and_perhaps_an_environment() {
        let place = Place::of_path("/agents/planner/a2a/jsonrpc").unwrap();
        assert_eq!((&*place.base, &place.environment, &*place.agent), ("/agents/planner", &None, "planner"));
        let place = Place::of_path("/envs/staging/agents/planner/.well-known/agent-card.json").unwrap();
        assert_eq!(place.base, "/envs/staging/agents/planner");
        assert_eq!((place.environment.as_deref(), &*place.agent), (Some("staging"), "planner"));
        for other in ["/agents/planner", "/agents", "/envs/a/agents/b", "/v1/runs/x/y", ""] {
            assert_eq!(Place::of_path(other), None, "{other}");
        }
    }

    #[test]
    fn what_could_not_stand_in_a_url_is_no_host() {
        assert!(is_host("localhost:7420") && is_host("[::1]:7420"));
        for host in ["a b", "a/b", "a\"b", "a@b"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
