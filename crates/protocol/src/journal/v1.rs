//! Version 1 of the journal: postcard, fields in the order written here, variants by their position.
//!
//! Never reorder, remove or retype: append variants, or write a version 2.

use super::JournalError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub enum Record {
    Accepted(Accepted),
    AttemptStarted { attempt: u32 },
    Turn(Turn),
    Parked,
    Woken,
    SliceLost { deadline: bool },
    AttemptFailed { error: Error, retry_at_ms: u64 },
    Paused { error: Error },
    SignalReceived { name: String, id: String, payload: Bytes },
    CancelRequested { now: bool, until_ms: u64, reason: String },
    Completed { output: Bytes },
    Failed { error: Error },
    Cancelled { reason: String },
}

/// How a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub struct Accepted {
    pub environment: String,
    pub tenant: String,
    pub app: String,
    pub user: String,
    pub deployment: u128,
    pub component: String,
    pub idempotency: Option<(String, [u8; 16])>,
    pub input: Bytes,
    pub metadata: Bytes,
    pub seed: Bytes,
    pub patches: Vec<String>,
    pub retries: Option<Retries>,
}

/// How a component is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the manifest's policy, which explains them")]
pub struct Retries {
    pub max_attempts: u32,
    pub initial_interval_ms: u64,
    pub max_interval_ms: u64,
    /// 0 constant, 1 linear, 2 exponential.
    pub backoff: u8,
    pub multiplier_thousandths: u32,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub struct Turn {
    pub n: u64,
    pub now_ms: u64,
    pub frame: Bytes,
    pub delivered: Vec<(String, Option<u64>)>,
    /// 0 none, 1 grace, 2 now.
    pub cancel: u8,
    pub effects: Vec<Effect>,
    pub steps: Vec<(String, StepResult)>,
    pub cancels: Vec<String>,
    pub notes: Vec<(bool, Bytes)>,
}

/// An effect of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub struct Effect {
    pub path: String,
    pub key: String,
    pub op: String,
    pub digest: [u8; 16],
    pub kind: EffectKind,
}

/// What kind of effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants mirror the engine's, which explain them")]
pub enum EffectKind {
    Safe,
    Keyed,
    Write,
    Timer { due_ms: u64 },
    Signal { name: String },
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants mirror the engine's, which explain them")]
pub enum StepResult {
    Ok(Bytes),
    Err(Error),
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror `ErrorInfo`, which explains them")]
pub struct Error {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
}

/// A run's folded state, written when it lets go of its guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's run, which explains them")]
pub struct State {
    pub phase: Phase,
    pub retries: Option<Retries>,
    pub next_seq: u64,
    pub next_turn: u64,
    pub attempt: u32,
    pub slice: u32,
    pub began: bool,
    pub losses: u32,
    pub deadlines: u32,
    pub clock_ms: u64,
    /// Path, key, kind.
    pub open: Vec<(String, String, EffectKind)>,
    pub written: Vec<String>,
    /// Now, until, reason, told.
    pub cancel: Option<(bool, u64, String, bool)>,
    /// Number, name, event.
    pub inbox: Vec<(u64, String, u64)>,
    /// Number, name, event, path.
    pub taken: Vec<(u64, String, u64, String)>,
    pub signal_ids: Vec<(String, String)>,
}

/// Where a run is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants mirror the engine's, which explain them")]
pub enum Phase {
    Live,
    Parked,
    BackingOff { due_ms: u64 },
    Paused,
    Completed,
    Failed,
    Cancelled,
}

impl Record {
    /// Writes the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`JournalError`] where the bytes are none, or a newer build's.
    pub fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        super::decode(bytes)
    }
}

impl State {
    /// Writes the state.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// Reads a state.
    ///
    /// # Errors
    /// [`JournalError`] where the bytes are none, or a newer build's.
    pub fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        super::decode(bytes)
    }
}
