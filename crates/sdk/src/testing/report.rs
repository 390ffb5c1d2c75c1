//! What happened in a test's run.

use crate::{Artifact, Content, Error, Module};
use bivouac_protocol::{
    EffectKey, Guest as _, Json, Path, StepKey,
    frame::{Effect, HttpRequest, InFrame, LogLevel, Note, Op, Question, Status, StepResult},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, time::Duration};

/// What happened in a run, all attempts together.
#[derive(Clone, Debug)]
#[must_use = "a report is there to be asked"]
pub struct Report {
    pub(super) status: Status,
    pub(super) output: Option<Json>,
    pub(super) error: Option<bivouac_protocol::ErrorInfo>,
    pub(super) steps: Vec<(StepKey, StepResult)>,
    pub(super) effects: Vec<Effect>,
    pub(super) requests: Vec<Sent>,
    pub(super) cancels: Vec<Path>,
    pub(super) notes: Vec<Note>,
    pub(super) memory: BTreeMap<String, Json>,
    pub(super) turns: Vec<Turn>,
    pub(super) attempts: u32,
    pub(super) elapsed_ms: u64,
}

/// One turn, as it was driven and answered.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) input: Bytes,
    pub(super) output: Bytes,
}

/// A request that a component sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// What it is known by across attempts.
    pub key: EffectKey,
    /// The request as the component wrote it.
    pub request: HttpRequest,
}

impl Sent {
    pub(super) const fn new(key: EffectKey, request: HttpRequest) -> Self {
        Self { key, request }
    }

    /// The method and the URL: `POST https://shop.example/orders`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.request.method, self.request.url)
    }

    /// The body.
    ///
    /// # Panics
    /// Where there is none, or it is not what the type says.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let body = self.request.body.as_ref().expect("the request has a body");
        serde_json::from_slice(body.as_bytes()).expect("the request's body is what its type says")
    }
}

/// What a task of an agent ends with.
#[derive(Default, Deserialize)]
struct TaskOutput {
    #[serde(default)]
    message: Option<Content>,
    #[serde(default)]
    artifacts: Vec<Artifact>,
}

impl Report {
    pub(super) const fn new(memory: BTreeMap<String, Json>) -> Self {
        Self {
            status: Status::Running,
            output: None,
            error: None,
            steps: Vec::new(),
            effects: Vec::new(),
            requests: Vec::new(),
            cancels: Vec::new(),
            notes: Vec::new(),
            memory,
            turns: Vec::new(),
            attempts: 0,
            elapsed_ms: 0,
        }
    }

    /// How the run ended; `Running` where it waits for what never comes.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The output.
    ///
    /// # Panics
    /// Where the run did not complete, or its output is not what the type says.
    #[must_use]
    pub fn output<T: DeserializeOwned>(&self) -> T {
        let Some(output) = &self.output else {
            panic!("the run has no output: it ended as {:?} with {:?}", self.status, self.error);
        };
        output.parse().expect("the output is what its type says")
    }

    /// The error.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn error(&self) -> Error {
        let Some(error) = &self.error else {
            panic!("the run has no error: it ended as {:?} with {:?}", self.status, self.output);
        };
        Error::from_info(error.clone())
    }

    /// The steps that were recorded, in order, by their keys.
    #[must_use]
    pub fn steps(&self) -> Vec<&str> {
        self.steps.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// What was recorded last for a step.
    #[must_use]
    pub fn step_result(&self, key: &str) -> Option<&StepResult> {
        self.steps.iter().rev().find(|(recorded, _)| recorded.as_str() == key).map(|(_, result)| result)
    }

    /// The value that was recorded last for a step; nothing where it has none.
    ///
    /// # Panics
    /// Where the value is not what the type says.
    #[must_use]
    pub fn step<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let value = self.step_result(key)?.as_ref().ok()?;
        Some(value.parse().expect("the step's value is what its type says"))
    }

    /// Every effect that was asked for, in order.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// The requests that were sent, in order.
    #[must_use]
    pub fn requests(&self) -> &[Sent] {
        &self.requests
    }

    /// The requests that were sent, in order: `POST https://shop.example/orders`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.requests.iter().map(Sent::line).collect()
    }

    /// The effects that were cancelled, by their paths.
    #[must_use]
    pub fn cancels(&self) -> Vec<&str> {
        self.cancels.iter().map(Path::as_str).collect()
    }

    /// The data of the events of this name, in order.
    ///
    /// # Panics
    /// Where the data is not what the type says.
    #[must_use]
    pub fn emitted<T: DeserializeOwned>(&self, wanted: &str) -> Vec<T> {
        let data = self.notes.iter().filter_map(|note| match note {
            Note::Emit { name, data } if name == wanted => Some(data),
            _ => None,
        });
        data.map(|data| data.parse().expect("the event's data is what its type says")).collect()
    }

    /// The questions that were asked, in order.
    #[must_use]
    pub fn questions(&self) -> Vec<&Question> {
        let questions = self.effects.iter().filter_map(|effect| match &effect.op {
            Op::Ask(question) => Some(question),
            _ => None,
        });
        questions.collect()
    }

    /// What clients were told of how far the run is, in order.
    #[must_use]
    pub fn progress(&self) -> Vec<Content> {
        let contents = self.notes.iter().filter_map(|note| match note {
            Note::Progress { content } => Some(content),
            _ => None,
        });
        contents.map(|content| content.parse().expect("the SDK writes content that can be read")).collect()
    }

    /// What an agent made: first what it sent while it worked, piece by piece, then what it ended with.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Artifact> {
        let sent = self.notes.iter().filter_map(|note| match note {
            Note::Artifact { artifact, .. } => Some(artifact),
            _ => None,
        });
        let mut artifacts: Vec<Artifact> =
            sent.map(|artifact| artifact.parse().expect("the SDK writes artifacts that can be read")).collect();
        artifacts.extend(self.task_output().artifacts);
        artifacts
    }

    /// What an agent said at the end of its task; nothing where it said nothing or did not complete.
    #[must_use]
    pub fn message(&self) -> Option<Content> {
        self.task_output().message
    }

    fn task_output(&self) -> TaskOutput {
        self.output.as_ref().map(|output| output.parse().expect("this is an agent's task")).unwrap_or_default()
    }

    /// The lines of the log, in order.
    #[must_use]
    pub fn log(&self) -> Vec<(LogLevel, &str)> {
        let lines = self.notes.iter().filter_map(|note| match note {
            Note::Log { level, message } => Some((*level, message.as_str())),
            _ => None,
        });
        lines.collect()
    }

    /// A value in the caller's memory after the run.
    ///
    /// # Panics
    /// Where the value is not what the type says.
    #[must_use]
    pub fn memory<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.memory.get(name).map(|value| value.parse().expect("the value is what its type says"))
    }

    /// How many attempts were made.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How much virtual time passed.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms)
    }

    /// The frames of every turn, as they were driven and answered.
    pub fn turns(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.turns.iter().map(|turn| (&*turn.input, &*turn.output))
    }

    /// Drives the same frames again, from another thread, and compares what comes out.
    pub(super) fn check_replay(&self, module: impl Fn() -> Module + Send + 'static) {
        let turns = self.turns.clone();
        let replay = std::thread::spawn(move || replay(&module, &turns)).join();
        match replay {
            Ok(None) => {}
            Ok(Some(difference)) => panic!("{difference}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Where a second run differs from the first.
fn replay(module: &dyn Fn() -> Module, turns: &[Turn]) -> Option<String> {
    let mut guest = module().into_guest();
    for turn in turns {
        let frame = InFrame::decode(&turn.input).expect("the test wrote the frame");
        if frame.start.is_some() {
            guest = module().into_guest();
        }
        let output = guest.drive(&turn.input);
        if output != turn.output {
            return Some(format!(
                "the component is not replayable: turn {} came out differently the second time, from another thread.\n\
                 first:  {}\nsecond: {}\n\
                 Use `ctx.now()`, `ctx.random()` and `ctx.uuid()`, `BTreeMap`, and no statics or thread locals.",
                frame.turn,
                String::from_utf8_lossy(turn.output.get(4..).unwrap_or_default()),
                String::from_utf8_lossy(output.get(4..).unwrap_or_default()),
            ));
        }
    }
    None
}
