//! Questions over HTTP: what a run asks, the answers it takes, and that they count once.

use crate::api_support::{Answer, Api, BIG, parse_stream, send};
use bivouac_protocol::Code;
use bivouac_server::Config;
use reqwest::Method;
use serde_json::{Value, json};

/// The input of a run that asks where to camp.
fn camp() -> String {
    let options = json!([{"id": "lake", "label": "At the lake"}, {"id": "peak", "label": "Near the peak"}]);
    asks(&[json!({"text": "Which camp?", "name": "camp", "input_type": "select", "options": options})], false)
}

fn asks(questions: &[Value], fails: bool) -> String {
    json!({ "questions": questions, "fails": fails }).to_string()
}

fn two() -> String {
    asks(&[json!({"text": "Where?", "name": "where"}), json!({"text": "When?", "name": "when"})], false)
}

impl Api {
    /// Starts a run that asks, and gives its id once it does.
    async fn asking(&self, input: &str) -> String {
        let run = self.submit("workflows/asks", input).await;
        self.until(&run, "workflow.paused").await;
        run
    }

    async fn answer(&self, run: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/runs/{run}/answer"), body.to_string()).await
    }

    async fn ended(&self, run: &str) -> Value {
        self.until(run, "run.completed").await;
        let result = self.get(&format!("/v1/result/{run}")).await;
        assert_eq!(result.json["status"], "completed", "{}", result.text);
        result.json["output"].clone()
    }

    async fn answers_recorded(&self, run: &str) -> usize {
        let events = self.get(&format!("/v1/runs/{run}/events")).await;
        let items = events.json["items"].as_array().unwrap().clone();
        items.iter().filter(|event| event["event_type"] == "question.answered").count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_asks_says_so_and_goes_on_with_the_answer_as_it_came() {
    let api = Api::start().await;
    let run = api.asking(&camp()).await;
    for path in [format!("/v1/runs/{run}"), format!("/v1/status/{run}")] {
        let shown = api.get(&path).await;
        assert_eq!(
            (&shown.json["status"], &shown.json["status_code"]),
            (&json!("paused"), &json!(202)),
            "{}",
            shown.text
        );
        assert_eq!(shown.json["waits_for"], "question");
        let questions = shown.json["questions"].as_array().unwrap();
        assert_eq!(questions.len(), 1, "{}", shown.text);
        assert_eq!(questions[0]["name"], "camp");
        assert_eq!(questions[0]["question"]["options"][1]["label"], "Near the peak");
        assert!(questions[0]["key"].as_str().unwrap().starts_with("0/"), "{}", shown.text);
    }
    let listed = api.get("/v1/runs").await;
    assert_eq!(listed.json["runs"][0]["waits_for"], "question", "{}", listed.text);

    let text = format!("{{\"answer\": {{\"nights\":{BIG}}} ,\"id\":\"a1\"}}");
    let answered = api.post(&format!("/v1/runs/{run}/answer"), text).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    assert_eq!((&answered.json["run_id"], &answered.json["answer_id"]), (&json!(run), &json!("a1")));
    let output = api.ended(&run).await;
    assert_eq!(
        output.to_string(),
        format!("{{\"answers\":{{\"1\":{{\"answer\":{{\"nights\":{BIG}}}}}}},\"attempt\":1}}")
    );
    let shown = api.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((&shown.json["waits_for"], &shown.json["questions"]), (&Value::Null, &Value::Null));

    let stream = api.get(&format!("/v1/runs/{run}/stream")).await;
    let events = parse_stream(&stream.text);
    let of = |name: &str| {
        events.iter().find(|event| event.event == name).unwrap_or_else(|| panic!("no {name}")).data.clone()
    };
    let paused = of("workflow.paused");
    assert_eq!(paused["metadata"]["pause_reason"], "user_input_required", "{paused}");
    assert_eq!(
        (&paused["metadata"]["question"], &paused["metadata"]["input_type"]),
        (&json!("Which camp?"), &json!("select"))
    );
    assert_eq!(of("question.answered")["data"]["outcome"]["answer"]["nights"].to_string(), BIG);
    assert_eq!(of("effect.started")["data"]["op"], "ask");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_once_under_its_id_wherever_the_run_is() {
    let api = Api::start().await;
    let run = api.asking(&two()).await;
    let first = json!({"answer": "the lake", "question": "where", "id": "a1"});
    for _ in 0..3 {
        assert_eq!(api.answer(&run, &first).await.status, 200);
    }
    let other = json!({"answer": "the peak", "question": "where", "id": "a1"});
    api.answer(&run, &other).await.is_error(409, Code::ALREADY_ANSWERED, &["first one counts"]);
    let late = json!({"answer": "the peak", "question": "where", "id": "a2"});
    api.answer(&run, &late).await.is_error(409, Code::ALREADY_ANSWERED, &["answered already"]);
    // The id may come as the header of all idempotent requests.
    let path = format!("/v1/runs/{run}/answer");
    let by_header =
        || send(api.request(Method::POST, &path).header("idempotency-key", "a3").body(r#"{"answer":"May"}"#));
    assert_eq!(by_header().await.status, 200);
    let output = api.ended(&run).await;
    assert_eq!(output["answers"], json!({"1": {"answer": "the lake"}, "2": {"answer": "May"}}));
    assert_eq!(api.answer(&run, &first).await.status, 200, "confirmed after the end too");
    assert_eq!(by_header().await.status, 200);
    api.answer(&run, &other).await.is_error(409, Code::ALREADY_ANSWERED, &[]);
    api.answer(&run, &json!({"answer": 1})).await.is_error(409, Code::RUN_FINISHED, &["nothing to answer"]);
    assert_eq!(api.answers_recorded(&run).await, 2);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_open_an_answer_without_a_name_is_refused_and_they_are_listed() {
    let api = Api::start().await;
    let run = api.asking(&two()).await;
    for body in [json!({"answer": 1}), json!({"answer": 1, "question": "who"})] {
        let refused = api.answer(&run, &body).await;
        refused.is_error(409, Code::WHICH_QUESTION, &["2 questions", "`question`", "where, when"]);
        assert_eq!((&refused.json["run_id"], &refused.json["status"]), (&json!(run), &json!("paused")));
        let names: Vec<_> = refused.json["questions"].as_array().unwrap().iter().map(|q| q["name"].clone()).collect();
        assert_eq!(names, ["where", "when"], "{}", refused.text);
    }
    let key = api.answer(&run, &json!({"answer": 1})).await.json["questions"][1]["key"].clone();
    assert_eq!(api.answer(&run, &json!({"answer": "May", "question": key})).await.status, 200);
    assert_eq!(api.answer(&run, &json!({"answer": null})).await.status, 200, "one is open, and null is an answer");
    assert_eq!(api.ended(&run).await["answers"], json!({"1": {"answer": null}, "2": {"answer": "May"}}));
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_nothing_or_is_not_the_callers_takes_no_answer() {
    let api = Api::start().await;
    let sleeping = api.submit("workflows/waits", "null").await;
    api.until(&sleeping, "workflow.paused").await;
    let answer = json!({"answer": "wake up"});
    api.answer(&sleeping, &answer).await.is_error(409, Code::NOTHING_ASKED, &["asks nothing"]);
    let resumed = api.post(&format!("/v1/workflows/resume/{sleeping}"), r#"{"user_response":"x"}"#).await;
    resumed.is_error(409, Code::NOTHING_ASKED, &[]);
    assert_eq!(api.get(&format!("/v1/runs/{sleeping}")).await.json["waits_for"], "timer");
    api.answer("run_00000000000000000000000000", &answer).await.is_error(404, Code::NOT_FOUND, &[]);
    api.answer("nonsense", &answer).await.is_error(404, Code::NOT_FOUND, &["no such run"]);

    let asking = api.asking(&camp()).await;
    let path = format!("/v1/runs/{asking}/answer");
    let as_key = |key: String| {
        let request = api.request_as(&key, Method::POST, &path).body(answer.to_string());
        send(request)
    };
    as_key(api.new_key(&["run"], "default").await).await.is_error(403, Code::INSUFFICIENT_SCOPES, &["workflow"]);
    as_key(api.new_key(&["workflow"], "elsewhere").await).await.is_error(404, Code::NOT_FOUND, &[]);
    let foreign_tenant = api.request(Method::POST, &path).header("x-tenant-id", "north").body(answer.to_string());
    send(foreign_tenant).await.is_error(404, Code::NOT_FOUND, &[]);
    assert_eq!(api.answers_recorded(&asking).await, 0);
    assert_eq!(as_key(api.new_key(&["workflow"], "default").await).await.status, 200);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_answer_is_refused_and_says_what_one_looks_like() {
    let api = Api::start().await;
    let run = api.asking(&camp()).await;
    let path = format!("/v1/runs/{run}/answer");
    for (body, says) in [
        ("", "cannot be read"),
        ("7", "answer"),
        ("{}", "lacks `answer`"),
        (r#"{"answer":1,"nam":"camp"}"#, "nam"),
        (r#"{"answer":1,"id":""}"#, "empty"),
    ] {
        api.post(&path, body).await.is_error(400, Code::BAD_REQUEST, &[says]);
    }
    let two_ids = api.request(Method::POST, &path).header("idempotency-key", "b").body(r#"{"answer":1,"id":"a"}"#);
    send(two_ids).await.is_error(400, Code::BAD_REQUEST, &["differ"]);
    let long_id = json!({"answer": 1, "id": "i".repeat(256)});
    api.answer(&run, &long_id).await.is_error(413, Code::BODY_TOO_LARGE, &["id", "255"]);
    let large = json!({"answer": "x".repeat(1 << 20)});
    api.answer(&run, &large).await.is_error(413, Code::BODY_TOO_LARGE, &["1048576"]);
    api.post(&format!("/v1/workflows/resume/{run}"), "{}").await.is_error(400, Code::BAD_REQUEST, &["user_response"]);
    assert_eq!(api.answers_recorded(&run).await, 0, "none of them counted");
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_clients_resume_a_run_that_asks() {
    let api = Api::start().await;
    let run = api.asking(&camp()).await;
    let resumed = api.post(&format!("/v1/workflows/resume/{run}"), r#"{"user_response":"lake"}"#).await;
    assert_eq!((resumed.status.as_u16(), &resumed.json["run_id"]), (200, &json!(run)), "{}", resumed.text);
    assert_eq!(api.ended(&run).await["answers"]["1"], json!({"answer": "lake"}));
    api.post(&format!("/v1/workflows/resume/{run}"), r#"{"user_response":"peak"}"#).await.is_error(
        409,
        Code::RUN_FINISHED,
        &[],
    );
    api.post("/v1/workflows/resume/run_00000000000000000000000000", r#"{"user_response":1}"#).await.is_error(
        404,
        Code::NOT_FOUND,
        &[],
    );
    // A workflow may be called so all the same.
    let named = api.post("/v1/workflows/resume/run", "7").await;
    assert_eq!(named.json["output"], 7, "{}", named.text);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_and_its_answers_survive_restarts() {
    let api = Api::start().await;
    let run = api.asking(&two()).await;
    let api = api.restart().await;
    let shown = api.get(&format!("/v1/runs/{run}")).await;
    assert_eq!(shown.json["questions"].as_array().map(Vec::len), Some(2), "{}", shown.text);
    let first = json!({"answer": "the lake", "question": "where", "id": "a1"});
    assert_eq!(api.answer(&run, &first).await.status, 200);
    let api = api.restart().await;
    assert_eq!(api.answer(&run, &first).await.status, 200, "the id is remembered");
    let second = format!("{{\"answer\":{BIG},\"question\":\"when\"}}");
    assert_eq!(api.post(&format!("/v1/runs/{run}/answer"), second).await.status, 200);
    let output = api.ended(&run).await;
    assert_eq!(output["answers"]["1"], json!({"answer": "the lake"}));
    assert_eq!(output["answers"]["2"]["answer"].to_string(), BIG);
    assert_eq!(api.answers_recorded(&run).await, 2);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_attempt_is_not_asked_again_what_was_answered() {
    let api = Api::start().await;
    let run = api.asking(&asks(&[json!({"text": "Where?", "name": "where"})], true)).await;
    assert_eq!(api.answer(&run, &json!({"answer": "the lake", "id": "a1"})).await.status, 200);
    assert_eq!(api.ended(&run).await, json!({"attempt": 2, "answers": {"1": {"answer": "the lake"}}}));
    let events = api.get(&format!("/v1/runs/{run}/events")).await;
    let asked = events.json["items"].as_array().unwrap().iter().filter(|event| event["data"]["op"] == "ask").count();
    assert_eq!((asked, api.answers_recorded(&run).await), (1, 1), "{}", events.text);
    for (event, times) in [("attempt.failed", 1), ("attempt.started", 1), ("run.slice_lost", 0)] {
        let found = events.json["items"].as_array().unwrap().iter().filter(|item| item["event_type"] == event).count();
        assert_eq!(found, times, "{event}: {}", events.text);
    }
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_cannot_be_asked_fails_the_run_and_says_why() {
    let api = Api::start().await;
    let run = api.submit("workflows/asks", &asks(&[json!({"text": "?", "input_type": "select"})], false)).await;
    api.until(&run, "run.failed").await;
    let result = api.get(&format!("/v1/result/{run}")).await;
    assert_eq!(result.json["error_code"], Code::REQUEST_INVALID.as_str(), "{}", result.text);
    assert!(result.json["error_message"].as_str().unwrap().contains("offers no option"), "{}", result.text);
    api.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_payloads_hide_questions_and_answers_on_disk_and_show_them_to_clients() {
    let api =
        Api::with(Config { encrypt_payloads: true, ..Config::default() }, vec![crate::api_support::script()]).await;
    let run = api.asking(&camp()).await;
    assert_eq!(api.get(&format!("/v1/runs/{run}")).await.json["questions"][0]["question"]["text"], "Which camp?");
    assert_eq!(api.answer(&run, &json!({"answer": "lake"})).await.status, 200);
    assert_eq!(api.ended(&run).await["answers"]["1"]["answer"], "lake");
    api.shutdown().await;
}
