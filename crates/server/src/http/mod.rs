//! The HTTP side: routes, keys, bodies, answers. It holds no rule of runs.
//!
//! [`router`] is everything that listens on the one port. A run comes in through [`runs`], what became of it leaves
//! through [`runs`] (objects), [`events`] (the journal as clients see it) and `stream` (the same as server-sent
//! events). [`auth`] decides who speaks, `body` what is read, and `errors` is the one place that turns an error into
//! a status. Nothing here is answered before it is on disk, and no payload or secret is ever logged.

pub mod a2a;
mod answers;
pub mod auth;
mod begin;
mod body;
mod deployments;
mod errors;
pub mod events;
mod health;
mod keys;
mod list;
mod object;
pub mod runs;
mod secrets;
mod stream;
mod suggest;
mod time;

pub use auth::Keys;
pub use errors::ApiError;

use crate::{config::Config, deployments::Deployments, driver::Driver, metrics::Metrics, secrets::Secrets};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::HeaderValue,
    middleware::Next,
    response::Response,
    routing::{delete, get, post, put},
};
use bivouac_protocol::RunId;
use std::{sync::Arc, time::Instant};
use tokio::sync::{Semaphore, watch};

/// The most event streams that are open at once.
pub const MAX_STREAMS: usize = 1_024;

/// What the handlers work with.
#[derive(Clone)]
pub struct AppState {
    driver: Driver,
    deployments: Arc<Deployments>,
    secrets: Secrets,
    keys: Arc<Keys>,
    config: Arc<Config>,
    /// True once the server shuts down: open streams end, new runs are refused.
    stopping: watch::Receiver<bool>,
}

impl AppState {
    /// Brings together what the handlers work with. `stopping` becomes true when the server shuts down.
    #[must_use]
    pub const fn new(
        driver: Driver,
        deployments: Arc<Deployments>,
        secrets: Secrets,
        keys: Arc<Keys>,
        config: Arc<Config>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { driver, deployments, secrets, keys, config, stopping }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the server shuts down.
    async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        // A sender that is gone means the same: nobody serves any more.
        let _stopping = stopping.wait_for(|stop| *stop).await;
    }
}

/// What the handlers share, made once per router.
pub(crate) struct Shared {
    state: AppState,
    /// One permit per open event stream.
    streams: Arc<Semaphore>,
}

impl std::ops::Deref for Shared {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.state
    }
}

pub(crate) type App = Arc<Shared>;

/// Everything that listens on the one port.
///
/// Serve it with the peer's address (`into_make_service_with_connect_info::<SocketAddr>()`): in development, requests
/// from loopback need no key.
pub fn router(state: AppState) -> Router {
    let app: App = Arc::new(Shared { state, streams: Arc::new(Semaphore::new(MAX_STREAMS)) });
    Router::new()
        .route("/v1/{types}/{name}/run", post(runs::run))
        .route("/v1/{types}/{name}/submit", post(runs::submit))
        .route("/v1/{types}/{name}/stream", post(stream::start))
        .route("/v1/status/{id}", get(runs::status))
        .route("/v1/result/{id}", get(runs::result))
        .route("/v1/runs", get(list::runs))
        .route("/v1/runs/{id}", get(runs::show))
        .route("/v1/runs/{id}/output", get(runs::output))
        .route("/v1/runs/{id}/events", get(events::list))
        .route("/v1/runs/{id}/stream", get(stream::follow))
        .route("/v1/runs/{id}/cancel", post(runs::cancel))
        .route("/v1/runs/{id}/answer", post(answers::answer))
        .route("/v1/workflows/resume/{id}", post(answers::resume))
        .route("/api/deployments", post(deployments::create).get(deployments::list))
        .route("/api/deployments/{id}", get(deployments::show))
        .route("/api/routes", get(deployments::routes))
        .route("/api/secrets", get(secrets::list))
        .route("/api/secrets/{name}", put(secrets::set).delete(secrets::remove))
        .route("/api/keys", post(keys::create).get(keys::list))
        .route("/api/keys/{id}", delete(keys::revoke))
        .merge(a2a::routes())
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(errors::no_route)
        .method_not_allowed_fallback(errors::wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// The run that an answer is about, for the request's log line.
#[derive(Clone, Copy)]
pub(crate) struct AboutRun(pub(crate) RunId);

/// Counts each request, and says in the answer which release this is, so that a client can tell what is unknown from what
/// is unknown yet.
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    Metrics::count(&app.driver.metrics().api_requests);
    let mut response = log(request, next).await;
    response.headers_mut().insert(health::VERSION_HEADER, HeaderValue::from_static(health::VERSION));
    response
}

/// Writes a request's log line: no payload, no query, no header.
async fn log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    tracing::debug!(
        method = %method,
        route = route.as_ref().map_or("none", MatchedPath::as_str),
        status = response.status().as_u16(),
        elapsed_ms = began.elapsed().as_millis(),
        run_id = response.extensions().get::<AboutRun>().map(|about| tracing::field::display(about.0)),
        "request"
    );
    response
}
