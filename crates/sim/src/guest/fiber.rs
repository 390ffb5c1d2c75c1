//! One scope of a guest: the root, a branch, or a step's body.

use super::{Ending, FAILED, Start};
use crate::program::{Breach, Node};
use bivouac_engine::event::{Step, StepOutcome};
use bivouac_protocol::{Code, EffectKey, ErrorInfo, Path, RunId, StepKey, key::Digest};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// What a guest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A call to the outside world.
    Call {
        /// Whether it is repeated only under its key.
        keyed: bool,
        /// What is sent.
        payload: u32,
    },
    /// Keeps a value, or forgets it.
    Save {
        /// Under which name.
        name: &'static str,
        /// The value.
        value: Option<String>,
    },
    /// Reads a value.
    Load {
        /// Under which name.
        name: &'static str,
    },
    /// Waits for time.
    Sleep {
        /// How long, in milliseconds.
        ms: u64,
        /// Until when, where an earlier attempt began to wait.
        until: Option<u64>,
    },
    /// Waits for a signal.
    Signal {
        /// Its name.
        name: &'static str,
    },
    /// Asks somebody.
    Ask {
        /// What the question is called.
        name: &'static str,
    },
}

impl Op {
    /// The operation's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Call { .. } => "call",
            Self::Save { .. } => "save",
            Self::Load { .. } => "load",
            Self::Sleep { .. } => "sleep",
            Self::Signal { .. } => "signal",
            Self::Ask { .. } => "ask",
        }
    }

    /// The digest of its arguments.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let text = match self {
            Self::Call { keyed, payload } => format!("{keyed} {payload}"),
            Self::Save { name, value } => format!("{name} {value:?}"),
            Self::Load { name } | Self::Signal { name } | Self::Ask { name } => (*name).to_owned(),
            Self::Sleep { ms, .. } => ms.to_string(),
        };
        Digest::of([self.name().as_bytes(), text.as_bytes()])
    }

    const fn is_wait(&self) -> bool {
        matches!(self, Self::Sleep { .. } | Self::Signal { .. } | Self::Ask { .. })
    }
}

/// An effect asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where it started.
    pub path: Path,
    /// What it is known by.
    pub key: EffectKey,
    /// The program's node that asks.
    pub node: u32,
    /// What.
    pub op: Op,
}

/// What one turn gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Out {
    /// Effects asked for.
    pub effects: Vec<Ask>,
    /// Steps that ended.
    pub steps: Vec<Step>,
    /// Effects dropped untaken.
    pub cancels: Vec<Path>,
    /// Notes, and whether clients see them.
    pub notes: Vec<(bool, String)>,
    /// How it ended, if it did.
    pub end: Option<Ending>,
}

/// One turn while it is executed.
pub(super) struct Drive<'a> {
    pub(super) now: u64,
    pub(super) start: &'a Start,
    pub(super) cancelled: bool,
    pub(super) outcomes: &'a mut BTreeMap<Path, Result<Value, ErrorInfo>>,
    pub(super) out: Out,
}

/// How far polling came.
#[derive(Debug)]
pub(super) enum Progress {
    Pending,
    Done,
    Failed(ErrorInfo),
}

#[derive(Debug)]
pub(super) struct Fiber {
    path_scope: String,
    key_scope: String,
    nodes: Arc<[Node]>,
    at: usize,
    started: u32,
    combined: u32,
    counts: BTreeMap<String, u32>,
    state: State,
    pub(super) log: Vec<Value>,
}

#[derive(Debug)]
enum State {
    Fresh,
    Waiting(Path),
    Body { key: StepKey, body: Box<Fiber> },
    Two { first: Branch, second: Branch },
}

#[derive(Debug)]
struct Branch {
    fiber: Box<Fiber>,
    done: Option<Result<(), ErrorInfo>>,
}

type Polled = Option<Result<Option<Value>, ErrorInfo>>;

impl Fiber {
    pub(super) fn root(nodes: Arc<[Node]>) -> Self {
        Self::new(String::new(), String::new(), nodes)
    }

    fn new(path_scope: String, key_scope: String, nodes: Arc<[Node]>) -> Self {
        Self {
            path_scope,
            key_scope,
            nodes,
            at: 0,
            started: 0,
            combined: 0,
            counts: BTreeMap::new(),
            state: State::Fresh,
            log: Vec::new(),
        }
    }

    pub(super) fn awaits(&self, path: &Path) -> bool {
        match &self.state {
            State::Fresh => false,
            State::Waiting(waiting) => waiting == path,
            State::Body { body, .. } => body.awaits(path),
            State::Two { first, second } => {
                [first, second].iter().any(|branch| branch.done.is_none() && branch.fiber.awaits(path))
            }
        }
    }

    pub(super) fn poll(&mut self, drive: &mut Drive<'_>) -> Progress {
        loop {
            let nodes = Arc::clone(&self.nodes);
            let Some(node) = nodes.get(self.at) else { return Progress::Done };
            match self.poll_node(node, drive) {
                None => return Progress::Pending,
                Some(Err(error)) => return Progress::Failed(error),
                Some(Ok(value)) => {
                    self.log.extend(value);
                    self.state = State::Fresh;
                    self.at += 1;
                }
            }
        }
    }

    fn poll_node(&mut self, node: &Node, drive: &mut Drive<'_>) -> Polled {
        match node {
            Node::Call { id, keyed, payload } => {
                self.poll_effect(*id, Op::Call { keyed: *keyed, payload: *payload }, drive)
            }
            Node::Sleep { id, ms } => self.poll_effect(*id, Op::Sleep { ms: *ms, until: None }, drive),
            Node::Signal { id, name } => self.poll_effect(*id, Op::Signal { name }, drive),
            Node::Question { id, name } => self.poll_effect(*id, Op::Ask { name }, drive),
            Node::Save { id, name, forgets } => {
                let value = (!forgets).then(|| kept(drive.start.run, *id));
                self.poll_effect(*id, Op::Save { name, value }, drive)
            }
            Node::Load { id, name } => self.poll_effect(*id, Op::Load { name }, drive),
            Node::Note { visible } => {
                drive.out.notes.push((*visible, format!("{}{}", self.path_scope, self.at)));
                Some(Ok(None))
            }
            Node::Fail(fails) => Some(match fails.in_attempt(drive.start.attempt) {
                Some(retryable) => Err(failed(retryable, &[])),
                None => Ok(None),
            }),
            Node::Step { .. } => self.poll_step(node, drive),
            Node::Join(first, second) => self.poll_join(first, second, drive),
            Node::Select(first, second) => self.poll_select(first, second, drive),
            Node::Broken(breach) => self.breach(*breach, drive),
        }
    }

    fn poll_effect(&mut self, id: u32, op: Op, drive: &mut Drive<'_>) -> Polled {
        let State::Waiting(path) = &self.state else { return self.start_effect(id, op, drive) };
        if let Some(outcome) = drive.outcomes.remove(path) {
            return Some(outcome.map(Some));
        }
        // Grace makes waits fail, so that the author's code unwinds into its clean-up.
        (drive.cancelled && op.is_wait()).then(|| {
            drive.out.cancels.push(path.clone());
            Err(ErrorInfo::terminal(Code::CANCELLED, "the run was cancelled"))
        })
    }

    fn start_effect(&mut self, id: u32, op: Op, drive: &mut Drive<'_>) -> Polled {
        if drive.cancelled && op.is_wait() {
            return Some(Err(ErrorInfo::terminal(Code::CANCELLED, "the run was cancelled")));
        }
        if let Op::Ask { .. } = op {
            return self.start_question(id, op, drive);
        }
        let Op::Sleep { ms, .. } = op else {
            self.state = State::Waiting(self.ask(id, op, drive));
            return None;
        };
        let key = self.key(&op, drive);
        let path = self.path();
        let until = drive.start.memo.timers.get(&key).map(|due| due.0);
        if until.is_some_and(|due| due <= drive.now) {
            return Some(Ok(Some(json!("slept"))));
        }
        drive.out.effects.push(Ask { path: path.clone(), key, node: id, op: Op::Sleep { ms, until } });
        self.state = State::Waiting(path);
        None
    }

    /// A question that an earlier attempt has the answer to is not asked again.
    fn start_question(&mut self, id: u32, op: Op, drive: &mut Drive<'_>) -> Polled {
        let key = self.key(&op, drive);
        let path = self.path();
        if let Some(answer) = drive.start.memo.answers.get(&key) {
            return Some(Ok(Some(serde_json::from_slice(answer).unwrap_or(Value::Null))));
        }
        drive.out.effects.push(Ask { path: path.clone(), key, node: id, op });
        self.state = State::Waiting(path);
        None
    }

    /// Asks for an effect, whatever the fiber waits for.
    pub(super) fn ask(&mut self, node: u32, op: Op, drive: &mut Drive<'_>) -> Path {
        let key = self.key(&op, drive);
        let path = self.path();
        drive.out.effects.push(Ask { path: path.clone(), key, node, op });
        path
    }

    fn path(&mut self) -> Path {
        self.started += 1;
        Path::from(format!("{}{}", self.path_scope, self.started))
    }

    fn key(&mut self, op: &Op, drive: &Drive<'_>) -> EffectKey {
        let digest = op.digest().text();
        let count = self.counts.entry(digest.clone()).or_default();
        *count += 1;
        let shift = if drive.start.keys_shift { drive.start.attempt - 1 } else { 0 };
        EffectKey::from(format!("0/{}{digest}#{}", self.key_scope, *count + shift))
    }

    fn poll_step(&mut self, node: &Node, drive: &mut Drive<'_>) -> Polled {
        let Node::Step { name, body: nodes, fails, caught } = node else { return None };
        if !matches!(self.state, State::Body { .. }) {
            let key = self.step_key(name);
            self.started += 1;
            if let Some(outcome) = drive.start.memo.steps.get(&key) {
                return Some(finish(outcome, *caught));
            }
            let scope = format!("{key}/");
            let body = Box::new(Self::new(scope.clone(), scope, Arc::clone(nodes)));
            self.state = State::Body { key, body };
        }
        let State::Body { key, body } = &mut self.state else { return None };
        let result = match body.poll(drive) {
            Progress::Pending => return None,
            // The message tells what the body took, for whoever accounts for it.
            Progress::Failed(error) => Err(ErrorInfo { message: Value::Array(body.whole_log()).to_string(), ..error }),
            Progress::Done => match fails.in_attempt(drive.start.attempt) {
                Some(retryable) => Err(failed(retryable, &body.log)),
                None => Ok(Value::Array(body.log.clone())),
            },
        };
        let outcome = match result {
            Ok(value) => StepOutcome::Ok(Bytes::from(value.to_string())),
            Err(error) => StepOutcome::Err(error),
        };
        drive.out.steps.push(Step { key: key.clone(), outcome: outcome.clone() });
        Some(finish(&outcome, *caught))
    }

    fn step_key(&mut self, name: &str) -> StepKey {
        let count = self.counts.entry(format!("step {name}")).or_default();
        *count += 1;
        let number = if *count == 1 { String::new() } else { format!("#{count}") };
        StepKey::from(format!("{}{name}{number}", self.key_scope))
    }

    fn branches(&mut self, first: &Arc<[Node]>, second: &Arc<[Node]>) -> (&mut Branch, &mut Branch) {
        if !matches!(self.state, State::Two { .. }) {
            self.started += 1;
            self.combined += 1;
            let branch = |number: u32, nodes: &Arc<[Node]>| Branch {
                fiber: Box::new(Self::new(
                    format!("{}{}:{number}/", self.path_scope, self.started),
                    format!("{}{}:{number}/", self.key_scope, self.combined),
                    Arc::clone(nodes),
                )),
                done: None,
            };
            self.state = State::Two { first: branch(0, first), second: branch(1, second) };
        }
        match &mut self.state {
            State::Two { first, second } => (first, second),
            State::Fresh | State::Waiting(_) | State::Body { .. } => unreachable!("the state was just set"),
        }
    }

    fn poll_join(&mut self, first: &Arc<[Node]>, second: &Arc<[Node]>, drive: &mut Drive<'_>) -> Polled {
        let (first, second) = self.branches(first, second);
        first.poll(drive);
        second.poll(drive);
        let (Some(one), Some(two)) = (&first.done, &second.done) else { return None };
        Some(match one.clone().and_then(|()| two.clone()) {
            Ok(()) => Ok(Some(json!({"both": [first.fiber.log, second.fiber.log]}))),
            Err(error) => Err(error),
        })
    }

    fn poll_select(&mut self, first: &Arc<[Node]>, second: &Arc<[Node]>, drive: &mut Drive<'_>) -> Polled {
        let (first, second) = self.branches(first, second);
        first.poll(drive);
        if first.done.is_none() {
            second.poll(drive);
        }
        let (won, winner, loser) = match (&first.done, &second.done) {
            (Some(_), _) => (0, first, second),
            (None, Some(_)) => (1, second, first),
            (None, None) => return None,
        };
        loser.fiber.drop_into(drive);
        Some(match winner.done.clone() {
            Some(Err(error)) => Err(error),
            _ => Ok(Some(json!({"won": won, "log": winner.fiber.log, "lost": loser.fiber.whole_log()}))),
        })
    }

    /// What becomes of a future that is dropped: what it asked for is cancelled, what it was given is given back.
    fn drop_into(&self, drive: &mut Drive<'_>) {
        match &self.state {
            State::Fresh => {}
            State::Waiting(path) => {
                drive.outcomes.remove(path);
                // What this very turn asked for was never said.
                let said = drive.out.effects.len();
                drive.out.effects.retain(|ask| ask.path != *path);
                if drive.out.effects.len() == said {
                    drive.out.cancels.push(path.clone());
                }
            }
            State::Body { body, .. } => body.drop_into(drive),
            State::Two { first, second } => {
                for branch in [first, second] {
                    if branch.done.is_none() {
                        branch.fiber.drop_into(drive);
                    }
                }
            }
        }
    }

    /// Everything that the scope and those within it took so far.
    fn whole_log(&self) -> Vec<Value> {
        let mut log = self.log.clone();
        match &self.state {
            State::Fresh | State::Waiting(_) => {}
            State::Body { body, .. } => log.extend(body.whole_log()),
            State::Two { first, second } => {
                log.extend(first.fiber.whole_log());
                log.extend(second.fiber.whole_log());
            }
        }
        log
    }

    fn breach(&mut self, breach: Breach, drive: &mut Drive<'_>) -> Polled {
        let op = || Op::Call { keyed: true, payload: 77 };
        match breach {
            Breach::Stalls => None,
            Breach::EffectWithEnd => {
                self.ask(CALLS_WITH_END, op(), drive);
                Some(Ok(None))
            }
            Breach::SamePath if matches!(self.state, State::Waiting(_)) => None,
            Breach::SamePath => {
                let path = self.ask(FIRST_OF_TWO, op(), drive);
                let key = self.key(&op(), drive);
                drive.out.effects.push(Ask { path: path.clone(), key, node: SECOND_OF_TWO, op: op() });
                self.state = State::Waiting(path);
                None
            }
        }
    }
}

const CALLS_WITH_END: u32 = 9_000;
const FIRST_OF_TWO: u32 = 9_001;
const SECOND_OF_TWO: u32 = 9_002;

impl Branch {
    fn poll(&mut self, drive: &mut Drive<'_>) {
        if self.done.is_none() {
            self.done = match self.fiber.poll(drive) {
                Progress::Pending => None,
                Progress::Done => Some(Ok(())),
                Progress::Failed(error) => Some(Err(error)),
            };
        }
    }
}

/// The value that a node of a run keeps: nobody else keeps the same.
pub(super) fn kept(run: RunId, node: u32) -> String {
    format!("{run}/{node}")
}

fn failed(retryable: bool, log: &[Value]) -> ErrorInfo {
    ErrorInfo {
        code: Code::new(FAILED),
        message: Value::Array(log.to_vec()).to_string(),
        retryable,
        retry_after_ms: None,
    }
}

/// What a step gives to the code that awaits it.
fn finish(outcome: &StepOutcome, caught: bool) -> Result<Option<Value>, ErrorInfo> {
    match outcome {
        StepOutcome::Ok(value) => Ok(Some(json!({"step": serde_json::from_slice::<Value>(value).ok()}))),
        StepOutcome::Err(error) if caught => Ok(Some(json!({
            "caught": error.code.as_str(),
            "log": serde_json::from_str::<Value>(&error.message).unwrap_or(Value::Null),
        }))),
        StepOutcome::Err(error) => Err(error.clone()),
    }
}
