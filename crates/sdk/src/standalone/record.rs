//! What is kept of a task: how it began, the frames that were driven, what it was answered, and how it ended.
//!
//! It is the task's whole state: whoever has it can tell the conversation without the agent's code, and go on with the
//! agent by driving the frames again.

use crate::{AuthContext, error::Error, services::TaskRecord};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bivouac_protocol::{
    Code, EffectKey, ErrorInfo, Json, RunId,
    frame::{Auth, InFrame, OutFrame},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The form in which tasks are kept; another one is not read.
const VERSION: u32 = 1;

/// A task as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    v: u32,
    pub(super) id: RunId,
    pub(super) agent: String,
    pub(super) context_id: String,
    /// The message that began it, as it came: the run's input.
    pub(super) message: Json,
    pub(super) message_id: String,
    pub(super) auth: Auth,
    /// 32 bytes in base64.
    pub(super) seed: String,
    pub(super) patches: Vec<String>,
    pub(super) accepted_ms: u64,
    /// Whether the request that wrote it last was done with it: the task has ended, or waits for an answer.
    pub(super) settled: bool,
    pub(super) entries: Vec<Entry>,
    #[serde(skip)]
    pub(super) revision: u64,
    #[serde(skip)]
    pub(super) updated_ms: u64,
    /// How many bytes the message and the entries have, as they are written.
    #[serde(skip)]
    pub(super) bytes: usize,
}

/// One thing that happened to a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// An attempt began.
    Began { attempt: u32, at: u64 },
    /// A frame was driven. The first of an attempt is kept without its start, which follows from the task.
    Turn { at: u64, frame: Frame, out: Frame },
    /// A question was answered.
    Answered { key: EffectKey, id: String, payload: Json, at: u64 },
    /// The attempt failed, and another follows.
    Failed { error: ErrorInfo, at: u64 },
    /// The task is to end.
    CancelRequested { at: u64 },
    /// The task ended.
    Ended { end: End, at: u64 },
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Completed { output: Json },
    Failed { error: ErrorInfo },
    Cancelled,
}

/// An encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame(pub(super) Bytes);

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(&self.0, &STANDARD))
    }
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(|bytes| Self(bytes.into())).map_err(D::Error::custom)
    }
}

impl Frame {
    /// The frame as one to a guest.
    pub(super) fn incoming(&self) -> Result<InFrame, Error> {
        InFrame::decode(&self.0).map_err(|error| damaged(&error.to_string()))
    }

    /// The frame as one of a guest's.
    pub(super) fn outgoing(&self) -> Result<OutFrame, Error> {
        OutFrame::decode(&self.0).map_err(|error| damaged(&error.to_string()))
    }
}

fn damaged(why: &str) -> Error {
    Error::refused(Code::STORAGE_FAILED, format!("what is kept of the task cannot be read: {why}"))
}

/// How a task begins.
pub(super) struct Beginning {
    pub(super) id: RunId,
    pub(super) agent: String,
    pub(super) context_id: String,
    pub(super) message: Json,
    pub(super) message_id: String,
    pub(super) seed: [u8; 32],
    pub(super) patches: Vec<String>,
    pub(super) now_ms: u64,
}

impl Journal {
    /// A task that nothing was kept of yet.
    pub(super) fn begin(beginning: Beginning, caller: &AuthContext) -> Self {
        let Beginning { id, agent, context_id, message, message_id, seed, patches, now_ms } = beginning;
        let bytes = message.text().len();
        Self {
            v: VERSION,
            id,
            agent,
            context_id,
            message,
            message_id,
            auth: Auth { app: caller.app_name.clone(), user: caller.user_name.clone(), tenant: caller.tenant.clone() },
            seed: STANDARD.encode(seed),
            patches,
            accepted_ms: now_ms,
            settled: false,
            entries: vec![Entry::Began { attempt: 1, at: now_ms }],
            revision: 0,
            updated_ms: now_ms,
            bytes,
        }
    }

    /// Reads a task.
    pub(super) fn read(record: &TaskRecord) -> Result<Self, Error> {
        let mut journal: Self = serde_json::from_str(&record.data).map_err(|error| damaged(&error.to_string()))?;
        if journal.v != VERSION {
            return Err(damaged(&format!("it is of the form {}, {VERSION} is known here", journal.v)));
        }
        journal.revision = record.revision;
        journal.updated_ms = record.updated_ms;
        journal.bytes = record.data.len();
        Ok(journal)
    }

    /// The task as a service keeps it, one revision on.
    pub(super) fn record(&self, now_ms: u64) -> TaskRecord {
        TaskRecord {
            id: self.id.to_string(),
            revision: self.revision + 1,
            updated_ms: now_ms,
            agent: self.agent.clone(),
            context_id: self.context_id.clone(),
            data: serde_json::to_string(self).expect("a task has text keys"),
        }
    }

    /// How it ended; nothing while it has not.
    pub(super) fn end(&self) -> Option<&End> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Ended { end, .. } => Some(end),
            _ => None,
        })
    }

    /// Which attempt is on its way, and the entries since it began.
    pub(super) fn attempt(&self) -> (u32, &[Entry]) {
        let began = self.entries.iter().enumerate().rev().find_map(|(at, entry)| match entry {
            Entry::Began { attempt, .. } => Some((*attempt, at + 1)),
            _ => None,
        });
        let (attempt, from) = began.unwrap_or((1, 0));
        (attempt, &self.entries[from..])
    }

    /// How many turns were driven over all attempts.
    pub(super) fn turns(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Turn { .. })).count()
    }

    /// Whether the task is being cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::CancelRequested { .. }))
    }

    /// What a question was answered with, and by which message.
    pub(super) fn answer(&self, key: &EffectKey) -> Option<(&str, &Json)> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Answered { key: answered, id, payload, .. } if answered == key => Some((id.as_str(), payload)),
            _ => None,
        })
    }

    /// What a message answered.
    pub(super) fn answered_by(&self, message_id: &str) -> Option<&Json> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Answered { id, payload, .. } if id == message_id => Some(payload),
            _ => None,
        })
    }
}
