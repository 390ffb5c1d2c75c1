//! Both HTTP bindings: a request becomes a [`Call`], what was done becomes a response in the binding's form.
//!
//! Version, media type, tenant and parameters are checked here, for both bindings alike; who calls, what exists and
//! what is done is the caller's. An agent's interfaces lie at `BASE/a2a/jsonrpc` and `BASE/a2a/rest`, its card at
//! `BASE/.well-known/agent-card.json` (see [`crate::card`]).

mod check;
mod json_rpc;
mod rest;
mod sse;

pub use sse::{HEARTBEAT, event_text, line_safe};

use crate::{
    A2aError, ErrorKind,
    error::shown,
    types::{
        AgentCard, CancelTaskRequest, GetExtendedAgentCardRequest, GetTaskRequest, ListPushConfigsRequest,
        ListTasksRequest, ListTasksResponse, PushConfigRequest, SendMessageRequest, SendMessageResponse,
        StreamResponse, SubscribeToTaskRequest, Task, TaskPushNotificationConfig,
    },
};
use bivouac_protocol::Json;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;

/// Where the interface of JSON-RPC lies, below an agent's base.
pub const JSON_RPC_PATH: &str = "/a2a/jsonrpc";
/// Where the interface of HTTP+JSON lies, below an agent's base.
pub const REST_PATH: &str = "/a2a/rest";
/// The media type of HTTP+JSON.
pub const MEDIA_TYPE: &str = "application/a2a+json";
/// The media type of streams.
pub const EVENT_STREAM: &str = "text/event-stream";
/// The header that names the protocol's version.
pub const VERSION_HEADER: &str = "a2a-version";
/// The header that names the extensions that a client knows.
pub const EXTENSIONS_HEADER: &str = "a2a-extensions";
/// The most extensions of a request that are looked at.
pub const MAX_EXTENSIONS: usize = 64;

/// The ways to speak A2A over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0.
    JsonRpc,
    /// HTTP+JSON, the REST-like one.
    HttpJson,
}

impl Binding {
    /// The binding as cards write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonRpc => "JSONRPC",
            Self::HttpJson => "HTTP+JSON",
        }
    }

    /// The binding that a path belongs to, below an agent's base path (`/agents/planner`, without a slash at its end).
    #[must_use]
    pub fn of_path(path: &str, base: &str) -> Option<Self> {
        let rest = path.strip_prefix(base)?;
        if rest.strip_prefix(JSON_RPC_PATH).is_some_and(|rest| rest.is_empty() || rest == "/") {
            return Some(Self::JsonRpc);
        }
        rest.strip_prefix(REST_PATH)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            .then_some(Self::HttpJson)
    }

    /// An error in the binding's form, where no call has been read.
    #[must_use]
    pub fn refusal(self, error: &A2aError) -> Response<Bytes> {
        self.error_response(&Json::null(), error)
    }

    fn error_response(self, id: &Json, error: &A2aError) -> Response<Bytes> {
        let (status, body, media_type) = match self {
            Self::JsonRpc => {
                let status = if error.kind.is_of_transport() { error.kind.http_status() } else { 200 };
                (status, json_rpc::failed(id, error), "application/json")
            }
            Self::HttpJson => (error.kind.http_status(), error.to_http_json().text().to_owned(), MEDIA_TYPE),
        };
        let status = StatusCode::from_u16(status).expect("an error's status is one of HTTP's");
        let mut response = answer(status, media_type, body);
        if let Some(seconds) = error.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if error.kind == ErrorKind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn answer(status: StatusCode, media_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Send a message, and hear of the task once.
    SendMessage(Box<SendMessageRequest>),
    /// Send a message, and hear of the task as it goes.
    SendStreamingMessage(Box<SendMessageRequest>),
    /// Show a task.
    GetTask(GetTaskRequest),
    /// List tasks.
    ListTasks(ListTasksRequest),
    /// Cancel a task.
    CancelTask(CancelTaskRequest),
    /// Hear of a task as it goes.
    SubscribeToTask(SubscribeToTaskRequest),
    /// Have notifications sent.
    CreatePushConfig(TaskPushNotificationConfig),
    /// Show where notifications are sent.
    GetPushConfig(PushConfigRequest),
    /// List where notifications are sent.
    ListPushConfigs(ListPushConfigsRequest),
    /// Have notifications no longer sent.
    DeletePushConfig(PushConfigRequest),
    /// Show the card that verified callers see.
    GetExtendedAgentCard(GetExtendedAgentCardRequest),
}

impl Operation {
    /// The operation's name, that of the method in JSON-RPC.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SendMessage(_) => "SendMessage",
            Self::SendStreamingMessage(_) => "SendStreamingMessage",
            Self::GetTask(_) => "GetTask",
            Self::ListTasks(_) => "ListTasks",
            Self::CancelTask(_) => "CancelTask",
            Self::SubscribeToTask(_) => "SubscribeToTask",
            Self::CreatePushConfig(_) => "CreateTaskPushNotificationConfig",
            Self::GetPushConfig(_) => "GetTaskPushNotificationConfig",
            Self::ListPushConfigs(_) => "ListTaskPushNotificationConfigs",
            Self::DeletePushConfig(_) => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedAgentCard(_) => "GetExtendedAgentCard",
        }
    }

    /// Whether it is answered with a stream.
    #[must_use]
    pub const fn streams(&self) -> bool {
        matches!(self, Self::SendStreamingMessage(_) | Self::SubscribeToTask(_))
    }

    /// Whether it is about notifications.
    #[must_use]
    pub const fn is_push(&self) -> bool {
        matches!(
            self,
            Self::CreatePushConfig(_) | Self::GetPushConfig(_) | Self::ListPushConfigs(_) | Self::DeletePushConfig(_)
        )
    }

    /// Whether it changes something: it begins, goes on with or cancels work.
    #[must_use]
    pub const fn acts(&self) -> bool {
        matches!(
            self,
            Self::SendMessage(_)
                | Self::SendStreamingMessage(_)
                | Self::CancelTask(_)
                | Self::CreatePushConfig(_)
                | Self::DeletePushConfig(_)
        )
    }

    fn tenant(&self) -> Option<&str> {
        match self {
            Self::SendMessage(request) | Self::SendStreamingMessage(request) => request.tenant.as_deref(),
            Self::GetTask(request) => request.tenant.as_deref(),
            Self::ListTasks(request) => request.tenant.as_deref(),
            Self::CancelTask(request) => request.tenant.as_deref(),
            Self::SubscribeToTask(request) => request.tenant.as_deref(),
            Self::CreatePushConfig(request) => request.tenant.as_deref(),
            Self::GetPushConfig(request) | Self::DeletePushConfig(request) => request.tenant.as_deref(),
            Self::ListPushConfigs(request) => request.tenant.as_deref(),
            Self::GetExtendedAgentCard(request) => request.tenant.as_deref(),
        }
    }
}

/// A request, read and found to be one.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is wanted. A message to send is there, from a user, with an id and parts.
    pub operation: Operation,
    /// How it came.
    pub binding: Binding,
    /// The id to answer with in JSON-RPC, as it came.
    pub id: Json,
    /// The extensions that the client knows.
    pub extensions: Vec<String>,
    /// The last event that the client has seen of a stream.
    pub last_event_id: Option<String>,
}

/// What an operation came to.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A message was sent.
    Sent(SendMessageResponse),
    /// A task.
    Task(Task),
    /// A page of tasks.
    Tasks(ListTasksResponse),
    /// A card.
    Card(AgentCard),
}

impl Reply {
    fn to_json(&self) -> Json {
        match self {
            Self::Sent(response) => Json::of(response),
            Self::Task(task) => Json::of(task),
            Self::Tasks(page) => Json::of(page),
            Self::Card(card) => Json::of(card),
        }
        .expect("the protocol's types have text keys")
    }
}

/// The form of a call's answers: who answers later keeps this, and not what was asked.
#[derive(Clone, Debug)]
pub struct Form {
    /// How the call came.
    pub binding: Binding,
    /// The id to answer with in JSON-RPC, as it came.
    pub id: Json,
}

impl Form {
    /// The response to a call.
    #[must_use]
    pub fn reply(&self, reply: Result<Reply, A2aError>) -> Response<Bytes> {
        match (reply, self.binding) {
            (Err(error), binding) => binding.error_response(&self.id, &error),
            (Ok(reply), Binding::JsonRpc) => {
                answer(StatusCode::OK, "application/json", json_rpc::done(&self.id, &reply.to_json()))
            }
            (Ok(reply), Binding::HttpJson) => answer(StatusCode::OK, MEDIA_TYPE, reply.to_json().text().to_owned()),
        }
    }

    /// The data of one event of a stream, on one line: in JSON-RPC a full envelope.
    #[must_use]
    pub fn event(&self, response: &StreamResponse) -> String {
        let json = Json::of(response).expect("the protocol's types have text keys");
        line_safe(match self.binding {
            Binding::JsonRpc => json_rpc::done(&self.id, &json),
            Binding::HttpJson => json.text().to_owned(),
        })
    }

    /// The data of the event that ends a stream with an error; in HTTP+JSON the event's name is `error`.
    #[must_use]
    pub fn error_event(&self, error: &A2aError) -> String {
        line_safe(match self.binding {
            Binding::JsonRpc => json_rpc::failed(&self.id, error),
            Binding::HttpJson => error.to_http_json().text().to_owned(),
        })
    }
}

impl Call {
    /// The form of the call's answers.
    #[must_use]
    pub fn form(&self) -> Form {
        Form { binding: self.binding, id: self.id.clone() }
    }

    /// The response to a call.
    #[must_use]
    pub fn reply(&self, reply: Result<Reply, A2aError>) -> Response<Bytes> {
        self.form().reply(reply)
    }

    /// The data of one event of a stream, on one line: in JSON-RPC a full envelope.
    #[must_use]
    pub fn event(&self, response: &StreamResponse) -> String {
        self.form().event(response)
    }

    /// The data of the event that ends a stream with an error; in HTTP+JSON the event's name is `error`.
    #[must_use]
    pub fn error_event(&self, error: &A2aError) -> String {
        self.form().error_event(error)
    }

    /// Checks that the client knows what the agent demands.
    ///
    /// # Errors
    /// [`ErrorKind::ExtensionSupportRequired`] naming the first extension that is missing.
    pub fn check_extensions(&self, card: &AgentCard) -> Result<(), A2aError> {
        let mut required = card.capabilities.extensions.iter().filter(|extension| extension.required);
        match required.find(|extension| !self.extensions.contains(&extension.uri)) {
            None => Ok(()),
            Some(extension) => Err(A2aError::new(
                ErrorKind::ExtensionSupportRequired,
                format!(
                    "the agent demands the extension {}: name it in the header A2A-Extensions, and do what it says",
                    extension.uri
                ),
            )),
        }
    }
}

/// Reads a request to an agent whose base path is `base` (`/agents/planner`, without a slash at its end).
///
/// # Errors
/// The response to give, in the binding's form.
#[expect(clippy::result_large_err, reason = "what is refused is answered at once, and not carried on")]
pub fn read(request: &Request<Bytes>, base: &str) -> Result<Call, Response<Bytes>> {
    let path = request.uri().path();
    let Some(binding) = Binding::of_path(path, base) else {
        let error = A2aError::new(
            ErrorKind::MethodNotFound,
            format!("`{}` is no path of this agent: its card names those that are", shown(path)),
        );
        return Err(Binding::HttpJson.refusal(&error));
    };
    let (id, operation) = match binding {
        Binding::JsonRpc => json_rpc::read(request),
        Binding::HttpJson => (Json::null(), rest::read(request, &path[base.len() + REST_PATH.len()..])),
    };
    let checked = operation.and_then(|operation| {
        check::tenant(operation.tenant())?;
        check::parameters(operation)
    });
    match checked {
        Ok(operation) => Ok(Call {
            operation,
            binding,
            id,
            extensions: extensions(request.headers()),
            last_event_id: text_header(request.headers(), "last-event-id").map(str::to_owned),
        }),
        Err(error) => Err(binding.error_response(&id, &error)),
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn extensions(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(EXTENSIONS_HEADER).into_iter().filter_map(|value| value.to_str().ok());
    let uris = lists.flat_map(|list| list.split(',')).map(str::trim).filter(|uri| !uri.is_empty());
    uris.take(MAX_EXTENSIONS).map(str::to_owned).collect()
}

/// The members of a query, decoded.
fn query(request: &Request<Bytes>) -> Result<Vec<(String, String)>, A2aError> {
    let pairs = request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, A2aError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| A2aError::invalid(format!("`{}` is not UTF-8 when it is decoded", shown(text))))
}
