//! Many runs together, and output commit: nothing is seen before what led to it is on disk.
//!
//! The owner's loop is: give the shard its inputs ([`Shard::handle`], [`Shard::tick`]); carry out
//! [`Shard::take_commands`]; write [`Shard::batch`]; on success call [`Shard::committed`] and carry out what that
//! released; on failure throw the shard away, open a new one with the next incarnation and [`Shard::recover`] from what
//! is on disk. Released before the commit are only `safe` effects and deliveries to a guest, which is pure.
//!
//! A run is in memory while a slice is out or something of it is uncommitted; parked it is one entry in the wake list.
//! A run that cannot have a slice yet has a position in the queue.

mod batch;

pub use batch::{Aspect, Batch, Head, MemoryScope, MemoryWrite, Recorded, Transition};

use crate::{
    Timestamp,
    event::{Accepted, EffectKind, End, Event, Loss, Turn},
    input::{Fence, Input, Rejection},
    run::{Owed, Resolution, Run, Status},
    sabotaged,
};
use bivouac_protocol::{Path, RunId, frame::CancelMode, key::Digest};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// The most uncommitted events of one run before they ask for a commit themselves.
pub const MAX_TAIL: usize = 256;
/// The largest input that stays in memory while its run waits in the queue, in bytes.
pub const MAX_QUEUED_INPUT: usize = 16 << 10;

/// How much a shard takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLimits {
    /// The most slices that are out at once.
    pub slices: usize,
    /// The most runs that wait in the queue before new ones are refused.
    pub queue: usize,
}

impl Default for ShardLimits {
    fn default() -> Self {
        Self { slices: 512, queue: 8_192 }
    }
}

/// An answer that a client waits for; the shell knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Work owed to the world. Each may be repeated; a fence makes the repetition harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start a slice: replay the attempt so far, then drive.
    Dispatch {
        /// The run.
        run: RunId,
        /// Who it speaks as.
        fence: Fence,
        /// How the run began, where it is still in memory; otherwise it is the run's first event.
        accepted: Option<Arc<Accepted>>,
    },
    /// Tell the slice that a wait is over.
    Deliver {
        /// The run.
        run: RunId,
        /// The slice.
        fence: Fence,
        /// Whose wait.
        path: Path,
        /// What came of it.
        resolution: Resolution,
    },
    /// Tell the slice that the run is to end.
    Cancel {
        /// The run.
        run: RunId,
        /// The slice.
        fence: Fence,
        /// How.
        mode: CancelMode,
    },
    /// The effect may leave now.
    Perform {
        /// The run.
        run: RunId,
        /// The slice that asked for it and holds its arguments.
        fence: Fence,
        /// Which.
        path: Path,
    },
    /// Nobody waits for the effect any more: stop what can be stopped.
    Abort {
        /// The run.
        run: RunId,
        /// The slice that asked for it.
        fence: Fence,
        /// Which.
        path: Path,
    },
    /// The slice is over: let go of its guest.
    Drop {
        /// The run.
        run: RunId,
        /// The slice.
        fence: Fence,
    },
    /// Answer a client: what it asked for is on disk.
    Answer(Ticket),
    /// Events became durable: whoever follows the run may read them.
    Committed {
        /// The run.
        run: RunId,
        /// The number of the last durable event.
        through: u64,
        /// How the run ended, where it did.
        end: Option<End>,
    },
}

/// The runs of one shard, as their owner holds them.
#[derive(Debug)]
pub struct Shard {
    id: u16,
    epoch: u64,
    incarnation: u32,
    limits: ShardLimits,
    lsn: u64,
    runs: BTreeMap<RunId, Live>,
    wakes: BTreeSet<(Timestamp, RunId)>,
    wake_of: BTreeMap<RunId, Timestamp>,
    queue: VecDeque<RunId>,
    queued: BTreeSet<RunId>,
    slices: usize,
    starts: BTreeMap<(Box<str>, Box<str>), (RunId, Digest)>,
    commands: Vec<Command>,
}

/// A run in memory.
#[derive(Debug)]
struct Live {
    run: Run,
    tail: Vec<Recorded>,
    writes: Vec<MemoryWrite>,
    gated: Vec<Command>,
    wants_commit: bool,
    slice: Option<Fence>,
    /// What the slice was told is over, and the signal that came of it, until the slice has taken it.
    sent: BTreeMap<Path, Option<u64>>,
    cancel_sent: Option<CancelMode>,
    accepted: Option<Arc<Accepted>>,
    head: Option<(Status, Option<Timestamp>)>,
}

impl Live {
    const fn new(run: Run) -> Self {
        Self {
            run,
            tail: Vec::new(),
            writes: Vec::new(),
            gated: Vec::new(),
            wants_commit: false,
            slice: None,
            sent: BTreeMap::new(),
            cancel_sent: None,
            accepted: None,
            head: None,
        }
    }
}

impl Shard {
    /// An empty shard whose last entry on disk has the number `lsn`.
    #[must_use]
    pub const fn new(id: u16, epoch: u64, incarnation: u32, lsn: u64, limits: ShardLimits) -> Self {
        Self {
            id,
            epoch,
            incarnation,
            limits,
            lsn,
            runs: BTreeMap::new(),
            wakes: BTreeSet::new(),
            wake_of: BTreeMap::new(),
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            slices: 0,
            starts: BTreeMap::new(),
            commands: Vec::new(),
        }
    }

    /// Takes over the unfinished runs that are on disk: those without an instant or with one in the past get a position
    /// in the queue, the others an entry in the wake list.
    pub fn recover(&mut self, unfinished: impl IntoIterator<Item = (RunId, Timestamp)>) {
        for (run, wake) in unfinished {
            if wake.0 == 0 { self.enqueue(run) } else { self.set_wake(run, Some(wake)) }
        }
    }

    /// The shard's number.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// The owner's epoch.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of this memory among the owner's.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The number of the last entry that is known to be on disk.
    #[must_use]
    pub const fn lsn(&self) -> u64 {
        self.lsn
    }

    /// A run in memory.
    #[must_use]
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(|live| &live.run)
    }

    /// The runs in memory, in the order of their ids.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().map(|live| &live.run)
    }

    /// How many slices are out.
    #[must_use]
    pub const fn slices(&self) -> usize {
        self.slices
    }

    /// The slice of the run that is out, or will be as soon as what it replays is on disk.
    #[must_use]
    pub fn slice_of(&self, run: RunId) -> Option<Fence> {
        self.runs.get(&run).and_then(|live| live.slice)
    }

    /// How many runs wait in the queue.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// How many runs wait for an instant.
    #[must_use]
    pub fn wake_len(&self) -> usize {
        self.wakes.len()
    }

    /// Whether the run has a position in the queue.
    #[must_use]
    pub fn is_queued(&self, run: RunId) -> bool {
        self.queued.contains(&run)
    }

    /// When the run is to be woken.
    #[must_use]
    pub fn wake_of(&self, run: RunId) -> Option<Timestamp> {
        self.wake_of.get(&run).copied()
    }

    /// The next instant at which [`Shard::tick`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(due, _)| *due)
    }

    /// The run that was started under this idempotency key and is not committed yet; the store knows the others.
    #[must_use]
    pub fn pending_start(&self, environment: &str, key: &str) -> Option<(RunId, Digest)> {
        self.starts.get(&(environment.into(), key.into())).copied()
    }

    /// The payload of a run's signal or answer that is not on disk yet, by the number of its event; the store knows the
    /// others.
    #[must_use]
    pub fn uncommitted_payload(&self, run: RunId, seq: u64) -> Option<&Bytes> {
        self.runs.get(&run)?.tail.iter().find(|recorded| recorded.seq == seq).and_then(|recorded| {
            match &recorded.event {
                Event::SignalReceived { payload, .. } | Event::Answered { payload, .. } => Some(payload),
                Event::Accepted(_)
                | Event::AttemptStarted { .. }
                | Event::Turn(_)
                | Event::Parked
                | Event::Woken
                | Event::SliceLost { .. }
                | Event::AttemptFailed { .. }
                | Event::Paused { .. }
                | Event::CancelRequested { .. }
                | Event::Ended(_) => None,
            }
        })
    }

    /// The run's own uncommitted write of a name: `Some(None)` is a deletion. Other runs' are never seen.
    #[must_use]
    pub fn uncommitted(&self, run: RunId, scope: &MemoryScope, name: &str) -> Option<Option<Bytes>> {
        let own = |live: &Live| {
            live.writes
                .iter()
                .rev()
                .find(|write| write.scope == *scope && &*write.name == name)
                .map(|w| w.value.clone())
        };
        if sabotaged!(DirtyMemoryRead) {
            return self.runs.values().find_map(own);
        }
        self.runs.get(&run).and_then(own)
    }

    /// The run's own uncommitted writes of names that begin so, oldest first.
    pub fn uncommitted_names<'a>(
        &'a self,
        run: RunId,
        scope: &'a MemoryScope,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, bool)> {
        let writes = self.runs.get(&run).map_or(&[][..], |live| &live.writes);
        writes
            .iter()
            .filter(move |write| write.scope == *scope && write.name.starts_with(prefix))
            .map(|write| (&*write.name, write.value.is_some()))
    }

    /// The next run that must be read from disk and handed to [`Shard::restore`] before it can go on.
    pub fn next_to_load(&mut self) -> Option<RunId> {
        let front = *self.queue.front()?;
        if self.slices >= self.limits.slices || self.runs.contains_key(&front) {
            return None;
        }
        self.unqueue_front();
        Some(front)
    }

    /// Takes a run, folded from what is on disk, into memory, lets time act on it, and lets go of it again where it
    /// only waits.
    pub fn resume(&mut self, run: Run, now: Timestamp) {
        let id = run.id();
        self.restore(run, now);
        self.let_go(id);
    }

    fn let_go(&mut self, id: RunId) {
        if self.runs.get(&id).is_some_and(|live| !live.run.is_live() && live.tail.is_empty()) {
            self.runs.remove(&id);
        }
    }

    /// Takes a run, folded from what is on disk, into memory, so that an input can be handed to it, and lets time act
    /// on it.
    pub fn restore(&mut self, run: Run, now: Timestamp) {
        let id = run.id();
        if self.runs.contains_key(&id) {
            return;
        }
        let mut live = Live::new(run);
        // What is on disk was computed from the same state.
        live.head = live.run.status().map(|status| (status, batch::wake(&live.run, status)));
        self.runs.insert(id, live);
        self.advance(id, now);
    }

    /// Lets an input act on a run. A run that is not in memory must be restored first, except to be accepted.
    ///
    /// # Errors
    /// [`Rejection`] where nothing changes. What is the guest's fault is not an error here: it fails the attempt.
    pub fn handle(&mut self, id: RunId, input: Input, now: Timestamp) -> Result<(), Rejection> {
        if let Input::Accept(accepted) = &input {
            self.open(id, accepted)?;
        }
        let decided = self.decide(id, &input, now);
        if let Ok(events) = decided {
            let writes = if let Input::Turn { writes, .. } = input { writes } else { Vec::new() };
            self.record(id, events, writes, now);
            self.reconcile(id, now);
            self.pump(now);
            self.let_go(id);
            return Ok(());
        }
        // A run that was restored only to hear this goes again.
        self.let_go(id);
        decided.map(|_| ())
    }

    fn decide(&self, id: RunId, input: &Input, now: Timestamp) -> Result<Vec<Event>, Rejection> {
        let Some(live) = self.runs.get(&id) else { return Err(Rejection::NotAccepted) };
        if let Some(fence) = fence_of(input)
            && (fence.epoch, fence.incarnation) != (self.epoch, self.incarnation)
            && !sabotaged!(FenceOff)
        {
            return Err(Rejection::Stale);
        }
        live.run.decide(input, now).or_else(|rejection| self.refuse(id, input, rejection, now))
    }

    /// A turn that is the guest's fault fails its attempt; one that the executor got wrong ends its slice.
    fn refuse(&self, id: RunId, input: &Input, rejection: Rejection, now: Timestamp) -> Result<Vec<Event>, Rejection> {
        let (Input::Turn { fence, .. }, Some(live)) = (input, self.runs.get(&id)) else { return Err(rejection) };
        if let Some(error) = rejection.guest_fault() {
            return live.run.decide(&Input::Failed { fence: *fence, error }, now);
        }
        if matches!(rejection, Rejection::OutOfOrder { .. } | Rejection::NotOpen(_) | Rejection::TooEarly(_)) {
            return live.run.decide(&Input::Lost { fence: *fence, cause: Loss::Executor }, now);
        }
        Err(rejection)
    }

    fn open(&mut self, id: RunId, accepted: &Accepted) -> Result<(), Rejection> {
        if self.runs.contains_key(&id) {
            return Ok(());
        }
        if self.queue.len() >= self.limits.queue {
            return Err(Rejection::Overloaded(self.limits.queue));
        }
        let mut live = Live::new(Run::absent(id));
        live.accepted = Some(Arc::new(accepted.clone()));
        self.runs.insert(id, live);
        if let Some((key, digest)) = &accepted.idempotency {
            self.starts.insert((accepted.environment.clone(), key.clone()), (id, *digest));
        }
        Ok(())
    }

    /// Answers a client as soon as everything recorded for the run so far is on disk.
    pub fn answer(&mut self, id: RunId, ticket: Ticket) {
        match self.runs.get_mut(&id) {
            Some(live) if !live.tail.is_empty() && !sabotaged!(AnswerBeforeCommit) => {
                live.wants_commit = true;
                live.gated.push(Command::Answer(ticket));
            }
            _ => self.commands.push(Command::Answer(ticket)),
        }
    }

    /// Lets time act: fires timers, ends back-offs and graces.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.wakes.first().copied().filter(|(due, _)| *due <= now) {
            self.wakes.remove(&(due, id));
            self.wake_of.remove(&id);
            if self.runs.contains_key(&id) { self.advance(id, now) } else { self.enqueue(id) }
        }
        self.pump(now);
    }

    fn advance(&mut self, id: RunId, now: Timestamp) {
        let Some(live) = self.runs.get(&id) else { return };
        let events = live.run.decide(&Input::Tick, now).unwrap_or_default();
        self.record(id, events, Vec::new(), now);
        self.reconcile(id, now);
        self.pump(now);
    }

    /// Records events: applies them, appends them to the tail, and releases or holds back what follows.
    fn record(&mut self, id: RunId, events: Vec<Event>, mut writes: Vec<MemoryWrite>, now: Timestamp) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        for event in events {
            if let Event::Turn(turn) = &event {
                // A write happens once per key, whichever attempt asks for it.
                let mut keys = BTreeSet::new();
                let asked = turn.effects.iter().filter(|effect| effect.kind == EffectKind::Write);
                let fresh = asked.map(|effect| !live.run.has_written(&effect.key) && keys.insert(&effect.key));
                live.writes.extend(writes.drain(..).zip(fresh).filter_map(|(write, fresh)| fresh.then_some(write)));
                release(live, turn, id, &mut self.commands);
            }
            live.wants_commit |= asks_for_commit(&event);
            let seq = live.run.next_seq();
            live.run.apply(&event);
            live.tail.push(Recorded { seq, at: now, event });
        }
        live.wants_commit |= live.tail.len() >= MAX_TAIL;
    }

    /// Brings what is out in line with what is owed.
    fn reconcile(&mut self, id: RunId, now: Timestamp) {
        let Some(live) = self.runs.get_mut(&id) else { return };
        let owed = live.run.owed(now);
        let dispatch = owed.iter().find_map(|owed| match owed {
            Owed::Dispatch { attempt, slice } => {
                Some(Fence { epoch: self.epoch, incarnation: self.incarnation, attempt: *attempt, slice: *slice })
            }
            Owed::Deliver { .. } | Owed::Cancel(_) | Owed::WakeAt(_) => None,
        });
        if let Some(fence) = live.slice.filter(|fence| Some(*fence) != dispatch) {
            self.slices -= 1;
            live.end_slice(id, fence, &mut self.commands);
        }
        if let Some(fence) = live.slice {
            deliver(live, &owed, id, fence, &mut self.commands);
        }
        let idle = live.slice.is_none();
        let wake = owed.iter().find_map(|owed| match owed {
            Owed::WakeAt(due) => Some(*due),
            Owed::Dispatch { .. } | Owed::Deliver { .. } | Owed::Cancel(_) => None,
        });
        self.set_wake(id, wake.filter(|due| *due > now || !sabotaged!(LostWakeUp)));
        if dispatch.is_some() && idle {
            self.enqueue(id);
        }
    }

    /// Starts slices while there is room.
    fn pump(&mut self, now: Timestamp) {
        while self.slices < self.limits.slices {
            let Some(id) = self.queue.front().copied().filter(|id| self.runs.contains_key(id)) else { return };
            self.unqueue_front();
            let Some(live) = self.runs.get_mut(&id) else { return };
            if live.slice.is_some() || !live.run.is_live() {
                self.advance_parked(id, now);
                continue;
            }
            let fence = Fence {
                epoch: self.epoch,
                incarnation: self.incarnation,
                attempt: live.run.attempt(),
                slice: live.run.slice(),
            };
            live.slice = Some(fence);
            self.slices += 1;
            let dispatch = Command::Dispatch { run: id, fence, accepted: live.accepted.take() };
            // A slice replays what is on disk, so everything but the waking itself has to be there first.
            live.wants_commit |= live.tail.iter().any(|recorded| recorded.event != Event::Woken);
            if live.wants_commit {
                live.gated.push(dispatch)
            } else {
                self.commands.push(dispatch)
            }
            self.reconcile(id, now);
        }
    }

    /// A run came to the front of the queue although nothing is to be dispatched: only time can act on it.
    fn advance_parked(&mut self, id: RunId, now: Timestamp) {
        let Some(live) = self.runs.get(&id) else { return };
        if live.slice.is_none() && !live.run.is_live() {
            let events = live.run.decide(&Input::Tick, now).unwrap_or_default();
            self.record(id, events, Vec::new(), now);
            self.reconcile(id, now);
        }
    }

    fn enqueue(&mut self, id: RunId) {
        if self.queued.insert(id) {
            self.queue.push_back(id);
        }
    }

    fn unqueue_front(&mut self) {
        if let Some(id) = self.queue.pop_front() {
            self.queued.remove(&id);
        }
    }

    fn set_wake(&mut self, id: RunId, wake: Option<Timestamp>) {
        if let Some(old) = self.wake_of.remove(&id) {
            self.wakes.remove(&(old, id));
        }
        if let Some(due) = wake {
            self.wake_of.insert(id, due);
            self.wakes.insert((due, id));
        }
    }

    /// What is to be carried out now, in order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// What has to be written now; `None` where nothing asks for it. Each run goes with its whole tail.
    #[must_use]
    pub fn batch(&self) -> Option<Batch> {
        let transitions: Vec<Transition> =
            self.runs.values().filter(|live| live.wants_commit).map(Live::transition).collect();
        (!transitions.is_empty()).then(|| Batch { shard: self.id, epoch: self.epoch, lsn: self.lsn, transitions })
    }

    /// The batch is on disk: releases what waited for it and lets go of runs that need no memory.
    pub fn committed(&mut self, batch: &Batch) {
        self.lsn = batch.last_lsn();
        self.starts.clear();
        for transition in &batch.transitions {
            let Some(live) = self.runs.get_mut(&transition.run) else { continue };
            live.tail.clear();
            live.writes.clear();
            live.wants_commit = false;
            if let Some(head) = &transition.head {
                live.head = Some((head.status, head.wake));
            }
            if live.slice.is_none() && live.accepted.as_ref().is_some_and(|a| a.input.len() > MAX_QUEUED_INPUT) {
                live.accepted = None;
            }
            self.commands.append(&mut live.gated);
            self.commands.push(Command::Committed {
                run: transition.run,
                through: live.run.next_seq() - 1,
                end: transition.end().cloned(),
            });
            if !live.run.is_live() {
                self.runs.remove(&transition.run);
            }
        }
    }
}

impl Live {
    /// Forgets the slice that is out: what it was to be told is not told, what it asked for does not leave any more.
    fn end_slice(&mut self, run: RunId, fence: Fence, commands: &mut Vec<Command>) {
        self.slice = None;
        self.sent.clear();
        self.cancel_sent = None;
        let unborn = self.gated.iter().any(|command| matches!(command, Command::Dispatch { .. }));
        self.gated.retain(|command| matches!(command, Command::Answer(_)));
        if !unborn {
            commands.push(Command::Drop { run, fence });
        }
    }

    fn transition(&self) -> Transition {
        Transition {
            run: self.run.id(),
            events: self.tail.clone(),
            head: batch::head(&self.run, self.head, &self.tail),
            writes: self.writes.clone(),
        }
    }
}

fn fence_of(input: &Input) -> Option<Fence> {
    match input {
        Input::Turn { fence, .. }
        | Input::Failed { fence, .. }
        | Input::Lost { fence, .. }
        | Input::Mismatch { fence, .. } => Some(*fence),
        Input::Accept(_) | Input::Tick | Input::Cancel { .. } | Input::Signal { .. } | Input::Answer { .. } => None,
    }
}

/// Whether somebody waits for this event to be on disk.
fn asks_for_commit(event: &Event) -> bool {
    match event {
        Event::Accepted(_)
        | Event::Parked
        | Event::AttemptFailed { .. }
        | Event::Paused { .. }
        | Event::SignalReceived { .. }
        | Event::Answered { .. }
        | Event::CancelRequested { .. }
        | Event::Ended(_) => true,
        Event::Turn(turn) => {
            turn.notes.iter().any(|note| note.visible) || turn.effects.iter().any(|effect| asks_the_world(&effect.kind))
        }
        Event::AttemptStarted { .. } | Event::Woken | Event::SliceLost { .. } => false,
    }
}

/// Whether an effect leaves the run with its commit: to its target, or to the person who is asked.
const fn asks_the_world(kind: &EffectKind) -> bool {
    matches!(kind, EffectKind::Keyed | EffectKind::Question { .. })
}

/// Lets the turn's effects leave, or holds them back until the turn is on disk.
fn release(live: &mut Live, turn: &Turn, run: RunId, commands: &mut Vec<Command>) {
    let Some(fence) = live.slice else { return };
    for path in &turn.cancels {
        let held = live.gated.len();
        live.gated.retain(|command| !matches!(command, Command::Perform { path: p, .. } if p == path));
        if live.gated.len() == held {
            commands.push(Command::Abort { run, fence, path: path.clone() });
        }
    }
    for effect in turn.effects.iter().filter(|effect| !turn.cancels.contains(&effect.path)) {
        let perform = || Command::Perform { run, fence, path: effect.path.clone() };
        match effect.kind {
            EffectKind::Safe => commands.push(perform()),
            EffectKind::Keyed if sabotaged!(OutputBeforeCommit) => commands.push(perform()),
            EffectKind::Keyed => live.gated.push(perform()),
            EffectKind::Write | EffectKind::Timer { .. } | EffectKind::Signal { .. } | EffectKind::Question { .. } => {}
        }
    }
}

/// Tells the slice what it has not been told yet.
fn deliver(live: &mut Live, owed: &[Owed], run: RunId, fence: Fence, commands: &mut Vec<Command>) {
    // A slice that is itself held back hears nothing before it exists.
    let unborn = live.gated.iter().any(|command| matches!(command, Command::Dispatch { .. }));
    let commands = if unborn { &mut live.gated } else { commands };
    live.sent.retain(|path, _| live.run.is_open(path));
    for owed in owed {
        match owed {
            Owed::Deliver { path, resolution } => {
                let signal = match resolution {
                    Resolution::Signal { number, .. } => Some(*number),
                    Resolution::Fired | Resolution::Written | Resolution::Answered { .. } => None,
                };
                // A signal on its way to one wait is not promised to another that was asked for in between.
                let promised = signal.is_some() && live.sent.values().any(|sent| *sent == signal);
                if !promised && !live.sent.contains_key(path) {
                    live.sent.insert(path.clone(), signal);
                    commands.push(Command::Deliver { run, fence, path: path.clone(), resolution: *resolution });
                }
            }
            Owed::Cancel(mode) if live.cancel_sent != Some(*mode) => {
                live.cancel_sent = Some(*mode);
                commands.push(Command::Cancel { run, fence, mode: *mode });
            }
            Owed::Cancel(_) | Owed::Dispatch { .. } | Owed::WakeAt(_) => {}
        }
    }
}
