//! What the tests of the gateway share: an agent that does as its message says, and a client that speaks both bindings.

use super::api_support::Api;
use bivouac_protocol::{
    ABI_VERSION, Code, ErrorInfo, Guest, Json,
    frame::{AnswerOption, Effect, InFrame, InputType, Note, Op, OutFrame, Outcome, Question, Status, op_names},
    manifest::{Agent, Capabilities, Component, ComponentKind, FlowControl, Manifest, Retries, Skill},
};
use bivouac_server::{Config, Native};
use bytes::Bytes;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// The two ways to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    JsonRpc,
    Rest,
}

pub(crate) const BOTH: [Via; 2] = [Via::JsonRpc, Via::Rest];

/// Agents that do as their message says.
pub(crate) fn agents() -> Native {
    Native {
        service: "agents".to_owned(),
        version: "1".to_owned(),
        factory: Arc::new(|| Box::<Obedient>::default()),
        grants: Capabilities::default(),
        memory: None,
    }
}

/// A server with the agents `guide`, `plain` and `boast`.
pub(crate) async fn start() -> Api {
    with(Config::default()).await
}

pub(crate) async fn with(config: Config) -> Api {
    Api::with(config, vec![agents()]).await
}

/// An agent whose message says what to do, one word per thing:
/// `echo` says it back with an artifact; `ask` asks one question, `twice` two after another, `both` two at once, `choose`
/// one of another kind; `tell` sends progress and an artifact in pieces over several turns; `nap` sleeps, and ends when it
/// is cancelled; `reject`, `fail` and `odd` end so; `flaky` fails once after its question is answered.
#[derive(Default)]
struct Obedient {
    text: String,
    attempt: u32,
    turns: u32,
    answers: Vec<String>,
}

impl Guest for Obedient {
    fn configure(&self) -> Bytes {
        let skill = |id: &str, extended| Skill {
            id: id.to_owned(),
            name: id.to_owned(),
            description: format!("Does {id}."),
            tags: vec!["test".to_owned()],
            extended,
            ..Skill::default()
        };
        let agent = |name: &str, skills: Vec<Skill>, extended| Component {
            kind: ComponentKind::Agent,
            name: name.to_owned(),
            description: Some(format!("The agent {name}.")),
            input_schema: None,
            output_schema: None,
            flow_control: FlowControl {
                retries: Some(Retries { max_attempts: 2, initial_interval_ms: 1, ..Retries::default() }),
            },
            agent: Some(Agent {
                title: format!("The {name}"),
                version: "1.2.3".to_owned(),
                skills,
                extended,
                ..Agent::default()
            }),
        };
        let manifest = Manifest {
            abi: ABI_VERSION,
            sdk: "by-hand/1".to_owned(),
            components: vec![
                agent("guide", vec![skill("show", false), skill("secret", true)], true),
                agent("plain", vec![skill("show", false)], false),
                agent("boast", vec![skill("show", false)], true),
            ],
            ops: vec![op_names::SLEEP.to_owned(), op_names::ASK.to_owned()],
            capabilities: Capabilities::default(),
            patches: Vec::new(),
        };
        serde_json::to_vec(&manifest).unwrap().into()
    }

    fn drive(&mut self, frame: &[u8]) -> Bytes {
        let frame = InFrame::decode(frame).unwrap();
        if let Some(start) = &frame.start {
            self.text = text_of(&start.input);
            self.attempt = start.attempt;
            self.answers = start.memo.answers.iter().map(|(_, outcome)| answer_of(outcome)).collect();
        }
        self.turns += 1;
        for (_, outcome) in &frame.deliver {
            if let Outcome::Ok(value) = outcome {
                self.answers.push(answer_of(value));
            }
        }
        if frame.cancel.is_some() {
            return OutFrame::new(Status::Cancelled).encode();
        }
        self.turn().encode()
    }
}

impl Obedient {
    fn turn(&self) -> OutFrame {
        let (word, rest) = self.text.split_once(' ').unwrap_or((&self.text, ""));
        let answers = &self.answers[..];
        match (word, self.turns) {
            ("echo", _) => done(rest, vec![artifact("echo", &[rest])]),
            ("ask", 1) => {
                OutFrame { notes: vec![progress("looking")], ..asks(vec![question("1", "where", "Where to?")]) }
            }
            ("ask", _) => done(&format!("to {}", answers[0]), vec![artifact("ticket", &[&answers[0]])]),
            ("twice", 1) => asks(vec![question("1", "where", "Where to?")]),
            ("twice", 2) => asks(vec![question("2", "when", "When?")]),
            ("twice", _) => done(&answers.join(" "), Vec::new()),
            ("both", 1) => asks(vec![question("1", "left", "Left?"), question("2", "right", "Right?")]),
            ("both", _) if answers.len() < 2 => OutFrame::new(Status::Running),
            ("both", _) => done(&answers.join(" "), Vec::new()),
            ("choose", 1) => {
                let option = |id: &str| AnswerOption { id: id.to_owned(), label: id.to_uppercase() };
                let mut question = Question::new("Which one?");
                (question.input_type, question.options) = (InputType::Select, vec![option("a"), option("b")]);
                asks(vec![effect("1", Op::Ask(question))])
            }
            ("choose", _) => done(&answers[0], Vec::new()),
            ("tell", 1) => {
                OutFrame { notes: vec![progress("one \u{2028} two"), chunk("log", "a", false, false)], ..naps("1", 20) }
            }
            ("tell", 2) => OutFrame { notes: vec![chunk("log", "b", true, false), progress("three")], ..naps("2", 20) },
            ("tell", 3) => OutFrame { notes: vec![chunk("log", "c", true, true)], ..naps("3", 20) },
            ("tell", _) => done("told", Vec::new()),
            ("nap", 1) => naps("1", rest.parse().unwrap_or(3_600_000)),
            ("nap", _) => done("awake", Vec::new()),
            ("reject", _) => ended(ErrorInfo::terminal(Code::REJECTED, "not my business")),
            ("flaky", 1) if answers.is_empty() => asks(vec![question("1", "where", "Where to?")]),
            ("flaky", _) if self.attempt == 1 => ended(ErrorInfo::retryable(Code::HANDLER_FAILED, "stumbled")),
            ("flaky", _) => done(&format!("{} in attempt {}", answers[0], self.attempt), Vec::new()),
            ("fail", _) => ended(ErrorInfo::terminal(Code::new("NO_LUCK"), "out of luck")),
            ("odd", _) => {
                let output = Json::parse_text(r#"{"n":9007199254740993}"#).unwrap();
                OutFrame { output: Some(output), ..OutFrame::new(Status::Completed) }
            }
            _ => done("?", Vec::new()),
        }
    }
}

fn text_of(input: &Json) -> String {
    let value: Value = input.parse().unwrap();
    match &value {
        Value::String(text) => text.clone(),
        message => message["parts"][0]["text"].as_str().unwrap_or_default().to_owned(),
    }
}

fn answer_of(outcome: &Json) -> String {
    let value: Value = outcome.parse().unwrap();
    match value.get("message") {
        Some(message) => message["parts"][0]["text"].as_str().unwrap_or_default().to_owned(),
        None => value["answer"].as_str().unwrap_or_default().to_owned(),
    }
}

fn json_of(value: &Value) -> Json {
    Json::of(value).unwrap()
}

fn artifact(id: &str, texts: &[&str]) -> Value {
    let parts: Vec<_> = texts.iter().map(|text| json!({"text": text})).collect();
    json!({"artifactId": id, "parts": parts})
}

fn done(text: &str, artifacts: Vec<Value>) -> OutFrame {
    let output = json!({"message": {"parts": [{"text": text}]}, "artifacts": artifacts});
    OutFrame { output: Some(json_of(&output)), ..OutFrame::new(Status::Completed) }
}

fn ended(error: ErrorInfo) -> OutFrame {
    OutFrame { error: Some(error), ..OutFrame::new(Status::Failed) }
}

fn progress(text: &str) -> Note {
    Note::Progress { content: json_of(&json!({"parts": [{"text": text}]})) }
}

fn chunk(id: &str, text: &str, append: bool, last_chunk: bool) -> Note {
    Note::Artifact { artifact: json_of(&artifact(id, &[text])), append, last_chunk }
}

fn effect(path: &str, op: Op) -> Effect {
    Effect { path: path.into(), key: format!("0/{}#{path}", op.digest().text()).into(), op }
}

fn question(path: &str, name: &str, text: &str) -> Effect {
    effect(path, Op::Ask(Question { name: Some(name.to_owned()), ..Question::new(text) }))
}

fn asks(effects: Vec<Effect>) -> OutFrame {
    OutFrame { effects, ..OutFrame::new(Status::Running) }
}

fn naps(path: &str, ms: u64) -> OutFrame {
    asks(vec![effect(path, Op::Sleep { ms, until_ms: None })])
}

/// Who speaks to which agent, and how.
#[derive(Clone)]
pub(crate) struct Client<'a> {
    pub(crate) api: &'a Api,
    pub(crate) via: Via,
    pub(crate) key: String,
    /// `/agents/guide`, without a slash at its end.
    pub(crate) base: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// What a call came to: its result, or the reason and the message of its error.
pub(crate) type Called = Result<Value, Refused>;

/// An error, in whichever form it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) http: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The code of JSON-RPC, or the one in the body of HTTP+JSON.
    pub(crate) code: i64,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl<'a> Client<'a> {
    pub(crate) fn new(api: &'a Api, via: Via, agent: &str) -> Self {
        let headers = vec![("a2a-version".to_owned(), "1.0".to_owned())];
        Self { api, via, key: api.key.clone(), base: format!("/agents/{agent}"), headers }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn keyed(mut self, key: &str) -> Self {
        self.key = key.to_owned();
        self
    }

    /// Makes a key of a user, and speaks with it.
    pub(crate) async fn for_user(self, user: &str, scopes: &[&str], environment: &str) -> Self {
        let body = json!({"name": user, "scopes": scopes, "environment": environment, "user": user});
        let made = self.api.post("/api/keys", body.to_string()).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text);
        self.keyed(made.json["key"].as_str().unwrap())
    }

    /// Sends an operation as it is.
    pub(crate) async fn raw(&self, operation: &str, params: &Value) -> Response {
        let (method, path, body) = match self.via {
            Via::JsonRpc => {
                let body = json!({"jsonrpc": "2.0", "id": 7, "method": operation, "params": params});
                (Method::POST, "/a2a/jsonrpc".to_owned(), Some(body))
            }
            Via::Rest => rest(operation, params),
        };
        let path = format!("{}{path}", self.base);
        let mut request = self.api.request_as(&self.key, method, &path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn call(&self, operation: &str, params: Value) -> Called {
        let response = self.raw(operation, &params).await;
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        match self.via {
            Via::JsonRpc => {
                assert_eq!(value["jsonrpc"], "2.0", "{text}");
                match value.get("error") {
                    None => {
                        assert_eq!((&value["id"], status), (&json!(7), 200), "{text}");
                        Ok(value["result"].clone())
                    }
                    Some(error) => Err(refused(status, error, &error["data"])),
                }
            }
            Via::Rest if status == 200 => Ok(value),
            Via::Rest => {
                let error = &value["error"];
                assert_eq!(error["code"], status, "{text}");
                Err(refused(status, error, &error["details"]))
            }
        }
    }

    /// Opens a stream; an error instead of one is given as that.
    pub(crate) async fn open(&self, operation: &str, params: Value) -> Result<Stream, Refused> {
        let response = self.raw(operation, &params).await;
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        if media_type != "text/event-stream" {
            let status = response.status().as_u16();
            let value: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            let error = &value["error"];
            let details = if self.via == Via::JsonRpc { &error["data"] } else { &error["details"] };
            return Err(refused(status, error, details));
        }
        Ok(Stream { response, via: self.via, text: String::new(), over: false })
    }

    /// Every event of a stream, to its end.
    pub(crate) async fn stream(&self, operation: &str, params: Value) -> Vec<Event> {
        self.open(operation, params).await.unwrap_or_else(|error| panic!("{error:?}")).rest().await
    }

    /// Sends a text that begins a task and gives the task.
    pub(crate) async fn begin(&self, id: &str, text: &str) -> Value {
        let sent = self.call("SendMessage", json!({"message": message(id, text)})).await;
        sent.unwrap_or_else(|error| panic!("{error:?}"))["task"].clone()
    }

    /// Sends a text to a task.
    pub(crate) async fn answer(&self, task: &Value, id: &str, text: &str) -> Called {
        let mut message = message(id, text);
        message["taskId"] = task["id"].clone();
        self.call("SendMessage", json!({"message": message})).await.map(|sent| sent["task"].clone())
    }
}

fn refused(http: u16, error: &Value, details: &Value) -> Refused {
    let info = &details[0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{error}");
    Refused {
        http,
        reason: info["reason"].as_str().unwrap().to_owned(),
        message: error["message"].as_str().unwrap().to_owned(),
        code: error["code"].as_i64().unwrap(),
    }
}

/// A user's message.
pub(crate) fn message(id: &str, text: &str) -> Value {
    json!({"messageId": id, "role": "ROLE_USER", "parts": [{"text": text}]})
}

fn rest(operation: &str, params: &Value) -> (Method, String, Option<Value>) {
    let id = params["id"].as_str().unwrap_or_default();
    let task = params["taskId"].as_str().unwrap_or_default();
    let configs = format!("/a2a/rest/tasks/{task}/pushNotificationConfigs");
    match operation {
        "SendMessage" => (Method::POST, "/a2a/rest/message:send".to_owned(), Some(params.clone())),
        "SendStreamingMessage" => (Method::POST, "/a2a/rest/message:stream".to_owned(), Some(params.clone())),
        "GetTask" => (Method::GET, format!("/a2a/rest/tasks/{id}{}", query(params, &["id"])), None),
        "ListTasks" => (Method::GET, format!("/a2a/rest/tasks{}", query(params, &[])), None),
        "CancelTask" => (Method::POST, format!("/a2a/rest/tasks/{id}:cancel"), None),
        "SubscribeToTask" => (Method::GET, format!("/a2a/rest/tasks/{id}:subscribe"), None),
        "CreateTaskPushNotificationConfig" => (Method::POST, configs, Some(params.clone())),
        "GetTaskPushNotificationConfig" => (Method::GET, format!("{configs}/{id}"), None),
        "ListTaskPushNotificationConfigs" => (Method::GET, configs, None),
        "DeleteTaskPushNotificationConfig" => (Method::DELETE, format!("{configs}/{id}"), None),
        "GetExtendedAgentCard" => (Method::GET, "/a2a/rest/extendedAgentCard".to_owned(), None),
        other => (Method::POST, format!("/a2a/rest/{other}"), Some(params.clone())),
    }
}

fn query(params: &Value, without: &[&str]) -> String {
    let members = params.as_object().into_iter().flatten().filter(|(name, _)| !without.contains(&name.as_str()));
    let pairs = members.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={}", text.replace('+', "%2B").replace(' ', "%20")),
        other => format!("{name}={other}"),
    });
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A stream that is open.
pub(crate) struct Stream {
    response: Response,
    via: Via,
    text: String,
    over: bool,
}

impl Stream {
    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if block.starts_with(':') {
                    continue;
                }
                return Some(self.event(&block));
            }
            if self.over {
                assert_eq!(self.text, "", "an event that is cut off");
                return None;
            }
            match self.response.chunk().await.unwrap() {
                Some(piece) => self.text.push_str(std::str::from_utf8(&piece).unwrap()),
                None => self.over = true,
            }
        }
    }

    fn event(&self, block: &str) -> Event {
        let lines: Vec<_> = block.split(['\n', '\r', '\u{2028}', '\u{2029}', '\u{85}']).collect();
        let [id, data] = lines[..] else { panic!("an event has two lines: {block}") };
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let data = match self.via {
            Via::JsonRpc => {
                assert_eq!((&data["jsonrpc"], &data["id"]), (&json!("2.0"), &json!(7)), "{data}");
                data["result"].clone()
            }
            Via::Rest => data,
        };
        Event { id: id.strip_prefix("id: ").unwrap().to_owned(), data }
    }

    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// What a conversation looks like in a word each: `task SUBMITTED`, `WORKING`, `INPUT_REQUIRED Where to?`, `artifact log+`.
pub(crate) fn told(events: &[Event]) -> Vec<String> {
    let state = |status: &Value| status["state"].as_str().unwrap().trim_start_matches("TASK_STATE_").to_owned();
    let said = |status: &Value| match status["message"]["parts"][0]["text"].as_str() {
        Some(text) => format!(" {text}"),
        None => String::new(),
    };
    let word = |event: &Event| {
        let data = &event.data;
        if let Some(task) = data.get("task") {
            format!("task {}{}", state(&task["status"]), said(&task["status"]))
        } else if let Some(update) = data.get("statusUpdate") {
            format!("{}{}", state(&update["status"]), said(&update["status"]))
        } else {
            let update = &data["artifactUpdate"];
            let append = if update["append"] == true { "+" } else { "" };
            let last = if update["lastChunk"] == true { "." } else { "" };
            format!("artifact {}{append}{last}", update["artifact"]["artifactId"].as_str().unwrap())
        }
    };
    events.iter().map(word).collect()
}
