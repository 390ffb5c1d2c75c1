//! Short words for what the tests need of runs and shards.

use bivouac_engine::{
    Accepted, Command, Effect, EffectKind, End, Event, Fence, Input, MemoryScope, MemoryWrite, Rejection, Run, Shard,
    ShardLimits, Timestamp, Turn, event::Delivery,
};
use bivouac_protocol::{Code, DeploymentId, ErrorInfo, Path, RunId, frame::CancelMode, key::Digest, manifest::Retries};
use bytes::Bytes;

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn run_id() -> RunId {
    RunId::new(NOW.0, 3, 42)
}

pub(crate) fn accepted(retries: Option<Retries>) -> Accepted {
    Accepted {
        environment: "production".into(),
        tenant: "".into(),
        app: "shop".into(),
        user: "ada".into(),
        deployment: DeploymentId::from_u128(7),
        component: "workflow/order".into(),
        idempotency: Some(("order-1".into(), Digest([5; 16]))),
        input: Bytes::from_static(b"{\"n\":1}"),
        metadata: Bytes::from_static(b"{\"from\":\"test\"}"),
        seed: Bytes::from_static(&[1, 2, 3]),
        patches: vec!["new-tax".into()],
        retries,
    }
}

pub(crate) fn twice() -> Option<Retries> {
    Some(Retries { max_attempts: 2, ..Retries::default() })
}

/// A fence for the run's current slice, as a shard without a history gives it.
pub(crate) fn fence(run: &Run) -> Fence {
    Fence { epoch: 1, incarnation: 0, attempt: run.attempt(), slice: run.slice() }
}

pub(crate) fn effect(path: &str, kind: EffectKind) -> Effect {
    Effect { path: path.into(), key: format!("0/{path}#1").into(), op: "op".into(), digest: Digest([9; 16]), kind }
}

pub(crate) fn timer(path: &str, due: Timestamp) -> Effect {
    effect(path, EffectKind::Timer { due })
}

pub(crate) fn signal_wait(path: &str, name: &str) -> Effect {
    effect(path, EffectKind::Signal { name: name.into() })
}

/// A question with a name; its key ends with its path.
pub(crate) fn question(path: &str, name: Option<&str>) -> Effect {
    let text = format!("{{\"text\":\"{path}?\"}}");
    effect(path, EffectKind::Question { name: name.map(Into::into), question: text.into() })
}

pub(crate) fn answer(question: Option<&str>, id: &str, text: &str) -> Input {
    let payload = format!("{{\"answer\":{text}}}").into();
    Input::Answer { question: question.map(Into::into), id: id.into(), payload }
}

pub(crate) fn turn(n: u64, effects: Vec<Effect>) -> Turn {
    Turn {
        n,
        now: NOW,
        frame: Bytes::from_static(b"frame"),
        delivered: Vec::new(),
        cancel: None,
        effects,
        steps: Vec::new(),
        cancels: Vec::new(),
        notes: Vec::new(),
    }
}

pub(crate) fn delivery(path: &str, signal: Option<u64>) -> Delivery {
    Delivery { path: path.into(), signal }
}

pub(crate) fn signal(name: &str, id: &str) -> Input {
    Input::Signal { name: name.into(), id: id.into(), payload: Bytes::from_static(b"1") }
}

pub(crate) fn cancel(mode: CancelMode, grace_ms: u64) -> Input {
    Input::Cancel { mode, reason: "asked".into(), grace_ms }
}

pub(crate) fn retryable() -> ErrorInfo {
    ErrorInfo::retryable(Code::HANDLER_FAILED, "it failed")
}

pub(crate) fn terminal() -> ErrorInfo {
    ErrorInfo::terminal(Code::HANDLER_FAILED, "it failed for good")
}

/// A run without a shard.
pub(crate) struct Alone(pub(crate) Run);

impl Alone {
    pub(crate) fn accepted(retries: Option<Retries>) -> Self {
        let mut alone = Self(Run::absent(run_id()));
        alone.take(&Input::Accept(Box::new(accepted(retries))), NOW).unwrap();
        alone
    }

    /// Decides and applies.
    pub(crate) fn take(&mut self, input: &Input, now: Timestamp) -> Result<Vec<Event>, Rejection> {
        let events = self.0.decide(input, now)?;
        events.iter().for_each(|event| self.0.apply(event));
        Ok(events)
    }

    /// Takes a turn of the current slice.
    pub(crate) fn turn(&mut self, turn: Turn, end: Option<End>) -> Result<Vec<Event>, Rejection> {
        let now = turn.now;
        let fence = fence(&self.0);
        self.take(&Input::Turn { fence, turn: std::sync::Arc::new(turn), end, writes: Vec::new() }, now)
    }
}

/// A shard with one run, whose commits the test decides.
pub(crate) struct Owner {
    pub(crate) shard: Shard,
}

impl Owner {
    /// A shard whose run is accepted, on disk, and has a slice out.
    pub(crate) fn with_run(retries: Option<Retries>) -> Self {
        let mut owner = Self { shard: Shard::new(3, 1, 0, 0, ShardLimits::default()) };
        owner.handle(Input::Accept(Box::new(accepted(retries)))).unwrap();
        owner.commit();
        owner.shard.take_commands();
        owner
    }

    pub(crate) fn run(&self) -> &Run {
        self.shard.run(run_id()).unwrap()
    }

    pub(crate) fn handle(&mut self, input: Input) -> Result<(), Rejection> {
        self.handle_at(input, NOW)
    }

    pub(crate) fn handle_at(&mut self, input: Input, now: Timestamp) -> Result<(), Rejection> {
        self.shard.handle(run_id(), input, now)
    }

    pub(crate) fn turn(&mut self, turn: Turn) -> Result<(), Rejection> {
        self.turn_with(turn, None, Vec::new())
    }

    pub(crate) fn turn_with(
        &mut self,
        turn: Turn,
        end: Option<End>,
        writes: Vec<MemoryWrite>,
    ) -> Result<(), Rejection> {
        let now = turn.now;
        let fence = fence(self.run());
        self.handle_at(Input::Turn { fence, turn: std::sync::Arc::new(turn), end, writes }, now)
    }

    /// Commits what is there to commit, and gives the commands that this released.
    pub(crate) fn commit(&mut self) -> Vec<Command> {
        self.shard.take_commands();
        if let Some(batch) = self.shard.batch() {
            self.shard.committed(&batch);
        }
        self.shard.take_commands()
    }
}

pub(crate) fn scope() -> MemoryScope {
    MemoryScope { environment: "production".into(), app: "shop".into(), tenant: "".into(), user: "ada".into() }
}

pub(crate) fn write(name: &str, value: &str) -> MemoryWrite {
    MemoryWrite { scope: scope(), name: name.into(), value: Some(Bytes::from(value.to_owned())) }
}

/// The paths of what may leave.
pub(crate) fn performed(commands: &[Command]) -> Vec<Path> {
    let path = |command: &Command| match command {
        Command::Perform { path, .. } => Some(path.clone()),
        _ => None,
    };
    commands.iter().filter_map(path).collect()
}

/// The paths of the waits that are over.
pub(crate) fn delivered(commands: &[Command]) -> Vec<Path> {
    let path = |command: &Command| match command {
        Command::Deliver { path, .. } => Some(path.clone()),
        _ => None,
    };
    commands.iter().filter_map(path).collect()
}
