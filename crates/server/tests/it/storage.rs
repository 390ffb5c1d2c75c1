//! The data directory at its worst: full, of a newer build, in use.

use bivouac_testbed::{
    Node, Shop,
    node::{Mode, Programs},
    powerloss::fill_on_demand,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(120);
const ORDER: &str = "workflows/order";

#[test]
fn on_a_full_disk_new_runs_are_refused_and_what_was_accepted_goes_on_when_there_is_room() {
    let (folder, data, programs) = place();
    let full = folder.path().join("full");
    let node = Node::start_with(&programs, &data, |command| {
        fill_on_demand(command, &data, &full).unwrap();
    });
    let node = node.unwrap();
    node.deploy(&programs).unwrap();
    let shop = Shop::start().unwrap();
    shop.hold("/reserve");
    let early = submitted(&node, &shop, "early");
    shop.wait_for("/reserve", 1, SOON).unwrap();

    fs::write(&full, "").unwrap();
    for number in 0..3 {
        let key = format!("refused-{number}");
        let answer = node.api().submit(ORDER, &[("idempotency-key", &key)], &order(&shop, &key)).unwrap();
        assert_eq!(answer.status, 507, "{}", answer.text());
        assert!(answer.text().contains("full"), "{}", answer.text());
    }
    assert_eq!(node.api().get("/health").unwrap().status, 200);
    // What is on disk can still be read.
    assert_eq!(node.api().get(&format!("/v1/runs/{early}")).unwrap().status, 200);
    shop.release("/reserve");

    fs::remove_file(&full).unwrap();
    // The loop looks again within seconds; until then it refuses.
    let late = eventually(|| {
        let answer = node.api().submit(ORDER, &[("idempotency-key", "refused-0")], &order(&shop, "refused-0")).unwrap();
        (answer.status == 202).then(|| answer.json()["run_id"].as_str().unwrap().to_owned())
    });
    for run in [&early, &late] {
        assert_eq!(node.api().result(run, SOON).unwrap()["status"], "completed");
    }
    assert_eq!(shop.conflicts(), Vec::<String>::new());
    node.stop().unwrap();
}

#[test]
fn what_was_accepted_before_the_disk_was_full_survives_a_restart() {
    let (folder, data, programs) = place();
    let full = folder.path().join("full");
    let node = Node::start_with(&programs, &data, |command| {
        fill_on_demand(command, &data, &full).unwrap();
    });
    let node = node.unwrap();
    node.deploy(&programs).unwrap();
    let shop = Shop::start().unwrap();
    shop.hold("/reserve");
    let runs: Vec<String> = (0..5).map(|number| submitted(&node, &shop, &format!("run-{number}"))).collect();
    shop.wait_for("/reserve", 5, SOON).unwrap();
    fs::write(&full, "").unwrap();
    shop.release("/reserve");
    let answer = node.api().submit(ORDER, &[], &order(&shop, "refused")).unwrap();
    assert_eq!(answer.status, 507, "{}", answer.text());
    node.kill().unwrap();

    let node = Node::start(&programs, &data, None).unwrap();
    for run in &runs {
        assert_eq!(node.api().result(run, SOON).unwrap()["status"], "completed");
    }
    node.stop().unwrap();
}

#[test]
fn a_second_server_on_the_same_data_is_told_who_has_it() {
    let (_folder, data, programs) = place();
    let mut first = Node::start(&programs, &data, None).unwrap();
    let said = refusal(&programs, &data);
    assert!(said.contains("in use by process") && said.contains(&first.process().id().to_string()), "{said}");
    first.stop().unwrap();
}

#[test]
fn data_of_a_newer_build_is_left_alone() {
    let (_folder, data, programs) = place();
    Node::start(&programs, &data, None).unwrap().stop().unwrap();
    let db = rusqlite::Connection::open(data.join("bivouac.db")).unwrap();
    db.execute("UPDATE meta SET format = 1000", []).unwrap();
    drop(db);
    let said = refusal(&programs, &data);
    assert!(said.contains("format 1000") && said.contains("newer build"), "{said}");
}

#[test]
fn data_that_is_no_database_is_left_alone() {
    let (_folder, data, programs) = place();
    fs::write(data.join("bivouac.db"), "not a database, and longer than a header would be".repeat(100)).unwrap();
    let said = refusal(&programs, &data);
    assert!(said.contains("damaged"), "{said}");
}

fn place() -> (tempfile::TempDir, PathBuf, Programs) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let programs = Programs::build("order", Mode::Wasm, "dev").unwrap();
    (folder, data, programs)
}

/// What a server says that does not start.
fn refusal(programs: &Programs, data: &Path) -> String {
    let mut process = Node::spawn(programs, data, |_| {}).unwrap();
    let status = process.wait(SOON).unwrap();
    assert!(!status.success(), "it started");
    process.output()
}

fn submitted(node: &Node, shop: &Shop, key: &str) -> String {
    let answer = node.api().submit(ORDER, &[("idempotency-key", key)], &order(shop, key)).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["run_id"].as_str().unwrap().to_owned()
}

fn order(shop: &Shop, number: &str) -> Value {
    json!({ "service": shop.origin(), "order_id": number, "items": [{ "sku": "tent", "quantity": 1 }] })
}

fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        std::thread::yield_now();
    }
}
