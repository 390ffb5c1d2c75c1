//! How a run begins: what a request that starts one must bring, and what the run is then pinned to.
//!
//! Everything a run starts with is put together in one function, [`accept`]: the environment and the user come from the
//! key, the application and the deployment from the route, the input from the body as it came. The rest is refused here,
//! before anything is written.

use crate::{
    deployments::Deployment,
    driver::{Driver, Progress, StartError, Started},
    http::{
        ApiError, App, Shared,
        auth::{Caller, Scope, is_name},
        body, suggest,
    },
};
use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use bivouac_engine::Accepted;
use bivouac_protocol::{
    Code, DeploymentId, RunId,
    key::Digest,
    manifest::{ComponentKind, ComponentRef},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The longest that `run` waits: a day.
pub(crate) const MAX_WAIT_MS: u64 = 86_400_000;
/// The longest idempotency key, in bytes.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 255;
/// What idempotency keys begin with that are made of an A2A message's id; nobody else may take one.
pub(crate) const MESSAGE_KEY_PREFIX: &str = "a2a:";
/// The longest user or session, in bytes.
pub(crate) const MAX_IDENTITY: usize = 256;
/// The most bytes of metadata that a caller may send along: 16 KiB.
pub(crate) const MAX_METADATA: usize = 16 << 10;

/// Under which name a session is kept in a run's metadata.
pub(crate) use bivouac_store::METADATA_SESSION;

/// What comes with a start.
pub(crate) type Metadata = BTreeMap<String, String>;

/// Follows a run as long as it lives, and leaves no bell behind.
pub(crate) struct Following {
    driver: Driver,
    id: RunId,
    bell: Option<watch::Receiver<Progress>>,
}

impl Following {
    pub(crate) fn new(driver: &Driver, id: RunId) -> Self {
        Self { driver: driver.clone(), id, bell: Some(driver.follow(id)) }
    }

    pub(crate) fn bell(&mut self) -> &mut watch::Receiver<Progress> {
        self.bell.as_mut().expect("the bell is there until the follower is dropped")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.bell = None;
        self.driver.forget(self.id);
    }
}

/// A start that was read, and what its answers say of it.
pub(crate) struct Begun {
    pub(crate) started: Started,
    pub(crate) following: Following,
    pub(crate) component: ComponentRef,
}

/// Reads a request that starts a run, and starts it. Whoever is returned follows the run from before its first event.
pub(crate) async fn begin(
    app: &App,
    (types, name): (String, String),
    request: Request,
    may_wrap: bool,
) -> Result<Begun, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = app.keys.caller(&parts.headers, &parts.extensions, app.config.dev)?;
    caller.require(&[Scope::Run])?;
    let body = body::read(
        &parts.headers,
        body,
        app.config.max_body,
        "the body",
        "keep large data elsewhere and pass a reference to it, or let the operator raise max_body",
    )
    .await?;
    let (component, deployment) = deployment(app, &caller, &types, name, &parts.headers)?;
    let mut input = body::json(&body)?;
    let mut metadata = Metadata::new();
    if may_wrap && let Some((inner, sent)) = unwrap(&input) {
        (input, metadata) = (inner, sent);
    }
    let accepted = accept(app, &caller, &parts.headers, &component, &deployment, input, metadata)?;
    if app.is_stopping() {
        return Err(StartError::ShuttingDown.into());
    }
    let id = app.driver.new_run_id().map_err(|error| ApiError::internal("making a run's id", &error))?;
    let following = Following::new(&app.driver, id);
    let started = app.driver.start(id, accepted).await?;
    let following = if started.id == id { following } else { Following::new(&app.driver, started.id) };
    Ok(Begun { started, following, component })
}

/// Everything that a run starts with: who runs what, with which input, pinned to which deployment.
fn accept(
    app: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    component: &ComponentRef,
    deployment: &Deployment,
    input: Bytes,
    mut metadata: Metadata,
) -> Result<Accepted, ApiError> {
    let tenant = tenant(headers)?.unwrap_or_default();
    let user = match text_header(headers, "x-user-id", MAX_IDENTITY)? {
        Some(user) if user != caller.user() => {
            caller.require(&[Scope::Impersonate])?;
            user
        }
        _ => caller.user(),
    };
    if let Some(session) = text_header(headers, "x-session-id", MAX_IDENTITY)? {
        metadata.insert(METADATA_SESSION.to_owned(), session.to_owned());
    }
    let metadata = if metadata.is_empty() {
        Bytes::new()
    } else {
        Bytes::from(serde_json::to_vec(&metadata).expect("texts are written to memory"))
    };
    if metadata.len() > MAX_METADATA {
        return Err(ApiError::bad_request(format!(
            "the metadata has {} bytes, {MAX_METADATA} are allowed: put data into the input",
            metadata.len()
        )));
    }
    let name = component.to_string();
    let key = text_header(headers, "idempotency-key", MAX_IDEMPOTENCY_KEY)?;
    if key.is_some_and(|key| key.starts_with(MESSAGE_KEY_PREFIX)) {
        return Err(ApiError::bad_request(format!(
            "an Idempotency-Key may not begin with `{MESSAGE_KEY_PREFIX}`, which messages to agents use: choose another"
        )));
    }
    let idempotency =
        key.map(|key| (key.into(), Digest::of([name.as_bytes(), tenant.as_bytes(), user.as_bytes(), &input])));
    let manifest = &deployment.manifest;
    let offered = manifest.components.iter().find(|c| c.kind == component.kind && c.name == component.name);
    Ok(Accepted {
        environment: caller.environment().into(),
        tenant: tenant.into(),
        app: deployment.record.service.as_str().into(),
        user: user.into(),
        deployment: deployment.record.id,
        component: name.into(),
        idempotency,
        input,
        metadata,
        seed: app.secrets.new_seed()?.into(),
        patches: manifest.patches.iter().map(|patch| patch.as_str().into()).collect(),
        retries: offered.and_then(|component| component.flow_control.retries),
    })
}

/// The component that a path names, and the deployment that a new run of it is pinned to.
fn deployment(
    app: &Shared,
    caller: &Caller,
    types: &str,
    name: String,
    headers: &HeaderMap,
) -> Result<(ComponentRef, Arc<Deployment>), ApiError> {
    let environment = caller.environment();
    let Some(kind) = ComponentKind::parse(types) else {
        return Err(unknown_component(app, environment, &format!("{}/{name}", types.trim_end_matches('s'))));
    };
    let component = ComponentRef { kind, name };
    let mut routed = app.deployments.route(&app.driver, environment, &component)?;
    if routed.is_none() && app.deployments.routes(environment).is_empty() {
        // An environment that this process has not worked in yet.
        app.deployments.read_routes(&app.driver, environment)?;
        routed = app.deployments.route(&app.driver, environment, &component)?;
    }
    let routed = routed.ok_or_else(|| unknown_component(app, environment, &component.to_string()))?;
    let Some(wanted) = text_header(headers, "x-deployment-id", MAX_IDENTITY)? else { return Ok((component, routed)) };
    let wanted = wanted
        .parse::<DeploymentId>()
        .map_err(|error| ApiError::bad_request(format!("the header X-Deployment-ID: {error}")))?;
    if wanted == routed.record.id {
        return Ok((component, routed));
    }
    let pinned = app.deployments.load(&app.driver, wanted)?;
    // Only the service that owns the route here may be asked for by version: others were not let in.
    let offers = pinned.manifest.components.iter().any(|c| c.kind == component.kind && c.name == component.name);
    if pinned.record.service != routed.record.service || !offers {
        return Err(ApiError::not_found(format!(
            "deployment {wanted} offers no {component} here: the route belongs to the service {}; leave the header X-Deployment-ID out to use its current deployment",
            routed.record.service
        )));
    }
    Ok((component, pinned))
}

fn unknown_component(app: &Shared, environment: &str, wanted: &str) -> ApiError {
    const LISTED: usize = 20;
    let wanted: String = wanted.chars().take(128).collect();
    let routes = app.deployments.routes(environment);
    let names = || routes.iter().map(|route| route.component.as_str());
    let message = if routes.is_empty() {
        format!(
            "there is no {wanted}: nothing is deployed in the environment {environment}; deploy a module with `bivouac deploy`"
        )
    } else {
        let meant = suggest::nearest(&wanted, names()).map(|name| format!("; did you mean {name}?"));
        let mut list = names().take(LISTED).collect::<Vec<_>>().join(", ");
        if routes.len() > LISTED {
            list.push_str(&format!(" and {} more", routes.len() - LISTED));
        }
        format!(
            "there is no {wanted} in the environment {environment}{}. Deployed there: {list}",
            meant.unwrap_or_default()
        )
    };
    ApiError::new(StatusCode::NOT_FOUND, Code::COMPONENT_NOT_FOUND, message)
}

/// Some clients wrap the input of `submit` to send metadata along: `{"input":..,"metadata":{..}}`, and nothing else. An
/// input that has exactly this form is taken for that.
fn unwrap(body: &Bytes) -> Option<(Bytes, Metadata)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        input: &'a RawValue,
        #[serde(borrow)]
        metadata: BTreeMap<String, &'a RawValue>,
    }
    if !body.starts_with(b"{") {
        return None;
    }
    let wrapped: Wrapped<'_> = serde_json::from_slice(body).ok()?;
    let text = |value: &RawValue| serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
    let metadata = wrapped.metadata.into_iter().map(|(name, value)| (name, text(value))).collect();
    Some((body.slice_ref(wrapped.input.get().as_bytes()), metadata))
}

pub(crate) fn wait_limit(headers: &HeaderMap, default_ms: u64) -> Result<Duration, ApiError> {
    let Some(value) = headers.get("x-agnt5-wait-timeout-ms") else { return Ok(Duration::from_millis(default_ms)) };
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|ms| *ms <= MAX_WAIT_MS)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            ApiError::bad_request(format!(
                "the header X-AGNT5-Wait-Timeout-Ms is not a whole number of milliseconds from 0 to {MAX_WAIT_MS}"
            ))
        })
}

/// A header that is a text of a limited length; an empty one is none.
pub(crate) fn text_header<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
    limit: usize,
) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok("") => Ok(None),
        Ok(text) if text.len() <= limit => Ok(Some(text)),
        Ok(text) => {
            Err(ApiError::bad_request(format!("the header {name} has {} bytes, {limit} are allowed", text.len())))
        }
        Err(_) => Err(ApiError::bad_request(format!("the header {name} is not UTF-8"))),
    }
}

/// The sub-tenant that a request is about.
pub(crate) fn tenant(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    match text_header(headers, "x-tenant-id", MAX_IDENTITY)? {
        Some(tenant) if !is_name(tenant) => {
            Err(ApiError::bad_request("the header X-Tenant-ID is no tenant: 1 to 64 letters, digits, `-` and `_`"))
        }
        tenant => Ok(tenant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_input_of_exactly_the_wrapped_form_is_unwrapped() {
        let body = Bytes::from_static(br#"{"input":{"n": 1},"metadata":{"a":"x","b":2}}"#);
        let (input, metadata) = unwrap(&body).unwrap();
        assert_eq!(input, r#"{"n": 1}"#);
        assert_eq!(metadata, Metadata::from([("a".into(), "x".into()), ("b".into(), "2".into())]));
        for other in [r#"{"input":1}"#, r#"{"input":1,"metadata":{},"x":2}"#, r#"{"input":1,"metadata":3}"#, "[]"] {
            assert!(unwrap(&Bytes::from(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn the_wait_is_a_whole_number_of_milliseconds_up_to_a_day() {
        let headers =
            |value: &str| HeaderMap::from_iter([("x-agnt5-wait-timeout-ms".parse().unwrap(), value.parse().unwrap())]);
        assert_eq!(wait_limit(&HeaderMap::new(), 7).unwrap(), Duration::from_millis(7));
        assert_eq!(wait_limit(&headers("0"), 7).unwrap(), Duration::ZERO);
        for bad in ["-1", "1.5", "86400001", "soon", ""] {
            assert!(wait_limit(&headers(bad), 7).is_err(), "{bad}");
        }
    }
}
