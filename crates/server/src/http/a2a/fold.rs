//! A run's journal, told as a task.
//!
//! What a task looks like is decided by `bivouac_a2a::task`; here recorded events become what it is fed with. A request
//! reads so much and no more ([`MAX_FOLDED_EVENTS`], [`MAX_FOLDED_BYTES`]); a longer task says so.

use super::{place::context, refusal};
use crate::http::Shared;
use bivouac_a2a::{
    A2aError, ErrorKind, Timestamp,
    task::{End as TaskEnd, Fact, Position, RunEvent, TaskFold, Told},
};
use bivouac_engine::{Effect, EffectKind, End, Event, Turn};
use bivouac_protocol::{
    Json, Path, RunId,
    frame::{Note, Question},
};
use bivouac_store::{Reader, RunRecord, StoredEvent};
use std::collections::BTreeMap;

/// The most recorded events that one request reads of tasks.
pub const MAX_FOLDED_EVENTS: usize = 20_000;
/// The most bytes of content that one request reads of tasks: 32 MiB.
pub const MAX_FOLDED_BYTES: usize = 32 << 20;
/// How many recorded events are read at once.
const CHUNK: usize = 128;

/// What a request may still read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    events: usize,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { events: MAX_FOLDED_EVENTS, bytes: MAX_FOLDED_BYTES }
    }
}

impl Budget {
    fn spend(&mut self, events: usize, bytes: usize) -> Result<(), A2aError> {
        let left = self.events.checked_sub(events).zip(self.bytes.checked_sub(bytes));
        let (events, bytes) = left.ok_or_else(|| {
            A2aError::new(
                ErrorKind::TaskTooLarge,
                format!(
                    "the task has more than {MAX_FOLDED_EVENTS} events or {MAX_FOLDED_BYTES} bytes, which is more than is shown at once: read its events at /v1/runs/ID/events"
                ),
            )
        })?;
        (self.events, self.bytes) = (events, bytes);
        Ok(())
    }
}

/// Reads a run's journal on from where it was.
pub(super) struct Journal {
    run: RunId,
    read: u64,
    /// What the attempt asks, by path: a turn withdraws a question by that.
    asked: BTreeMap<Path, String>,
}

impl Journal {
    pub(super) const fn new(run: RunId) -> Self {
        Self { run, read: 0, asked: BTreeMap::new() }
    }

    /// What has happened since the last time.
    pub(super) fn read(&mut self, app: &Shared, budget: &mut Budget) -> Result<Vec<RunEvent>, A2aError> {
        let reader: &dyn Reader = &**app.driver.reader();
        let mut events = Vec::new();
        loop {
            let chunk = reader.events(self.run, self.read, CHUNK).map_err(refusal::store)?;
            let full = chunk.len() == CHUNK;
            let before = events.len();
            for stored in &chunk {
                self.read = stored.seq;
                facts(stored, &mut self.asked, &mut events);
            }
            budget.spend(chunk.len(), events[before..].iter().map(bytes).sum())?;
            if !full {
                return Ok(events);
            }
        }
    }
}

/// A task as it is told now.
pub(super) struct Folded {
    pub(super) fold: TaskFold,
    pub(super) journal: Journal,
}

impl Folded {
    /// Reads a task from its beginning.
    pub(super) fn read(app: &Shared, run: &RunRecord, budget: &mut Budget) -> Result<Self, A2aError> {
        let mut folded = Self { fold: TaskFold::new(run.id.to_string(), context(run)), journal: Journal::new(run.id) };
        folded.read_on(app, budget)?;
        Ok(folded)
    }

    /// Reads what has happened since.
    pub(super) fn read_on(&mut self, app: &Shared, budget: &mut Budget) -> Result<(), A2aError> {
        for event in self.journal.read(app, budget)? {
            self.fold.apply(&event);
        }
        Ok(())
    }

    /// Whether somebody who waits for the task has waited long enough.
    pub(super) fn is_settled(&self) -> bool {
        self.fold.state().is_terminal() || self.fold.state().is_interrupted()
    }
}

/// A task as it was at some point, and everything that was told after it.
pub(super) struct Resumed {
    pub(super) snapshot: TaskFold,
    pub(super) live: TaskFold,
    pub(super) after: Vec<Told>,
    pub(super) journal: Journal,
}

/// Where to resume a task.
pub(super) enum From<'a> {
    /// As it is now.
    Now,
    /// After what a client has seen; a place that was never reached is now.
    Seen(Position),
    /// Where it was accepted.
    Accepted,
    /// Where this message was taken for an answer.
    Answered(&'a str),
}

impl Resumed {
    pub(super) fn read(app: &Shared, run: &RunRecord, from: &From<'_>) -> Result<Self, A2aError> {
        let mut journal = Journal::new(run.id);
        let events = journal.read(app, &mut Budget::default())?;
        let new = || TaskFold::new(run.id.to_string(), context(run));
        let mut live = new().lean();
        let told: Vec<Told> = events.iter().flat_map(|event| live.apply(event)).collect();
        let first = Position { seq: 1, sub: 0 };
        let position = match from {
            From::Accepted => first,
            From::Seen(position) if (first..=live.position()).contains(position) => *position,
            From::Now | From::Seen(_) => live.position(),
            From::Answered(id) => {
                let answered = events.iter().find(|event| is_answer(event, id));
                answered.map_or_else(|| live.position(), |event| Position { seq: event.seq, sub: 0 })
            }
        };
        let mut snapshot = new().until(position);
        for event in &events {
            snapshot.apply(event);
        }
        let after = told.into_iter().filter(|told| told.position > position).collect();
        Ok(Self { snapshot, live, after, journal })
    }
}

fn is_answer(event: &RunEvent, message_id: &str) -> bool {
    matches!(&event.fact, Fact::Answered { id, .. } if id == message_id)
}

/// What one recorded event means for a task.
fn facts(stored: &StoredEvent, open: &mut BTreeMap<Path, String>, into: &mut Vec<RunEvent>) {
    let at = Timestamp::from_millis(i64::try_from(stored.at.0).unwrap_or(i64::MAX));
    let mut push = |fact| into.push(RunEvent { seq: stored.seq, at, fact });
    match &stored.event {
        Event::Accepted(accepted) => push(Fact::Accepted { input: json(&accepted.input) }),
        Event::Turn(turn) => {
            if turn.n == 1 {
                push(Fact::Began);
            }
            for delivery in &turn.delivered {
                open.remove(&delivery.path);
            }
            let withdrawn: Vec<_> = turn.cancels.iter().filter_map(|path| open.remove(path)).collect();
            // What a cancel takes back goes with the task: its end is what is told.
            withdrawn
                .into_iter()
                .filter(|_| turn.cancel.is_none())
                .map(|key| Fact::Withdrawn { key })
                .for_each(&mut push);
            told(turn).for_each(&mut push);
            for effect in &turn.effects {
                if let Some(fact) = asked(effect) {
                    open.insert(effect.path.clone(), effect.key.to_string());
                    push(fact);
                }
            }
        }
        Event::Answered { key, id, payload } => {
            push(Fact::Answered { key: key.to_string(), id: id.to_string(), outcome: json(payload) });
        }
        Event::AttemptFailed { .. } => {
            open.clear();
            push(Fact::AttemptFailed);
        }
        Event::AttemptStarted { .. } | Event::Parked | Event::Woken | Event::Paused { .. } => push(Fact::Moved),
        Event::Ended(end) => push(Fact::Ended(match end {
            End::Completed { output } => TaskEnd::Completed { output: json(output) },
            End::Failed { error } => TaskEnd::Failed { code: error.code.clone(), message: error.message.clone() },
            End::Cancelled { reason } => TaskEnd::Canceled { reason: reason.to_string() },
        })),
        Event::SliceLost { .. } | Event::SignalReceived { .. } | Event::CancelRequested { .. } => {}
    }
}

fn told(turn: &Turn) -> impl Iterator<Item = Fact> {
    let notes = turn.notes.iter().filter(|note| note.visible);
    notes.filter_map(|note| match Note::from_json(&json(&note.text)).ok()? {
        Note::Progress { content } => Some(Fact::Progress { content }),
        Note::Artifact { artifact, append, last_chunk } => Some(Fact::Artifact { artifact, append, last_chunk }),
        // Events of the author's own are for the runs API.
        _ => None,
    })
}

fn asked(effect: &Effect) -> Option<Fact> {
    let EffectKind::Question { question, .. } = &effect.kind else { return None };
    let question: Question = serde_json::from_slice(question).ok()?;
    Some(Fact::Asked { key: effect.key.to_string(), question })
}

/// What was recorded as JSON is JSON; if it is not, there is nothing to show.
fn json(text: &[u8]) -> Json {
    Json::parse_bytes(text).unwrap_or_default()
}

fn bytes(event: &RunEvent) -> usize {
    match &event.fact {
        Fact::Accepted { input: json }
        | Fact::Progress { content: json }
        | Fact::Artifact { artifact: json, .. }
        | Fact::Answered { outcome: json, .. }
        | Fact::Ended(TaskEnd::Completed { output: json }) => json.text().len(),
        Fact::Asked { question, .. } => {
            question.text.len() + question.content.as_ref().map_or(0, |content| content.text().len())
        }
        Fact::Began | Fact::Withdrawn { .. } | Fact::AttemptFailed | Fact::Moved | Fact::Ended(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_may_read_is_limited_in_events_and_in_bytes() {
        let mut budget = Budget { events: 3, bytes: 10 };
        assert!(budget.spend(2, 10).is_ok());
        assert_eq!(budget.spend(2, 0).unwrap_err().kind, ErrorKind::TaskTooLarge);
        assert_eq!(budget.spend(0, 1).unwrap_err().kind, ErrorKind::TaskTooLarge);
        assert!(budget.spend(1, 0).is_ok());
    }
}
