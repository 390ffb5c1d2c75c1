//! Events: every one of them, once, in order, however they are read.

use crate::api_support::{Api, BIG, Sent, parse_stream, send};
use bivouac_protocol::Code;
use reqwest::Method;
use serde_json::{Value, json};

/// How many events a `talk` has at least: more where it lets go of its guest while it waits.
const FEWEST_EVENTS: usize = 16;

/// All events of a run as the list gives them.
async fn listed(api: &Api, run: &str) -> Vec<Value> {
    api.get(&format!("/v1/runs/{run}/events")).await.json["items"].as_array().unwrap().clone()
}

async fn talk(api: &Api) -> String {
    let id = api.submit("workflows/talk", "{\"n\": 1}").await;
    api.until(&id, "run.completed").await;
    id
}

fn ids(events: &[Sent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_a_run_tell_its_story_without_a_gap() {
    let api = Api::start().await;
    let id = talk(&api).await;
    let all = listed(&api, &id).await;
    for (index, event) in all.iter().enumerate() {
        assert_eq!(event["sequence"], index as u64 + 1);
        assert_eq!(event["run_id"], id.as_str());
        for field in ["id", "data", "metadata", "step_key", "timestamp_ns", "created_at", "timestamp"] {
            assert!(event.get(field).is_some(), "{field} of {event}");
        }
    }
    // A wait that is over before the turn is on disk lets go of nothing.
    let is_pause = |event: &Value| matches!(event["event_type"].as_str(), Some("workflow.paused" | "workflow.resumed"));
    let events: Vec<_> = all.into_iter().filter(|event| !is_pause(event)).collect();
    let types: Vec<_> = events.iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "run.queued",
            "run.started",
            "workflow.started",
            "step.completed",
            "output.delta",
            "emit",
            "emit",
            "log",
            "effect.started",
            "effect.completed",
            "step.failed",
            "output.delta",
            "effect.started",
            "effect.completed",
            "workflow.completed",
            "run.completed",
        ]
    );
    assert_eq!(events[0]["input_data"], json!({"n": 1}));
    assert_eq!((&events[3]["step_key"], &events[10]["step_key"]), (&"greet".into(), &"charge".into()));
    assert_eq!(events[10]["data"]["error_code"], "DECLINED");
    // What an author tells cannot be taken for what happened to the run, nor break out of its line.
    assert_eq!(events[5]["data"], json!({"name": "run.completed", "data": {"forged": true}}));
    assert_eq!(events[6]["data"]["name"], "two\nlines");
    assert_eq!(events[7]["data"], json!({"level": "info", "message": "a line for the log"}));
    let text = api.get(&format!("/v1/runs/{id}/events")).await.text;
    assert!(text.contains(&format!("{{\"n\": {BIG}}}")), "a step's value is the text it was");
    assert!(text.contains(&format!("\"output_data\":[{BIG}]")));
    assert!(!text.contains("seed"), "{text}");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_any_size_give_the_same_events() {
    let api = Api::start().await;
    let id = talk(&api).await;
    let all = listed(&api, &id).await;
    for limit in 1..=all.len() + 1 {
        let (mut paged, mut next) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/v1/runs/{id}/events?limit={limit}{next}")).await.json;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit && page["count"] == items.len());
            paged.extend(items.clone());
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&after={cursor}");
        }
        assert_eq!(paged, all, "pages of {limit}");
    }
    // A place may be told by an event's id or by its number.
    for (index, event) in all.iter().enumerate() {
        for after in [event["id"].as_str().unwrap().to_owned(), event["sequence"].to_string()] {
            let rest = api.get(&format!("/v1/runs/{id}/events?after={after}")).await.json;
            assert_eq!(rest["items"].as_array().unwrap(), &all[index + 1..], "after {after}");
        }
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_gives_what_the_list_gives_and_ends_after_the_last_event() {
    let api = Api::start().await;
    let response = api.request(Method::POST, "/v1/workflows/talk/stream").body("1").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let sent = parse_stream(&response.text().await.unwrap());
    let run = sent[0].data["run_id"].as_str().unwrap().to_owned();
    let all = listed(&api, &run).await;
    assert_eq!(sent.iter().map(|event| event.data.clone()).collect::<Vec<_>>(), all);
    for event in &sent {
        assert_eq!(
            (&event.data["id"], &event.data["event_type"]),
            (&event.id.as_str().into(), &event.event.as_str().into())
        );
    }
    assert_eq!(sent.last().unwrap().event, "run.completed");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_after_any_event_and_gives_each_once() {
    let api = Api::start().await;
    let id = talk(&api).await;
    let path = format!("/v1/runs/{id}/stream");
    let whole = parse_stream(&api.get(&path).await.text);
    assert_eq!(whole.len(), listed(&api, &id).await.len());
    for (index, event) in whole.iter().enumerate() {
        let request = api.request(Method::GET, &path).header("last-event-id", &event.id);
        let rest = parse_stream(&send(request).await.text);
        assert_eq!(rest, whole[index + 1..], "after {}", event.id);
    }
    let request = api.request(Method::GET, &path).header("last-event-id", "yesterday");
    send(request).await.is_error(400, Code::BAD_REQUEST, &["`yesterday` is no event's id", "12.7.0"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_that_breaks_off_at_any_event_is_resumed_without_loss() {
    let api = Api::start().await;
    for cut in 1..FEWEST_EVENTS {
        let mut response = api.request(Method::POST, "/v1/workflows/talk/stream").body("1").send().await.unwrap();
        let mut text = String::new();
        while parse_stream(&text).len() < cut {
            text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        }
        drop(response);
        let mut events = parse_stream(&text);
        events.truncate(cut);
        let run = events[0].data["run_id"].as_str().unwrap().to_owned();
        let request = api.request(Method::GET, &format!("/v1/runs/{run}/stream"));
        let last = events.last().unwrap().id.clone();
        events.extend(parse_stream(&send(request.header("last-event-id", last)).await.text));
        let all = listed(&api, &run).await;
        assert_eq!(
            ids(&events),
            all.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>(),
            "cut at {cut}"
        );
        assert!(all.len() >= FEWEST_EVENTS);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_ends_its_stream_with_the_error_as_text() {
    let api = Api::start().await;
    let sent = parse_stream(&api.post("/v1/functions/luckless/stream", "1").await.text);
    let last = sent.last().unwrap();
    assert_eq!(last.event, "run.failed");
    assert_eq!(last.data["data"]["error"], "not today: try a horseshoe");
    assert_eq!(last.data["data"]["error_code"], "NO_LUCK");
    assert_eq!(sent.iter().filter(|event| event.data["data"].get("error").is_some()).count(), 1);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_waiting_run_stays_open_until_the_run_is_cancelled() {
    let api = Api::start().await;
    let id = api.submit("workflows/waits", "null").await;
    let mut response = api.request(Method::GET, &format!("/v1/runs/{id}/stream")).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("event: workflow.paused") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    api.post(&format!("/v1/runs/{id}/cancel"), r#"{"mode":"now"}"#).await;
    text.push_str(&response.text().await.unwrap());
    let events = parse_stream(&text);
    assert_eq!(events.last().unwrap().event, "run.cancelled");
    assert_eq!(events.last().unwrap().data["data"]["reason"], "manual");
    assert!(events.iter().any(|event| event.event == "run.cancel_requested"));
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_open_streams_and_answers_who_waits() {
    let api = Api::start().await;
    let id = api.submit("workflows/waits", "null").await;
    api.until(&id, "workflow.paused").await;
    let stream = api.request(Method::GET, &format!("/v1/runs/{id}/stream")).send().await.unwrap();
    let waiting = tokio::spawn(send(api.request(Method::POST, "/v1/workflows/waits/run").body("1")));
    let metrics = api.server.driver().metrics().clone();
    while metrics.runs_accepted.load(std::sync::atomic::Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    api.shutdown().await;
    assert!(!stream.text().await.unwrap().contains("run.cancelled"), "the run goes on at the next start");
    assert_eq!(waiting.await.unwrap().status, 202);
}
