//! Every operation of A2A on both bindings, as a client sees it.

use super::{
    a2a_support::{BOTH, Client, Via, message, start, told, with},
    api_support::Api,
};
use bivouac_server::Config;
use serde_json::{Value, json};

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_with_its_task_when_that_is_over() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let task = client.begin(&format!("m-{via:?}"), "echo hello").await;
        assert_eq!(state(&task), "TASK_STATE_COMPLETED");
        assert_eq!(task["status"]["message"]["parts"][0]["text"], "hello");
        assert_eq!(task["status"]["message"]["role"], "ROLE_AGENT");
        assert_eq!(task["artifacts"][0]["artifactId"], "echo");
        assert_eq!(task["history"][0]["messageId"], format!("m-{via:?}"));
        assert_eq!(task["history"][0]["taskId"], task["id"]);
        assert!(task["contextId"].as_str().unwrap().starts_with("ctx_"));
        let shown = client.call("GetTask", json!({"id": task["id"]})).await.unwrap();
        assert_eq!(shown, task);
        let short = client.call("GetTask", json!({"id": task["id"], "historyLength": 0})).await.unwrap();
        assert_eq!(short.get("history"), None);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_by_a_message_to_its_task() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let asked = client.begin(&format!("m-{via:?}"), "ask").await;
        assert_eq!(state(&asked), "TASK_STATE_INPUT_REQUIRED");
        assert_eq!(asked["status"]["message"]["parts"][0]["text"], "Where to?");
        assert_eq!(asked["status"]["message"]["metadata"]["question"], "where");
        let done = client.answer(&asked, &format!("a-{via:?}"), "Rome").await.unwrap();
        assert_eq!(state(&done), "TASK_STATE_COMPLETED");
        assert_eq!(done["artifacts"][0]["parts"][0]["text"], "Rome");
        let said: Vec<_> = done["history"].as_array().unwrap().iter().map(|m| &m["parts"][0]["text"]).collect();
        assert_eq!(said, ["ask", "Where to?", "Rome"]);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_shows_what_there_is_to_choose() {
    let api = start().await;
    let client = Client::new(&api, Via::Rest, "guide");
    let asked = client.begin("m", "choose").await;
    let parts = &asked["status"]["message"]["parts"];
    assert_eq!(parts[0]["text"], "Which one?");
    let options = json!([{"id": "a", "label": "A"}, {"id": "b", "label": "B"}]);
    assert_eq!(parts[1]["data"], json!({"inputType": "select", "options": options}));
    let done = client.answer(&asked, "a", "b").await.unwrap();
    assert_eq!(done["status"]["message"]["parts"][0]["text"], "b");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_a_task_from_its_beginning_to_a_question_and_on_to_its_end() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let events =
            client.stream("SendStreamingMessage", json!({"message": message(&format!("m-{via:?}"), "ask")})).await;
        assert_eq!(told(&events), ["task SUBMITTED", "WORKING", "WORKING looking", "INPUT_REQUIRED Where to?"]);
        let task = &events[0].data["task"];
        let mut answer = message(&format!("a-{via:?}"), "Oslo");
        answer["taskId"] = task["id"].clone();
        answer["contextId"] = task["contextId"].clone();
        let events = client.stream("SendStreamingMessage", json!({"message": answer})).await;
        assert_eq!(told(&events), ["task WORKING", "artifact ticket.", "COMPLETED to Oslo"]);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_pieces_of_artifacts_are_told_in_order() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let events =
            client.stream("SendStreamingMessage", json!({"message": message(&format!("m-{via:?}"), "tell")})).await;
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
        assert_eq!(told(&events), expected);
        let task = client.call("GetTask", json!({"id": events[0].data["task"]["id"]})).await.unwrap();
        let pieces: Vec<_> = task["artifacts"][0]["parts"].as_array().unwrap().iter().map(|p| &p["text"]).collect();
        assert_eq!(pieces, ["a", "b", "c"]);
        assert_eq!(task["history"].as_array().unwrap().len(), 1, "what is said in passing is no history");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_begins_with_the_task_and_tells_what_follows() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let asked = client.begin(&format!("m-{via:?}"), "twice").await;
        let mut stream = client.open("SubscribeToTask", json!({"id": asked["id"]})).await.unwrap();
        let first = stream.next().await.unwrap();
        assert_eq!(told(&[first]), ["task INPUT_REQUIRED Where to?"], "a snapshot ends no stream");
        client.answer(&asked, &format!("a-{via:?}"), "Rome").await.unwrap();
        assert_eq!(told(&stream.rest().await), ["WORKING", "INPUT_REQUIRED When?"]);
        let done = client.answer(&asked, &format!("b-{via:?}"), "today").await.unwrap();
        assert_eq!(done["status"]["message"]["parts"][0]["text"], "Rome today");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_return_before_its_task_is_over() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let params =
            json!({"message": message(&format!("m-{via:?}"), "nap"), "configuration": {"returnImmediately": true}});
        let task = client.call("SendMessage", params).await.unwrap()["task"].clone();
        assert!(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&state(&task)), "{task}");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_is_answered_when_its_limit_has_come() {
    let api = with(Config { run_wait_ms: 3_000, ..Config::default() }).await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let params = json!({"message": message(&format!("m-{via:?}"), "nap")});
        let mut response = client.raw("SendMessage", &params).await;
        let first = response.chunk().await.unwrap().unwrap();
        assert_eq!(&first[..], b" ", "something is sent before 5 s have passed");
        let text = response.text().await.unwrap();
        assert!(text.contains("TASK_STATE_WORKING"), "{text}");
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_a_task_and_waits_for_its_end() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        for word in ["nap", "ask"] {
            let params = json!({"message": message(&format!("{word}-{via:?}"), word), "configuration": {"returnImmediately": true}});
            let task = client.call("SendMessage", params).await.unwrap()["task"].clone();
            let cancelled = client.call("CancelTask", json!({"id": task["id"]})).await.unwrap();
            assert_eq!(state(&cancelled), "TASK_STATE_CANCELED", "{cancelled}");
            let again = client.call("CancelTask", json!({"id": task["id"]})).await.unwrap_err();
            assert_eq!(
                (again.reason.as_str(), again.code == -32002 || again.http == 400),
                ("TASK_NOT_CANCELABLE", true)
            );
        }
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_as_what_it_was() {
    let api = start().await;
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let rejected = client.begin(&format!("r-{via:?}"), "reject").await;
        assert_eq!(state(&rejected), "TASK_STATE_REJECTED");
        assert_eq!(rejected["status"]["message"]["parts"][0]["text"], "not my business");
        let failed = client.begin(&format!("f-{via:?}"), "fail").await;
        assert_eq!(state(&failed), "TASK_STATE_FAILED");
        assert_eq!(failed["status"]["message"]["metadata"]["code"], "NO_LUCK");
        let response = client.raw("SendMessage", &json!({"message": message(&format!("o-{via:?}"), "odd")})).await;
        let text = response.text().await.unwrap();
        assert!(text.contains(r#"{"data":{"n":9007199254740993}}"#), "an integer stays as it came: {text}");
    }
    api.shutdown().await;
}

async fn pages(client: &Client<'_>, params: Value) -> (Vec<String>, Vec<Value>) {
    let (mut ids, mut pages) = (Vec::new(), Vec::new());
    let mut token = String::new();
    loop {
        let mut params = params.clone();
        if !token.is_empty() {
            params["pageToken"] = json!(token);
        }
        let page = client.call("ListTasks", params).await.unwrap();
        ids.extend(page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()));
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        pages.push(page);
        if token.is_empty() {
            return (ids, pages);
        }
    }
}

async fn some_tasks(api: &Api) -> Vec<Value> {
    let client = Client::new(api, Via::Rest, "guide");
    let mut tasks = Vec::new();
    for (n, text) in ["echo a", "ask", "reject", "fail", "echo b", "nap", "twice"].into_iter().enumerate() {
        let mut message = message(&format!("list-{n}"), text);
        message["contextId"] = json!(if n % 2 == 0 { "even" } else { "odd" });
        let immediately = text == "nap";
        let params = json!({"message": message, "configuration": {"returnImmediately": immediately}});
        tasks.push(client.call("SendMessage", params).await.unwrap()["task"].clone());
    }
    // The nap has parked once its timer is told of.
    api.until(tasks[5]["id"].as_str().unwrap(), "agent.paused").await;
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_by_context_state_and_time_page_by_page() {
    let api = start().await;
    let tasks = some_tasks(&api).await;
    let id = |n: usize| tasks[n]["id"].as_str().unwrap().to_owned();
    for via in BOTH {
        let client = Client::new(&api, via, "guide");
        let (all, first) = pages(&client, json!({})).await;
        assert_eq!(all.len(), 7);
        assert_eq!((&first[0]["totalSize"], &first[0]["pageSize"]), (&json!(7), &json!(50)));
        assert_eq!(first[0]["tasks"][0].get("artifacts"), None, "artifacts are left out unless they are asked for");
        let times: Vec<_> = first[0]["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["status"]["timestamp"].as_str().unwrap())
            .collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        let (paged, three) = pages(&client, json!({"pageSize": 3})).await;
        assert_eq!((paged, three.len()), (all.clone(), 3));
        assert_eq!(three[1]["totalSize"], 7);
        let (even, _) = pages(&client, json!({"contextId": "even", "pageSize": 2})).await;
        assert_eq!(even.len(), 4);
        let by_state = [
            ("TASK_STATE_COMPLETED", vec![id(0), id(4)]),
            ("TASK_STATE_INPUT_REQUIRED", vec![id(1), id(6)]),
            ("TASK_STATE_REJECTED", vec![id(2)]),
            ("TASK_STATE_FAILED", vec![id(3)]),
            ("TASK_STATE_WORKING", vec![id(5)]),
            ("TASK_STATE_SUBMITTED", vec![]),
            ("TASK_STATE_AUTH_REQUIRED", vec![]),
        ];
        for (state, mut expected) in by_state {
            let (mut found, pages) = pages(&client, json!({"status": state, "pageSize": 1})).await;
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{state}");
            assert_eq!(pages[0]["totalSize"], expected.len(), "{state}");
        }
        let made = client.call("ListTasks", json!({"includeArtifacts": true, "contextId": "even"})).await.unwrap();
        let artifacts: Vec<_> =
            made["tasks"].as_array().unwrap().iter().map(|t| t["artifacts"].as_array().unwrap().len()).collect();
        assert_eq!(artifacts.iter().sum::<usize>(), 2);
        let newest = times[0].to_owned();
        let (late, _) = pages(&client, json!({"statusTimestampAfter": newest})).await;
        assert!(late.contains(&all[0]) && late.len() < 7, "{late:?}");
        let (none, _) = pages(&client, json!({"statusTimestampAfter": "2999-01-01T00:00:00+00:00"})).await;
        assert_eq!(none.len(), 0);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_runs_api_is_a_task_and_an_answer_of_the_runs_api_is_a_message() {
    let api = start().await;
    let run = api.submit("agents/guide", "\"ask\"").await;
    api.until(&run, "agent.paused").await;
    let client = Client::new(&api, Via::JsonRpc, "guide");
    let task = client.call("GetTask", json!({"id": run})).await.unwrap();
    assert_eq!(state(&task), "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(task["history"][0]["parts"][0]["text"], "ask");
    let answered = api.post(&format!("/v1/runs/{run}/answer"), r#"{"answer":"Bern"}"#).await;
    assert_eq!(answered.status.as_u16(), 200, "{}", answered.text);
    api.until(&run, "run.completed").await;
    let task = client.call("GetTask", json!({"id": run})).await.unwrap();
    assert_eq!(task["status"]["message"]["parts"][0]["text"], "to Bern");
    assert_eq!(task["history"][2]["parts"][0]["text"], "Bern");
    api.shutdown().await;
}
