//! What is said in A2A: messages, tasks, events, requests, cards; the package `lf.a2a.v1` as ProtoJSON.
//!
//! Reading is tolerant, as ProtoJSON demands: `null` is a field's default, names come in camel or snake case, enums by
//! name or number, unknown members are ignored. Writing is canonical. Raw values (data parts, metadata) stay the text
//! that they came as. A field without presence whose value is empty is `None` here, and not written.

mod card;
mod event;
mod message;
mod request;
mod task;

pub use card::{
    AgentCapabilities, AgentCard, AgentCardSignature, AgentExtension, AgentInterface, AgentProvider, AgentSkill,
    SecurityRequirement, SecurityScheme, StringList,
};
pub use event::{SendMessageResponse, StreamResponse, TaskArtifactUpdateEvent, TaskStatusUpdateEvent};
pub use message::{Artifact, Message, Part, PartContent, Role};
pub use request::{
    AuthenticationInfo, CancelTaskRequest, GetExtendedAgentCardRequest, GetTaskRequest, ListPushConfigsRequest,
    ListTasksRequest, ListTasksResponse, PushConfigRequest, SendMessageConfiguration, SendMessageRequest,
    SubscribeToTaskRequest, TaskPushNotificationConfig,
};
pub use task::{Task, TaskState, TaskStatus};
