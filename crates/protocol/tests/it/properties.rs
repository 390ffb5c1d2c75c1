//! Properties of the encodings, over generated values.

use crate::golden::with_replies;
use bivouac_protocol::{
    Code, DeploymentId, EffectKey, ErrorInfo, Json, Path, RunId, StepKey,
    frame::{
        AnswerOption, Auth, Body, CancelMode, Effect, HeaderValue, HttpRequest, HttpResponse, InFrame, InputType,
        Limits, LogLevel, MAX_OPTIONS, MAX_QUESTION_BYTES, Memo, Note, Op, OutFrame, Outcome, Part, Question, Start,
        Status, StepResult, split,
    },
    key::escape,
    manifest::{ComponentKind, ComponentRef},
};
use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};

/// Number texts that a reader which computes with them would change.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,40})",
        "-?(0|[1-9][0-9]{0,18})\\.[0-9]{1,20}",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,4}",
    ]
}

/// Any JSON text, with white space where it may be.
fn json() -> impl Strategy<Value = Json> {
    let text = any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text"));
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number(), text.clone()];
    let value = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..6), "[ \n\t]{0,2}")
                .prop_map(|(items, space)| { format!("[{space}{}{space}]", items.join(&format!("{space},"))) }),
            (vec((text.clone(), inner), 0..6), "[ \r]{0,2}").prop_map(|(fields, space)| {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{name}{space}:{space}{value}")).collect();
                format!("{{{space}{}}}", fields.join(","))
            }),
        ]
    });
    value.prop_map(|text| Json::parse_text(text).expect("generated JSON"))
}

fn error() -> impl Strategy<Value = ErrorInfo> {
    (any::<String>(), any::<String>(), any::<bool>(), option::of(any::<u64>())).prop_map(
        |(code, message, retryable, retry_after_ms)| ErrorInfo {
            code: Code::new(code),
            message,
            retryable,
            retry_after_ms,
        },
    )
}

fn result() -> impl Strategy<Value = StepResult> {
    prop_oneof![json().prop_map(Ok), error().prop_map(Err)]
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        json().prop_map(Body::Json),
        any::<String>().prop_map(Body::Text),
        vec(any::<u8>(), 0..64).prop_map(|bytes| Body::Bytes(Bytes::from(bytes))),
    ]
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    let part =
        prop_oneof![any::<String>().prop_map(Part::Text), any::<String>().prop_map(|secret| Part::Secret { secret })];
    prop_oneof![any::<String>().prop_map(HeaderValue::Text), vec(part, 0..4).prop_map(HeaderValue::Parts)]
}

fn op() -> impl Strategy<Value = Op> {
    let text = any::<String>;
    prop_oneof![
        (text(), text(), vec((text(), header_value()), 0..3), option::of(body()), option::of(any::<u64>())).prop_map(
            |(method, url, headers, body, timeout_ms)| Op::Http(HttpRequest { method, url, headers, body, timeout_ms })
        ),
        text().prop_map(|name| Op::MemoryLoad { name }),
        text().prop_map(|prefix| Op::MemoryList { prefix }),
        (text(), json()).prop_map(|(name, value)| Op::MemorySave { name, value }),
        text().prop_map(|name| Op::MemoryDelete { name }),
        (any::<u64>(), option::of(any::<u64>())).prop_map(|(ms, until_ms)| Op::Sleep { ms, until_ms }),
        question().prop_map(Op::Ask),
        "x[a-z.]{0,8}".prop_map(|op| Op::Unknown { op }),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let kind =
        prop::sample::select(vec![InputType::Text, InputType::Approval, InputType::Select, InputType::Multiselect]);
    let choice = (any::<String>(), any::<String>()).prop_map(|(id, label)| AnswerOption { id, label });
    (any::<String>(), kind, vec(choice, 0..3), option::of(any::<String>()), option::of(json()))
        .prop_map(|(text, input_type, options, name, content)| Question { text, input_type, options, name, content })
}

fn note() -> impl Strategy<Value = Note> {
    let level = prop::sample::select(vec![LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error]);
    prop_oneof![
        (any::<String>(), json()).prop_map(|(name, data)| Note::Emit { name, data }),
        (level, any::<String>()).prop_map(|(level, message)| Note::Log { level, message }),
        json().prop_map(|content| Note::Progress { content }),
        (json(), any::<bool>(), any::<bool>()).prop_map(|(artifact, append, last_chunk)| Note::Artifact {
            artifact,
            append,
            last_chunk
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(StepKey, StepResult)>> {
    vec((any::<String>().prop_map(StepKey::from), result()), 0..4)
}

fn out_frame() -> impl Strategy<Value = OutFrame> {
    let status = prop::sample::select(vec![
        Status::Running,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
        Status::Continued,
        Status::Stalled,
    ]);
    let effect = (any::<String>(), any::<String>(), op()).prop_map(|(path, key, op)| Effect {
        path: Path::from(path),
        key: EffectKey::from(key),
        op,
    });
    let cancels = vec(any::<String>().prop_map(Path::from), 0..3);
    (status, vec(effect, 0..4), steps(), cancels, vec(note(), 0..3), option::of(json()), option::of(error())).prop_map(
        |(status, effects, steps, cancels, notes, output, error)| OutFrame {
            status,
            effects,
            steps,
            cancels,
            notes,
            output,
            error,
        },
    )
}

fn start() -> impl Strategy<Value = Start> {
    let text = any::<String>;
    let answers = vec((text().prop_map(EffectKey::from), json()), 0..3);
    let memo = (steps(), vec((text().prop_map(EffectKey::from), any::<u64>()), 0..3), answers)
        .prop_map(|(steps, timers, answers)| Memo { steps, timers, answers });
    let limits =
        any::<[u32; 5]>().prop_map(|[step_bytes, output_bytes, effects_per_turn, open_effects, notes_per_turn]| {
            Limits { step_bytes, output_bytes, effects_per_turn, open_effects, notes_per_turn }
        });
    let kind = prop::sample::select(vec![
        ComponentKind::Function,
        ComponentKind::Workflow,
        ComponentKind::Agent,
        ComponentKind::Tool,
    ]);
    (
        (any::<u128>(), any::<u32>(), kind, text(), any::<u32>(), json()),
        (prop::collection::btree_map(text(), text(), 0..3), text(), text(), text()),
        (memo, vec(text(), 0..3), limits, text()),
    )
        .prop_map(
            |(
                (run, generation, kind, name, attempt, input),
                (metadata, app, user, tenant),
                (memo, patches, limits, seed),
            )| {
                Start {
                    run_id: RunId::from_u128(run),
                    generation,
                    component: ComponentRef { kind, name },
                    attempt,
                    input,
                    metadata,
                    auth: Auth { app, user, tenant },
                    memo,
                    patches,
                    limits,
                    seed,
                }
            },
        )
}

fn in_frame() -> impl Strategy<Value = InFrame> {
    let response = (any::<u16>(), vec((any::<String>(), any::<String>()), 0..3), body())
        .prop_map(|(status, headers, body)| HttpResponse { status, headers, body });
    // Replies lie under paths of their own, so that a test knows which outcomes are replies.
    let outcome = prop_oneof![
        (any::<String>(), json()).prop_map(|(path, json)| (format!("value {path}"), Outcome::Ok(json))),
        (any::<String>(), response).prop_map(|(path, reply)| (format!("reply {path}"), Outcome::Http(reply))),
        (any::<String>(), error()).prop_map(|(path, error)| (path, Outcome::Err(error))),
    ]
    .prop_map(|(path, outcome)| (Path::from(path), outcome));
    let cancel = option::of(prop::sample::select(vec![CancelMode::Grace, CancelMode::Now]));
    (any::<u64>(), any::<u64>(), option::of(start()), vec(outcome, 0..4), cancel).prop_map(
        |(turn, now_ms, start, deliver, cancel)| InFrame {
            turn,
            now_ms,
            start,
            deliver,
            cancel,
            attachments: Vec::new(),
        },
    )
}

proptest! {
    #[test]
    fn any_in_frame_survives_the_way(frame in in_frame()) {
        let encoded = frame.encode();
        let decoded = with_replies(InFrame::decode(&encoded).unwrap(), |path| path.starts_with("reply"));
        prop_assert_eq!(&decoded, &frame);
        prop_assert_eq!(decoded.encode(), encoded);
    }

    #[test]
    fn any_out_frame_survives_the_way(frame in out_frame()) {
        let encoded = frame.encode();
        let decoded = OutFrame::decode(&encoded).unwrap();
        prop_assert_eq!(&decoded, &frame);
        prop_assert_eq!(decoded.encode(), encoded);
    }

    #[test]
    fn any_note_survives_as_json(note in note()) {
        prop_assert_eq!(Note::from_json(&note.to_json()).unwrap(), note);
    }

    #[test]
    fn numbers_travel_unchanged(number in number()) {
        let output = Json::parse_text(number.clone()).unwrap();
        let frame = OutFrame { output: Some(output), ..OutFrame::new(Status::Completed) };
        let arrived = OutFrame::decode(&frame.encode()).unwrap().output.unwrap();
        prop_assert_eq!(arrived.text(), number);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused_without_a_panic(bytes in vec(any::<u8>(), 0..256)) {
        drop((InFrame::decode(&bytes), OutFrame::decode(&bytes), split(&bytes)));
    }

    #[test]
    fn a_damaged_frame_is_read_or_refused_without_a_panic(
        frame in out_frame(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = frame.encode().to_vec();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        drop((InFrame::decode(&bytes), OutFrame::decode(&bytes)));
    }

    #[test]
    fn a_frame_cut_short_is_never_read(frame in in_frame(), cut in any::<prop::sample::Index>()) {
        let bytes = frame.encode();
        prop_assert!(InFrame::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_frame_with_more_behind_it_is_never_read(frame in out_frame(), more in vec(any::<u8>(), 1..8)) {
        let bytes = [&frame.encode()[..], &more].concat();
        prop_assert!(OutFrame::decode(&bytes).is_err());
    }

    #[test]
    fn ids_survive_as_text_and_sort_by_age(now in 0..1_u64 << 48, shard: u16, random: u64, later in 0..1_u64 << 48) {
        let id = RunId::new(now, shard, random);
        prop_assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        prop_assert_eq!((id.accepted_ms(), id.shard()), (now, shard));
        let other = RunId::new(later, 0, 0);
        if later > now {
            prop_assert!(other > id && other.to_string() > id.to_string());
        }
        let deployment = DeploymentId::from_u128(id.to_u128());
        prop_assert!(deployment.to_string().parse::<RunId>().is_err(), "an id says what it names");
    }

    #[test]
    fn a_text_that_is_read_as_an_id_is_that_ids_text(rest in "[0-9A-Za-z]{26}") {
        if let Ok(id) = format!("run_{rest}").parse::<RunId>() {
            // Ulids may be written in small letters, and with letters that look like digits.
            let canonical = rest.to_uppercase().replace(['I', 'L'], "1").replace('O', "0");
            prop_assert_eq!(id.to_string(), format!("run_{canonical}"));
        }
    }

    #[test]
    fn escaped_text_holds_no_punctuation_of_keys_and_can_be_told_apart(a: String, b: String) {
        let escaped = escape(&a);
        let bad = |c: char| "/#:.~".contains(c) || c.is_control();
        prop_assert!(!escaped.contains(bad));
        prop_assert_eq!(escaped == escape(&b), a == b);
        prop_assert_eq!(unescape(&escaped), a);
    }

    #[test]
    fn equal_requests_have_equal_digests_and_different_ones_do_not(a in op(), b in op()) {
        let again = a.clone();
        prop_assert_eq!(a.digest(), again.digest());
        prop_assert!(without_times(&a) == without_times(&b) || a.digest() != b.digest());
        prop_assert_eq!(a.digest().text().len(), 22);
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            bytes.extend(hex::decode(&after[..2]).expect("escapes are two digits of hex"));
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("escapes hold UTF-8")
}

/// What a digest is taken over: when something is due, or how long to wait for it, does not make it another request.
fn without_times(op: &Op) -> Op {
    match op.clone() {
        Op::Http(request) => Op::Http(HttpRequest { timeout_ms: None, ..request }),
        Op::Sleep { ms, .. } => Op::Sleep { ms, until_ms: None },
        other => other,
    }
}

#[test]
fn a_body_of_json_and_the_same_text_are_different_requests() {
    let with = |body| {
        Op::Http(HttpRequest {
            method: "PUT".into(),
            url: "http://a/".into(),
            headers: Vec::new(),
            body,
            timeout_ms: None,
        })
    };
    let bodies = [
        None,
        Some(Body::Text(String::new())),
        Some(Body::Bytes(Bytes::new())),
        Some(Body::Json(Json::of(&1).unwrap())),
        Some(Body::Text("1".into())),
    ];
    for (index, a) in bodies.iter().enumerate() {
        for b in &bodies[index + 1..] {
            assert_ne!(with(a.clone()).digest(), with(b.clone()).digest(), "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_deeply_nested_payload_is_carried_without_deep_recursion() {
    let text = "[".repeat(100_000) + &"]".repeat(100_000);
    let frame = OutFrame { output: Some(Json::parse_text(text.clone()).unwrap()), ..OutFrame::new(Status::Completed) };
    assert_eq!(OutFrame::decode(&frame.encode()).unwrap().output.unwrap().text(), text);
}

#[test]
fn a_question_that_cannot_be_asked_says_what_to_do() {
    let option = |id: usize| AnswerOption { id: id.to_string(), label: "x".into() };
    let good = Question {
        input_type: InputType::Select,
        options: (0..MAX_OPTIONS).map(option).collect(),
        name: Some("camp".into()),
        ..Question::new("Which?")
    };
    assert_eq!(good.fault(), None);
    let bad = [
        (Question { options: Vec::new(), ..good.clone() }, "no option"),
        (Question { options: (0..=MAX_OPTIONS).map(option).collect(), ..good.clone() }, "256 are allowed"),
        (Question { name: Some(String::new()), ..good.clone() }, "named"),
        (Question { name: Some("n".repeat(129)), ..good.clone() }, "named"),
        (Question::new("x".repeat(MAX_QUESTION_BYTES)), "bytes"),
    ];
    for (question, why) in bad {
        let fault = question.fault().expect(why);
        assert!(fault.contains(why), "{fault}");
    }
    assert_eq!(good.to_json().parse::<Question>().unwrap(), good);
}
