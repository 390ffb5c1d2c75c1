//! What holds for every call, whatever the binding: version, media type, tenant, parameters.

use super::{Operation, VERSION_HEADER, text_header};
use crate::{
    A2aError, ErrorKind, PROTOCOL_VERSION,
    error::shown,
    types::{Role, SendMessageRequest},
};
use http::{HeaderMap, header};

/// The largest page of a list.
pub(super) const MAX_PAGE_SIZE: i32 = 100;
/// The longest id that a client may choose, in bytes.
pub(super) const MAX_ID_BYTES: usize = 256;

/// Checks the version that a request names in its header or its query; one that names none means 0.3.
pub(super) fn version(headers: &HeaderMap, query: &[(String, String)]) -> Result<(), A2aError> {
    let in_query = || query.iter().find(|(name, _)| name.eq_ignore_ascii_case(VERSION_HEADER));
    let version = match headers.get(VERSION_HEADER) {
        Some(value) => value.to_str().unwrap_or("?"),
        None => in_query().map(|(_, value)| value.as_str()).unwrap_or_default(),
    };
    let version = version.trim();
    let spoken = match version.strip_prefix(PROTOCOL_VERSION) {
        Some("") => true,
        Some(patch) => patch
            .strip_prefix('.')
            .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit())),
        None => false,
    };
    if spoken {
        return Ok(());
    }
    let named = if version.is_empty() {
        "the request names no version of A2A, which means 0.3".to_owned()
    } else {
        format!("the request is of A2A `{}`", shown(version))
    };
    let message =
        format!("{named}; {PROTOCOL_VERSION} is spoken here: send the header `A2A-Version: {PROTOCOL_VERSION}`");
    Err(A2aError::new(ErrorKind::VersionNotSupported, message).with("supportedVersions", PROTOCOL_VERSION))
}

/// Checks that a body, where there is one, is said to be JSON.
pub(super) fn media_type(headers: &HeaderMap, body_is_empty: bool) -> Result<(), A2aError> {
    if body_is_empty || !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let media_type = text_header(headers, header::CONTENT_TYPE.as_str()).unwrap_or("?");
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if ["application/json", super::MEDIA_TYPE].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(A2aError::new(
        ErrorKind::ContentTypeNotSupported,
        format!("the body is said to be `{}`: send application/json or application/a2a+json", shown(media_type)),
    ))
}

/// Refuses a tenant: no card of ours names one, so nobody who has read it sends one.
pub(super) fn tenant(tenant: Option<&str>) -> Result<(), A2aError> {
    match tenant {
        None => Ok(()),
        Some(tenant) => Err(A2aError::new(
            ErrorKind::TaskNotFound,
            format!("there is no tenant `{}` of this agent: its card names none, leave it out", shown(tenant)),
        )),
    }
}

/// Checks the parameters' values.
pub(super) fn parameters(mut operation: Operation) -> Result<Operation, A2aError> {
    match &mut operation {
        Operation::SendMessage(request) | Operation::SendStreamingMessage(request) => message(request)?,
        Operation::GetTask(request) => {
            task_id(&request.id)?;
            history(request.history_length)?;
        }
        Operation::ListTasks(request) => {
            history(request.history_length)?;
            if let Some(size) = request.page_size
                && !(1..=MAX_PAGE_SIZE).contains(&size)
            {
                return Err(A2aError::invalid(format!("`pageSize` is {size}: ask for 1 to {MAX_PAGE_SIZE}")));
            }
        }
        Operation::CancelTask(request) => task_id(&request.id)?,
        Operation::SubscribeToTask(request) => task_id(&request.id)?,
        // Whether notifications are sent at all is for the caller to say, before anything of them matters.
        Operation::CreatePushConfig(_)
        | Operation::GetPushConfig(_)
        | Operation::ListPushConfigs(_)
        | Operation::DeletePushConfig(_)
        | Operation::GetExtendedAgentCard(_) => {}
    }
    Ok(operation)
}

fn message(request: &mut SendMessageRequest) -> Result<(), A2aError> {
    history(request.configuration.history_length)?;
    let Some(message) = &mut request.message else {
        return Err(A2aError::invalid("`message` is missing: a request to send has one"));
    };
    if message.message_id.is_empty() {
        return Err(A2aError::invalid(
            "`message.messageId` is missing: give each message an id of its own, such as a UUID",
        ));
    }
    for (name, id) in [
        ("messageId", Some(message.message_id.as_str())),
        ("contextId", message.context_id.as_deref()),
        ("taskId", message.task_id.as_deref()),
    ] {
        if id.is_some_and(|id| id.len() > MAX_ID_BYTES || id.chars().any(char::is_control)) {
            return Err(A2aError::invalid(format!(
                "`message.{name}` is not an id: at most {MAX_ID_BYTES} bytes, no control characters"
            )));
        }
    }
    if message.parts.is_empty() {
        return Err(A2aError::invalid("`message.parts` is empty: a message has at least one part"));
    }
    match message.role {
        Role::User => {}
        Role::Unspecified => message.role = Role::User,
        Role::Agent => {
            return Err(A2aError::invalid("`message.role` is ROLE_AGENT: what a client sends is of ROLE_USER"));
        }
    }
    Ok(())
}

fn task_id(id: &str) -> Result<(), A2aError> {
    if id.is_empty() {
        return Err(A2aError::invalid("`id` is missing: name the task"));
    }
    Ok(())
}

fn history(length: Option<i32>) -> Result<(), A2aError> {
    match length {
        Some(length) if length < 0 => {
            Err(A2aError::invalid(format!("`historyLength` is {length}: ask for 0 messages or more")))
        }
        _ => Ok(()),
    }
}
