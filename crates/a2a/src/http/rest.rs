//! HTTP+JSON: the operation in method and path, its parameters in path, query and body.

use super::{Operation, check, decoded, query};
use crate::{
    A2aError, ErrorKind, Timestamp,
    error::shown,
    proto,
    types::{
        CancelTaskRequest, GetExtendedAgentCardRequest, GetTaskRequest, ListPushConfigsRequest, ListTasksRequest,
        PushConfigRequest, SubscribeToTaskRequest, TaskPushNotificationConfig, TaskState,
    },
};
use bytes::Bytes;
use http::{Method, Request};
use serde::de::DeserializeOwned;

/// Reads a request whose path, below the interface, is `path`.
pub(super) fn read(request: &Request<Bytes>, path: &str) -> Result<Operation, A2aError> {
    let query = Query(query(request)?);
    let route = Route::of(path)?;
    let operation = route.operation(request.method(), path)?;
    check::version(request.headers(), &query.0)?;
    check::media_type(request.headers(), request.body().is_empty())?;
    let body = Body(request.body());
    let operation = match (operation, route) {
        (Kind::Send, _) => Operation::SendMessage(Box::new(body.read()?)),
        (Kind::Stream, _) => Operation::SendStreamingMessage(Box::new(body.read()?)),
        (Kind::List, _) => Operation::ListTasks(ListTasksRequest {
            tenant: query.text("tenant"),
            context_id: query.text("contextId"),
            status: query.read("status", "the name or the number of a task state", task_state)?.unwrap_or_default(),
            page_size: query.integer("pageSize")?,
            page_token: query.text("pageToken"),
            history_length: query.integer("historyLength")?,
            status_timestamp_after: query.read(
                "statusTimestampAfter",
                "a moment such as 2026-11-21T14:00:00Z",
                Timestamp::parse,
            )?,
            include_artifacts: query.read("includeArtifacts", "true or false", |text| text.parse().ok())?,
        }),
        (Kind::Get, Route::Task(id)) => Operation::GetTask(GetTaskRequest {
            tenant: query.text("tenant"),
            id,
            history_length: query.integer("historyLength")?,
        }),
        (Kind::Cancel, Route::Cancel(id)) => {
            let mut request: CancelTaskRequest = body.read()?;
            request.id = same_id("id", id, &request.id)?;
            Operation::CancelTask(request)
        }
        (Kind::Subscribe, Route::Subscribe(id)) => {
            let mut request: SubscribeToTaskRequest = body.read()?;
            request.id = same_id("id", id, &request.id)?;
            request.tenant = request.tenant.or_else(|| query.text("tenant"));
            Operation::SubscribeToTask(request)
        }
        (Kind::CreatePush, Route::PushConfigs(task)) => {
            let mut config: TaskPushNotificationConfig = body.read()?;
            config.task_id = Some(same_id("taskId", task, config.task_id.as_deref().unwrap_or_default())?);
            Operation::CreatePushConfig(config)
        }
        (Kind::ListPush, Route::PushConfigs(task_id)) => Operation::ListPushConfigs(ListPushConfigsRequest {
            tenant: query.text("tenant"),
            task_id,
            page_size: query.integer("pageSize")?.unwrap_or_default(),
            page_token: query.text("pageToken"),
        }),
        (Kind::GetPush, Route::PushConfig(task_id, id)) => {
            Operation::GetPushConfig(PushConfigRequest { tenant: query.text("tenant"), task_id, id })
        }
        (Kind::DeletePush, Route::PushConfig(task_id, id)) => {
            Operation::DeletePushConfig(PushConfigRequest { tenant: query.text("tenant"), task_id, id })
        }
        (Kind::Card, _) => {
            Operation::GetExtendedAgentCard(GetExtendedAgentCardRequest { tenant: query.text("tenant") })
        }
        (_, _) => return Err(no_path(path)),
    };
    Ok(operation)
}

fn no_path(path: &str) -> A2aError {
    let message =
        format!("there is no `{}` here: the specification of A2A 1.0 lists the paths, section 11.3", shown(path));
    A2aError::new(ErrorKind::MethodNotFound, message)
}

/// A path that is known, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Send,
    Stream,
    Tasks,
    Task(String),
    Cancel(String),
    Subscribe(String),
    PushConfigs(String),
    PushConfig(String, String),
    Card,
}

/// What a path means with a method.
#[derive(Clone, Copy)]
enum Kind {
    Send,
    Stream,
    List,
    Get,
    Cancel,
    Subscribe,
    CreatePush,
    ListPush,
    GetPush,
    DeletePush,
    Card,
}

impl Route {
    fn of(path: &str) -> Result<Self, A2aError> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        if let Some(route) = Self::of_segments(&segments)? {
            return Ok(route);
        }
        // `/{tenant}/..` is the same route for a tenant; no card of ours names one.
        if let Some((tenant, rest)) = segments.split_first()
            && Self::of_segments(rest)?.is_some()
        {
            check::tenant(Some(&decoded(tenant)?))?;
        }
        Err(no_path(path))
    }

    fn of_segments(segments: &[&str]) -> Result<Option<Self>, A2aError> {
        Ok(match *segments {
            ["message:send"] => Some(Self::Send),
            ["message:stream"] => Some(Self::Stream),
            ["extendedAgentCard"] => Some(Self::Card),
            ["tasks"] => Some(Self::Tasks),
            ["tasks", id] if !id.is_empty() => Some(match id.rsplit_once(':') {
                Some((id, "cancel")) => Self::Cancel(decoded(id)?),
                Some((id, "subscribe")) => Self::Subscribe(decoded(id)?),
                // A client that encodes the whole segment encodes the colon too.
                _ => match decoded(id)? {
                    id if id.ends_with(":cancel") => Self::Cancel(id[..id.len() - ":cancel".len()].to_owned()),
                    id if id.ends_with(":subscribe") => Self::Subscribe(id[..id.len() - ":subscribe".len()].to_owned()),
                    id => Self::Task(id),
                },
            }),
            ["tasks", id, "pushNotificationConfigs"] => Some(Self::PushConfigs(decoded(id)?)),
            ["tasks", id, "pushNotificationConfigs", config] => Some(Self::PushConfig(decoded(id)?, decoded(config)?)),
            _ => None,
        })
    }

    fn operation(&self, method: &Method, path: &str) -> Result<Kind, A2aError> {
        Ok(match (self, method.as_str()) {
            (Self::Send, "POST") => Kind::Send,
            (Self::Stream, "POST") => Kind::Stream,
            (Self::Tasks, "GET") => Kind::List,
            (Self::Task(_), "GET") => Kind::Get,
            (Self::Cancel(_), "POST") => Kind::Cancel,
            // The specification's table says POST, its proto GET.
            (Self::Subscribe(_), "GET" | "POST") => Kind::Subscribe,
            (Self::PushConfigs(_), "POST") => Kind::CreatePush,
            (Self::PushConfigs(_), "GET") => Kind::ListPush,
            (Self::PushConfig(..), "GET") => Kind::GetPush,
            (Self::PushConfig(..), "DELETE") => Kind::DeletePush,
            (Self::Card, "GET") => Kind::Card,
            (_, method) => {
                return Err(A2aError::new(
                    ErrorKind::MethodNotAllowed,
                    format!("`{}` is known, but not with {}", shown(path), shown(method)),
                ));
            }
        })
    }
}

/// The id of the path, which the body may repeat.
fn same_id(name: &str, path: String, body: &str) -> Result<String, A2aError> {
    if body.is_empty() || body == path {
        return Ok(path);
    }
    Err(A2aError::invalid(format!("`{name}` is `{}` in the body and `{}` in the path", shown(body), shown(&path))))
}

fn task_state(text: &str) -> Option<TaskState> {
    TaskState::of_name(text).or_else(|| text.parse().ok().and_then(TaskState::of_number))
}

struct Body<'a>(&'a Bytes);

impl Body<'_> {
    fn read<T: DeserializeOwned + Default>(&self) -> Result<T, A2aError> {
        if self.0.iter().all(u8::is_ascii_whitespace) {
            return Ok(T::default());
        }
        serde_json::from_slice(self.0).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => A2aError::invalid(format!("the body cannot be read: {error}")),
            _ => A2aError::new(ErrorKind::Parse, format!("the body is not JSON: {error}")),
        })
    }
}

/// The members of a query, by their names in camel or snake case.
struct Query(Vec<(String, String)>);

impl Query {
    fn text(&self, name: &str) -> Option<String> {
        let named = |other: &str| other == name || is_snake_of(other, name);
        let member = self.0.iter().rev().find(|(other, _)| named(other));
        member.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    fn read<T>(&self, name: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, A2aError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(A2aError::invalid(format!("`{name}` is `{}`: give {what}", shown(&text)))),
        }
    }

    fn integer(&self, name: &str) -> Result<Option<i32>, A2aError> {
        self.read(name, "a 32-bit integer", proto::int32_of_text)
    }
}

fn is_snake_of(snake: &str, camel: &str) -> bool {
    let mut expected = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            expected.push('_');
        }
        expected.push(letter.to_ascii_lowercase());
    }
    snake == expected
}
