//! `bivouac chat` against servers that behave badly: cut streams, old releases, nobody there.

use crate::{
    bin::{bivouac, end, end_with_stdin},
    fake::{self, Fake, Request, json},
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

const HEALTH: &str = r#"{"status":"ok","version":"0.1.0","capabilities":["a2a","questions"]}"#;
const CARD: &str = r#"{"name":"Tea","description":"Brews.","version":"1","skills":[]}"#;

const BEGUN: (&str, &str) =
    ("1.0", r#"{"task":{"id":"run_1","contextId":"ctx_1","status":{"state":"TASK_STATE_SUBMITTED"}}}"#);
const WORKING: (&str, &str) = (
    "2.0",
    r#"{"statusUpdate":{"taskId":"run_1","contextId":"ctx_1","status":{"state":"TASK_STATE_WORKING","message":{"messageId":"m1","role":"ROLE_AGENT","parts":[{"text":"The kettle is on."}]}}}}"#,
);
const MADE: (&str, &str) = (
    "3.0",
    r#"{"artifactUpdate":{"taskId":"run_1","contextId":"ctx_1","artifact":{"artifactId":"a","name":"recipe","parts":[{"text":"Boil water."}]},"lastChunk":true}}"#,
);
const DONE: (&str, &str) = (
    "4.0",
    r#"{"statusUpdate":{"taskId":"run_1","contextId":"ctx_1","status":{"state":"TASK_STATE_COMPLETED","message":{"messageId":"m2","role":"ROLE_AGENT","parts":[{"text":"Ready."}]}}}}"#,
);
const ASKS: (&str, &str) = (
    "3.0",
    r#"{"statusUpdate":{"taskId":"run_1","contextId":"ctx_1","status":{"state":"TASK_STATE_INPUT_REQUIRED","message":{"messageId":"m3","role":"ROLE_AGENT","parts":[{"text":"Which?"},{"data":{"inputType":"select","options":[{"id":"mi","label":"Milk"},{"id":"le","label":"Lemon"}]}}]}}}}"#,
);

const AS_IT_STANDS: &str = r#"{"id":"run_1","status":{"state":"TASK_STATE_WORKING"}}"#;

/// An agent `tea`; `answer` is asked for everything else, with how often it was asked before.
fn agent(answer: impl Fn(usize, &Request) -> String + Send + 'static) -> Fake {
    let asked = AtomicUsize::new(0);
    Fake::new(move |_, request| match request.line.split(' ').nth(1).unwrap() {
        "/health" => json(200, HEALTH),
        "/agents/tea/.well-known/agent-card.json" => json(200, CARD),
        _ => answer(asked.fetch_add(1, Ordering::Relaxed), request),
    })
}

fn chat(server: &Fake, args: &[&str]) -> Command {
    let mut command = bivouac(&std::env::temp_dir());
    command.args(["chat", "tea", "--server", &server.url]).args(args);
    command
}

#[test]
fn a_stream_cut_anywhere_is_taken_up_after_the_last_event() {
    let all = [BEGUN, WORKING, MADE, DONE];
    for cut in 0..all.len() {
        let server = agent(move |number, request| match number {
            0 => fake::told(&all[..cut]),
            _ if request.line.contains("/tasks/run_1 ") => json(200, AS_IT_STANDS),
            _ => fake::told(&all[cut..]),
        });
        let talked = end(&mut chat(&server, &["--message", "Assam", "-o", "text"]));
        assert_eq!(talked.stderr, "  The kettle is on.\n", "cut at {cut}");
        assert_eq!(talked.ok(), "--- recipe\nBoil water.\nReady.\n", "cut at {cut}");
        let requests = server.requests();
        let (first, second) = (&requests[2], requests.last().unwrap());
        assert!(first.line.starts_with("POST /agents/tea/a2a/rest/message:stream "), "{}", first.line);
        assert_eq!(first.headers["a2a-version"], "1.0");
        if cut == 0 {
            assert_eq!((&second.line, &second.body), (&first.line, &first.body), "the same message, under the same id");
        } else {
            assert!(second.line.starts_with("GET /agents/tea/a2a/rest/tasks/run_1:subscribe "), "{}", second.line);
            assert_eq!(second.headers["last-event-id"], all[cut - 1].0);
        }
    }
}

#[test]
fn a_question_shows_its_options_and_a_number_answers_it() {
    let server = agent(|number, _| match number {
        0 => fake::told(&[BEGUN, ASKS]),
        _ => fake::told(&[BEGUN, DONE]),
    });
    let talked = end_with_stdin(&mut chat(&server, &["-o", "text"]), "Assam\n2\n").ok();
    assert_eq!(talked, "Which?\n  1. Milk\n  2. Lemon\nReady.\n");
    let requests = server.requests();
    let answer: serde_json::Value = serde_json::from_str(&requests.last().unwrap().body).unwrap();
    assert_eq!(answer["message"]["taskId"], "run_1");
    assert_eq!(answer["message"]["contextId"], "ctx_1");
    assert_eq!(answer["message"]["parts"], serde_json::json!([{"text": "le"}]));
}

#[test]
fn a_question_that_nobody_answers_says_how_to_answer_it_later() {
    let server = agent(|_, _| fake::told(&[BEGUN, ASKS]));
    let said = end(&mut chat(&server, &["--message", "Assam"])).failed(1);
    assert!(said.contains("the agent waits for an answer"), "{said}");
    assert!(said.contains("bivouac chat tea --context ctx_1 --message ANSWER"), "{said}");
}

#[test]
fn events_are_lines_of_json_for_a_program() {
    let server = agent(|_, _| fake::told(&[BEGUN, WORKING, DONE]));
    let talked = end(&mut chat(&server, &["--message", "Assam", "-o", "json"])).ok();
    assert_eq!(talked.lines().collect::<Vec<_>>(), [BEGUN.1, WORKING.1, DONE.1]);
}

#[test]
fn ctrl_c_cancels_the_task_and_shows_its_end() {
    const CANCELED: &str =
        r#"{"statusUpdate":{"taskId":"run_1","contextId":"ctx_1","status":{"state":"TASK_STATE_CANCELED"}}}"#;
    let cancelled = AtomicUsize::new(0);
    let server = agent(move |_, request| match request.line.split(' ').nth(1).unwrap() {
        "/agents/tea/a2a/rest/tasks/run_1:cancel" => {
            cancelled.fetch_add(1, Ordering::Relaxed);
            json(200, r#"{"id":"run_1","status":{"state":"TASK_STATE_CANCELED"}}"#)
        }
        "/agents/tea/a2a/rest/tasks/run_1" => json(200, AS_IT_STANDS),
        // Streams are cut before the end, again and again, as long as nobody cancels.
        "/agents/tea/a2a/rest/tasks/run_1:subscribe" if cancelled.load(Ordering::Relaxed) > 0 => {
            fake::told(&[("5.0", CANCELED)])
        }
        "/agents/tea/a2a/rest/tasks/run_1:subscribe" => fake::told(&[("3.0", WORKING.1)]),
        _ => fake::told(&[BEGUN, WORKING]),
    });
    let mut child = chat(&server, &["--message", "Assam", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), BEGUN.1);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(lines.last().unwrap().unwrap(), CANCELED);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let wishes = server.requests().iter().filter(|request| request.line.contains("run_1:cancel")).count();
    assert_eq!(wishes, 1);
}

#[test]
fn a_refusal_in_the_words_of_a2a_is_shown_with_its_code() {
    let server = agent(|_, _| {
        json(
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"the context is of another agent","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INVALID_PARAMS","domain":"a2a-protocol.org"}]}}"#,
        )
    });
    let said = end(&mut chat(&server, &["--message", "Assam"])).failed(2);
    assert!(said.contains("the context is of another agent (INVALID_PARAMS)"), "{said}");
}

#[test]
fn a_server_of_an_earlier_release_is_told_apart_from_one_without_agents() {
    let old = Fake::always(200, r#"{"status":"ok","version":"0.0.9"}"#);
    let said = end(&mut chat(&old, &["--message", "Assam"])).failed(4);
    assert!(said.contains("of version 0.0.9 that does not know agents yet"), "{said}");
    assert!(said.contains("update the server"), "{said}");

    let other = Fake::always(200, "<html>");
    let said = end(&mut chat(&other, &["--message", "Assam"])).failed(5);
    assert!(said.contains("does not seem to be a Bivouac server"), "{said}");

    let empty = Fake::new(|_, request| match request.line.split(' ').nth(1).unwrap() {
        "/health" => json(200, HEALTH),
        "/api/routes" => json(200, r#"{"environment":"default","routes":[],"count":0}"#),
        _ => json(404, r#"{"error":"there is nothing here","error_code":"NOT_FOUND"}"#),
    });
    let said = end(&mut chat(&empty, &["--message", "Assam"])).failed(3);
    assert!(said.contains("no agent is deployed") && said.contains("bivouac dev"), "{said}");
}

#[test]
fn a_route_that_an_earlier_release_lacks_says_so() {
    let answer = "HTTP/1.1 404 Not Found\r\nbivouac-version: 0.0.9\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"error\":\"there is nothing at POST /v1/runs/x/cancel\",\"error_code\":\"NOT_FOUND\"}";
    let old = Fake::new(move |_, _| answer.to_owned());
    let said = end(bivouac(&std::env::temp_dir()).args(["runs", "cancel", "x", "--server", &old.url])).failed(3);
    assert!(said.contains("update the server") && said.contains("it is 0.0.9 now"), "{said}");
}
