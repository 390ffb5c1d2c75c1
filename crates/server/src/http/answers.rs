//! What a run asks, and the answers to it over HTTP.
//!
//! `POST /v1/runs/{id}/answer` is ours; `POST /v1/workflows/resume/{id}` is what the public clients send. Both give the
//! question's `ask` the outcome `{"answer":..}`, are on disk when they are answered, and count once under one id. An
//! answer that does not say what it answers means the only open question; where that is not clear nothing changes, and
//! the open questions are listed.

use crate::{
    driver::{MAX_ANSWER, MAX_ANSWER_ID, recover},
    http::{
        ApiError, App, Shared,
        auth::{Caller, Scope},
        begin::text_header,
        body,
        object::{Object, array},
        runs::{self, about, shown, visible_run},
    },
};
use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bivouac_engine::{Asked, Status};
use bivouac_protocol::Json;
use bivouac_store::RunRecord;
use serde::{Deserialize, Deserializer};

/// What may stand around an answer in its body, in bytes.
const AROUND: usize = 4 << 10;

/// The questions that a run waits for, where it waits; nothing is read for one that does not.
pub(crate) fn open(app: &Shared, run: &RunRecord) -> Result<Vec<Asked>, ApiError> {
    if !matches!(run.status, Status::Waiting | Status::Paused) {
        return Ok(Vec::new());
    }
    let folded = recover::load(&**app.driver.reader(), run.id)?;
    Ok(folded.map(|run| run.questions().collect()).unwrap_or_default())
}

/// Questions as clients see them: a JSON array.
pub(crate) fn list(questions: &[Asked]) -> Vec<u8> {
    array(questions.iter().map(|asked| {
        let mut object = Object::with_capacity(64 + asked.question.len());
        object.put("key", &asked.key).maybe("name", asked.name.as_deref()).raw("question", &asked.question);
        object.finish()
    }))
}

/// An answer, and what it answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    #[serde(default, deserialize_with = "present")]
    answer: Option<Json>,
    question: Option<String>,
    id: Option<String>,
}

/// The body that public clients send.
#[derive(Deserialize)]
struct ResumeBody {
    #[serde(default, deserialize_with = "present")]
    user_response: Option<Json>,
    question: Option<String>,
    id: Option<String>,
}

/// A member that is there, so that `null` is an answer too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// `POST /v1/runs/{id}/answer`
pub(crate) async fn answer(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    const FORM: &str = r#"{"answer":"any JSON","question":"its name or key, where several are open","id":"..."}"#;
    caller.require(&[Scope::Workflow])?;
    let run = visible_run(&app, &caller, &headers, &id?)?;
    let body: AnswerBody = body::parse(&read(&headers, request).await?, FORM, false)?;
    let answer = body.answer.ok_or_else(|| lacks("answer", FORM))?;
    give(&app, &caller, &headers, &run, Answer { value: answer, question: body.question, id: body.id }).await
}

/// `POST /v1/workflows/resume/{run_id}`
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    const FORM: &str = r#"{"user_response":"any JSON"}"#;
    let Path(id) = id?;
    // The path of a workflow that is called `resume`.
    let named = || Ok(Path(("workflows".to_owned(), "resume".to_owned())));
    match id.as_str() {
        "run" => return runs::run(State(app), named(), request).await,
        "submit" => return runs::submit(State(app), named(), request).await,
        "stream" => return crate::http::stream::start(State(app), named(), request).await,
        _ => {}
    }
    caller.require(&[Scope::Workflow])?;
    let run = visible_run(&app, &caller, &headers, &id)?;
    let body: ResumeBody = body::parse(&read(&headers, request).await?, FORM, false)?;
    let answer = body.user_response.ok_or_else(|| lacks("user_response", FORM))?;
    give(&app, &caller, &headers, &run, Answer { value: answer, question: body.question, id: body.id }).await
}

async fn read(headers: &HeaderMap, request: Request) -> Result<bytes::Bytes, ApiError> {
    body::read(headers, request.into_body(), MAX_ANSWER + AROUND, "the answer", "send less").await
}

fn lacks(member: &str, form: &str) -> ApiError {
    ApiError::bad_request(format!("the body lacks `{member}`; it should look like {form}"))
}

struct Answer {
    value: Json,
    question: Option<String>,
    id: Option<String>,
}

async fn give(
    app: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    run: &RunRecord,
    answer: Answer,
) -> Result<Response, ApiError> {
    let id = match (answer.id, text_header(headers, "idempotency-key", MAX_ANSWER_ID)?) {
        (Some(id), None) => id,
        (None, Some(key)) => key.to_owned(),
        (Some(id), Some(key)) if id == key => id,
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request(
                "the body's `id` and the header Idempotency-Key differ: send one of them, or the same in both",
            ));
        }
        // Without an id of the caller's, sending it again is another answer.
        (None, None) => {
            let number = getrandom::u64().map_err(|error| ApiError::internal("making an answer's id", &error))?;
            format!("answer-{number:016x}")
        }
    };
    if id.is_empty() {
        return Err(ApiError::bad_request("the answer's `id` is empty: leave it out, or give one"));
    }
    let outcome =
        Object::with_capacity(16 + answer.value.text().len()).raw("answer", answer.value.text().as_bytes()).finish();
    let outcome =
        Json::parse_bytes(&outcome).map_err(|error| ApiError::internal("writing an answer's outcome", &error))?;
    let refused = |error| ApiError::from(error).about(run.id, Some(shown(run)));
    app.driver.answer(run.id, answer.question.as_deref(), &id, &outcome).await.map_err(refused)?;
    tracing::info!(run_id = %run.id, key = caller.key(), "question answered");
    let status = app.driver.reader().run(run.id)?.map_or("running", |run| shown(&run));
    let mut object = Object::new();
    object.id("run_id", run.id).put("status", status).put("status_code", &runs::status_code(status));
    object.put("answer_id", &id);
    Ok(about(run.id, StatusCode::OK, object.finish()))
}
