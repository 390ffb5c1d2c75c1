//! Agents without the platform: a request of A2A goes in, a response comes out.
//!
//! [`Standalone`] serves the agents of a module over a [`Runtime`] of the author's own - under axum, or in a WASM module
//! for a host that knows nothing of Bivouac. Everything that outlives a request lies in the runtime's
//! [`TaskManager`](crate::TaskManager): a task is kept as the frames that were driven, so that another process goes on
//! where this one stopped, and a skill is the same code as on the platform.
//!
//! What it does not do: work between requests. A task goes on while a request for it is there, until it ends or asks; a
//! stream is therefore sent in one piece at the end, a sleep is as long as a request may wait, and `returnImmediately`
//! waits too. Grants are not checked, since the program is the author's own.

mod drive;
mod operations;
mod perform;
mod record;
mod tell;

pub use drive::{MAX_GRACE_TURNS, MAX_TASK_BYTES, MAX_TURNS};
pub use operations::{LEASE_MS, MAX_LISTED, MAX_TRIES, SUBSCRIBE_WAIT_MS};
pub use perform::{MAX_REPLY_BYTES, MAX_SLEEP_MS};

use crate::{
    AuthContext, Module,
    module::IntoModule,
    services::{RequestHead, Runtime},
};
use bivouac_a2a::{
    A2aError, ErrorKind,
    card::{self, CARD_PATH, CATALOG_MEDIA_TYPE, CATALOG_PATH, Place},
    http::{self as binding, Binding},
    types::AgentCard,
};
use bivouac_protocol::{
    Code, Json,
    manifest::{Component, ComponentKind, Manifest},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use std::{fmt, sync::Arc};

/// The largest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 256 << 10;

/// Agents that answer A2A by themselves.
///
/// # Examples
/// ```
/// use bivouac::{InMemoryRuntime, prelude::*, standalone::Standalone};
/// use bytes::Bytes;
/// use std::sync::Arc;
///
/// /// Says what was said.
/// #[skill(id = "echo", name = "Echo")]
/// struct Echo;
///
/// #[async_trait]
/// impl SkillHandler for Echo {
///     async fn on_request(
///         &self,
///         _task: &mut TaskContext,
///         _ctx: &Context,
///         _runtime: &dyn Runtime,
///         content: Content,
///     ) -> AgentResult<OnRequestResult> {
///         Ok(OnRequestResult::completed(content.text()))
///     }
/// }
///
/// pub fn configure_agents() -> Vec<AgentDefinition> {
///     vec![AgentDefinition::builder("parrot").description("Repeats things.").skill(Echo).build()]
/// }
///
/// pub async fn handle_request(request: http::Request<Bytes>) -> http::Response<Bytes> {
///     let runtime = Arc::new(InMemoryRuntime::new());
///     Standalone::new(configure_agents(), runtime).handle_request(request).await
/// }
/// ```
#[derive(Clone)]
pub struct Standalone {
    host: Arc<Host>,
}

/// What every request needs.
struct Host {
    module: Module,
    manifest: Manifest,
    runtime: Arc<dyn Runtime>,
    /// Where the agents are reached from outside, without a slash at its end.
    url: Option<String>,
}

impl Host {
    /// An agent by its name.
    fn component(&self, agent: &str) -> Option<&Component> {
        self.agents().find(|component| component.name == agent)
    }

    fn agents(&self) -> impl Iterator<Item = &Component> {
        self.manifest.components.iter().filter(|component| component.kind == ComponentKind::Agent)
    }

    /// The path that the address from outside adds to every request's.
    fn prefix(&self) -> &str {
        let rest = self.url.as_deref().and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
        rest.find('/').map_or("", |at| &rest[at..])
    }

    fn card(&self, component: &Component, origin: &str, extended: bool) -> AgentCard {
        let base_url = format!("{origin}/agents/{}", component.name);
        let keyed = self.runtime.auth_service().wants_key();
        card::of_component(component, Place { base_url: &base_url, keyed }, extended)
    }
}

impl Standalone {
    /// Serves these agents: an [`AgentDefinition`](crate::AgentDefinition), a list of them, or a [`Module`].
    #[must_use]
    pub fn new(agents: impl IntoModule, runtime: Arc<dyn Runtime>) -> Self {
        let module = agents.into_module();
        let manifest = module.manifest();
        Self { host: Arc::new(Host { module, manifest, runtime, url: None }) }
    }

    /// The same, reached at this address from outside: `https://agents.example.com`, also with a path. Cards name it.
    ///
    /// Without one, cards name the host that the request was sent to, which is right only where nobody stands in between:
    /// `http` for this machine, `https` for any other.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        let url = url.into().trim_end_matches('/').to_owned();
        let Host { module, manifest, runtime, .. } = &*self.host;
        let (module, manifest, runtime) = (module.clone(), manifest.clone(), Arc::clone(runtime));
        Self { host: Arc::new(Host { module, manifest, runtime, url: Some(url) }) }
    }

    /// Answers a request: the agents' cards (`/agents/NAME/.well-known/agent-card.json`), both bindings of A2A
    /// (`/agents/NAME/a2a/jsonrpc`, `/agents/NAME/a2a/rest/..`), and the catalog (`/.well-known/api-catalog`).
    pub async fn handle_request(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix(self.host.prefix()) else {
            return not_found("nothing is served outside of the address that this host was given");
        };
        let Some((agent, below)) = path.strip_prefix("/agents/").and_then(|rest| rest.split_once('/')) else {
            return self.root(&request, path);
        };
        let Some(component) = self.host.component(agent) else {
            return not_found(&format!("there is no such agent here; the cards are at {}", self.cards()));
        };
        let base = format!("{}/agents/{agent}", self.host.prefix());
        if format!("/{below}") == CARD_PATH {
            return document(&request, || {
                let card = self.host.card(component, &self.origin(&request), false);
                (Json::of(&card).expect("a card has text keys"), "application/json")
            });
        }
        let Some(spoken) = Binding::of_path(request.uri().path(), &base) else {
            return not_found("that is no path of the agent's: its card names those that are");
        };
        if request.body().len() > MAX_REQUEST_BYTES {
            let message = format!(
                "the request has {} bytes, {MAX_REQUEST_BYTES} are allowed: send large files as a URL",
                request.body().len()
            );
            return spoken.refusal(&A2aError::new(ErrorKind::PayloadTooLarge, message));
        }
        // Who asks is known before anything is looked up.
        let caller = match self.caller(&request).await {
            Ok(caller) => caller,
            Err(error) => return spoken.refusal(&error),
        };
        let call = match binding::read(&request, &base) {
            Ok(call) => call,
            Err(refusal) => return refusal,
        };
        let card = self.host.card(component, &self.origin(&request), true);
        Box::pin(operations::answer(&self.host, component, &card, &caller, &call)).await
    }

    async fn caller(&self, request: &Request<Bytes>) -> Result<AuthContext, A2aError> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let head = RequestHead {
            method: request.method().as_str().to_owned(),
            target: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
            headers: request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        };
        let auth = self.host.runtime.auth_service();
        auth.authenticate(&head).await.map_err(|error| {
            let kind = match error.code() {
                code if code == Code::UNAUTHORIZED.as_str() => ErrorKind::Unauthenticated,
                code if code == Code::INSUFFICIENT_SCOPES.as_str() => ErrorKind::PermissionDenied,
                _ => return operations::unavailable(&self.host, &error),
            };
            A2aError::new(kind, error.message())
        })
    }

    /// What lies beside the agents.
    fn root(&self, request: &Request<Bytes>, path: &str) -> Response<Bytes> {
        let origin = self.origin(request);
        let mut agents = self.host.agents();
        match (path, agents.next(), agents.next()) {
            (CARD_PATH, Some(only), None) => document(request, || {
                let card = self.host.card(only, &origin, false);
                (Json::of(&card).expect("a card has text keys"), "application/json")
            }),
            (CATALOG_PATH, ..) => document(request, || {
                let bases: Vec<String> =
                    self.host.agents().map(|agent| format!("{origin}/agents/{}", agent.name)).collect();
                (card::catalog(bases.iter().map(String::as_str)), CATALOG_MEDIA_TYPE)
            }),
            _ => not_found(&format!("nothing is here; the agents' cards are at {}", self.cards())),
        }
    }

    fn cards(&self) -> String {
        let cards: Vec<String> = self.host.agents().map(|agent| format!("/agents/{}{CARD_PATH}", agent.name)).collect();
        cards.join(", ")
    }

    /// The address that cards name.
    fn origin(&self, request: &Request<Bytes>) -> String {
        if let Some(url) = &self.host.url {
            return url.clone();
        }
        let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
        let host = header.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        let host = host.filter(|host| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)));
        let host = host.unwrap_or("localhost");
        let own = ["localhost", "127.", "[::1]"].iter().any(|own| host.starts_with(own));
        format!("{}://{host}", if own { "http" } else { "https" })
    }
}

fn document(request: &Request<Bytes>, make: impl FnOnce() -> (Json, &'static str)) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "ask for it with GET");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (document, media_type) = make();
    let mut response = card::response(request.headers(), &document, media_type, false);
    if request.method() == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

fn not_found(message: &str) -> Response<Bytes> {
    plain(StatusCode::NOT_FOUND, "NOT_FOUND", message)
}

/// An error outside of A2A, in the form of the platform's.
fn plain(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "error": { "code": code, "message": message } }).to_string();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl fmt::Debug for Standalone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents: Vec<&str> = self.host.agents().map(|agent| agent.name.as_str()).collect();
        f.debug_struct("Standalone").field("agents", &agents).field("url", &self.host.url).finish_non_exhaustive()
    }
}
