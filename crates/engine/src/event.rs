//! The facts of a run. A run is its events in order; nothing else changes it.

use crate::Timestamp;
use bivouac_protocol::{
    DeploymentId, EffectKey, ErrorInfo, Path, StepKey, frame::CancelMode, key::Digest, manifest::Retries,
};
use bytes::Bytes;
use std::sync::Arc;

/// A recorded fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The run exists and its first attempt may start.
    Accepted(Box<Accepted>),
    /// A further attempt starts.
    AttemptStarted {
        /// Its number, from 2.
        attempt: u32,
    },
    /// The guest took a turn.
    Turn(Arc<Turn>),
    /// Every open effect is a wait: the guest's instance is let go.
    Parked,
    /// Something waited for is there: a new slice goes on.
    Woken,
    /// The slice's instance is gone: a new slice replays.
    SliceLost {
        /// Why.
        cause: Loss,
    },
    /// The component's code failed; it is tried again.
    AttemptFailed {
        /// What it failed with.
        error: ErrorInfo,
        /// When the next attempt starts.
        retry_at: Timestamp,
    },
    /// Replay came out differently; the run waits for a person instead of guessing.
    Paused {
        /// What differed.
        error: ErrorInfo,
    },
    /// A signal arrived.
    SignalReceived {
        /// What it is called.
        name: Box<str>,
        /// Who sent it, so that sending it again counts once.
        id: Box<str>,
        /// What it carries.
        payload: Bytes,
    },
    /// A question was answered. The answer stays with the question's key in every later attempt.
    Answered {
        /// The question.
        key: EffectKey,
        /// Whose answer, so that sending it again counts once.
        id: Box<str>,
        /// The outcome's value, as JSON text.
        payload: Bytes,
    },
    /// The run is to end.
    CancelRequested {
        /// How.
        mode: CancelMode,
        /// When grace ends.
        until: Timestamp,
        /// Why, in the words of who asked.
        reason: Box<str>,
    },
    /// The run is over.
    Ended(End),
}

impl Event {
    /// The event's kind as a word, for counting and for people.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::Turn(_) => "turn",
            Self::Parked => "parked",
            Self::Woken => "woken",
            Self::SliceLost { .. } => "slice_lost",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::Paused { .. } => "paused",
            Self::SignalReceived { .. } => "signal_received",
            Self::Answered { .. } => "answered",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Ended(_) => "ended",
        }
    }
}

/// Everything a run starts with. The engine reads only the retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The environment, within the server's project.
    pub environment: Box<str>,
    /// The sub-tenant; empty for none.
    pub tenant: Box<str>,
    /// The service that the deployment belongs to.
    pub app: Box<str>,
    /// The verified caller.
    pub user: Box<str>,
    /// The deployment that the run is pinned to.
    pub deployment: DeploymentId,
    /// The component, as `kind/name`.
    pub component: Box<str>,
    /// The caller's idempotency key and the digest of what came under it.
    pub idempotency: Option<(Box<str>, Digest)>,
    /// The input, as JSON text.
    pub input: Bytes,
    /// What the caller sent along, as JSON text; empty for none.
    pub metadata: Bytes,
    /// The run's seed, sealed with the master key.
    pub seed: Bytes,
    /// Change markers of the deployment.
    pub patches: Vec<Box<str>>,
    /// How often the component is tried; absent means once.
    pub retries: Option<Retries>,
}

/// One turn as it is journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its number, counted through the whole run from 1.
    pub n: u64,
    /// Its time, which never decreases within a run.
    pub now: Timestamp,
    /// The frame as it was driven; without input, memo and seed, which the journal holds elsewhere.
    pub frame: Bytes,
    /// The effects whose outcomes the frame delivered.
    pub delivered: Vec<Delivery>,
    /// The cancel that the frame carried.
    pub cancel: Option<CancelMode>,
    /// The effects that the guest asked for.
    pub effects: Vec<Effect>,
    /// The steps that ended.
    pub steps: Vec<Step>,
    /// The effects whose futures were dropped untaken.
    pub cancels: Vec<Path>,
    /// What the guest told.
    pub notes: Vec<Note>,
}

/// An outcome handed to the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose.
    pub path: Path,
    /// The signal that it was, by its number in the inbox.
    pub signal: Option<u64>,
}

/// An effect asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Where it started, within the attempt.
    pub path: Path,
    /// What it is known by across attempts.
    pub key: EffectKey,
    /// The operation's name.
    pub op: Box<str>,
    /// The digest of its arguments.
    pub digest: Digest,
    /// What the machine has to know about it.
    pub kind: EffectKind,
}

/// What the machine has to know about an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectKind {
    /// May be repeated, and may leave before the commit.
    Safe,
    /// Repeated under the same key; leaves after the commit.
    Keyed,
    /// Performed by the commit itself, once per key.
    Write,
    /// Waits for an instant.
    Timer {
        /// Which.
        due: Timestamp,
    },
    /// Waits for a signal.
    Signal {
        /// What it is called.
        name: Box<str>,
    },
    /// Waits for a person's answer.
    Question {
        /// The author's name for it.
        name: Option<Box<str>>,
        /// The question, as JSON text, for whoever shows it.
        question: Bytes,
    },
}

impl EffectKind {
    /// Whether nothing is held while it is open.
    #[must_use]
    pub const fn is_wait(&self) -> bool {
        matches!(self, Self::Timer { .. } | Self::Signal { .. } | Self::Question { .. })
    }
}

/// A step that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What its result is kept under.
    pub key: StepKey,
    /// How it ended.
    pub outcome: StepOutcome,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// With a value, as JSON text.
    Ok(Bytes),
    /// With an error.
    Err(ErrorInfo),
}

impl StepOutcome {
    /// Whether later attempts inherit it: a success, or a failure for good.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        match self {
            Self::Ok(_) => true,
            Self::Err(error) => !error.retryable,
        }
    }
}

/// Something the guest told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether clients may see it (then it asks for a commit); a log line is for the operator.
    pub visible: bool,
    /// The note, as JSON text.
    pub text: Bytes,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With an output, as JSON text.
    Completed {
        /// The output.
        output: Bytes,
    },
    /// With an error.
    Failed {
        /// The error.
        error: ErrorInfo,
    },
    /// Because somebody asked.
    Cancelled {
        /// Why, in the words of who asked.
        reason: Box<str>,
    },
}

/// Why a slice's instance is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// The executor lost it.
    Executor,
    /// It ran into the CPU deadline, which may come from load.
    Deadline,
}
