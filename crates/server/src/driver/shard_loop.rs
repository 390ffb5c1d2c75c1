//! The loop of one shard, on a thread of its own: drain, decide, commit, release.
//!
//! The thread is the store's only writer, so a batch is everything that arrived while the last one was being written:
//! group commit without a timer. Nothing here decides what a run may do; the [`Shard`] does. A commit that fails discards
//! the shard's memory and its slices, and goes on from what is on disk; a sync that fails ends the process.

use super::{AnswerError, CancelError, Follow, Message, Said, StartError, Started, now, recover, start_error};
use crate::{
    dispatch::{Executors, ToExecutor},
    effects::memory,
    metrics::Metrics,
};
use bivouac_engine::{Accepted, Batch, Command, End, Event, Input, Rejection, Resolution, Shard, ShardLimits, Ticket};
use bivouac_protocol::{
    Code, ErrorInfo, Json, RunId,
    frame::{CancelMode, Outcome},
};
use bivouac_store::{CommitError, Reader, Store, StoreError};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// The most messages that one batch takes.
pub const MAX_DRAIN: usize = 1_024;
/// How long the loop sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);
/// How long the loop waits after a commit failed, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The exit status of a process whose disk did not confirm a sync.
pub const EXIT_SYNC_FAILED: i32 = 74;
/// The exit status of a process whose shard was taken over.
pub const EXIT_FENCED: i32 = 75;

/// What the loop needs.
pub(crate) struct Parts {
    pub(crate) shard: u16,
    pub(crate) store: Box<dyn Store>,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) inbox: Receiver<Message>,
    pub(crate) executors: Executors,
    pub(crate) follow: Arc<Follow>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: ShardLimits,
}

/// The loop's own state.
pub(crate) struct ShardLoop {
    parts: Parts,
    shard: Shard,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: u64,
    pause: Option<Duration>,
}

/// A client that waits until what its answer says is on disk.
enum Waiting {
    Start(oneshot::Sender<Result<Started, StartError>>, Result<Started, StartError>),
    Cancel(oneshot::Sender<Result<(), CancelError>>, Result<(), CancelError>),
    Answer(oneshot::Sender<Result<(), AnswerError>>, Result<(), AnswerError>),
}

impl ShardLoop {
    /// Opens the shard and takes over what is unfinished.
    pub(crate) fn open(mut parts: Parts) -> Result<Self, StoreError> {
        let shard = open_shard(&mut parts, 1)?;
        Ok(Self { parts, shard, waiting: HashMap::new(), next_ticket: 0, pause: None })
    }

    /// Goes on until it is told to stop.
    pub(crate) fn run(mut self) {
        // What was unfinished goes on by itself: nobody may ever say a word.
        self.advance();
        loop {
            let stop = self.drain();
            self.advance();
            if let Some(done) = stop {
                self.parts.executors.stop();
                // Whoever asked may have gone.
                let _gone = done.send(());
                return;
            }
        }
    }

    /// Takes everything that has arrived; waits for the first.
    fn drain(&mut self) -> Option<oneshot::Sender<()>> {
        let mut next = self.first();
        let mut taken = 0;
        while let Some(message) = next {
            if let Message::Stop { done } = message {
                return Some(done);
            }
            self.take(message);
            taken += 1;
            next = if taken < MAX_DRAIN { self.parts.inbox.try_recv().ok() } else { None };
        }
        None
    }

    fn first(&mut self) -> Option<Message> {
        if let Ok(message) = self.parts.inbox.try_recv() {
            return Some(message);
        }
        let limit = match self.shard.next_wake() {
            _ if self.pause.is_some() => Duration::ZERO,
            Some(due) => Duration::from_millis(due.0.saturating_sub(now().0)).min(IDLE),
            None => IDLE,
        };
        match self.parts.inbox.recv_timeout(limit) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            // Every handle is gone: nobody can ask for anything any more, but what is due goes on.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(limit.min(Duration::from_millis(50)));
                None
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Start { id, accepted, reply } => self.start(id, accepted, reply),
            Message::Cancel { id, mode, reason, grace_ms, reply } => self.cancel(id, mode, &reason, grace_ms, reply),
            Message::Answer { id, input, reply } => self.answer_question(id, input, reply),
            Message::Control { change, reply } => {
                let result = self.parts.store.control(&change);
                if matches!(result, Err(CommitError::SyncFailed(_))) {
                    exit_sync_failed();
                }
                let _gone = reply.send(result);
            }
            Message::Slice { id, said } => self.hear(id, said),
            Message::Stop { .. } => {}
        }
    }

    fn start(&mut self, id: RunId, accepted: Box<Accepted>, reply: oneshot::Sender<Result<Started, StartError>>) {
        let earlier = match &accepted.idempotency {
            None => Ok(None),
            Some((key, digest)) => match self.shard.pending_start(&accepted.environment, key) {
                Some(pending) => Ok(Some((pending, *digest))),
                None => self
                    .parts
                    .reader
                    .started(&accepted.environment, key)
                    .map(|found| found.map(|found| (found, *digest))),
            },
        };
        match earlier {
            Err(error) => {
                let _gone = reply.send(Err(StartError::Unknown(error.to_string())));
            }
            Ok(Some(((existing, before), digest))) if before == digest => {
                let started = Started { id: existing, existing: true };
                self.answer(existing, Waiting::Start(reply, Ok(started)));
            }
            Ok(Some(((existing, _), _))) => {
                let conflict = StartError::IdempotencyConflict(existing);
                self.answer(existing, Waiting::Start(reply, Err(conflict)));
            }
            Ok(None) => match self.shard.handle(id, Input::Accept(accepted), now()) {
                Ok(()) => {
                    Metrics::count(&self.parts.metrics.runs_accepted);
                    self.answer(id, Waiting::Start(reply, Ok(Started { id, existing: false })));
                }
                Err(rejection) => {
                    Metrics::count(&self.parts.metrics.runs_refused);
                    let _gone = reply.send(Err(start_error(&rejection)));
                }
            },
        }
    }

    fn cancel(
        &mut self,
        id: RunId,
        mode: CancelMode,
        reason: &str,
        grace_ms: u64,
        reply: oneshot::Sender<Result<(), CancelError>>,
    ) {
        match self.fetch(id) {
            Ok(true) => {
                let input = Input::Cancel { mode, reason: reason.into(), grace_ms };
                let answer = match self.shard.handle(id, input, now()) {
                    Ok(()) => Ok(()),
                    Err(Rejection::Finished) => Err(CancelError::Finished),
                    Err(other) => Err(CancelError::Unknown(other.to_string())),
                };
                self.answer(id, Waiting::Cancel(reply, answer));
            }
            Ok(false) => {
                let _gone = reply.send(Err(CancelError::NotFound));
            }
            Err(error) => {
                let _gone = reply.send(Err(CancelError::Unknown(error.to_string())));
            }
        }
    }

    fn answer_question(&mut self, id: RunId, input: Input, reply: oneshot::Sender<Result<(), AnswerError>>) {
        match self.fetch(id) {
            Ok(true) => {
                let answer = self.shard.handle(id, input, now()).map_err(AnswerError::from);
                self.answer(id, Waiting::Answer(reply, answer));
            }
            Ok(false) => {
                let _gone = reply.send(Err(AnswerError::NotFound));
            }
            Err(error) => {
                let _gone = reply.send(Err(AnswerError::Unknown(error.to_string())));
            }
        }
    }

    /// The outcome of a wait or a write. An answer's lies in its event: in memory until it is on disk, then there.
    fn outcome(&self, run: RunId, resolution: Resolution) -> Result<Outcome, String> {
        let seq = match resolution {
            Resolution::Fired | Resolution::Written => return Ok(Outcome::Ok(Json::null())),
            // No operation of this revision waits for a signal, so none can be delivered.
            Resolution::Signal { .. } => {
                let message = "this server does not deliver signals";
                return Ok(Outcome::Err(ErrorInfo::terminal(Code::OP_UNSUPPORTED, message)));
            }
            Resolution::Answered { seq } => seq,
        };
        let payload = match self.shard.uncommitted_payload(run, seq) {
            Some(payload) => payload.clone(),
            None => {
                let stored = self.parts.reader.events(run, seq - 1, 1).map_err(|error| error.to_string())?;
                match stored.into_iter().next().map(|stored| stored.event) {
                    Some(Event::Answered { payload, .. }) => payload,
                    _ => return Err(format!("event {seq} is not the answer that it should be")),
                }
            }
        };
        Json::parse_bytes(&payload).map(Outcome::Ok).map_err(|error| format!("the answer of event {seq}: {error}"))
    }

    /// Brings a run into memory; `false` where it does not exist.
    fn fetch(&mut self, id: RunId) -> Result<bool, StoreError> {
        if self.shard.run(id).is_some() {
            return Ok(true);
        }
        let Some(run) = recover::load(&*self.parts.reader, id)? else { return Ok(false) };
        self.shard.restore(run, now());
        Ok(true)
    }

    fn hear(&mut self, id: RunId, said: Said) {
        match said {
            Said::Input(input) => {
                if let Input::Turn { .. } = &input {
                    Metrics::count(&self.parts.metrics.turns);
                }
                // A slice that was replaced meanwhile is not heard; it was told to go.
                if let Err(rejection) = self.shard.handle(id, input, now()) {
                    tracing::debug!(run_id = %id, reason = %rejection, "a slice was not heard");
                }
            }
            Said::Memory { fence, path, op, scope } => {
                let outcome = memory::read(&*self.parts.reader, &self.shard, id, &scope, &op);
                self.parts.executors.send(id, ToExecutor::Outcome { run: id, fence, path, outcome });
            }
        }
    }

    fn answer(&mut self, id: RunId, waiting: Waiting) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, waiting);
        self.shard.answer(id, ticket);
    }

    /// Lets time act, releases what needs no commit, commits, releases the rest.
    fn advance(&mut self) {
        if let Some(pause) = self.pause {
            std::thread::sleep(pause);
        }
        self.shard.tick(now());
        self.load_wanted();
        self.carry_out();
        if let Some(batch) = self.shard.batch() {
            match self.parts.store.commit(&batch) {
                Ok(()) => {
                    self.pause = None;
                    self.count(&batch);
                    self.shard.committed(&batch);
                }
                Err(error) => self.reload(error),
            }
            self.carry_out();
        } else {
            self.pause = None;
        }
        Metrics::set(&self.parts.metrics.slices_live, self.shard.slices());
        Metrics::set(&self.parts.metrics.queue_length, self.shard.queue_len());
        Metrics::set(&self.parts.metrics.runs_waiting, self.shard.wake_len());
    }

    fn load_wanted(&mut self) {
        while let Some(id) = self.shard.next_to_load() {
            match recover::load(&*self.parts.reader, id) {
                Ok(Some(run)) => self.shard.resume(run, now()),
                Ok(None) => tracing::error!(run_id = %id, "a run that is in the queue is not on disk"),
                Err(error) => tracing::error!(run_id = %id, %error, "a run cannot be read back; it stays as it is"),
            }
        }
    }

    fn count(&self, batch: &Batch) {
        let metrics = &self.parts.metrics;
        Metrics::count(&metrics.commits);
        for transition in &batch.transitions {
            Metrics::add(&metrics.events_written, transition.events.len() as u64);
            match transition.end() {
                Some(End::Completed { .. }) => Metrics::count(&metrics.runs_completed),
                Some(End::Failed { .. }) => Metrics::count(&metrics.runs_failed),
                Some(End::Cancelled { .. }) => Metrics::count(&metrics.runs_cancelled),
                None => {}
            }
        }
    }

    /// A commit failed: what was in memory is void, what is on disk goes on.
    fn reload(&mut self, error: CommitError) {
        Metrics::count(&self.parts.metrics.commits_failed);
        match &error {
            CommitError::SyncFailed(_) => exit_sync_failed(),
            CommitError::Fenced { .. } => {
                tracing::error!(%error, "another process has taken over this shard; this one ends");
                std::process::exit(EXIT_FENCED);
            }
            _ => tracing::error!(%error, "a commit failed; going on from what is on disk"),
        }
        for (_, waiting) in self.waiting.drain() {
            refuse(waiting, &error);
        }
        self.parts.executors.drop_all();
        let started = Instant::now();
        let incarnation = self.shard.incarnation() + 1;
        loop {
            let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
            self.pause = Some(pause);
            match open_shard(&mut self.parts, incarnation) {
                Ok(shard) => {
                    self.shard = shard;
                    return;
                }
                Err(StoreError::SyncFailed(_)) => exit_sync_failed(),
                Err(error) => {
                    tracing::error!(%error, since_ms = started.elapsed().as_millis(), "the shard cannot be reloaded yet");
                    self.refuse_all(&error);
                    std::thread::sleep(pause);
                }
            }
        }
    }

    /// While nothing can be written, whoever asks is told so at once.
    fn refuse_all(&self, why: &StoreError) {
        let full = matches!(why, StoreError::Full(_));
        while let Ok(message) = self.parts.inbox.try_recv() {
            match message {
                Message::Start { reply, .. } => {
                    let error = if full { StartError::StorageFull } else { StartError::Unknown(why.to_string()) };
                    let _gone = reply.send(Err(error));
                }
                Message::Cancel { reply, .. } => {
                    let error = if full { CancelError::StorageFull } else { CancelError::Unknown(why.to_string()) };
                    let _gone = reply.send(Err(error));
                }
                Message::Answer { reply, .. } => {
                    let error = if full { AnswerError::StorageFull } else { AnswerError::Unknown(why.to_string()) };
                    let _gone = reply.send(Err(error));
                }
                Message::Control { reply, .. } => {
                    let error = if full { CommitError::Full } else { CommitError::Failed(why.to_string()) };
                    let _gone = reply.send(Err(error));
                }
                Message::Stop { .. } => std::process::exit(0),
                Message::Slice { .. } => {}
            }
        }
    }

    fn carry_out(&mut self) {
        for command in self.shard.take_commands() {
            match command {
                Command::Dispatch { run, fence, accepted } => {
                    Metrics::count(&self.parts.metrics.slices_started);
                    self.parts.executors.send(run, ToExecutor::Dispatch { run, fence, accepted });
                }
                Command::Deliver { run, fence, path, resolution } => {
                    let message = match self.outcome(run, resolution) {
                        Ok(outcome) => ToExecutor::Outcome { run, fence, path, outcome },
                        Err(error) => {
                            tracing::error!(run_id = %run, %path, %error, "what a wait came to cannot be read");
                            ToExecutor::Lose { run, fence }
                        }
                    };
                    self.parts.executors.send(run, message);
                }
                Command::Cancel { run, fence, mode } => {
                    self.parts.executors.send(run, ToExecutor::Cancel { run, fence, mode });
                }
                Command::Perform { run, fence, path } => {
                    self.parts.executors.send(run, ToExecutor::Perform { run, fence, path });
                }
                Command::Abort { run, fence, path } => {
                    self.parts.executors.send(run, ToExecutor::Abort { run, fence, path });
                }
                Command::Drop { run, fence } => self.parts.executors.send(run, ToExecutor::Drop { run, fence }),
                Command::Answer(ticket) => {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        grant(waiting);
                    }
                }
                Command::Committed { run, through, end } => self.parts.follow.ring(run, through, end),
            }
        }
    }
}

fn open_shard(parts: &mut Parts, incarnation: u32) -> Result<Shard, StoreError> {
    let opened = parts.store.open_shard(parts.shard)?;
    let mut shard = Shard::new(parts.shard, opened.epoch, incarnation, opened.lsn, parts.limits);
    shard.recover(recover::unfinished(&*parts.reader, parts.shard)?);
    Ok(shard)
}

fn exit_sync_failed() -> ! {
    tracing::error!("the disk did not confirm a sync: nothing it says can be trusted any more; the process ends");
    std::process::exit(EXIT_SYNC_FAILED)
}

/// The answers go to whoever still waits.
fn grant(waiting: Waiting) {
    match waiting {
        Waiting::Start(reply, answer) => {
            let _gone = reply.send(answer);
        }
        Waiting::Cancel(reply, answer) => {
            let _gone = reply.send(answer);
        }
        Waiting::Answer(reply, answer) => {
            let _gone = reply.send(answer);
        }
    }
}

fn refuse(waiting: Waiting, error: &CommitError) {
    let full = matches!(error, CommitError::Full);
    match waiting {
        Waiting::Start(reply, _) => {
            let _gone =
                reply.send(Err(if full { StartError::StorageFull } else { StartError::Unknown(error.to_string()) }));
        }
        Waiting::Cancel(reply, _) => {
            let _gone =
                reply.send(Err(if full { CancelError::StorageFull } else { CancelError::Unknown(error.to_string()) }));
        }
        Waiting::Answer(reply, _) => {
            let _gone =
                reply.send(Err(if full { AnswerError::StorageFull } else { AnswerError::Unknown(error.to_string()) }));
        }
    }
}
