//! The module on the foreign host: each request gets an instance of its own, and the key-value server is all that lasts.

use crate::{etcd::Etcd, host::Host, world::World};
use bivouac::standalone::LEASE_MS;
use foreign::wire::Message;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

struct Stage {
    host: Host,
    world: World,
    _etcd: Etcd,
}

impl Stage {
    async fn set() -> Self {
        let etcd = Etcd::start();
        let world = World::default();
        let url = world.serve().await;
        let host = Host::new(&[("etcd.example", &etcd.url), ("world.example", &url)]);
        Self { host, world, _etcd: etcd }
    }

    async fn call(&self, user: &str, method: &str, params: Value, kill_after: Option<&str>) -> Option<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let headers = [
            ("host", "trips.example".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("a2a-version", "1.0".to_owned()),
            ("authorization", format!("Bearer key-of-{user}")),
        ];
        let request = Message {
            line: "POST /agents/trips/a2a/jsonrpc".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: body.into(),
        };
        let response = self.host.handle(request, kill_after).await?;
        Some(serde_json::from_slice(&response.body).unwrap())
    }

    async fn send(&self, user: &str, id: &str, task: Option<&str>, text: &str) -> Value {
        self.call(user, "SendMessage", message(id, task, text), None).await.unwrap()
    }
}

fn message(id: &str, task: Option<&str>, text: &str) -> Value {
    let mut message = json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": text }] });
    if let Some(task) = task {
        message["taskId"] = json!(task);
    }
    json!({ "message": message })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_though_each_request_gets_an_instance_of_its_own() {
    let stage = Stage::set().await;
    let asked = stage.send("ada", "m1", None, "Lisbon").await;
    let task = &asked["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{asked}");
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "How many days in Lisbon?");
    let id = task["id"].as_str().unwrap();
    let again = stage.send("ada", "m2", Some(id), "some").await;
    assert_eq!(again["result"]["task"]["status"]["message"]["parts"][0]["text"], "A number, please.");
    let done = stage.send("ada", "m3", Some(id), "4").await;
    let task = &done["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
    assert_eq!(
        task["artifacts"][0]["parts"][0]["text"],
        "Lisbon, 4 days: sun over Lisbon; the inn of Lisbon; booking 1"
    );
    assert_eq!(*stage.world.asked.lock().unwrap(), ["weather Lisbon", "hotels Lisbon"]);
    // Memory outlives the task, for this user alone.
    let next = stage.send("ada", "m4", None, "Porto").await;
    let id = next["result"]["task"]["id"].as_str().unwrap();
    let told = stream(&stage, "ada", id).await;
    assert!(told.contains("last time it was Lisbon"), "{told}");
    let other = stage.send("bob", "m4", None, "Porto").await;
    let told = stream(&stage, "bob", other["result"]["task"]["id"].as_str().unwrap()).await;
    assert!(!told.contains("last time"), "{told}");
}

/// Everything that was told of a task.
async fn stream(stage: &Stage, user: &str, id: &str) -> String {
    let request = Message {
        line: format!("GET /agents/trips/a2a/rest/tasks/{id}:subscribe"),
        headers: [
            ("a2a-version", "1.0".to_owned()),
            ("last-event-id", "1.0".to_owned()),
            ("authorization", format!("Bearer key-of-{user}")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
        body: bytes::Bytes::new(),
    };
    let response = stage.host.handle(request, None).await.unwrap();
    assert!(response.headers.iter().any(|(name, value)| name == "content-type" && value == "text/event-stream"));
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_killed_after_the_booking_books_once() {
    let stage = Stage::set().await;
    let asked = stage.send("ada", "m1", None, "Lisbon").await;
    let id = asked["result"]["task"]["id"].as_str().unwrap().to_owned();
    let killed = stage.call("ada", "SendMessage", message("m2", Some(&id), "4"), Some("/bookings")).await;
    assert_eq!(killed, None);
    assert_eq!(stage.world.bookings.lock().unwrap().values().copied().collect::<Vec<_>>(), [1]);
    let early = stage.send("ada", "m2", Some(&id), "4").await;
    assert_eq!(early["result"]["task"]["status"]["state"], "TASK_STATE_WORKING", "{early}");
    stage.host.ahead_ms.store(LEASE_MS + 1_000, Ordering::Relaxed);
    let done = stage.send("ada", "m2", Some(&id), "4").await;
    assert_eq!(done["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
    // It was asked for twice, under one key: the world counted one booking.
    assert_eq!(stage.world.bookings.lock().unwrap().values().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(
        done["result"]["task"]["artifacts"][0]["parts"][0]["text"],
        "Lisbon, 4 days: sun over Lisbon; the inn of Lisbon; booking 1"
    );
    // What was answered before the kill is not fetched again.
    assert_eq!(*stage.world.asked.lock().unwrap(), ["weather Lisbon", "hotels Lisbon"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_answers_at_once_from_two_instances_count_once() {
    let stage = Stage::set().await;
    for round in 0..5 {
        let asked = stage.send("ada", &format!("a{round}"), None, "Lisbon").await;
        let id = asked["result"]["task"]["id"].as_str().unwrap().to_owned();
        let (one, other) = (format!("b{round}"), format!("c{round}"));
        let (one, other) =
            tokio::join!(stage.send("ada", &one, Some(&id), "4"), stage.send("ada", &other, Some(&id), "5"));
        let wins = [&one, &other].into_iter().filter(|answer| answer.get("result").is_some()).count();
        assert_eq!(wins, 1, "{one}\n{other}");
        assert_eq!(stage.world.bookings.lock().unwrap().len(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_the_agent_says_so_and_loses_nothing() {
    let mut stage = Stage::set().await;
    let asked = stage.send("ada", "m1", None, "Lisbon").await;
    let id = asked["result"]["task"]["id"].as_str().unwrap().to_owned();
    let whole = std::mem::replace(&mut stage.host, Host::new(&[]));
    let lost = stage.call("ada", "GetTask", json!({ "id": id }), None).await.unwrap();
    assert_eq!(lost["error"]["code"], -32046, "{lost}");
    stage.host = whole;
    let found = stage.call("ada", "GetTask", json!({ "id": id }), None).await.unwrap();
    assert_eq!(found["result"]["status"], asked["result"]["task"]["status"]);
}
