//! Tasks and their states.

use super::{Artifact, Message};
use crate::{Object, Timestamp, proto};
use serde::{Deserialize, Serialize};

proto::proto_enum! {
    /// Where a task stands.
    TaskState, "task state" {
        /// Not said.
        #[default]
        Unspecified = 0, "TASK_STATE_UNSPECIFIED";
        /// Accepted, not begun.
        Submitted = 1, "TASK_STATE_SUBMITTED";
        /// Begun, not ended.
        Working = 2, "TASK_STATE_WORKING";
        /// Ended well.
        Completed = 3, "TASK_STATE_COMPLETED";
        /// Ended with an error.
        Failed = 4, "TASK_STATE_FAILED";
        /// Ended because somebody wished so.
        Canceled = 5, "TASK_STATE_CANCELED";
        /// Waits for an answer of the client's.
        InputRequired = 6, "TASK_STATE_INPUT_REQUIRED";
        /// Ended without being begun, because the agent declined.
        Rejected = 7, "TASK_STATE_REJECTED";
        /// Waits for somebody to sign in.
        AuthRequired = 8, "TASK_STATE_AUTH_REQUIRED";
    }
}

impl TaskState {
    /// Whether a task in this state has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Whether a task in this state waits for the client.
    #[must_use]
    pub const fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }
}

/// A task's state, with what was said about it and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStatus {
    /// The state.
    #[serde(deserialize_with = "proto::nullable")]
    pub state: TaskState,
    /// What the agent says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// A piece of work, as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    /// Its id, made by the server.
    #[serde(deserialize_with = "proto::nullable")]
    pub id: String,
    /// The conversation it belongs to.
    #[serde(alias = "context_id", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// Where it stands.
    #[serde(deserialize_with = "proto::nullable")]
    pub status: TaskStatus,
    /// What it made; `None` where it is left out, which is not the same as nothing made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Vec<Artifact>>,
    /// What was said, oldest first, without the message of the present status.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// What is said of it besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
}
