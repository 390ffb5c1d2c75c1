//! Content: parts, messages and artifacts.

use crate::{Object, proto};
use bivouac_protocol::Json;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

proto::proto_enum! {
    /// Who speaks.
    Role, "role" {
        /// Not said.
        #[default]
        Unspecified = 0, "ROLE_UNSPECIFIED";
        /// The client.
        User = 1, "ROLE_USER";
        /// The agent.
        Agent = 2, "ROLE_AGENT";
    }
}

/// One piece of content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PartWire", into = "PartWire")]
pub struct Part {
    /// What it holds.
    pub content: PartContent,
    /// What is said of it besides.
    pub metadata: Option<Object>,
    /// The file's name, where it is one.
    pub filename: Option<String>,
    /// Its media type; unset, the content's usual one.
    pub media_type: Option<String>,
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartContent {
    /// Words.
    Text(String),
    /// A file's bytes.
    Raw(Bytes),
    /// Where a file's bytes are.
    Url(String),
    /// Any JSON value, `null` too.
    Data(Json),
}

impl Part {
    /// A part of that content, with nothing said of it.
    #[must_use]
    pub const fn new(content: PartContent) -> Self {
        Self { content, metadata: None, filename: None, media_type: None }
    }

    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PartContent::Text(text.into()))
    }

    /// Any JSON value.
    #[must_use]
    pub const fn data(data: Json) -> Self {
        Self::new(PartContent::Data(data))
    }

    /// A file's bytes.
    pub fn raw(bytes: impl Into<Bytes>, media_type: impl Into<String>) -> Self {
        Self { media_type: Some(media_type.into()), ..Self::new(PartContent::Raw(bytes.into())) }
    }

    /// Where a file's bytes are.
    pub fn url(url: impl Into<String>) -> Self {
        Self::new(PartContent::Url(url.into()))
    }

    /// Its words, where it holds some.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            PartContent::Text(text) => Some(text),
            PartContent::Raw(_) | PartContent::Url(_) | PartContent::Data(_) => None,
        }
    }
}

/// A part's members side by side: which of the first four is there says what it holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "proto::present")]
    data: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "proto::some_text")]
    filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", alias = "media_type", deserialize_with = "proto::some_text")]
    media_type: Option<String>,
}

impl TryFrom<PartWire> for Part {
    type Error = String;

    fn try_from(wire: PartWire) -> Result<Self, String> {
        // A null beside another content is that field's default; alone it is the value null.
        let others = wire.text.is_some() || wire.raw.is_some() || wire.url.is_some();
        let data = wire.data.filter(|data| !others || data.text() != "null");
        let content = match (wire.text, wire.raw, wire.url, data) {
            (Some(text), None, None, None) => PartContent::Text(text),
            (None, Some(raw), None, None) => {
                PartContent::Raw(proto::bytes_of_text(&raw).ok_or("a part's `raw` is not base64")?)
            }
            (None, None, Some(url), None) => PartContent::Url(url),
            (None, None, None, Some(data)) => PartContent::Data(data),
            (None, None, None, None) => return Err("a part holds one of `text`, `raw`, `url`, `data`".to_owned()),
            _ => return Err("a part holds only one of `text`, `raw`, `url`, `data`".to_owned()),
        };
        Ok(Self { content, metadata: wire.metadata, filename: wire.filename, media_type: wire.media_type })
    }
}

impl From<Part> for PartWire {
    fn from(part: Part) -> Self {
        let mut wire =
            Self { metadata: part.metadata, filename: part.filename, media_type: part.media_type, ..Self::default() };
        match part.content {
            PartContent::Text(text) => wire.text = Some(text),
            PartContent::Raw(bytes) => wire.raw = Some(proto::text_of_bytes(&bytes)),
            PartContent::Url(url) => wire.url = Some(url),
            PartContent::Data(data) => wire.data = Some(data),
        }
        wire
    }
}

/// One thing said, by the client or the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// Its id, made by who says it.
    #[serde(alias = "message_id", deserialize_with = "proto::nullable")]
    pub message_id: String,
    /// The conversation it belongs to.
    #[serde(alias = "context_id", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
    /// The task it belongs to.
    #[serde(alias = "task_id", deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Who says it.
    #[serde(deserialize_with = "proto::nullable")]
    pub role: Role,
    /// What is said.
    #[serde(deserialize_with = "proto::nullable")]
    pub parts: Vec<Part>,
    /// What is said of it besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
    /// Extensions that it uses, by their URIs.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Tasks that it speaks of.
    #[serde(alias = "reference_task_ids", deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub reference_task_ids: Vec<String>,
}

impl Message {
    /// A client's message of these parts.
    pub fn user(message_id: impl Into<String>, parts: Vec<Part>) -> Self {
        Self { message_id: message_id.into(), role: Role::User, parts, ..Self::default() }
    }

    /// An agent's message of these parts.
    pub fn agent(message_id: impl Into<String>, parts: Vec<Part>) -> Self {
        Self { message_id: message_id.into(), role: Role::Agent, parts, ..Self::default() }
    }

    /// Its words, the parts that are words joined by line ends.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n")
    }
}

/// Something that the agent made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Artifact {
    /// Its id, unique within the task.
    #[serde(alias = "artifact_id", deserialize_with = "proto::nullable")]
    pub artifact_id: String,
    /// Its name for a person.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is, for a person.
    #[serde(deserialize_with = "proto::some_text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it holds.
    #[serde(deserialize_with = "proto::nullable")]
    pub parts: Vec<Part>,
    /// What is said of it besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
    /// Extensions that it uses, by their URIs.
    #[serde(deserialize_with = "proto::nullable", skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}
