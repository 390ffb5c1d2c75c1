//! Runs over HTTP: starting them, waiting for them, what became of them, ending them.
//!
//! A body is the component's input itself, one JSON value, kept as the bytes that came; no body means `null`. A run that
//! failed is answered with 200: the request did what it should, and the run object says `"status":"failed"` with
//! `"status_code":500` and the error. What is acknowledged is on disk. A key sees the runs of its environment, and with
//! `X-Tenant-ID` only those of that tenant; all others do not exist for it.

use crate::{
    driver::{DEFAULT_GRACE_MS, MAX_GRACE_MS, now},
    http::{
        AboutRun, ApiError, App, Shared, answers,
        auth::{Caller, Scope},
        begin::{Begun, METADATA_SESSION, Metadata, begin, tenant, wait_limit},
        body,
        object::Object,
    },
};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bivouac_engine::{End, Event, Status, Timestamp};
use bivouac_protocol::{Code, RunId, frame::CancelMode, manifest::ComponentRef};
use bivouac_store::RunRecord;
use serde::Deserialize;

/// The longest reason for a cancel, in bytes.
pub const MAX_REASON: usize = 1_024;

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
        () = app.stopping() => None,
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

/// A run that the caller may see.
pub(crate) fn find_run(app: &Shared, caller: &Caller, headers: &HeaderMap, id: &str) -> Result<RunRecord, ApiError> {
    caller.require(&[Scope::Run, Scope::Read])?;
    visible_run(app, caller, headers, id)
}

/// A run of the caller's environment and tenant, whatever it may do with it.
pub(crate) fn visible_run(app: &Shared, caller: &Caller, headers: &HeaderMap, id: &str) -> Result<RunRecord, ApiError> {
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
pub(crate) fn status_code(status: &str) -> u16 {
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
    match (run.status, run.wake) {
        (Status::Waiting, Some(wake)) => object.put("waits_for", "timer").time("waits_until", wake),
        (Status::BackingOff, Some(wake)) => object.put("waits_for", "retry").time("waits_until", wake),
        // What waits for no instant waits for a person.
        (Status::Waiting, None) => object.put("waits_for", "question"),
        _ => &mut object,
    };
    object
}

/// A run, and the questions that it waits for.
fn asking(app: &Shared, run: &RunRecord) -> Result<Object, ApiError> {
    let mut object = summary(run);
    let questions = answers::open(app, run)?;
    if !questions.is_empty() {
        object.raw("questions", &answers::list(&questions));
    }
    Ok(object)
}

/// `GET /v1/status/{id}`: how far a run is.
pub(crate) async fn status(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let mut object = asking(&app, &run)?;
    if let Some(end @ (End::Failed { .. } | End::Cancelled { .. })) = end_of(&app, &run)? {
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

/// How a run had ended when it was read: one that ends meanwhile is answered as what was read, and not as half of both.
fn end_of(app: &Shared, run: &RunRecord) -> Result<Option<End>, ApiError> {
    if !run.status.is_final() {
        return Ok(None);
    }
    Ok(app.driver.end_of(run.id)?)
}

fn finished(app: &Shared, run: &RunRecord) -> Result<End, ApiError> {
    end_of(app, run)?.ok_or_else(|| {
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
    let mut object = asking(&app, &run)?;
    let first = app.driver.reader().events(run.id, 0, 1)?.into_iter().next();
    if let Some(Event::Accepted(accepted)) = first.map(|stored| stored.event) {
        let metadata: Metadata = serde_json::from_slice(&accepted.metadata).unwrap_or_default();
        object.maybe("session_id", metadata.get(METADATA_SESSION)).put("metadata", &metadata);
        object.put("service", &*accepted.app).put("user_id", &*accepted.user).raw("input", &accepted.input);
        object.maybe("idempotency_key", accepted.idempotency.as_ref().map(|(key, _)| &**key));
    }
    match end_of(&app, &run)? {
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
    if wish.grace_ms.is_some_and(|ms| ms > MAX_GRACE_MS) {
        return Err(ApiError::bad_request(format!("grace_ms may be at most {}", MAX_GRACE_MS)));
    }
    let mode = wish.mode.unwrap_or(CancelMode::Grace);
    let grace_ms = wish.grace_ms.unwrap_or(DEFAULT_GRACE_MS);
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
