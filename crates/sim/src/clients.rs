//! Those who start, signal, answer and cancel runs, ask again when no answer comes, and remember what they were told.

use crate::{
    faults::Fault,
    model::Promise,
    program::{QUESTION_NAMES, SIGNAL_NAMES},
    world::Surroundings,
};
use bivouac_engine::{Run, Status};
use bivouac_protocol::{EffectKey, RunId, frame::CancelMode, key::Digest};

/// How long a client waits for an answer before it asks again, in milliseconds.
const PATIENCE_MS: u64 = 40;

/// An unfinished run: what it is told to be, the signal that it awaits, the question that it asks.
type Waiting = (RunId, Option<Status>, Option<&'static str>, Option<EffectKey>);

/// All clients together.
#[derive(Debug, Default)]
pub struct Clients {
    wishes: Vec<Wish>,
    runs: Vec<RunId>,
    started: u64,
    signalled: u64,
    answered: u64,
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
    /// An answer to a question of a run.
    Answer {
        /// The run.
        run: RunId,
        /// Which question, by its name or key; the only one where it is not said.
        question: Option<Box<str>>,
        /// Whose answer.
        id: Box<str>,
        /// Which of the answers that come under this id.
        variant: u32,
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
    /// Perhaps does something: starts, signals, answers, cancels, or asks again.
    pub fn act(&mut self, most_runs: u64, around: &mut Surroundings) -> Option<Sent> {
        match around.dice.below(13) {
            0..=2 if self.started < most_runs => self.start(around),
            3..=5 => self.signal(around),
            6 if around.dice.chance(150) => self.cancel(around),
            7 | 8 => self.repeat(around),
            9 | 10 => self.answer(around),
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

    /// Answers something: mostly what is asked, sometimes what is not, or under an id that is taken.
    fn answer(&mut self, around: &mut Surroundings) {
        let asking: Vec<RunId> =
            around.model.unfinished().filter(|run| run.questions().next().is_some()).map(Run::id).collect();
        let among = if asking.is_empty() || around.dice.chance(200) { &self.runs } else { &asking };
        if among.is_empty() {
            return;
        }
        let run = among[around.dice.index(among.len())];
        let question = around.dice.chance(400).then(|| around.dice.pick(&QUESTION_NAMES).into());
        let used = self.wishes.iter().rev().find_map(|wish| match &wish.request {
            Request::Answer { run: other, id, variant, .. } if *other == run => Some((id.clone(), *variant)),
            _ => None,
        });
        let (id, variant) = match used {
            Some((id, variant)) if around.happens(Fault::AnswerConflicting) => (id, variant + 1),
            _ => (self.fresh_answer(), 0),
        };
        self.wish(Request::Answer { run, question, id, variant });
    }

    fn fresh_answer(&mut self) -> Box<str> {
        self.answered += 1;
        format!("answer-{}", self.answered).into()
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
            Request::Answer { .. } => Fault::AnswerRepeated,
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
        let waiting: Vec<Waiting> = around
            .model
            .unfinished()
            .map(|run| {
                let wants = SIGNAL_NAMES.into_iter().find(|name| {
                    let awaits = |kind: &bivouac_engine::EffectKind| {
                        matches!(kind, bivouac_engine::EffectKind::Signal { name: awaited } if **awaited == **name)
                    };
                    run.awaits().any(|(_, _, kind)| awaits(kind))
                });
                (run.id(), run.status(), wants, run.questions().next().map(|asked| asked.key))
            })
            .collect();
        for (run, status, wants, asks) in waiting {
            match (status, wants, asks) {
                (Some(Status::Paused), ..) => {
                    around.model.cancel_asked(run);
                    self.wish(Request::Cancel { run, mode: CancelMode::Grace, grace_ms: 10 });
                }
                (Some(Status::Waiting), Some(name), _) => self.send_signal(run, name),
                (Some(Status::Waiting), None, Some(key)) => {
                    let id = self.fresh_answer();
                    self.wish(Request::Answer { run, question: Some(key.as_str().into()), id, variant: 0 });
                }
                _ => {}
            }
        }
        self.send(around)
    }
}
