//! Every error of A2A that a client can meet here, on both bindings.

use super::a2a_support::{BOTH, Called, Client, Refused, Via, message, start};
use serde_json::{Value, json};

/// Asserts an error: its reason, and the code or status of its binding.
fn is(via: Via, called: Called, reason: &str, code: i64, http: u16) -> Refused {
    let refused = called.expect_err(reason);
    let expected = match via {
        Via::JsonRpc => (reason.to_owned(), code, 200),
        Via::Rest => (reason.to_owned(), i64::from(http), http),
    };
    assert_eq!((refused.reason.clone(), refused.code, refused.http), expected, "{refused:?}");
    refused
}

/// One that keeps its status in both bindings, since it is of the connection.
fn is_of_transport(via: Via, called: Called, reason: &str, code: i64, http: u16) {
    let refused = called.expect_err(reason);
    let code = if via == Via::JsonRpc { code } else { i64::from(http) };
    assert_eq!((refused.reason.as_str(), refused.code, refused.http), (reason, code, http), "{refused:?}");
}

fn send(message: Value) -> Value {
    json!({"message": message})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_the_table_that_a_client_can_meet() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let absent = json!({"id": "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"});
        for id in [absent["id"].as_str().unwrap(), "nonsense", "run_", "a%2Fb"] {
            for operation in ["GetTask", "CancelTask", "SubscribeToTask"] {
                is(via, client.call(operation, json!({"id": id})).await, "TASK_NOT_FOUND", -32001, 404);
            }
        }
        let to_absent = json!({"messageId": "x", "role": "ROLE_USER", "parts": [{"text": "x"}], "taskId": "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"});
        is(via, client.call("SendMessage", send(to_absent)).await, "TASK_NOT_FOUND", -32001, 404);

        let over = client.begin(&format!("over-{via:?}"), "echo x").await;
        is(via, client.call("CancelTask", json!({"id": over["id"]})).await, "TASK_NOT_CANCELABLE", -32002, 400);
        is(via, client.answer(&over, "late", "more").await, "UNSUPPORTED_OPERATION", -32004, 400);
        is(via, client.call("SubscribeToTask", json!({"id": over["id"]})).await, "UNSUPPORTED_OPERATION", -32004, 400);

        let config = json!({"taskId": over["id"], "id": "p", "url": "https://x.example/"});
        for operation in ["Create", "Get", "Delete"] {
            let operation = format!("{operation}TaskPushNotificationConfig");
            is(via, client.call(&operation, config.clone()).await, "PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, 400);
        }
        let list = client.call("ListTaskPushNotificationConfigs", config.clone()).await;
        is(via, list, "PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, 400);
        let inline = json!({"message": message("p", "echo x"), "configuration": {"taskPushNotificationConfig": {"url": "https://x.example/"}}});
        is(via, client.call("SendMessage", inline).await, "PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, 400);

        let picture =
            json!({"messageId": "pic", "role": "ROLE_USER", "parts": [{"raw": "AAAA", "mediaType": "image/png"}]});
        let refused =
            is(via, client.call("SendMessage", send(picture.clone())).await, "CONTENT_TYPE_NOT_SUPPORTED", -32005, 400);
        assert!(refused.message.contains("image/png") && refused.message.contains("text/plain"), "{}", refused.message);
        is(via, client.call("SendStreamingMessage", send(picture)).await, "CONTENT_TYPE_NOT_SUPPORTED", -32005, 400);

        let plain = Client::new(&api, via, "plain");
        is(via, plain.call("GetExtendedAgentCard", json!({})).await, "UNSUPPORTED_OPERATION", -32004, 400);
        let boast = Client::new(&api, via, "boast");
        is(via, boast.call("GetExtendedAgentCard", json!({})).await, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", -32007, 400);
        for version in ["0.3", "2.0", ""] {
            let old = client.clone().with("a2a-version", version);
            is(via, old.call("ListTasks", json!({})).await, "VERSION_NOT_SUPPORTED", -32009, 400);
        }
        is(via, client.call("ListTasks", json!({"pageToken": "not a token"})).await, "INVALID_PARAMS", -32602, 400);
        is(via, client.call("ListTasks", json!({"pageSize": 101})).await, "INVALID_PARAMS", -32602, 400);
        is(
            via,
            client.call("GetTask", json!({"id": over["id"], "historyLength": -1})).await,
            "INVALID_PARAMS",
            -32602,
            400,
        );
        is(via, client.call("message/send", json!({})).await, "METHOD_NOT_FOUND", -32601, 404);
        is(via, Client::new(&api, via, "nobody").call("ListTasks", json!({})).await, "METHOD_NOT_FOUND", -32601, 404);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_fit_its_task_says_why() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let asked = client.begin(&format!("q-{via:?}"), "ask").await;
        let mut elsewhere = message("e", "Rome");
        elsewhere["taskId"] = asked["id"].clone();
        elsewhere["contextId"] = json!("another");
        is(via, client.call("SendMessage", send(elsewhere)).await, "INVALID_PARAMS", -32602, 400);

        let params =
            json!({"message": message(&format!("n-{via:?}"), "nap"), "configuration": {"returnImmediately": true}});
        let napping = client.call("SendMessage", params).await.unwrap()["task"].clone();
        let refused = is(via, client.answer(&napping, "w", "wake up").await, "UNSUPPORTED_OPERATION", -32004, 400);
        assert!(refused.message.contains("asks nothing"), "{}", refused.message);

        let both = client.begin(&format!("b-{via:?}"), "both").await;
        let refused = is(via, client.answer(&both, "b", "which?").await, "INVALID_PARAMS", -32602, 400);
        assert!(refused.message.contains("left") && refused.message.contains("right"), "{}", refused.message);
        for (name, said) in [("right", "R"), ("left", "L")] {
            let mut answer = message(&format!("{name}-{via:?}"), said);
            answer["taskId"] = both["id"].clone();
            answer["metadata"] = json!({"question": name});
            client
                .call("SendMessage", json!({"message": answer, "configuration": {"returnImmediately": true}}))
                .await
                .unwrap();
        }
        let mut stream = client
            .clone()
            .with("last-event-id", "1.0")
            .open("SubscribeToTask", json!({"id": both["id"]}))
            .await
            .unwrap();
        while stream.next().await.is_some() {}
        let ended = loop {
            let task = client.call("GetTask", json!({"id": both["id"]})).await.unwrap();
            if task["status"]["state"] == "TASK_STATE_COMPLETED" {
                break task;
            }
        };
        let said: Vec<_> = ended["status"]["message"]["parts"][0]["text"].as_str().unwrap().split(' ').collect();
        assert!(said.contains(&"R") && said.contains(&"L"), "{ended}");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_counts_once_and_another_under_its_id_is_refused() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let id = format!("m-{via:?}");
        let first = client.begin(&id, "twice").await;
        assert_eq!(client.begin(&id, "twice").await, first);
        let events = client.stream("SendStreamingMessage", send(message(&id, "twice"))).await;
        assert_eq!(events[0].data["task"]["id"], first["id"]);
        let conflict = client.call("SendMessage", send(message(&id, "echo other"))).await;
        is(via, conflict, "MESSAGE_ID_CONFLICT", -32042, 409);

        let answer = format!("a-{via:?}");
        let asked_again = client.answer(&first, &answer, "Rome").await.unwrap();
        assert_eq!(asked_again["status"]["message"]["parts"][0]["text"], "When?");
        assert_eq!(client.answer(&first, &answer, "Rome").await.unwrap(), asked_again, "the same answer is confirmed");
        let conflict = client.answer(&first, &answer, "Oslo").await;
        is(via, conflict, "MESSAGE_ID_CONFLICT", -32042, 409);
        let last = format!("z-{via:?}");
        let done = client.answer(&first, &last, "today").await.unwrap();
        assert_eq!(done["status"]["message"]["parts"][0]["text"], "Rome today");
        // After the end, what counted is still confirmed, and what is new is refused.
        assert_eq!(client.answer(&first, &last, "today").await.unwrap(), done);
        assert_eq!(client.begin(&id, "twice").await, done);
        is(via, client.answer(&first, "new", "more").await, "UNSUPPORTED_OPERATION", -32004, 400);
        let texts: Vec<_> = done["history"].as_array().unwrap().iter().map(|m| &m["parts"][0]["text"]).collect();
        assert_eq!(texts, ["twice", "Where to?", "Rome", "When?", "today"]);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_sent_many_times_at_once_begins_one_task() {
    let api = start().await;
    let client = Client::new(&api, Via::JsonRpc, "guide");
    let calls = (0..16).map(|_| client.begin("same", "ask"));
    let tasks = futures::future::join_all(calls).await;
    assert!(tasks.iter().all(|task| task["id"] == tasks[0]["id"]));
    let answers = (0..16).map(|_| client.answer(&tasks[0], "answer", "Rome"));
    for answered in futures::future::join_all(answers).await {
        assert_eq!(answered.unwrap()["status"]["message"]["parts"][0]["text"], "to Rome");
    }
    let listed = client.call("ListTasks", json!({})).await.unwrap();
    assert_eq!(listed["totalSize"], 1);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_scopes_and_sizes_are_refused_in_the_form_of_the_binding() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        for key in ["", "bvk_wrong_key"] {
            let called = client.clone().keyed(key).call("ListTasks", json!({})).await;
            is_of_transport(via, called, "UNAUTHENTICATED", -32040, 401);
        }
        let reader = client.clone().for_user("reader", &["read"], "default").await;
        assert!(reader.call("ListTasks", json!({})).await.is_ok());
        for (operation, params) in [
            ("SendMessage", send(message("m", "echo x"))),
            ("CancelTask", json!({"id": "x"})),
            ("SendStreamingMessage", send(message("m", "echo x"))),
        ] {
            is_of_transport(via, reader.call(operation, params).await, "PERMISSION_DENIED", -32041, 403);
        }
        let deployer = client.clone().for_user("deployer", &["deploy"], "default").await;
        is_of_transport(via, deployer.call("ListTasks", json!({})).await, "PERMISSION_DENIED", -32041, 403);
        let runner = client.clone().for_user("runner", &["run"], "default").await;
        assert!(runner.call("SendMessage", send(message("m", "echo x"))).await.is_ok());
        let as_another = runner.clone().with("x-user-id", "reader").call("ListTasks", json!({})).await;
        is_of_transport(via, as_another, "PERMISSION_DENIED", -32041, 403);
        let large = message("large", &"x".repeat(5 << 20));
        is_of_transport(via, client.call("SendMessage", send(large)).await, "PAYLOAD_TOO_LARGE", -32044, 413);
    }
    let response = Client::new(&api, Via::Rest, "guide").keyed("").raw("ListTasks", &json!({})).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    api.shutdown().await;
}
