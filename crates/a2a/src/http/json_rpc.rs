//! JSON-RPC 2.0: one POST, the method in the body, errors in an envelope.

use super::{Operation, check, query};
use crate::{A2aError, ErrorKind, error::shown, proto};
use bivouac_protocol::Json;
use bytes::Bytes;
use http::{Method, Request};
use serde::{Deserialize, de::DeserializeOwned};

/// The longest id of a request, in bytes of its JSON.
const MAX_ID_BYTES: usize = 1024;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope {
    jsonrpc: Option<Json>,
    #[serde(deserialize_with = "proto::present")]
    id: Option<Json>,
    method: Option<Json>,
    params: Option<Json>,
}

/// Reads a request: its id, as far as there is one, and what it wants.
pub(super) fn read(request: &Request<Bytes>) -> (Json, Result<Operation, A2aError>) {
    if request.method() != Method::POST {
        let error = A2aError::new(
            ErrorKind::MethodNotAllowed,
            format!("JSON-RPC is spoken with POST, this is {}", shown(request.method().as_str())),
        );
        return (Json::null(), Err(error));
    }
    if let Err(error) = check::media_type(request.headers(), request.body().is_empty()) {
        return (Json::null(), Err(error));
    }
    let envelope = match envelope(request.body()) {
        Ok(envelope) => envelope,
        Err(error) => return (Json::null(), Err(error)),
    };
    let id = match envelope.id.clone().map(checked_id) {
        Some(Ok(id)) => id,
        Some(Err(error)) => return (Json::null(), Err(error)),
        None => {
            let error = A2aError::new(
                ErrorKind::InvalidRequest,
                "the request has no `id`: a notification would have no answer, and every method here has one",
            );
            return (Json::null(), Err(error));
        }
    };
    let operation = operation(request, envelope);
    (id, operation)
}

fn envelope(body: &[u8]) -> Result<Envelope, A2aError> {
    let json = Json::parse_bytes(body)
        .map_err(|error| A2aError::new(ErrorKind::Parse, format!("the body is not JSON: {error}")))?;
    if !json.text().trim_start().starts_with('{') {
        return Err(A2aError::new(
            ErrorKind::InvalidRequest,
            "the body is not one request: send one JSON object, no list",
        ));
    }
    json.parse()
        .map_err(|error| A2aError::new(ErrorKind::InvalidRequest, format!("the body is not a request: {error}")))
}

fn checked_id(id: Json) -> Result<Json, A2aError> {
    let text = id.text().trim();
    let fits = text == "null" || text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    if fits && text.len() <= MAX_ID_BYTES {
        return Ok(id);
    }
    Err(A2aError::new(
        ErrorKind::InvalidRequest,
        format!("the request's `id` is not a text, a number or null of at most {MAX_ID_BYTES} bytes"),
    ))
}

fn operation(request: &Request<Bytes>, envelope: Envelope) -> Result<Operation, A2aError> {
    let text = |json: Option<Json>| json.and_then(|json| json.parse::<String>().ok());
    if text(envelope.jsonrpc).as_deref() != Some("2.0") {
        return Err(A2aError::new(ErrorKind::InvalidRequest, "`jsonrpc` is not \"2.0\": say that it is JSON-RPC 2.0"));
    }
    let Some(method) = text(envelope.method) else {
        return Err(A2aError::new(ErrorKind::InvalidRequest, "`method` is missing, or not a text"));
    };
    check::version(request.headers(), &query(request)?)?;
    let params = Params(envelope.params);
    match method.as_str() {
        "SendMessage" => params.read().map(Box::new).map(Operation::SendMessage),
        "SendStreamingMessage" => params.read().map(Box::new).map(Operation::SendStreamingMessage),
        "GetTask" => params.read().map(Operation::GetTask),
        "ListTasks" => params.read().map(Operation::ListTasks),
        "CancelTask" => params.read().map(Operation::CancelTask),
        "SubscribeToTask" => params.read().map(Operation::SubscribeToTask),
        "CreateTaskPushNotificationConfig" => params.read().map(Operation::CreatePushConfig),
        "GetTaskPushNotificationConfig" => params.read().map(Operation::GetPushConfig),
        "ListTaskPushNotificationConfigs" => params.read().map(Operation::ListPushConfigs),
        "DeleteTaskPushNotificationConfig" => params.read().map(Operation::DeletePushConfig),
        "GetExtendedAgentCard" => params.read().map(Operation::GetExtendedAgentCard),
        other => Err(A2aError::new(
            ErrorKind::MethodNotFound,
            format!("there is no method `{}`: the specification of A2A 1.0 lists them, section 5.3", shown(other)),
        )),
    }
}

struct Params(Option<Json>);

impl Params {
    fn read<T: DeserializeOwned + Default>(&self) -> Result<T, A2aError> {
        let Some(params) = &self.0 else { return Ok(T::default()) };
        if !params.text().trim_start().starts_with('{') {
            return Err(A2aError::invalid("`params` is not a JSON object"));
        }
        params.parse().map_err(|error| A2aError::invalid(format!("`params` cannot be read: {error}")))
    }
}

/// The envelope of a result.
pub(super) fn done(id: &Json, result: &Json) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#, id.text(), result.text())
}

/// The envelope of an error.
pub(super) fn failed(id: &Json, error: &A2aError) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{}}}"#, id.text(), error.to_json_rpc().text())
}
