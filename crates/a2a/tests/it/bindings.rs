//! One vector per operation and binding: what comes in is the same call, what goes out is the binding's.

use bivouac_a2a::{
    A2aError, ErrorKind, Timestamp,
    http::{Binding, Call, MEDIA_TYPE, Operation, Reply, event_text, line_safe, read},
    types::{
        AgentCard, ListTasksResponse, Message, Part, SendMessageResponse, StreamResponse, Task, TaskState, TaskStatus,
    },
};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

pub(crate) const BASE: &str = "/agents/planner";

/// A request below the agent's base, with the version that is spoken.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(format!("{BASE}{path}")).header("A2A-Version", "1.0");
    request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

/// A request of JSON-RPC.
pub(crate) fn rpc(method: &str, params: &Value) -> Request<Bytes> {
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": method, "params": params});
    request("POST", "/a2a/jsonrpc", &body.to_string())
}

pub(crate) fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn call(request: &Request<Bytes>) -> Call {
    read(request, BASE).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Each operation: its method and parameters in JSON-RPC; its method, path and body in HTTP+JSON.
fn vectors() -> Vec<(&'static str, Value, &'static str, &'static str, Value)> {
    let send = json!({
        "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}], "contextId": "c"},
        "configuration": {"historyLength": 2, "acceptedOutputModes": ["text/plain"], "returnImmediately": true},
        "metadata": {"k": 1}
    });
    let list = json!({
        "contextId": "c 1", "status": "TASK_STATE_WORKING", "pageSize": 7, "pageToken": "t", "historyLength": 0,
        "statusTimestampAfter": "2026-11-21T14:00:00.250Z", "includeArtifacts": true
    });
    let listed = "/tasks?contextId=c+1&status=TASK_STATE_WORKING&pageSize=7&pageToken=t&historyLength=0&statusTimestampAfter=2026-11-21T16%3A00%3A00.25%2B02%3A00&includeArtifacts=true";
    let push = json!({"taskId": "t 1", "url": "https://x.example/", "id": "p"});
    vec![
        ("SendMessage", send.clone(), "POST", "/message:send", send.clone()),
        ("SendStreamingMessage", send.clone(), "POST", "/message:stream", send),
        ("GetTask", json!({"id": "t 1", "historyLength": 3}), "GET", "/tasks/t%201?historyLength=3", Value::Null),
        ("ListTasks", list, "GET", listed, Value::Null),
        ("CancelTask", json!({"id": "t 1"}), "POST", "/tasks/t%201:cancel", Value::Null),
        (
            "CancelTask",
            json!({"id": "t", "metadata": {"a": 1}}),
            "POST",
            "/tasks/t:cancel",
            json!({"id": "t", "metadata": {"a": 1}}),
        ),
        ("CancelTask", json!({"id": "t"}), "POST", "/tasks/t%3Acancel", Value::Null),
        ("SubscribeToTask", json!({"id": "t"}), "GET", "/tasks/t:subscribe", Value::Null),
        ("SubscribeToTask", json!({"id": "t"}), "POST", "/tasks/t:subscribe", Value::Null),
        ("CreateTaskPushNotificationConfig", push.clone(), "POST", "/tasks/t%201/pushNotificationConfigs", push),
        (
            "GetTaskPushNotificationConfig",
            json!({"taskId": "t", "id": "p"}),
            "GET",
            "/tasks/t/pushNotificationConfigs/p",
            Value::Null,
        ),
        (
            "ListTaskPushNotificationConfigs",
            json!({"taskId": "t", "pageSize": 3}),
            "GET",
            "/tasks/t/pushNotificationConfigs?page_size=3",
            Value::Null,
        ),
        (
            "DeleteTaskPushNotificationConfig",
            json!({"taskId": "t", "id": "p"}),
            "DELETE",
            "/tasks/t/pushNotificationConfigs/p",
            Value::Null,
        ),
        ("GetExtendedAgentCard", json!({}), "GET", "/extendedAgentCard", Value::Null),
    ]
}

#[test]
fn both_bindings_say_the_same_operation() {
    for (name, params, method, path, sent) in vectors() {
        let by_rpc = call(&rpc(name, &params));
        let sent = if sent.is_null() { String::new() } else { sent.to_string() };
        let by_rest = call(&request(method, &format!("/a2a/rest{path}"), &sent));
        assert_eq!(by_rpc.operation, by_rest.operation, "{name}");
        assert_eq!(by_rpc.operation.name(), name);
        assert_eq!((by_rpc.binding, by_rest.binding), (Binding::JsonRpc, Binding::HttpJson));
        assert_eq!(by_rpc.id.text(), "\"x\"");
        assert_eq!(by_rpc.operation.streams(), ["SendStreamingMessage", "SubscribeToTask"].contains(&name));
        assert_eq!(by_rpc.operation.is_push(), name.contains("Push"), "{name}");
    }
}

#[test]
fn a_list_is_asked_for_with_everything_that_it_can_be() {
    let (_, params, ..) = vectors().remove(3);
    let Operation::ListTasks(list) = call(&rpc("ListTasks", &params)).operation else { panic!("another operation") };
    assert_eq!(list.status, TaskState::Working);
    assert_eq!(list.status_timestamp_after, Timestamp::parse("2026-11-21T14:00:00.25Z"));
    assert_eq!((list.page_size, list.history_length, list.include_artifacts), (Some(7), Some(0), Some(true)));
}

#[test]
fn the_interface_of_json_rpc_may_end_with_a_slash() {
    let mut with_slash = rpc("ListTasks", &json!({}));
    *with_slash.uri_mut() = format!("{BASE}/a2a/jsonrpc/").parse().unwrap();
    assert_eq!(call(&with_slash).operation.name(), "ListTasks");
}

#[test]
fn an_id_is_given_back_as_it_came() {
    for id in ["1", "\"abc\"", "null", "-3", "12345678901234567890", "1.5"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ListTasks"}}"#);
        let call = call(&request("POST", "/a2a/jsonrpc", &text));
        let response = call.reply(Ok(Reply::Tasks(ListTasksResponse::default())));
        let text = std::str::from_utf8(response.body()).unwrap();
        assert!(text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"#)), "{text}");
    }
}

fn task() -> Task {
    let status = TaskStatus { state: TaskState::Working, message: None, timestamp: Some(Timestamp::from_millis(0)) };
    Task { id: "t".to_owned(), context_id: Some("c".to_owned()), status, ..Task::default() }
}

#[test]
fn each_reply_has_the_form_of_its_binding() {
    let replies = [
        (Reply::Sent(SendMessageResponse::Task(task())), json!({"task": task()})),
        (
            Reply::Sent(SendMessageResponse::Message(Message::agent("m", vec![Part::text("x")]))),
            json!({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "x"}]}}),
        ),
        (
            Reply::Task(task()),
            json!({"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING", "timestamp": "1970-01-01T00:00:00Z"}}),
        ),
        (
            Reply::Tasks(ListTasksResponse::default()),
            json!({"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0}),
        ),
        (
            Reply::Card(AgentCard::default()),
            json!({"name": "", "description": "", "supportedInterfaces": [], "version": "", "capabilities": {}, "defaultInputModes": [], "defaultOutputModes": [], "skills": []}),
        ),
    ];
    for (reply, expected) in replies {
        let by_rpc = call(&rpc("ListTasks", &json!({}))).reply(Ok(reply.clone()));
        assert_eq!(by_rpc.headers()["content-type"], "application/json");
        assert_eq!(body(&by_rpc), json!({"jsonrpc": "2.0", "id": "x", "result": expected}));
        let by_rest = call(&request("GET", "/a2a/rest/tasks", "")).reply(Ok(reply));
        assert_eq!(
            (by_rest.status().as_u16(), &by_rest.headers()["content-type"]),
            (200, &MEDIA_TYPE.parse().unwrap())
        );
        assert_eq!(body(&by_rest), expected);
    }
}

#[test]
fn every_error_has_the_form_of_its_binding() {
    for kind in ErrorKind::ALL {
        let error = A2aError::new(*kind, "why").with("k", "v");
        let by_rest = call(&request("GET", "/a2a/rest/tasks", "")).reply(Err(error.clone()));
        assert_eq!(by_rest.status().as_u16(), kind.http_status());
        let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": kind.reason(), "domain": kind.domain(), "metadata": {"k": "v"}}]);
        assert_eq!(
            body(&by_rest),
            json!({"error": {"code": kind.http_status(), "status": kind.status(), "message": "why", "details": details}})
        );
        let by_rpc = call(&rpc("ListTasks", &json!({}))).reply(Err(error));
        assert_eq!(by_rpc.status().as_u16(), if kind.is_of_transport() { kind.http_status() } else { 200 });
        assert_eq!(
            body(&by_rpc),
            json!({"jsonrpc": "2.0", "id": "x", "error": {"code": kind.code(), "message": "why", "data": details}})
        );
    }
}

#[test]
fn the_table_of_the_specification_holds() {
    let table = [
        ("TASK_NOT_FOUND", -32001, "NOT_FOUND", 404),
        ("TASK_NOT_CANCELABLE", -32002, "FAILED_PRECONDITION", 400),
        ("PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, "FAILED_PRECONDITION", 400),
        ("UNSUPPORTED_OPERATION", -32004, "FAILED_PRECONDITION", 400),
        ("CONTENT_TYPE_NOT_SUPPORTED", -32005, "INVALID_ARGUMENT", 400),
        ("INVALID_AGENT_RESPONSE", -32006, "INTERNAL", 500),
        ("EXTENDED_AGENT_CARD_NOT_CONFIGURED", -32007, "FAILED_PRECONDITION", 400),
        ("EXTENSION_SUPPORT_REQUIRED", -32008, "FAILED_PRECONDITION", 400),
        ("VERSION_NOT_SUPPORTED", -32009, "FAILED_PRECONDITION", 400),
        ("PARSE_ERROR", -32700, "INVALID_ARGUMENT", 400),
        ("INVALID_REQUEST", -32600, "INVALID_ARGUMENT", 400),
        ("METHOD_NOT_FOUND", -32601, "NOT_FOUND", 404),
        ("INVALID_PARAMS", -32602, "INVALID_ARGUMENT", 400),
        ("INTERNAL_ERROR", -32603, "INTERNAL", 500),
    ];
    for (reason, code, status, http) in table {
        let kind = ErrorKind::of_reason(reason).unwrap();
        assert_eq!(
            (kind.code(), kind.status(), kind.http_status(), kind.domain()),
            (code, status, http, "a2a-protocol.org")
        );
        assert_eq!(ErrorKind::of_code(code.into()), Some(kind));
    }
}

#[test]
fn an_event_is_one_line_whatever_it_holds() {
    let mut message = Message::agent("m", vec![Part::text("a\u{2028}b\u{2029}c\u{85}d\ne")]);
    message.parts.push(serde_json::from_str("{\"data\": {\n \"x\" :\r 1}}").unwrap());
    for via in [rpc("ListTasks", &json!({})), request("GET", "/a2a/rest/tasks", "")] {
        let data = call(&via).event(&StreamResponse::Message(message.clone()));
        assert!(!data.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']), "{data}");
        let value: Value = serde_json::from_str(&data).unwrap();
        let told = if value.get("result").is_some() { &value["result"] } else { &value };
        assert_eq!(told["message"]["parts"][0]["text"], "a\u{2028}b\u{2029}c\u{85}d\ne");
        assert_eq!(told["message"]["parts"][1]["data"]["x"], 1);
    }
    assert_eq!(line_safe("{}".to_owned()), "{}");
    assert_eq!(event_text(Some("3.1"), Some("error"), "{}"), "id: 3.1\nevent: error\ndata: {}\n\n");
}

#[test]
fn a_stream_that_breaks_says_so_in_the_form_of_its_binding() {
    let error = A2aError::new(ErrorKind::Internal, "the store failed");
    let by_rpc: Value = serde_json::from_str(&call(&rpc("ListTasks", &json!({}))).error_event(&error)).unwrap();
    assert_eq!((&by_rpc["id"], &by_rpc["error"]["code"]), (&json!("x"), &json!(-32603)));
    let by_rest: Value =
        serde_json::from_str(&call(&request("GET", "/a2a/rest/tasks", "")).error_event(&error)).unwrap();
    assert_eq!(by_rest["error"]["code"], 500);
}

#[test]
fn the_last_event_seen_and_the_extensions_known_are_read() {
    let mut request = rpc("SubscribeToTask", &json!({"id": "t"}));
    request.headers_mut().insert("last-event-id", "12.3".parse().unwrap());
    request.headers_mut().insert("a2a-extensions", "https://a.example/x, https://b.example/y".parse().unwrap());
    let call = call(&request);
    assert_eq!(call.last_event_id.as_deref(), Some("12.3"));
    assert_eq!(call.extensions, ["https://a.example/x", "https://b.example/y"]);
    let card: AgentCard = serde_json::from_value(json!({"capabilities": {"extensions": [{"uri": "https://a.example/x", "required": true}, {"uri": "https://c.example/z"}]}})).unwrap();
    assert_eq!(call.check_extensions(&card), Ok(()));
    let card: AgentCard = serde_json::from_value(
        json!({"capabilities": {"extensions": [{"uri": "https://c.example/z", "required": true}]}}),
    )
    .unwrap();
    assert_eq!(call.check_extensions(&card).unwrap_err().kind, ErrorKind::ExtensionSupportRequired);
}
