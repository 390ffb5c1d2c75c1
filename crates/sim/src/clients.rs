//! Those who start, signal and cancel runs, ask again when no answer comes, and remember what they were told.

use crate::{faults::Fault, model::Promise, program::SIGNAL_NAMES, world::Surroundings};
use bivouac_engine::Status;
use bivouac_protocol::{RunId, frame::CancelMode, key::Digest};

/// How long a client waits for an answer before it asks again, in milliseconds.
const PATIENCE_MS: u64 = 40;

/// All clients together.
#[derive(Debug, Default)]
pub struct Clients {
    wishes: Vec<Wish>,
    runs: Vec<RunId>,
    started: u64,
    signalled: u64,
}

#[derive(Clone, Debug)]
struct Wish {
    request: Request,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent.
    Due,
    /// Sent at this instant; no answer yet.
    Sent(u64),
    /// Answered for good.
    Done,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A run.
    Start {
        /// The idempotency key.
        key: Box<str>,
        /// What comes under it.
        digest: Digest,
        /// The program's number.
        program: u64,
    },
    /// A signal to a run.
    Signal {
        /// The run.
        run: RunId,
        /// What it is called.
        name: &'static str,
        /// Who sends it.
        id: Box<str>,
    },
    /// The end of a run.
    Cancel {
        /// The run.
        run: RunId,
        /// How.
        mode: CancelMode,
        /// How long grace lasts, in milliseconds.
        grace_ms: u64,
    },
}

/// A request on its way: its client's number and what it asks.
pub type Sent = (usize, Request);

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is so.
    Promised(Promise),
    /// Not now; it may be asked again.
    Refused,
    /// Never.
    Unknown,
}

impl Clients {
    /// Perhaps does something: starts, signals, cancels, or asks again.
    pub fn act(&mut self, most_runs: u64, around: &mut Surroundings) -> Option<Sent> {
        match around.dice.below(10) {
            0..=2 if self.started < most_runs => self.start(around),
            3..=5 => self.signal(around),
            6 if around.dice.chance(150) => self.cancel(around),
            7 => self.repeat(around),
            _ => {}
        }
        self.send(around)
    }

    fn start(&mut self, around: &mut Surroundings) {
        let conflicting = self.started > 0 && around.happens_silently(Fault::StartConflicting);
        let number = if conflicting { around.dice.below(self.started) } else { self.started };
        let program = around.dice.any();
        self.started += u64::from(!conflicting);
        self.wish(Request::Start {
            key: format!("start-{number}").into(),
            digest: Digest::of([&program.to_le_bytes()[..]]),
            program,
        });
    }

    fn signal(&mut self, around: &mut Surroundings) {
        if !self.runs.is_empty() {
            let run = self.runs[around.dice.index(self.runs.len())];
            let name = around.dice.pick(&SIGNAL_NAMES);
            self.send_signal(run, name);
        }
    }

    fn send_signal(&mut self, run: RunId, name: &'static str) {
        self.signalled += 1;
        self.wish(Request::Signal { run, name, id: format!("signal-{}", self.signalled).into() });
    }

    fn cancel(&mut self, around: &mut Surroundings) {
        if !self.runs.is_empty() {
            let run = self.runs[around.dice.index(self.runs.len())];
            let mode = around.dice.pick(&[CancelMode::Grace, CancelMode::Grace, CancelMode::Now]);
            let grace_ms = around.dice.between(1, 200);
            around.model.cancel_asked(run);
            self.wish(Request::Cancel { run, mode, grace_ms });
        }
    }

    /// Sends something again, answered or not.
    fn repeat(&mut self, around: &mut Surroundings) {
        if self.wishes.is_empty() {
            return;
        }
        let index = around.dice.index(self.wishes.len());
        let fault = match self.wishes[index].request {
            Request::Start { .. } => Fault::StartRepeated,
            Request::Signal { .. } => Fault::SignalRepeated,
            Request::Cancel { .. } => Fault::CancelRepeated,
        };
        if self.wishes[index].state != State::Due && around.happens(fault) {
            self.wishes[index].state = State::Due;
        }
    }

    fn wish(&mut self, request: Request) {
        self.wishes.push(Wish { request, state: State::Due });
    }

    fn send(&mut self, around: &Surroundings) -> Option<Sent> {
        let now = around.now.0;
        let due = |wish: &Wish| match wish.state {
            State::Due => true,
            State::Sent(at) => at + PATIENCE_MS <= now,
            State::Done => false,
        };
        let index = self.wishes.iter().position(due)?;
        self.wishes[index].state = State::Sent(now);
        Some((index, self.wishes[index].request.clone()))
    }

    /// Hears an answer.
    pub fn hear(&mut self, client: usize, answer: Answer, around: &mut Surroundings) {
        around.tell(|| format!("client {client} hears {answer:?}"));
        let Some(wish) = self.wishes.get_mut(client) else { return };
        wish.state = match &answer {
            Answer::Promised(_) | Answer::Unknown => State::Done,
            Answer::Refused => State::Sent(around.now.0),
        };
        if let Answer::Promised(promise) = answer {
            if let Promise::Started(run) = promise
                && !self.runs.contains(&run)
            {
                self.runs.push(run);
            }
            around.counts.fact("answers");
            around.model.promised(promise);
        }
    }

    /// Does what lets the unfinished runs end: asks again, sends what they wait for, and decides for the paused.
    pub fn help(&mut self, around: &mut Surroundings) -> Option<Sent> {
        if let Some(sent) = self.send(around) {
            return Some(sent);
        }
        let waiting: Vec<(RunId, Option<Status>, Option<&'static str>)> = around
            .model
            .unfinished()
            .map(|run| {
                let wants = SIGNAL_NAMES.into_iter().find(|name| {
                    let awaits = |kind: &bivouac_engine::EffectKind| {
                        matches!(kind, bivouac_engine::EffectKind::Signal { name: awaited } if **awaited == **name)
                    };
                    run.awaits().any(|(_, _, kind)| awaits(kind))
                });
                (run.id(), run.status(), wants)
            })
            .collect();
        for (run, status, wants) in waiting {
            match (status, wants) {
                (Some(Status::Paused), _) => {
                    around.model.cancel_asked(run);
                    self.wish(Request::Cancel { run, mode: CancelMode::Grace, grace_ms: 10 });
                }
                (Some(Status::Waiting), Some(name)) => self.send_signal(run, name),
                _ => {}
            }
        }
        self.send(around)
    }
}
