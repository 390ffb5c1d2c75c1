//! How a run of an agent is told as a task: facts of the run go in, the events of A2A come out.
//!
//! [`TaskFold`] is fed with what happened, in order and from the beginning, by whoever keeps the record: the server from
//! its journal, an agent without the platform from its own. Equal facts give equal events, with equal positions and
//! equal message ids, however often they are read again. What is told is also kept, as the task that it makes.

use crate::{
    Object, Timestamp,
    types::{
        Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
        TaskStatusUpdateEvent,
    },
};
use bivouac_protocol::{
    Code, Json,
    frame::{InputType, Question},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// What is said of a question in the metadata of its message: the name or the key to answer it by.
pub const METADATA_QUESTION: &str = "question";
/// What is said of an error in the metadata of its message: its code.
pub const METADATA_CODE: &str = "code";

/// Where an event lies in a task's life: the recorded fact that it came from, and its place among those that came from
/// the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the recorded fact.
    pub seq: u64,
    /// The place among the events that came from it.
    pub sub: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seq, self.sub)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, sub) = text.split_once('.').ok_or(())?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !digits(seq) || !digits(sub) {
            return Err(());
        }
        Ok(Self { seq: seq.parse().map_err(|_| ())?, sub: sub.parse().map_err(|_| ())? })
    }
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvent {
    /// The number of the recorded fact; several things may come from one, they follow each other.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact,
}

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The run exists. Its input is an A2A message, or a text that stands for one.
    Accepted {
        /// The input.
        input: Json,
    },
    /// The agent took its first turn.
    Began,
    /// The agent says how far it is: `{"parts":[..]}`.
    Progress {
        /// What it says.
        content: Json,
    },
    /// The agent made something, or more of it.
    Artifact {
        /// The artifact, or a piece of it.
        artifact: Json,
        /// Whether its parts are added to those sent before under the same id.
        append: bool,
        /// Whether no more of it follows.
        last_chunk: bool,
    },
    /// The agent asks.
    Asked {
        /// What the question is known by.
        key: String,
        /// The question.
        question: Question,
    },
    /// The agent does not wait for an answer any more: something else it waited for came first.
    Withdrawn {
        /// What the question is known by.
        key: String,
    },
    /// A question was answered.
    Answered {
        /// What the question is known by.
        key: String,
        /// Who answered: the id of the message, or what the runs API was given.
        id: String,
        /// The outcome: `{"message":..}` or `{"answer":..}`.
        outcome: Json,
    },
    /// The attempt failed; its questions are asked again, if at all, by the next.
    AttemptFailed,
    /// The run was parked or woken, or goes on in another attempt.
    Moved,
    /// The run is over.
    Ended(End),
}

/// How a run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With an output: `{"message":{"parts":[..]},"artifacts":[..]}`, or anything else, which is then content itself.
    Completed {
        /// The output.
        output: Json,
    },
    /// With an error.
    Failed {
        /// Its code; [`Code::REJECTED`] means that the agent declined.
        code: Code,
        /// What happened.
        message: String,
    },
    /// Because somebody wished so.
    Canceled {
        /// Why, if that was said.
        reason: String,
    },
}

/// An event of a task, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it lies.
    pub position: Position,
    /// The event.
    pub event: StreamResponse,
}

impl Told {
    /// Whether a stream that follows the task ends after this: the task is over, or waits for the client.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        match &self.event {
            StreamResponse::StatusUpdate(update) => {
                update.status.state.is_terminal() || update.status.state.is_interrupted()
            }
            StreamResponse::Message(_) => true,
            StreamResponse::Task(_) | StreamResponse::ArtifactUpdate(_) => false,
        }
    }
}

/// A question that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    key: String,
    message: Message,
}

/// A task, folded from what happened in its run.
#[derive(Clone, Debug)]
pub struct TaskFold {
    task_id: String,
    context_id: String,
    status: TaskStatus,
    history: Vec<Message>,
    artifacts: Vec<Artifact>,
    /// Where among them an id is.
    artifact_places: BTreeMap<String, usize>,
    open: Vec<Open>,
    /// Whether the status's message joins the history when another status follows: what is said in passing does not.
    kept: bool,
    /// The position of the last thing that was told, and what comes after it.
    last: Position,
    next: Position,
    /// What lies after this is not taken in.
    until: Option<Position>,
    /// Whether history and artifacts are kept; who only tells needs neither.
    whole: bool,
}

impl TaskFold {
    /// A task of which nothing is known yet.
    pub fn new(task_id: impl Into<String>, context_id: impl Into<String>) -> Self {
        Self {
            task_id: task_id.into(),
            context_id: context_id.into(),
            status: TaskStatus::default(),
            history: Vec::new(),
            artifacts: Vec::new(),
            artifact_places: BTreeMap::new(),
            open: Vec::new(),
            kept: true,
            last: Position::default(),
            next: Position::default(),
            until: None,
            whole: true,
        }
    }

    /// The same, that only tells: it keeps neither history nor artifacts, so that following a task costs little memory.
    #[must_use]
    pub fn lean(mut self) -> Self {
        self.whole = false;
        self.history = Vec::new();
        self.artifacts = Vec::new();
        self
    }

    /// The same, that stays as it was at a position: what lies after it is not taken in.
    #[must_use]
    pub fn until(mut self, position: Position) -> Self {
        self.until = Some(position);
        self
    }

    /// Takes in what happened, and tells it.
    pub fn apply(&mut self, event: &RunEvent) -> Vec<Told> {
        if event.seq != self.next.seq {
            self.next = Position { seq: event.seq, sub: 0 };
        }
        let told = match &event.fact {
            Fact::Accepted { input } => self.accepted(event, input),
            Fact::Began => self.change(event, TaskState::Working, None, false),
            Fact::Progress { content } => self.progress(event, content),
            Fact::Artifact { artifact, append, last_chunk } => {
                let position = self.next;
                let artifact = artifact_of(artifact, || format!("{}.{position}", self.task_id));
                self.artifact(artifact, *append, *last_chunk)
            }
            Fact::Asked { key, question } => self.asked(event, key, question),
            Fact::Withdrawn { key } => self.withdrawn(event, key),
            Fact::Answered { key, id, outcome } => self.answered(event, key, id, outcome),
            Fact::AttemptFailed => self.attempt_failed(event),
            Fact::Moved => {
                self.moved(event);
                Vec::new()
            }
            Fact::Ended(end) => self.ended(event, end),
        };
        told.into_iter().flatten().collect()
    }

    /// The task as it stands, with at most so many of the latest messages.
    #[must_use]
    pub fn task(&self, history_length: Option<i32>, include_artifacts: bool) -> Task {
        let length = history_length.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(0));
        let skipped = self.history.len().saturating_sub(length);
        Task {
            id: self.task_id.clone(),
            context_id: Some(self.context_id.clone()),
            status: self.status.clone(),
            artifacts: include_artifacts.then(|| self.artifacts.clone()),
            history: self.history[skipped..].to_vec(),
            metadata: None,
        }
    }

    /// Where the task stands.
    #[must_use]
    pub const fn state(&self) -> TaskState {
        self.status.state
    }

    /// The position of the last thing that was told.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.last
    }

    /// Takes a place for something told; `false` where it lies after what is taken in.
    fn place(&mut self) -> (Position, bool) {
        let position = self.next;
        self.next.sub = self.next.sub.saturating_add(1);
        let taken = self.until.is_none_or(|until| position <= until);
        if taken {
            self.last = position;
        }
        (position, taken)
    }

    fn said(&self, position: Position, parts: Vec<Part>) -> Message {
        Message {
            context_id: Some(self.context_id.clone()),
            task_id: Some(self.task_id.clone()),
            ..Message::agent(format!("{}.{position}", self.task_id), parts)
        }
    }

    fn accepted(&mut self, event: &RunEvent, input: &Json) -> Vec<Option<Told>> {
        let (position, taken) = self.place();
        let mut message = message_of_input(input, || format!("{}.{position}", self.task_id));
        message.context_id = Some(self.context_id.clone());
        message.task_id = Some(self.task_id.clone());
        if taken {
            if self.whole {
                self.history.push(message);
            }
            self.status = TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(event.at) };
        }
        // The task itself is what is told of it; whoever streams begins with it.
        Vec::new()
    }

    /// Tells a status that is the task's from now on.
    fn change(
        &mut self,
        event: &RunEvent,
        state: TaskState,
        message: Option<Message>,
        moves: bool,
    ) -> Vec<Option<Told>> {
        let (position, taken) = self.place();
        if taken {
            let timestamp = if moves { Some(event.at) } else { self.status.timestamp };
            let status = TaskStatus { state, message: message.clone(), timestamp };
            let before = std::mem::replace(&mut self.status, status);
            if self.kept && self.whole {
                self.history.extend(before.message);
            }
            self.kept = true;
        }
        vec![Some(self.status_update(event, position, state, message))]
    }

    fn status_update(&self, event: &RunEvent, position: Position, state: TaskState, message: Option<Message>) -> Told {
        let update = TaskStatusUpdateEvent {
            task_id: self.task_id.clone(),
            context_id: self.context_id.clone(),
            status: TaskStatus { state, message, timestamp: Some(event.at) },
            metadata: None,
        };
        Told { position, event: StreamResponse::StatusUpdate(update) }
    }

    fn progress(&mut self, event: &RunEvent, content: &Json) -> Vec<Option<Told>> {
        let message = self.said(self.next, parts_of(content));
        if !self.open.is_empty() {
            // What is asked stays in sight; a place is taken all the same, so that places do not depend on it.
            self.place();
            return Vec::new();
        }
        let told = self.change(event, TaskState::Working, Some(message), false);
        if self.takes_in(&told) {
            self.kept = false;
        }
        told
    }

    fn artifact(&mut self, artifact: Artifact, append: bool, last_chunk: bool) -> Vec<Option<Told>> {
        let (position, taken) = self.place();
        if taken && self.whole {
            self.keep(artifact.clone(), append);
        }
        let update = TaskArtifactUpdateEvent {
            task_id: self.task_id.clone(),
            context_id: self.context_id.clone(),
            artifact,
            append,
            last_chunk,
            metadata: None,
        };
        vec![Some(Told { position, event: StreamResponse::ArtifactUpdate(update) })]
    }

    fn keep(&mut self, artifact: Artifact, append: bool) {
        let place = self.artifact_places.get(&artifact.artifact_id).copied();
        let Some(known) = place.and_then(|place| self.artifacts.get_mut(place)) else {
            self.artifact_places.insert(artifact.artifact_id.clone(), self.artifacts.len());
            self.artifacts.push(artifact);
            return;
        };
        if append {
            known.parts.extend(artifact.parts);
            known.name = artifact.name.or_else(|| known.name.take());
            known.description = artifact.description.or_else(|| known.description.take());
            known.metadata = artifact.metadata.or_else(|| known.metadata.take());
        } else {
            *known = artifact;
        }
    }

    fn asked(&mut self, event: &RunEvent, key: &str, question: &Question) -> Vec<Option<Told>> {
        let mut message = self.said(self.next, parts_of_question(question));
        let name = question.name.as_deref().unwrap_or(key);
        message.metadata = Some(Object::of_members([(METADATA_QUESTION, json_text(name))]));
        let told = self.change(event, TaskState::InputRequired, Some(message.clone()), true);
        if self.takes_in(&told) {
            self.open.retain(|open| open.key != key);
            self.open.push(Open { key: key.to_owned(), message });
        }
        told
    }

    /// Where the task stands once a question is not open any more.
    fn without(&self, key: &str) -> (TaskState, Option<Message>) {
        match self.open.iter().find(|open| open.key != key) {
            // Another question is open still: it is the one to answer now.
            Some(other) => {
                let message =
                    Message { message_id: format!("{}.{}", self.task_id, self.next), ..other.message.clone() };
                (TaskState::InputRequired, Some(message))
            }
            None => (TaskState::Working, None),
        }
    }

    fn withdrawn(&mut self, event: &RunEvent, key: &str) -> Vec<Option<Told>> {
        if self.open.iter().all(|open| open.key != key) {
            return Vec::new();
        }
        let (state, message) = self.without(key);
        let told = self.change(event, state, message, true);
        if self.takes_in(&told) {
            self.open.retain(|open| open.key != key);
        }
        told
    }

    fn answered(&mut self, event: &RunEvent, key: &str, id: &str, outcome: &Json) -> Vec<Option<Told>> {
        let (state, message) = self.without(key);
        let told = self.change(event, state, message, true);
        if self.takes_in(&told) {
            self.open.retain(|open| open.key != key);
            let mut answer = message_of_outcome(outcome, id);
            answer.context_id = Some(self.context_id.clone());
            answer.task_id = Some(self.task_id.clone());
            if self.whole {
                self.history.push(answer);
            }
        }
        told
    }

    fn attempt_failed(&mut self, event: &RunEvent) -> Vec<Option<Told>> {
        if self.open.is_empty() {
            self.moved(event);
            return Vec::new();
        }
        let told = self.change(event, TaskState::Working, None, true);
        if self.takes_in(&told) {
            self.open.clear();
        }
        told
    }

    fn moved(&mut self, event: &RunEvent) {
        let taken = self.until.is_none_or(|until| self.next <= until);
        if taken && !self.status.state.is_terminal() {
            self.status.timestamp = Some(event.at);
        }
    }

    fn ended(&mut self, event: &RunEvent, end: &End) -> Vec<Option<Told>> {
        let mut told = Vec::new();
        let (state, message) = match end {
            End::Completed { output } => {
                let output = Output::of(output);
                for artifact in &output.artifacts {
                    let position = self.next;
                    let artifact = artifact_of(artifact, || format!("{}.{position}", self.task_id));
                    told.extend(self.artifact(artifact, false, true));
                }
                (TaskState::Completed, output.message.map(|parts| self.said(self.next, parts)))
            }
            End::Failed { code, message } => {
                let state = if *code == Code::REJECTED { TaskState::Rejected } else { TaskState::Failed };
                let mut said = self.said(self.next, vec![Part::text(message.clone())]);
                said.metadata = Some(Object::of_members([(METADATA_CODE, json_text(code.as_str()))]));
                (state, Some(said))
            }
            End::Canceled { reason } if reason.is_empty() => (TaskState::Canceled, None),
            End::Canceled { reason } => {
                (TaskState::Canceled, Some(self.said(self.next, vec![Part::text(reason.clone())])))
            }
        };
        told.extend(self.change(event, state, message, true));
        if self.takes_in(&told) {
            self.open.clear();
        }
        told
    }

    fn takes_in(&self, told: &[Option<Told>]) -> bool {
        let last = told.iter().flatten().last().map(|told| told.position);
        last.is_none_or(|last| self.until.is_none_or(|until| last <= until))
    }
}

/// The message that a run's input is: an A2A message, or any other value as what is said in one.
pub fn message_of_input(input: &Json, id: impl FnOnce() -> String) -> Message {
    let mut message = message_of(input).unwrap_or_else(|| Message::user("", vec![part_of(input)]));
    if message.message_id.is_empty() {
        message.message_id = id();
    }
    message.role = Role::User;
    message
}

/// The message that answers a question: that of the outcome, or any other value as what is said in one.
fn message_of_outcome(outcome: &Json, id: &str) -> Message {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Wire {
        message: Option<Json>,
        answer: Option<Json>,
    }
    let wire: Wire = outcome.parse().unwrap_or_default();
    let said = wire.message.or(wire.answer).unwrap_or_else(|| outcome.clone());
    message_of_input(&said, || id.to_owned())
}

fn message_of(json: &Json) -> Option<Message> {
    json.text()
        .trim_start()
        .starts_with('{')
        .then(|| json.parse().ok())
        .flatten()
        .filter(|message: &Message| !message.parts.is_empty())
}

/// A value as content: a text is words, anything else is data.
fn part_of(json: &Json) -> Part {
    json.parse::<String>().map_or_else(|_| Part::data(json.clone()), Part::text)
}

/// The parts of a content, `{"parts":[..]}`; anything else is one part itself.
#[must_use]
pub fn parts_of(content: &Json) -> Vec<Part> {
    #[derive(Deserialize)]
    struct Wire {
        parts: Vec<Part>,
    }
    content.parse::<Wire>().map_or_else(|_| vec![part_of(content)], |wire| wire.parts)
}

/// What a question looks like: its content or its words, and what there is to choose.
#[must_use]
pub fn parts_of_question(question: &Question) -> Vec<Part> {
    let mut parts = question.content.as_ref().map(parts_of).unwrap_or_default();
    if parts.is_empty() {
        parts.push(Part::text(question.text.clone()));
    }
    if question.input_type != InputType::Text {
        let options = Json::of(&question.options).expect("options have text keys");
        let choice = Object::of_members([("inputType", json_text(question.input_type.as_str())), ("options", options)]);
        parts.push(Part::data(choice.json().clone()));
    }
    parts
}

/// An artifact, or anything else as the content of one.
fn artifact_of(json: &Json, id: impl FnOnce() -> String) -> Artifact {
    let read = json.text().trim_start().starts_with('{').then(|| json.parse::<Artifact>().ok()).flatten();
    let mut artifact = read
        .filter(|artifact| !artifact.parts.is_empty())
        .unwrap_or_else(|| Artifact { parts: vec![part_of(json)], ..Artifact::default() });
    if artifact.artifact_id.is_empty() {
        artifact.artifact_id = id();
    }
    artifact
}

fn json_text(text: &str) -> Json {
    Json::of(text).expect("a text is JSON")
}

/// What a completed run says at its end.
struct Output {
    message: Option<Vec<Part>>,
    artifacts: Vec<Json>,
}

impl Output {
    fn of(output: &Json) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        struct Wire {
            message: Option<Json>,
            artifacts: Option<Vec<Json>>,
        }
        if output.text().trim() == "null" {
            return Self { message: None, artifacts: Vec::new() };
        }
        let object = output.text().trim_start().starts_with('{');
        match object.then(|| output.parse::<Wire>().ok()).flatten() {
            Some(wire) => {
                Self { message: wire.message.as_ref().map(parts_of), artifacts: wire.artifacts.unwrap_or_default() }
            }
            None => Self { message: Some(vec![part_of(output)]), artifacts: Vec::new() },
        }
    }
}
