//! The same component as a module and as native code: equal frames, and equal journals.
//!
//! Most of it needs no server: a host made of a seed hands both guests the same frames, in lockstep, and compares what
//! comes out byte for byte. It decides every outcome, orders deliveries by chance, retries with a memo, cancels, and now
//! and then throws the module's instance away and replays. A few programs then go through two real servers.

use crate::local::{Local, SOON, native};
use bivouac_engine::{Event, Timestamp};
use bivouac_protocol::{
    EffectKey, ErrorInfo, Guest, Json, Path, RunId, StepKey,
    frame::{
        Auth, Body, CancelMode, HttpResponse, InFrame, InputType, Limits, Memo, Op, OutFrame, Outcome, Question, Start,
        Status, StepResult,
    },
    manifest::{ComponentKind, ComponentRef},
};
use bivouac_testbed::{Shop, artifacts};
use bivouac_wasm_host::{Host, HostConfig, Instance, Module};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PROGRAMS: u64 = 200;
/// How many of them go through real servers.
const SERVED: usize = 20;
/// How many programs ask.
const ASKING: u64 = 100;
const NONCE: [u8; 32] = [7; 32];
const MAX_ATTEMPTS: u32 = 5;
const MAX_TURNS: u64 = 2_000;

#[test]
fn hello_is_equal_in_both() {
    let pair = Pair::of("hello", || Box::new(hello::guest()));
    for (seed, name) in ["Ada", "", "größe \u{1f30d} \"quoted\""].iter().enumerate() {
        pair.play(ComponentKind::Function, "hello", &json!({ "name": name }), seed as u64);
    }
    let ends = pair.play(ComponentKind::Function, "hello", &json!({ "nobody": 1 }), 9);
    assert_eq!(ends.status, Status::Failed);
}

#[test]
fn order_is_equal_in_both() {
    let pair = Pair::of("order", || Box::new(order::guest()));
    let mut seen = Seen::default();
    for seed in 0..60 {
        let input = json!({
            "service": "http://127.0.0.1:9",
            "order_id": format!("o-{seed}"),
            "items": [{ "sku": "tent", "quantity": seed }],
            "pause_ms": if seed % 3 == 0 { 5 } else { 0 },
            "fail_at": if seed % 5 == 0 { json!("charge") } else { Value::Null },
            "authorize": seed % 7 == 0,
        });
        seen.add(&pair.play(ComponentKind::Workflow, "order", &input, seed));
    }
    println!("order: {seen:?}");
    assert!(seen.completed > 0 && seen.failed > 0 && seen.attempts > 60 && seen.replays > 0, "{seen:?}");
}

#[test]
fn two_hundred_programs_are_equal_in_both() {
    let pair = Pair::of("programs", || Box::new(programs::guest()));
    let mut seen = Seen::default();
    for seed in 0..PROGRAMS {
        let input: Value = programs::generate(seed, "http://127.0.0.1:9").parse().unwrap();
        seen.add(&pair.play(ComponentKind::Workflow, "program", &input, seed));
    }
    println!("programs: {seen:?}");
    // A comparison of nothing would be equal, too.
    assert!(seen.completed > 50 && seen.failed > 10 && seen.turns > 1_000 && seen.effects > 1_000, "{seen:?}");
    assert!(u64::from(seen.attempts) > PROGRAMS && seen.replays > 50 && seen.cancels > 10, "{seen:?}");
}

#[test]
fn a_hundred_programs_that_ask_are_equal_in_both() {
    let pair = Pair::of("programs", || Box::new(programs::guest()));
    let mut seen = Seen::default();
    for seed in 0..ASKING {
        let input: Value = programs::generate_asking(seed, "http://127.0.0.1:9").parse().unwrap();
        seen.add(&pair.play(ComponentKind::Workflow, "program", &input, seed));
    }
    println!("programs that ask: {seen:?}");
    assert!(seen.completed > 20 && seen.questions > 200 && seen.replays > 20 && seen.cancels > 5, "{seen:?}");
    assert!(u64::from(seen.attempts) > ASKING, "{seen:?}");
}

#[test]
fn a_program_that_asks_leaves_equal_journals_in_two_servers() {
    let natively = Local::start(vec![native("programs", programs::guest)]);
    let as_module = Local::start(Vec::new());
    as_module.deploy("programs", &["memory", "host=127.0.0.1:*", "host=localhost:*"]);
    let ask = |text: &str, kind: &str| json!({ "ask": { "text": text, "kind": kind } });
    let input = json!({
        "service": "http://127.0.0.1:9",
        "body": [
            ask("Where?", "text"),
            { "step": { "name": "choose", "body": [ask("Which?", "select")] } },
            { "fail": { "code": "TRY_AGAIN", "retryable": true, "up_to_attempt": 1 } },
            ask("Where?", "text"),
            ask("Go on?", "approval"),
        ],
    });
    // The approval is answered with what is none first, and asked again.
    let answers = [json!("the lake"), json!("peak"), json!("the peak"), json!("perhaps"), json!(true)];
    let journals = [&natively, &as_module].map(|local| {
        let answer = local.api().submit("workflows/program", &[], &input).unwrap();
        let run = answer.json()["run_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
        for (answer, number) in answers.iter().zip(1..) {
            wait_for_question(local, &run, number);
            let body = json!({ "answer": answer, "id": format!("a{number}") }).to_string();
            let told = local.api().post(&format!("/v1/runs/{run}/answer"), &[], body.as_bytes()).unwrap();
            assert_eq!(told.status, 200, "{}", told.text());
        }
        let result = local.api().result(&run, SOON).unwrap();
        assert_eq!(result["output"], json!(["the lake", ["peak"], "passed", "the peak", true]));
        events_of(local, &run)
    });
    assert_eq!(journals[0], journals[1]);
    let asked = |events: &[Value]| events.iter().filter(|event| event.to_string().contains("Answered")).count();
    assert_eq!(asked(&journals[0]), answers.len(), "{:?}", journals[0]);
}

/// Waits until a run has asked so often, and waits for the answer.
fn wait_for_question(local: &Local, run: &str, number: usize) {
    let driver = local.server().driver();
    let mut bell = driver.follow(run.parse().unwrap());
    loop {
        let events = driver.reader().events(run.parse().unwrap(), 0, 10_000).unwrap();
        let questions =
            events.iter().filter_map(|stored| if let Event::Turn(turn) = &stored.event { Some(turn) } else { None });
        let asked = questions.flat_map(|turn| &turn.effects).filter(|effect| &*effect.op == "ask").count();
        if asked >= number && driver.status(run.parse().unwrap()).unwrap() == Some(bivouac_engine::Status::Waiting) {
            return;
        }
        local.runtime().block_on(bell.changed()).unwrap();
    }
}

#[test]
fn twenty_programs_leave_equal_journals_in_two_servers() {
    let shop = Shop::start().unwrap();
    shop.refuse("/status/409");
    shop.fail_next("/status/503", u32::MAX, 503);
    let natively = Local::start(vec![native("programs", programs::guest)]);
    let as_module = Local::start(Vec::new());
    as_module.deploy("programs", &["memory", "host=127.0.0.1:*", "host=localhost:*"]);
    let sequential = (0..).filter_map(|seed| {
        let mut input: Value = programs::generate(seed, &shop.origin()).parse().unwrap();
        // The servers' seeds differ, and so does what is drawn by chance.
        input["show_chance"] = json!(false);
        is_sequential(&input).then_some((seed, input))
    });
    let mut events = 0;
    for (seed, input) in sequential.take(SERVED) {
        let [one, other] = [&natively, &as_module].map(|local| journal_of(local, &input));
        assert_eq!(one, other, "program {seed}: {input}");
        events += one.len();
    }
    println!("{SERVED} programs, {events} events each way");
}

/// Whether nothing in a program is under way at once: only then is the order of its turns its own.
fn is_sequential(program: &Value) -> bool {
    let text = program.to_string();
    !["\"join", "\"select", "\"spawn", "\"timeout"].iter().any(|name| text.contains(name))
}

/// A run's journal, without what no two runs have in common.
fn journal_of(local: &Local, input: &Value) -> Vec<Value> {
    let answer = local.api().submit("workflows/program", &[], input).unwrap();
    let run = answer.json()["run_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
    local.api().result(&run, SOON).unwrap();
    events_of(local, &run)
}

/// The journal of a run that has ended, without what no two runs have in common.
fn events_of(local: &Local, run: &str) -> Vec<Value> {
    let id: RunId = run.parse().unwrap();
    let stored = local.server().driver().reader().events(id, 0, 10_000).unwrap();
    assert!(stored.iter().zip(1..).all(|(event, seq)| event.seq == seq));
    // Whether a run parks for a short sleep depends on how fast the machine is.
    let timing = |event: &Event| matches!(event, Event::Parked | Event::Woken);
    stored.into_iter().map(|stored| stored.event).filter(|event| !timing(event)).map(without_times).collect()
}

fn without_times(event: Event) -> Value {
    match event {
        Event::Accepted(accepted) => json!({
            "accepted": accepted.component,
            "input": String::from_utf8_lossy(&accepted.input),
            "patches": accepted.patches,
            "retries": format!("{:?}", accepted.retries),
        }),
        Event::Turn(turn) => {
            let mut turn = std::sync::Arc::unwrap_or_clone(turn);
            turn.now = Timestamp(0);
            for effect in &mut turn.effects {
                if let bivouac_engine::EffectKind::Timer { due } = &mut effect.kind {
                    *due = Timestamp(0);
                }
            }
            let frame = frame_without_times(&turn.frame);
            turn.frame = Bytes::new();
            json!({ "turn": format!("{turn:?}"), "frame": frame })
        }
        Event::AttemptFailed { error, .. } => json!({ "attempt_failed": format!("{error:?}") }),
        other => json!(format!("{other:?}")),
    }
}

/// A frame's outcomes and how it starts.
fn frame_without_times(frame: &[u8]) -> Value {
    let frame = InFrame::decode(frame).unwrap();
    let deliver: Vec<Value> = frame
        .deliver
        .iter()
        .map(|(path, outcome)| match outcome {
            Outcome::Ok(value) => {
                let mut value: Value = value.parse().unwrap();
                // The date is among them.
                if let Some(members) = value.as_object_mut() {
                    members.remove("headers");
                }
                json!([path.as_str(), value])
            }
            other => json!([path.as_str(), format!("{other:?}")]),
        })
        .collect();
    let start = frame.start.map(|start| json!([start.attempt, start.component.to_string(), start.patches]));
    json!({ "turn": frame.turn, "deliver": deliver, "start": start, "cancel": format!("{:?}", frame.cancel) })
}

/// A component in both forms.
struct Pair {
    module: Module,
    native: fn() -> Box<dyn Guest>,
}

/// How a run ended, and what it took.
struct Played {
    status: Status,
    turns: u64,
    attempts: u32,
    effects: u64,
    replays: u32,
    questions: u32,
    cancelled: bool,
}

/// What was played in all.
#[derive(Debug, Default)]
struct Seen {
    completed: u32,
    failed: u32,
    cancelled: u32,
    stalled: u32,
    turns: u64,
    attempts: u32,
    effects: u64,
    replays: u32,
    questions: u32,
    cancels: u32,
}

impl Seen {
    fn add(&mut self, played: &Played) {
        match played.status {
            Status::Completed => self.completed += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Stalled => self.stalled += 1,
            _ => self.failed += 1,
        }
        self.turns += played.turns;
        self.attempts += played.attempts;
        self.effects += played.effects;
        self.replays += played.replays;
        self.questions += played.questions;
        self.cancels += u32::from(played.cancelled);
    }
}

impl Pair {
    fn of(package: &str, native: fn() -> Box<dyn Guest>) -> Self {
        let bytes = std::fs::read(artifacts::module(package).unwrap()).unwrap();
        let host = Host::new(HostConfig { max_instances: 16, ..HostConfig::default() }).unwrap();
        let module = host.load(&bytes).unwrap();
        assert_eq!(module.manifest_bytes(), &native().configure(), "the manifests of {package}");
        Self { module, native }
    }

    /// Runs a component to its end in both forms.
    fn play(&self, kind: ComponentKind, name: &str, input: &Value, seed: u64) -> Played {
        let mut play = Play {
            pair: self,
            component: ComponentRef { kind, name: name.to_owned() },
            input: Json::of(input).unwrap(),
            dice: Dice(seed),
            seed,
            turn: 0,
            now: 1_700_000_000_000,
            memo: Carried::default(),
            cancel: None,
            played: Played {
                status: Status::Running,
                turns: 0,
                attempts: 0,
                effects: 0,
                replays: 0,
                questions: 0,
                cancelled: false,
            },
        };
        // One run in eight is cancelled, some turns after its start.
        play.cancel = (play.dice.below(8) == 0).then(|| 1 + play.dice.below(6));
        play.run();
        play.played
    }
}

/// What one attempt leaves to the next.
#[derive(Default)]
struct Carried {
    steps: BTreeMap<StepKey, StepResult>,
    timers: BTreeMap<EffectKey, u64>,
    answers: BTreeMap<EffectKey, Json>,
}

/// A run on its way.
struct Play<'a> {
    pair: &'a Pair,
    component: ComponentRef,
    input: Json,
    dice: Dice,
    seed: u64,
    turn: u64,
    now: u64,
    memo: Carried,
    /// After how many turns the run is cancelled.
    cancel: Option<u64>,
    played: Played,
}

/// An open effect of an attempt.
struct Open {
    path: Path,
    key: EffectKey,
    op: Op,
    due: Option<u64>,
}

/// Both guests of one attempt, and the frames that they were driven with.
struct Both {
    module: Instance,
    native: Box<dyn Guest>,
    history: Vec<(Bytes, u64, Bytes)>,
}

impl Play<'_> {
    fn run(&mut self) {
        for attempt in 1..=MAX_ATTEMPTS {
            self.played.attempts += 1;
            let out = self.attempt(attempt);
            self.played.status = out.status;
            let again = out.status == Status::Failed && out.error.as_ref().is_some_and(|error| error.retryable);
            if !again || self.played.cancelled {
                return;
            }
        }
    }

    fn attempt(&mut self, attempt: u32) -> OutFrame {
        let mut both = self.guests();
        let mut open: Vec<Open> = Vec::new();
        let mut frame = InFrame::new(self.turn + 1, self.now);
        frame.start = Some(self.start(attempt));
        loop {
            assert!(self.turn < MAX_TURNS, "seed {}: it does not end", self.seed);
            let out = self.drive(&mut both, &frame);
            open.retain(|open| !out.cancels.contains(&open.path));
            for (key, result) in &out.steps {
                if !result.as_ref().is_err_and(|error| error.retryable) {
                    self.memo.steps.insert(key.clone(), result.clone());
                }
            }
            for effect in &out.effects {
                self.played.effects += 1;
                let due = self.due(&effect.key, &effect.op);
                if let Op::Ask(_) = &effect.op {
                    self.played.questions += 1;
                    let asked_before = self.memo.answers.contains_key(&effect.key);
                    assert!(!asked_before, "seed {}: {} was answered, and is asked again", self.seed, effect.key);
                }
                open.push(Open { path: effect.path.clone(), key: effect.key.clone(), op: effect.op.clone(), due });
            }
            if out.status != Status::Running {
                return out;
            }
            assert!(!open.is_empty(), "seed {}: it waits for nothing", self.seed);
            frame = self.next_frame(&mut open);
            if self.dice.below(10) == 0 {
                self.replay(&mut both);
            }
        }
    }

    fn guests(&self) -> Both {
        let module = self.pair.module.instantiate(NONCE, self.now).unwrap();
        Both { module, native: (self.pair.native)(), history: Vec::new() }
    }

    /// Drives both guests and compares what they answer.
    fn drive(&mut self, both: &mut Both, frame: &InFrame) -> OutFrame {
        self.turn = frame.turn;
        self.played.turns += 1;
        let bytes = frame.encode();
        let one = both.module.drive(&bytes, frame.now_ms).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        let other = both.native.drive(&bytes);
        assert_eq!(
            String::from_utf8_lossy(&one),
            String::from_utf8_lossy(&other),
            "seed {}, turn {}, after {}",
            self.seed,
            frame.turn,
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(both.module.take_log(), Vec::<String>::new(), "seed {}: it printed", self.seed);
        both.history.push((bytes, frame.now_ms, one.clone()));
        OutFrame::decode(&one).unwrap()
    }

    /// Throws both guests away and drives fresh ones with the same frames.
    fn replay(&mut self, both: &mut Both) {
        self.played.replays += 1;
        let history = std::mem::take(&mut both.history);
        *both = self.guests();
        for (frame, now, out) in &history {
            assert_eq!(both.module.drive(frame, *now).unwrap(), *out, "seed {}: the module's replay", self.seed);
            assert_eq!(both.native.drive(frame), *out, "seed {}: the native replay", self.seed);
        }
        both.history = history;
    }

    /// Delivers the outcomes of some open effects, in any order, and lets time pass.
    fn next_frame(&mut self, open: &mut Vec<Open>) -> InFrame {
        self.now += self.dice.below(4);
        let many = 1 + self.dice.below(open.len() as u64).min(self.dice.below(4));
        let mut deliver = Vec::new();
        for _ in 0..many {
            let index = usize::try_from(self.dice.below(open.len() as u64)).unwrap();
            let open = open.swap_remove(index);
            self.now = self.now.max(open.due.unwrap_or(0));
            let outcome = self.outcome(&open.op);
            if let (Op::Ask(_), Outcome::Ok(answer)) = (&open.op, &outcome) {
                self.memo.answers.insert(open.key.clone(), answer.clone());
            }
            deliver.push((open.path.clone(), outcome));
        }
        let mut frame = InFrame::new(self.turn + 1, self.now);
        frame.deliver = deliver;
        if self.cancel.is_some_and(|after| self.turn >= after) {
            self.cancel = None;
            self.played.cancelled = true;
            frame.cancel = Some(if self.dice.below(4) == 0 { CancelMode::Now } else { CancelMode::Grace });
        }
        frame
    }

    fn due(&mut self, key: &EffectKey, op: &Op) -> Option<u64> {
        let Op::Sleep { ms, until_ms } = op else { return None };
        let due = until_ms.unwrap_or(self.now + ms);
        Some(*self.memo.timers.entry(key.clone()).or_insert(due))
    }

    /// What becomes of an effect, by chance.
    fn outcome(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Http(request) => self.exchange(&request.url),
            Op::MemoryLoad { name } if self.dice.below(2) == 0 => Outcome::Ok(Json::of(name).unwrap()),
            Op::MemoryList { prefix } => Outcome::Ok(Json::of(&[prefix, "b"]).unwrap()),
            Op::Ask(question) => Outcome::Ok(self.answer(question)),
            _ => Outcome::Ok(Json::null()),
        }
    }

    /// An answer, as the runs API or A2A gives it; one in three does not fit.
    fn answer(&mut self, question: &Question) -> Json {
        let words = match (self.dice.below(3), question.input_type) {
            (0, _) => json!([{ "unfit": self.dice.below(9) }]),
            (_, InputType::Approval) => json!(self.dice.below(2) == 0),
            (_, InputType::Select) => json!(programs::OPTIONS[0].0),
            (_, InputType::Multiselect) => json!([programs::OPTIONS[1].0]),
            _ => json!("größe \u{1f30d}"),
        };
        let part = if let Some(text) = words.as_str() { json!({ "text": text }) } else { json!({ "data": words }) };
        let message = json!({ "messageId": "m", "role": "ROLE_USER", "parts": [part] });
        let outcome = if self.dice.below(2) == 0 { json!({ "answer": words }) } else { json!({ "message": message }) };
        Json::of(&outcome).unwrap()
    }

    fn exchange(&mut self, url: &str) -> Outcome {
        let broken = "the connection broke";
        let status = match self.dice.below(20) {
            0 => return Outcome::Err(ErrorInfo::retryable(bivouac_protocol::Code::CONNECTION_FAILED, broken)),
            1 => return Outcome::Err(ErrorInfo::terminal(bivouac_protocol::Code::HOST_NOT_GRANTED, "not granted")),
            2 => 409,
            3 => 503,
            _ => 200,
        };
        let body = match self.dice.below(3) {
            0 => Body::Json(Json::of(&json!({ "reference": url, "big": u64::MAX })).unwrap()),
            1 => Body::Text(format!("{{\"reference\":\"{url}\"}}")),
            _ => Body::Bytes(Bytes::from(format!("{{\"reference\":\"{url}\",\"n\":{}}}", self.dice.below(9)))),
        };
        Outcome::Http(HttpResponse { status, headers: vec![("x-shop".to_owned(), url.to_owned())], body })
    }

    fn start(&self, attempt: u32) -> Start {
        Start {
            run_id: RunId::new(1_700_000_000_000, 0, self.seed),
            generation: 0,
            component: self.component.clone(),
            attempt,
            input: self.input.clone(),
            metadata: BTreeMap::from([("session_id".to_owned(), "s".to_owned())]),
            auth: Auth { app: "app".to_owned(), user: "user".to_owned(), tenant: String::new() },
            memo: Memo {
                steps: self.memo.steps.iter().map(|(key, result)| (key.clone(), result.clone())).collect(),
                timers: self.memo.timers.iter().map(|(key, due)| (key.clone(), *due)).collect(),
                answers: self.memo.answers.iter().map(|(key, answer)| (key.clone(), answer.clone())).collect(),
            },
            patches: vec!["patched-program".to_owned()],
            limits: Limits::default(),
            // 32 bytes of zeros.
            seed: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        }
    }
}

/// SplitMix64: chance that is the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
