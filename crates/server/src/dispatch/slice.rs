//! One slice: a guest, what it waits for, and what has come for it.
//!
//! A slice is made from what is on disk and lives until it is dropped; it decides nothing. What its guest asks for is
//! told to the loop as a turn and performed when the loop says so. Its own errors are the run's, told with its fence.

use super::{
    executor::Env,
    guest::Running,
    replay,
    translate::{Driven, Translated, translate},
};
use crate::{
    deployments::{Deployment, LoadError},
    driver::{Said, now, recover},
    effects::{http::Exchange, memory},
    metrics::Metrics,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bivouac_engine::{
    Accepted, EffectKind, Event, Fence, Input, Loss, MemoryScope, StepOutcome, Timestamp, Turn, memo::Memo,
};
use bivouac_protocol::{
    Code, EffectKey, ErrorInfo, Json, Path, RunId,
    frame::{Auth, CancelMode, InFrame, Limits, Memo as FrameMemo, Op, OutFrame, Outcome, Start},
    manifest::{ComponentKind, ComponentRef},
};
use bivouac_store::StoreError;
use bivouac_wasm_host::{DriveError, InstanceError};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::AbortHandle;

/// A live slice.
pub(crate) struct Slice {
    run: RunId,
    fence: Fence,
    deployment: Arc<Deployment>,
    accepted: Arc<Accepted>,
    scope: MemoryScope,
    limits: Limits,
    guest: Running,
    next_turn: u64,
    clock: Timestamp,
    /// How the attempt starts, until it has.
    start: Option<Start>,
    open: BTreeMap<Path, Open>,
    arrived: Vec<(Path, Outcome)>,
    cancel: Option<CancelMode>,
    over: bool,
}

/// An effect that the guest waits for.
struct Open {
    key: EffectKey,
    op: Op,
    /// When a timer is due.
    due: Option<Timestamp>,
    task: Option<AbortHandle>,
}

/// A slice that could not begin.
pub(crate) enum Setback {
    /// The attempt fails.
    Failed(ErrorInfo),
    /// The run pauses.
    Paused(ErrorInfo),
    /// The slice is tried again.
    Lost(Loss),
}

impl Setback {
    fn said(self, fence: Fence) -> Said {
        Said::Input(match self {
            Self::Failed(error) => Input::Failed { fence, error },
            Self::Paused(error) => Input::Mismatch { fence, error },
            Self::Lost(cause) => Input::Lost { fence, cause },
        })
    }
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        Self::Paused(ErrorInfo::terminal(Code::STORAGE_FAILED, format!("the run's history cannot be read: {error}")))
    }
}

impl From<LoadError> for Setback {
    fn from(error: LoadError) -> Self {
        Self::Paused(ErrorInfo::terminal(Code::NOT_FOUND, error.to_string()))
    }
}

impl From<InstanceError> for Setback {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::PoolExhausted { .. } | InstanceError::Machine(_) => Self::Lost(Loss::Executor),
            InstanceError::Guest(error) => error.into(),
        }
    }
}

impl From<DriveError> for Setback {
    fn from(error: DriveError) -> Self {
        if error.may_be_load { Self::Lost(Loss::Deadline) } else { Self::Failed(error.info) }
    }
}

impl Slice {
    /// Makes a slice: fresh where `accepted` is given, else from what is on disk.
    pub(crate) fn begin(
        env: &Env,
        run: RunId,
        fence: Fence,
        accepted: Option<Arc<Accepted>>,
    ) -> Result<Self, Box<Said>> {
        Self::try_begin(env, run, fence, accepted).map_err(|setback| Box::new(setback.said(fence)))
    }

    fn try_begin(env: &Env, run: RunId, fence: Fence, accepted: Option<Arc<Accepted>>) -> Result<Self, Setback> {
        let History { accepted, memo, before, turns } = match accepted {
            Some(accepted) => History { accepted, memo: Memo::default(), before: None, turns: Vec::new() },
            None => history(env, run, fence.attempt)?,
        };
        let deployment = env.deployments.load(&env.voice.driver, accepted.deployment)?;
        let seed = env.secrets.open_seed(&accepted.seed).map_err(|error| {
            Setback::Paused(ErrorInfo::terminal(Code::STORAGE_FAILED, format!("the run's seed: {error}")))
        })?;
        let start = start_of(run, fence.attempt, &accepted, &memo, &seed)?;
        // The turns and the clock of a run go on through its attempts.
        let (last_turn, clock) = before.unwrap_or_default();
        let first = turns.first().map_or_else(now, |turn| turn.now).max(clock);
        Metrics::count(&env.metrics.instances);
        let guest = Running::new(&deployment, nonce(&seed, fence.attempt), first.0)?;
        let mut slice = Self {
            run,
            fence,
            scope: scope_of(&accepted),
            limits: start.limits,
            deployment,
            accepted,
            guest,
            next_turn: last_turn + 1,
            clock: first,
            start: Some(start),
            open: BTreeMap::new(),
            arrived: Vec::new(),
            cancel: None,
            over: false,
        };
        slice.replay(env, &turns)?;
        Ok(slice)
    }

    /// Drives the recorded frames again. What is still open afterwards is asked for again: all of it is on disk.
    fn replay(&mut self, env: &Env, turns: &[Arc<Turn>]) -> Result<(), Setback> {
        let finished: BTreeSet<&str> =
            turns.iter().flat_map(|turn| turn.delivered.iter().map(|delivery| delivery.path.as_str())).collect();
        for recorded in turns {
            Metrics::count(&env.metrics.turns_replayed);
            let frame = self.complete(&recorded.frame)?;
            let driven = Driven {
                n: recorded.n,
                now: recorded.now,
                frame: recorded.frame.clone(),
                delivered: recorded.delivered.iter().map(|delivery| delivery.path.clone()).collect(),
                cancel: recorded.cancel,
            };
            let again = self.turn(driven, &frame)?;
            replay::compare(recorded, &again.turn, &finished).map_err(Setback::Paused)?;
            self.take_up(&again);
            self.start = None;
        }
        let waiting: Vec<Path> = self.open.keys().cloned().collect();
        for path in waiting {
            self.perform(env, &path);
        }
        Ok(())
    }

    /// A journaled frame as it was driven: the first of an attempt gets back what the journal holds elsewhere.
    fn complete(&self, frame: &Bytes) -> Result<Bytes, Setback> {
        if self.start.is_none() {
            return Ok(frame.clone());
        }
        let mut decoded = InFrame::decode(frame).map_err(|error| {
            Setback::Paused(ErrorInfo::terminal(Code::JOURNAL_MISMATCH, format!("a recorded frame: {error}")))
        })?;
        decoded.start.clone_from(&self.start);
        Ok(decoded.encode())
    }

    /// Drives one frame and translates what comes out.
    fn turn(&mut self, driven: Driven, frame: &[u8]) -> Result<Translated, Setback> {
        self.next_turn = driven.n + 1;
        self.clock = driven.now;
        let bytes = self.guest.drive(frame, driven.now.0)?;
        let out = OutFrame::decode(&bytes).map_err(|error| {
            Setback::Failed(ErrorInfo::terminal(Code::FRAME_INVALID, format!("the guest's frame: {error}")))
        })?;
        let log = self.guest.take_log();
        let memory = self.deployment.memory_keeper();
        translate(driven, out, log, &self.limits, &self.scope, memory).map_err(Setback::Failed)
    }

    fn take_up(&mut self, translated: &Translated) {
        for delivery in &translated.turn.delivered {
            self.open.remove(&delivery.path);
        }
        for path in &translated.turn.cancels {
            self.abort(path);
            self.arrived.retain(|(arrived, _)| arrived != path);
        }
        for ((path, op), effect) in translated.ops.iter().zip(&translated.turn.effects) {
            let due = match effect.kind {
                EffectKind::Timer { due } => Some(due),
                _ => None,
            };
            self.open.insert(path.clone(), Open { key: effect.key.clone(), op: op.clone(), due, task: None });
        }
    }

    /// Whether there is something to drive for.
    pub(crate) fn is_ready(&self) -> bool {
        !self.over && (self.start.is_some() || !self.arrived.is_empty() || self.cancel.is_some())
    }

    /// Whether a word with this fence is for this slice.
    pub(crate) fn is(&self, fence: Fence) -> bool {
        self.fence == fence
    }

    /// Takes an outcome; one that nobody waits for is left aside.
    pub(crate) fn arrive(&mut self, path: Path, outcome: Outcome) {
        let expected = self.open.contains_key(&path) && !self.arrived.iter().any(|(arrived, _)| *arrived == path);
        if expected {
            self.arrived.push((path, outcome));
        }
    }

    /// Takes a cancel.
    pub(crate) fn cancel(&mut self, mode: CancelMode) {
        self.cancel = Some(mode);
    }

    /// Takes everything that has arrived to the guest, and its answer to the loop.
    pub(crate) fn drive(&mut self, env: &Env) {
        let said = self.next_turn(env).unwrap_or_else(|setback| {
            self.over = true;
            setback.said(self.fence)
        });
        env.voice.say(self.run, said);
    }

    fn next_turn(&mut self, env: &Env) -> Result<Said, Setback> {
        let deliver = std::mem::take(&mut self.arrived);
        // A timer that fired is due, also where the wall clock was put back since.
        let due = deliver.iter().filter_map(|(path, _)| self.open.get(path)?.due).max();
        let now = env.now().max(self.clock).max(due.unwrap_or_default());
        let mut frame = InFrame::new(self.next_turn, now.0);
        frame.deliver = deliver;
        frame.cancel = self.cancel.take();
        let delivered = frame.deliver.iter().map(|(path, _)| path.clone()).collect();
        frame.start = self.start.take();
        let bytes = frame.encode();
        let journaled = if frame.start.is_some() { elide(frame.clone()) } else { bytes.clone() };
        let driven = Driven { n: self.next_turn, now, frame: journaled, delivered, cancel: frame.cancel };
        let translated = self.turn(driven, &bytes)?;
        self.take_up(&translated);
        self.over = translated.end.is_some();
        let Translated { turn, end, writes, .. } = translated;
        Ok(Said::Input(Input::Turn { fence: self.fence, turn: Arc::new(turn), end, writes }))
    }

    /// Performs an effect that may leave now. Waits and writes are not performed here: the loop delivers them.
    pub(crate) fn perform(&mut self, env: &Env, path: &Path) {
        let Some(open) = self.open.get_mut(path).filter(|open| open.task.is_none()) else { return };
        let refusal = match &open.op {
            Op::Sleep { .. } | Op::Ask(_) => return,
            Op::Http(request) => {
                Metrics::count(&env.metrics.effects_performed);
                let granted = &self.deployment.grants;
                let secrets = if granted.secrets.is_empty() {
                    Ok(BTreeMap::new())
                } else {
                    env.secrets.granted(&env.voice.driver, &self.accepted.environment, &granted.secrets)
                };
                match secrets {
                    Err(error) => {
                        ErrorInfo::retryable(Code::STORAGE_FAILED, format!("secrets cannot be read: {error}"))
                    }
                    Ok(secrets) => {
                        let exchange = Exchange {
                            request: request.clone(),
                            idempotency_key: open.key.idempotency_key(self.run),
                            grants: granted.clone(),
                            secrets,
                        };
                        open.task = Some(env.spawn_http(self.run, self.fence, path.clone(), exchange));
                        return;
                    }
                }
            }
            Op::Unknown { op } => memory::unsupported(op),
            _ if !self.deployment.grants.memory => ErrorInfo::terminal(
                Code::MEMORY_NOT_GRANTED,
                "the deployment was not granted memory: let the module ask for it, and deploy with --grant memory",
            ),
            op if let Some(memory) = self.deployment.host_memory() => {
                Metrics::count(&env.metrics.effects_performed);
                let key = open.key.idempotency_key(self.run);
                let outcome = memory::perform(Arc::clone(memory), self.scope.clone(), op.clone(), key);
                open.task = Some(env.spawn(self.run, self.fence, path.clone(), outcome));
                return;
            }
            Op::MemoryLoad { .. } | Op::MemoryList { .. } => {
                Metrics::count(&env.metrics.effects_performed);
                let said = Said::Memory {
                    fence: self.fence,
                    path: path.clone(),
                    op: open.op.clone(),
                    scope: self.scope.clone(),
                };
                env.voice.say(self.run, said);
                return;
            }
            Op::MemorySave { .. } | Op::MemoryDelete { .. } => return,
        };
        Metrics::count(&env.metrics.effects_refused);
        self.arrive(path.clone(), Outcome::Err(refusal));
    }

    /// Stops what can be stopped of an effect that nobody waits for.
    pub(crate) fn abort(&mut self, path: &Path) {
        if let Some(task) = self.open.remove(path).and_then(|open| open.task) {
            task.abort();
        }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        for open in self.open.values() {
            if let Some(task) = &open.task {
                task.abort();
            }
        }
    }
}

/// What is on disk of a run, as far as an attempt needs it.
struct History {
    accepted: Arc<Accepted>,
    memo: Memo,
    /// The number and the time of the last turn of the attempts before.
    before: Option<(u64, Timestamp)>,
    turns: Vec<Arc<Turn>>,
}

fn history(env: &Env, run: RunId, attempt: u32) -> Result<History, Setback> {
    let mut accepted = None;
    let mut memo = Memo::default();
    let mut before = None;
    // What the attempt that is read took and was answered; an attempt inherits it when it starts.
    let mut own: Vec<Event> = Vec::new();
    recover::each_event(&**env.voice.driver.reader(), run, 0, |event| match event {
        Event::Accepted(found) => accepted = Some(found),
        Event::Turn(_) | Event::Answered { .. } => own.push(event),
        Event::AttemptStarted { attempt: started } if started <= attempt => {
            for event in own.drain(..) {
                if let Event::Turn(turn) = &event {
                    before = Some((turn.n, turn.now));
                }
                memo.fold(&event);
            }
        }
        _ => {}
    })?;
    let turn = |event| if let Event::Turn(turn) = event { Some(turn) } else { None };
    let turns = own.into_iter().filter_map(turn).collect();
    let accepted = accepted.ok_or_else(|| StoreError::Corrupt(format!("{run} has no first event")))?;
    Ok(History { accepted: Arc::new(*accepted), memo, before, turns })
}

fn start_of(run: RunId, attempt: u32, accepted: &Accepted, memo: &Memo, seed: &[u8]) -> Result<Start, Setback> {
    let damaged =
        |what: &str| Setback::Paused(ErrorInfo::terminal(Code::STORAGE_FAILED, format!("the run's {what} is damaged")));
    let (kind, name) = accepted.component.split_once('/').ok_or_else(|| damaged("component"))?;
    let kind = ComponentKind::parse(kind).ok_or_else(|| damaged("component"))?;
    let json = |bytes: &Bytes, what| Json::parse_bytes(bytes).map_err(|_| damaged(what));
    let mut steps = Vec::with_capacity(memo.steps.len());
    for (key, outcome) in &memo.steps {
        let result = match outcome {
            StepOutcome::Ok(value) => Ok(json(value, "step")?),
            StepOutcome::Err(error) => Err(error.clone()),
        };
        steps.push((key.clone(), result));
    }
    let answers = memo.answers.iter().map(|(key, answer)| Ok((key.clone(), json(answer, "answer")?)));
    let answers = answers.collect::<Result<_, Setback>>()?;
    let metadata = if accepted.metadata.is_empty() {
        BTreeMap::new()
    } else {
        serde_json::from_slice(&accepted.metadata).map_err(|_| damaged("metadata"))?
    };
    Ok(Start {
        run_id: run,
        generation: 0,
        component: ComponentRef { kind, name: name.to_owned() },
        attempt,
        input: json(&accepted.input, "input")?,
        metadata,
        auth: Auth {
            app: accepted.app.to_string(),
            user: accepted.user.to_string(),
            tenant: accepted.tenant.to_string(),
        },
        memo: FrameMemo { steps, timers: memo.timers.iter().map(|(key, due)| (key.clone(), due.0)).collect(), answers },
        patches: accepted.patches.iter().map(ToString::to_string).collect(),
        limits: Limits::default(),
        seed: STANDARD.encode(seed),
    })
}

/// The first frame of an attempt as it is journaled: input and memo are in the journal already, the seed never is.
fn elide(mut frame: InFrame) -> Bytes {
    if let Some(start) = &mut frame.start {
        start.input = Json::null();
        start.memo = FrameMemo::default();
        start.seed = String::new();
    }
    frame.encode()
}

fn scope_of(accepted: &Accepted) -> MemoryScope {
    MemoryScope {
        environment: accepted.environment.clone(),
        app: accepted.app.clone(),
        tenant: accepted.tenant.clone(),
        user: accepted.user.clone(),
    }
}

/// What a module takes for the system's randomness: another in every attempt, the same in every replay of one.
fn nonce(seed: &[u8], attempt: u32) -> [u8; 32] {
    Sha256::new().chain_update(b"wasi random").chain_update(seed).chain_update(attempt.to_le_bytes()).finalize().into()
}
