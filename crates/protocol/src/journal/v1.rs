//! Version 1 of the journal: postcard, fields in the order written here, variants by their position.
//!
//! Never reorder, remove or retype: append variants, or write a version 2.

use super::JournalError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub enum Record<'a> {
    Accepted(#[serde(borrow)] Accepted<'a>),
    AttemptStarted {
        attempt: u32,
    },
    Turn(#[serde(borrow)] Turn<'a>),
    Parked,
    Woken,
    SliceLost {
        deadline: bool,
    },
    AttemptFailed {
        #[serde(borrow)]
        error: Error<'a>,
        retry_at_ms: u64,
    },
    Paused {
        #[serde(borrow)]
        error: Error<'a>,
    },
    SignalReceived {
        name: &'a str,
        id: &'a str,
        payload: Bytes,
    },
    CancelRequested {
        now: bool,
        until_ms: u64,
        reason: &'a str,
    },
    Completed {
        output: Bytes,
    },
    Failed {
        #[serde(borrow)]
        error: Error<'a>,
    },
    Cancelled {
        reason: &'a str,
    },
    Answered {
        key: &'a str,
        id: &'a str,
        payload: Bytes,
    },
}

/// How a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub struct Accepted<'a> {
    pub environment: &'a str,
    pub tenant: &'a str,
    pub app: &'a str,
    pub user: &'a str,
    pub deployment: u128,
    pub component: &'a str,
    #[serde(borrow)]
    pub idempotency: Option<(&'a str, [u8; 16])>,
    pub input: Bytes,
    pub metadata: Bytes,
    pub seed: Bytes,
    #[serde(borrow)]
    pub patches: Vec<&'a str>,
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
pub struct Turn<'a> {
    pub n: u64,
    pub now_ms: u64,
    pub frame: Bytes,
    #[serde(borrow)]
    pub delivered: Vec<(&'a str, Option<u64>)>,
    /// 0 none, 1 grace, 2 now.
    pub cancel: u8,
    #[serde(borrow)]
    pub effects: Vec<Effect<'a>>,
    #[serde(borrow)]
    pub steps: Vec<(&'a str, StepResult<'a>)>,
    #[serde(borrow)]
    pub cancels: Vec<&'a str>,
    pub notes: Vec<(bool, Bytes)>,
}

/// An effect of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's events, which explain them")]
pub struct Effect<'a> {
    pub path: &'a str,
    pub key: &'a str,
    pub op: &'a str,
    pub digest: [u8; 16],
    #[serde(borrow)]
    pub kind: EffectKind<'a>,
}

/// What kind of effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants mirror the engine's, which explain them")]
pub enum EffectKind<'a> {
    Safe,
    Keyed,
    Write,
    Timer { due_ms: u64 },
    Signal { name: &'a str },
    Question { name: Option<&'a str>, question: Bytes },
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants mirror the engine's, which explain them")]
pub enum StepResult<'a> {
    Ok(Bytes),
    Err(#[serde(borrow)] Error<'a>),
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror `ErrorInfo`, which explains them")]
pub struct Error<'a> {
    pub code: &'a str,
    pub message: &'a str,
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
}

/// A run's folded state, written when it lets go of its guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's run, which explains them")]
pub struct State<'a> {
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
    #[serde(borrow)]
    pub open: Vec<(&'a str, &'a str, EffectKind<'a>)>,
    #[serde(borrow)]
    pub written: Vec<&'a str>,
    /// Now, until, reason, told.
    #[serde(borrow)]
    pub cancel: Option<(bool, u64, &'a str, bool)>,
    /// Number, name, event.
    #[serde(borrow)]
    pub inbox: Vec<(u64, &'a str, u64)>,
    /// Number, name, event, path.
    #[serde(borrow)]
    pub taken: Vec<(u64, &'a str, u64, &'a str)>,
    #[serde(borrow)]
    pub signal_ids: Vec<(&'a str, &'a str)>,
}

/// What follows a state in its row where there is something to say. Rows of the first builds end with the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's run, which explains them")]
pub struct StateMore<'a> {
    #[serde(borrow)]
    pub answers: Vec<Answer<'a>>,
}

/// An answer that a question got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields mirror the engine's run, which explains them")]
pub struct Answer<'a> {
    pub key: &'a str,
    pub name: Option<&'a str>,
    pub id: &'a str,
    pub digest: [u8; 16],
    pub seq: u64,
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

impl<'a> Record<'a> {
    /// Writes the record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        super::encode(self)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`JournalError`] where the bytes are none, or a newer build's.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, JournalError> {
        super::decode(bytes)
    }
}

impl<'a> State<'a> {
    /// Writes the state, and what follows it where that says something.
    #[must_use]
    pub fn encode(&self, more: &StateMore<'_>) -> Vec<u8> {
        let mut bytes = super::encode(self);
        if *more != StateMore::default() {
            bytes = super::append(more, bytes);
        }
        bytes
    }

    /// Reads a state, and what follows it.
    ///
    /// # Errors
    /// [`JournalError`] where the bytes are none, or a newer build's.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, StateMore<'a>), JournalError> {
        let (state, rest) = super::take(bytes)?;
        let more = if rest.is_empty() { StateMore::default() } else { super::rest(rest)? };
        Ok((state, more))
    }
}
