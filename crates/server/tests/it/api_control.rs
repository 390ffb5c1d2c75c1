//! Deployments, keys, secrets, health and counters.

use crate::api_support::{Api, SERVICE, logs, manifest, module, send};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bivouac_protocol::{Code, manifest::Manifest};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

fn greeter() -> Manifest {
    manifest(&[("function", "greet")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_ref_and_bytes_are_the_same_deployment_and_other_bytes_are_refused() {
    let api = Api::start().await;
    let one = module(&greeter(), "\"one\"");
    let first = api.deploy("service=greeter&immutable_ref=v1", one.clone()).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(first.json["sha256"], hex::encode(Sha256::digest(&one)));
    assert_eq!(first.json["size"], one.len());
    assert_eq!(first.json["routes"][0]["component"], "function/greet");
    assert_eq!(api.post("/v1/functions/greet/run", "1").await.json["output"], "one");
    let again = api.deploy("service=greeter&immutable_ref=v1", one.clone()).await;
    assert_eq!((again.status.as_u16(), &again.json["existing"]), (200, &true.into()));
    assert_eq!(again.json["deployment_id"], first.json["deployment_id"]);
    let two = module(&greeter(), "\"two\"");
    let refused = api.deploy("service=greeter&immutable_ref=v1", two.clone()).await;
    refused.is_error(409, Code::IMMUTABLE_REF_CONFLICT, &["greeter at v1", "use a new ref"]);
    assert_eq!(api.post("/v1/functions/greet/run", "1").await.json["output"], "one");
    // Without a ref, the bytes are the ref.
    let by_bytes = api.deploy("service=greeter&activate=false", two.clone()).await;
    assert_eq!(by_bytes.status, 201, "{}", by_bytes.text);
    assert_eq!(by_bytes.json["immutable_ref"], format!("sha256-{}", hex::encode(Sha256::digest(&two))));
    assert_eq!(api.post("/v1/functions/greet/run", "1").await.json["output"], "one", "it was not activated");
    // A client may ask for it by its id, though.
    let pinned = by_bytes.json["deployment_id"].as_str().unwrap();
    let request = api.request(Method::POST, "/v1/functions/greet/run").header("x-deployment-id", pinned);
    assert_eq!(send(request.body("1")).await.json["output"], "two");
    assert_eq!(api.deploy("service=greeter", two).await.status, 200);
    assert_eq!(api.post("/v1/functions/greet/run", "1").await.json["output"], "two");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_of_another_service_is_taken_only_when_told_so() {
    let api = Api::start().await;
    let echo = module(&manifest(&[("function", "echo")]), "\"taken\"");
    let refused = api.deploy("service=thief", echo.clone()).await;
    refused.is_error(409, Code::ROUTE_OWNED, &["function/echo", SERVICE, "replace"]);
    let taken = api.deploy("service=thief&replace_route_owners=true", echo).await;
    assert_eq!(taken.status, 201, "{}", taken.text);
    assert_eq!(api.post("/v1/functions/echo/run", "1").await.json["output"], "taken");
    let routes = api.get("/api/routes").await.json;
    let owner =
        routes["routes"].as_array().unwrap().iter().find(|route| route["component"] == "function/echo").unwrap();
    assert_eq!(owner["service"], "thief");
    // A deployment of a service that owns no route here cannot be asked for.
    let foreign = api.deploy("service=other&activate=false", module(&greeter(), "1")).await;
    let foreign = foreign.json["deployment_id"].as_str().unwrap();
    let request = api.request(Method::POST, "/v1/functions/echo/run").header("x-deployment-id", foreign);
    send(request.body("1")).await.is_error(404, Code::NOT_FOUND, &["offers no function/echo"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_is_sent_along_is_checked() {
    let api = Api::start().await;
    let bytes = module(&greeter(), "1");
    let upload = |name: &str, value: String| {
        let path = "/api/deployments?service=greeter";
        send(api.request(Method::POST, path).header(name, value).body(bytes.clone()))
    };
    let other = Sha256::digest(b"other");
    for (name, value) in [
        ("x-content-sha256", hex::encode(other)),
        ("x-content-sha256", "short".to_owned()),
        ("digest", format!("sha-256={}", STANDARD.encode(other))),
    ] {
        upload(name, value).await.is_error(400, Code::BAD_REQUEST, &["SHA-256"]);
    }
    assert_eq!(api.get("/api/deployments").await.json["count"], 1, "only what the server started with");
    assert_eq!(upload("x-content-sha256", hex::encode(Sha256::digest(&bytes))).await.status, 201);
    let digest = format!("sha-256={}", STANDARD.encode(Sha256::digest(&bytes)));
    assert_eq!(upload("digest", digest).await.status, 200);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_are_listed_and_shown_with_what_they_ask_for_and_were_granted() {
    let api = Api::start().await;
    let mut asks = greeter();
    asks.capabilities.hosts = vec!["a.example".to_owned(), "b.example".to_owned()];
    asks.capabilities.memory = true;
    let query = "service=greeter&grant=host%3Da.example&grant=memory";
    let made = api.deploy(query, module(&asks, "1")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json["deployment_id"].as_str().unwrap();
    let shown = api.get(&format!("/api/deployments/{id}")).await;
    assert_eq!(shown.json["grants"], json!({"hosts": ["a.example"], "memory": true}), "{}", shown.text);
    assert_eq!(shown.json["manifest"]["capabilities"]["hosts"], json!(["a.example", "b.example"]));
    assert_eq!(shown.json["routes"][0]["component"], "function/greet");
    let more = api.deploy("service=greeter&grant=host%3Db.example", module(&asks, "1")).await;
    more.is_error(409, Code::IMMUTABLE_REF_CONFLICT, &["other grants", "use a new ref"]);
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = api.get(&format!("/api/deployments?limit=1{next}")).await.json;
        seen.extend(page["deployments"].as_array().unwrap().iter().map(|one| one["service"].clone()));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&after={cursor}");
    }
    seen.sort_by_key(|service| service.to_string());
    assert_eq!(seen, ["greeter", SERVICE]);
    api.get("/api/deployments/x").await.is_error(404, Code::NOT_FOUND, &["deployment id"]);
    api.get("/api/deployments/dep_00000000000000000000000000").await.is_error(
        404,
        Code::NOT_FOUND,
        &["does not exist"],
    );
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_works_until_it_is_revoked_and_the_last_admin_stays() {
    let api = Api::start().await;
    let key = api.new_key(&["run"], "default").await;
    let run = |key: String| send(api.request_as(&key, Method::POST, "/v1/functions/echo/run").body("1"));
    assert_eq!(run(key.clone()).await.status, 200);
    let list = api.get("/api/keys").await;
    assert_eq!(list.json["count"], 2);
    let secret = key.rsplit('_').next().unwrap();
    assert!(!list.text.contains(secret) && !list.text.contains("digest"), "{}", list.text);
    let id = list.json["keys"].as_array().unwrap().iter().find(|key| key["name"] == "test").unwrap()["id"].clone();
    assert!(key.starts_with(id.as_str().unwrap()));
    let revoked = send(api.request(Method::DELETE, &format!("/api/keys/{}", id.as_str().unwrap()))).await;
    assert!(revoked.json["revoked_at"].is_string(), "{}", revoked.text);
    run(key).await.is_error(401, Code::UNAUTHORIZED, &["revoked"]);
    let admin = &api.key[..16];
    let last = send(api.request(Method::DELETE, &format!("/api/keys/{admin}"))).await;
    last.is_error(409, Code::BAD_REQUEST, &["last key", "create another one first"]);
    send(api.request(Method::DELETE, "/api/keys/bvk_nobody")).await.is_error(404, Code::NOT_FOUND, &["no such key"]);
    // A second administrator may revoke the first.
    let second = api.new_key(&["admin"], "default").await;
    let request = api.request_as(&second, Method::DELETE, &format!("/api/keys/{admin}"));
    assert_eq!(send(request).await.status, 200);
    run(api.key.clone()).await.is_error(401, Code::UNAUTHORIZED, &[]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_goes_in_and_comes_out_nowhere() {
    const VALUE: &str = "hunter2-k7Qm-never-to-be-seen";
    let api = Api::start().await;
    let put = |name: &str, body: String| send(api.request(Method::PUT, &format!("/api/secrets/{name}")).body(body));
    let set = put("TOKEN", json!({"value": VALUE, "hosts": ["api.example"]}).to_string()).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let list = api.get("/api/secrets").await;
    assert_eq!(
        (&list.json["secrets"][0]["name"], &list.json["secrets"][0]["hosts"]),
        (&"TOKEN".into(), &json!(["api.example"]))
    );
    let mut answers = vec![set.text, list.text];
    for (name, body, says) in [
        // A parser's message would quote what it met.
        ("TOKEN", json!({"value": "x", "hosts": VALUE}).to_string(), "line 1 column"),
        ("TOKEN", json!({"value": "x", "hosts": [], VALUE: 1}).to_string(), "line 1 column"),
        ("TOKEN", format!("{{\"value\": \"{VALUE}"), "line 1 column"),
        ("TOKEN", json!({"value": format!("{VALUE}\r\n"), "hosts": ["a"]}).to_string(), "line break"),
        ("TOKEN", json!({"value": VALUE.repeat(1_000), "hosts": ["a"]}).to_string(), "16384 bytes"),
        ("TOKEN", json!({"value": VALUE, "hosts": []}).to_string(), "hosts"),
        ("TOKEN", json!({"value": "", "hosts": ["a"]}).to_string(), "empty"),
        ("TO-KEN", json!({"value": VALUE, "hosts": ["a"]}).to_string(), "name"),
    ] {
        let answer = put(name, body).await;
        answer.is_error(400, Code::BAD_REQUEST, &[says]);
        answers.push(answer.text);
    }
    assert!(answers.iter().all(|text| !text.contains("hunter2")), "{answers:?}");
    // Another environment has secrets of its own.
    let other = api.new_key(&["deploy"], "other").await;
    assert_eq!(send(api.request_as(&other, Method::GET, "/api/secrets")).await.json["count"], 0);
    assert_eq!(send(api.request(Method::DELETE, "/api/secrets/TOKEN")).await.status, 200);
    send(api.request(Method::DELETE, "/api/secrets/TOKEN")).await.is_error(404, Code::NOT_FOUND, &["no secret TOKEN"]);
    let log = logs().text();
    assert!(log.contains("secret set"), "the log was captured");
    assert!(!log.contains("hunter2"), "a secret's value is in the log");
    assert!(!log.contains(&api.key), "a key is in the log");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payload_is_logged() {
    let api = Api::start().await;
    let answer = api.post("/v1/functions/echo/run", "\"payload-Zx81-secret\"").await;
    assert_eq!(answer.json["output"], "payload-Zx81-secret");
    let id = answer.json["run_id"].as_str().unwrap();
    api.get(&format!("/v1/runs/{id}?note=payload-Zx81-secret")).await;
    let log = logs().text();
    let line =
        log.lines().find(|line| line.contains(id) && line.contains("/v1/{types}/{name}/run")).unwrap_or_default();
    for field in ["method=POST", "status=200", "elapsed_ms="] {
        assert!(line.contains(field), "`{line}` has no {field}");
    }
    assert!(!log.contains("payload-Zx81-secret"));
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_and_counters_are_told() {
    let api = Api::start().await;
    let open = |path: &str| send(api.request_as("", Method::GET, path));
    assert_eq!(open("/health").await.json["status"], "ok");
    let ready = open("/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json), (200, &json!({"ready": true, "reasons": []})));
    open("/metrics").await.is_error(401, Code::UNAUTHORIZED, &[]);
    let value = |text: &str, name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let before = api.get("/metrics").await.text;
    for _ in 0..3 {
        api.post("/v1/functions/echo/run", "1").await;
    }
    api.post("/v1/functions/luckless/run", "1").await;
    let after = api.get("/metrics").await.text;
    for (name, grown) in [
        ("bivouac_runs_accepted_total", 4),
        ("bivouac_runs_completed_total", 3),
        ("bivouac_runs_failed_total", 1),
        ("bivouac_api_requests_total", 5),
    ] {
        assert_eq!(value(&after, name) - value(&before, name), grown, "{name}");
    }
    assert!(after.contains("# TYPE bivouac_queue_length gauge"));
    api.shutdown().await;
}
