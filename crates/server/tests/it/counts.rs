//! Counts: how often a run is driven, committed and synced. They are no timings, so they are exact.

use crate::local::{Local, SOON, native};
use bivouac_server::metrics::Metrics;
use bivouac_testbed::{
    Node, Shop,
    node::{Mode, Programs},
    powerloss::{Counts, count_only, read_counts},
};
use serde_json::{Value, json};
use std::{path::Path, sync::atomic::AtomicU64, thread};

/// The most bytes that an order of six steps may write alone: each of its eight commits writes whole pages.
const ORDER_BYTES_ALONE: u64 = 192 << 10;
/// The most bytes that it may write on average where many share a commit.
const ORDER_BYTES_TOGETHER: u64 = 128 << 10;

const COMMITS: fn(&Metrics) -> &AtomicU64 = |metrics| &metrics.commits;
const TURNS: fn(&Metrics) -> &AtomicU64 = |metrics| &metrics.turns;

#[test]
fn a_function_that_only_computes_is_driven_once_and_committed_twice() {
    let local = Local::start(vec![native("hello", hello::guest)]);
    let spent = spent(&local, || completed(&local, "functions/hello", &json!({ "name": "Ada" })));
    assert_eq!(spent, Spent { turns: 1, commits: 2 });
}

#[test]
fn ten_steps_that_only_compute_are_not_committed_one_by_one() {
    let local = Local::start(vec![native("programs", programs::guest)]);
    let steps: Vec<Value> =
        (0..10).map(|n| json!({ "step": { "name": format!("step-{n}"), "body": ["random", "uuid"] } })).collect();
    let spent = spent(&local, || completed(&local, "workflows/program", &program("", &steps)));
    assert_eq!(spent, Spent { turns: 1, commits: 2 });
}

#[test]
fn safe_requests_leave_without_a_commit() {
    let (local, shop) = (Local::start(vec![native("programs", programs::guest)]), Shop::start().unwrap());
    let gets: Vec<Value> = (0..5).map(|n| request("GET", &format!("/echo/{n}"))).collect();
    let spent = spent(&local, || completed(&local, "workflows/program", &program(&shop.origin(), &gets)));
    assert_eq!(spent, Spent { turns: 6, commits: 2 });
}

#[test]
fn each_keyed_request_leaves_after_a_commit() {
    let (local, shop) = (Local::start(vec![native("programs", programs::guest)]), Shop::start().unwrap());
    let posts: Vec<Value> = (0..5).map(|n| request("POST", &format!("/echo/{n}"))).collect();
    let spent = spent(&local, || completed(&local, "workflows/program", &program(&shop.origin(), &posts)));
    assert_eq!(spent, Spent { turns: 6, commits: 7 });
}

#[test]
fn a_keyed_request_is_on_disk_when_it_arrives_and_a_safe_one_is_not() {
    let (local, shop) = (Local::start(vec![native("programs", programs::guest)]), Shop::start().unwrap());
    for (method, on_disk) in [("GET", 0), ("POST", 1)] {
        let path = format!("/echo/{method}");
        shop.hold(&path);
        let run = submit(&local, "workflows/program", &program(&shop.origin(), &[request(method, &path)]));
        shop.wait_for(&path, 1, SOON).unwrap();
        let events = local.api().events(&run).unwrap();
        let started = events.iter().filter(|event| event["event_type"] == "effect.started").count();
        assert_eq!(started, on_disk, "{method}: {events:#?}");
        shop.release(&path);
        assert_eq!(local.api().result(&run, SOON).unwrap()["status"], "completed");
    }
}

#[test]
fn an_order_of_six_steps_takes_nine_turns_and_eight_commits() {
    let (local, shop) = (Local::start(vec![native("order", order::guest)]), Shop::start().unwrap());
    // One of the concurrent steps ends before the other, so that each has a turn of its own.
    shop.hold("/charge");
    let before = (local.count(TURNS), local.count(COMMITS));
    let run = submit(&local, "workflows/order", &an_order(&shop, 1));
    // 1 memory is read, 2 reserve leaves, 3 charge and notify_warehouse leave, 4 the second of them is there.
    local.wait_for(TURNS, before.0 + 4);
    shop.release("/charge");
    // 5 ship, 6 invoice and 7 confirm leave, 8 memory is written, 9 the end.
    assert_eq!(local.api().result(&run, SOON).unwrap()["status"], "completed");
    let turns = local.count(TURNS) - before.0;
    // The acceptance and every turn besides the first and the fourth, from which nothing leaves that needs a commit.
    let commits = local.count(COMMITS) - before.1;
    assert_eq!((turns, commits), (9, 8));
    let calls: u64 = shop.counts().values().sum();
    assert_eq!(calls, 6);
}

#[test]
fn every_commit_is_one_sync() {
    let counted = Counted::start("order");
    let shop = Shop::start().unwrap();
    let before = counted.now();
    for number in 0..20 {
        completed_at(&counted.node, &an_order(&shop, number));
    }
    thread::scope(|scope| {
        for client in 0..8 {
            let (address, shop) = (counted.node.address(), &shop);
            scope.spawn(move || {
                let api = bivouac_testbed::Api::new(address);
                for number in 0..5 {
                    let answer = api.run("workflows/order", &an_order(shop, 100 + client * 10 + number)).unwrap();
                    assert_eq!(answer.json()["status"], "completed", "{}", answer.text());
                }
            });
        }
    });
    let after = counted.now();
    let (commits, syncs) = (after.commits - before.commits, after.io.file_syncs - before.io.file_syncs);
    assert!(commits >= 20 * 8, "{commits} commits");
    // The log is far from the size at which it is copied into the database, which takes syncs of its own.
    assert_eq!(syncs, commits);
    assert_eq!(after.io.directory_syncs, before.io.directory_syncs);
}

#[test]
fn the_bytes_that_an_order_writes_are_bounded() {
    const MANY: u64 = 64;
    let counted = Counted::start("order");
    let shop = Shop::start().unwrap();
    completed_at(&counted.node, &an_order(&shop, 0));
    let before = counted.now();
    (1..=10).for_each(|number| completed_at(&counted.node, &an_order(&shop, number)));
    let alone = (counted.now().io.bytes - before.io.bytes) / 10;

    let before = counted.now();
    let api = counted.node.api();
    let runs: Vec<String> = (0..MANY)
        .map(|number| {
            let answer = api.submit("workflows/order", &[], &an_order(&shop, 100 + number)).unwrap();
            answer.json()["run_id"].as_str().unwrap().to_owned()
        })
        .collect();
    runs.iter().for_each(|run| assert_eq!(api.result(run, SOON).unwrap()["status"], "completed"));
    let after = counted.now();
    let together = (after.io.bytes - before.io.bytes) / MANY;
    let commits = after.commits - before.commits;
    println!("an order writes {alone} bytes alone, {together} bytes where {MANY} share {commits} commits");
    assert!(alone < ORDER_BYTES_ALONE, "{alone}");
    assert!(together < ORDER_BYTES_TOGETHER, "{together}");
}

#[derive(Debug, PartialEq, Eq)]
struct Spent {
    turns: u64,
    commits: u64,
}

fn spent(local: &Local, act: impl FnOnce()) -> Spent {
    let before = (local.count(TURNS), local.count(COMMITS));
    act();
    Spent { turns: local.count(TURNS) - before.0, commits: local.count(COMMITS) - before.1 }
}

fn completed(local: &Local, component: &str, input: &Value) {
    let answer = local.api().run(component, input).unwrap();
    assert_eq!(answer.json()["status"], "completed", "{}", answer.text());
}

fn completed_at(node: &Node, order: &Value) {
    let answer = node.api().run("workflows/order", order).unwrap();
    assert_eq!(answer.json()["status"], "completed", "{}", answer.text());
}

fn submit(local: &Local, component: &str, input: &Value) -> String {
    let answer = local.api().submit(component, &[], input).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["run_id"].as_str().unwrap().to_owned()
}

fn an_order(shop: &Shop, number: u64) -> Value {
    json!({
        "service": shop.origin(),
        "order_id": format!("order-{number}"),
        "items": [{ "sku": "tent", "quantity": 1 }, { "sku": "stove", "quantity": 2 }],
    })
}

fn program(service: &str, body: &[Value]) -> Value {
    json!({ "service": service, "body": body })
}

fn request(method: &str, path: &str) -> Value {
    json!({ "http": { "method": method, "path": path } })
}

/// A server in a process of its own, whose syncs and writes are counted.
struct Counted {
    node: Node,
    folder: tempfile::TempDir,
}

struct Now {
    commits: u64,
    io: Counts,
}

impl Counted {
    fn start(package: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let programs = Programs::build(package, Mode::Wasm, "dev").unwrap();
        let counts = counts_in(folder.path());
        let node = Node::start_with(&programs, &data, |command| {
            count_only(command, &data, &counts).unwrap();
        });
        let node = node.unwrap();
        node.deploy(&programs).unwrap();
        Self { node, folder }
    }

    fn now(&self) -> Now {
        let commits = self.node.api().metric("commits").unwrap();
        Now { commits, io: read_counts(&counts_in(self.folder.path())).unwrap() }
    }
}

fn counts_in(folder: &Path) -> std::path::PathBuf {
    folder.join("counts")
}
