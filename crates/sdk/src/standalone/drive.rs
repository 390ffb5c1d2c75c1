//! A task driven on: the kept frames again, then new ones, until the task ends or waits for a person.
//!
//! The rules are those of the platform. Before an effect that does something to the world leaves, every frame that led
//! to it is kept; so whoever takes the task over after a crash asks for it again under the same key. What is kept is
//! written revision by revision: of two who drive one task, the slower one stops.

use super::{
    Host,
    perform::{self, MAX_SLEEP_MS},
    record::{End, Entry, Frame, Journal},
};
use crate::{AuthContext, ModuleGuest, error::Error, exec::Boxed, services::Saved};
use bivouac_protocol::{
    Code, EffectKey, ErrorInfo, Guest as _, Json, Path,
    frame::{CancelMode, InFrame, Limits, Memo, Note, Op, OutFrame, Outcome, Start, Status},
    manifest::{Backoff, ComponentKind, ComponentRef, Retries},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    task::Poll,
    time::Duration,
};

/// The most turns that one task may take.
pub const MAX_TURNS: usize = 10_000;
/// The most bytes that one task may be kept with.
pub const MAX_TASK_BYTES: usize = 1 << 20;
/// How many turns an agent that is being cancelled may take to come to its end.
pub const MAX_GRACE_TURNS: usize = 100;

/// Why a task was not driven on.
#[derive(Debug)]
pub(super) enum Stop {
    /// Somebody else wrote it first.
    Stale,
    /// A service failed, or the code does not fit what is kept.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Drives a task until it has ended or waits for an answer, and keeps it.
pub(super) async fn drive(host: &Host, journal: &mut Journal) -> Result<(), Stop> {
    let caller = AuthContext::from(journal.auth.clone());
    let (attempt, _) = journal.attempt();
    let start = start_of(journal, attempt)?;
    let mut drive = Drive {
        host,
        caller,
        guest: host.module.clone().into_guest(),
        start: Some(start),
        turn: 1,
        clock: 0,
        open: BTreeMap::new(),
        in_flight: Vec::new(),
        arrived: Vec::new(),
        cancel: None,
        grace: None,
        journal,
    };
    drive.replay()?;
    while drive.step().await? {}
    drive.journal.settled = true;
    drive.save().await
}

/// Keeps a task, unless somebody else did first.
pub(super) async fn save(host: &Host, caller: &AuthContext, journal: &mut Journal) -> Result<(), Stop> {
    let now = host.runtime.now_ms().max(journal.updated_ms);
    let record = journal.record(now);
    if record.data.len() > MAX_TASK_BYTES + MAX_TASK_BYTES / 8 {
        return Err(Stop::Failed(Error::from_info(too_large())));
    }
    match host.runtime.task_manager().save(caller, &record).await? {
        Saved::Stale => Err(Stop::Stale),
        Saved::Kept => {
            journal.revision = record.revision;
            journal.updated_ms = now;
            Ok(())
        }
    }
}

struct Open {
    key: EffectKey,
    op: Op,
    /// When a sleep ends.
    due: Option<u64>,
    performed: bool,
}

struct Drive<'a> {
    host: &'a Host,
    journal: &'a mut Journal,
    caller: AuthContext,
    guest: ModuleGuest,
    /// How the attempt starts, until it has.
    start: Option<Start>,
    /// The number of the next turn.
    turn: u64,
    clock: u64,
    open: BTreeMap<Path, Open>,
    in_flight: Vec<(Path, Boxed<Outcome>)>,
    arrived: Vec<(Path, Outcome)>,
    cancel: Option<CancelMode>,
    /// How many turns there were since the agent was told to end.
    grace: Option<usize>,
}

impl Drive<'_> {
    /// Drives the kept frames again, and takes up what has happened since.
    fn replay(&mut self) -> Result<(), Stop> {
        let mut turns = Vec::new();
        for entry in self.journal.attempt().1 {
            if let Entry::Turn { at, frame, out } = entry {
                turns.push((*at, frame.clone(), out.clone()));
            }
        }
        let mut finished = BTreeSet::new();
        for (_, frame, _) in &turns {
            finished.extend(frame.incoming()?.deliver.into_iter().map(|(path, _)| path));
        }
        for (at, frame, recorded) in turns {
            let mut incoming = frame.incoming()?;
            let bytes = match self.start.take() {
                None => frame.0.clone(),
                start => {
                    incoming.start = start;
                    incoming.encode()
                }
            };
            let again = decode(&self.guest.drive(&bytes))?;
            let recorded = recorded.outgoing()?;
            compare(incoming.turn, &recorded, &again, &finished)?;
            self.clock = at;
            self.turn = incoming.turn + 1;
            if incoming.cancel.is_some() {
                self.grace = Some(0);
            }
            self.take_up(&incoming, &recorded);
            if recorded.status != Status::Running {
                // The end was not kept: whoever drove it stopped between its last frame and its last writes.
                self.turn = u64::MAX;
            }
        }
        if self.journal.is_cancelled() && self.grace.is_none() {
            self.cancel = Some(CancelMode::Grace);
        }
        for (path, open) in &self.open {
            if let Some((_, payload)) = self.journal.answer(&open.key) {
                self.arrived.push((path.clone(), Outcome::Ok(payload.clone())));
            }
        }
        Ok(())
    }

    /// Takes one step; gives whether there is another.
    async fn step(&mut self) -> Result<bool, Stop> {
        if self.journal.end().is_some() {
            return Ok(false);
        }
        if self.turn == u64::MAX {
            let last = self.last_frame()?;
            return self.finish(last).await;
        }
        if self.start.is_some() || !self.arrived.is_empty() || self.cancel.is_some() {
            return self.drive_turn().await;
        }
        let now = self.host.runtime.now_ms().max(self.clock);
        let due: Vec<Path> =
            self.open.iter().filter(|(_, open)| open.due.is_some_and(|due| due <= now)).map(first).collect();
        if !due.is_empty() {
            for path in due {
                self.land(path, Outcome::Ok(Json::null()));
            }
            return Ok(true);
        }
        let person = self.open.values().any(|open| perform::asks(&open.op));
        if person && self.open.values().all(|open| perform::asks(&open.op) || open.due.is_some()) {
            return Ok(false);
        }
        self.leave().await?;
        for (path, outcome) in self.next().await {
            self.land(path, outcome);
        }
        Ok(true)
    }

    fn land(&mut self, path: Path, outcome: Outcome) {
        self.in_flight.retain(|(other, _)| *other != path);
        self.arrived.push((path, outcome));
    }

    /// Sets every effect going that is not yet; what led to one that acts is kept first.
    async fn leave(&mut self) -> Result<(), Stop> {
        let new = |open: &Open| !open.performed && !perform::asks(&open.op);
        if self.open.values().any(|open| new(open) && perform::acts(&open.op)) {
            self.save().await?;
        }
        // The timer of a timeout, say: what it is raced with may be there long before anybody has to wait for it.
        let others = self.open.values().any(|open| open.due.is_none() && !perform::asks(&open.op));
        let host = self.host;
        let runtime = &*host.runtime;
        let now = runtime.now_ms().max(self.clock);
        let too_long = |open: &Open| open.due.is_some_and(|due| !perform::can_wait(runtime, due.saturating_sub(now)));
        let leaves = |open: &Open| new(open) && !(others && too_long(open));
        for (path, open) in self.open.iter_mut().filter(|(_, open)| leaves(open)) {
            open.performed = true;
            let op = open.op.clone();
            let future = perform::perform(&host.runtime, &self.caller, self.journal.id, &open.key, op, open.due);
            self.in_flight.push((path.clone(), future));
        }
        Ok(())
    }

    /// Waits until something has come of what was set going, and gives all that has.
    async fn next(&mut self) -> Vec<(Path, Outcome)> {
        std::future::poll_fn(|cx| {
            let mut done = Vec::new();
            self.in_flight.retain_mut(|(path, future)| match future.as_mut().poll(cx) {
                Poll::Ready(outcome) => {
                    done.push((path.clone(), outcome));
                    false
                }
                Poll::Pending => true,
            });
            if done.is_empty() { Poll::Pending } else { Poll::Ready(done) }
        })
        .await
    }

    async fn drive_turn(&mut self) -> Result<bool, Stop> {
        if let Some(turns) = &mut self.grace {
            *turns += 1;
            if *turns > MAX_GRACE_TURNS {
                self.cancel = Some(CancelMode::Now);
            }
        }
        if self.cancel == Some(CancelMode::Grace) {
            self.grace = Some(0);
        }
        if self.journal.turns() >= MAX_TURNS {
            let message = format!("the task has taken {MAX_TURNS} turns, which is all that it may: split the work");
            return self.end(End::Failed { error: perform::given_up(message) });
        }
        let deliver = std::mem::take(&mut self.arrived);
        // A sleep that is over was due, also where the clock was put back since.
        let due = deliver.iter().filter_map(|(path, _)| self.open.get(path)?.due).max().unwrap_or_default();
        let now = self.host.runtime.now_ms().max(self.clock).max(due);
        let mut frame = InFrame::new(self.turn, now);
        frame.deliver = deliver;
        frame.cancel = self.cancel.take();
        let kept = Frame(frame.encode());
        let bytes = match self.start.take() {
            None => kept.0.clone(),
            start => {
                frame.start = start;
                frame.encode()
            }
        };
        let out_bytes = self.guest.drive(&bytes);
        let out = decode(&out_bytes)?;
        if let Some(fault) = out.effects.iter().find_map(|effect| fault(&effect.op)) {
            return self.failed(ErrorInfo::terminal(Code::REQUEST_INVALID, fault)).await;
        }
        // Base64 makes four letters of three bytes.
        let size = (kept.0.len() + out_bytes.len()) / 3 * 4 + 128;
        if self.journal.bytes + size > MAX_TASK_BYTES {
            return self.end(End::Failed { error: too_large() });
        }
        self.journal.bytes += size;
        self.journal.entries.push(Entry::Turn { at: now, frame: kept, out: Frame(out_bytes) });
        self.journal.settled = false;
        self.clock = now;
        self.turn += 1;
        self.log(&out);
        self.take_up(&frame, &out);
        if out.status == Status::Running { Ok(true) } else { self.finish(out).await }
    }

    fn log(&self, out: &OutFrame) {
        let logging = self.host.runtime.logging_service();
        for note in &out.notes {
            if let Note::Log { level, message } = note {
                logging.log(*level, message);
            }
        }
    }

    fn take_up(&mut self, frame: &InFrame, out: &OutFrame) {
        for (path, _) in &frame.deliver {
            self.open.remove(path);
        }
        for path in &out.cancels {
            self.open.remove(path);
            self.in_flight.retain(|(other, _)| other != path);
            self.arrived.retain(|(other, _)| other != path);
        }
        for effect in &out.effects {
            let due = due_of(&effect.op, frame.now_ms);
            let open = Open { key: effect.key.clone(), op: effect.op.clone(), due, performed: false };
            self.open.insert(effect.path.clone(), open);
        }
    }

    fn last_frame(&self) -> Result<OutFrame, Error> {
        let last = self.journal.attempt().1.iter().rev().find_map(|entry| match entry {
            Entry::Turn { out, .. } => Some(out),
            _ => None,
        });
        last.map_or_else(|| Ok(OutFrame::new(Status::Running)), Frame::outgoing)
    }

    /// Does what an attempt's last frame says.
    async fn finish(&mut self, out: OutFrame) -> Result<bool, Stop> {
        let error = |code: Code, message: &str| out.error.clone().unwrap_or_else(|| ErrorInfo::terminal(code, message));
        self.in_flight.clear();
        // What is in a last frame is written without anybody who waits for it.
        self.open.retain(|path, open| perform::acts(&open.op) && out.effects.iter().any(|effect| effect.path == *path));
        if !self.open.is_empty() {
            self.leave().await?;
            while !self.in_flight.is_empty() {
                for (_, outcome) in self.next().await {
                    if let Outcome::Err(error) = outcome {
                        let message = format!("a write of the task's last turn was refused: {error}");
                        self.host.runtime.logging_service().log(crate::LogLevel::Error, &message);
                    }
                }
            }
        }
        match out.status {
            Status::Failed => {
                return self.failed(error(Code::HANDLER_FAILED, "the agent failed and did not say why")).await;
            }
            Status::Stalled => {
                return self
                    .failed(error(Code::FOREIGN_FUTURE, "the agent waits for something that is not the SDK's"))
                    .await;
            }
            _ => {}
        }
        self.end(match out.status {
            Status::Completed => {
                let output = out.output.unwrap_or_default();
                // It is kept beside the frame that it came in.
                let fits = self.journal.bytes + output.text().len() <= MAX_TASK_BYTES;
                if fits { End::Completed { output } } else { End::Failed { error: too_large() } }
            }
            Status::Cancelled => End::Cancelled,
            other => End::Failed {
                error: ErrorInfo::terminal(Code::OP_UNSUPPORTED, format!("the status `{other:?}` is not known here")),
            },
        })
    }

    /// The attempt has failed: another one follows, or the task has.
    async fn failed(&mut self, error: ErrorInfo) -> Result<bool, Stop> {
        if self.journal.is_cancelled() {
            return self.end(End::Cancelled);
        }
        let attempt = self.journal.attempt().0;
        let retries = self.host.component(&self.journal.agent).and_then(|component| component.flow_control.retries);
        let Some(retries) = retries.filter(|retries| error.retryable && attempt < retries.max_attempts) else {
            return self.end(End::Failed { error });
        };
        let wait = backoff(&retries, attempt).max(error.retry_after_ms.unwrap_or_default());
        let now = self.host.runtime.now_ms().max(self.clock);
        self.journal.entries.push(Entry::Failed { error, at: now });
        self.journal.settled = false;
        self.save().await?;
        // Who cannot wait tries again at once; nobody would come back for the task.
        if let Some(timer) = self.host.runtime.timer_service() {
            timer.sleep(Duration::from_millis(wait.min(MAX_SLEEP_MS))).await;
        }
        let now = self.host.runtime.now_ms().max(self.clock);
        self.journal.entries.push(Entry::Began { attempt: attempt + 1, at: now });
        self.guest = self.host.module.clone().into_guest();
        self.start = Some(start_of(self.journal, attempt + 1)?);
        (self.turn, self.clock) = (1, now);
        self.open.clear();
        self.in_flight.clear();
        self.arrived.clear();
        Ok(true)
    }

    fn end(&mut self, end: End) -> Result<bool, Stop> {
        let at = self.host.runtime.now_ms().max(self.clock);
        self.journal.entries.push(Entry::Ended { end, at });
        Ok(false)
    }

    async fn save(&mut self) -> Result<(), Stop> {
        save(self.host, &self.caller, self.journal).await
    }
}

fn first<A: Clone, B>((first, _): (&A, B)) -> A {
    first.clone()
}

fn due_of(op: &Op, now_ms: u64) -> Option<u64> {
    match op {
        Op::Sleep { ms, until_ms } => Some(until_ms.unwrap_or_else(|| now_ms.saturating_add(*ms))),
        _ => None,
    }
}

fn fault(op: &Op) -> Option<String> {
    match op {
        Op::Ask(question) => question.fault(),
        _ => None,
    }
}

fn too_large() -> ErrorInfo {
    perform::given_up(format!(
        "the task is kept whole and may have {MAX_TASK_BYTES} bytes: fetch less, or keep what is large in memory"
    ))
}

fn decode(bytes: &[u8]) -> Result<OutFrame, Error> {
    OutFrame::decode(bytes)
        .map_err(|error| Error::refused(Code::FRAME_INVALID, format!("the agent's frame cannot be read: {error}")))
}

/// The wait after this many attempts, in milliseconds.
fn backoff(retries: &Retries, attempts: u32) -> u64 {
    let initial = retries.initial_interval_ms;
    let wait = match retries.backoff {
        Backoff::Constant => initial,
        Backoff::Linear => initial.saturating_mul(u64::from(attempts)),
        Backoff::Exponential => (1..attempts)
            .fold(initial, |wait, _| wait.saturating_mul(u64::from(retries.multiplier_thousandths)) / 1_000),
    };
    wait.min(retries.max_interval_ms)
}

fn start_of(journal: &Journal, attempt: u32) -> Result<Start, Error> {
    Ok(Start {
        run_id: journal.id,
        generation: 0,
        component: ComponentRef { kind: ComponentKind::Agent, name: journal.agent.clone() },
        attempt,
        input: journal.message.clone(),
        metadata: BTreeMap::from([("session_id".to_owned(), journal.context_id.clone())]),
        auth: journal.auth.clone(),
        memo: memo_of(journal, attempt)?,
        patches: journal.patches.clone(),
        limits: Limits::default(),
        seed: journal.seed.clone(),
    })
}

/// What an attempt inherits: steps that succeeded or failed for good, when sleeps end, and answers.
fn memo_of(journal: &Journal, attempt: u32) -> Result<Memo, Error> {
    let mut memo = Memo::default();
    for entry in &journal.entries {
        match entry {
            Entry::Began { attempt: began, .. } if *began >= attempt => break,
            Entry::Turn { at, out, .. } => {
                let out = out.outgoing()?;
                let lasting =
                    |result: &Result<Json, ErrorInfo>| result.as_ref().err().is_none_or(|error| !error.retryable);
                for (key, result) in out.steps.into_iter().filter(|(_, result)| lasting(result)) {
                    memo.steps.retain(|(known, _)| *known != key);
                    memo.steps.push((key, result));
                }
                for effect in &out.effects {
                    let known = memo.timers.iter().any(|(key, _)| *key == effect.key);
                    if let (false, Some(due)) = (known, due_of(&effect.op, *at)) {
                        memo.timers.push((effect.key.clone(), due));
                    }
                }
            }
            Entry::Answered { key, payload, .. } => memo.answers.push((key.clone(), payload.clone())),
            _ => {}
        }
    }
    Ok(memo)
}

/// Compares a frame that was driven again with the kept one. `finished` holds the paths whose outcomes are kept: of
/// those only the identity must agree.
fn compare(turn: u64, recorded: &OutFrame, again: &OutFrame, finished: &BTreeSet<Path>) -> Result<(), Error> {
    let mismatch = |recorded: String, now: String| {
        Error::refused(
            Code::JOURNAL_MISMATCH,
            format!(
                "the task went on differently in turn {turn} than it did before: kept is {recorded}, the code now gives \
                 {now}. The code is not deterministic (HashMap order, the wall clock, unseeded randomness), or it was \
                 changed under the task"
            ),
        )
    };
    let effect = |frame: &OutFrame, at: usize| {
        let effect = frame.effects.get(at);
        effect
            .map_or_else(|| "no further effect".to_owned(), |effect| format!("{} at {}", effect.op.name(), effect.path))
    };
    for at in 0..recorded.effects.len().max(again.effects.len()) {
        let same = match (recorded.effects.get(at), again.effects.get(at)) {
            (Some(before), Some(now)) => {
                before.path == now.path
                    && before.op.name() == now.op.name()
                    && (finished.contains(&before.path) || before.op.digest() == now.op.digest())
            }
            _ => false,
        };
        if !same {
            return Err(mismatch(effect(recorded, at), effect(again, at)));
        }
    }
    if recorded.steps != again.steps {
        let names = |frame: &OutFrame| {
            let keys: Vec<String> = frame.steps.iter().map(|(key, _)| key.to_string()).collect();
            format!("the end of the steps [{}]", keys.join(", "))
        };
        return Err(mismatch(names(recorded), format!("{} or other values", names(again))));
    }
    if recorded.cancels != again.cancels || recorded.status != again.status {
        return Err(mismatch(
            format!("{:?}", recorded.status),
            format!("{:?} or other effects given up", again.status),
        ));
    }
    Ok(())
}
