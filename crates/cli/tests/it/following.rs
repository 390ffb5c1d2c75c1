//! Starting and following a run over connections that break.

use crate::{
    bin::{Ended, bivouac, end, end_with_stdin},
    fake::{Fake, json, stream},
};

const STARTED: &str = r#"{"run_id":"run_1","status":"enqueued"}"#;
const COMPLETED: &str = r#"{"run_id":"run_1","status":"completed","output":{"n":123456789012345678901234567890}}"#;

fn run(server: &Fake, more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    end(bivouac(folder.path()).args(["run", "function/f", "--server", &server.url]).args(more))
}

#[test]
fn events_go_to_stderr_and_the_output_goes_to_stdout_as_it_came() {
    let server = Fake::new(|number, _| match number {
        0 => json(202, STARTED),
        1 => stream(&[
            ("1.1.0", "run.queued", "{}"),
            ("2.2.0", "step.completed", r#"{"output":1}"#),
            ("3.2.1", "progress", r#""half""#),
            ("4.3.0", "run.completed", "{}"),
        ]),
        _ => json(200, COMPLETED),
    });
    let ended = run(&server, &["--input", r#"{"name":"Ada"}"#]);
    assert_eq!(ended.stdout, "{\"n\":123456789012345678901234567890}\n");
    insta::assert_snapshot!(ended.stderr, @r#"
    run run_1
      00:00:00.000 step.completed {"output":1}
      00:00:00.000 progress "half"
    "#);
    assert_eq!(server.requests()[0].body, r#"{"input":{"name":"Ada"},"metadata":{}}"#);
}

#[test]
fn a_broken_stream_is_taken_up_after_the_last_event() {
    let server = Fake::new(|number, _| match number {
        0 => json(202, STARTED),
        1 => stream(&[("7.5.1", "step.completed", "{}")]),
        2 => json(503, r#"{"error":"shutting down","error_code":"SHUTTING_DOWN"}"#),
        3 => stream(&[("8.6.0", "run.completed", "{}")]),
        _ => json(200, COMPLETED),
    });
    let ended = run(&server, &[]);
    assert_eq!(ended.stderr.matches("step.completed").count(), 1, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("the run goes on by itself").count(), 1, "{}", ended.stderr);
    ended.ok();
    let last: Vec<_> =
        server.requests().into_iter().map(|request| request.headers.get("last-event-id").cloned()).collect();
    assert_eq!(last[1..4], [None, Some("7.5.1".into()), Some("7.5.1".into())]);
}

#[test]
fn a_start_whose_answer_got_lost_is_sent_again_under_the_same_key() {
    let server = Fake::new(|number, _| match number {
        0 => String::new(),
        1 => json(202, STARTED),
        2 => stream(&[("1.1.0", "run.completed", "{}")]),
        _ => json(200, COMPLETED),
    });
    run(&server, &[]).ok();
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /v1/functions/f/submit HTTP/1.1");
    assert_eq!(requests[0].headers["idempotency-key"], requests[1].headers["idempotency-key"]);
    assert_eq!(requests[0].body, requests[1].body);
}

#[test]
fn a_failed_run_ends_with_1_and_says_why() {
    let server = Fake::new(|number, _| match number {
        0 => json(202, STARTED),
        1 => stream(&[("1.1.0", "run.failed", "{}")]),
        _ => json(200, r#"{"status":"failed","output":null,"error":{"code":"NO_STOCK","message":"sold out"}}"#),
    });
    let said = run(&server, &[]).failed(1);
    assert!(said.contains("error: run_1 failed\n  why: sold out (NO_STOCK)"), "{said}");
}

#[test]
fn a_detached_run_is_only_started() {
    let server = Fake::always(202, STARTED);
    assert_eq!(run(&server, &["--detach", "-o", "text"]).ok(), "run_1\n");
    assert_eq!(run(&server, &["--detach"]).json()["run_id"], "run_1");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn following_ends_after_the_time_that_was_given_and_the_run_does_not() {
    let server = Fake::new(|number, _| match number {
        0 => json(202, STARTED),
        _ => stream(&[]),
    });
    let said = run(&server, &["--timeout", "50ms"]).failed(1);
    assert!(said.contains("it goes on") && said.contains("bivouac runs cancel run_1"), "{said}");
}

#[test]
fn the_input_comes_from_stdin_or_a_file_and_must_be_json() {
    let server = Fake::always(202, STARTED);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.json"), "[1]").unwrap();
    let args = ["run", "function/f", "--detach", "--server", &server.url, "--input"];
    end_with_stdin(bivouac(folder.path()).args(args).arg("-"), "{\"a\": 1}").ok();
    end(bivouac(folder.path()).args(args).arg("@in.json")).ok();
    end(bivouac(folder.path()).args(args).arg("-5")).ok();
    let bodies: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(
        bodies,
        [r#"{"input":{"a": 1},"metadata":{}}"#, r#"{"input":[1],"metadata":{}}"#, r#"{"input":-5,"metadata":{}}"#]
    );
    let said = end(bivouac(folder.path()).args(args).arg("{name:Ada}")).failed(2);
    assert!(said.contains("the input is not JSON"), "{said}");
    end(bivouac(folder.path()).args(args).arg("@nothing.json")).failed(3);
    let said = end(bivouac(folder.path()).args(["run", "f", "--server", &server.url])).failed(2);
    assert!(said.contains("try: function/f or workflow/f"), "{said}");
    let said = end(bivouac(folder.path()).args(["run", "function/f", "{}", "--server", &server.url])).failed(2);
    assert!(said.contains("try: bivouac run function/f --input '{}'"), "{said}");
}
