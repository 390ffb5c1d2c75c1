//! What is refused, and with which error, on both bindings.

use super::bindings::{BASE, body, request, rpc};
use bivouac_a2a::{http::read, types::Part};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

/// The error of a request that is refused: its reason and the status that it came with.
fn refusal(request: &Request<Bytes>) -> (String, u16) {
    let Err(response) = read(request, BASE) else { panic!("{request:?} was not refused") };
    let value = body(&response);
    let error = &value["error"];
    let details = if value.get("jsonrpc").is_some() { &error["data"] } else { &error["details"] };
    assert!(error["message"].as_str().unwrap().len() > 20, "{error}");
    (details[0]["reason"].as_str().unwrap().to_owned(), response.status().as_u16())
}

fn is(request: &Request<Bytes>, reason: &str, status: u16) {
    assert_eq!(refusal(request), (reason.to_owned(), status), "{request:?}");
}

fn message() -> Value {
    json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]})
}

#[test]
fn a_version_that_is_not_spoken_is_refused_and_a_patch_does_not_matter() {
    let versions = [
        Some("1.0"),
        Some("1.0.1"),
        Some(" 1.0 "),
        None,
        Some(""),
        Some("0.3"),
        Some("2.0"),
        Some("1"),
        Some("1.1"),
        Some("1.0."),
        Some("1.00"),
    ];
    for (n, version) in versions.into_iter().enumerate() {
        for mut request in [rpc("ListTasks", &json!({})), request("GET", "/a2a/rest/tasks", "")] {
            request.headers_mut().remove("a2a-version");
            if let Some(version) = version {
                request.headers_mut().insert("a2a-version", version.parse().unwrap());
            }
            let by_rpc = request.uri().path().ends_with("jsonrpc");
            if n < 3 {
                assert!(read(&request, BASE).is_ok(), "{version:?}");
            } else {
                is(&request, "VERSION_NOT_SUPPORTED", if by_rpc { 200 } else { 400 });
            }
        }
    }
    let mut in_query = request("GET", "/a2a/rest/tasks?A2A-Version=1.0", "");
    in_query.headers_mut().remove("a2a-version");
    assert!(read(&in_query, BASE).is_ok());
}

#[test]
fn envelopes_that_are_none_are_refused() {
    let bodies = [
        ("", "PARSE_ERROR"),
        ("{", "PARSE_ERROR"),
        ("[]", "INVALID_REQUEST"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ListTasks"}]"#, "INVALID_REQUEST"),
        ("3", "INVALID_REQUEST"),
        (r#"{"id":1,"method":"ListTasks"}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ListTasks"}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"2.0","method":"ListTasks"}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ListTasks"}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ListTasks"}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "INVALID_REQUEST"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}"#, "METHOD_NOT_FOUND"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":[]}"#, "INVALID_PARAMS"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{"pageSize":"many"}}"#, "INVALID_PARAMS"),
    ];
    for (text, reason) in bodies {
        is(&request("POST", "/a2a/jsonrpc", text), reason, 200);
    }
    is(&request("GET", "/a2a/jsonrpc", ""), "METHOD_NOT_ALLOWED", 405);
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ListTasks"}}"#, "x".repeat(2_000));
    is(&request("POST", "/a2a/jsonrpc", &long), "INVALID_REQUEST", 200);
}

#[test]
fn an_error_of_a_known_request_has_its_id_and_one_of_an_unknown_has_null() {
    let id_of = |text: &str| body(&read(&request("POST", "/a2a/jsonrpc", text), BASE).unwrap_err())["id"].clone();
    assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":7,"method":"nope"}"#), 7);
    assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":"a","method":"GetTask","params":{}}"#), "a");
    assert_eq!(id_of("{"), Value::Null);
    assert_eq!(id_of("[]"), Value::Null);
}

#[test]
fn paths_that_are_none_and_methods_that_do_not_fit_are_refused() {
    for (method, path, reason, status) in [
        ("GET", "/a2a/rest", "METHOD_NOT_FOUND", 404),
        ("GET", "/a2a/rest/", "METHOD_NOT_FOUND", 404),
        ("GET", "/a2a/rest/tasks/", "METHOD_NOT_FOUND", 404),
        ("GET", "/a2a/rest/nothing", "METHOD_NOT_FOUND", 404),
        ("POST", "/a2a/rest/message:nothing", "METHOD_NOT_FOUND", 404),
        ("GET", "/a2a/rest/tasks/t/x", "METHOD_NOT_FOUND", 404),
        ("GET", "/a2a/other", "METHOD_NOT_FOUND", 404),
        ("GET", "/a2a/rest/message:send", "METHOD_NOT_ALLOWED", 405),
        ("DELETE", "/a2a/rest/tasks/t", "METHOD_NOT_ALLOWED", 405),
        ("GET", "/a2a/rest/tasks/t:cancel", "METHOD_NOT_ALLOWED", 405),
        ("PUT", "/a2a/rest/tasks/t/pushNotificationConfigs", "METHOD_NOT_ALLOWED", 405),
        ("GET", "/a2a/rest/tasks/%ff", "INVALID_PARAMS", 400),
        ("GET", "/a2a/rest/tasks?pageSize=%ff", "INVALID_PARAMS", 400),
    ] {
        is(&request(method, path, ""), reason, status);
    }
}

#[test]
fn a_tenant_is_not_found_since_no_card_names_one() {
    for (method, path) in [
        ("GET", "/a2a/rest/acme/tasks/t"),
        ("GET", "/a2a/rest/acme/tasks"),
        ("POST", "/a2a/rest/acme/tasks/t:cancel"),
        ("POST", "/a2a/rest/acme/message:send"),
        ("GET", "/a2a/rest/acme/extendedAgentCard"),
        ("GET", "/a2a/rest/tasks/t?tenant=acme"),
    ] {
        is(&request(method, path, ""), "TASK_NOT_FOUND", 404);
    }
    is(&rpc("GetTask", &json!({"id": "t", "tenant": "acme"})), "TASK_NOT_FOUND", 200);
    assert!(read(&rpc("GetTask", &json!({"id": "t", "tenant": ""})), BASE).is_ok());
}

#[test]
fn parameters_are_checked_on_both_bindings() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut send = json!({"message": message()});
        change(&mut send);
        send
    };
    let bad = [
        with(&|send| send["message"] = Value::Null),
        with(&|send| send["message"]["messageId"] = json!("")),
        with(&|send| send["message"]["messageId"] = json!("x".repeat(300))),
        with(&|send| send["message"]["messageId"] = json!("a\nb")),
        with(&|send| send["message"]["contextId"] = json!("c\u{0}")),
        with(&|send| send["message"]["parts"] = json!([])),
        with(&|send| send["message"]["parts"] = json!([{}])),
        with(&|send| send["message"]["parts"] = json!([{"text": "a", "url": "b"}])),
        with(&|send| send["message"]["parts"] = json!([{"raw": "!"}])),
        with(&|send| send["message"]["parts"] = json!([null])),
        with(&|send| send["message"]["role"] = json!("ROLE_AGENT")),
        with(&|send| send["message"]["role"] = json!("user")),
        with(&|send| send["message"]["metadata"] = json!([])),
        with(&|send| send["configuration"] = json!({"historyLength": -1})),
    ];
    for send in bad {
        is(&rpc("SendMessage", &send), "INVALID_PARAMS", 200);
        is(&request("POST", "/a2a/rest/message:stream", &send.to_string()), "INVALID_PARAMS", 400);
    }
    for query in [
        "pageSize=0",
        "pageSize=101",
        "pageSize=x",
        "historyLength=-1",
        "status=working",
        "includeArtifacts=1",
        "statusTimestampAfter=yesterday",
    ] {
        is(&request("GET", &format!("/a2a/rest/tasks?{query}"), ""), "INVALID_PARAMS", 400);
    }
    is(&rpc("ListTasks", &json!({"pageSize": 101})), "INVALID_PARAMS", 200);
    is(&rpc("GetTask", &json!({})), "INVALID_PARAMS", 200);
    is(&request("POST", "/a2a/rest/tasks/a:cancel", r#"{"id":"b"}"#), "INVALID_PARAMS", 400);
    is(&request("POST", "/a2a/rest/message:send", "{"), "PARSE_ERROR", 400);
}

#[test]
fn a_body_that_is_not_said_to_be_json_is_refused() {
    for (mut request, status) in
        [(rpc("ListTasks", &json!({})), 200), (request("POST", "/a2a/rest/message:send", "{}"), 400)]
    {
        request.headers_mut().insert("content-type", "text/xml".parse().unwrap());
        is(&request, "CONTENT_TYPE_NOT_SUPPORTED", status);
    }
    for media_type in ["application/json; charset=utf-8", "application/a2a+json", "Application/JSON"] {
        let mut request = rpc("ListTasks", &json!({}));
        request.headers_mut().insert("content-type", media_type.parse().unwrap());
        assert!(read(&request, BASE).is_ok());
    }
}

#[test]
fn data_that_other_readers_would_choke_on_is_refused() {
    let part = |data: &str| serde_json::from_str::<Part>(&format!(r#"{{"data":{data}}}"#));
    assert!(part(&format!("{}{}", "[".repeat(64), "]".repeat(64))).is_ok());
    assert!(part(&format!("{}{}", "[".repeat(65), "]".repeat(65))).is_err());
    assert!(part(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    assert!(part(r#""\ud800""#).is_err(), "half a character");
    assert!(part("1e999").is_err(), "a number that no double holds");
    assert!(part("9007199254740993").is_ok());
}
