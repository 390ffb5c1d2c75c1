//! A machine that owns the shard: the server's loop as a list of small instructions, any two of which a crash may part.
//!
//! Drain, handle, tick, load, carry out what is safe, batch, commit, committed, carry out what that released. A commit
//! that fails throws the memory away and loads anew; one that is fenced ends the machine.

use crate::program::Program;
use crate::{
    clients::{Answer, Request, Sent},
    executor::{Executor, Said},
    faults::Fault,
    model::{Check, Promise},
    world::Surroundings,
};
use bivouac_engine::{Accepted, Batch, Command, Fence, Input, Rejection, Shard, ShardLimits, Ticket};
use bivouac_protocol::{DeploymentId, RunId};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

const SHARD: u16 = 7;
const ENVIRONMENT: &str = "sim";
/// The most messages that one round takes.
const MOST_DRAINED: usize = 4;

/// A machine.
#[derive(Debug)]
pub struct Owner {
    shard: Shard,
    executor: Executor,
    limits: ShardLimits,
    inbox: VecDeque<Message>,
    drained: VecDeque<Message>,
    outbox: VecDeque<Command>,
    tickets: BTreeMap<Ticket, (usize, Promise)>,
    next: Instruction,
    /// What clients hear of it.
    answers: Vec<(usize, Answer)>,
    dead: bool,
    busy: bool,
}

#[derive(Debug)]
enum Message {
    Client(Sent),
    Executor(Said),
}

impl Message {
    fn run(&self) -> Option<RunId> {
        match self {
            Self::Executor((run, _)) => Some(*run),
            Self::Client((
                _,
                Request::Signal { run, .. } | Request::Answer { run, .. } | Request::Cancel { run, .. },
            )) => Some(*run),
            Self::Client((_, Request::Start { .. })) => None,
        }
    }
}

#[derive(Debug)]
enum Instruction {
    Drain,
    Handle,
    Tick,
    Load,
    TakeSafe,
    CarrySafe,
    Batch,
    Commit(Batch),
    Committed(Batch),
    TakeReleased,
    CarryReleased,
}

impl Owner {
    /// A machine that starts: it takes the shard and what is unfinished on disk.
    pub fn start(limits: ShardLimits, around: &mut Surroundings) -> Self {
        let epoch = around.disk.open();
        around.counts.fact("machines started");
        let mut shard = Shard::new(SHARD, epoch, 0, around.disk.lsn, limits);
        shard.recover(around.disk.unfinished());
        Self {
            shard,
            executor: Executor::default(),
            limits,
            inbox: VecDeque::new(),
            drained: VecDeque::new(),
            outbox: VecDeque::new(),
            tickets: BTreeMap::new(),
            next: Instruction::Drain,
            answers: Vec::new(),
            dead: false,
            busy: true,
        }
    }

    /// Whether it stopped.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether it was not replaced, as far as the disk knows.
    #[must_use]
    pub fn is_current(&self, around: &Surroundings) -> bool {
        self.shard.epoch() == around.disk.epoch
    }

    /// Whether only the clock can give it something to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let between = matches!(self.next, Instruction::Drain) && !self.busy;
        between && self.inbox.is_empty() && self.executor.is_idle()
    }

    /// The next instant at which it has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        self.shard.next_wake().map(|due| due.0)
    }

    /// A client's request reaches it.
    pub fn receive(&mut self, sent: Sent) {
        self.inbox.push_back(Message::Client(sent));
    }

    /// What clients are to hear.
    pub fn take_answers(&mut self) -> Vec<(usize, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// What its executor had said when it stopped.
    pub fn last_words(&mut self) -> Vec<Said> {
        let unheard = std::mem::take(&mut self.drained).into_iter().chain(std::mem::take(&mut self.inbox));
        let said = |message| match message {
            Message::Executor(said) => Some(said),
            Message::Client(_) => None,
        };
        unheard.filter_map(said).collect()
    }

    /// Hears what the executor of another machine said.
    pub fn overhear(&mut self, said: Vec<Said>) {
        self.inbox.extend(said.into_iter().map(Message::Executor));
    }

    /// Lets its executor do one thing.
    pub fn execute(&mut self, around: &mut Surroundings) {
        let said = self.executor.step(&self.shard, around);
        self.inbox.extend(said.into_iter().map(Message::Executor));
    }

    /// Carries out one instruction of the loop.
    pub fn step(&mut self, around: &mut Surroundings) {
        if around.happens(Fault::CrashBetweenInstructions) {
            self.dead = true;
            return;
        }
        let next = std::mem::replace(&mut self.next, Instruction::Drain);
        self.next = match next {
            Instruction::Drain => self.drain(around),
            Instruction::Handle => self.handle(around),
            Instruction::Tick => {
                self.shard.tick(around.now);
                around.model.ticked(&self.shard, &around.disk, around.now);
                Instruction::Load
            }
            Instruction::Load => self.load(around),
            Instruction::TakeSafe => {
                around.model.accounted_for(&self.shard, &around.disk, around.now);
                self.outbox.extend(self.shard.take_commands());
                Instruction::CarrySafe
            }
            Instruction::CarrySafe => match self.outbox.pop_front() {
                Some(command) => {
                    self.carry_out(&command, around);
                    Instruction::CarrySafe
                }
                None => Instruction::Batch,
            },
            Instruction::Batch => match self.shard.batch() {
                Some(batch) => Instruction::Commit(batch),
                None => Instruction::TakeReleased,
            },
            Instruction::Commit(batch) => self.commit(batch, around),
            Instruction::Committed(batch) => {
                self.busy = true;
                self.shard.committed(&batch);
                around.model.lets_go(&self.shard);
                around.model.accounted_for(&self.shard, &around.disk, around.now);
                Instruction::TakeReleased
            }
            Instruction::TakeReleased => {
                self.outbox.extend(self.shard.take_commands());
                Instruction::CarryReleased
            }
            Instruction::CarryReleased => match self.outbox.pop_front() {
                Some(command) => {
                    if let Some((run, fence)) = addressee(&command) {
                        around.model.released_for(run, fence, &self.shard);
                    }
                    self.carry_out(&command, around);
                    Instruction::CarryReleased
                }
                None => Instruction::Drain,
            },
        };
    }

    fn drain(&mut self, around: &mut Surroundings) -> Instruction {
        self.busy = !self.inbox.is_empty();
        let most = around.dice.index(MOST_DRAINED) + 1;
        for _ in 0..most {
            let mut index = 0;
            if self.inbox.len() > 1 && around.happens_silently(Fault::MessageOvertaken) {
                // Messages of one run stay in their order; those of different runs do not.
                let picked = around.dice.index(self.inbox.len());
                let run = self.inbox[picked].run();
                index = self.inbox.iter().position(|message| message.run() == run).unwrap_or(0);
                if index > 0 {
                    around.counts.fault(Fault::MessageOvertaken);
                }
            }
            self.drained.extend(self.inbox.remove(index));
        }
        Instruction::Handle
    }

    fn handle(&mut self, around: &mut Surroundings) -> Instruction {
        let Some(message) = self.drained.pop_front() else { return Instruction::Tick };
        around.tell(|| format!("handle {message:?}"));
        match message {
            Message::Executor((run, input)) => self.hear(run, input, around),
            Message::Client((client, request)) => self.request(client, request, around),
        }
        around.model.accounted_for(&self.shard, &around.disk, around.now);
        Instruction::Handle
    }

    fn hear(&mut self, run: RunId, input: Input, around: &mut Surroundings) {
        let honest = match &input {
            Input::Turn { fence, turn, .. } => self
                .shard
                .run(run)
                .filter(|known| self.shard.slice_of(run) == Some(*fence) && known.next_turn() == turn.n)
                .map(|known| (known.slice(), turn.n)),
            _ => None,
        };
        let (speaker, out) = (speaker(&input), self.shard.slice_of(run));
        match self.shard.handle(run, input, around.now) {
            Ok(()) => around.model.heard(run, speaker, out),
            Err(rejection) => {
                around.tell(|| format!("  rejected: {rejection}"));
                around.counts.fact("executor's inputs rejected");
            }
        }
        if let (Some((slice, turn)), Some(known)) = (honest, self.shard.run(run))
            && known.next_turn() == turn
            && known.slice() > slice
        {
            around.model.refused_honest_turn(run, turn);
        }
    }

    fn request(&mut self, client: usize, request: Request, around: &mut Surroundings) {
        match request {
            Request::Start { key, digest, program } => {
                let known =
                    self.shard.pending_start(ENVIRONMENT, &key).or_else(|| around.disk.starts.get(&key).copied());
                if let Some((run, other)) = known {
                    let promise = if other == digest { Promise::Started(run) } else { Promise::Taken(run) };
                    if other != digest {
                        around.counts.fault(Fault::StartConflicting);
                    }
                    return self.answer(client, run, promise, around);
                }
                let run = RunId::new(around.now.0, SHARD, around.dice.any());
                let accepted = accepted(key, digest, program);
                match self.shard.handle(run, Input::Accept(Box::new(accepted)), around.now) {
                    Ok(()) => self.answer(client, run, Promise::Started(run), around),
                    Err(_) => {
                        around.counts.fact("starts refused: overloaded");
                        self.answers.push((client, Answer::Refused));
                    }
                }
            }
            Request::Signal { run, name, id } => {
                let input = Input::Signal { name: name.into(), id: id.clone(), payload: payload(name, &id).into() };
                self.tell_run(client, run, input, Promise::Signalled(run, id), around);
            }
            Request::Answer { run, question, id, variant } => {
                let payload = Bytes::from(answer_payload(&id, variant));
                let input = Input::Answer { question, id: id.clone(), payload: payload.clone() };
                if self.shard.run(run).is_none() && !self.restore(run, around) {
                    return self.answers.push((client, Answer::Unknown));
                }
                match self.shard.handle(run, input, around.now) {
                    Ok(()) => self.answer(client, run, Promise::Answered(run, id), around),
                    Err(Rejection::Finished) => self.answer(client, run, Promise::Finished(run), around),
                    Err(rejection) => {
                        around.counts.fact(match rejection {
                            Rejection::NothingAsked => "answers refused: nothing is asked",
                            Rejection::WhichQuestion(_) => "answers refused: which question",
                            _ => "answers refused: answered already",
                        });
                        if rejection == Rejection::AlreadyAnswered {
                            around.model.refused_answer(run, &id, &payload);
                        }
                        self.answers.push((client, Answer::Unknown));
                    }
                }
            }
            Request::Cancel { run, mode, grace_ms } => {
                let input = Input::Cancel { mode, reason: "a client asked".into(), grace_ms };
                self.tell_run(client, run, input, Promise::Cancelled(run), around);
            }
        }
    }

    fn tell_run(&mut self, client: usize, run: RunId, input: Input, promise: Promise, around: &mut Surroundings) {
        if self.shard.run(run).is_none() && !self.restore(run, around) {
            return self.answers.push((client, Answer::Unknown));
        }
        match self.shard.handle(run, input, around.now) {
            Ok(()) => self.answer(client, run, promise, around),
            Err(Rejection::Finished) => self.answer(client, run, Promise::Finished(run), around),
            Err(_) => self.answers.push((client, Answer::Refused)),
        }
    }

    fn restore(&mut self, id: RunId, around: &mut Surroundings) -> bool {
        match around.disk.load(id) {
            Ok(Some(run)) => {
                self.shard.restore(run, around.now);
                true
            }
            Ok(None) => false,
            Err(why) => {
                around.model.blame(Check::Journal, why);
                false
            }
        }
    }

    fn answer(&mut self, client: usize, run: RunId, promise: Promise, around: &mut Surroundings) {
        let ticket = Ticket(around.ticket());
        self.tickets.insert(ticket, (client, promise));
        self.shard.answer(run, ticket);
    }

    fn load(&mut self, around: &mut Surroundings) -> Instruction {
        let Some(id) = self.shard.next_to_load() else { return Instruction::TakeSafe };
        self.busy = true;
        match around.disk.load(id) {
            Ok(Some(run)) => self.shard.resume(run, around.now),
            Ok(None) => around.model.blame(Check::Journal, format!("{id}: it is queued, but not on disk")),
            Err(why) => around.model.blame(Check::Journal, why),
        }
        Instruction::Load
    }

    fn carry_out(&mut self, command: &Command, around: &mut Surroundings) {
        self.busy = true;
        around.tell(|| format!("carry out {command:?}"));
        match command {
            Command::Answer(ticket) => {
                let Some((client, promise)) = self.tickets.remove(ticket) else { return };
                if !around.happens(Fault::AnswerLost) {
                    self.answers.push((client, Answer::Promised(promise)));
                }
            }
            Command::Committed { run, through, .. } => around.model.shown(*run, *through),
            command => self.executor.receive(command, &self.shard, around),
        }
    }

    fn commit(&mut self, batch: Batch, around: &mut Surroundings) -> Instruction {
        around.tell(|| format!("commit {} runs, entries {}..{}", batch.transitions.len(), batch.lsn, batch.last_lsn()));
        if around.happens(Fault::CrashBeforeCommit) {
            self.dead = true;
            return Instruction::Drain;
        }
        let nothing_written = around.happens(Fault::DiskFull) || around.happens(Fault::CommitOutcomeUnknown);
        if nothing_written {
            return self.start_over(around);
        }
        if around.disk.commit(&batch).is_err() {
            around.counts.fault(Fault::CommitFenced);
            self.dead = true;
            return Instruction::Drain;
        }
        around.counts.fact("commits");
        around.model.committed(&batch, &self.shard, &mut around.counts);
        if around.happens(Fault::CrashAfterCommit) {
            self.dead = true;
            return Instruction::Drain;
        }
        if around.happens(Fault::CommitAcknowledgementLost) {
            return self.start_over(around);
        }
        Instruction::Committed(batch)
    }

    /// Nothing in memory can be trusted any more: it is thrown away, its slices with it, and read anew.
    fn start_over(&mut self, around: &mut Surroundings) -> Instruction {
        if !self.is_current(around) {
            self.dead = true;
            return Instruction::Drain;
        }
        around.counts.fact("reloads");
        let (epoch, incarnation) = (self.shard.epoch(), self.shard.incarnation() + 1);
        self.shard = Shard::new(SHARD, epoch, incarnation, around.disk.lsn, self.limits);
        self.shard.recover(around.disk.unfinished());
        self.executor.drop_all(around);
        self.outbox.clear();
        let unanswered = std::mem::take(&mut self.tickets).into_values();
        self.answers.extend(unanswered.map(|(client, _)| (client, Answer::Refused)));
        self.busy = true;
        Instruction::Drain
    }
}

/// For which slice an input speaks.
const fn speaker(input: &Input) -> Option<Fence> {
    match input {
        Input::Turn { fence, .. }
        | Input::Failed { fence, .. }
        | Input::Lost { fence, .. }
        | Input::Mismatch { fence, .. } => Some(*fence),
        Input::Accept(_) | Input::Tick | Input::Cancel { .. } | Input::Signal { .. } | Input::Answer { .. } => None,
    }
}

/// For which slice a command is.
pub(crate) fn addressee(command: &Command) -> Option<(RunId, Fence)> {
    match command {
        Command::Dispatch { run, fence, .. }
        | Command::Deliver { run, fence, .. }
        | Command::Cancel { run, fence, .. }
        | Command::Perform { run, fence, .. }
        | Command::Abort { run, fence, .. }
        | Command::Drop { run, fence } => Some((*run, *fence)),
        Command::Answer(_) | Command::Committed { .. } => None,
    }
}

/// A signal's payload: what it is called and who sent it, so that whoever takes it can say so.
fn payload(name: &str, id: &str) -> String {
    serde_json::json!({"signal": id, "name": name}).to_string()
}

/// An answer's payload: whose it is, and which of those under one id.
fn answer_payload(id: &str, variant: u32) -> String {
    serde_json::json!({"answer": id, "variant": variant}).to_string()
}

fn accepted(key: Box<str>, digest: bivouac_protocol::key::Digest, program: u64) -> Accepted {
    Accepted {
        environment: ENVIRONMENT.into(),
        tenant: "".into(),
        app: "app".into(),
        user: "user".into(),
        deployment: DeploymentId::from_u128(1),
        component: "workflow/sim".into(),
        idempotency: Some((key, digest)),
        input: program.to_string().into(),
        metadata: Bytes::new(),
        seed: Bytes::new(),
        patches: Vec::new(),
        retries: Program::numbered(program).retries,
    }
}
