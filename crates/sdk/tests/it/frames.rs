//! Frames that are not what they should be, and what crosses in those that are.

use crate::driver::{SEED, code, driver, message, ok};
use bivouac::{
    Json, Module, ModuleGuest,
    prelude::*,
    protocol::{
        Guest,
        frame::{Body, HeaderValue, InFrame, Op, OutFrame, Outcome, Part, Status},
    },
};
use serde_json::{Value, json};

#[bivouac::function]
async fn echo(_ctx: &Context, input: Json) -> Result<Json, Error> {
    Ok(input)
}

#[bivouac::function]
async fn typed(_ctx: &Context, input: u32) -> Result<u32, Error> {
    Ok(input)
}

#[bivouac::function]
async fn panics(ctx: &Context, late: bool) -> Result<(), Error> {
    if late {
        ctx.sleep(Duration::from_secs(1)).await?;
    }
    panic!("the sky falls")
}

fn module() -> ModuleGuest {
    Module::new().component::<echo>().component::<typed>().component::<panics>().into_guest()
}

fn raw(guest: &mut ModuleGuest, header: &Value) -> OutFrame {
    let header = header.to_string();
    let mut frame = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    frame.extend_from_slice(header.as_bytes());
    OutFrame::decode(&guest.drive(&frame)).unwrap()
}

fn start(component: &str, input: Value) -> Value {
    json!({
        "v": 1, "turn": 1, "now_ms": 5,
        "start": {
            "run_id": "run_00000000000000000000000000", "generation": 0, "attempt": 1, "input": input,
            "component": { "type": "function", "name": component }, "auth": { "app": "a", "user": "u" },
            "seed": SEED,
        },
    })
}

#[test]
fn a_frame_that_cannot_be_read_is_answered_with_a_failure_never_with_a_panic() {
    for bytes in [&b""[..], b"\0", b"\xff\xff\xff\xff", b"\x02\0\0\0{}", b"\x02\0\0\0{}x", b"\x04\0\0\0null"] {
        let out = OutFrame::decode(&module().drive(bytes)).unwrap();
        assert_eq!((out.status, code(&out)), (Status::Failed, "FRAME_INVALID"), "{bytes:?}");
    }
    let out = raw(&mut module(), &json!({ "v": 2, "turn": 1, "now_ms": 0 }));
    assert_eq!((out.status, code(&out)), (Status::Failed, "ABI_UNSUPPORTED"));
}

#[test]
fn a_frame_without_an_attempt_to_continue_is_refused() {
    let mut guest = module();
    let turn = json!({ "v": 1, "turn": 2, "now_ms": 0 });
    assert_eq!(code(&raw(&mut guest, &turn)), "FRAME_INVALID");
    assert_eq!(raw(&mut guest, &start("echo", json!(1))).status, Status::Completed);
    assert_eq!(code(&raw(&mut guest, &turn)), "FRAME_INVALID", "the attempt is over");
    assert_eq!(raw(&mut guest, &start("echo", json!(1))).status, Status::Completed, "a new one starts");
}

#[test]
fn an_unknown_component_is_refused_with_the_names_of_those_there_are() {
    let out = raw(&mut module(), &start("ecco", json!(1)));
    assert_eq!(code(&out), "COMPONENT_NOT_FOUND");
    assert!(message(&out).contains("function/echo, function/typed"), "{}", message(&out));
}

#[test]
fn an_input_of_another_type_is_refused_before_the_component_is_started() {
    let out = raw(&mut module(), &start("typed", json!("seven")));
    assert_eq!((code(&out), out.error.as_ref().unwrap().retryable), ("INVALID_INPUT", false));
    assert!(message(&out).contains("the input of `typed`") && message(&out).contains("seven"), "{}", message(&out));
}

#[test]
fn a_native_panic_ends_the_attempt_and_not_the_host() {
    let mut guest = module();
    let out = raw(&mut guest, &start("panics", json!(false)));
    assert_eq!(
        (out.status, code(&out), out.error.as_ref().unwrap().retryable),
        (Status::Failed, "GUEST_TRAPPED", true)
    );
    assert!(message(&out).contains("the sky falls"));
    assert_eq!(raw(&mut guest, &start("panics", json!(true))).status, Status::Running);
    let out = raw(&mut guest, &json!({ "v": 1, "turn": 2, "now_ms": 5, "deliver": [["1", { "ok": null }]] }));
    assert_eq!(code(&out), "GUEST_TRAPPED");
    assert_eq!(raw(&mut guest, &start("echo", json!(1))).status, Status::Completed);
}

#[test]
fn an_integer_beyond_two_to_the_53_leaves_as_it_came() {
    let text = r#"{"n":9007199254740993,"x":1.10,"s":"\u0041"}"#;
    let mut run = driver::<echo>(Json::parse_text(text).unwrap());
    assert_eq!(run.turn([]).output.unwrap().text(), text);
}

#[bivouac::function]
async fn sends(ctx: &Context, _: ()) -> Result<(u16, Vec<u8>, String), Error> {
    let http = ctx.http();
    let request = http.request("post", "http://a/x").header("Authorization", bearer(secret("PAY"))).header("x-a", "b");
    let reply = request.bytes(vec![0, 159]).timeout(Duration::from_secs(3)).send().await?;
    let kind = reply.header("Content-Type").unwrap_or_default().to_owned();
    Ok((reply.status(), reply.bytes().to_vec(), kind))
}

#[test]
fn a_request_carries_secrets_by_name_and_bytes_as_attachments() {
    let mut run = driver::<sends>(());
    let out = run.turn([]);
    let Op::Http(request) = &out.effects[0].op else { panic!("not a request") };
    assert_eq!((request.method.as_str(), request.timeout_ms), ("POST", Some(3_000)));
    assert_eq!(request.body, Some(Body::Bytes(vec![0, 159].into())));
    let secret = HeaderValue::Parts(vec![Part::Text("Bearer ".into()), Part::Secret { secret: "PAY".into() }]);
    let text = |text: &str| HeaderValue::Text(text.into());
    let headers = [("authorization", secret), ("x-a", text("b")), ("content-type", text("application/octet-stream"))];
    assert_eq!(request.headers, headers.map(|(name, value)| (name.to_owned(), value)));

    let response = bivouac::protocol::frame::HttpResponse {
        status: 204,
        headers: vec![("content-type".into(), "x/y".into())],
        body: Body::Bytes(vec![1, 2].into()),
    };
    let out = run.turn([("1", Outcome::Http(response))]);
    assert_eq!(out.output.unwrap().text(), r#"[204,[1,2],"x/y"]"#);
}

#[bivouac::function]
async fn remembers(ctx: &Context, _: ()) -> Result<(Option<u32>, Value), Error> {
    let memory = ctx.memory();
    let typed = memory.load("count").await?;
    memory.save_serialized(ctx.auth(), "count", json!(2)).await?;
    let raw = memory.load_serialized(ctx.auth(), "count").await?;
    let stranger = AuthContext::default();
    let refused = memory.load_serialized(&stranger, "count").await.unwrap_err();
    assert_eq!(refused.code(), "MEMORY_NOT_GRANTED");
    Ok((typed, raw.unwrap_or_default()))
}

#[test]
fn memory_is_that_of_the_verified_caller_typed_or_as_json() {
    let mut run = driver::<remembers>(());
    run.turn([]);
    let out = run.turn([("1", ok(()))]);
    assert!(matches!(&out.effects[0].op, Op::MemorySave { value, .. } if value.text() == "2"));
    run.turn([("2", ok(()))]);
    assert_eq!(run.turn([("3", ok(2))]).output.unwrap().text(), "[null,2]");
}

#[test]
fn a_host_error_reaches_the_component_with_its_code() {
    let mut run = driver::<sends>(());
    run.turn([]);
    let error = bivouac::protocol::ErrorInfo::terminal(bivouac::protocol::Code::HOST_NOT_GRANTED, "a is not granted");
    let out = run.turn([("1", Outcome::Err(error.clone()))]);
    assert_eq!(out.error, Some(error));
}

#[test]
fn a_guest_may_move_to_another_thread_between_two_turns() {
    let mut guest = module();
    raw(&mut guest, &start("panics", json!(true)));
    let ended = std::thread::spawn(move || {
        let frame = InFrame { deliver: vec![("1".into(), ok(()))], ..InFrame::new(2, 9) };
        OutFrame::decode(&guest.drive(&frame.encode())).unwrap()
    });
    assert_eq!(code(&ended.join().unwrap()), "GUEST_TRAPPED");
}
