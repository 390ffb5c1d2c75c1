//! What executes slices: it replays, drives guests, lets effects leave, and gets all of it wrong in the ways it can.
//!
//! A slice replays the attempt from the disk and compares. Its fence says for whom it speaks; a slice that is over may
//! go on for a while and speak anyway. Nothing here decides about a run.

mod slice;

use crate::{
    faults::Fault,
    guest::{Op, REFUSED},
    outside::reply,
    owner::addressee,
    world::Surroundings,
};
use bivouac_engine::{Command, Fence, Input, Loss, MemoryScope, Resolution, Shard};
use bivouac_protocol::{Code, ErrorInfo, Json, Path, RunId, frame::Outcome};
use serde_json::{Value, json};
use slice::{Mail, Slice, Stage};
use std::collections::BTreeMap;

/// What a slice says to the loop.
pub type Said = (RunId, Input);

/// The slices of one machine.
#[derive(Debug, Default)]
pub struct Executor {
    slices: BTreeMap<(RunId, Fence), Slice>,
}

/// Something that a slice can do next.
#[derive(Clone, Debug)]
enum Action {
    Replay,
    Drive,
    Leave(Path),
    Return(Path),
    Report,
}

/// The memory that all runs of the simulation share.
#[must_use]
pub fn scope() -> MemoryScope {
    MemoryScope { environment: "sim".into(), app: "app".into(), tenant: "".into(), user: "user".into() }
}

impl Executor {
    /// Whether there is nothing that it could do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.slices.values().all(|slice| actions(slice).is_empty())
    }

    /// Lets go of all slices; some of them do not notice at once.
    pub fn drop_all(&mut self, around: &mut Surroundings) {
        for slice in self.slices.values_mut() {
            end(slice, around);
        }
        self.slices.retain(|_, slice| slice.left_to_do != Some(0));
    }

    /// Takes a command from the loop.
    pub fn receive(&mut self, command: &Command, shard: &Shard, around: &mut Surroundings) {
        let Some(id) = addressee(command) else { return };
        if around.happens(Fault::CommandDropped) {
            // Whoever watches the executor tells the loop sooner or later that the slice is lost.
            self.slices.entry(id).or_insert_with(|| Slice::new(around)).doomed = true;
            return;
        }
        let times = if around.happens(Fault::CommandRepeated) { 2 } else { 1 };
        for _ in 0..times {
            self.obey(id, command, shard, around);
        }
    }

    fn obey(&mut self, id: (RunId, Fence), command: &Command, shard: &Shard, around: &mut Surroundings) {
        if let Command::Dispatch { accepted, .. } = command {
            around.check_dispatch(id.0, accepted.as_deref());
            self.slices.entry(id).or_insert_with(|| Slice::new(around));
            return;
        }
        let Some(slice) = self.slices.get_mut(&id) else { return };
        match command {
            Command::Deliver { path, resolution, .. } => {
                let (value, signal) = match resolution {
                    Resolution::Fired => (json!("slept"), None),
                    Resolution::Written => (json!("kept"), None),
                    Resolution::Signal { number, seq } => (around.payload(id.0, *seq, shard), Some(*number)),
                    Resolution::Answered { seq } => (around.payload(id.0, *seq, shard), None),
                };
                slice.mail.push(Mail { path: path.clone(), outcome: ok(&value), signal });
            }
            Command::Cancel { mode, .. } => slice.cancel = Some(*mode),
            Command::Perform { path, .. } => {
                if let Some(flight) = slice.flights.get_mut(path) {
                    around.model.permitted(id.0, id.1.attempt, &flight.ask);
                    if flight.stage == Stage::Held {
                        flight.stage = Stage::Allowed;
                    }
                }
            }
            Command::Abort { path, .. } => {
                slice.flights.remove(path);
            }
            Command::Drop { .. } => {
                end(slice, around);
                self.slices.retain(|_, slice| slice.left_to_do != Some(0));
            }
            Command::Dispatch { .. } | Command::Answer(_) | Command::Committed { .. } => {}
        }
    }

    /// Does one thing, if there is one to do, and gives what it says to the loop.
    pub fn step(&mut self, shard: &Shard, around: &mut Surroundings) -> Vec<Said> {
        let mut choices: Vec<((RunId, Fence), Action)> = Vec::new();
        for (id, slice) in &self.slices {
            choices.extend(actions(slice).into_iter().map(|action| (*id, action)));
        }
        if choices.is_empty() {
            return Vec::new();
        }
        let (id, action) = choices.swap_remove(around.dice.index(choices.len()));
        let said = self.act(id, &action, shard, around);
        self.slices.retain(|_, slice| slice.left_to_do != Some(0));
        said.into_iter().map(|input| (id.0, input)).collect()
    }

    fn act(&mut self, id: (RunId, Fence), action: &Action, shard: &Shard, around: &mut Surroundings) -> Vec<Input> {
        let Some(slice) = self.slices.get_mut(&id) else { return Vec::new() };
        let (run, fence) = id;
        if let Some(left) = &mut slice.left_to_do {
            *left -= 1;
        }
        around.tell(|| format!("  executor {run} {fence:?}: {action:?}"));
        if matches!(action, Action::Report) || around.happens(Fault::SliceLost) {
            end(slice, around);
            return vec![Input::Lost { fence, cause: Loss::Executor }];
        }
        match action {
            Action::Report => Vec::new(),
            Action::Replay => slice.replay(run, fence, around),
            Action::Drive => {
                if around.happens(Fault::SliceDeadline) {
                    end(slice, around);
                    return vec![Input::Lost { fence, cause: Loss::Deadline }];
                }
                if around.happens(Fault::GuestTrapped) {
                    end(slice, around);
                    around.model.trapped(run);
                    let error = ErrorInfo::retryable(Code::GUEST_TRAPPED, "the component panicked");
                    return vec![Input::Failed { fence, error }];
                }
                let Some(turn) = slice.drive(run, fence, around) else { return Vec::new() };
                if slice.left_to_do.is_some() {
                    around.counts.fault(Fault::StaleSlice);
                }
                if around.happens(Fault::TurnRepeated) { vec![turn.clone(), turn] } else { vec![turn] }
            }
            Action::Leave(path) => {
                leave(slice, id, path, shard, around);
                if slice.fuse == Some(0) {
                    around.counts.fault(Fault::CrashAfterEffects);
                    end(slice, around);
                    return vec![Input::Lost { fence, cause: Loss::Executor }];
                }
                Vec::new()
            }
            Action::Return(path) => {
                if let Some(flight) = slice.flights.remove(path)
                    && let Stage::Left(outcome) = flight.stage
                {
                    slice.mail.push(Mail { path: path.clone(), outcome, signal: None });
                }
                Vec::new()
            }
        }
    }
}

/// What the slice can do next.
fn actions(slice: &Slice) -> Vec<Action> {
    if slice.doomed {
        return vec![Action::Report];
    }
    if slice.guest.is_none() {
        return vec![Action::Replay];
    }
    let mut actions = Vec::new();
    if slice.has_news() {
        actions.push(Action::Drive);
    }
    for (path, flight) in &slice.flights {
        match flight.stage {
            Stage::Held => {}
            Stage::Allowed => actions.push(Action::Leave(path.clone())),
            Stage::Left(_) => actions.push(Action::Return(path.clone())),
        }
    }
    actions
}

/// The slice is over; it may not notice for a while.
fn end(slice: &mut Slice, around: &mut Surroundings) {
    if slice.left_to_do.is_none() {
        let goes_on = around.happens_silently(Fault::StaleSlice) && !slice.doomed;
        slice.left_to_do = Some(if goes_on { around.dice.between(1, 6) } else { 0 });
    }
}

/// The effect arrives at its target, which answers.
fn leave(slice: &mut Slice, (run, fence): (RunId, Fence), path: &Path, shard: &Shard, around: &mut Surroundings) {
    let Some(flight) = slice.flights.get_mut(path) else { return };
    let outcome = match &flight.ask.op {
        Op::Call { payload, .. } => {
            let before = around.model.arrived(run, fence.attempt, &flight.ask, &mut around.outside);
            if before > 0 {
                around.counts.fault(Fault::EffectRepeated);
            }
            if around.happens(Fault::EffectRefused) {
                around.model.refused(run);
                let terminal = around.dice.chance(200);
                Outcome::Err(ErrorInfo {
                    code: Code::new(REFUSED),
                    message: "the target refused".to_owned(),
                    retryable: !terminal,
                    retry_after_ms: around.dice.chance(300).then_some(25),
                })
            } else {
                ok(&reply(*payload))
            }
        }
        Op::Load { name } => ok(&load(run, name, shard, around)),
        Op::Save { .. } | Op::Sleep { .. } | Op::Signal { .. } | Op::Ask { .. } => return,
    };
    flight.stage = Stage::Left(outcome);
    if let Some(fuse) = &mut slice.fuse {
        *fuse = fuse.saturating_sub(1);
    }
}

/// What a run reads from memory: its own uncommitted write, else what is on disk.
fn load(run: RunId, name: &str, shard: &Shard, around: &mut Surroundings) -> Value {
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let on_disk = around.disk.memory.get(&(scope(), name.into())).map(text);
    let own = shard.uncommitted(run, &scope(), name);
    let value = own.map_or_else(|| on_disk.clone(), |own| own.as_ref().map(text));
    around.model.loaded(run, value.as_deref(), on_disk.as_deref());
    value.map_or(Value::Null, |value| json!({"loaded": name, "value": value}))
}

fn ok(value: &Value) -> Outcome {
    Outcome::Ok(Json::of(value).expect("values have text keys"))
}
