//! Runs over the API: started, waited for, found again, listed, ended.

use crate::api_support::{Api, BIG, manifest, module, parse_stream, script, send};
use bivouac_protocol::Code;
use bivouac_server::Config;
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_answered_with_its_output_as_the_text_it_was() {
    let api = Api::start().await;
    let body = format!(" {{\"n\": {BIG}, \"x\": [1,  2]}}\n");
    let answer = api.post("/v1/functions/echo/run", body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains(body.trim()), "{}", answer.text);
    assert_eq!(answer.json["status"], "completed");
    assert_eq!(answer.json["status_code"], 200);
    assert_eq!(answer.json["component"], "echo");
    assert!(answer.json["duration_ms"].is_u64() && answer.json["created_at"].is_string());
    let id = answer.json["run_id"].as_str().unwrap();
    for path in [format!("/v1/result/{id}"), format!("/v1/runs/{id}/output"), format!("/v1/runs/{id}")] {
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(&format!("\"output\":{}", body.trim())), "{path}: {}", answer.text);
        assert_eq!(answer.json["status_code"], 200);
    }
    // No body is `null`.
    assert_eq!(api.post("/v1/functions/echo/run", "").await.json["output"], serde_json::Value::Null);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_a_good_answer_that_says_failed() {
    let api = Api::start().await;
    let answer = api.post("/v1/functions/luckless/run", "null").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["status"], "failed");
    assert_eq!(answer.json["status_code"], 500);
    assert_eq!(answer.json["error"]["code"], "NO_LUCK");
    assert_eq!(answer.json["error"]["message"], "not today: try a horseshoe");
    let id = answer.json["run_id"].as_str().unwrap();
    for path in [format!("/v1/result/{id}"), format!("/v1/status/{id}"), format!("/v1/runs/{id}")] {
        let answer = api.get(&path).await;
        assert_eq!((answer.status.as_u16(), &answer.json["error_code"]), (200, &"NO_LUCK".into()), "{}", answer.text);
    }
    let answer = api.post("/v1/functions/panics/run", "null").await;
    assert_eq!((&answer.json["status"], &answer.json["error_code"]), (&"failed".into(), &"GUEST_TRAPPED".into()));
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_takes_longer_than_its_client_waits_is_answered_202_and_found_later() {
    let api = Api::start().await;
    let request = api.request(Method::POST, "/v1/workflows/waits/run").header("x-agnt5-wait-timeout-ms", "20");
    let answer = send(request.body("null")).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json["status_code"], 202);
    let id = answer.json["run_id"].as_str().unwrap().to_owned();
    api.until(&id, "workflow.paused").await;
    let status = api.get(&format!("/v1/status/{id}")).await;
    assert_eq!((&status.json["status"], &status.json["status_code"]), (&"paused".into(), &202.into()));
    assert_eq!(status.json["waits_for"], "timer");
    for path in [format!("/v1/result/{id}"), format!("/v1/runs/{id}/output")] {
        let answer = api.get(&path).await;
        answer.is_error(404, Code::RUN_NOT_FINISHED, &["not ended yet", "paused"]);
        assert_eq!((&answer.json["status"], &answer.json["run_id"]), (&"paused".into(), &id.as_str().into()));
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_idempotency_key_and_body_give_the_same_run_and_another_body_is_refused() {
    let api = Api::start().await;
    let post = |path: &str, key: &str, body: &'static str| {
        send(api.request(Method::POST, path).header("idempotency-key", key).body(body))
    };
    let first = post("/v1/functions/echo/run", "k1", "{\"a\":1}").await;
    let again = post("/v1/functions/echo/run", "k1", "{\"a\":1}").await;
    assert_eq!(first.json["run_id"], again.json["run_id"]);
    assert_eq!(again.json["output"]["a"], 1);
    let submitted = post("/v1/functions/echo/submit", "k1", "{\"a\":1}").await;
    assert_eq!((&submitted.json["run_id"], &submitted.json["existing"]), (&first.json["run_id"], &true.into()));
    let other = post("/v1/functions/echo/run", "k1", "{\"a\":2}").await;
    other.is_error(409, Code::IDEMPOTENCY_CONFLICT, &["already used", "use a new key"]);
    assert_eq!(other.json["run_id"], first.json["run_id"]);
    post("/v1/functions/luckless/run", "k1", "{\"a\":1}").await.is_error(409, Code::IDEMPOTENCY_CONFLICT, &[]);
    assert_ne!(post("/v1/functions/echo/run", "k2", "{\"a\":1}").await.json["run_id"], first.json["run_id"]);
    // Many at once start one run.
    let together = futures::future::join_all((0..16).map(|_| post("/v1/functions/echo/run", "k3", "3"))).await;
    assert!(together.iter().all(|answer| answer.status == 200 && answer.json["run_id"] == together[0].json["run_id"]));
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_sends_along_is_found_with_the_run() {
    let api = Api::start().await;
    let request = api
        .request(Method::POST, "/v1/functions/echo/submit")
        .header("x-session-id", "s1")
        .header("x-tenant-id", "cust_1")
        .header("x-user-id", "ada")
        .header("idempotency-key", "along");
    let answer = send(request.body(r#"{"input":{"n":1},"metadata":{"origin":"test"}}"#)).await;
    let id = answer.json["run_id"].as_str().unwrap();
    api.until(id, "run.completed").await;
    let run = api.get(&format!("/v1/runs/{id}")).await.json;
    assert_eq!(run["input"], serde_json::json!({"n": 1}));
    assert_eq!(run["metadata"], serde_json::json!({"origin": "test", "session_id": "s1"}));
    let expected = ["s1", "cust_1", "ada", "along", "default", "script"];
    for (name, value) in
        ["session_id", "tenant_id", "user_id", "idempotency_key", "environment", "service"].iter().zip(expected)
    {
        assert_eq!(run[name], value, "{name}");
    }
    // Another tenant does not see it, its own does.
    let as_tenant = |tenant: &str| api.request(Method::GET, &format!("/v1/runs/{id}")).header("x-tenant-id", tenant);
    send(as_tenant("cust_2")).await.is_error(404, Code::NOT_FOUND, &[]);
    assert_eq!(send(as_tenant("cust_1")).await.status, 200);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_run_is_cancelled_gracefully_or_at_once_and_a_finished_one_is_not() {
    let api = Api::start().await;
    for body in ["", r#"{"reason":"changed my mind"}"#, r#"{"mode":"now"}"#, r#"{"mode":"grace","grace_ms":5000}"#] {
        let id = api.submit("workflows/waits", "null").await;
        api.until(&id, "workflow.paused").await;
        let answer = api.post(&format!("/v1/runs/{id}/cancel"), body).await;
        assert_eq!((answer.status.as_u16(), &answer.json["run_id"]), (200, &id.as_str().into()), "{}", answer.text);
        api.until(&id, "run.cancelled").await;
        let result = api.get(&format!("/v1/result/{id}")).await;
        assert_eq!((&result.json["status"], &result.json["status_code"]), (&"cancelled".into(), &500.into()));
        let reason = if body.contains("changed") { "changed my mind" } else { "manual" };
        assert!(result.json["error_message"].as_str().unwrap().contains(reason), "{}", result.text);
        let again = api.post(&format!("/v1/runs/{id}/cancel"), "").await;
        again.is_error(409, Code::RUN_FINISHED, &["already ended"]);
        assert_eq!(again.json["status"], "cancelled");
    }
    let id = api.submit("workflows/waits", "null").await;
    for (body, says) in
        [("{", "cannot be read"), (r#"{"mode":"softly"}"#, "grace"), (r#"{"grace_ms":600001}"#, "600000")]
    {
        api.post(&format!("/v1/runs/{id}/cancel"), body).await.is_error(400, Code::BAD_REQUEST, &[says]);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_newest_first_page_by_page_and_by_filter() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for n in 0..7 {
        let component = ["functions/echo", "functions/luckless"][n % 2];
        let answer = api.post(&format!("/v1/{component}/run"), "1").await;
        all.insert(0, answer.json["run_id"].as_str().unwrap().to_owned());
    }
    let waiting = api.submit("workflows/waits", "null").await;
    api.until(&waiting, "workflow.paused").await;
    all.insert(0, waiting.clone());
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/runs?limit=3{next}")).await.json;
        seen.extend(page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&after={cursor}");
    }
    let mut sorted = all.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!(seen, sorted);
    for (filter, expected) in [
        ("status=completed", 4),
        ("status=failed", 3),
        ("status=paused", 1),
        ("status=queued", 0),
        ("component_name=echo", 4),
        ("component=function/luckless", 3),
        ("component_name=waits&status=completed", 0),
        ("deployment_id=dep_00000000000000000000000000", 0),
    ] {
        assert_eq!(api.get(&format!("/v1/runs?{filter}")).await.json["count"], expected, "{filter}");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sees_and_reaches_only_what_belongs_to_its_environment() {
    let api = Api::start().await;
    let own = api.post("/v1/functions/echo/run", "1").await.json["run_id"].as_str().unwrap().to_owned();
    let other = api.new_key(&["run", "read", "workflow", "deploy"], "other").await;
    let foreign = |method, path: String| send(api.request_as(&other, method, &path).body(""));
    for path in ["status/", "result/", "runs/"] {
        foreign(Method::GET, format!("/v1/{path}{own}")).await.is_error(404, Code::NOT_FOUND, &["environment other"]);
    }
    for path in ["events", "output", "stream"] {
        foreign(Method::GET, format!("/v1/runs/{own}/{path}")).await.is_error(404, Code::NOT_FOUND, &[]);
    }
    foreign(Method::POST, format!("/v1/runs/{own}/cancel")).await.is_error(404, Code::NOT_FOUND, &[]);
    assert_eq!(foreign(Method::GET, "/v1/runs".to_owned()).await.json["count"], 0);
    let answer = foreign(Method::POST, "/v1/functions/echo/run".to_owned()).await;
    answer.is_error(404, Code::COMPONENT_NOT_FOUND, &["nothing is deployed in the environment other"]);
    let answer = foreign(Method::GET, "/api/routes?environment=default".to_owned()).await;
    answer.is_error(403, Code::INSUFFICIENT_SCOPES, &["`admin`"]);
    // The same name elsewhere is another component.
    let query = "service=s&environment=other";
    let deployed = api.deploy(query, module(&manifest(&[("function", "echo")]), "\"elsewhere\"")).await;
    assert_eq!(deployed.status, 201, "{}", deployed.text);
    let answer = send(api.request_as(&other, Method::POST, "/v1/functions/echo/run").body("1")).await;
    assert_eq!(answer.json["output"], "elsewhere", "{}", answer.text);
    let theirs = answer.json["run_id"].as_str().unwrap();
    api.get(&format!("/v1/runs/{theirs}")).await.is_error(404, Code::NOT_FOUND, &["environment default"]);
    assert_eq!(api.post("/v1/functions/echo/run", "1").await.json["output"], 1);
    // An idempotency key of one environment says nothing in the other.
    let with_key = |key: &str| {
        api.request_as(key, Method::POST, "/v1/functions/echo/run").header("idempotency-key", "shared").body("2")
    };
    assert_eq!(send(with_key(&api.key)).await.json["output"], 2);
    assert_eq!(send(with_key(&other)).await.json["output"], "elsewhere");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_keys_routes_runs_and_places_in_a_stream_are_as_they_were() {
    let api = Api::start().await;
    let other = api.new_key(&["run"], "other").await;
    let query = "service=s&environment=other";
    assert_eq!(api.deploy(query, module(&manifest(&[("function", "greet")]), "\"hi\"")).await.status, 201);
    let done = api.post("/v1/functions/echo/run", "[1,  2]").await.json["run_id"].as_str().unwrap().to_owned();
    let waiting = api.submit("workflows/waits", "null").await;
    api.until(&waiting, "workflow.paused").await;
    let events = api.get(&format!("/v1/runs/{waiting}/events")).await;
    let last = events.json["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let api = api.restart().await;
    assert!(api.get(&format!("/v1/result/{done}")).await.text.contains("\"output\":[1,  2]"));
    let answer = send(api.request_as(&other, Method::POST, "/v1/functions/greet/run").body("1")).await;
    assert_eq!(answer.json["output"], "hi", "{}", answer.text);
    assert_eq!(api.get(&format!("/v1/runs/{waiting}/events")).await.text, events.text);
    let path = format!("/v1/runs/{waiting}/stream");
    let stream = tokio::spawn(send(api.request(Method::GET, &path).header("last-event-id", last)));
    assert_eq!(api.post(&format!("/v1/runs/{waiting}/cancel"), "").await.status, 200);
    let rest = parse_stream(&stream.await.unwrap().text);
    assert_eq!(rest.first().unwrap().event, "run.cancel_requested");
    assert_eq!(rest.last().unwrap().event, "run.cancelled");
    let first = events.json["count"].as_u64().unwrap() + 1;
    for (index, event) in rest.iter().enumerate() {
        assert_eq!(event.data["sequence"], first + index as u64);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_development_no_key_is_needed_from_this_machine() {
    let api = Api::with(Config { dev: true, ..Config::default() }, vec![script()]).await;
    assert_eq!(api.key, "");
    let answer = api.post("/v1/functions/echo/run", "1").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // A web page of somebody else's that runs in this machine's browser is not a program of this machine.
    let request = api.request(Method::POST, "/v1/functions/echo/run").header("origin", "https://evil.example");
    send(request.body("1")).await.is_error(401, Code::UNAUTHORIZED, &["only requests from this machine"]);
    api.shutdown().await;
}
