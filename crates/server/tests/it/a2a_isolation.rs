//! Nobody learns of another's tasks: every operation, on both bindings, by every kind of stranger.
//!
//! The matrix is generated. Each stranger asks with the owner's task id and with one that never was, and hears the same,
//! but for the id itself; so with the owner's context.

use super::{
    a2a_support::{BOTH, Client, Via, agents, message, start},
    api_support::{Api, manifest, module},
};
use serde_json::{Value, json};

const ABSENT: &str = "run_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// What a stranger hears: everything but the id that was asked for.
async fn heard(client: &Client<'_>, operation: &str, params: Value, id: &str) -> (u16, Vec<String>, String) {
    let response = client.raw(operation, &params).await;
    let status = response.status().as_u16();
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| !["date", "content-length"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    (status, headers, response.text().await.unwrap().replace(id, "ID"))
}

/// Every operation that names a task, with what it is asked with.
fn operations(id: &str) -> Vec<(&'static str, Value)> {
    let to_task = || {
        let mut message = message("stranger", "Rome");
        message["taskId"] = json!(id);
        json!({"message": message})
    };
    vec![
        ("GetTask", json!({"id": id})),
        ("CancelTask", json!({"id": id})),
        ("SubscribeToTask", json!({"id": id})),
        ("SendMessage", to_task()),
        ("SendStreamingMessage", to_task()),
        ("CreateTaskPushNotificationConfig", json!({"taskId": id, "url": "https://x.example/"})),
        ("GetTaskPushNotificationConfig", json!({"taskId": id, "id": "p"})),
        ("ListTaskPushNotificationConfigs", json!({"taskId": id})),
        ("DeleteTaskPushNotificationConfig", json!({"taskId": id, "id": "p"})),
    ]
}

/// Who is not the owner: another user, another tenant of the same user, another agent, another environment.
async fn strangers<'a>(api: &'a Api, via: Via, owner: &Client<'a>) -> Vec<(&'static str, Client<'a>)> {
    let client = Client::new(api, via, "guide");
    let run = &["run", "read"][..];
    vec![
        ("another user", client.clone().for_user("eve", run, "default").await),
        ("an administrator", client.clone()),
        ("another tenant", owner.clone().with("x-tenant-id", "acme")),
        ("another agent", Client { base: "/agents/plain".to_owned(), ..owner.clone() }),
        ("another environment", client.clone().for_user("ada", run, "other").await),
        ("another environment by path", Client { base: "/envs/other/agents/guide".to_owned(), ..client }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_hears_the_same_of_a_task_that_is_there_and_of_one_that_never_was() {
    let api = start().await;
    let elsewhere = module(&manifest(&[("agent", "guide")]), "\"x\"");
    let deployed = api.deploy("service=other&immutable_ref=1&environment=other", elsewhere).await;
    assert!(deployed.status.is_success(), "{}", deployed.text);
    let mut cells = 0;
    for via in BOTH {
        let owner = Client::new(&api, via, "guide").for_user("ada", &["run", "read"], "default").await;
        let asked = owner.begin(&format!("q-{via:?}"), "ask").await;
        let over = owner.begin(&format!("o-{via:?}"), "echo secret").await;
        for (who, stranger) in strangers(&api, via, &owner).await {
            for task in [&asked, &over] {
                let id = task["id"].as_str().unwrap();
                for ((operation, there), (_, absent)) in operations(id).into_iter().zip(operations(ABSENT)) {
                    for last_seen in [None, Some("1.0"), Some("99.0")] {
                        let client = last_seen
                            .map_or_else(|| stranger.clone(), |seen| stranger.clone().with("last-event-id", seen));
                        let of_it = heard(&client, operation, there.clone(), id).await;
                        let of_none = heard(&client, operation, absent.clone(), ABSENT).await;
                        assert_eq!(of_it, of_none, "{who} {operation} {via:?}");
                        let expected = if operation.contains("Push") {
                            "PUSH_NOTIFICATION_NOT_SUPPORTED"
                        } else {
                            "TASK_NOT_FOUND"
                        };
                        assert!(of_it.2.contains(expected), "{who} {operation}: {}", of_it.2);
                        assert!(!of_it.2.contains("secret") && !of_it.2.contains("Where to?"));
                        cells += 1;
                    }
                }
                let context = task["contextId"].as_str().unwrap();
                let listed = heard(&stranger, "ListTasks", json!({"contextId": context}), context).await;
                assert_eq!(
                    listed,
                    heard(&stranger, "ListTasks", json!({"contextId": "never"}), "never").await,
                    "{who}"
                );
                let all = stranger.call("ListTasks", json!({"includeArtifacts": true})).await.unwrap();
                assert!(!all.to_string().contains(id), "{who}: {all}");
                cells += 2;
            }
        }
        // Nothing of it reached the owner's task.
        assert_eq!(owner.call("GetTask", json!({"id": asked["id"]})).await.unwrap(), asked);
        let done = owner.answer(&asked, "mine", "Rome").await.unwrap();
        assert_eq!(done["status"]["message"]["parts"][0]["text"], "to Rome");
    }
    assert_eq!(cells, 2 * 6 * 2 * (9 * 3 + 2));
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_and_a_message_id_of_anothers_are_ones_own() {
    let api = start().await;
    for via in BOTH {
        let owner = Client::new(&api, via, "guide").for_user("ada", &["run"], "default").await;
        let mine = owner.begin(&format!("m-{via:?}"), "ask").await;
        let eve = owner.clone().for_user("eve", &["run"], "default").await;
        let mut same = message(&format!("m-{via:?}"), "echo other");
        same["contextId"] = mine["contextId"].clone();
        let theirs = eve.call("SendMessage", json!({"message": same})).await.unwrap()["task"].clone();
        assert_ne!(theirs["id"], mine["id"]);
        assert_eq!(theirs["contextId"], mine["contextId"], "what a client calls its context is its own business");
        for (client, task) in [(&owner, &mine), (&eve, &theirs)] {
            let listed = client.call("ListTasks", json!({"contextId": mine["contextId"]})).await.unwrap();
            assert_eq!((&listed["totalSize"], &listed["tasks"][0]["id"]), (&json!(1), &task["id"]));
        }
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_speak_for_a_user_sees_that_users_tasks() {
    let api = start().await;
    let ada = Client::new(&api, Via::Rest, "guide").for_user("ada", &["run"], "default").await;
    let task = ada.begin("m", "ask").await;
    let broker = ada.clone().for_user("broker", &["run", "impersonate"], "default").await;
    assert!(broker.call("GetTask", json!({"id": task["id"]})).await.is_err());
    let for_ada = broker.with("x-user-id", "ada");
    assert_eq!(for_ada.call("GetTask", json!({"id": task["id"]})).await.unwrap(), task);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_apart_after_a_restart_too() {
    let api = start().await;
    let (ada_key, eve_key, id) = {
        let ada = Client::new(&api, Via::Rest, "guide").for_user("ada", &["run"], "default").await;
        let eve = ada.clone().for_user("eve", &["run"], "default").await;
        (ada.key.clone(), eve.key.clone(), ada.begin("m", "ask").await["id"].clone())
    };
    let api = api.restart_with(vec![agents()]).await;
    let client = Client::new(&api, Via::JsonRpc, "guide");
    assert!(client.clone().keyed(&ada_key).call("GetTask", json!({"id": id})).await.is_ok());
    assert_eq!(client.keyed(&eve_key).call("GetTask", json!({"id": id})).await.unwrap_err().reason, "TASK_NOT_FOUND");
    api.shutdown().await;
}
