//! Streams that are cut: at every event, and across a restart, each event is told once.

use super::{
    a2a_support::{BOTH, Client, Event, Via, agents, message, start, told},
    api_support::Api,
};
use serde_json::{Value, json};

/// Every event of a task after the last that was seen, over as many subscriptions as it takes. Each begins with the task
/// as it was there.
async fn resume(client: &Client<'_>, task: &Value, seen: &Event) -> Vec<Event> {
    let (mut events, mut last) = (Vec::new(), seen.id.clone());
    loop {
        let resumed = client.clone().with("last-event-id", &last).stream("SubscribeToTask", json!({"id": task})).await;
        let (snapshot, rest) = resumed.split_first().unwrap();
        assert_eq!(snapshot.id, last);
        assert_eq!(&snapshot.data["task"]["id"], task);
        events.extend_from_slice(rest);
        let Some(latest) = rest.last() else { return events };
        last.clone_from(&latest.id);
        let state = latest.data["statusUpdate"]["status"]["state"].as_str().unwrap();
        if state != "TASK_STATE_INPUT_REQUIRED" {
            return events;
        }
    }
}

/// A whole conversation, event by event.
async fn conversation(client: &Client<'_>, id: &str) -> (Value, Vec<Event>) {
    let mut events = client.stream("SendStreamingMessage", json!({"message": message(id, "twice")})).await;
    let task = events[0].data["task"]["id"].clone();
    for (n, said) in ["Rome", "today"].into_iter().enumerate() {
        let mut answer = message(&format!("{id}-{n}"), said);
        answer["taskId"] = task.clone();
        let more = client.stream("SendStreamingMessage", json!({"message": answer})).await;
        // The task as it was when the answer was taken stands for the event that says so.
        let taken =
            Event { id: more[0].id.clone(), data: json!({"statusUpdate": {"status": more[0].data["task"]["status"]}}) };
        events.push(taken);
        events.extend_from_slice(&more[1..]);
    }
    (task, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_at_any_event_goes_on_there_and_tells_each_event_once() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let whole =
            client.stream("SendStreamingMessage", json!({"message": message(&format!("m-{via:?}"), "tell")})).await;
        assert_eq!(whole.len(), 8);
        let task = &whole[0].data["task"]["id"];
        for (cut, seen) in whole.iter().enumerate() {
            assert_eq!(resume(&client, task, seen).await, whole[cut + 1..], "cut after {}", seen.id);
        }
        let (task, whole) = conversation(&client, &format!("c-{via:?}")).await;
        let expected = [
            "task SUBMITTED",
            "WORKING",
            "INPUT_REQUIRED Where to?",
            "WORKING",
            "INPUT_REQUIRED When?",
            "WORKING",
            "COMPLETED Rome today",
        ];
        assert_eq!(told(&whole), expected);
        for (cut, seen) in whole.iter().enumerate() {
            let resumed = resume(&client, &task, seen).await;
            assert_eq!(told(&resumed), expected[cut + 1..], "cut after {}", seen.id);
            let ids: Vec<_> = resumed.iter().map(|event| &event.id).collect();
            assert_eq!(ids, whole[cut + 1..].iter().map(|event| &event.id).collect::<Vec<_>>());
        }
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_task_as_it_was_where_the_stream_was_cut() {
    let api = start().await;
    let client = Client::new(&api, Via::Rest, "guide");
    let whole = client.stream("SendStreamingMessage", json!({"message": message("m", "tell")})).await;
    let mut pieces = Vec::new();
    for seen in &whole {
        let resumed = client.clone().with("last-event-id", &seen.id);
        let first = resumed.stream("SubscribeToTask", json!({"id": whole[0].data["task"]["id"]})).await.remove(0);
        let artifacts = first.data["task"]["artifacts"].as_array().unwrap();
        pieces.push(artifacts.first().map_or(0, |artifact| artifact["parts"].as_array().unwrap().len()));
    }
    assert_eq!(pieces, [0, 0, 0, 1, 2, 2, 3, 3]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_told_is_no_place_to_go_on() {
    let api = start().await;
    let client = Client::new(&api, Via::JsonRpc, "guide");
    let asked = client.begin("m", "ask").await;
    for seen in ["99999.0", "0.0", "garbage"] {
        let mut stream = client
            .clone()
            .with("last-event-id", seen)
            .open("SubscribeToTask", json!({"id": asked["id"]}))
            .await
            .unwrap();
        assert_eq!(told(&[stream.next().await.unwrap()]), ["task INPUT_REQUIRED Where to?"], "{seen}");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_task_tell_the_same_and_one_that_closes_disturbs_no_other() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let asked = client.begin(&format!("m-{via:?}"), "ask").await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream = client.open("SubscribeToTask", json!({"id": asked["id"]})).await.unwrap();
            stream.next().await.unwrap();
            streams.push(stream);
        }
        drop(streams.pop());
        client.answer(&asked, &format!("a-{via:?}"), "Rome").await.unwrap();
        for stream in streams {
            assert_eq!(told(&stream.rest().await), ["WORKING", "artifact ticket.", "COMPLETED to Rome"]);
        }
    }
    api.shutdown().await;
}

/// Reads a stream up to so many events, and goes away.
async fn some(client: &Client<'_>, id: &str, text: &str, count: usize) -> Vec<Event> {
    let mut stream = client.open("SendStreamingMessage", json!({"message": message(id, text)})).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(stream.next().await.unwrap());
    }
    events
}

async fn restarted(api: Api) -> Api {
    api.restart_with(vec![agents()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_by_a_restart_goes_on_after_it() {
    let mut api = start().await;
    for (n, via) in BOTH.into_iter().cycle().take(6).enumerate() {
        let id = format!("m-{n}");
        let before = some(&Client::new(&api, via, "guide"), &id, "tell", n + 1).await;
        api = restarted(api).await;
        let client = Client::new(&api, via, "guide");
        let task = &before[0].data["task"]["id"];
        let after = resume(&client, task, before.last().unwrap()).await;
        let all: Vec<_> = before.iter().chain(&after).cloned().collect();
        let expected = [
            "task SUBMITTED",
            "WORKING",
            "WORKING one \u{2028} two",
            "artifact log",
            "artifact log+",
            "WORKING three",
            "artifact log+.",
            "COMPLETED told",
        ];
        assert_eq!(told(&all), expected);
        // The message sent again finds the same task, and tells it from its beginning.
        let again = client.stream("SendStreamingMessage", json!({"message": message(&id, "tell")})).await;
        assert_eq!(again, all);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_asked_before_a_restart_is_answered_after_it() {
    let api = start().await;
    let asked = Client::new(&api, Via::Rest, "guide").begin("m", "ask").await;
    let api = restarted(api).await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let shown = client.call("GetTask", json!({"id": asked["id"]})).await.unwrap();
        if via == Via::JsonRpc {
            assert_eq!(shown, asked);
        }
        let done = client.answer(&asked, "a", "Rome").await.unwrap();
        assert_eq!(done["status"]["message"]["parts"][0]["text"], "to Rome");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_nothing_to_tell_says_that_it_lives() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let asked = client.begin(&format!("m-{via:?}"), "ask").await;
        let mut response = client.raw("SubscribeToTask", &json!({"id": asked["id"]})).await;
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let began = std::time::Instant::now();
        let first = response.chunk().await.unwrap().unwrap();
        assert!(first.starts_with(b"id: "), "the task comes first");
        assert_eq!(&response.chunk().await.unwrap().unwrap()[..], b":\n\n");
        assert!(began.elapsed().as_secs_f64() < 4.5, "some clients wait no longer than 5 s");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_outlives_the_attempt_that_asked() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let asked = client.begin(&format!("m-{via:?}"), "flaky").await;
        let mut answer = message(&format!("a-{via:?}"), "Rome");
        answer["taskId"] = asked["id"].clone();
        let events = client.stream("SendStreamingMessage", json!({"message": answer})).await;
        assert_eq!(told(&events), ["task WORKING", "COMPLETED Rome in attempt 2"]);
    }
    api.shutdown().await;
}
