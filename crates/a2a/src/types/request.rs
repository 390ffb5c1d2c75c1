//! The parameters of the operations.

use super::{Message, Task, TaskState};
use crate::{Object, Timestamp, proto};
use serde::{Deserialize, Serialize};

/// A message to an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SendMessageRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// How it is to be answered.
    #[serde(deserialize_with = "proto::nullable")]
    pub configuration: SendMessageConfiguration,
    /// What is said of the request besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

/// How a message is to be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SendMessageConfiguration {
    /// Media types that the client takes.
    #[serde(
        alias = "accepted_output_modes",
        deserialize_with = "proto::nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub accepted_output_modes: Vec<String>,
    /// Where to send what happens.
    #[serde(alias = "task_push_notification_config", skip_serializing_if = "Option::is_none")]
    pub task_push_notification_config: Option<TaskPushNotificationConfig>,
    /// At most how many of the latest messages the answer holds.
    #[serde(alias = "history_length", deserialize_with = "proto::int32", skip_serializing_if = "Option::is_none")]
    pub history_length: Option<i32>,
    /// Whether to answer as soon as the task exists.
    #[serde(
        alias = "return_immediately",
        deserialize_with = "proto::nullable",
        skip_serializing_if = "proto::is_false"
    )]
    pub return_immediately: bool,
}

/// Which task to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetTaskRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The task.
    #[serde(deserialize_with = "proto::nullable")]
    pub id: String,
    /// At most how many of the latest messages the answer holds.
    #[serde(alias = "history_length", deserialize_with = "proto::int32", skip_serializing_if = "Option::is_none")]
    pub history_length: Option<i32>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTasksRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only those of this conversation.
    #[serde(alias = "context_id", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// Only those in this state; unspecified means any.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "is_unspecified")]
    pub status: TaskState,
    /// At most how many.
    #[serde(alias = "page_size", deserialize_with = "proto::int32", skip_serializing_if = "Option::is_none")]
    pub page_size: Option<i32>,
    /// Where the page before ended.
    #[serde(alias = "page_token", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
    /// At most how many of the latest messages each task holds.
    #[serde(alias = "history_length", deserialize_with = "proto::int32", skip_serializing_if = "Option::is_none")]
    pub history_length: Option<i32>,
    /// Only those whose status is of that moment or later.
    #[serde(alias = "status_timestamp_after", skip_serializing_if = "Option::is_none")]
    pub status_timestamp_after: Option<Timestamp>,
    /// Whether to tell what they made.
    #[serde(alias = "include_artifacts", skip_serializing_if = "Option::is_none")]
    pub include_artifacts: Option<bool>,
}

fn is_unspecified(state: &TaskState) -> bool {
    *state == TaskState::Unspecified
}

/// A page of tasks. Every member is written, the empty ones too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListTasksResponse {
    /// The tasks, the latest status first.
    #[serde(deserialize_with = "proto::nullable")]
    pub tasks: Vec<Task>,
    /// What to ask the next page with; empty on the last.
    #[serde(alias = "next_page_token", deserialize_with = "proto::nullable")]
    pub next_page_token: String,
    /// How many a page holds.
    #[serde(alias = "page_size", deserialize_with = "proto::int32_or_zero")]
    pub page_size: i32,
    /// How many there are over all pages.
    #[serde(alias = "total_size", deserialize_with = "proto::int32_or_zero")]
    pub total_size: i32,
}

/// Which task to cancel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CancelTaskRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The task.
    #[serde(deserialize_with = "proto::nullable")]
    pub id: String,
    /// What is said of the request besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

/// Which task to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscribeToTaskRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The task.
    #[serde(deserialize_with = "proto::nullable")]
    pub id: String,
}

/// Asks for the card that verified callers see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetExtendedAgentCardRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// Where to send what happens to a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskPushNotificationConfig {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Its id.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The task.
    #[serde(alias = "task_id", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Where to.
    #[serde(deserialize_with = "proto::nullable")]
    pub url: String,
    /// What the receiver knows the sender by.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What to sign in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationInfo>,
}

/// What to sign in with at the receiver of notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthenticationInfo {
    /// The scheme, such as `Bearer`.
    #[serde(deserialize_with = "proto::nullable")]
    pub scheme: String,
    /// What follows the scheme.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// Which push configuration to show or to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PushConfigRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The task.
    #[serde(alias = "task_id", deserialize_with = "proto::nullable")]
    pub task_id: String,
    /// The configuration.
    #[serde(deserialize_with = "proto::nullable")]
    pub id: String,
}

/// Whose push configurations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListPushConfigsRequest {
    /// The tenant that the interface's card names.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The task.
    #[serde(alias = "task_id", deserialize_with = "proto::nullable")]
    pub task_id: String,
    /// At most how many.
    #[serde(alias = "page_size", deserialize_with = "proto::int32_or_zero", skip_serializing_if = "proto::is_zero")]
    pub page_size: i32,
    /// Where the page before ended.
    #[serde(alias = "page_token", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}
