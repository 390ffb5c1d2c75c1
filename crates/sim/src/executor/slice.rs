//! One slice: a guest, what it waits for, and what is on its way.

use super::scope;
use crate::{
    faults::Fault,
    guest::{Ask, Ending, Guest, Op, Out, Start},
    model::Check,
    program::Program,
    world::Surroundings,
};
use bivouac_engine::{
    Effect, EffectKind, End, Event, Fence, Input, MemoryWrite, Timestamp, Turn,
    event::{Delivery, Note},
    memo::Memo,
};
use bivouac_protocol::{
    Code, ErrorInfo, Path, RunId,
    frame::{CancelMode, InFrame, Outcome},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug)]
pub(super) struct Slice {
    /// None before the replay.
    pub(super) guest: Option<Guest>,
    turn: u64,
    clock: u64,
    began: bool,
    ended: bool,
    pub(super) mail: Vec<Mail>,
    pub(super) cancel: Option<CancelMode>,
    pub(super) flights: BTreeMap<Path, Flight>,
    timers: BTreeMap<Path, Timestamp>,
    /// Commands were lost: it will be reported as lost.
    pub(super) doomed: bool,
    /// It is over, and does so much more before it notices.
    pub(super) left_to_do: Option<u64>,
    /// It crashes after so many effects.
    pub(super) fuse: Option<u64>,
}

/// An outcome on its way to the guest.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) path: Path,
    pub(super) outcome: Outcome,
    pub(super) signal: Option<u64>,
}

/// An effect on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ask: Ask,
    pub(super) stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It may not leave yet.
    Held,
    /// It may leave.
    Allowed,
    /// It left, and this came of it.
    Left(Outcome),
}

impl Slice {
    pub(super) fn new(around: &mut Surroundings) -> Self {
        let fuse = around.happens_silently(Fault::CrashAfterEffects).then(|| around.dice.between(1, 3));
        Self {
            guest: None,
            turn: 1,
            clock: 0,
            began: false,
            ended: false,
            mail: Vec::new(),
            cancel: None,
            flights: BTreeMap::new(),
            timers: BTreeMap::new(),
            doomed: false,
            left_to_do: None,
            fuse,
        }
    }

    /// Whether there is something to tell the guest.
    pub(super) fn has_news(&self) -> bool {
        let awaited = |mail: &Mail| self.guest.as_ref().is_some_and(|guest| guest.awaits(&mail.path));
        !self.ended && (!self.began || self.cancel.is_some() || self.mail.iter().any(awaited))
    }

    /// Replays the attempt from the disk and compares.
    pub(super) fn replay(&mut self, run: RunId, fence: Fence, around: &mut Surroundings) -> Vec<Input> {
        let loaded = around.disk.load(run).and_then(|known| Ok((known, around.disk.events(run)?)));
        let (known, events) = match loaded {
            Ok((Some(known), events))
                if known.attempt() == fence.attempt && !known.status().is_none_or(|s| s.is_final()) =>
            {
                (known, events)
            }
            Ok(_) => {
                // Another owner went on with the run.
                self.left_to_do = Some(0);
                return Vec::new();
            }
            Err(why) => {
                around.model.blame(Check::Journal, why);
                return Vec::new();
            }
        };
        let Some(program) = program_of(&events) else {
            around.model.blame(Check::Journal, format!("{run}: it was dispatched before it was accepted"));
            return Vec::new();
        };
        let start = begins_at(&events, fence.attempt);
        let mut memo = Memo::default();
        events[..start].iter().for_each(|event| memo.fold(event));
        let start_frame = Start { run, attempt: fence.attempt, memo, keys_shift: around.keys_shift };
        let mut guest = Guest::new(Arc::clone(&program), start_frame);
        let mut asks: BTreeMap<Path, Ask> = BTreeMap::new();
        for event in &events[start..] {
            let Event::Turn(recorded) = event else { continue };
            self.began = true;
            if program.fickle && around.dice.chance(500) {
                around.counts.fault(Fault::ReplayDiffers);
                let error = ErrorInfo::terminal(Code::JOURNAL_MISMATCH, "the component is not deterministic");
                return vec![Input::Mismatch { fence, error }];
            }
            let replayed = replay_turn(&mut guest, recorded, &mut asks);
            if replayed.as_ref() != Ok(&**recorded) {
                around.model.blame(Check::Replay, format!("{run}: {replayed:?} where {recorded:?} is recorded"));
            }
        }
        self.guest = Some(guest);
        self.turn = known.next_turn();
        self.clock = known.clock().0;
        self.timers.extend(timers(known.awaits().map(|(path, _, kind)| (path, kind))));
        for (path, _, kind) in known.awaits().filter(|(_, _, kind)| !kind.is_wait()) {
            if let Some(ask) = asks.remove(path).filter(|_| *kind != EffectKind::Write) {
                self.flights.insert(path.clone(), Flight { ask, stage: Stage::Allowed });
            }
        }
        Vec::new()
    }

    /// Drives the guest once with everything that is there for it.
    pub(super) fn drive(&mut self, run: RunId, fence: Fence, around: &mut Surroundings) -> Option<Input> {
        let guest = self.guest.as_mut()?;
        // A guest that slept finds the time that it slept for, even where the clock stepped back.
        let slept = self.mail.iter().filter_map(|mail| self.timers.get(&mail.path)).map(|due| due.0).max();
        self.clock = self.clock.max(around.now.0).max(slept.unwrap_or(0));
        let mut frame = InFrame::new(self.turn, self.clock);
        let mut delivered: Vec<Delivery> = Vec::new();
        for mail in self.mail.drain(..) {
            // Whatever is not awaited any more is not delivered; it stays where it is.
            if guest.awaits(&mail.path) && delivered.iter().all(|other| other.path != mail.path) {
                frame.deliver.push((mail.path.clone(), mail.outcome));
                delivered.push(Delivery { path: mail.path, signal: mail.signal });
            }
        }
        frame.cancel = self.cancel.take();
        let out = guest.drive(&frame);
        self.began = true;
        self.turn += 1;
        self.ended = out.end.is_some();
        for path in &out.cancels {
            self.flights.remove(path);
        }
        for ask in &out.effects {
            around.model.asked(run, ask);
            if matches!(ask.op, Op::Call { .. } | Op::Load { .. }) {
                self.flights.insert(ask.path.clone(), Flight { ask: ask.clone(), stage: Stage::Held });
            }
        }
        let (writes, end) = (writes_of(&out), out.end.clone().map(end_of));
        let turn = Arc::new(turn_of(&frame, frame.encode(), delivered, out));
        self.timers.extend(timers(turn.effects.iter().map(|effect| (&effect.path, &effect.kind))));
        Some(Input::Turn { fence, turn, end, writes })
    }
}

/// When the timers among these are due.
fn timers<'a>(effects: impl Iterator<Item = (&'a Path, &'a EffectKind)>) -> impl Iterator<Item = (Path, Timestamp)> {
    effects.filter_map(|(path, kind)| match kind {
        EffectKind::Timer { due } => Some((path.clone(), *due)),
        EffectKind::Safe
        | EffectKind::Keyed
        | EffectKind::Write
        | EffectKind::Signal { .. }
        | EffectKind::Question { .. } => None,
    })
}

fn program_of(events: &[Event]) -> Option<Arc<Program>> {
    let Some(Event::Accepted(accepted)) = events.first() else { return None };
    let number = std::str::from_utf8(&accepted.input).ok()?.parse().ok()?;
    Some(Arc::new(Program::numbered(number)))
}

/// The index of the attempt's first event.
fn begins_at(events: &[Event], attempt: u32) -> usize {
    events.iter().position(|event| *event == Event::AttemptStarted { attempt }).unwrap_or(0)
}

fn replay_turn(guest: &mut Guest, recorded: &Turn, asks: &mut BTreeMap<Path, Ask>) -> Result<Turn, String> {
    let frame = InFrame::decode(&recorded.frame).map_err(|error| error.to_string())?;
    let out = guest.drive(&frame);
    asks.extend(out.effects.iter().map(|ask| (ask.path.clone(), ask.clone())));
    Ok(turn_of(&frame, recorded.frame.clone(), recorded.delivered.clone(), out))
}

fn turn_of(frame: &InFrame, bytes: Bytes, delivered: Vec<Delivery>, out: Out) -> Turn {
    let effect = |ask: &Ask| Effect {
        path: ask.path.clone(),
        key: ask.key.clone(),
        op: ask.op.name().into(),
        digest: ask.op.digest(),
        kind: match &ask.op {
            Op::Call { keyed: true, .. } => EffectKind::Keyed,
            Op::Call { keyed: false, .. } | Op::Load { .. } => EffectKind::Safe,
            Op::Save { .. } => EffectKind::Write,
            Op::Sleep { ms, until } => EffectKind::Timer { due: Timestamp(until.unwrap_or(frame.now_ms + ms)) },
            Op::Signal { name } => EffectKind::Signal { name: (*name).into() },
            Op::Ask { name } => {
                EffectKind::Question { name: Some((*name).into()), question: Bytes::from_static(b"{}") }
            }
        },
    };
    Turn {
        n: frame.turn,
        now: Timestamp(frame.now_ms),
        frame: bytes,
        delivered,
        cancel: frame.cancel,
        effects: out.effects.iter().map(effect).collect(),
        steps: out.steps,
        cancels: out.cancels,
        notes: out.notes.into_iter().map(|(visible, text)| Note { visible, text: text.into() }).collect(),
    }
}

fn writes_of(out: &Out) -> Vec<MemoryWrite> {
    let write = |ask: &Ask| match &ask.op {
        Op::Save { name, value } => {
            Some(MemoryWrite { scope: scope(), name: (*name).into(), value: value.clone().map(Bytes::from) })
        }
        Op::Call { .. } | Op::Load { .. } | Op::Sleep { .. } | Op::Signal { .. } | Op::Ask { .. } => None,
    };
    out.effects.iter().filter_map(write).collect()
}

fn end_of(ending: Ending) -> End {
    match ending {
        Ending::Completed(output) => End::Completed { output: output.to_string().into() },
        Ending::Failed(error) => End::Failed { error },
        Ending::Cancelled => End::Cancelled { reason: "".into() },
    }
}
