//! More runs than the server takes at once: the rest is refused, what was accepted finishes, memory stays bounded.

use bivouac_testbed::{
    Api, Node, Shop,
    node::{Mode, Programs},
};
use serde_json::{Value, json};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

const RUNS: usize = 10_000;
const AT_LEAST: usize = 5_000;
/// Requests that are under way at once.
const CLIENTS: usize = 64;
/// The most memory that the server may have held, in bytes.
const MAX_MEMORY: u64 = 300 << 20;
const FINISH_WITHIN: Duration = Duration::from_secs(300);

#[test]
fn of_ten_thousand_runs_at_once_many_are_accepted_and_the_rest_is_told_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::build("programs", Mode::Wasm, "dev").unwrap();
    let mut node = Node::start(&programs, &folder.path().join("data"), None).unwrap();
    node.deploy(&programs).unwrap();
    let shop = Shop::start().unwrap();
    // Nothing ends before everything has been sent, so that it is all there at once.
    shop.hold("/echo/1");
    let input = json!({ "service": shop.origin(), "body": [{ "http": { "method": "GET", "path": "/echo/1" } }] });

    let (accepted, refused) = submit_all(node.address(), &input);
    println!("{} accepted, {refused} refused with 429", accepted.len());
    assert_eq!(accepted.len() + refused, RUNS);
    assert!(accepted.len() >= AT_LEAST, "{}", accepted.len());
    assert!(refused > 0, "nothing was refused: the queue has no limit");

    shop.release("/echo/1");
    for run in &accepted {
        let result = node.api().result(run, FINISH_WITHIN).unwrap();
        assert_eq!(result["status"], "completed", "{result}");
    }
    assert_eq!(node.api().metric("runs_completed").unwrap(), accepted.len() as u64);
    let peak = node.process().peak_memory().unwrap();
    println!("the server held at most {} MiB", peak >> 20);
    assert!(peak < MAX_MEMORY, "{peak}");
    let again = node.api().run("workflows/program", &json!({ "service": "", "body": ["now"] })).unwrap();
    assert_eq!(again.json()["status"], "completed", "{}", again.text());
    node.stop().unwrap();
}

/// Gives the runs that were accepted, and how many were refused.
fn submit_all(address: std::net::SocketAddr, input: &Value) -> (Vec<String>, usize) {
    let (next, refused, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let api = Api::new(address);
                while next.fetch_add(1, Relaxed) < RUNS {
                    let answer = api.submit("workflows/program", &[], input).unwrap();
                    match answer.status {
                        202 => {
                            let run = answer.json()["run_id"].as_str().unwrap().to_owned();
                            accepted.lock().unwrap().push(run);
                        }
                        429 => {
                            let seconds: u64 = answer.headers["retry-after"].parse().unwrap();
                            assert!((1..=60).contains(&seconds), "{seconds}");
                            refused.fetch_add(1, Relaxed);
                        }
                        status => panic!("{status}: {}", answer.text()),
                    }
                }
            });
        }
    });
    (accepted.into_inner().unwrap(), refused.into_inner())
}
