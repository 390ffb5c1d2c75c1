//! The reference model: what must hold, checked at every commit, release, arrival and answer.
//!
//! It sees what the world sees - the disk, what leaves, what is answered - and folds the disk by itself. It never tells
//! the engine anything. The first rule that is broken ends the world.

mod grammar;

use crate::{
    faults::Counts,
    guest::{Ask, FAILED, Op, REFUSED},
    outside::Outside,
    program::Program,
    reference,
    store::Disk,
};
use bivouac_engine::{
    Batch, EffectKind, End, Event, Fence, Run, Shard, StepOutcome, Timestamp, Transition,
    journal::{decode, encode, encode_state},
};
use bivouac_protocol::{Code, EffectKey, ErrorInfo, Path, RunId, StepKey, key::Digest};
use bytes::Bytes;
use grammar::Grammar;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// How often a turn is repeated that ran into the CPU deadline. Source: the guest contract, "Turns", rule 10.
const REPEATED_AFTER_DEADLINE: u32 = 3;
/// How often a turn is repeated whose slice was lost.
const REPEATED_AFTER_LOSS: u32 = bivouac_engine::run::MAX_LOSSES;

/// A rule that can be seen to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Acknowledged means on disk.
    Acknowledged,
    /// One idempotency key starts one run.
    Started,
    /// Nothing leaves before what led to it is on disk.
    OutputCommit,
    /// The journal has no gap, and folding it gives the live state.
    Journal,
    /// Events come in an order that makes sense.
    Grammar,
    /// Replay gives what was recorded.
    Replay,
    /// Equal requests have equal keys, different requests never share one, in every attempt.
    Keys,
    /// A step's result is recorded once.
    Steps,
    /// A signal is taken once, or waits.
    Signals,
    /// An answer counts once, for a question that is open, and is not asked for again.
    Answers,
    /// Nobody sees another run's uncommitted writes; a write happens once per key.
    Memory,
    /// A run ends as its program can end.
    Outcome,
    /// Every unfinished run owes something, holds a timer, has a position, or awaits something named.
    AccountedFor,
    /// Only the slice that is out is heard, and what a commit releases is for it.
    Fence,
    /// What an honest slice says is taken.
    HonestTurn,
    /// Grace ends when it is over.
    Grace,
    /// Every accepted run ends once the faults are over.
    Liveness,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub check: Check,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.what)
    }
}

/// What a client was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The run exists.
    Started(RunId),
    /// Another start was accepted under the key.
    Taken(RunId),
    /// The signal was received.
    Signalled(RunId, Box<str>),
    /// The answer was recorded.
    Answered(RunId, Box<str>),
    /// The run is to end, or has ended.
    Cancelled(RunId),
    /// The run has ended.
    Finished(RunId),
}

/// What the model knows.
#[derive(Debug, Default)]
pub struct Model {
    runs: BTreeMap<RunId, Known>,
    starts: BTreeMap<Box<str>, RunId>,
    promises: Vec<Promise>,
    violation: Option<Violation>,
}

#[derive(Debug)]
struct Known {
    run: Run,
    grammar: Grammar,
    program: Option<Arc<Program>>,
    steps: BTreeSet<StepKey>,
    keyed: BTreeSet<(u32, Path)>,
    nodes: BTreeMap<u32, EffectKey>,
    requests: BTreeMap<EffectKey, Digest>,
    signals: BTreeMap<u64, Box<str>>,
    /// Answers by the question's key: whose, and what.
    answers: BTreeMap<EffectKey, (Box<str>, Bytes)>,
    /// Signals that lasting steps took; a later attempt may not come by the step again.
    taken_by_steps: BTreeSet<String>,
    kept: BTreeSet<Box<str>>,
    refused: bool,
    trapped: bool,
    cancel_asked: bool,
    grace_ends: Option<Timestamp>,
}

impl Known {
    fn new(id: RunId) -> Self {
        Self {
            run: Run::absent(id),
            grammar: Grammar::default(),
            program: None,
            steps: BTreeSet::new(),
            keyed: BTreeSet::new(),
            nodes: BTreeMap::new(),
            requests: BTreeMap::new(),
            signals: BTreeMap::new(),
            answers: BTreeMap::new(),
            taken_by_steps: BTreeSet::new(),
            kept: BTreeSet::new(),
            refused: false,
            trapped: false,
            cancel_asked: false,
            grace_ends: None,
        }
    }
}

impl Model {
    /// The first broken rule.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Records a broken rule; only the first counts.
    pub fn blame(&mut self, check: Check, what: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { check, what: what.into() });
        }
    }

    fn require(&mut self, holds: bool, check: Check, what: impl FnOnce() -> String) {
        if !holds {
            self.blame(check, what());
        }
    }

    fn known(&mut self, run: RunId) -> &mut Known {
        self.runs.entry(run).or_insert_with(|| Known::new(run))
    }

    /// A guest asked for an effect.
    pub fn asked(&mut self, run: RunId, ask: &Ask) {
        let known = self.known(run);
        let key = known.nodes.entry(ask.node).or_insert_with(|| ask.key.clone()).clone();
        let digest = *known.requests.entry(ask.key.clone()).or_insert_with(|| ask.op.digest());
        self.require(key == ask.key, Check::Keys, || {
            format!("{run}: node {} had the key {key} and now has {}", ask.node, ask.key)
        });
        self.require(digest == ask.op.digest(), Check::Keys, || {
            format!("{run}: two different requests have the key {}", ask.key)
        });
    }

    /// The target refused an effect of the run.
    pub fn refused(&mut self, run: RunId) {
        self.known(run).refused = true;
    }

    /// The run's guest was made to trap.
    pub fn trapped(&mut self, run: RunId) {
        self.known(run).trapped = true;
    }

    /// A client wants the run to end.
    pub fn cancel_asked(&mut self, run: RunId) {
        self.known(run).cancel_asked = true;
    }

    /// A batch is on disk: whatever it says must fit what was there.
    pub fn committed(&mut self, batch: &Batch, shard: &Shard, counts: &mut Counts) {
        for transition in &batch.transitions {
            let id = transition.run;
            for recorded in &transition.events {
                counts.event(recorded.event.kind());
                let due = self.known(id).run.next_seq();
                self.require(recorded.seq == due, Check::Journal, || {
                    format!("{id}: event {} came where {due} was due", recorded.seq)
                });
                self.event(id, &recorded.event);
            }
            self.written(transition);
            let known = self.known(id);
            let live = shard.run(id);
            let equal = live.is_none_or(|live| *live == known.run);
            self.require(equal, Check::Journal, || format!("{id}: the journal's fold differs from the live run"));
        }
    }

    fn event(&mut self, id: RunId, event: &Event) {
        let again = decode(&encode(event));
        self.require(again.as_ref() == Ok(event), Check::Journal, || format!("{id}: {event:?} became {again:?}"));
        let known = self.known(id);
        if let Err(why) = known.grammar.take(event) {
            self.blame(Check::Grammar, format!("{id}: {why}"));
        }
        match event {
            Event::Accepted(accepted) => {
                let number = std::str::from_utf8(&accepted.input).ok().and_then(|text| text.parse().ok());
                self.known(id).program = number.map(|number| Arc::new(Program::numbered(number)));
                if let Some((key, _)) = &accepted.idempotency {
                    let other = *self.starts.entry(key.clone()).or_insert(id);
                    self.require(other == id, Check::Started, || format!("{id} and {other} were started as {key}"));
                }
            }
            Event::Turn(turn) => self.turn(id, turn),
            Event::SignalReceived { id: sender, .. } => {
                let known = self.known(id);
                let number = known.run.next_seq();
                let twice = known.signals.values().any(|other| other == sender);
                known.signals.insert(number, sender.clone());
                self.require(!twice, Check::Signals, || format!("{id}: the signal {sender} was received twice"));
            }
            Event::Answered { key, id: sender, payload } => self.answered(id, key, sender, payload),
            Event::Ended(end) => self.ended(id, end),
            Event::AttemptStarted { .. }
            | Event::Parked
            | Event::Woken
            | Event::SliceLost { .. }
            | Event::AttemptFailed { .. }
            | Event::Paused { .. } => {}
            Event::CancelRequested { until, .. } => self.known(id).grace_ends = Some(*until),
        }
        let known = self.known(id);
        known.run.apply(event);
        let state = encode_state(&known.run);
        let again = bivouac_engine::journal::decode_state(id, &state);
        let equal = again.as_ref() == Ok(&known.run);
        self.require(equal, Check::Journal, || format!("{id}: the state became {again:?}"));
    }

    fn answered(&mut self, id: RunId, key: &EffectKey, sender: &str, payload: &Bytes) {
        let known = self.known(id);
        let open = known.run.awaits().any(|(_, open, kind)| open == key && matches!(kind, EffectKind::Question { .. }));
        let twice = known.answers.values().any(|(other, _)| **other == *sender);
        let again = known.answers.insert(key.clone(), (sender.into(), payload.clone())).is_some();
        self.require(open, Check::Answers, || format!("{id}: {sender} answered {key}, which is not open"));
        self.require(!twice, Check::Answers, || format!("{id}: the answer {sender} counted twice"));
        self.require(!again, Check::Answers, || format!("{id}: the question {key} was answered twice"));
    }

    /// An answer was refused as one that another preceded.
    pub fn refused_answer(&mut self, run: RunId, sender: &str, payload: &Bytes) {
        let known = self.known(run);
        let counted = known.answers.values().any(|(other, what)| **other == *sender && what == payload);
        self.require(!counted, Check::Answers, || format!("{run}: the answer {sender} counted, and is now refused"));
    }

    fn turn(&mut self, id: RunId, turn: &bivouac_engine::Turn) {
        let attempt = self.known(id).run.attempt();
        for effect in turn.effects.iter().filter(|effect| effect.kind == EffectKind::Keyed) {
            self.known(id).keyed.insert((attempt, effect.path.clone()));
        }
        for effect in turn.effects.iter().filter(|effect| matches!(effect.kind, EffectKind::Question { .. })) {
            let known = self.known(id).answers.contains_key(&effect.key);
            self.require(!known, Check::Answers, || format!("{id}: {} was answered, and is asked again", effect.key));
        }
        for step in &turn.steps {
            let (lasts, value) = match &step.outcome {
                StepOutcome::Ok(value) => (true, serde_json::from_slice(value)),
                StepOutcome::Err(error) => (!error.retryable, serde_json::from_str(&error.message)),
            };
            if lasts {
                let taken = reference::signals_taken(&value.unwrap_or(Value::Null));
                self.known(id).taken_by_steps.extend(taken);
            }
            let fresh = !lasts || self.known(id).steps.insert(step.key.clone());
            self.require(fresh, Check::Steps, || format!("{id}: the step {} ended twice for good", step.key));
        }
    }

    fn written(&mut self, transition: &Transition) {
        let id = transition.run;
        for write in &transition.writes {
            let Some(value) = &write.value else { continue };
            let text: Box<str> = String::from_utf8_lossy(value).into();
            let fresh = self.known(id).kept.insert(text.clone());
            self.require(fresh, Check::Memory, || format!("{id}: {text} was kept twice"));
        }
    }

    fn ended(&mut self, id: RunId, end: &End) {
        let known = self.known(id);
        let (attempt, grammar) = (known.run.attempt(), known.grammar.clone());
        let Some(program) = known.program.clone() else {
            return self.blame(Check::Outcome, format!("{id}: it ended before it began"));
        };
        match end {
            End::Completed { output } => match serde_json::from_slice::<Value>(output) {
                Ok(output) => {
                    if let Err(why) = reference::check_output(&program, &output, attempt) {
                        self.blame(Check::Outcome, format!("{id}: {why}"));
                    }
                    self.signals_accounted_for(id, &output);
                    self.answers_accounted_for(id, &output);
                }
                Err(error) => self.blame(Check::Outcome, format!("{id}: the output is no JSON: {error}")),
            },
            End::Failed { error } => {
                let allowed = self.may_fail(id, &program, attempt, error, &grammar);
                self.require(allowed, Check::Outcome, || format!("{id}: it failed in attempt {attempt} with {error}"));
            }
            End::Cancelled { .. } => {
                let asked = self.known(id).cancel_asked;
                self.require(asked, Check::Outcome, || format!("{id}: it was cancelled, but nobody asked"));
            }
        }
    }

    fn may_fail(&mut self, id: RunId, program: &Program, attempt: u32, error: &ErrorInfo, grammar: &Grammar) -> bool {
        let known = self.known(id);
        let last = program.retries.is_none_or(|retries| attempt >= retries.max_attempts);
        let by_world = match error.code.as_str() {
            FAILED => reference::may_fail(&program.nodes, attempt, error.retryable),
            REFUSED => known.refused,
            _ if error.code == Code::GUEST_TRAPPED => known.trapped,
            _ if error.code == Code::CPU_LIMIT => grammar.deadlines == REPEATED_AFTER_DEADLINE,
            _ if error.code == Code::INTERNAL => grammar.losses == REPEATED_AFTER_LOSS,
            _ => {
                let breach = [Code::FOREIGN_FUTURE, Code::DUPLICATE_PATH, Code::EFFECT_AFTER_END].contains(&error.code);
                breach && program.nodes.iter().any(|node| matches!(node, crate::program::Node::Broken(_)))
            }
        };
        by_world && (last || !error.retryable)
    }

    /// Each signal is in the output or in a lasting step, or still waits, and not both.
    fn signals_accounted_for(&mut self, id: RunId, output: &Value) {
        let taken = reference::signals_taken(output);
        let known = self.known(id);
        let waiting: BTreeSet<u64> = known.run.inbox().map(|(number, _)| number).collect();
        let fates: Vec<(Box<str>, usize)> = known
            .signals
            .iter()
            .map(|(number, sender)| {
                let times = taken.iter().filter(|id| **id == **sender).count();
                let times = times.max(usize::from(known.taken_by_steps.contains(&**sender)));
                (sender.clone(), times + usize::from(waiting.contains(number)))
            })
            .collect();
        for (sender, times) in fates {
            self.require(times == 1, Check::Signals, || {
                format!("{id}: the signal {sender} is accounted for {times} times")
            });
        }
    }

    /// Whatever a component was answered is recorded, and no answer was given to two questions.
    fn answers_accounted_for(&mut self, id: RunId, output: &Value) {
        let mut given = BTreeSet::new();
        for sender in reference::answers_given(output) {
            let recorded = self.known(id).answers.values().any(|(other, _)| **other == *sender);
            self.require(recorded, Check::Answers, || format!("{id}: {sender} was given, but is not recorded"));
            let first = given.insert(sender.clone());
            self.require(first, Check::Answers, || format!("{id}: {sender} was given twice"));
        }
    }

    /// A run's events are shown to whoever follows it.
    pub fn shown(&mut self, run: RunId, through: u64) {
        let on_disk = self.known(run).run.next_seq() - 1;
        self.require(on_disk >= through, Check::OutputCommit, || {
            format!("{run}: event {through} is shown, but the disk ends at {on_disk}")
        });
    }

    /// An effect is allowed to leave.
    pub fn permitted(&mut self, run: RunId, attempt: u32, ask: &Ask) {
        let keyed = matches!(ask.op, Op::Call { keyed: true, .. });
        let committed = self.known(run).keyed.contains(&(attempt, ask.path.clone()));
        self.require(committed || !keyed, Check::OutputCommit, || {
            format!("{run}: {} at {} left before the turn that asked for it was on disk", ask.key, ask.path)
        });
    }

    /// An effect arrives at its target; gives how often it arrived before.
    pub fn arrived(&mut self, run: RunId, attempt: u32, ask: &Ask, outside: &mut Outside) -> u64 {
        self.permitted(run, attempt, ask);
        let earlier = outside.arrive(run, &ask.key, ask.op.digest());
        let same = earlier.is_none_or(|earlier| earlier.digest == ask.op.digest());
        self.require(same, Check::Keys, || format!("{run}: {} arrived with something else", ask.key));
        earlier.map_or(0, |earlier| earlier.times)
    }

    /// A run read a value from memory.
    pub fn loaded(&mut self, run: RunId, value: Option<&str>, on_disk: Option<&str>) {
        let own = value.is_none_or(|value| value.starts_with(&format!("{run}/")));
        self.require(own || value == on_disk, Check::Memory, || {
            format!("{run} read {value:?}, which another run has not committed")
        });
    }

    /// A client hears a promise.
    pub fn promised(&mut self, promise: Promise) {
        self.check_promise(&promise);
        self.promises.push(promise);
    }

    fn check_promise(&mut self, promise: &Promise) {
        let (Promise::Started(run)
        | Promise::Taken(run)
        | Promise::Signalled(run, _)
        | Promise::Answered(run, _)
        | Promise::Cancelled(run)
        | Promise::Finished(run)) = promise;
        let Some(known) = self.runs.get(run) else {
            return self.blame(Check::Acknowledged, format!("{promise:?}, but there is no such run"));
        };
        let holds = match promise {
            Promise::Started(_) | Promise::Taken(_) => known.run.status().is_some(),
            Promise::Signalled(_, sender) => known.signals.values().any(|signal| signal == sender),
            Promise::Answered(_, sender) => known.answers.values().any(|(answer, _)| answer == sender),
            Promise::Cancelled(_) => known.grammar.cancels > 0 || known.grammar.has_ended(),
            Promise::Finished(_) => known.grammar.has_ended(),
        };
        self.require(holds, Check::Acknowledged, || format!("{promise:?}, but the disk does not say so"));
    }

    /// Whether everything unfinished will go on, as this owner sees it.
    pub fn accounted_for(&mut self, shard: &Shard, disk: &Disk, now: Timestamp) {
        let mut slices = 0;
        for run in shard.runs() {
            let id = run.id();
            slices += usize::from(shard.slice_of(id).is_some());
            let fine = run.is_accounted_for(now)
                && (!run.is_live() || shard.slice_of(id).is_some() || shard.is_queued(id))
                && (run.is_live() || run.status().is_none_or(bivouac_engine::Status::is_final) || {
                    let wakes = run.owed(now).iter().any(|owed| matches!(owed, bivouac_engine::Owed::WakeAt(_)));
                    !wakes || shard.wake_of(id).is_some()
                });
            self.require(fine, Check::AccountedFor, || format!("{id}: nobody will wake {run:?}"));
        }
        self.require(slices == shard.slices(), Check::AccountedFor, || {
            format!("{slices} slices are out, {} are counted", shard.slices())
        });
        if (shard.epoch(), shard.lsn()) != (disk.epoch, disk.lsn) {
            return;
        }
        for (id, wake) in disk.unfinished() {
            let fine = shard.run(id).is_some() || shard.is_queued(id) || shard.wake_of(id).is_some();
            self.require(fine, Check::AccountedFor, || format!("{id}: nobody will wake it, though it is due {wake:?}"));
        }
    }

    /// Time acted on the shard: whose grace is over, has ended.
    pub fn ticked(&mut self, shard: &Shard, disk: &Disk, now: Timestamp) {
        if shard.epoch() != disk.epoch {
            // A replaced owner does not hear of cancels any more, and nothing of what it does counts.
            return;
        }
        let over = |known: &Known| known.grace_ends.is_some_and(|until| until <= now) && !known.grammar.has_ended();
        let late: Vec<RunId> = self.runs.iter().filter(|(_, known)| over(known)).map(|(id, _)| *id).collect();
        for id in late {
            let ended = shard.run(id).is_none_or(|run| run.status().is_some_and(bivouac_engine::Status::is_final));
            self.require(ended, Check::Grace, || format!("{id}: its grace is over, but it goes on"));
        }
    }

    /// What a slice said was taken.
    pub fn heard(&mut self, run: RunId, speaker: Option<Fence>, out: Option<Fence>) {
        self.require(speaker == out, Check::Fence, || format!("{run}: {speaker:?} was heard while {out:?} was out"));
    }

    /// A commit released a command for a slice.
    pub fn released_for(&mut self, run: RunId, fence: Fence, shard: &Shard) {
        self.require(shard.slice_of(run) == Some(fence), Check::Fence, || {
            format!("{run}: a command was released for {fence:?}, but {:?} is out", shard.slice_of(run))
        });
    }

    /// A turn of the slice that is out, with the number that is due, was refused.
    pub fn refused_honest_turn(&mut self, run: RunId, turn: u64) {
        self.blame(Check::HonestTurn, format!("{run}: turn {turn} of the slice that is out was refused"));
    }

    /// After a commit only runs with a slice out, or on their way to one, are in memory.
    pub fn lets_go(&mut self, shard: &Shard) {
        if let Some(run) = shard.runs().find(|run| !run.is_live()) {
            self.blame(Check::AccountedFor, format!("{} stays in memory although it is {:?}", run.id(), run.status()));
        }
    }

    /// At the end: every promise still holds, and every run has ended.
    pub fn finally(&mut self) {
        for promise in std::mem::take(&mut self.promises) {
            self.check_promise(&promise);
        }
        let open: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, k)| k.run.status().is_some() && !k.grammar.has_ended())
            .map(|(id, _)| *id)
            .collect();
        if let Some(id) = open.first() {
            let run = &self.known(*id).run;
            let what = format!("{} runs have not ended; the first is {run:?}", open.len());
            self.blame(Check::Liveness, what);
        }
    }

    /// Whether every run on disk has ended.
    #[must_use]
    pub fn all_ended(&self) -> bool {
        self.runs.values().all(|known| known.run.status().is_none() || known.grammar.has_ended())
    }

    /// The unfinished runs on disk, as the model folds them.
    pub fn unfinished(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|known| !known.grammar.has_ended()).map(|known| &known.run)
    }
}
