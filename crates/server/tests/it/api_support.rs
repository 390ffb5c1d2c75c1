//! What the tests of the API share: a server on a port of its own, a client, and components that do as they are told.

use bivouac_protocol::{
    ABI_VERSION, Code, ErrorInfo, Guest, Json,
    frame::{Effect, HttpRequest, InFrame, LogLevel, Note, Op, OutFrame, Outcome, Question, Status, op_names},
    manifest::{Agent, Capabilities, Component, ComponentKind, FlowControl, Manifest, Retries, Skill},
};
use bivouac_server::{Config, Native, Server};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use tempfile::TempDir;

/// A server with a client that has its admin key.
pub(crate) struct Api {
    pub(crate) server: Server,
    pub(crate) key: String,
    pub(crate) base: String,
    client: reqwest::Client,
    config: Config,
    data: TempDir,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Api {
    /// A server that offers what [`Script`] does.
    pub(crate) async fn start() -> Self {
        Self::with(Config::default(), vec![script()]).await
    }

    /// A server with this configuration and code, in a directory of its own.
    pub(crate) async fn with(config: Config, natives: Vec<Native>) -> Self {
        logs();
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data: data.path().join("data"),
            max_slices: 16,
            executors: 1,
            ..config
        };
        let server = Server::start(config.clone(), natives).await.unwrap();
        let key = server.admin_key().unwrap_or("").to_owned();
        let base = format!("http://{}", server.address());
        Self { server, key, base, client: reqwest::Client::new(), config, data }
    }

    /// The same data under a new server.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(vec![script()]).await
    }

    /// The same data under a new server with this code.
    pub(crate) async fn restart_with(self, natives: Vec<Native>) -> Self {
        let Self { server, key, client, config, data, .. } = self;
        server.shutdown().await.unwrap();
        let server = Server::start(config.clone(), natives).await.unwrap();
        assert_eq!(server.admin_key(), None, "an admin key is made once");
        let base = format!("http://{}", server.address());
        Self { server, key, base, client, config, data }
    }

    /// A request with the admin key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.key.is_empty() { request } else { request.header("x-api-key", &self.key) }
    }

    /// A request with another key, or none.
    pub(crate) fn request_as(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if key.is_empty() { request } else { request.header("x-api-key", key) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request(Method::POST, path).body(body)).await
    }

    /// Makes a key; gives its text.
    pub(crate) async fn new_key(&self, scopes: &[&str], environment: &str) -> String {
        let body = serde_json::json!({"name": "test", "scopes": scopes, "environment": environment, "user": "tester"});
        let made = self.post("/api/keys", body.to_string()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        made.json["key"].as_str().unwrap().to_owned()
    }

    /// Uploads a module.
    pub(crate) async fn deploy(&self, query: &str, module: Vec<u8>) -> Answer {
        self.post(&format!("/api/deployments?{query}"), module).await
    }

    /// Starts a run and gives its id.
    pub(crate) async fn submit(&self, component: &str, body: &str) -> String {
        let answer = self.post(&format!("/v1/{component}/submit"), body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        answer.json["run_id"].as_str().unwrap().to_owned()
    }

    /// Follows a run until it tells of an event of this type.
    pub(crate) async fn until(&self, run: &str, event_type: &str) {
        let mut response = self.request(Method::GET, &format!("/v1/runs/{run}/stream")).send().await.unwrap();
        let mut text = String::new();
        while !text.contains(&format!("event: {event_type}\n")) {
            let piece = response.chunk().await.unwrap().unwrap_or_else(|| panic!("no {event_type} in {text}"));
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await.unwrap();
        drop(self.data);
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, json }
}

impl Answer {
    /// Asserts an error: its status, its code, and what its text tells.
    pub(crate) fn is_error(&self, status: u16, code: Code, says: &[&str]) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.json["error_code"], code.as_str(), "{}", self.text);
        let message = self.json["error"].as_str().expect("the error is a text");
        for part in says {
            assert!(message.contains(part), "`{message}` does not say `{part}`");
        }
    }
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// Reads the text of a stream; an event that is cut off is none.
pub(crate) fn parse_stream(text: &str) -> Vec<Sent> {
    let mut events = Vec::new();
    for block in text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n")) {
        let lines: Vec<_> = block.trim_end().lines().collect();
        if lines[0].starts_with(':') {
            continue;
        }
        let [id, event, data] = lines[..] else { panic!("an event has three lines: {block}") };
        events.push(Sent {
            id: id.strip_prefix("id: ").unwrap().to_owned(),
            event: event.strip_prefix("event: ").unwrap().to_owned(),
            data: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
        });
    }
    events
}

/// Everything that was logged in this process, at every level.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn logs() -> &'static Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    LOGS.get_or_init(|| {
        let logs = Logs::default();
        let writer = logs.clone();
        let filter = tracing_subscriber::EnvFilter::new("warn,bivouac_server=trace");
        let made =
            tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(move || writer.clone());
        // Another test module may have set one; then nothing is captured, and the assertion on what must be there fails.
        let _set_before = made.try_init();
        logs
    })
}

/// The service of the scripted components.
pub(crate) const SERVICE: &str = "script";
/// An integer that a parser that thinks in floats would change.
pub(crate) const BIG: &str = "9007199254740993";

/// The scripted components as native code.
pub(crate) fn script() -> Native {
    Native {
        service: SERVICE.to_owned(),
        version: "1".to_owned(),
        factory: Arc::new(|| Box::<Script>::default()),
        grants: Capabilities::default(),
        memory: None,
    }
}

/// Components that do as they are told: `echo` gives its input back, `luckless` fails, `panics` panics, `calls` asks a
/// host that is not granted, `talk` tells and waits in turn, `waits` waits for an hour, `asks` asks what its input
/// lists, all at once, and gives what it was answered; with `"fails":true` its first attempt fails with the answers.
#[derive(Default)]
struct Script {
    component: String,
    input: Json,
    turns: u32,
    attempt: u32,
    /// What was answered, by path: in this attempt, or before it.
    answers: BTreeMap<String, Json>,
    open: usize,
}

impl Guest for Script {
    fn configure(&self) -> Bytes {
        let mut offered = manifest(&[
            ("function", "echo"),
            ("function", "luckless"),
            ("function", "panics"),
            ("function", "calls"),
            ("workflow", "talk"),
            ("workflow", "waits"),
            ("workflow", "resume"),
            ("workflow", "asks"),
        ]);
        let retries = Retries { max_attempts: 2, initial_interval_ms: 1, ..Retries::default() };
        offered.components.last_mut().unwrap().flow_control.retries = Some(retries);
        serde_json::to_vec(&offered).unwrap().into()
    }

    fn drive(&mut self, frame: &[u8]) -> Bytes {
        let frame = InFrame::decode(frame).unwrap();
        if let Some(start) = &frame.start {
            (self.component, self.input) = (start.component.name.clone(), start.input.clone());
            self.attempt = start.attempt;
            let memo = start.memo.answers.iter();
            self.answers.extend(
                memo.map(|(key, answer)| (key.as_str().rsplit('#').next().unwrap().to_owned(), answer.clone())),
            );
        }
        self.turns += 1;
        match self.component.as_str() {
            "echo" | "resume" => completed(self.input.clone()),
            "asks" => self.asks(&frame),
            "luckless" => failed(ErrorInfo::terminal(Code::new("NO_LUCK"), "not today: try a horseshoe")),
            "panics" => panic!("as told"),
            "calls" => calls(&frame),
            "talk" => talk(self.turns),
            "waits" if frame.cancel.is_some() => OutFrame::new(Status::Cancelled),
            "waits" => OutFrame { effects: vec![sleep("1", 3_600_000)], ..OutFrame::new(Status::Running) },
            other => panic!("no script for {other}"),
        }
        .encode()
    }
}

impl Script {
    fn asks(&mut self, frame: &InFrame) -> OutFrame {
        if frame.cancel.is_some() {
            return OutFrame::new(Status::Cancelled);
        }
        let wanted: Asks = self.input.parse().unwrap();
        let mut effects = Vec::new();
        if frame.start.is_some() {
            for (path, question) in (1..).zip(wanted.questions) {
                if !self.answers.contains_key(&path.to_string()) {
                    effects.push(effect(&path.to_string(), Op::Ask(question)));
                }
            }
            self.open = effects.len();
        }
        for (path, outcome) in &frame.deliver {
            let Outcome::Ok(answer) = outcome else { panic!("an answer is no error") };
            self.answers.insert(path.to_string(), answer.clone());
            self.open -= 1;
        }
        match self.open {
            0 if wanted.fails && self.attempt == 1 => failed(ErrorInfo::retryable(Code::new("NO_LUCK"), "once more")),
            0 => completed(Json::of(&json!({ "attempt": self.attempt, "answers": self.answers })).unwrap()),
            _ => OutFrame { effects, ..OutFrame::new(Status::Running) },
        }
    }
}

/// The input of `asks`.
#[derive(Deserialize)]
struct Asks {
    questions: Vec<Question>,
    #[serde(default)]
    fails: bool,
}

fn completed(output: Json) -> OutFrame {
    OutFrame { output: Some(output), ..OutFrame::new(Status::Completed) }
}

fn failed(error: ErrorInfo) -> OutFrame {
    OutFrame { error: Some(error), ..OutFrame::new(Status::Failed) }
}

/// Two rounds of telling and waiting, then an output.
fn talk(turn: u32) -> OutFrame {
    let emit = |name: &str, data: &str| Note::Emit { name: name.to_owned(), data: Json::parse_text(data).unwrap() };
    match turn {
        1 => OutFrame {
            steps: vec![("greet".into(), Ok(Json::parse_text(format!("{{\"n\": {BIG}}}")).unwrap()))],
            notes: vec![
                emit("output.delta", "{\n  \"content\": \"hel\"\n}"),
                emit("run.completed", "{\"forged\":true}"),
                emit("two\nlines", "1"),
                Note::Log { level: LogLevel::Info, message: "a line for the log".to_owned() },
            ],
            effects: vec![sleep("1", 1)],
            ..OutFrame::new(Status::Running)
        },
        2 => OutFrame {
            steps: vec![("charge".into(), Err(ErrorInfo::terminal(Code::new("DECLINED"), "the card was declined")))],
            notes: vec![emit("output.delta", "{\"content\":\"lo\"}")],
            effects: vec![sleep("2", 1)],
            ..OutFrame::new(Status::Running)
        },
        _ => completed(Json::parse_text(format!("[{BIG}]")).unwrap()),
    }
}

/// Asks a host that is not granted, and fails with what came of it.
fn calls(frame: &InFrame) -> OutFrame {
    match frame.deliver.first() {
        Some((_, Outcome::Err(error))) => failed(error.clone()),
        Some(_) => completed(Json::null()),
        None => {
            let request = HttpRequest {
                method: "GET".to_owned(),
                url: "http://not-granted.example/".to_owned(),
                headers: Vec::new(),
                body: None,
                timeout_ms: None,
            };
            OutFrame { effects: vec![effect("1", Op::Http(request))], ..OutFrame::new(Status::Running) }
        }
    }
}

fn sleep(path: &str, ms: u64) -> Effect {
    effect(path, Op::Sleep { ms, until_ms: None })
}

fn effect(path: &str, op: Op) -> Effect {
    Effect { path: path.into(), key: format!("0/{}#{path}", op.digest().text()).into(), op }
}

/// A manifest that offers these components.
pub(crate) fn manifest(components: &[(&str, &str)]) -> Manifest {
    let component = |(kind, name): &(&str, &str)| Component {
        kind: ComponentKind::parse(kind).unwrap(),
        name: (*name).to_owned(),
        description: None,
        input_schema: None,
        output_schema: None,
        flow_control: FlowControl::default(),
        agent: (*kind == "agent").then(|| Agent {
            title: (*name).to_owned(),
            version: "1".to_owned(),
            skills: vec![Skill { id: "x".to_owned(), name: "x".to_owned(), ..Skill::default() }],
            ..Agent::default()
        }),
    };
    Manifest {
        abi: ABI_VERSION,
        sdk: "by-hand/1".to_owned(),
        components: components.iter().map(component).collect(),
        ops: vec![op_names::SLEEP.to_owned(), op_names::HTTP.to_owned()],
        capabilities: Capabilities::default(),
        patches: Vec::new(),
    }
}

/// A module with this manifest whose components answer everything with `output`.
pub(crate) fn module(manifest: &Manifest, output: &str) -> Vec<u8> {
    module_of(&serde_json::to_vec(manifest).unwrap(), output)
}

/// The same with a manifest that may be anything.
pub(crate) fn module_of(manifest: &[u8], output: &str) -> Vec<u8> {
    const MANIFEST_AT: usize = 1_024;
    const FRAME_AT: usize = 16_384;
    let frame = completed(Json::parse_text(output).unwrap()).encode();
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let packed = |at: usize, bytes: &[u8]| (at << 32) | bytes.len();
    wat::parse_str(format!(
        "(module (memory (export \"memory\") 2) (global $stack_pointer (mut i32) (i32.const 1024))
           (data (i32.const {MANIFEST_AT}) \"{}\") (data (i32.const {FRAME_AT}) \"{}\")
           (func (export \"_initialize\"))
           (func (export \"bivouac_abi\") (result i32) (i32.const 1))
           (func (export \"bivouac_alloc\") (param i32) (result i32) (i32.const 65536))
           (func (export \"bivouac_free\") (param i32 i32))
           (func (export \"bivouac_configure\") (result i64) (i64.const {}))
           (func (export \"bivouac_drive\") (param i32 i32) (result i64) (i64.const {})))",
        escaped(manifest),
        escaped(&frame),
        packed(MANIFEST_AT, manifest),
        packed(FRAME_AT, &frame),
    ))
    .unwrap()
}
