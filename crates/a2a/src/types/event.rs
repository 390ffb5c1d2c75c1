//! What a stream carries, and what a message is answered with.

use super::{Artifact, Message, Task, TaskStatus};
use crate::{Object, proto};
use serde::{Deserialize, Serialize};

/// A task's status has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStatusUpdateEvent {
    /// The task.
    #[serde(alias = "task_id", deserialize_with = "proto::nullable")]
    pub task_id: String,
    /// The conversation it belongs to.
    #[serde(alias = "context_id", deserialize_with = "proto::nullable")]
    pub context_id: String,
    /// The status it has now.
    #[serde(deserialize_with = "proto::nullable")]
    pub status: TaskStatus,
    /// What is said of the event besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

/// A task has made something, or more of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskArtifactUpdateEvent {
    /// The task.
    #[serde(alias = "task_id", deserialize_with = "proto::nullable")]
    pub task_id: String,
    /// The conversation it belongs to.
    #[serde(alias = "context_id", deserialize_with = "proto::nullable")]
    pub context_id: String,
    /// What was made.
    #[serde(deserialize_with = "proto::nullable")]
    pub artifact: Artifact,
    /// Whether its parts are added to those sent before under the same id.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "proto::is_false")]
    pub append: bool,
    /// Whether no more of it follows.
    #[serde(alias = "last_chunk", deserialize_with = "proto::nullable", skip_serializing_if = "proto::is_false")]
    pub last_chunk: bool,
    /// What is said of the event besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}

/// One thing that a stream carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StreamWire", into = "StreamWire")]
pub enum StreamResponse {
    /// The task as it stands.
    Task(Task),
    /// An answer without a task.
    Message(Message),
    /// The task's status has changed.
    StatusUpdate(TaskStatusUpdateEvent),
    /// The task has made something.
    ArtifactUpdate(TaskArtifactUpdateEvent),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StreamWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    #[serde(alias = "status_update", skip_serializing_if = "Option::is_none")]
    status_update: Option<TaskStatusUpdateEvent>,
    #[serde(alias = "artifact_update", skip_serializing_if = "Option::is_none")]
    artifact_update: Option<TaskArtifactUpdateEvent>,
}

impl TryFrom<StreamWire> for StreamResponse {
    type Error = &'static str;

    fn try_from(wire: StreamWire) -> Result<Self, Self::Error> {
        match (wire.task, wire.message, wire.status_update, wire.artifact_update) {
            (Some(task), None, None, None) => Ok(Self::Task(task)),
            (None, Some(message), None, None) => Ok(Self::Message(message)),
            (None, None, Some(update), None) => Ok(Self::StatusUpdate(update)),
            (None, None, None, Some(update)) => Ok(Self::ArtifactUpdate(update)),
            _ => Err("an event holds exactly one of `task`, `message`, `statusUpdate`, `artifactUpdate`"),
        }
    }
}

impl From<StreamResponse> for StreamWire {
    fn from(response: StreamResponse) -> Self {
        let mut wire = Self::default();
        match response {
            StreamResponse::Task(task) => wire.task = Some(task),
            StreamResponse::Message(message) => wire.message = Some(message),
            StreamResponse::StatusUpdate(update) => wire.status_update = Some(update),
            StreamResponse::ArtifactUpdate(update) => wire.artifact_update = Some(update),
        }
        wire
    }
}

/// What a message is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SendWire", into = "SendWire")]
pub enum SendMessageResponse {
    /// The task that it began or went on with.
    Task(Task),
    /// An answer without a task.
    Message(Message),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct SendWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

impl TryFrom<SendWire> for SendMessageResponse {
    type Error = &'static str;

    fn try_from(wire: SendWire) -> Result<Self, Self::Error> {
        match (wire.task, wire.message) {
            (Some(task), None) => Ok(Self::Task(task)),
            (None, Some(message)) => Ok(Self::Message(message)),
            _ => Err("an answer holds exactly one of `task`, `message`"),
        }
    }
}

impl From<SendMessageResponse> for SendWire {
    fn from(response: SendMessageResponse) -> Self {
        match response {
            SendMessageResponse::Task(task) => Self { task: Some(task), message: None },
            SendMessageResponse::Message(message) => Self { task: None, message: Some(message) },
        }
    }
}
