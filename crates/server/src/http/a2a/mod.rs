//! The gateway: agents of this server, spoken to over A2A 1.0.
//!
//! A task is a run of an agent, a context is a session. Each agent has its own base, `/agents/{agent}`, and under
//! `/envs/{env}/agents/{agent}` the same for another environment than the caller's. `place` says which agent a request
//! is for and who asks, and is the one place where a task is looked up; `fold` tells a run's journal as a task;
//! `send`, `tasks` and `stream` are the operations, `cards` how agents are found. What the bindings look like is
//! `bivouac_a2a`'s business, what a run is the engine's.

mod blocking;
mod cards;
mod fold;
mod place;
mod refusal;
mod send;
mod stream;
mod tasks;

pub use fold::{MAX_FOLDED_BYTES, MAX_FOLDED_EVENTS};

use crate::http::{App, Shared, auth::Scope, body};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use bivouac_a2a::{
    A2aError, ErrorKind, card,
    http::{Binding, Call, Operation, Reply},
};
use bytes::Bytes;
use place::{Agent, Place};
use std::time::Duration;

/// A stream or an answer that has nothing to send says so after this long: some clients wait no longer than 5 s.
pub const HEARTBEAT_EVERY: Duration = Duration::from_millis(2_500);
/// How long a cancel waits for its effect before it answers with the task as it is.
pub const CANCEL_WAIT: Duration = Duration::from_secs(4);

/// The routes of the gateway.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/agents/{agent}/{*rest}", any(agent))
        .route("/envs/{env}/agents/{agent}/{*rest}", any(agent))
        .route(card::CARD_PATH, get(cards::root))
        .route("/agents/.well-known/agent-card.json", get(cards::below_no_agent))
        .route(card::CATALOG_PATH, get(cards::catalog))
}

/// Everything below an agent's base.
async fn agent(State(app): State<App>, request: Request) -> Response {
    let Some(place) = Place::of_path(request.uri().path()) else {
        return refused(Binding::HttpJson, &no_such_path());
    };
    if request.uri().path().strip_prefix(&*place.base) == Some(card::CARD_PATH) {
        return cards::of_agent(&app, &place, request).unwrap_or_else(|error| error.into_response());
    }
    let Some(binding) = Binding::of_path(request.uri().path(), &place.base) else {
        return refused(Binding::HttpJson, &no_such_path());
    };
    operate(&app, &place, binding, request).await.unwrap_or_else(|error| refused(binding, &error))
}

fn no_such_path() -> A2aError {
    A2aError::new(
        ErrorKind::MethodNotFound,
        "there is nothing at this path: an agent's card lies at /agents/NAME/.well-known/agent-card.json and names its interfaces",
    )
}

fn refused(binding: Binding, error: &A2aError) -> Response {
    response(binding.refusal(error))
}

fn response(response: http::Response<Bytes>) -> Response {
    response.map(Body::from)
}

/// One operation: who asks and which agent, then what is wanted, then whether they may, then what comes of it.
async fn operate(app: &App, place: &Place, binding: Binding, request: Request) -> Result<Response, A2aError> {
    let (parts, body) = request.into_parts();
    let caller = app.keys.caller(&parts.headers, &parts.extensions, app.config.dev)?;
    caller.require(&[Scope::Run, Scope::Read])?;
    let agent = Agent::find(app, place, &caller, &parts.headers);
    let advice = "send large content as a URL, or let the operator raise max_body";
    let body = body::read(&parts.headers, body, app.config.max_body, "the body", advice).await?;
    let call = match bivouac_a2a::http::read(&http::Request::from_parts(parts, body), &place.base) {
        Ok(call) => call,
        Err(refusal) => return Ok(response(refusal)),
    };
    debug_assert_eq!(call.binding, binding);
    // Whatever is refused from here on is refused with the call's own id.
    let allowed = if call.operation.acts() { caller.require(&[Scope::Run]).map_err(A2aError::from) } else { Ok(()) };
    let done = match allowed.and(agent) {
        Ok(agent) => perform(app, agent, &call).await,
        Err(error) => Err(error),
    };
    Ok(match done {
        Ok(Done::Answered(response)) => response,
        Ok(Done::Reply(reply)) => response(call.reply(Ok(*reply))),
        Err(error) => response(call.reply(Err(error))),
    })
}

/// What an operation came to.
enum Done {
    Reply(Box<Reply>),
    /// Its response has begun already.
    Answered(Response),
}

impl Done {
    fn reply(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

async fn perform(app: &App, agent: Agent, call: &Call) -> Result<Done, A2aError> {
    match &call.operation {
        Operation::SendMessage(request) => send::unary(app, agent, call, request).await,
        Operation::SendStreamingMessage(request) => send::streaming(app, agent, call, request).await,
        Operation::GetTask(request) => tasks::get(app, &agent, request).map(Done::reply),
        Operation::ListTasks(request) => tasks::list(app, &agent, request).map(Done::reply),
        Operation::CancelTask(request) => tasks::cancel(app, &agent, request).await.map(Done::reply),
        Operation::SubscribeToTask(request) => stream::subscribe(app, &agent, call, request).map(Done::Answered),
        Operation::CreatePushConfig(_)
        | Operation::GetPushConfig(_)
        | Operation::ListPushConfigs(_)
        | Operation::DeletePushConfig(_) => Err(no_push()),
        Operation::GetExtendedAgentCard(_) => cards::extended(&agent).map(Done::reply),
    }
}

fn no_push() -> A2aError {
    A2aError::new(
        ErrorKind::PushNotificationNotSupported,
        "this agent sends no notifications, as its card says: stream, subscribe or ask again instead",
    )
}

/// Waits until the server shuts down, or something may have happened, or it is time to say something.
async fn rung(app: &Shared, following: &mut crate::http::begin::Following, limit: Duration) -> Rung {
    tokio::select! {
        changed = following.bell().changed() => if changed.is_ok() { Rung::Yes } else { Rung::TakenDown },
        () = tokio::time::sleep(limit) => Rung::Quiet,
        () = app.stopping() => Rung::Stopping,
    }
}

/// What a bell said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rung {
    /// There is more to read.
    Yes,
    /// It was taken down, as happens when a run ends: read, and follow anew.
    TakenDown,
    Quiet,
    Stopping,
}
