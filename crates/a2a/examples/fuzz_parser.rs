//! Throws mutated input at everything that reads what others wrote: requests of both bindings, the types, the fold.
//!
//! `cargo run --release -p bivouac-a2a --example fuzz_parser [INPUTS] [SEED]`; a million inputs unless told otherwise.
//! The same seed gives the same inputs. A panic ends it, with the number of the input. What is accepted is checked to
//! survive being written and read again.

#![allow(missing_docs, unreachable_pub, clippy::print_stdout, reason = "an example prints, and its test imports it")]

use bivouac_a2a::{
    Timestamp,
    http::{Operation, read},
    task::{End, Fact, RunEvent, TaskFold},
    types::{AgentCard, ListTasksResponse, SendMessageRequest, StreamResponse, Task},
};
use bivouac_protocol::{Json, frame::Question};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, time::Instant};

const BASE: &str = "/agents/planner";
/// The longest input, in bytes.
const MAX_INPUT: usize = 4_096;
const INPUTS: u64 = 1_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (inputs, seed) = (arguments.next().unwrap_or(INPUTS), arguments.next().unwrap_or(1));
    let began = Instant::now();
    let seen = run(inputs, seed);
    let seconds = began.elapsed().as_secs_f64();
    println!("{inputs} inputs of seed {seed}, no panic: {seen:?}");
    println!("{:.1} s, {:.0} inputs/s", seconds, f64::from(u32::try_from(inputs).unwrap_or(u32::MAX)) / seconds);
}

/// What became of the inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests that were calls, and that were refused.
    pub calls: u64,
    pub refusals: u64,
    /// Texts that were a value of some type, and that were of none.
    pub values: u64,
    pub rubbish: u64,
    /// Events that folds told.
    pub told: u64,
}

/// Reads so many inputs of a seed.
pub fn run(inputs: u64, seed: u64) -> Seen {
    let corpus = corpus();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut seen = Seen::default();
    for number in 0..inputs {
        let target = usize::try_from(number % 4).expect("a remainder of four is small");
        let text = mutated(&corpus, target, &mut dice);
        match target {
            0 => count(by_rpc(&text), &mut seen),
            1 => count(by_rest(&text, &mut dice), &mut seen),
            2 => types(&text, &mut seen),
            _ => seen.told += fold(&text, &mut dice),
        }
    }
    seen
}

fn count(call: bool, seen: &mut Seen) {
    if call { seen.calls += 1 } else { seen.refusals += 1 }
}

fn by_rpc(text: &[u8]) -> bool {
    let request =
        http::Request::builder().method("POST").uri(format!("{BASE}/a2a/jsonrpc")).header("a2a-version", "1.0");
    answered(request.body(Bytes::copy_from_slice(text)).ok())
}

fn by_rest(text: &[u8], dice: &mut Dice) -> bool {
    let methods = ["GET", "POST", "DELETE", "PUT"];
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    let path: String =
        line.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).take(512).collect();
    let uri = if path.starts_with('/') {
        format!("{BASE}/a2a/rest{path}")
    } else {
        format!("{BASE}/a2a/rest/message:send?{path}")
    };
    let request =
        http::Request::builder().method(methods[dice.below(methods.len())]).uri(uri).header("a2a-version", "1.0");
    let body = parts.next().unwrap_or(text);
    answered(request.body(Bytes::copy_from_slice(body)).ok())
}

fn answered(request: Option<http::Request<Bytes>>) -> bool {
    let Some(request) = request else { return false };
    match read(&request, BASE) {
        Ok(call) => {
            if let Operation::SendMessage(request) = &call.operation {
                let message = request.message.as_ref().expect("a message to send is there");
                assert!(!message.message_id.is_empty() && !message.parts.is_empty());
                survives(&**request);
            }
            true
        }
        Err(refusal) => {
            let body: serde_json::Value = serde_json::from_slice(refusal.body()).expect("a refusal is JSON");
            assert!(body["error"]["message"].is_string());
            false
        }
    }
}

fn types(text: &[u8], seen: &mut Seen) {
    let read = [
        reads::<SendMessageRequest>(text),
        reads::<StreamResponse>(text),
        reads::<Task>(text),
        reads::<AgentCard>(text),
        reads::<ListTasksResponse>(text),
    ];
    if read.contains(&true) {
        seen.values += 1
    } else {
        seen.rubbish += 1
    }
    if let Ok(text) = std::str::from_utf8(text)
        && let Some(moment) = Timestamp::parse(text)
    {
        assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
    }
}

fn reads<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<T>(text) else { return false };
    survives(&value);
    true
}

fn survives<T: DeserializeOwned + Serialize + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("a value is written");
    let again: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again, *value, "{text}");
}

/// Tells a run whose every content is rubbish, or nearly.
fn fold(text: &[u8], dice: &mut Dice) -> u64 {
    let json =
        Json::parse_bytes(text).unwrap_or_else(|_| Json::of(&String::from_utf8_lossy(text)).expect("a text is JSON"));
    let mut fold = TaskFold::new("t", "c");
    let mut told = 0;
    for seq in 1..=4 + dice.below(8) as u64 {
        let fact = match (seq, dice.below(8)) {
            (1, _) => Fact::Accepted { input: json.clone() },
            (_, 0) => Fact::Progress { content: json.clone() },
            (_, 1 | 2) => Fact::Artifact { artifact: json.clone(), append: dice.below(2) == 0, last_chunk: false },
            (_, 3) => Fact::Asked {
                key: "k".to_owned(),
                question: Question { content: Some(json.clone()), ..Question::new("?") },
            },
            (_, 4) => Fact::Answered { key: "k".to_owned(), id: "a".to_owned(), outcome: json.clone() },
            (_, 5) => Fact::AttemptFailed,
            (_, 6) => Fact::Began,
            _ => Fact::Ended(End::Completed { output: json.clone() }),
        };
        let event = RunEvent { seq, at: Timestamp::from_millis(0), fact };
        told += fold.apply(&event).len() as u64;
    }
    let task = Json::of(&fold.task(None, true)).expect("a task is written");
    assert!(task.text().starts_with('{'));
    told
}

/// Numbers that look like chance and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("a remainder of a usize is one")
    }
}

/// What the mutations begin with: for each target the texts that it reads, and those of all others.
struct Corpus {
    own: [Vec<Vec<u8>>; 4],
    all: Vec<Vec<u8>>,
}

fn corpus() -> Corpus {
    let message = r#"{"messageId":"m","contextId":"c","task_id":null,"role":1,"parts":[{"text":"hi"},{"raw":"_-8","mediaType":"image/png","filename":"x"},{"url":"https://x.example"},{"data":{"n":9007199254740993,"l":[1,2.5e3,null,true]},"metadata":{"a":"b"}}],"metadata":{"skill":"s"},"extensions":["e"],"referenceTaskIds":["t"]}"#;
    let send = format!(
        r#"{{"message":{message},"configuration":{{"historyLength":"3","acceptedOutputModes":["text/plain"],"returnImmediately":true}},"metadata":{{}},"unknown":[{{}}]}}"#
    );
    let task = format!(
        r#"{{"id":"t","contextId":"c","status":{{"state":"TASK_STATE_WORKING","message":{message},"timestamp":"2026-11-21T14:00:00.123456789+01:30"}},"artifacts":[{{"artifactId":"a","name":"n","parts":[{{"text":"x"}}]}}],"history":[{message}],"metadata":{{"k":[]}}}}"#
    );
    let types = vec![
        send.clone(),
        task.clone(),
        message.to_owned(),
        format!(r#"{{"task":{task}}}"#),
        r#"{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":3}}}"#.to_owned(),
        r#"{"artifact_update":{"task_id":"t","artifact":{"artifact_id":"a","parts":[{"data":null}]},"append":true,"last_chunk":true}}"#.to_owned(),
        format!(r#"{{"tasks":[{task}],"nextPageToken":"","pageSize":50,"totalSize":"1"}}"#),
        r#"{"name":"n","description":"d","supportedInterfaces":[{"url":"u","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"version":"1","capabilities":{"streaming":true,"extensions":[{"uri":"u","required":true,"params":{}}]},"securitySchemes":{"b":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}},"securityRequirements":[{"schemes":{"b":{"list":["x"]}}}],"defaultInputModes":["text/plain"],"defaultOutputModes":[],"skills":[{"id":"s","name":"s","description":"d","tags":["t"]}],"signatures":[{"protected":"p","signature":"s"}]}"#.to_owned(),
        r#"{"message":{"parts":[{"text":"done"}]},"artifacts":[{"artifactId":"a","parts":[{"text":"x"}]}]}"#.to_owned(),
        "2026-11-21T14:00:00.5Z".to_owned(),
    ];
    let rest = vec![
        "/tasks?contextId=c&status=2&pageSize=5&statusTimestampAfter=2026-11-21T14%3A00%3A00Z&includeArtifacts=true"
            .to_owned(),
        "/tasks/t%201:cancel\n{\"id\":\"t 1\"}".to_owned(),
        "/tasks/t:subscribe".to_owned(),
        "/acme/tasks/t/pushNotificationConfigs/p".to_owned(),
        format!("/message:send\n{send}"),
    ];
    let rpc = [
        ("SendMessage", send.as_str()),
        ("ListTasks", r#"{"pageSize":1e1,"status":"TASK_STATE_FAILED"}"#),
        ("GetTask", r#"{"id":"t"}"#),
        ("CancelTask", r#"{"id":"t","metadata":{}}"#),
    ];
    let rpc =
        rpc.map(|(method, params)| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#));
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    let (rpc, rest, types) = (bytes(rpc.to_vec()), bytes(rest), bytes(types));
    let all = [&rpc[..], &rest, &types].concat();
    Corpus { own: [rpc, rest, types.clone(), types], all }
}

/// A text of the corpus, changed in a few places.
fn mutated(corpus: &Corpus, target: usize, dice: &mut Dice) -> Vec<u8> {
    const TOKENS: &[&str] = &[
        "null",
        "true",
        "{}",
        "[]",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "\\",
        "\\ud800",
        "\\u0000",
        "-1",
        "1e999",
        "99999999999999999999",
        "\"\"",
        "\n",
        "%",
        "%ff",
        "/",
        "?",
        "&",
        "=",
        "\u{2028}",
        "\u{0}",
        "\u{feff}",
        "ROLE_USER",
        "\"data\":",
        "\"raw\":",
        "\"text\":",
        "[[[[[[[[",
        "{\"a\":{\"a\":{\"a\":",
        "TASK_STATE_COMPLETED",
        "2147483648",
        ".5",
        "Z",
        "+99:99",
    ];
    let own = &corpus.own[target];
    let mut text = own[dice.below(own.len())].clone();
    for _ in 0..dice.below(6) {
        let at = dice.below(text.len() + 1);
        match dice.below(7) {
            0 if at < text.len() => text[at] ^= 1 << dice.below(8),
            1 => {
                let to = (at + dice.below(32)).min(text.len());
                text.drain(at..to);
            }
            2 => {
                let token = TOKENS[dice.below(TOKENS.len())].as_bytes();
                text.splice(at..at, token.iter().copied());
            }
            3 => {
                let other = &corpus.all[dice.below(corpus.all.len())];
                let from = dice.below(other.len());
                let to = (from + dice.below(64)).min(other.len());
                text.splice(at..at, other[from..to].iter().copied());
            }
            4 => text.truncate(at),
            5 => {
                let times = dice.below(80);
                text.splice(at..at, "[".repeat(times).into_bytes());
            }
            _ => {
                let to = (at + dice.below(24)).min(text.len());
                let token = TOKENS[dice.below(TOKENS.len())].as_bytes();
                text.splice(at..to, token.iter().copied());
            }
        }
    }
    text.truncate(MAX_INPUT);
    text
}
