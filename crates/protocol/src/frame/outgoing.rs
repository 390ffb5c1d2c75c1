//! What a guest tells its host in one turn.

use super::{
    FrameError, Op, StepResult,
    codec::{self, Attachments},
    incoming::step_results,
    op::OpWire,
};
use crate::{ABI_VERSION, EffectKey, ErrorInfo, Json, Path, StepKey};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One turn's output: what the guest asks for, what it finished, and whether it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutFrame {
    /// Whether the guest goes on, and how it ended if not.
    pub status: Status,
    /// Effects asked for in this turn.
    pub effects: Vec<Effect>,
    /// Steps that ended in this turn.
    pub steps: Vec<(StepKey, StepResult)>,
    /// Effects whose futures were dropped untaken, delivered or not.
    pub cancels: Vec<Path>,
    /// What the guest tells the world or the log.
    pub notes: Vec<Note>,
    /// The output of a completed run.
    pub output: Option<Json>,
    /// Why the run failed, was cancelled or stalled.
    pub error: Option<ErrorInfo>,
}

/// Whether a guest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// It waits for what it asked for.
    Running,
    /// It ended with an output.
    Completed,
    /// It ended with an error.
    Failed,
    /// It ended because it was told to.
    Cancelled,
    /// It starts anew with a fresh history.
    Continued,
    /// It is idle, not done, and waits for nothing that this host could give.
    Stalled,
}

/// An effect asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Where it started, within the attempt.
    pub path: Path,
    /// What it is known by across attempts.
    pub key: EffectKey,
    /// What it is.
    pub op: Op,
}

/// Something told, without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// An event of the author's, seen by clients once it is committed.
    Emit {
        /// Its name.
        name: String,
        /// Its data.
        data: Json,
    },
    /// A line for the log.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// How far the run is, seen by clients once it is committed.
    Progress {
        /// What to show: `{"parts":[..]}`, parts as A2A writes them.
        content: Json,
    },
    /// Something made for the client while the run goes on, seen by clients once it is committed.
    Artifact {
        /// An A2A artifact.
        artifact: Json,
        /// Whether its parts are added to those sent before under the same id.
        append: bool,
        /// Whether no more of it follows.
        last_chunk: bool,
    },
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// Once in a while.
    Info,
    /// Degraded, and going on.
    Warn,
    /// A person must act.
    Error,
}

/// Every note's fields side by side: tagged enums would re-write raw JSON.
#[derive(Default, Serialize, Deserialize)]
struct NoteWire {
    note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    data: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<LogLevel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    append: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    last_chunk: bool,
}

impl Note {
    /// Whether clients see it; a line for the log they do not.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        !matches!(self, Self::Log { .. })
    }

    /// The note as JSON, the form in which it is journaled.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::of(&self.to_wire()).expect("a note has text keys")
    }

    /// Reads a note from JSON.
    ///
    /// # Errors
    /// [`FrameError`] where it is none that this revision knows.
    pub fn from_json(json: &Json) -> Result<Self, FrameError> {
        json.parse().map_err(|error| FrameError::Header(error.to_string())).and_then(Self::from_wire)
    }

    fn to_wire(&self) -> NoteWire {
        match self {
            Self::Emit { name, data } => NoteWire {
                note: "emit".to_owned(),
                name: Some(name.clone()),
                data: Some(data.clone()),
                ..NoteWire::default()
            },
            Self::Log { level, message } => NoteWire {
                note: "log".to_owned(),
                level: Some(*level),
                message: Some(message.clone()),
                ..NoteWire::default()
            },
            Self::Progress { content } => {
                NoteWire { note: "progress".to_owned(), data: Some(content.clone()), ..NoteWire::default() }
            }
            Self::Artifact { artifact, append, last_chunk } => NoteWire {
                note: "artifact".to_owned(),
                data: Some(artifact.clone()),
                append: *append,
                last_chunk: *last_chunk,
                ..NoteWire::default()
            },
        }
    }

    fn from_wire(wire: NoteWire) -> Result<Self, FrameError> {
        let missing = |field: &str| FrameError::Header(format!("the note `{}` lacks `{field}`", wire.note));
        match wire.note.as_str() {
            "emit" => {
                Ok(Self::Emit { name: wire.name.ok_or_else(|| missing("name"))?, data: wire.data.unwrap_or_default() })
            }
            "log" => Ok(Self::Log {
                level: wire.level.unwrap_or(LogLevel::Info),
                message: wire.message.ok_or_else(|| missing("message"))?,
            }),
            "progress" => Ok(Self::Progress { content: wire.data.ok_or_else(|| missing("data"))? }),
            "artifact" => Ok(Self::Artifact {
                artifact: wire.data.ok_or_else(|| missing("data"))?,
                append: wire.append,
                last_chunk: wire.last_chunk,
            }),
            other => Err(FrameError::Header(format!("the note `{}` is not known", other.escape_debug()))),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    v: u32,
    status: Status,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    effects: Vec<(Path, EffectKey, OpWire)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "step_results")]
    steps: Vec<(StepKey, StepResult)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cancels: Vec<Path>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<NoteWire>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    output: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorInfo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    att: Vec<u32>,
}

impl OutFrame {
    /// A turn with this status and nothing else.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            effects: Vec::new(),
            steps: Vec::new(),
            cancels: Vec::new(),
            notes: Vec::new(),
            output: None,
            error: None,
        }
    }

    /// Writes the frame.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut attachments = Attachments::default();
        let effects = self
            .effects
            .iter()
            .map(|effect| (effect.path.clone(), effect.key.clone(), effect.op.to_wire(&mut attachments)))
            .collect();
        let header = Header {
            v: ABI_VERSION,
            status: self.status,
            effects,
            steps: self.steps.clone(),
            cancels: self.cancels.clone(),
            notes: self.notes.iter().map(Note::to_wire).collect(),
            output: self.output.clone(),
            error: self.error.clone(),
            att: attachments.lengths(),
        };
        codec::write(&header, &attachments)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameError`] where it is not what the contract says.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (header, attachments) = codec::split(frame)?;
        let header: Header = codec::parse(header)?;
        if header.v != ABI_VERSION {
            return Err(FrameError::Version(header.v));
        }
        let effects = header
            .effects
            .into_iter()
            .map(|(path, key, wire)| Ok(Effect { path, key, op: Op::from_wire(wire, &attachments)? }))
            .collect::<Result<_, FrameError>>()?;
        Ok(Self {
            status: header.status,
            effects,
            steps: header.steps,
            cancels: header.cancels,
            notes: header.notes.into_iter().map(Note::from_wire).collect::<Result<_, _>>()?,
            output: header.output,
            error: header.error,
        })
    }
}
