//! The driver: one loop per shard that decides, commits, and only then lets anything out.
//!
//! [`Driver`] is the handle that the rest of the server holds: it starts, answers, cancels and follows runs. Behind it
//! [`shard_loop`] owns the shard's memory and the store's writer. What a handle returns is on disk.

mod answer;
mod follow;
pub(crate) mod recover;
pub mod shard_loop;

pub use answer::{AnswerError, MAX_ANSWER, MAX_ANSWER_ID};
pub use follow::{Follow, Progress};

use crate::metrics::Metrics;
use bivouac_engine::{Accepted, End, Fence, Input, Rejection, Status, Timestamp};
use bivouac_protocol::{Path, RunId, frame::CancelMode, frame::Op};
use bivouac_store::{CommitError, ControlChange, Reader, StoreError};
use crossbeam_channel::Sender;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How long a run may clean up after a cancel, unless the caller says otherwise: 30 s.
pub const DEFAULT_GRACE_MS: u64 = 30_000;
/// The longest grace that a caller may give: 10 minutes.
pub const MAX_GRACE_MS: u64 = 600_000;

/// A handle on a shard's loop.
#[derive(Clone)]
pub struct Driver {
    shard: u16,
    inbox: Sender<Message>,
    reader: Arc<dyn Reader>,
    follow: Arc<Follow>,
    metrics: Arc<Metrics>,
}

/// A run that exists, and is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub id: RunId,
    /// Whether it was there before: the idempotency key was seen with the same body.
    pub existing: bool,
}

/// A run that was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The same idempotency key came with another body.
    #[error("the idempotency key was already used for run {0} with another body")]
    IdempotencyConflict(RunId),
    /// More work than the server takes at once.
    #[error("the server already holds {0} runs in its queue")]
    Overloaded(usize),
    /// The disk is full.
    #[error("the disk is full")]
    StorageFull,
    /// Whether the run was started is not known; the same idempotency key tells.
    #[error("whether the run was started is not known: {0}")]
    Unknown(String),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// A run that was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such run.
    #[error("there is no such run")]
    NotFound,
    /// It is over.
    #[error("the run has already ended")]
    Finished,
    /// The disk is full.
    #[error("the disk is full")]
    StorageFull,
    /// Whether the request was recorded is not known.
    #[error("whether the cancel was recorded is not known: {0}")]
    Unknown(String),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// What reaches a shard's loop.
pub enum Message {
    /// Start a run.
    Start {
        /// Its id.
        id: RunId,
        /// How it starts.
        accepted: Box<Accepted>,
        /// Who waits.
        reply: oneshot::Sender<Result<Started, StartError>>,
    },
    /// End a run.
    Cancel {
        /// The run.
        id: RunId,
        /// How.
        mode: CancelMode,
        /// Why.
        reason: String,
        /// How long it may clean up.
        grace_ms: u64,
        /// Who waits.
        reply: oneshot::Sender<Result<(), CancelError>>,
    },
    /// Answer a question of a run.
    Answer {
        /// The run.
        id: RunId,
        /// Which question, whose answer, and what it is.
        input: Input,
        /// Who waits.
        reply: oneshot::Sender<Result<(), AnswerError>>,
    },
    /// Change what is not a run.
    Control {
        /// The change.
        change: Box<ControlChange>,
        /// Who waits.
        reply: oneshot::Sender<Result<(), CommitError>>,
    },
    /// A slice speaks.
    Slice {
        /// The run.
        id: RunId,
        /// What it says.
        said: Said,
    },
    /// Stop: what is committed stays, slices are dropped.
    Stop {
        /// Told when the loop has ended.
        done: oneshot::Sender<()>,
    },
}

/// What a slice says.
pub enum Said {
    /// Something for the engine to decide upon.
    Input(Input),
    /// It reads memory: its own uncommitted writes first, then what is committed.
    Memory {
        /// Who asks.
        fence: Fence,
        /// For which effect.
        path: Path,
        /// The read.
        op: Op,
        /// Whose memory.
        scope: bivouac_engine::MemoryScope,
    },
}

impl Driver {
    pub(crate) fn new(
        shard: u16,
        inbox: Sender<Message>,
        reader: Arc<dyn Reader>,
        follow: Arc<Follow>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { shard, inbox, reader, follow, metrics }
    }

    /// Reads of what is committed.
    #[must_use]
    pub fn reader(&self) -> &Arc<dyn Reader> {
        &self.reader
    }

    /// The server's counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// A new run's id.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn new_run_id(&self) -> Result<RunId, getrandom::Error> {
        Ok(RunId::new(now().0, self.shard, getrandom::u64()?))
    }

    /// Starts a run; it is on disk when this returns.
    ///
    /// # Errors
    /// [`StartError`]; after [`StartError::Unknown`] the same idempotency key tells what became of it.
    pub async fn start(&self, id: RunId, accepted: Accepted) -> Result<Started, StartError> {
        let (reply, answer) = oneshot::channel();
        self.inbox
            .send(Message::Start { id, accepted: Box::new(accepted), reply })
            .map_err(|_| StartError::ShuttingDown)?;
        answer.await.map_err(|_| StartError::ShuttingDown)?
    }

    /// Asks for a run's end; the wish is on disk when this returns. The same again changes nothing.
    ///
    /// # Errors
    /// [`CancelError`].
    pub async fn cancel(&self, id: RunId, mode: CancelMode, reason: String, grace_ms: u64) -> Result<(), CancelError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Cancel { id, mode, reason, grace_ms: grace_ms.min(MAX_GRACE_MS), reply };
        self.inbox.send(message).map_err(|_| CancelError::ShuttingDown)?;
        answer.await.map_err(|_| CancelError::ShuttingDown)?
    }

    /// Changes what is not a run; it is on disk when this returns.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is changed.
    pub async fn control(&self, change: ControlChange) -> Result<(), CommitError> {
        let stopped = || CommitError::Failed("the server is shutting down".to_owned());
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Control { change: Box::new(change), reply }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Follows a run: tells how far its events are on disk, and how it ended. Subscribe before starting a run, and no
    /// end is missed.
    #[must_use]
    pub fn follow(&self, id: RunId) -> tokio::sync::watch::Receiver<Progress> {
        self.follow.subscribe(id)
    }

    /// Forgets a run that nobody follows any more, such as one that was not started after all.
    pub fn forget(&self, id: RunId) {
        self.follow.forget(id);
    }

    /// Waits until a run has ended, but no longer than `limit`.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn wait(
        &self,
        id: RunId,
        mut following: tokio::sync::watch::Receiver<Progress>,
        limit: Duration,
    ) -> Result<Option<End>, StoreError> {
        if let Some(end) = following.borrow().end.clone() {
            return Ok(Some((*end).clone()));
        }
        // It may have ended before anybody followed it.
        if self.reader.run(id)?.is_some_and(|run| run.status.is_final()) {
            return self.end_of(id);
        }
        let ended = tokio::time::timeout(limit, following.wait_for(|progress| progress.end.is_some())).await;
        match ended {
            Ok(Ok(progress)) => Ok(progress.end.as_deref().cloned()),
            Ok(Err(_)) => self.end_of(id),
            Err(_) => Ok(None),
        }
    }

    /// How a run ended, read from its last event; `None` while it has not.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn end_of(&self, id: RunId) -> Result<Option<End>, StoreError> {
        let Some(run) = self.reader.run(id)?.filter(|run| run.status.is_final()) else { return Ok(None) };
        let last = self.reader.events(id, run.last_seq.saturating_sub(1), 1)?;
        Ok(last.into_iter().find_map(|stored| match stored.event {
            bivouac_engine::Event::Ended(end) => Some(end),
            _ => None,
        }))
    }

    /// A run's status as a person is told it.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn status(&self, id: RunId) -> Result<Option<Status>, StoreError> {
        Ok(self.reader.run(id)?.map(|run| run.status))
    }

    pub(crate) fn say(&self, id: RunId, said: Said) {
        // A loop that has ended needs no word from a slice: what is on disk is replayed.
        let _ended = self.inbox.send(Message::Slice { id, said });
    }

    pub(crate) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.inbox.send(Message::Stop { done }).is_ok() {
            let _already_ended = ended.await;
        }
    }
}

/// The wall clock.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit 64 bits for 500 million years")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// The refusal of a start, where the engine gives one.
pub(crate) fn start_error(rejection: &Rejection) -> StartError {
    match rejection {
        Rejection::Overloaded(limit) => StartError::Overloaded(*limit),
        other => StartError::Unknown(other.to_string()),
    }
}
