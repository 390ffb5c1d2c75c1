//! A2A's operations by hand, on both transports, with everything that an answer says.
//!
//! Requests are JSON as a client would write them; nothing is checked before it is sent. A refusal is a [`Refusal`], the
//! same for both transports, so that a test can ask for it by its reason.

use crate::wire::{self, Request, Stream};
use serde_json::{Value, json};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The version that is spoken.
pub const VERSION: &str = "1.0";

/// A transport of A2A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// JSON-RPC 2.0 over one URL.
    JsonRpc,
    /// HTTP with JSON, a URL for each thing.
    Rest,
}

impl Binding {
    /// Both.
    pub const ALL: [Self; 2] = [Self::JsonRpc, Self::Rest];

    /// As a card names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonRpc => "JSONRPC",
            Self::Rest => "HTTP+JSON",
        }
    }
}

/// An operation of A2A 1.0, with what it needs to be asked.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Send a message, wait for the outcome.
    Send(Value),
    /// Send a message, follow what comes.
    Stream(Value),
    /// Get a task.
    Get(String),
    /// List tasks; the parameters.
    List(Value),
    /// Cancel a task.
    Cancel(String),
    /// Follow a task.
    Subscribe(String),
    /// The card for those who have a key.
    ExtendedCard,
    /// Create a push configuration.
    CreatePush(String),
    /// Get one.
    GetPush(String),
    /// List them.
    ListPush(String),
    /// Delete one.
    DeletePush(String),
}

impl Operation {
    /// As JSON-RPC and gRPC call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "SendMessage",
            Self::Stream(_) => "SendStreamingMessage",
            Self::Get(_) => "GetTask",
            Self::List(_) => "ListTasks",
            Self::Cancel(_) => "CancelTask",
            Self::Subscribe(_) => "SubscribeToTask",
            Self::ExtendedCard => "GetExtendedAgentCard",
            Self::CreatePush(_) => "CreateTaskPushNotificationConfig",
            Self::GetPush(_) => "GetTaskPushNotificationConfig",
            Self::ListPush(_) => "ListTaskPushNotificationConfigs",
            Self::DeletePush(_) => "DeleteTaskPushNotificationConfig",
        }
    }

    fn parameters(&self) -> Value {
        match self {
            Self::Send(request) | Self::Stream(request) | Self::List(request) => request.clone(),
            Self::Get(id) | Self::Cancel(id) | Self::Subscribe(id) => json!({"id": id}),
            Self::ExtendedCard => json!({}),
            Self::CreatePush(id) => json!({"taskId": id, "id": "one", "url": "https://example.invalid/"}),
            Self::GetPush(id) | Self::DeletePush(id) => json!({"taskId": id, "id": "one"}),
            Self::ListPush(id) => json!({"taskId": id}),
        }
    }

    /// Method, path below the transport's base, body.
    fn rest(&self) -> (&'static str, String, Option<Value>) {
        match self {
            Self::Send(request) => ("POST", "/message:send".to_owned(), Some(request.clone())),
            Self::Stream(request) => ("POST", "/message:stream".to_owned(), Some(request.clone())),
            Self::Get(id) => ("GET", format!("/tasks/{id}"), None),
            Self::List(filters) => ("GET", format!("/tasks{}", query(filters)), None),
            Self::Cancel(id) => ("POST", format!("/tasks/{id}:cancel"), Some(json!({}))),
            Self::Subscribe(id) => ("GET", format!("/tasks/{id}:subscribe"), None),
            Self::ExtendedCard => ("GET", "/extendedAgentCard".to_owned(), None),
            Self::CreatePush(id) => ("POST", format!("/tasks/{id}/pushNotificationConfigs"), Some(self.parameters())),
            Self::GetPush(id) => ("GET", format!("/tasks/{id}/pushNotificationConfigs/one"), None),
            Self::ListPush(id) => ("GET", format!("/tasks/{id}/pushNotificationConfigs"), None),
            Self::DeletePush(id) => ("DELETE", format!("/tasks/{id}/pushNotificationConfigs/one"), None),
        }
    }
}

fn query(filters: &Value) -> String {
    let pairs = filters.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={}", text.replace('%', "%25").replace('+', "%2B").replace('&', "%26").replace(' ', "%20"))
    });
    let text = pairs.collect::<Vec<_>>().join("&");
    if text.is_empty() { text } else { format!("?{text}") }
}

/// What a request was refused with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The JSON-RPC code, on that transport.
    pub code: Option<i64>,
    /// The reason in `google.rpc.ErrorInfo`; empty where there is none.
    pub reason: String,
    /// What is said to a person.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.status, self.reason, self.message)
    }
}

/// An answer that is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It was refused.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Nobody answers, or the answer broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not A2A.
    #[error("not A2A: {0}")]
    Garbled(String),
}

impl Trouble {
    /// The reason of a refusal; empty for other trouble.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.reason,
            Self::Io(_) | Self::Garbled(_) => "",
        }
    }
}

/// An event of a task's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskEvent {
    /// The server's id of the event.
    pub id: Option<String>,
    /// `StreamResponse`.
    pub payload: Value,
}

/// A task's stream.
#[derive(Debug)]
pub struct Events {
    binding: Binding,
    request: Value,
    stream: Stream,
}

impl Events {
    /// The next event; `None` once the server ended the stream.
    ///
    /// # Errors
    /// [`Trouble`], where the stream breaks, or tells of a refusal.
    pub fn event(&mut self) -> Result<Option<TaskEvent>, Trouble> {
        let Some(event) = self.stream.event()? else { return Ok(None) };
        let data = event.json();
        let payload = match self.binding {
            Binding::JsonRpc => result_of(200, &self.request, data)?,
            Binding::Rest if data.get("error").is_some() => return Err(Trouble::Refused(refusal(200, &data))),
            Binding::Rest => data,
        };
        if payload.as_object().is_none_or(|members| members.len() != 1) {
            return Err(Trouble::Garbled(format!("an event with other than one member: {}", event.data)));
        }
        Ok(Some(TaskEvent { id: event.id, payload }))
    }

    /// Every event that is left.
    ///
    /// # Errors
    /// As for [`Self::event`].
    pub fn rest(&mut self) -> Result<Vec<TaskEvent>, Trouble> {
        let mut events = Vec::new();
        while let Some(event) = self.event()? {
            events.push(event);
        }
        Ok(events)
    }

    /// How many signs of life came that say nothing.
    #[must_use]
    pub const fn signs_of_life(&self) -> u32 {
        self.stream.signs_of_life()
    }
}

/// An agent behind an address, asked over one transport by one caller.
#[derive(Clone, Debug)]
pub struct Agent {
    address: SocketAddr,
    base: String,
    binding: Binding,
    headers: Vec<(&'static str, String)>,
}

impl Agent {
    /// The agent whose card is below `base` (`/agents/x`).
    #[must_use]
    pub fn new(address: SocketAddr, base: &str, binding: Binding) -> Self {
        Self { address, base: base.trim_end_matches('/').to_owned(), binding, headers: Vec::new() }
    }

    /// The same, asked with one more header.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name, value.to_owned()));
        other
    }

    /// The same, asked with a key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// The same, over another transport.
    #[must_use]
    pub fn over(&self, binding: Binding) -> Self {
        Self { binding, ..self.clone() }
    }

    /// The transport.
    #[must_use]
    pub const fn binding(&self) -> Binding {
        self.binding
    }

    /// The card, with the status it came with.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn card(&self) -> io::Result<(u16, Value)> {
        let path = format!("{}/.well-known/agent-card.json", self.base);
        let headers = self.headers.clone();
        let head = wire::send(self.address, &Request { method: "GET", path: &path, headers, body: None })?;
        let status = head.status;
        Ok((status, serde_json::from_str(&head.text()?).unwrap_or_default()))
    }

    /// Asks for something that is answered at once: the result, as JSON.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn ask(&self, operation: &Operation) -> Result<Value, Trouble> {
        let (request, head) = self.open(operation, None)?;
        self.answer(&request, head)
    }

    /// Asks for a stream; `after` is the id of the last event that the caller has.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn follow(&self, operation: &Operation, after: Option<&str>) -> Result<Events, Trouble> {
        let (request, head) = self.open(operation, after)?;
        if head.is_stream() && head.status == 200 {
            return Ok(Events { binding: self.binding, request, stream: head.events() });
        }
        let answer = self.answer(&request, head)?;
        Err(Trouble::Garbled(format!("no stream, but {answer}")))
    }

    fn open(&self, operation: &Operation, after: Option<&str>) -> Result<(Value, wire::Head), Trouble> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = json!(NEXT.fetch_add(1, Relaxed));
        let (method, path, body) = match self.binding {
            Binding::JsonRpc => {
                let parameters = operation.parameters();
                let body = json!({"jsonrpc": "2.0", "id": id, "method": operation.name(), "params": parameters});
                ("POST", format!("{}/a2a/jsonrpc", self.base), Some(body))
            }
            Binding::Rest => {
                let (method, path, body) = operation.rest();
                (method, format!("{}/a2a/rest{path}", self.base), body)
            }
        };
        let mut headers = vec![("a2a-version", VERSION.to_owned())];
        headers.extend(self.headers.iter().cloned());
        headers.extend(body.iter().map(|_| ("content-type", "application/json".to_owned())));
        headers.extend(after.map(|after| ("last-event-id", after.to_owned())));
        let body = body.map(|body| body.to_string().into_bytes());
        Ok((id, wire::send(self.address, &Request { method, path: &path, headers, body })?))
    }

    fn answer(&self, request: &Value, head: wire::Head) -> Result<Value, Trouble> {
        let status = head.status;
        let text = head.text()?;
        let garbled = || Trouble::Garbled(format!("{status}: {text}"));
        let body: Value = serde_json::from_str(&text).map_err(|_| garbled())?;
        match self.binding {
            Binding::JsonRpc if body.get("jsonrpc").is_some() => result_of(status, request, body),
            _ if status == 200 && self.binding == Binding::Rest => Ok(body),
            _ if body.get("error").is_some() => Err(Trouble::Refused(refusal(status, &body))),
            _ => Err(garbled()),
        }
    }
}

/// What a JSON-RPC envelope holds, once it is found to be right. Only who may not speak at all, or too much, hears of it by
/// the status, before the call is read for its id.
fn result_of(status: u16, request: &Value, envelope: Value) -> Result<Value, Trouble> {
    let is_error = envelope.get("error").is_some();
    let unread = is_error && [401, 403, 413, 429, 503].contains(&status) && envelope["id"].is_null();
    let right = envelope["jsonrpc"] == "2.0" && (unread || (status == 200 && envelope["id"] == *request));
    if !right || is_error == envelope.get("result").is_some() {
        return Err(Trouble::Garbled(format!("{status}: {envelope}")));
    }
    if is_error {
        return Err(Trouble::Refused(refusal(status, &envelope)));
    }
    let Value::Object(mut members) = envelope else { return Err(Trouble::Garbled("no object".to_owned())) };
    Ok(members.remove("result").unwrap_or_default())
}

fn refusal(status: u16, body: &Value) -> Refusal {
    let error = &body["error"];
    let details = error["data"].as_array().or_else(|| error["details"].as_array());
    let info = details.into_iter().flatten().find(|detail| {
        detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" && detail["domain"] == "a2a-protocol.org"
    });
    Refusal {
        status,
        code: error["code"].as_i64().filter(|code| *code < 0),
        reason: info.and_then(|info| info["reason"].as_str()).unwrap_or_default().to_owned(),
        message: error["message"].as_str().unwrap_or_default().to_owned(),
    }
}

/// A message of the user's, with one text part.
#[must_use]
pub fn message(id: &str, text: &str) -> Value {
    json!({"message": {"messageId": id, "role": "ROLE_USER", "parts": [{"text": text}]}})
}

/// The same, to a task.
#[must_use]
pub fn answer(id: &str, text: &str, task: &Value) -> Value {
    let mut request = message(id, text);
    request["message"]["taskId"] = task["id"].clone();
    request["message"]["contextId"] = task["contextId"].clone();
    request
}

/// A task's state, without its prefix.
#[must_use]
pub fn state(task: &Value) -> &str {
    let state = task["status"]["state"].as_str().unwrap_or("none");
    state.strip_prefix("TASK_STATE_").unwrap_or(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_alike_on_both_transports() {
        let info = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org"}]);
        let rpc = json!({"error": {"code": -32001, "message": "m", "data": info}});
        let rest = json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "m", "details": info}});
        let (rpc, rest) = (refusal(200, &rpc), refusal(404, &rest));
        assert_eq!((&*rpc.reason, rpc.code), ("TASK_NOT_FOUND", Some(-32001)));
        assert_eq!((&*rest.reason, rest.code, rest.status), ("TASK_NOT_FOUND", None, 404));
    }

    #[test]
    fn an_envelope_has_the_requests_id_and_a_result_or_an_error() {
        let good = json!({"jsonrpc": "2.0", "id": 7, "result": {"a": 1}});
        assert_eq!(result_of(200, &json!(7), good.clone()).unwrap(), json!({"a": 1}));
        result_of(200, &json!("7"), good.clone()).unwrap_err();
        result_of(500, &json!(7), good).unwrap_err();
        result_of(200, &json!(7), json!({"jsonrpc": "2.0", "id": 7})).unwrap_err();
        let unread = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "no key"}});
        assert!(matches!(result_of(401, &json!(7), unread.clone()), Err(Trouble::Refused(_))));
        assert!(matches!(result_of(200, &json!(7), unread), Err(Trouble::Garbled(_))));
        result_of(200, &json!(7), json!({"jsonrpc": "2.0", "id": 7, "result": 1, "error": null})).unwrap_err();
    }
}
