//! What a guest can ask of its host.

use super::{
    codec::{Attachments, FrameError},
    question::{AnswerOption, InputType, Question},
};
use crate::{Json, key::Digest};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An operation: one row of the guest contract's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// An HTTP request. GET and HEAD are `safe`, all others `keyed`.
    Http(HttpRequest),
    /// Reads one value of the caller's memory. `safe`; gives the value or `null`.
    MemoryLoad {
        /// The name within the caller's memory.
        name: String,
    },
    /// Lists the names that begin so, in order. `safe`; gives a list of names.
    MemoryList {
        /// What the names begin with.
        prefix: String,
    },
    /// Keeps one value. Visible with the commit of its turn, performed once per key.
    MemorySave {
        /// The name within the caller's memory.
        name: String,
        /// The value.
        value: Json,
    },
    /// Forgets one value.
    MemoryDelete {
        /// The name within the caller's memory.
        name: String,
    },
    /// Waits for a duration.
    Sleep {
        /// How long, in milliseconds.
        ms: u64,
        /// When it is due in milliseconds since the Unix epoch, where an earlier attempt already armed it.
        until_ms: Option<u64>,
    },
    /// Asks a person, and waits for the answer.
    Ask(Question),
    /// An operation that this revision does not know.
    Unknown {
        /// Its name.
        op: String,
    },
}

/// The names of the operations that this revision knows.
pub mod op_names {
    /// See [`super::Op::Http`].
    pub const HTTP: &str = "http";
    /// See [`super::Op::MemoryLoad`].
    pub const MEMORY_LOAD: &str = "memory.load";
    /// See [`super::Op::MemoryList`].
    pub const MEMORY_LIST: &str = "memory.list";
    /// See [`super::Op::MemorySave`].
    pub const MEMORY_SAVE: &str = "memory.save";
    /// See [`super::Op::MemoryDelete`].
    pub const MEMORY_DELETE: &str = "memory.delete";
    /// See [`super::Op::Sleep`].
    pub const SLEEP: &str = "sleep";
    /// See [`super::Op::Ask`].
    pub const ASK: &str = "ask";
    /// All of them.
    pub const ALL: &[&str] = &[HTTP, MEMORY_LOAD, MEMORY_LIST, MEMORY_SAVE, MEMORY_DELETE, SLEEP, ASK];
}

/// An HTTP request as the guest writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, in capitals.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The headers, in order.
    pub headers: Vec<(String, HeaderValue)>,
    /// The body.
    pub body: Option<Body>,
    /// The longest the whole exchange may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// The reply to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body: JSON where it says so and is, else text where it is UTF-8, else bytes.
    pub body: Body,
}

/// A header's value: a text, or parts of which some are secrets that the host puts in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValue {
    /// A text.
    Text(String),
    /// `["Bearer ", {"$secret":"NAME"}]`.
    Parts(Vec<Part>),
}

/// A part of a header's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// A text.
    Text(String),
    /// A secret by its name; the guest never sees its value.
    Secret {
        /// The secret's name.
        #[serde(rename = "$secret")]
        secret: String,
    },
}

/// A body: `{"json":..}`, `{"text":".."}` or `{"$att":i}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// JSON text as it is.
    Json(Json),
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Bytes),
}

impl Body {
    /// The bytes that go over the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(json) => json.text().as_bytes(),
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    fn to_wire(&self, attachments: &mut Attachments) -> BodyWire {
        let mut wire = BodyWire::default();
        match self {
            Self::Json(json) => wire.json = Some(json.clone()),
            Self::Text(text) => wire.text = Some(text.clone()),
            Self::Bytes(bytes) => wire.att = Some(attachments.add(bytes.clone())),
        }
        wire
    }
}

#[derive(Default, Serialize, Deserialize)]
struct BodyWire {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    json: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(rename = "$att", default, skip_serializing_if = "Option::is_none")]
    att: Option<usize>,
}

impl BodyWire {
    fn resolve(self, attachments: &[Bytes]) -> Result<Body, FrameError> {
        match self {
            Self { json: Some(json), text: None, att: None } => Ok(Body::Json(json)),
            Self { json: None, text: Some(text), att: None } => Ok(Body::Text(text)),
            Self { json: None, text: None, att: Some(index) } => {
                attachments.get(index).cloned().map(Body::Bytes).ok_or(FrameError::NoSuchAttachment(index))
            }
            _ => Err(FrameError::Header("a body is exactly one of `json`, `text` and `$att`".to_owned())),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ResponseWire {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<BodyWire>,
}

impl HttpResponse {
    pub(super) fn to_json(&self, attachments: &mut Attachments) -> Json {
        let wire = ResponseWire {
            status: self.status,
            headers: self.headers.clone(),
            body: Some(self.body.to_wire(attachments)),
        };
        Json::of(&wire).expect("a response has text keys")
    }

    /// Reads a reply from an outcome's value and its frame's attachments.
    ///
    /// # Errors
    /// [`FrameError`] where the value is not a reply.
    pub fn from_json(json: &Json, attachments: &[Bytes]) -> Result<Self, FrameError> {
        let wire: ResponseWire = json.parse().map_err(|error| FrameError::Header(error.to_string()))?;
        let body = wire.body.map(|body| body.resolve(attachments)).transpose()?;
        Ok(Self { status: wire.status, headers: wire.headers, body: body.unwrap_or_else(|| Body::Text(String::new())) })
    }
}

/// Every op's fields side by side: tagged enums would re-write raw JSON.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct OpWire {
    op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(String, HeaderValue)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<BodyWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    value: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_type: Option<InputType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Vec<AnswerOption>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    content: Option<Json>,
}

impl Op {
    /// The operation's name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Http(_) => op_names::HTTP,
            Self::MemoryLoad { .. } => op_names::MEMORY_LOAD,
            Self::MemoryList { .. } => op_names::MEMORY_LIST,
            Self::MemorySave { .. } => op_names::MEMORY_SAVE,
            Self::MemoryDelete { .. } => op_names::MEMORY_DELETE,
            Self::Sleep { .. } => op_names::SLEEP,
            Self::Ask(_) => op_names::ASK,
            Self::Unknown { op } => op,
        }
    }

    /// The digest of the arguments in the guest's form; a `sleep` is digested by its requested duration.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let name = self.name().as_bytes();
        match self {
            Self::Http(request) => {
                let headers = serde_json::to_vec(&request.headers).expect("headers have text keys");
                // The kind is part of the request: it decides the content type that the host puts in.
                let (kind, body): (&[u8], &[u8]) = match &request.body {
                    None => (b"", b""),
                    Some(Body::Json(json)) => (b"json", json.text().as_bytes()),
                    Some(Body::Text(text)) => (b"text", text.as_bytes()),
                    Some(Body::Bytes(bytes)) => (b"bytes", bytes),
                };
                Digest::of([name, request.method.as_bytes(), request.url.as_bytes(), &headers, kind, body])
            }
            Self::MemoryLoad { name: key } | Self::MemoryList { prefix: key } | Self::MemoryDelete { name: key } => {
                Digest::of([name, key.as_bytes()])
            }
            Self::MemorySave { name: key, value } => Digest::of([name, key.as_bytes(), value.text().as_bytes()]),
            Self::Sleep { ms, .. } => Digest::of([name, &ms.to_le_bytes()[..]]),
            Self::Ask(question) => {
                let options = serde_json::to_vec(&question.options).expect("options have text keys");
                let called = serde_json::to_vec(&question.name).expect("a name is text");
                let content = question.content.as_ref().map_or(&[][..], |content| content.text().as_bytes());
                let kind = question.input_type.as_str().as_bytes();
                Digest::of([name, question.text.as_bytes(), kind, &options, &called, content])
            }
            Self::Unknown { .. } => Digest::of([name]),
        }
    }

    pub(super) fn to_wire(&self, attachments: &mut Attachments) -> OpWire {
        let mut wire = OpWire { op: self.name().to_owned(), ..OpWire::default() };
        match self {
            Self::Http(request) => {
                wire.method = Some(request.method.clone());
                wire.url = Some(request.url.clone());
                wire.headers = (!request.headers.is_empty()).then(|| request.headers.clone());
                wire.body = request.body.as_ref().map(|body| body.to_wire(attachments));
                wire.timeout_ms = request.timeout_ms;
            }
            Self::MemoryLoad { name } | Self::MemoryDelete { name } => wire.name = Some(name.clone()),
            Self::MemoryList { prefix } => wire.prefix = Some(prefix.clone()),
            Self::MemorySave { name, value } => {
                wire.name = Some(name.clone());
                wire.value = Some(value.clone());
            }
            Self::Sleep { ms, until_ms } => {
                wire.ms = Some(*ms);
                wire.until_ms = *until_ms;
            }
            Self::Ask(question) => {
                wire.name.clone_from(&question.name);
                wire.text = Some(question.text.clone());
                wire.input_type = Some(question.input_type);
                wire.options = (!question.options.is_empty()).then(|| question.options.clone());
                wire.content.clone_from(&question.content);
            }
            Self::Unknown { .. } => {}
        }
        wire
    }

    pub(super) fn from_wire(wire: OpWire, attachments: &[Bytes]) -> Result<Self, FrameError> {
        let missing = |op: &str, field: &str| FrameError::Header(format!("the op `{op}` lacks `{field}`"));
        Ok(match wire.op.as_str() {
            op @ op_names::HTTP => Self::Http(HttpRequest {
                method: wire.method.ok_or_else(|| missing(op, "method"))?,
                url: wire.url.ok_or_else(|| missing(op, "url"))?,
                headers: wire.headers.unwrap_or_default(),
                body: wire.body.map(|body| body.resolve(attachments)).transpose()?,
                timeout_ms: wire.timeout_ms,
            }),
            op @ op_names::MEMORY_LOAD => Self::MemoryLoad { name: wire.name.ok_or_else(|| missing(op, "name"))? },
            op @ op_names::MEMORY_LIST => {
                Self::MemoryList { prefix: wire.prefix.ok_or_else(|| missing(op, "prefix"))? }
            }
            op @ op_names::MEMORY_SAVE => Self::MemorySave {
                name: wire.name.ok_or_else(|| missing(op, "name"))?,
                value: wire.value.ok_or_else(|| missing(op, "value"))?,
            },
            op @ op_names::MEMORY_DELETE => Self::MemoryDelete { name: wire.name.ok_or_else(|| missing(op, "name"))? },
            op @ op_names::SLEEP => {
                Self::Sleep { ms: wire.ms.ok_or_else(|| missing(op, "ms"))?, until_ms: wire.until_ms }
            }
            op @ op_names::ASK => Self::Ask(Question {
                text: wire.text.ok_or_else(|| missing(op, "text"))?,
                input_type: wire.input_type.unwrap_or_default(),
                options: wire.options.unwrap_or_default(),
                name: wire.name,
                content: wire.content,
            }),
            _ => Self::Unknown { op: wire.op },
        })
    }
}
