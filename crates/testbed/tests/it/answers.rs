//! A server that is killed between a question and its answer, and right after it.

use bivouac_testbed::node::{Mode, Node, Programs};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long anything may take. Debug builds on a busy machine are slow.
const SOON: Duration = Duration::from_secs(120);
/// How many questions the run asks, one after the other.
const QUESTIONS: usize = 3;

/// Asks until the run waits for the answer to the question of this number.
fn wait_until_it_asks(node: &Node, run: &str, number: usize) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let shown = node.api().get(&format!("/v1/runs/{run}")).unwrap().json();
        if shown["questions"][0]["question"]["text"] == format!("Question {number}?") {
            return shown;
        }
        assert!(Instant::now() < deadline, "it never asks question {number}: {shown}");
    }
}

fn answer(node: &Node, run: &str, number: usize, text: &str) -> (u16, Value) {
    let body = json!({ "answer": text, "id": format!("a{number}") }).to_string();
    let answer = node.api().post(&format!("/v1/runs/{run}/answer"), &[], body.as_bytes()).unwrap();
    (answer.status, answer.json())
}

fn killed(node: Node, programs: &Programs, data: &Path) -> Node {
    node.kill().unwrap();
    Node::start(programs, data, None).unwrap()
}

#[test]
fn a_kill_between_question_and_answer_and_after_it_loses_nothing_and_asks_nothing_twice() {
    let programs = Programs::build("programs", Mode::Wasm, "dev").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut node = Node::start(&programs, &data, None).unwrap();
    node.deploy(&programs).unwrap();
    let ask = |number: usize| json!({ "ask": { "text": format!("Question {number}?"), "kind": "text" } });
    let input = json!({ "service": "http://127.0.0.1:9", "body": (1..=QUESTIONS).map(ask).collect::<Vec<_>>() });
    let started = node.api().submit("workflows/program", &[], &input).unwrap();
    let run = started.json()["run_id"].as_str().unwrap_or_else(|| panic!("{}", started.text())).to_owned();

    for number in 1..=QUESTIONS {
        wait_until_it_asks(&node, &run, number);
        node = killed(node, &programs, &data);
        let shown = wait_until_it_asks(&node, &run, number);
        assert_eq!((&shown["status"], &shown["waits_for"]), (&json!("paused"), &json!("question")), "{shown}");
        let text = format!("answer {number}");
        assert_eq!(answer(&node, &run, number, &text).0, 200);
        // What was acknowledged is on disk; whoever did not hear it says the same again.
        node = killed(node, &programs, &data);
        assert_eq!(answer(&node, &run, number, &text).0, 200);
        let (status, refused) = answer(&node, &run, number, "another answer");
        assert_eq!((status, &refused["error_code"]), (409, &json!("ALREADY_ANSWERED")), "{refused}");
    }

    let result = node.api().result(&run, SOON).unwrap();
    assert_eq!(result["output"], json!(["answer 1", "answer 2", "answer 3"]), "{result}");
    let events = node.api().events(&run).unwrap();
    let count = |wanted: &dyn Fn(&Value) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert_eq!(count(&|event| event["event_type"] == "question.answered"), QUESTIONS, "{events:#?}");
    assert_eq!(count(&|event| event["data"]["op"] == "ask"), QUESTIONS, "no question came twice: {events:#?}");
    assert_eq!(count(&|event| event["event_type"] == "run.slice_lost"), 0, "{events:#?}");
    node.stop().unwrap();
}
