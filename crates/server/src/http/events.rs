//! The journal as clients see it: each recorded event as one or several API events.
//!
//! The projection is a pure function of one recorded event. An event's `sequence` counts the run's API events from 1
//! without a gap; its `id` is `sequence.journal-event.index` and says where to go on reading, so that neither a page nor
//! a stream has to begin at the first event. Payloads stay the text they were; seeds, frames and the values of effects
//! are not shown.

use crate::http::{
    AboutRun, ApiError, App,
    auth::Caller,
    object::{Object, array},
    runs::{answer, find_run},
};
use axum::{
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bivouac_engine::{
    Accepted, Effect, EffectKind, End, Event, Loss, Step, StepOutcome, Timestamp, Turn, event::Note as RecordedNote,
};
use bivouac_protocol::{
    ErrorInfo, Json, RunId,
    frame::{CancelMode, InFrame, Note, Outcome, Question},
};
use bivouac_store::{Reader, RunRecord, StoreError, StoredEvent};
use bytes::Bytes;
use serde::Deserialize;
use std::{borrow::Cow, fmt, str::FromStr};

/// The most events of one page.
pub const MAX_PAGE: usize = 1_000;
/// A page that has this many bytes takes no further event: 4 MiB.
pub const MAX_PAGE_BYTES: usize = 4 << 20;
/// How many recorded events are read at once.
const CHUNK: usize = 64;
/// What an author's own event may not be called, because clients would take it for ours.
const RESERVED: &[&str] = &["run.", "function.", "workflow.", "step.", "effect.", "attempt.", "signal.", "question."];
/// Of these kinds of component only our own events are taken: their authors have events that begin so.
const SHARED: &[&str] = &["agent.", "tool."];
/// What ours are called after the kind.
const LIFE: &[&str] = &["started", "paused", "resumed", "completed", "failed", "cancelled"];

/// The last event that a reader has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Its number among the run's API events; 0 before the first.
    pub sequence: u64,
    /// The recorded event that it came from.
    pub seq: u64,
    /// Its place among those that came from it.
    pub index: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.sequence, self.seq, self.index)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit())).ok_or(());
        let number = |text: &str| text.parse().map_err(|_| ());
        let (sequence, seq) = (number(part()?)?, number(part()?)?);
        Ok(Self { sequence, seq, index: part()?.parse().map_err(|_| ())? })
    }
}

/// One API event, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What happened.
    pub event_type: Cow<'static, str>,
    /// About it, as JSON text.
    pub data: Bytes,
    /// What clients of the runs API look for beside the data, as JSON text; empty for nothing.
    pub metadata: Bytes,
    /// The step that it is about.
    pub step_key: Option<String>,
    /// The run's input, on the event that accepts it.
    pub input: Option<Bytes>,
    /// The run's output, on the event that completes it.
    pub output: Option<Bytes>,
}

impl Item {
    fn new(event_type: impl Into<Cow<'static, str>>, data: &mut Object) -> Self {
        Self {
            event_type: event_type.into(),
            data: data.finish().into(),
            metadata: Bytes::new(),
            step_key: None,
            input: None,
            output: None,
        }
    }

    /// Whether no event follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(&*self.event_type, "run.completed" | "run.failed" | "run.cancelled")
    }

    /// The event as JSON text.
    #[must_use]
    pub fn json(&self, run: RunId, at: Timestamp, place: Position) -> Vec<u8> {
        let mut object = Object::with_capacity(384 + self.data.len());
        object
            .id("id", place)
            .put("event_type", &*self.event_type)
            .id("run_id", run)
            .raw("data", &self.data)
            .raw("metadata", if self.metadata.is_empty() { b"{}" } else { &self.metadata })
            .put("step_key", &self.step_key)
            .raw("parent_event_id", b"null")
            .raw("correlation_id", b"null")
            .raw("parent_correlation_id", b"null")
            .raw("trace_id", b"null")
            .put("timestamp_ns", &at.0.saturating_mul(1_000_000))
            .time("created_at", at)
            .time("timestamp", at)
            .put("sequence", &place.sequence);
        for (name, payload) in [("input_data", &self.input), ("output_data", &self.output)] {
            if let Some(payload) = payload {
                object.raw(name, payload);
            }
        }
        object.finish()
    }
}

/// What clients see of a recorded event; `kind` is the component's (`function`, `workflow`, `agent`), `before` the event
/// recorded before it, which only [`Event::Parked`] needs.
#[must_use]
pub fn project(kind: &str, event: &Event, before: Option<&Event>) -> Vec<Item> {
    match event {
        Event::Accepted(accepted) => vec![queued(accepted)],
        Event::AttemptStarted { attempt } => vec![Item::new("attempt.started", Object::new().put("attempt", attempt))],
        Event::Turn(turn) => project_turn(kind, turn),
        Event::Parked => vec![paused(kind, before)],
        Event::Woken => vec![Item::new(format!("{kind}.resumed"), &mut Object::new())],
        Event::SliceLost { cause } => {
            let reason = match cause {
                Loss::Executor => "executor",
                Loss::Deadline => "cpu_limit",
            };
            vec![Item::new("run.slice_lost", Object::new().put("reason", reason))]
        }
        Event::AttemptFailed { error, retry_at } => {
            vec![Item::new("attempt.failed", failure(error).time("retry_at", *retry_at))]
        }
        Event::Paused { error } => vec![Item::new("run.paused", failure(error).put("reason", "journal_mismatch"))],
        Event::SignalReceived { name, id, payload } => {
            let mut data = Object::new();
            vec![Item::new("signal.received", data.put("name", &**name).put("id", &**id).raw("payload", payload))]
        }
        Event::Answered { key, id, payload } => {
            let mut data = Object::with_capacity(128 + payload.len());
            vec![Item::new("question.answered", data.put("key", key).put("id", &**id).raw("outcome", payload))]
        }
        Event::CancelRequested { mode, until, reason } => {
            let mut data = Object::new();
            data.put("mode", mode).put("reason", &**reason);
            if *mode == CancelMode::Grace {
                data.time("until", *until);
            }
            vec![Item::new("run.cancel_requested", &mut data)]
        }
        Event::Ended(end) => project_end(kind, end),
    }
}

/// Why a run lets go of its guest: the turn before it says what it asked for last.
fn paused(kind: &str, before: Option<&Event>) -> Item {
    let effects = if let Some(Event::Turn(turn)) = before { &turn.effects[..] } else { &[] };
    let asked = effects.iter().rev().find_map(|effect| match &effect.kind {
        EffectKind::Question { name, question } => Some((&effect.key, name, question)),
        _ => None,
    });
    let event_type = format!("{kind}.paused");
    let Some((key, name, question)) = asked else {
        return Item::new(event_type, Object::new().put("reason", "timer"));
    };
    let read: Option<Question> = serde_json::from_slice(question).ok();
    let text = read.as_ref().map_or("", |question| &question.text);
    let mut data = Object::with_capacity(128 + question.len());
    data.put("reason", "question").put("key", key).maybe("name", name.as_deref()).raw("question", question);
    let mut metadata = Object::new();
    metadata.put("pause_reason", "user_input_required").put("question", text);
    if let Some(question) = &read {
        metadata.put("input_type", &question.input_type).put("options", &question.options);
    }
    Item { metadata: metadata.finish().into(), ..Item::new(event_type, &mut data) }
}

/// How many events [`project`] gives.
#[must_use]
pub fn count(event: &Event) -> usize {
    match event {
        Event::Turn(turn) => {
            2 * usize::from(turn.n == 1)
                + turn.delivered.len()
                + turn.steps.len()
                + turn.notes.len()
                + turn.cancels.len()
                + turn.effects.len()
        }
        Event::Ended(_) => 2,
        _ => 1,
    }
}

fn queued(accepted: &Accepted) -> Item {
    let mut data = Object::with_capacity(256 + accepted.input.len());
    data.put("component", &*accepted.component).id("deployment_id", accepted.deployment).raw("input", &accepted.input);
    if !accepted.metadata.is_empty() {
        data.raw("metadata", &accepted.metadata);
    }
    data.maybe("idempotency_key", accepted.idempotency.as_ref().map(|(key, _)| &**key));
    Item { input: Some(accepted.input.clone()), ..Item::new("run.queued", &mut data) }
}

/// A turn in the order in which it happened: what was delivered, what the component then finished and told, what it gave
/// up, and what it asked for.
fn project_turn(kind: &str, turn: &Turn) -> Vec<Item> {
    let mut items = Vec::new();
    if turn.n == 1 {
        items.push(Item::new("run.started", Object::new().raw("attempt", b"1")));
        items.push(Item::new(format!("{kind}.started"), &mut Object::new()));
    }
    items.extend(deliveries(turn));
    items.extend(turn.steps.iter().map(step));
    items.extend(turn.notes.iter().map(note));
    items.extend(turn.cancels.iter().map(|path| Item::new("effect.cancelled", Object::new().put("path", path))));
    items.extend(turn.effects.iter().map(effect));
    items
}

/// Which effects are over. Their values belong to the component; an error is shown.
fn deliveries(turn: &Turn) -> Vec<Item> {
    if turn.delivered.is_empty() {
        return Vec::new();
    }
    let outcomes = InFrame::decode(&turn.frame).map(|frame| frame.deliver).unwrap_or_default();
    let error_of = |path| {
        outcomes.iter().find_map(|(of, outcome)| match outcome {
            Outcome::Err(error) if of == path => Some(error),
            _ => None,
        })
    };
    turn.delivered
        .iter()
        .map(|delivery| match error_of(&delivery.path) {
            Some(error) => Item::new("effect.failed", failure(error).put("path", &delivery.path)),
            None => Item::new("effect.completed", Object::new().put("path", &delivery.path)),
        })
        .collect()
}

fn step(step: &Step) -> Item {
    let item = match &step.outcome {
        StepOutcome::Ok(output) => {
            Item::new("step.completed", Object::with_capacity(64 + output.len()).raw("output", output))
        }
        StepOutcome::Err(error) => Item::new("step.failed", &mut failure(error)),
    };
    Item { step_key: Some(step.key.to_string()), ..item }
}

fn effect(effect: &Effect) -> Item {
    let mut data = Object::new();
    data.put("path", &effect.path).put("key", &effect.key).put("op", &*effect.op);
    match &effect.kind {
        EffectKind::Safe | EffectKind::Keyed | EffectKind::Write => {}
        EffectKind::Timer { due } => {
            data.time("due", *due);
        }
        EffectKind::Signal { name } => {
            data.put("signal", &**name);
        }
        EffectKind::Question { name, question } => {
            data.maybe("name", name.as_deref()).raw("question", question);
        }
    }
    Item::new("effect.started", &mut data)
}

/// What the component told: an event of the author's has its own type, unless clients would take it for one of ours.
fn note(note: &RecordedNote) -> Item {
    let read = std::str::from_utf8(&note.text).ok().and_then(|text| Json::parse_text(text).ok());
    match read.and_then(|json| Note::from_json(&json).ok()) {
        Some(Note::Emit { name, data }) if is_own_type(&name) => Item {
            event_type: Cow::Owned(name),
            data: Bytes::copy_from_slice(data.text().as_bytes()),
            metadata: Bytes::new(),
            step_key: None,
            input: None,
            output: None,
        },
        Some(Note::Emit { name, data }) => {
            Item::new("emit", Object::new().put("name", &name).raw("data", data.text().as_bytes()))
        }
        Some(Note::Log { level, message }) => {
            Item::new("log", Object::new().put("level", &level).put("message", &message))
        }
        Some(Note::Progress { content }) => {
            Item::new("run.progress", Object::new().raw("content", content.text().as_bytes()))
        }
        Some(Note::Artifact { artifact, append, last_chunk }) => {
            let mut data = Object::with_capacity(64 + artifact.text().len());
            data.raw("artifact", artifact.text().as_bytes());
            Item::new("run.artifact", data.put("append", &append).put("last_chunk", &last_chunk))
        }
        // A note of a newer build: its place in the numbering stays.
        _ => Item::new("note", &mut Object::new()),
    }
}

/// Whether an author's name can be an event's type: it fits in one line of a stream, and is not one of ours.
fn is_own_type(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/');
    (1..=128).contains(&name.len())
        && name.bytes().all(plain)
        && !matches!(name, "error" | "emit" | "log" | "note")
        && !RESERVED.iter().any(|prefix| name.starts_with(prefix))
        && !SHARED.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|word| LIFE.contains(&word)))
}

fn project_end(kind: &str, end: &End) -> Vec<Item> {
    match end {
        End::Completed { output } => {
            let last = Item::new("run.completed", Object::with_capacity(64 + output.len()).raw("output", output));
            vec![
                Item::new(format!("{kind}.completed"), &mut Object::new()),
                Item { output: Some(output.clone()), ..last },
            ]
        }
        // Here clients look for a text in `error`.
        End::Failed { error } => vec![
            Item::new(format!("{kind}.failed"), &mut failure(error)),
            Item::new("run.failed", failure(error).put("error", &error.message)),
        ],
        End::Cancelled { reason } => vec![
            Item::new(format!("{kind}.cancelled"), &mut Object::new()),
            Item::new("run.cancelled", Object::new().put("reason", &**reason)),
        ],
    }
}

/// An error's members. None is called `error`: some clients take that for the failure of the whole run.
fn failure(error: &ErrorInfo) -> Object {
    let mut data = Object::new();
    data.put("error_code", error.code.as_str())
        .put("error_message", &error.message)
        .put("retryable", &error.retryable)
        .maybe("retry_after_ms", error.retry_after_ms.as_ref());
    data
}

/// The component's kind as events are named after it.
pub(crate) fn kind_of(run: &RunRecord) -> &str {
    run.component.split_once('/').map_or("function", |(kind, _)| kind)
}

/// What [`walk`] gave.
pub(crate) struct Walked {
    /// Whether there may be more at once.
    pub(crate) more: bool,
    /// Whether the run's last event was among it.
    pub(crate) last: bool,
}

/// Gives a run's events after `from`, at most `limit` of them or [`MAX_PAGE_BYTES`], and moves `from` along.
pub(crate) fn walk(
    reader: &dyn Reader,
    run: RunId,
    kind: &str,
    from: &mut Position,
    limit: usize,
    mut each: impl FnMut(&Item, Vec<u8>, Position),
) -> Result<Walked, StoreError> {
    let (mut given, mut bytes) = (0, 0);
    // The event that was given last is read again: more may have come from it than fitted.
    let mut read = from.seq.saturating_sub(1);
    let mut before: Option<Event> = None;
    loop {
        let chunk = reader.events(run, read, CHUNK)?;
        let full = chunk.len() == CHUNK;
        for stored in chunk {
            read = stored.seq;
            if stored.event == Event::Parked && before.is_none() && stored.seq > 1 {
                before = reader.events(run, stored.seq - 2, 1)?.into_iter().next().map(|stored| stored.event);
            }
            for (item, place) in after(kind, &stored, before.as_ref(), *from) {
                if given >= limit || bytes >= MAX_PAGE_BYTES {
                    return Ok(Walked { more: true, last: false });
                }
                let json = item.json(run, stored.at, place);
                (given, bytes) = (given + 1, bytes + json.len());
                *from = place;
                let last = item.is_last();
                each(&item, json, place);
                if last {
                    return Ok(Walked { more: false, last: true });
                }
            }
            before = Some(stored.event);
        }
        if !full {
            return Ok(Walked { more: false, last: false });
        }
    }
}

/// The events of a recorded one that lie after `from`, with their places.
fn after(kind: &str, stored: &StoredEvent, before: Option<&Event>, from: Position) -> Vec<(Item, Position)> {
    let skip = if stored.seq == from.seq { from.index as usize + 1 } else { 0 };
    if stored.seq < from.seq {
        return Vec::new();
    }
    let items = project(kind, &stored.event, before).into_iter().enumerate().skip(skip);
    let places = (from.sequence + 1..).zip(items);
    places
        .map(|(sequence, (index, item))| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            (item, Position { sequence, seq: stored.seq, index })
        })
        .collect()
}

/// Finds where an event with this `sequence` lies, by counting from the first.
fn locate(reader: &dyn Reader, run: RunId, sequence: u64) -> Result<Position, StoreError> {
    let (mut place, mut read) = (Position::default(), 0);
    while place.sequence < sequence {
        let chunk = reader.events(run, read, CHUNK)?;
        if chunk.is_empty() {
            break;
        }
        for stored in chunk {
            read = stored.seq;
            let taken = (count(&stored.event) as u64).min(sequence - place.sequence);
            if taken > 0 {
                let index = u32::try_from(taken - 1).unwrap_or(u32::MAX);
                place = Position { sequence: place.sequence + taken, seq: stored.seq, index };
            }
        }
    }
    Ok(place)
}

/// Reads where a client wants to go on: an event's `id`, or its `sequence`.
pub(crate) fn position(reader: &dyn Reader, run: RunId, text: &str) -> Result<Position, ApiError> {
    if let Ok(position) = text.parse() {
        return Ok(position);
    }
    match text.parse::<u64>() {
        Ok(sequence) => Ok(locate(reader, run, sequence)?),
        Err(_) => Err(ApiError::bad_request(format!(
            "`{}` is no event's id: give the `id` (such as 12.7.0) or the `sequence` (such as 12) of the last event that you have",
            text.chars().take(64).collect::<String>()
        ))),
    }
}

/// A page of events.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/runs/{id}/events`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let Query(query) = query?;
    let reader = &**app.driver.reader();
    let mut from = match &query.after {
        Some(text) => position(reader, run.id, text)?,
        None => Position::default(),
    };
    let limit = query.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let mut items = Vec::new();
    let walked = walk(reader, run.id, kind_of(&run), &mut from, limit, |_, json, _| items.push(json))?;
    let count = items.len();
    let mut body = Object::with_capacity(64 + items.iter().map(Vec::len).sum::<usize>());
    body.id("run_id", run.id).raw("items", &array(items)).put("count", &count);
    body.put("next", &walked.more.then(|| from.to_string()));
    let mut response = answer(StatusCode::OK, body.finish());
    response.extensions_mut().insert(AboutRun(run.id));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac_engine::event::Delivery;
    use bivouac_protocol::{
        Code, DeploymentId, EffectKey, Path as EffectPath, StepKey,
        frame::{AnswerOption, InputType},
        key::Digest,
    };

    fn every_event() -> Vec<Event> {
        let error = ErrorInfo::retryable(Code::TIMEOUT, "too slow");
        vec![
            Event::Accepted(accepted().into()),
            Event::Turn(std::sync::Arc::new(turn(1))),
            Event::Turn(std::sync::Arc::new(turn(2))),
            Event::AttemptStarted { attempt: 2 },
            Event::Parked,
            Event::Woken,
            Event::SliceLost { cause: Loss::Executor },
            Event::AttemptFailed { error: error.clone(), retry_at: Timestamp(1) },
            Event::Paused { error: error.clone() },
            Event::SignalReceived { name: "go".into(), id: "1".into(), payload: Bytes::from_static(b"{}") },
            Event::Answered {
                key: "0/x#1".into(),
                id: "a1".into(),
                payload: Bytes::from_static(b"{\"answer\":9007199254740993}"),
            },
            Event::CancelRequested { mode: CancelMode::Grace, until: Timestamp(1), reason: "x".into() },
            Event::Ended(End::Completed { output: Bytes::from_static(b"1") }),
            Event::Ended(End::Failed { error }),
            Event::Ended(End::Cancelled { reason: "x".into() }),
        ]
    }

    fn accepted() -> Accepted {
        Accepted {
            environment: "default".into(),
            tenant: "".into(),
            app: "app".into(),
            user: "user".into(),
            deployment: DeploymentId::from_u128(1),
            component: "function/f".into(),
            idempotency: None,
            input: Bytes::from_static(b"[9007199254740993]"),
            metadata: Bytes::new(),
            seed: Bytes::from_static(b"never shown"),
            patches: Vec::new(),
            retries: None,
        }
    }

    fn turn(n: u64) -> Turn {
        let told = |note: &Note| RecordedNote { visible: true, text: note.to_json().text().to_owned().into() };
        let emit = |name: &str| told(&Note::Emit { name: name.to_owned(), data: Json::null() });
        let effect = |path: &str, kind| Effect {
            path: EffectPath::from(path),
            key: EffectKey::from("0/x#1"),
            op: "sleep".into(),
            digest: Digest::default(),
            kind,
        };
        Turn {
            n,
            now: Timestamp(5),
            frame: frame(),
            delivered: ["1", "2"].map(|path| Delivery { path: path.into(), signal: None }).into(),
            cancel: None,
            effects: vec![effect("3", EffectKind::Safe), effect("4", EffectKind::Timer { due: Timestamp(9) }), asks()],
            steps: vec![Step { key: StepKey::from("a"), outcome: StepOutcome::Ok(Bytes::from_static(b"{}")) }],
            cancels: vec!["5".into()],
            notes: vec![
                emit("mine"),
                emit("run.failed"),
                RecordedNote { visible: false, text: Bytes::from_static(b"?") },
                told(&Note::Progress { content: Json::parse_text(r#"{"parts":[{"text":"half"}]}"#).unwrap() }),
                told(&Note::Artifact {
                    artifact: Json::parse_text(r#"{"artifactId":"a","parts":[]}"#).unwrap(),
                    append: true,
                    last_chunk: false,
                }),
            ],
        }
    }

    fn asks() -> Effect {
        let question = Question {
            input_type: InputType::Select,
            options: vec![AnswerOption { id: "lake".into(), label: "At the lake".into() }],
            name: Some("camp".into()),
            ..Question::new("Which camp?")
        };
        Effect {
            path: EffectPath::from("6"),
            key: EffectKey::from("0/q#1"),
            op: "ask".into(),
            digest: Digest::default(),
            kind: EffectKind::Question {
                name: Some("camp".into()),
                question: question.to_json().text().to_owned().into(),
            },
        }
    }

    fn frame() -> Bytes {
        let outcomes = [Outcome::Ok(Json::null()), Outcome::Err(ErrorInfo::terminal(Code::HOST_NOT_GRANTED, "no"))];
        let deliver = ["1".into(), "2".into()].into_iter().zip(outcomes).collect();
        InFrame { deliver, ..InFrame::new(2, 5) }.encode()
    }

    #[test]
    fn every_recorded_event_gives_as_many_events_as_are_counted() {
        for event in every_event() {
            assert_eq!(project("function", &event, None).len(), count(&event), "{}", event.kind());
        }
    }

    #[test]
    fn every_event_is_json_in_any_place_and_shows_no_seed() {
        for item in every_event().iter().flat_map(|event| project("function", event, None)) {
            let json = item.json(RunId::from_u128(7), Timestamp(1), Position::default());
            let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(value["event_type"], &*item.event_type);
            assert!(!String::from_utf8(json).unwrap().contains("never shown"));
        }
    }

    #[test]
    fn a_turn_is_told_in_the_order_in_which_it_happened() {
        let types = |n| -> Vec<_> {
            project_turn("workflow", &turn(n)).into_iter().map(|item| item.event_type.into_owned()).collect()
        };
        let second = [
            "effect.completed",
            "effect.failed",
            "step.completed",
            "mine",
            "emit",
            "note",
            "run.progress",
            "run.artifact",
            "effect.cancelled",
            "effect.started",
            "effect.started",
            "effect.started",
        ];
        assert_eq!(types(2), second);
        assert_eq!(types(1)[..2], ["run.started", "workflow.started"]);
        assert_eq!(types(1)[2..], second);
    }

    #[test]
    fn a_pause_says_whether_a_person_is_asked() {
        let turn = Event::Turn(std::sync::Arc::new(turn(2)));
        let json = |before: Option<&Event>| -> serde_json::Value {
            let items = project("workflow", &Event::Parked, before);
            serde_json::from_slice(&items[0].json(RunId::from_u128(7), Timestamp(1), Position::default())).unwrap()
        };
        let asked = json(Some(&turn));
        assert_eq!(asked["event_type"], "workflow.paused");
        assert_eq!((&asked["data"]["reason"], &asked["data"]["name"]), (&"question".into(), &"camp".into()));
        assert_eq!(asked["data"]["question"]["options"][0]["label"], "At the lake");
        assert_eq!(asked["metadata"]["pause_reason"], "user_input_required");
        assert_eq!(
            (&asked["metadata"]["question"], &asked["metadata"]["input_type"]),
            (&"Which camp?".into(), &"select".into())
        );
        let slept = json(Some(&Event::Woken));
        assert_eq!((&slept["data"]["reason"], &slept["metadata"]), (&"timer".into(), &serde_json::json!({})));
    }

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is() {
        let place = Position { sequence: 12, seq: 7, index: 0 };
        assert_eq!(place.to_string(), "12.7.0");
        assert_eq!("12.7.0".parse(), Ok(place));
        for text in ["", "1", "1.2", "1.2.3.4", "a.b.c", "+1.2.3", "1.2.99999999999"] {
            assert_eq!(text.parse::<Position>(), Err(()), "{text}");
        }
    }

    #[test]
    fn only_what_no_client_takes_for_ours_keeps_its_name() {
        for name in ["progress", "output.delta", "agent.thought", "a:b/c-d_e"] {
            assert!(is_own_type(name), "{name}");
        }
        for name in [
            "run.completed",
            "step.x",
            "workflow.started",
            "agent.paused",
            "question.x",
            "error",
            "log",
            "",
            "a b",
            "a\nevent: run.failed",
            "é",
        ] {
            assert!(!is_own_type(name), "{name}");
        }
    }
}
