//! What the world wants of a run. An input is a wish: it is decided upon, not recorded.

use crate::{
    event::{Accepted, End, Loss, Turn},
    run::Asked,
    shard::MemoryWrite,
};
use bivouac_protocol::{Code, ErrorInfo, Path, frame::CancelMode};
use bytes::Bytes;
use std::sync::Arc;

/// A wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start the run. The same again changes nothing.
    Accept(Box<Accepted>),
    /// A slice took a turn.
    Turn {
        /// Who speaks.
        fence: Fence,
        /// The turn.
        turn: Arc<Turn>,
        /// How the guest ended with it.
        end: Option<End>,
        /// The values of its memory writes, in the order of the turn's `Write` effects. They are not part of the
        /// journal: the commit performs them.
        writes: Vec<MemoryWrite>,
    },
    /// The component's code failed outside a turn: a panic, a limit, a frame that is none.
    Failed {
        /// Who speaks.
        fence: Fence,
        /// What it failed with.
        error: ErrorInfo,
    },
    /// The slice's instance is gone.
    Lost {
        /// Who speaks.
        fence: Fence,
        /// Why.
        cause: Loss,
    },
    /// Replay came out differently from what is recorded.
    Mismatch {
        /// Who speaks.
        fence: Fence,
        /// What differed.
        error: ErrorInfo,
    },
    /// The clock went on.
    Tick,
    /// End the run.
    Cancel {
        /// How.
        mode: CancelMode,
        /// Why.
        reason: Box<str>,
        /// How long grace lasts, in milliseconds.
        grace_ms: u64,
    },
    /// A signal for the run.
    Signal {
        /// What it is called.
        name: Box<str>,
        /// Who sent it; the same id under one name counts once.
        id: Box<str>,
        /// What it carries.
        payload: Bytes,
    },
    /// An answer to a question of the run.
    Answer {
        /// Which question, by the author's name or by its key; not needed where only one is open.
        question: Option<Box<str>>,
        /// Whose answer; the same again counts once.
        id: Box<str>,
        /// The outcome's value, as JSON text.
        payload: Bytes,
    },
}

/// Who speaks for a run. It is checked whole; whatever is stale is refused and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The shard's owner; counted at every open.
    pub epoch: u64,
    /// The owner's memory; counted at every reload.
    pub incarnation: u32,
    /// The try of the component's code.
    pub attempt: u32,
    /// The uninterrupted execution of that attempt.
    pub slice: u32,
}

/// Why an input changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The speaker was replaced.
    #[error("the slice was replaced by a later one")]
    Stale,
    /// There is no such run.
    #[error("there is no such run")]
    NotAccepted,
    /// The run is over.
    #[error("the run has already ended")]
    Finished,
    /// A turn that is not the next.
    #[error("turn {got} came where turn {expected} was due")]
    OutOfOrder {
        /// The turn that was due.
        expected: u64,
        /// The turn that came.
        got: u64,
    },
    /// An outcome for what is not open.
    #[error("{0} is not open")]
    NotOpen(Path),
    /// A wait was delivered before it was over.
    #[error("{0} is not over yet")]
    TooEarly(Path),
    /// Two effects with one path.
    #[error("two effects have the path {0}")]
    DuplicatePath(Path),
    /// An effect that cannot be performed with the end.
    #[error("the effect {0} was asked for by a frame that ends the run")]
    EffectAfterEnd(Path),
    /// More open effects than allowed.
    #[error("more than {0} effects would be open at once")]
    TooManyOpen(usize),
    /// More signals than the inbox holds.
    #[error("more than {0} signals wait in the run's inbox")]
    InboxFull(usize),
    /// A new wait after a cancel.
    #[error("the wait {0} was asked for after the run was cancelled")]
    WaitAfterCancel(Path),
    /// A run that goes on and waits for nothing.
    #[error("the guest goes on, but waits for nothing")]
    Stalled,
    /// The run's history is full.
    #[error("the run's history reached {0} events")]
    HistoryFull(u64),
    /// An answer to a run that asks nothing.
    #[error("the run asks nothing")]
    NothingAsked,
    /// An answer that does not say which question it answers, or names one that is not open.
    #[error("the answer does not say which of the {} open questions it answers", .0.len())]
    WhichQuestion(Vec<Asked>),
    /// Another answer to a question that was answered, or another answer under an id that is taken.
    #[error("the question was answered otherwise, or the answer's id was used for another answer")]
    AlreadyAnswered,
    /// More work than the shard takes at once.
    #[error("the shard already holds {0} unfinished runs in its queue")]
    Overloaded(usize),
}

impl Rejection {
    /// The failure of the component's code that this is, where it is the guest's fault.
    #[must_use]
    pub fn guest_fault(&self) -> Option<ErrorInfo> {
        let (code, advice) = match self {
            Self::DuplicatePath(_) => (Code::DUPLICATE_PATH, "each effect of an attempt needs a path of its own"),
            Self::EffectAfterEnd(_) => (
                Code::EFFECT_AFTER_END,
                "await what the component starts before it returns; only memory writes may go with the end",
            ),
            Self::TooManyOpen(_) => (Code::TOO_MANY_EFFECTS, "await some of them before asking for more"),
            Self::Stalled => (Code::FOREIGN_FUTURE, "await only what the SDK offers"),
            Self::WaitAfterCancel(_) => (Code::CANCELLED, "a cancelled run may clean up, but not wait"),
            Self::HistoryFull(_) => (Code::HISTORY_TOO_LONG, "split the work into several runs"),
            Self::Stale
            | Self::NotAccepted
            | Self::Finished
            | Self::OutOfOrder { .. }
            | Self::NotOpen(_)
            | Self::TooEarly(_)
            | Self::InboxFull(_)
            | Self::NothingAsked
            | Self::WhichQuestion(_)
            | Self::AlreadyAnswered
            | Self::Overloaded(_) => return None,
        };
        Some(ErrorInfo::terminal(code, format!("{self}: {advice}")))
    }
}
