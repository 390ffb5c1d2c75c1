//! What the golden frames mean: each value stands for the file of its name.

use bivouac_protocol::{
    Code, EffectKey, ErrorInfo, Json, Path, RunId, StepKey,
    frame::{
        AnswerOption, Auth, Body, CancelMode, Effect, HeaderValue, HttpRequest, HttpResponse, InFrame, InputType,
        Limits, LogLevel, Memo, Note, Op, OutFrame, Outcome, Part, Question, Start, Status, op_names,
    },
    manifest::{
        Agent, Backoff, Capabilities, Component, ComponentKind, ComponentRef, FlowControl, Manifest, Provider, Retries,
        Skill,
    },
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A frame for a guest.
pub(crate) struct In {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) frame: InFrame,
    /// Which op asked, by the path of each outcome.
    pub(crate) answers: Vec<(&'static str, &'static str)>,
}

/// A frame for a host.
pub(crate) struct Out {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) frame: OutFrame,
}

/// A manifest.
pub(crate) struct Offered {
    pub(crate) name: &'static str,
    pub(crate) manifest: Manifest,
}

const NOW: u64 = 1_700_000_000_000;

/// Numbers that a reader which computes with them would change.
pub(crate) const ODD_NUMBERS: &str =
    r#"{"big":9007199254740993,"huge":123456789012345678901234567890,"one":1.0,"exponent":1E+2,"zero":-0,"tail":0.10}"#;

pub(crate) fn json(text: &str) -> Json {
    Json::parse_text(text).expect("JSON of a test")
}

fn texts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn plain_start() -> Start {
    Start {
        run_id: RunId::new(NOW, 0, 0x0123_4567_89ab_cdef),
        generation: 0,
        component: ComponentRef { kind: ComponentKind::Function, name: "hello".into() },
        attempt: 1,
        input: json(r#"{"name":"Ada"}"#),
        metadata: BTreeMap::new(),
        auth: Auth { app: "greetings".into(), user: "key_1".into(), tenant: String::new() },
        memo: Memo::default(),
        patches: Vec::new(),
        limits: Limits::default(),
        seed: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into(),
    }
}

fn retry_start() -> Start {
    let sleep = Op::Sleep { ms: 60_000, until_ms: None };
    Start {
        generation: 2,
        component: ComponentRef { kind: ComponentKind::Workflow, name: "order".into() },
        attempt: 3,
        input: json(ODD_NUMBERS),
        metadata: texts(&[("channel", "web"), ("trace", "4bf92f35")]).into_iter().collect(),
        auth: Auth { app: "shop".into(), user: "u-17".into(), tenant: "north".into() },
        memo: Memo {
            steps: vec![
                (StepKey::from("reserve"), Ok(json(r#"{"reservation":9007199254740993}"#))),
                (StepKey::from("reserve#2"), Ok(Json::null())),
                (
                    StepKey::from("0:1/charge"),
                    Err(ErrorInfo::terminal(Code::new("CARD_DECLINED"), "the card was declined")),
                ),
            ],
            timers: vec![(key(2, "", &sleep), NOW + 60_000)],
            answers: Vec::new(),
        },
        patches: vec!["2026-01-new-tax".into()],
        limits: Limits { step_bytes: 1_024, ..Limits::default() },
        ..plain_start()
    }
}

/// An answer that came as a message.
const ANSWER_MESSAGE: &str = r#"{"message":{"messageId":"m2","role":"ROLE_USER","parts":[{"text":"two nights"},{"data":{"n":9007199254740993}}]}}"#;

fn agent_start() -> Start {
    let (place, nights) = (Op::Ask(Question::new("Where?")), Op::Ask(Question::new("How many nights?")));
    Start {
        component: ComponentRef { kind: ComponentKind::Agent, name: "trip-planner".into() },
        attempt: 2,
        input: json(
            r#"{"messageId":"m1","role":"ROLE_USER","parts":[{"text":"Plan a trip"}],"metadata":{"skill":"plan"}}"#,
        ),
        metadata: texts(&[("session_id", "ctx-1")]).into_iter().collect(),
        memo: Memo {
            answers: vec![
                (key(0, "", &place), json(r#"{"answer":"the lake"}"#)),
                (key(0, "", &nights), json(ANSWER_MESSAGE)),
            ],
            ..Memo::default()
        },
        ..plain_start()
    }
}

fn deliver(turn: u64, outcomes: Vec<(&str, Outcome)>) -> InFrame {
    let deliver = outcomes.into_iter().map(|(path, outcome)| (Path::from(path), outcome)).collect();
    InFrame { deliver, ..InFrame::new(turn, NOW + turn) }
}

fn reply(status: u16, headers: &[(&str, &str)], body: Body) -> Outcome {
    Outcome::Http(HttpResponse { status, headers: texts(headers), body })
}

/// Every in-frame.
pub(crate) fn inward() -> Vec<In> {
    use op_names::{ASK, HTTP, MEMORY_DELETE, MEMORY_LIST, MEMORY_LOAD, MEMORY_SAVE, SLEEP};
    let mut list = Vec::new();
    let mut add = |name, about, frame, answers: &[(&'static str, &'static str)]| {
        list.push(In { name, about, frame, answers: answers.to_vec() });
    };

    add("start", "A function's first turn.", InFrame { start: Some(plain_start()), ..InFrame::new(1, NOW) }, &[]);
    add(
        "start_of_a_retry",
        "A workflow's third attempt: it inherits two finished steps, one that failed for good, and a timer that is armed.",
        InFrame { start: Some(retry_start()), ..InFrame::new(19, NOW + 61_000) },
        &[],
    );
    add(
        "start_and_cancel",
        "An attempt that is told to end before it begins.",
        InFrame { start: Some(plain_start()), cancel: Some(CancelMode::Grace), ..InFrame::new(1, NOW) },
        &[],
    );
    add("turn_without_news", "A turn that only says what time it is.", InFrame::new(2, NOW + 1), &[]);
    add(
        "cancel_grace",
        "The run is to end, with clean-up.",
        InFrame { cancel: Some(CancelMode::Grace), ..InFrame::new(3, NOW) },
        &[],
    );
    add(
        "cancel_now",
        "The run is to end at once.",
        InFrame { cancel: Some(CancelMode::Now), ..InFrame::new(4, NOW) },
        &[],
    );
    add(
        "http_json",
        "A reply whose body is JSON; its numbers arrive as they were sent.",
        deliver(2, vec![("1", reply(200, &[("content-type", "application/json")], Body::Json(json(ODD_NUMBERS))))]),
        &[("1", HTTP)],
    );
    add(
        "http_text",
        "A reply of status 404 with text: an outcome, not an error.",
        deliver(
            2,
            vec![("charge/1", reply(404, &[("content-type", "text/plain")], Body::Text("no such order\n".into())))],
        ),
        &[("charge/1", HTTP)],
    );
    add(
        "http_empty",
        "A reply without headers or body.",
        deliver(2, vec![("1", reply(204, &[], Body::Text(String::new())))]),
        &[("1", HTTP)],
    );
    add(
        "http_bytes",
        "Two replies at once whose bodies are bytes: they travel as attachments, the second of no length.",
        deliver(
            5,
            vec![
                (
                    "2:0/1",
                    reply(
                        200,
                        &[("content-type", "image/png")],
                        Body::Bytes(Bytes::from_static(b"\x89PNG\r\n\x1a\n\x00\xff")),
                    ),
                ),
                ("2:1/1", reply(200, &[], Body::Bytes(Bytes::new()))),
            ],
        ),
        &[("2:0/1", HTTP), ("2:1/1", HTTP)],
    );
    add(
        "http_error",
        "No reply: the target could not be reached, and the same again may succeed after a second.",
        deliver(
            2,
            vec![(
                "1",
                Outcome::Err(ErrorInfo {
                    retry_after_ms: Some(1_000),
                    ..ErrorInfo::retryable(Code::CONNECTION_FAILED, "shop.example:443 refused the connection")
                }),
            )],
        ),
        &[("1", HTTP)],
    );
    add(
        "http_refused",
        "The host refused the effect: the same again is refused again.",
        deliver(
            2,
            vec![("1", Outcome::Err(ErrorInfo::terminal(Code::HOST_NOT_GRANTED, "evil.example is not granted")))],
        ),
        &[("1", HTTP)],
    );
    add(
        "memory_load",
        "A value from memory.",
        deliver(2, vec![("1", Outcome::Ok(json(r#"{"count":3}"#)))]),
        &[("1", MEMORY_LOAD)],
    );
    add(
        "memory_load_absent",
        "Nothing of that name in memory.",
        deliver(2, vec![("1", Outcome::Ok(Json::null()))]),
        &[("1", MEMORY_LOAD)],
    );
    add(
        "memory_list",
        "Names in memory.",
        deliver(2, vec![("1", Outcome::Ok(json(r#"["cart/1","cart/2"]"#)))]),
        &[("1", MEMORY_LIST)],
    );
    add("memory_save", "A value was kept.", deliver(2, vec![("1", Outcome::Ok(Json::null()))]), &[("1", MEMORY_SAVE)]);
    add(
        "memory_delete",
        "A value was forgotten.",
        deliver(2, vec![("1", Outcome::Ok(Json::null()))]),
        &[("1", MEMORY_DELETE)],
    );
    add("sleep", "A timer is due.", deliver(2, vec![("1", Outcome::Ok(Json::null()))]), &[("1", SLEEP)]);
    add(
        "unknown_op",
        "The answer to an op that the host does not know.",
        deliver(
            2,
            vec![(
                "1",
                Outcome::Err(ErrorInfo::terminal(Code::OP_UNSUPPORTED, "this host does not perform `teleport`")),
            )],
        ),
        &[],
    );
    add(
        "start_of_an_agent",
        "An agent's second attempt, begun by a message: two questions of the first were answered, one through the runs API, one through A2A.",
        InFrame { start: Some(agent_start()), ..InFrame::new(7, NOW + 61_000) },
        &[],
    );
    add(
        "ask",
        "Two answers: any JSON, given through the runs API, and a message, given through A2A.",
        deliver(
            4,
            vec![
                ("1", Outcome::Ok(json(r#"{"answer":{"nights":9007199254740993}}"#))),
                ("2:0/1", Outcome::Ok(json(ANSWER_MESSAGE))),
            ],
        ),
        &[("1", ASK), ("2:0/1", ASK)],
    );
    add(
        "white_space_in_a_payload",
        "White space inside a payload travels too: a payload is a text.",
        deliver(2, vec![("1", Outcome::Ok(json("[ 1 ,\n\t{ \"a\" : \" b \" } ]")))]),
        &[("1", MEMORY_LOAD)],
    );
    list
}

fn key(generation: u32, scope: &str, op: &Op) -> EffectKey {
    let slash = if scope.is_empty() { "" } else { "/" };
    EffectKey::new(format!("{generation}/{scope}{slash}{}#1", op.digest().text()))
}

fn asks(path: &str, scope: &str, op: Op) -> OutFrame {
    let effect = Effect { path: Path::from(path), key: key(0, scope, &op), op };
    OutFrame { effects: vec![effect], ..OutFrame::new(Status::Running) }
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest { method: method.into(), url: url.into(), headers: Vec::new(), body: None, timeout_ms: None }
}

/// Every out-frame.
pub(crate) fn outward() -> Vec<Out> {
    let mut list = Vec::new();
    let mut add = |name, about, frame| list.push(Out { name, about, frame });

    add("running", "The guest waits for what it asked for before.", OutFrame::new(Status::Running));
    add(
        "completed",
        "The guest is done.",
        OutFrame { output: Some(json(ODD_NUMBERS)), ..OutFrame::new(Status::Completed) },
    );
    add(
        "completed_with_null",
        "The guest is done; its output is null, which is not the same as none.",
        OutFrame { output: Some(Json::null()), ..OutFrame::new(Status::Completed) },
    );
    add(
        "failed",
        "The component returned an error; another attempt may succeed.",
        OutFrame {
            error: Some(ErrorInfo::retryable(Code::HANDLER_FAILED, "the shop answered 503")),
            ..OutFrame::new(Status::Failed)
        },
    );
    add(
        "cancelled",
        "The guest ended because it was told to.",
        OutFrame {
            error: Some(ErrorInfo::terminal(Code::CANCELLED, "the run was cancelled")),
            ..OutFrame::new(Status::Cancelled)
        },
    );
    add("continued", "The guest starts anew with a fresh history.", OutFrame::new(Status::Continued));
    add(
        "stalled",
        "The guest is idle and waits for nothing that a host could give.",
        OutFrame {
            error: Some(ErrorInfo::terminal(Code::FOREIGN_FUTURE, "step `charge` awaits a future of another runtime")),
            ..OutFrame::new(Status::Stalled)
        },
    );
    add(
        "http_get",
        "A request that may be repeated.",
        asks("1", "", Op::Http(request("GET", "https://shop.example/items?q=%C3%A9"))),
    );
    add("http_json", "A request with a secret in a header, a JSON body and a time limit.", {
        let bearer = vec![Part::Text("Bearer ".into()), Part::Secret { secret: "SHOP_KEY".into() }];
        asks(
            "charge/1",
            "charge",
            Op::Http(HttpRequest {
                headers: vec![
                    ("authorization".into(), HeaderValue::Parts(bearer)),
                    ("x-plain".into(), HeaderValue::Text("a".into())),
                ],
                body: Some(Body::Json(json(ODD_NUMBERS))),
                timeout_ms: Some(5_000),
                ..request("POST", "https://shop.example/charge")
            }),
        )
    });
    add(
        "http_text",
        "A request with a body of text.",
        asks(
            "1",
            "",
            Op::Http(HttpRequest {
                body: Some(Body::Text("grüße\u{0}\n".into())),
                ..request("PUT", "http://127.0.0.1:8080/note")
            }),
        ),
    );
    add("http_bytes", "Two requests of concurrent branches, each with bytes, which travel as attachments.", {
        let upload = |bytes: &'static [u8]| {
            Op::Http(HttpRequest {
                body: Some(Body::Bytes(Bytes::from_static(bytes))),
                ..request("POST", "https://files.example/upload")
            })
        };
        let first = upload(b"\x00\x01\x02");
        let second = upload(b"\xff");
        OutFrame {
            effects: vec![
                Effect { path: Path::from("1:0/1"), key: key(0, "0:0", &first), op: first },
                Effect { path: Path::from("1:1/1"), key: key(0, "0:1", &second), op: second },
            ],
            ..OutFrame::new(Status::Running)
        }
    });
    add(
        "http_with_the_authors_key",
        "A request under a key that the author wrote; its punctuation is escaped.",
        OutFrame {
            effects: vec![Effect {
                path: Path::from("1"),
                key: EffectKey::new(format!("0/{}", bivouac_protocol::key::escape("order/7#1.a"))),
                op: Op::Http(request("DELETE", "https://shop.example/orders/7")),
            }],
            ..OutFrame::new(Status::Running)
        },
    );
    add(
        "memory_load",
        "Reads one value of the caller's memory.",
        asks("1", "", Op::MemoryLoad { name: "profile".into() }),
    );
    add("memory_list", "Lists names in the caller's memory.", asks("1", "", Op::MemoryList { prefix: "cart/".into() }));
    add(
        "memory_save",
        "Keeps one value.",
        asks("1", "", Op::MemorySave { name: "profile".into(), value: json(ODD_NUMBERS) }),
    );
    add(
        "memory_save_null",
        "Keeps null, which is a value.",
        asks("1", "", Op::MemorySave { name: "profile".into(), value: Json::null() }),
    );
    add("memory_delete", "Forgets one value.", asks("1", "", Op::MemoryDelete { name: "profile".into() }));
    add("sleep", "Waits for a minute.", asks("1", "", Op::Sleep { ms: 60_000, until_ms: None }));
    add(
        "sleep_armed_before",
        "Waits for the rest of a minute that an earlier attempt began; the key is that of a minute.",
        asks("1", "", Op::Sleep { ms: 60_000, until_ms: Some(NOW + 60_000) }),
    );
    add("ask", "Asks in plain words, as any text.", asks("1", "", Op::Ask(Question::new("Where do you want to go?"))));
    add("ask_for_a_choice", "A question with everything: a name, options, and richer content.", {
        let question = Question {
            input_type: InputType::Select,
            options: vec![
                AnswerOption { id: "lake".into(), label: "At the lake".into() },
                AnswerOption { id: "peak".into(), label: "Near the \u{26f0} peak".into() },
            ],
            name: Some("camp".into()),
            content: Some(json(r#"{"parts":[{"text":"Which camp?"},{"data":{"price":9007199254740993}}]}"#)),
            ..Question::new("Which camp?")
        };
        asks("3:1/2", "", Op::Ask(question))
    });
    add(
        "progress_and_artifacts",
        "How far the run is, and something made for the client that comes in two pieces.",
        OutFrame {
            notes: vec![
                Note::Progress { content: json(r#"{"parts":[{"text":"Looking at the weather"}]}"#) },
                Note::Artifact {
                    artifact: json(r#"{"artifactId":"plan","parts":[{"text":"Day 1: "}]}"#),
                    append: false,
                    last_chunk: false,
                },
                Note::Artifact {
                    artifact: json(r#"{"artifactId":"plan","parts":[{"text":"the lake."}]}"#),
                    append: true,
                    last_chunk: true,
                },
            ],
            ..OutFrame::new(Status::Running)
        },
    );
    add(
        "rejected",
        "An agent declines the work: the code says so, and the same again is declined again.",
        OutFrame {
            error: Some(ErrorInfo::terminal(Code::REJECTED, "this agent plans trips, it does not book them")),
            ..OutFrame::new(Status::Failed)
        },
    );
    add(
        "steps",
        "Two steps ended: one with a value, one with an error that may pass.",
        OutFrame {
            steps: vec![
                (StepKey::from("reserve"), Ok(json(r#"{"reservation":9007199254740993}"#))),
                (
                    StepKey::from("0:1/charge#2"),
                    Err(ErrorInfo {
                        retry_after_ms: Some(250),
                        ..ErrorInfo::retryable(Code::new("BUSY"), "try again")
                    }),
                ),
            ],
            ..OutFrame::new(Status::Running)
        },
    );
    add(
        "cancels",
        "Two effects whose futures were dropped.",
        OutFrame { cancels: vec![Path::from("2"), Path::from("3:1/1")], ..OutFrame::new(Status::Running) },
    );
    add(
        "notes",
        "An event of the author's, one whose data is null, and log lines of each level.",
        OutFrame {
            notes: vec![
                Note::Emit { name: "order.paid".into(), data: json(ODD_NUMBERS) },
                Note::Emit { name: "order.seen".into(), data: Json::null() },
                Note::Log { level: LogLevel::Debug, message: "looking".into() },
                Note::Log { level: LogLevel::Info, message: "going on".into() },
                Note::Log { level: LogLevel::Warn, message: "slow".into() },
                Note::Log { level: LogLevel::Error, message: "a line\nand another".into() },
            ],
            ..OutFrame::new(Status::Running)
        },
    );
    add("everything_at_the_end", "A last frame may carry steps, memory writes and notes.", {
        let save = Op::MemorySave { name: "orders".into(), value: json("1") };
        OutFrame {
            effects: vec![Effect { path: Path::from("7"), key: key(0, "", &save), op: save }],
            steps: vec![(StepKey::from("ship"), Ok(json("true")))],
            cancels: vec![Path::from("6")],
            notes: vec![Note::Emit { name: "order.shipped".into(), data: json("7") }],
            output: Some(json(r#"{"shipped":true}"#)),
            ..OutFrame::new(Status::Completed)
        }
    });
    list
}

/// Headers that a reader accepts though no writer of ours writes them so, and what they mean.
pub(crate) fn accepted() -> Vec<(&'static str, &'static str, &'static str, Meaning)> {
    vec![
        (
            "unknown_fields_in",
            "Fields that this revision does not know are ignored, wherever they are.",
            r#"{"v":1,"turn":2,"now_ms":1700000000002,"weather":"fine","deliver":[["1",{"ok":7,"colour":"red"}]]}"#,
            Meaning::In(Box::new(deliver(2, vec![("1", Outcome::Ok(json("7")))]))),
        ),
        (
            "unknown_fields_out",
            "A host ignores them too.",
            r#"{"v":1,"status":"completed","output":1,"mood":{"a":[]},"notes":[{"note":"log","message":"m","level":"info","at":3}]}"#,
            Meaning::Out(OutFrame {
                output: Some(json("1")),
                notes: vec![Note::Log { level: LogLevel::Info, message: "m".into() }],
                ..OutFrame::new(Status::Completed)
            }),
        ),
        (
            "white_space_and_any_order",
            "White space and the order of fields mean nothing.",
            "{ \"now_ms\" : 1700000000000,\n \"turn\" : 3 , \"v\" : 1, \"cancel\" : \"grace\" }",
            Meaning::In(Box::new(InFrame { cancel: Some(CancelMode::Grace), ..InFrame::new(3, NOW) })),
        ),
        (
            "empty_lists",
            "An empty list and one that is left out mean the same.",
            r#"{"v":1,"status":"running","effects":[],"steps":[],"cancels":[],"notes":[],"att":[]}"#,
            Meaning::Out(OutFrame::new(Status::Running)),
        ),
        (
            "unknown_op",
            "An op that the host does not know is read: its effect is answered with OP_UNSUPPORTED, the frame is not refused.",
            r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"teleport","to":"Mars"}]]}"#,
            Meaning::Out(OutFrame {
                effects: vec![Effect {
                    path: Path::from("1"),
                    key: EffectKey::from("0/a#1"),
                    op: Op::Unknown { op: "teleport".into() },
                }],
                ..OutFrame::new(Status::Running)
            }),
        ),
        (
            "ask_in_few_words",
            "A question of which only the text is there asks for a text; a note's marks that are not there are false.",
            r#"{"v":1,"status":"running","effects":[["1","0/a#1",{"op":"ask","text":"Why?","allow_custom":true}]],"notes":[{"note":"artifact","data":{"artifactId":"a","parts":[]},"name":null}]}"#,
            Meaning::Out(OutFrame {
                effects: vec![Effect {
                    path: Path::from("1"),
                    key: EffectKey::from("0/a#1"),
                    op: Op::Ask(Question::new("Why?")),
                }],
                notes: vec![Note::Artifact {
                    artifact: json(r#"{"artifactId":"a","parts":[]}"#),
                    append: false,
                    last_chunk: false,
                }],
                ..OutFrame::new(Status::Running)
            }),
        ),
        (
            "defaults",
            "A log line is of level info, an event's data null, an error worth another try, unless they say otherwise.",
            r#"{"v":1,"status":"failed","error":{"code":"BUSY","message":"later"},"notes":[{"note":"log","message":"m"},{"note":"emit","name":"e"}]}"#,
            Meaning::Out(OutFrame {
                error: Some(ErrorInfo::retryable(Code::new("BUSY"), "later")),
                notes: vec![
                    Note::Log { level: LogLevel::Info, message: "m".into() },
                    Note::Emit { name: "e".into(), data: Json::null() },
                ],
                ..OutFrame::new(Status::Failed)
            }),
        ),
    ]
}

/// A manifest of an agent that says everything, one that says little, and a tool.
fn agents(plain: &Manifest) -> Manifest {
    let text = str::to_owned;
    let component = |kind, name: &str| Component { kind, name: name.into(), ..plain.components[0].clone() };
    let skill = |id: &str| Skill { id: id.into(), name: id.into(), description: "Plans.".into(), ..Skill::default() };
    let full = Agent {
        title: "Trip planner".into(),
        version: "1.2.0".into(),
        skills: vec![
            Skill {
                tags: vec![text("travel"), text("outdoors")],
                examples: vec![text("Plan three days at a lake")],
                input_modes: vec![text("text/plain")],
                output_modes: vec![text("text/plain"), text("application/json")],
                ..skill("plan")
            },
            Skill { extended: true, ..skill("group-plan") },
        ],
        input_modes: vec![text("text/plain")],
        output_modes: vec![text("text/plain")],
        extended: true,
        documentation_url: Some("https://example.com/planner".into()),
        icon_url: Some("https://example.com/planner.png".into()),
        provider: Some(Provider { organization: "Example".into(), url: "https://example.com".into() }),
    };
    let small = Agent { title: "Echo".into(), version: "0.1.0".into(), ..Agent::default() };
    Manifest {
        components: vec![
            Component { agent: Some(full), ..component(ComponentKind::Agent, "trip-planner") },
            Component { agent: Some(small), ..component(ComponentKind::Agent, "echo") },
            Component {
                input_schema: Some(json(r#"{"type":"object","required":["place"]}"#)),
                ..component(ComponentKind::Tool, "weather")
            },
        ],
        ops: vec![text(op_names::ASK)],
        ..plain.clone()
    }
}

/// What an accepted frame means.
pub(crate) enum Meaning {
    In(Box<InFrame>),
    Out(OutFrame),
}

/// Every manifest.
pub(crate) fn manifests() -> Vec<Offered> {
    use op_names::{HTTP, MEMORY_DELETE, MEMORY_LIST, MEMORY_LOAD, MEMORY_SAVE, SLEEP};
    let hello = Component {
        kind: ComponentKind::Function,
        name: "hello".into(),
        description: None,
        input_schema: None,
        output_schema: None,
        flow_control: FlowControl::default(),
        agent: None,
    };
    let plain = Manifest {
        abi: 1,
        sdk: "bivouac-rust/0.1.0".into(),
        components: vec![hello.clone()],
        ops: Vec::new(),
        capabilities: Capabilities::default(),
        patches: Vec::new(),
    };
    let retries =
        Retries { max_attempts: 5, backoff: Backoff::Linear, multiplier_thousandths: 1_500, ..Retries::default() };
    let order = Component {
        kind: ComponentKind::Workflow,
        name: "order".into(),
        description: Some("Sells one thing to one person.".into()),
        input_schema: Some(json(r#"{"type":"object","required":["item"]}"#)),
        output_schema: Some(json("true")),
        flow_control: FlowControl { retries: Some(retries) },
        agent: None,
    };
    let full = Manifest {
        components: vec![hello, order],
        ops: [HTTP, MEMORY_LOAD, MEMORY_LIST, MEMORY_SAVE, MEMORY_DELETE, SLEEP].map(str::to_owned).to_vec(),
        capabilities: Capabilities {
            hosts: vec!["api.example.com".into(), "*.example.com".into(), "127.0.0.1:*".into()],
            secrets: vec!["SHOP_KEY".into()],
            memory: true,
        },
        patches: vec!["2026-01-new-tax".into()],
        ..plain.clone()
    };
    vec![
        Offered { name: "agent", manifest: agents(&plain) },
        Offered { name: "function", manifest: plain },
        Offered { name: "workflow", manifest: full },
    ]
}
