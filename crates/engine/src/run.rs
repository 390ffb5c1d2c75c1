//! The machine of one run: decide, apply, owed.
//!
//! `decide` may refuse and changes nothing; `apply` cannot fail and is the only place where state changes, live and in
//! recovery alike; `owed` is a function of state and time, so that after a crash the debts are recomputed. It never
//! looks into frames or payloads, and never waits.
//!
//! The invariant: every unfinished run owes a dispatch, or wakes at an instant, or awaits something that has a name.

mod answer;
mod decide;

pub(crate) use answer::Answer;
pub use answer::Asked;

use crate::{
    Timestamp,
    event::{Accepted, Effect, EffectKind, End, Event, Loss, Turn},
    input::{Input, Rejection},
    sabotaged,
};
use bivouac_protocol::{
    EffectKey, ErrorInfo, Path, RunId,
    frame::CancelMode,
    manifest::{Backoff, Retries},
};
use std::collections::{BTreeMap, BTreeSet};

/// The most effects that a run may have open at once.
pub const MAX_OPEN_EFFECTS: usize = 256;
/// The most signals that wait in a run's inbox.
pub const MAX_INBOX: usize = 1_024;
/// The most events of a run.
pub const MAX_EVENTS: u64 = 100_000;
/// How often a turn that ran into the CPU deadline is repeated before it counts as a failure.
pub const MAX_DEADLINES: u32 = 3;
/// How often a turn whose slice was lost otherwise is repeated before it counts as a failure.
pub const MAX_LOSSES: u32 = 20;
/// The longest wait between attempts, whatever the policy says: 30 days.
pub const MAX_BACKOFF_MS: u64 = 30 * 24 * 3_600_000;

/// One run, folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub(crate) id: RunId,
    pub(crate) phase: Phase,
    pub(crate) retries: Option<Retries>,
    /// The next event's number, from 1.
    pub(crate) next_seq: u64,
    /// The next turn's number, from 1.
    pub(crate) next_turn: u64,
    pub(crate) attempt: u32,
    pub(crate) slice: u32,
    /// Whether the attempt has taken a turn.
    pub(crate) began: bool,
    /// Slices that the executor lost since the last turn.
    pub(crate) losses: u32,
    /// Slices that ran into the CPU deadline since the last turn.
    pub(crate) deadlines: u32,
    /// The time of the last turn.
    pub(crate) clock: Timestamp,
    /// What the guest waits for, by path.
    pub(crate) open: BTreeMap<Path, Open>,
    /// Memory writes that were performed, by key.
    pub(crate) written: BTreeSet<EffectKey>,
    pub(crate) cancel: Option<Cancel>,
    /// Signals that wait, by number of arrival.
    pub(crate) inbox: BTreeMap<u64, Signal>,
    /// Signals that the attempt took outside finished steps; a new attempt finds them again.
    pub(crate) taken: BTreeMap<u64, Taken>,
    /// Ids of signals seen, so that the same again counts once.
    pub(crate) signal_ids: BTreeSet<(Box<str>, Box<str>)>,
    /// What questions were answered with, by key. They outlive attempts, and the run itself.
    pub(crate) answers: BTreeMap<EffectKey, Answer>,
}

/// Where a run is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does not exist.
    Absent,
    /// A slice is out.
    Live,
    /// Every open effect is a wait; no slice is out.
    Parked,
    /// The next attempt starts at this instant.
    BackingOff(Timestamp),
    /// A person must decide.
    Paused,
    /// It is over.
    Ended(Status),
}

/// An effect that the guest waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) key: EffectKey,
    pub(crate) kind: EffectKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cancel {
    pub(crate) mode: CancelMode,
    pub(crate) until: Timestamp,
    pub(crate) reason: Box<str>,
    /// Whether the guest was told.
    pub(crate) told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) name: Box<str>,
    /// The event that carries its payload.
    pub(crate) seq: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) signal: Signal,
    /// The path that took it, until the guest went on.
    pub(crate) path: Path,
}

/// What a person is told about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Accepted; its code has not taken a turn.
    Queued,
    /// Its code is being executed.
    Running,
    /// It waits for time, a signal or an answer and holds nothing.
    Waiting,
    /// It failed and is tried again later.
    BackingOff,
    /// Replay came out differently; a person must decide.
    Paused,
    /// It ended with an output.
    Completed,
    /// It ended with an error.
    Failed,
    /// It ended because somebody asked.
    Cancelled,
}

impl Status {
    /// Whether the run is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What the shell owes for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// A guest that executes this slice.
    Dispatch {
        /// The try of the component's code.
        attempt: u32,
        /// The uninterrupted execution of that attempt.
        slice: u32,
    },
    /// Tell the guest that a wait is over.
    Deliver {
        /// Whose wait.
        path: Path,
        /// What came of it.
        resolution: Resolution,
    },
    /// Tell the guest that the run is to end.
    Cancel(CancelMode),
    /// Come back at this instant.
    WakeAt(Timestamp),
}

/// What came of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// The timer is due.
    Fired,
    /// A signal is there.
    Signal {
        /// Its number in the inbox.
        number: u64,
        /// The event that carries its payload.
        seq: u64,
    },
    /// The write is part of its turn.
    Written,
    /// The question has its answer.
    Answered {
        /// The event that carries it.
        seq: u64,
    },
}

impl Run {
    /// A run that does not exist yet.
    #[must_use]
    pub const fn absent(id: RunId) -> Self {
        Self {
            id,
            phase: Phase::Absent,
            retries: None,
            next_seq: 1,
            next_turn: 1,
            attempt: 0,
            slice: 0,
            began: false,
            losses: 0,
            deadlines: 0,
            clock: Timestamp(0),
            open: BTreeMap::new(),
            written: BTreeSet::new(),
            cancel: None,
            inbox: BTreeMap::new(),
            taken: BTreeMap::new(),
            signal_ids: BTreeSet::new(),
            answers: BTreeMap::new(),
        }
    }

    /// The run's id.
    #[must_use]
    pub const fn id(&self) -> RunId {
        self.id
    }

    /// The number that the next event gets, from 1.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The number that the next turn must have, from 1.
    #[must_use]
    pub const fn next_turn(&self) -> u64 {
        self.next_turn
    }

    /// The try of the component's code, from 1; 0 before acceptance.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The number of the current slice within the attempt, from 1.
    #[must_use]
    pub const fn slice(&self) -> u32 {
        self.slice
    }

    /// The time of the last turn.
    #[must_use]
    pub const fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Whether a slice is out.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Whether a write under this key was performed.
    #[must_use]
    pub fn has_written(&self, key: &EffectKey) -> bool {
        self.written.contains(key)
    }

    /// What a person is told about the run; `None` before acceptance.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        Some(match self.phase {
            Phase::Absent => return None,
            Phase::Live if self.attempt == 1 && !self.began => Status::Queued,
            Phase::Live => Status::Running,
            Phase::Parked => Status::Waiting,
            Phase::BackingOff(_) => Status::BackingOff,
            Phase::Paused => Status::Paused,
            Phase::Ended(status) => status,
        })
    }

    /// The names of what the run waits for.
    pub fn awaits(&self) -> impl Iterator<Item = (&Path, &EffectKey, &EffectKind)> {
        self.open.iter().map(|(path, open)| (path, &open.key, &open.kind))
    }

    /// Whether the guest waits for the effect at this path.
    #[must_use]
    pub fn is_open(&self, path: &Path) -> bool {
        self.open.contains_key(path)
    }

    /// The signals that wait, by their number, with their names.
    pub fn inbox(&self) -> impl Iterator<Item = (u64, &str)> {
        self.inbox.iter().map(|(number, signal)| (*number, &*signal.name))
    }

    /// Folds one recorded fact into the state.
    pub fn apply(&mut self, event: &Event) {
        self.next_seq += 1;
        match event {
            Event::Accepted(accepted) => self.accepted(accepted),
            Event::AttemptStarted { attempt } => {
                self.attempt = *attempt;
                self.slice = 1;
                self.began = false;
                (self.losses, self.deadlines) = (0, 0);
                self.phase = Phase::Live;
            }
            Event::Turn(turn) => self.turn(turn),
            Event::Parked => self.phase = Phase::Parked,
            Event::Woken => {
                self.slice += 1;
                self.phase = Phase::Live;
            }
            Event::SliceLost { cause } => {
                self.slice += 1;
                match cause {
                    Loss::Executor => self.losses += 1,
                    Loss::Deadline => self.deadlines += 1,
                }
            }
            Event::AttemptFailed { retry_at, .. } => {
                self.phase = Phase::BackingOff(*retry_at);
                if sabotaged!(AnswerLost) {
                    self.answers.clear();
                }
                self.forget_attempt();
            }
            Event::Paused { .. } => self.phase = Phase::Paused,
            Event::SignalReceived { name, id, .. } => {
                let number = self.next_seq - 1;
                self.signal_ids.insert((name.clone(), id.clone()));
                self.inbox.insert(number, Signal { name: name.clone(), seq: number });
            }
            Event::Answered { key, id, payload } => self.answered(key, id, payload),
            Event::CancelRequested { mode, until, reason } => {
                self.cancel = Some(Cancel { mode: *mode, until: *until, reason: reason.clone(), told: false });
            }
            Event::Ended(end) => self.ended(end),
        }
    }

    fn accepted(&mut self, accepted: &Accepted) {
        self.retries = accepted.retries;
        self.attempt = 1;
        self.slice = 1;
        self.phase = Phase::Live;
    }

    fn turn(&mut self, turn: &Turn) {
        self.next_turn = turn.n + 1;
        self.clock = turn.now;
        self.began = true;
        (self.losses, self.deadlines) = (0, 0);
        for delivery in &turn.delivered {
            self.open.remove(&delivery.path);
            if let Some((number, signal)) = delivery.signal.and_then(|number| self.inbox.remove_entry(&number)) {
                self.taken.insert(number, Taken { signal, path: delivery.path.clone() });
            }
        }
        if let (Some(_), Some(cancel)) = (turn.cancel, &mut self.cancel) {
            cancel.told = true;
        }
        for effect in &turn.effects {
            if matches!(effect.kind, EffectKind::Write) {
                self.written.insert(effect.key.clone());
            }
            self.open.insert(effect.path.clone(), Open { key: effect.key.clone(), kind: effect.kind.clone() });
        }
        for path in &turn.cancels {
            self.open.remove(path);
            self.give_back(|taken| taken.path == *path && !sabotaged!(SignalLostInSelect));
        }
        // A step that is tried again finds its signals again; one that is not keeps them.
        for step in turn.steps.iter().filter(|step| step.outcome.lasts()) {
            let scope = format!("{}/", step.key);
            self.taken.retain(|_, taken| !taken.path.as_str().starts_with(&scope));
        }
    }

    /// Signals go back to their old place in the inbox.
    fn give_back(&mut self, which: impl Fn(&Taken) -> bool) {
        let numbers: Vec<u64> = self.taken.iter().filter(|(_, taken)| which(taken)).map(|(n, _)| *n).collect();
        for number in numbers {
            if let Some(taken) = self.taken.remove(&number) {
                self.inbox.insert(number, taken.signal);
            }
        }
    }

    fn forget_attempt(&mut self) {
        self.open.clear();
        self.give_back(|_| true);
    }

    fn ended(&mut self, end: &End) {
        self.phase = Phase::Ended(match end {
            End::Completed { .. } => Status::Completed,
            End::Failed { .. } => Status::Failed,
            End::Cancelled { .. } => Status::Cancelled,
        });
        self.open.clear();
        self.inbox.clear();
        self.taken.clear();
        self.signal_ids.clear();
        self.written.clear();
    }

    /// Everything the shell still has to do; the same after a crash as before.
    #[must_use]
    pub fn owed(&self, now: Timestamp) -> Vec<Owed> {
        match self.phase {
            Phase::Absent | Phase::Paused | Phase::Ended(_) => Vec::new(),
            Phase::BackingOff(due) => vec![Owed::WakeAt(due)],
            Phase::Parked => self.wake_at(now).map(Owed::WakeAt).into_iter().collect(),
            Phase::Live => {
                let mut owed = vec![Owed::Dispatch { attempt: self.attempt, slice: self.slice }];
                owed.extend(self.ready(now).map(|(path, resolution)| Owed::Deliver { path: path.clone(), resolution }));
                if let Some(cancel) = self.cancel.as_ref().filter(|cancel| !cancel.told) {
                    owed.push(Owed::Cancel(cancel.mode));
                }
                owed.extend(self.wake_at(now).map(Owed::WakeAt));
                owed
            }
        }
    }

    /// The waits that are over.
    pub(crate) fn ready(&self, now: Timestamp) -> impl Iterator<Item = (&Path, Resolution)> {
        let mut promised = BTreeSet::new();
        self.open.iter().filter_map(move |(path, open)| {
            let resolution = match &open.kind {
                EffectKind::Safe | EffectKind::Keyed => return None,
                EffectKind::Write => Resolution::Written,
                EffectKind::Timer { due } => (*due <= now).then_some(Resolution::Fired)?,
                EffectKind::Signal { name } => {
                    let (number, signal) = self
                        .inbox
                        .iter()
                        .find(|(number, signal)| signal.name == *name && !promised.contains(*number))?;
                    promised.insert(*number);
                    Resolution::Signal { number: *number, seq: signal.seq }
                }
                EffectKind::Question { .. } => Resolution::Answered { seq: self.answers.get(&open.key)?.seq },
            };
            Some((path, resolution))
        })
    }

    /// The next instant at which time alone changes something: now or earlier, where it is due already.
    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.is_live() && (self.ready(now).next().is_some() || self.cancel.as_ref().is_some_and(|c| !c.told)) {
            return Some(now);
        }
        // A live slice is told at once of what is due; a grace that is over stays owed until the run has ended.
        let timers = self.open.values().filter_map(|open| match open.kind {
            EffectKind::Timer { due } if due > now || !self.is_live() => Some(due),
            EffectKind::Timer { .. }
            | EffectKind::Safe
            | EffectKind::Keyed
            | EffectKind::Write
            | EffectKind::Signal { .. }
            | EffectKind::Question { .. } => None,
        });
        timers.chain(self.cancel.as_ref().map(|cancel| cancel.until)).min()
    }

    /// Whether the run keeps the invariant: it owes something, or awaits something that has a name.
    #[must_use]
    pub fn is_accounted_for(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Absent | Phase::Ended(_) | Phase::Paused => true,
            Phase::Live | Phase::BackingOff(_) => !self.owed(now).is_empty(),
            Phase::Parked => {
                !self.owed(now).is_empty()
                    || (!self.open.is_empty() && self.open.values().all(|open| open.kind.is_wait()))
            }
        }
    }
}

/// What is open, for error texts.
impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} ({})", self.op, self.path, self.key)
    }
}

/// Whether an input may be decided at all, before anything else is looked at.
pub(crate) fn admissible(run: &Run, input: &Input) -> Result<(), Rejection> {
    match (&run.phase, input) {
        (_, Input::Accept(_) | Input::Tick) => Ok(()),
        (Phase::Absent, _) => Err(Rejection::NotAccepted),
        // An answer that counted is confirmed again whenever it comes again.
        (Phase::Ended(_), Input::Answer { .. }) => Ok(()),
        (Phase::Ended(_), Input::Cancel { .. } | Input::Signal { .. }) => Err(Rejection::Finished),
        (Phase::Ended(_), _) => Err(Rejection::Stale),
        _ => Ok(()),
    }
}

/// The wait before the retry that follows the failure of `attempt`. Source: flow control, row `retries`.
pub(crate) fn backoff_ms(retries: &Retries, attempt: u32, error: &ErrorInfo) -> u64 {
    let initial = retries.initial_interval_ms;
    let wait = match retries.backoff {
        Backoff::Constant => initial,
        Backoff::Linear => initial.saturating_mul(u64::from(attempt)),
        Backoff::Exponential => exponential_ms(initial, retries.multiplier_thousandths, attempt),
    };
    wait.min(retries.max_interval_ms).max(error.retry_after_ms.unwrap_or(0)).min(MAX_BACKOFF_MS)
}

/// `initial * multiplier^(attempt - 1)`, up to the longest wait. Counted in thousandths, so that a small wait grows too.
fn exponential_ms(initial: u64, multiplier_thousandths: u32, attempt: u32) -> u64 {
    let most = MAX_BACKOFF_MS * 1_000;
    let mut wait = initial.saturating_mul(1_000).min(most);
    for _ in 1..attempt {
        let grown = (wait.saturating_mul(u64::from(multiplier_thousandths)) / 1_000).min(most);
        if grown == wait {
            break;
        }
        wait = grown;
    }
    wait / 1_000
}
