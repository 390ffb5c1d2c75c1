//! Runs over HTTP: starting them, waiting for them, what became of them, ending them.
//!
//! A body is the component's input itself, one JSON value, kept as the bytes that came; no body means `null`. A run that
//! failed is answered with 200: the request did what it should, and the run object says `"status":"failed"` with
//! `"status_code":500` and the error. What is acknowledged is on disk. A key sees the runs of its environment, and with
//! `X-Tenant-ID` only those of that tenant; all others do not exist for it.

use crate::{
    deployments::Deployment,
    driver::{Driver, Progress, Started, now},
    http::{AboutRun, ApiError, App, Phase, Shared, auth::Caller, auth::Scope, auth::is_name, body, object::Object, suggest},
};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bivouac_engine::{Accepted, End, Event, Status, Timestamp};
use bivouac_protocol::{
    Code, DeploymentId, RunId,
    frame::CancelMode,
    key::Digest,
    manifest::{ComponentKind, ComponentRef},
};
use bivouac_store::RunRecord;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The longest that `run` waits: a day.
pub const MAX_WAIT_MS: u64 = 86_400_000;
/// The longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;
/// The longest user or session, in bytes.
pub const MAX_IDENTITY: usize = 256;
/// The most bytes of metadata that a caller may send along: 16 KiB.
pub const MAX_METADATA: usize = 16 << 10;
/// The longest reason for a cancel, in bytes.
pub const MAX_REASON: usize = 1_024;

const METADATA_SESSION: &str = "session_id";

/// What comes with a start.
type Metadata = BTreeMap<String, String>;

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

/// `POST /v1/{types}/{name}/run`: starts a run and waits for its end.
pub(crate) async fn run(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let wait = wait_limit(request.headers(), app.config.run_wait_ms)?;
    let Begun { started, mut following, component } = begin(&app, path?.0, request, false).await?;
    let id = started.id;
    let wait = async {
        if started.existing {
            // It may have ended before anybody followed it.
            return app.driver.wait(id, following.bell().clone(), wait).await;
        }
        let ended = tokio::time::timeout(wait, following.bell().wait_for(|progress| progress.end.is_some())).await;
        match ended {
            Ok(Ok(progress)) => Ok(progress.end.as_deref().cloned()),
            Ok(Err(_)) => app.driver.end_of(id),
            Err(_) => Ok(None),
        }
    };
    let end = tokio::select! {
        biased;
        end = wait => end?,
        () = app.lifecycle.stopping() => None,
    };
    match end {
        Some(end) => {
            // One that was there before may have ended a while ago.
            let before = if started.existing { app.driver.reader().run(id)?.and_then(|run| run.ended) } else { None };
            let mut object = head(id, end_status(&end), &component);
            write_end(&mut object, &end);
            write_times(&mut object, Timestamp(id.accepted_ms()), before.unwrap_or_else(now), &end);
            Ok(about(id, StatusCode::OK, object.finish()))
        }
        None => {
            let status = app.driver.reader().run(id)?.map_or("running", |run| shown(&run));
            let mut object = head(id, status, &component);
            object.time("created_at", Timestamp(id.accepted_ms())).raw("links", &links(id));
            Ok(about(id, StatusCode::ACCEPTED, object.finish()))
        }
    }
}

/// `POST /v1/{types}/{name}/submit`: starts a run and does not wait.
pub(crate) async fn submit(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let Begun { started, component, .. } = begin(&app, path?.0, request, true).await?;
    let mut object = Object::new();
    object.id("run_id", started.id).put("status", "enqueued").raw("status_code", b"202");
    object.put("component", &component.name).put("component_type", component.kind.as_str());
    object.time("created_at", Timestamp(started.id.accepted_ms())).put("existing", &started.existing);
    object.raw("links", &links(started.id));
    Ok(about(started.id, StatusCode::ACCEPTED, object.finish()))
}

/// Reads a request that starts a run, and starts it. Whoever is returned follows the run from before its first event.
pub(crate) async fn begin(
    app: &App,
    (types, name): (String, String),
    request: Request,
    may_wrap: bool,
) -> Result<Begun, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = app.keys.caller(&parts.headers, &parts.extensions)?;
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
    if app.lifecycle.phase() == Phase::Stopping {
        return Err(crate::driver::StartError::ShuttingDown.into());
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
    let idempotency = text_header(headers, "idempotency-key", MAX_IDEMPOTENCY_KEY)?
        .map(|key| (key.into(), Digest::of([name.as_bytes(), tenant.as_bytes(), user.as_bytes(), &input])));
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

fn wait_limit(headers: &HeaderMap, default_ms: u64) -> Result<Duration, ApiError> {
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
fn text_header<'a>(headers: &'a HeaderMap, name: &'static str, limit: usize) -> Result<Option<&'a str>, ApiError> {
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

/// A run that the caller may see.
pub(crate) fn find_run(app: &Shared, caller: &Caller, headers: &HeaderMap, id: &str) -> Result<RunRecord, ApiError> {
    caller.require(&[Scope::Run, Scope::Read])?;
    visible_run(app, caller, headers, id)
}

fn visible_run(app: &Shared, caller: &Caller, headers: &HeaderMap, id: &str) -> Result<RunRecord, ApiError> {
    let id: RunId = id.parse().map_err(|error| ApiError::not_found(format!("there is no such run: {error}")))?;
    let unknown = || {
        ApiError::not_found(format!("there is no run {id} in the environment {}", caller.environment())).about(id, None)
    };
    let run = app.driver.reader().run(id)?.filter(|run| run.environment == caller.environment()).ok_or_else(unknown)?;
    if tenant(headers)?.is_some_and(|tenant| tenant != run.tenant) {
        return Err(unknown());
    }
    Ok(run)
}

/// A status as clients know it. On disk, a run stays `queued` while its first slice executes; its further events tell.
pub(crate) fn shown(run: &RunRecord) -> &'static str {
    match run.status {
        Status::Queued if run.last_seq <= 1 => "queued",
        Status::Queued | Status::Running => "running",
        Status::BackingOff => "retry_delayed",
        Status::Waiting | Status::Paused => "paused",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

const fn end_status(end: &End) -> &'static str {
    match end {
        End::Completed { .. } => "completed",
        End::Failed { .. } => "failed",
        End::Cancelled { .. } => "cancelled",
    }
}

/// 200 completed, 500 failed or cancelled, 202 anything unfinished. Clients that do not get it derive it wrongly.
fn status_code(status: &str) -> u16 {
    match status {
        "completed" => 200,
        "failed" | "cancelled" => 500,
        _ => 202,
    }
}

fn head(id: RunId, status: &'static str, component: &ComponentRef) -> Object {
    let mut object = Object::with_capacity(512);
    object.id("run_id", id).put("status", status).put("status_code", &status_code(status));
    object.put("component", &component.name).put("component_type", component.kind.as_str());
    object
}

fn write_end(object: &mut Object, end: &End) {
    let mut error = |code: &str, message: &str, retryable: bool| {
        let details = Object::new().put("code", code).put("message", message).put("retryable", &retryable).finish();
        object.raw("output", b"null").raw("error", &details).put("error_code", code).put("error_message", message);
    };
    match end {
        End::Completed { output } => {
            object.raw("output", output);
        }
        End::Failed { error: info } => error(info.code.as_str(), &info.message, info.retryable),
        End::Cancelled { reason } => {
            error(Code::CANCELLED.as_str(), &format!("the run was cancelled: {reason}"), false)
        }
    }
}

fn write_times(object: &mut Object, created: Timestamp, ended: Timestamp, end: &End) {
    let name = if matches!(end, End::Completed { .. }) { "completed_at" } else { "failed_at" };
    object.time("created_at", created).time(name, ended);
    object.put("duration_ms", &ended.0.saturating_sub(created.0));
}

fn links(id: RunId) -> Vec<u8> {
    Object::new().id("self", format_args!("/v1/runs/{id}")).id("events", format_args!("/v1/runs/{id}/events")).finish()
}

/// A run as lists show it: without payloads.
pub(crate) fn summary(run: &RunRecord) -> Object {
    let (kind, name) = run.component.split_once('/').unwrap_or(("", &run.component));
    let status = shown(run);
    let mut object = Object::with_capacity(512);
    object.id("run_id", run.id).put("status", status).put("status_code", &status_code(status));
    object.put("component", name).put("component_type", kind);
    object.id("deployment_id", run.deployment).put("environment", &run.environment);
    object.maybe("tenant_id", (!run.tenant.is_empty()).then_some(&run.tenant)).time("created_at", run.created);
    if let Some(ended) = run.ended {
        let name = if run.status == Status::Completed { "completed_at" } else { "failed_at" };
        object.time(name, ended).put("duration_ms", &ended.0.saturating_sub(run.created.0));
    }
    if let (Status::Waiting | Status::BackingOff, Some(wake)) = (run.status, run.wake) {
        object.put("waits_for", if run.status == Status::Waiting { "timer" } else { "retry" });
        object.time("waits_until", wake);
    }
    object
}

/// `GET /v1/status/{id}`: how far a run is.
pub(crate) async fn status(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let mut object = summary(&run);
    if let Some(end @ (End::Failed { .. } | End::Cancelled { .. })) = app.driver.end_of(run.id)? {
        write_end(&mut object, &end);
    }
    Ok(about(run.id, StatusCode::OK, object.finish()))
}

/// `GET /v1/result/{id}`: what a run ended with; 404 while it has not.
pub(crate) async fn result(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let end = finished(&app, &run)?;
    let mut object = summary(&run);
    write_end(&mut object, &end);
    Ok(about(run.id, StatusCode::OK, object.finish()))
}

/// `GET /v1/runs/{id}/output`: the output alone; 404 while there is none.
pub(crate) async fn output(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let end = finished(&app, &run)?;
    let status = end_status(&end);
    let mut object = Object::new();
    object.id("run_id", run.id).put("status", status).put("status_code", &status_code(status));
    write_end(&mut object, &end);
    Ok(about(run.id, StatusCode::OK, object.finish()))
}

fn finished(app: &Shared, run: &RunRecord) -> Result<End, ApiError> {
    app.driver.end_of(run.id)?.ok_or_else(|| {
        let status = shown(run);
        ApiError::new(
            StatusCode::NOT_FOUND,
            Code::RUN_NOT_FINISHED,
            format!(
                "{} has not ended yet: it is {status}; ask again later, or follow it at /v1/runs/{}/stream",
                run.id, run.id
            ),
        )
        .about(run.id, Some(status))
    })
}

/// `GET /v1/runs/{id}`: everything that is known of a run besides its events.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let mut object = summary(&run);
    let first = app.driver.reader().events(run.id, 0, 1)?.into_iter().next();
    if let Some(Event::Accepted(accepted)) = first.map(|stored| stored.event) {
        let metadata: Metadata = serde_json::from_slice(&accepted.metadata).unwrap_or_default();
        object.maybe("session_id", metadata.get(METADATA_SESSION)).put("metadata", &metadata);
        object.put("service", &*accepted.app).put("user_id", &*accepted.user).raw("input", &accepted.input);
        object.maybe("idempotency_key", accepted.idempotency.as_ref().map(|(key, _)| &**key));
    }
    match app.driver.end_of(run.id)? {
        Some(end) => write_end(&mut object, &end),
        None if run.status == Status::Paused => {
            let last = app.driver.reader().events(run.id, run.last_seq.saturating_sub(1), 1)?;
            if let Some(Event::Paused { error }) = last.into_iter().next().map(|stored| stored.event) {
                object.put("error_code", error.code.as_str()).put("error_message", &error.message);
            }
        }
        None => {}
    }
    object.put("events", &run.last_seq).raw("links", &links(run.id));
    Ok(about(run.id, StatusCode::OK, object.finish()))
}

/// What a cancel says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    reason: Option<String>,
    mode: Option<CancelMode>,
    grace_ms: Option<u64>,
}

/// `POST /v1/runs/{id}/cancel`: asks for a run's end.
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Workflow])?;
    let run = visible_run(&app, &caller, &headers, &id?)?;
    let body =
        body::read(&headers, request.into_body(), body::MAX_CONTROL_BODY, "the body", "shorten the reason").await?;
    let wish: CancelBody = if body.is_empty() {
        CancelBody::default()
    } else {
        body::parse(&body, r#"{"reason":"...","mode":"grace","grace_ms":30000}"#, false)?
    };
    let reason = wish.reason.unwrap_or_else(|| "manual".to_owned());
    if reason.len() > MAX_REASON {
        return Err(ApiError::bad_request(format!("the reason has {} bytes, {MAX_REASON} are allowed", reason.len())));
    }
    if wish.grace_ms.is_some_and(|ms| ms > crate::driver::MAX_GRACE_MS) {
        return Err(ApiError::bad_request(format!("grace_ms may be at most {}", crate::driver::MAX_GRACE_MS)));
    }
    let mode = wish.mode.unwrap_or(CancelMode::Grace);
    let grace_ms = wish.grace_ms.unwrap_or(crate::driver::DEFAULT_GRACE_MS);
    let refused = |error| ApiError::from(error).about(run.id, Some(shown(&run)));
    app.driver.cancel(run.id, mode, reason, grace_ms).await.map_err(refused)?;
    tracing::info!(run_id = %run.id, key = caller.key(), "cancel requested");
    let status = app.driver.reader().run(run.id)?.map_or("running", |run| shown(&run));
    let mut object = Object::new();
    object.id("run_id", run.id).put("status", status).put("status_code", &status_code(status));
    Ok(about(run.id, StatusCode::OK, object.finish()))
}

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// A JSON answer about a run.
pub(crate) fn about(run: RunId, status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = answer(status, body);
    response.extensions_mut().insert(AboutRun(run));
    response
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
