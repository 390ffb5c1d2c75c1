//! Bad input: each is refused with an error that says what happened, why, and what to do.

use crate::api_support::{Api, manifest, module, module_of, send};
use bivouac_protocol::Code;
use bivouac_server::Config;
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_json_is_refused_with_the_place() {
    let api = Api::start().await;
    for body in ["{\"a\":", "{\"a\":1} x", "nope", "   ", "{'a':1}"] {
        let answer = api.post("/v1/functions/echo/run", body).await;
        answer.is_error(400, Code::BAD_REQUEST, &["not JSON", "line 1 column", "one JSON value"]);
    }
    let answer = api.post("/v1/functions/echo/run", b"\"\xff\"".to_vec()).await;
    answer.is_error(400, Code::BAD_REQUEST, &["not JSON", "UTF-8"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deeply_nested_body_is_refused_and_a_flat_one_of_the_same_size_is_not() {
    let api = Api::start().await;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let answer = api.post("/v1/functions/echo/run", deep).await;
    answer.is_error(400, Code::BAD_REQUEST, &["deeper than 128 levels", "flatten"]);
    let flat = format!("[{}1]", "1,".repeat(100_000));
    let answer = api.post("/v1/functions/echo/run", flat.clone()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains(&flat), "the output is the input as it came");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_64_mib_is_refused_and_its_sender_hears_why() {
    let api = Api::start().await;
    let answer = api.post("/v1/functions/echo/run", vec![b' '; 64 << 20]).await;
    answer.is_error(413, Code::BODY_TOO_LARGE, &["limit of 4194304 bytes", "max_body"]);
    // The same without a length, as clients send what they make on the way.
    let pieces = futures::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let answer = api.post("/v1/functions/echo/run", reqwest::Body::wrap_stream(pieces)).await;
    answer.is_error(413, Code::BODY_TOO_LARGE, &["limit of 4194304 bytes"]);
    let answer = api.deploy("service=s", vec![0; 17 << 20]).await;
    answer.is_error(413, Code::BODY_TOO_LARGE, &["the module", "limit of 16777216 bytes", "max_module"]);
    let answer = api.post("/api/keys", vec![b' '; 65 << 10]).await;
    answer.is_error(413, Code::BODY_TOO_LARGE, &["limit of 65536 bytes"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_component_is_told_with_the_nearest_and_what_is_deployed() {
    let api = Api::start().await;
    let answer = api.post("/v1/functions/ecko/run", "1").await;
    let says = ["no function/ecko", "did you mean function/echo?", "workflow/talk"];
    answer.is_error(404, Code::COMPONENT_NOT_FOUND, &says);
    // The name of another kind, and a kind that there is not.
    let answer = api.post("/v1/workflows/echo/submit", "1").await;
    answer.is_error(404, Code::COMPONENT_NOT_FOUND, &["no workflow/echo", "function/echo"]);
    let answer = api.post("/v1/agents/echo/stream", "1").await;
    answer.is_error(404, Code::COMPONENT_NOT_FOUND, &["no agent/echo"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_deployed_the_error_says_how_to_deploy() {
    let api = Api::with(Config::default(), Vec::new()).await;
    let answer = api.post("/v1/functions/echo/run", "1").await;
    answer.is_error(404, Code::COMPONENT_NOT_FOUND, &["nothing is deployed", "default", "bivouac deploy"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_module_of_this_contract_is_refused_with_the_rule() {
    let api = Api::start().await;
    let answer = api.deploy("service=s", Vec::new()).await;
    answer.is_error(400, Code::BAD_REQUEST, &["empty", "bivouac deploy"]);
    let answer = api.deploy("service=s", b"#!/bin/sh\n".to_vec()).await;
    answer.is_error(422, Code::MODULE_INVALID, &[]);
    let answer = api.deploy("service=s", b"\0asm\x01\0\0\0".to_vec()).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let components = [("function", "f")];
    let other_abi = bivouac_protocol::manifest::Manifest { abi: 2, ..manifest(&components) };
    let answer = api.deploy("service=s", module(&other_abi, "1")).await;
    answer.is_error(422, Code::ABI_UNSUPPORTED, &["revision 2", "speaks 1"]);
    let mut unknown_op = manifest(&components);
    unknown_op.ops.push("teleport".to_owned());
    let answer = api.deploy("service=s", module(&unknown_op, "1")).await;
    answer.is_error(422, Code::OP_UNSUPPORTED, &["teleport"]);
    let answer = api.deploy("service=s", module_of(b"{}", "1")).await;
    answer.is_error(422, Code::MANIFEST_INVALID, &[]);
    // The next request is served.
    let answer = api.deploy("service=s", module(&manifest(&components), "1")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_a_wrong_key_and_a_key_without_the_scope_are_refused() {
    let api = Api::start().await;
    let run = "/v1/functions/echo/run";
    let answer = send(api.request_as("", Method::POST, run).body("1")).await;
    answer.is_error(401, Code::UNAUTHORIZED, &["no API key", "X-API-KEY"]);
    for wrong in ["nonsense", "bvk_000000000000_0", "agnt5_sk_nonsense", &format!("{}0", api.key)] {
        let answer = send(api.request_as(wrong, Method::POST, run).body("1")).await;
        answer.is_error(401, Code::UNAUTHORIZED, &["not known", "bivouac keys"]);
    }
    let reader = api.new_key(&["read"], "default").await;
    let answer = send(api.request_as(&reader, Method::POST, run).body("1")).await;
    answer.is_error(403, Code::INSUFFICIENT_SCOPES, &["`run`", "it has read", "bivouac keys create"]);
    let runner = api.new_key(&["run"], "default").await;
    let prefixed = format!("agnt5_sk_{runner}");
    let answer = send(api.request_as(&prefixed, Method::POST, run).body("1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.json["run_id"].as_str().unwrap();
    for (method, path, scope) in [
        (Method::POST, format!("/v1/runs/{id}/cancel"), "`workflow`"),
        (Method::POST, "/api/deployments?service=s".to_owned(), "`deploy`"),
        (Method::GET, "/api/deployments".to_owned(), "`deploy` or `read`"),
        (Method::PUT, "/api/secrets/X".to_owned(), "`admin`"),
        (Method::GET, "/api/secrets".to_owned(), "`deploy`"),
        (Method::POST, "/api/keys".to_owned(), "`admin`"),
        (Method::DELETE, "/api/keys/x".to_owned(), "`admin`"),
        (Method::GET, "/metrics".to_owned(), "`read`"),
    ] {
        let answer = send(api.request_as(&runner, method, &path).body("{}")).await;
        answer.is_error(403, Code::INSUFFICIENT_SCOPES, &[scope]);
    }
    let answer = send(api.request_as(&runner, Method::POST, run).header("x-user-id", "somebody").body("1")).await;
    answer.is_error(403, Code::INSUFFICIENT_SCOPES, &["`impersonate`"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_granted_is_not_called_and_a_grant_that_nobody_asked_for_is_refused() {
    let api = Api::start().await;
    let answer = api.post("/v1/functions/calls/run", "null").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["status"], "failed");
    assert_eq!(answer.json["error_code"], "HOST_NOT_GRANTED", "{}", answer.text);
    assert!(answer.json["error"]["message"].as_str().unwrap().contains("not-granted.example"), "{}", answer.text);
    let answer = api.deploy("service=s&grant=host%3Da.example", module(&manifest(&[("function", "f")]), "1")).await;
    answer.is_error(400, Code::BAD_REQUEST, &["host=a.example", "not asked for"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_queries_that_make_no_sense_are_refused() {
    let api = Api::start().await;
    for (name, value, says) in [
        ("x-agnt5-wait-timeout-ms", "soon", "0 to 86400000"),
        ("x-agnt5-wait-timeout-ms", "86400001", "0 to 86400000"),
        ("x-tenant-id", "a b", "letters, digits"),
        ("x-deployment-id", "dep-1", "deployment id"),
        ("idempotency-key", &"k".repeat(256), "255 are allowed"),
    ] {
        let answer = send(api.request(Method::POST, "/v1/functions/echo/run").header(name, value).body("1")).await;
        answer.is_error(400, Code::BAD_REQUEST, &[says]);
    }
    let id = api.submit("functions/echo", "1").await;
    for (path, says) in [
        ("/v1/runs?status=lost".to_owned(), "`lost` is no status"),
        ("/v1/runs?limit=many".to_owned(), "limit"),
        ("/v1/runs?after=x".to_owned(), "run id"),
        (format!("/v1/runs/{id}/events?after=x"), "`x` is no event's id"),
        ("/api/deployments?after=x".to_owned(), "deployment id"),
    ] {
        api.get(&path).await.is_error(400, Code::BAD_REQUEST, &[says]);
    }
    api.post("/api/deployments?nonsense=1", "x").await.is_error(400, Code::BAD_REQUEST, &["`nonsense`", "service"]);
    api.post("/api/deployments", "x").await.is_error(400, Code::BAD_REQUEST, &["service=NAME"]);
    let answer = api.post("/api/keys", r#"{"scopes":["fly"]}"#).await;
    answer.is_error(400, Code::BAD_REQUEST, &["`fly` is no scope", "run, read"]);
    let answer = api.post("/api/keys", r#"{"scope":"run"}"#).await;
    answer.is_error(400, Code::BAD_REQUEST, &["unknown field", "scopes"]);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_there_are_not_are_told_in_json() {
    let api = Api::start().await;
    api.get("/v2/anything").await.is_error(404, Code::NOT_FOUND, &["GET /v2/anything", "/v1/runs"]);
    let answer = send(api.request(Method::DELETE, "/v1/runs")).await;
    answer.is_error(405, Code::METHOD_NOT_ALLOWED, &["DELETE"]);
    assert!(answer.headers.contains_key("allow"));
    api.post("/v1/eval", "{}").await.is_error(501, Code::NOT_IMPLEMENTED, &["/v1/eval"]);
    api.post("/v1/entity/Counter/k/inc", "{}").await.is_error(501, Code::NOT_IMPLEMENTED, &["/v1/entity"]);
    for id in ["run-1", "run_00000000000000000000000000"] {
        for path in ["status/", "result/", "runs/"] {
            api.get(&format!("/v1/{path}{id}")).await.is_error(404, Code::NOT_FOUND, &["no ", "run"]);
        }
    }
    api.shutdown().await;
}
