//! The world of a test: a clock, a memory, a script, and what an attempt inherits.

use super::{
    Report, START_MS, Test,
    report::{Sent, Turn},
    script::{Scripted, describe_op},
};
use crate::guest::ModuleGuest;
use bivouac_protocol::{
    EffectKey, Guest as _, Json, Path, RunId, StepKey,
    frame::{Auth, CancelMode, InFrame, Memo, Op, OutFrame, Outcome, Start, Status, StepResult},
    manifest::{ComponentRef, Retries},
};
use std::collections::BTreeMap;

/// The most turns of one test: more means that the run does not come to an end.
const MAX_TURNS: u64 = 100_000;

/// The seed of every test's chance: 32 bytes in base64.
const SEED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub(super) struct World {
    test: Test,
    now_ms: u64,
    turn: u64,
    attempt: u32,
    pending: Vec<Pending>,
    asked: u64,
    steps: BTreeMap<StepKey, StepResult>,
    timers: BTreeMap<EffectKey, u64>,
    /// What is still to be answered with.
    given: std::vec::IntoIter<Json>,
    answers: BTreeMap<EffectKey, Json>,
    report: Report,
}

/// An outcome that is on its way.
struct Pending {
    due_ms: u64,
    order: u64,
    path: Path,
    outcome: Outcome,
}

/// What follows a turn.
enum Next {
    Turn(Box<InFrame>),
    Attempt,
    End,
}

impl World {
    pub(super) fn new(test: Test) -> Self {
        let memory = test.memory.clone();
        Self {
            given: test.answers.clone().into_iter(),
            test,
            now_ms: START_MS,
            turn: 0,
            attempt: 0,
            pending: Vec::new(),
            asked: 0,
            steps: BTreeMap::new(),
            timers: BTreeMap::new(),
            answers: BTreeMap::new(),
            report: Report::new(memory),
        }
    }

    pub(super) fn run(mut self) -> Report {
        loop {
            self.attempt += 1;
            self.pending.clear();
            let mut guest = self.test.module.module().into_guest();
            let start = self.start();
            self.turn += 1;
            let mut frame = InFrame { start: Some(start), ..InFrame::new(self.turn, self.now_ms) };
            loop {
                match self.turn(&mut guest, &frame) {
                    Next::Turn(next) => frame = *next,
                    Next::Attempt => break,
                    Next::End => {
                        self.report.attempts = self.attempt;
                        self.report.elapsed_ms = self.now_ms - START_MS;
                        return self.report;
                    }
                }
            }
            self.now_ms += self.retries().map_or(0, |retries| retries.initial_interval_ms);
        }
    }

    fn start(&self) -> Start {
        let component = self.test.component();
        Start {
            run_id: RunId::new(START_MS, 0, 1),
            generation: 0,
            component: ComponentRef { kind: component.kind, name: component.name },
            attempt: self.attempt,
            input: self.test.input.clone(),
            metadata: self.test.metadata.clone(),
            auth: Auth { app: "test".to_owned(), user: self.test.user.clone(), tenant: String::new() },
            memo: Memo {
                steps: self.steps.iter().map(|(key, result)| (key.clone(), result.clone())).collect(),
                timers: self.timers.iter().map(|(key, due)| (key.clone(), *due)).collect(),
                answers: self.answers.iter().map(|(key, answer)| (key.clone(), answer.clone())).collect(),
            },
            patches: self.test.patches.clone(),
            limits: self.test.limits,
            seed: SEED.to_owned(),
        }
    }

    fn retries(&self) -> Option<Retries> {
        self.test.component().flow_control.retries
    }

    fn turn(&mut self, guest: &mut ModuleGuest, frame: &InFrame) -> Next {
        assert!(self.turn < MAX_TURNS, "the run does not end: {MAX_TURNS} turns were made");
        let input = frame.encode();
        let output = guest.drive(&input);
        let out = OutFrame::decode(&output).expect("the SDK writes frames that can be read");
        self.report.turns.push(Turn { input, output });
        self.take(&out);
        let recorded = |wanted: &str| out.steps.iter().any(|(key, _)| key.as_str() == wanted);
        let failed_here = self.attempt == 1 && self.test.fail_after.as_deref().is_some_and(recorded);
        self.report.status = out.status;
        if failed_here && out.status == Status::Running {
            return Next::Attempt;
        }
        let cancel = self.test.cancel_after.take_if(|(step, _)| recorded(step)).map(|(_, mode)| mode);
        match out.status {
            Status::Running => self.next_turn(cancel),
            Status::Failed if self.retried(&out) => Next::Attempt,
            _ => {
                self.report.output = out.output;
                self.report.error = out.error;
                Next::End
            }
        }
    }

    fn retried(&self, out: &OutFrame) -> bool {
        let allowed =
            self.test.max_attempts.unwrap_or_else(|| self.retries().map_or(1, |retries| retries.max_attempts));
        self.attempt < allowed && out.error.as_ref().is_none_or(|error| error.retryable)
    }

    fn next_turn(&mut self, cancel: Option<CancelMode>) -> Next {
        self.turn += 1;
        let mut frame = InFrame { cancel, ..InFrame::new(self.turn, self.now_ms) };
        if cancel.is_none() {
            let Some(due_ms) = self.pending.iter().map(|pending| pending.due_ms).min() else { return Next::End };
            self.now_ms = self.now_ms.max(due_ms);
            frame.now_ms = self.now_ms;
            self.pending.sort_by_key(|pending| (pending.due_ms, pending.order));
            let due = self.pending.iter().take_while(|pending| pending.due_ms == due_ms).count();
            let count = if self.test.together { due } else { 1 };
            frame.deliver = self.pending.drain(..count).map(|pending| (pending.path, pending.outcome)).collect();
        }
        Next::Turn(Box::new(frame))
    }

    /// Takes what a turn says.
    fn take(&mut self, out: &OutFrame) {
        for effect in &out.effects {
            self.report.effects.push(effect.clone());
            let (outcome, due_ms) = self.perform(&effect.key, &effect.op);
            self.asked += 1;
            if let Scripted::Outcome(outcome) = outcome {
                self.pending.push(Pending { due_ms, order: self.asked, path: effect.path.clone(), outcome });
            }
        }
        self.pending.retain(|pending| !out.cancels.contains(&pending.path));
        self.report.cancels.extend(out.cancels.iter().cloned());
        for (key, result) in &out.steps {
            self.report.steps.push((key.clone(), result.clone()));
            if result.as_ref().err().is_none_or(|error| !error.retryable) {
                self.steps.insert(key.clone(), result.clone());
            }
        }
        self.report.notes.extend(out.notes.iter().cloned());
    }

    /// What an effect becomes, and when.
    fn perform(&mut self, key: &EffectKey, op: &Op) -> (Scripted, u64) {
        if let Op::Http(request) = op {
            self.report.requests.push(Sent::new(key.clone(), request.clone()));
        }
        if let Some(rule) = self.test.rules.iter_mut().find(|rule| rule.fits(op)) {
            let (outcome, latency) = rule.next();
            if let (Op::Ask(_), Scripted::Outcome(Outcome::Ok(answer))) = (op, &outcome) {
                self.answers.insert(key.clone(), answer.clone());
            }
            return (outcome, self.now_ms + latency);
        }
        let memory = &mut self.report.memory;
        let value = match op {
            Op::Sleep { ms, until_ms } => {
                let asked = until_ms.unwrap_or_else(|| self.now_ms.saturating_add(*ms));
                let due = *self.timers.entry(key.clone()).or_insert(asked);
                return (Scripted::Outcome(Outcome::Ok(Json::null())), due);
            }
            Op::MemoryLoad { name } => memory.get(name).cloned().unwrap_or_default(),
            Op::MemoryList { prefix } => {
                let names: Vec<_> = memory.keys().filter(|name| name.starts_with(prefix)).collect();
                Json::of(&names).expect("names are text")
            }
            Op::MemorySave { name, value } => {
                memory.insert(name.clone(), value.clone());
                Json::null()
            }
            Op::MemoryDelete { name } => {
                memory.remove(name);
                Json::null()
            }
            Op::Ask(_) => {
                let Some(answer) = self.given.next() else { return (Scripted::Never, self.now_ms) };
                self.answers.insert(key.clone(), answer.clone());
                answer
            }
            other => panic!("{}", self.unscripted(other)),
        };
        (Scripted::Outcome(Outcome::Ok(value)), self.now_ms)
    }

    fn unscripted(&self, op: &Op) -> String {
        let rules: Vec<_> = self.test.rules.iter().map(super::Rule::describe).collect();
        format!(
            "the component asked for {}, which no rule of the test fits; there are: {}",
            describe_op(op),
            if rules.is_empty() { "none".to_owned() } else { rules.join(", ") }
        )
    }
}
