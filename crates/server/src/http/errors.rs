//! The one place where an error becomes an HTTP answer.
//!
//! Every error is answered as `{"error": text, "error_code": CODE, "run_id"?, "status"?}`: the text says what happened,
//! why, and what to do. Detail from inside (file names, the database's words) goes to the log and not to the client.

use crate::{
    deployments::{DeployError, LoadError},
    driver::{AnswerError, CancelError, StartError},
    http::{AboutRun, App, answers, object::Object},
    secrets::SetError,
};
use axum::{
    extract::{
        State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bivouac_engine::Asked;
use bivouac_protocol::{Code, RunId};
use bivouac_store::{CommitError, StoreError, blobs::BlobError, envelope::EnvelopeError};
use bivouac_wasm_host::ModuleError;

/// How many of a run's open questions an error's text names.
const MAX_NAMED: usize = 8;
/// How long a client should wait before it asks an overloaded server again, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: Code,
    message: String,
    run: Option<RunId>,
    run_status: Option<&'static str>,
    retry_after_s: Option<u32>,
    /// The questions that are open, as a JSON array.
    questions: Option<Vec<u8>>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Parts {
            status,
            code,
            message,
            run: None,
            run_status: None,
            retry_after_s: None,
            questions: None,
        }))
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NOT_FOUND, message)
    }

    pub(crate) fn conflict(code: Code, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(crate) fn overloaded(message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::OVERLOADED, message);
        error.0.retry_after_s = Some(RETRY_AFTER_S);
        error
    }

    fn unavailable(code: Code, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        error.0.retry_after_s = Some(RETRY_AFTER_S);
        error
    }

    fn storage_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            Code::STORAGE_FULL,
            "the server's disk is full and nothing was changed: free space on it, then send the request again",
        )
    }

    /// What went wrong inside; `cause` is logged and not shown.
    pub(crate) fn internal(doing: &'static str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(doing, error = %cause, error.code = "INTERNAL", "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::INTERNAL,
            format!("the server failed while {doing}; its log says why"),
        )
    }

    /// Says which run the answer is about.
    pub(crate) fn about(mut self, run: RunId, status: Option<&'static str>) -> Self {
        self.0.run = Some(run);
        self.0.run_status = status;
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What happened, why, and what to do.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &Code {
        &self.0.code
    }

    /// In how many seconds to try again, where that helps.
    pub(crate) fn retry_after_s(&self) -> Option<u32> {
        self.0.retry_after_s
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = *self.0;
        let mut body = Object::new();
        body.put("error", &error.message).put("error_code", error.code.as_str());
        if let Some(run) = error.run {
            body.id("run_id", run);
        }
        body.maybe("status", error.run_status);
        if let Some(questions) = &error.questions {
            body.raw("questions", questions);
        }
        let mut response =
            (error.status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.finish())
                .into_response();
        if let Some(seconds) = error.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(run) = error.run {
            response.extensions_mut().insert(AboutRun(run));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, error.code = "STORAGE_FAILED", "the store cannot be read");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::STORAGE_FAILED,
            "the server cannot read its data; its log says why, and `bivouac doctor` examines it",
        )
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::storage_full(),
            CommitError::Conflict(why) => Self::conflict(Code::BAD_REQUEST, why),
            other => {
                tracing::error!(error = %other, error.code = "STORAGE_FAILED", "the store cannot be written");
                Self::unavailable(
                    Code::STORAGE_FAILED,
                    "the server could not write to its disk and its log says why: look whether the change is there before sending it again",
                )
            }
        }
    }
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::IdempotencyConflict(run) => Self::conflict(
                Code::IDEMPOTENCY_CONFLICT,
                format!(
                    "the Idempotency-Key was already used for {run} with another component or body: send the same body to get that run, or use a new key"
                ),
            )
            .about(run, None),
            StartError::Overloaded(held) => Self::overloaded(format!(
                "the server already holds {held} runs in its queue and takes no more for now: try again after the time in Retry-After"
            )),
            StartError::StorageFull => Self::storage_full(),
            StartError::Unknown(why) => {
                tracing::error!(error = %why, error.code = "STORAGE_FAILED", "whether a run was started is not known");
                Self::unavailable(
                    Code::STORAGE_FAILED,
                    "whether the run was started is not known: send the request again with the same Idempotency-Key, which starts it at most once",
                )
            }
            StartError::ShuttingDown => shutting_down(),
        }
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::not_found("there is no such run"),
            CancelError::Finished => {
                Self::conflict(Code::RUN_FINISHED, "the run has already ended: there is nothing to cancel")
            }
            CancelError::StorageFull => Self::storage_full(),
            CancelError::Unknown(why) => {
                tracing::error!(error = %why, error.code = "STORAGE_FAILED", "whether a cancel was recorded is not known");
                Self::unavailable(
                    Code::STORAGE_FAILED,
                    "whether the cancel was recorded is not known: send it again, a second one changes nothing",
                )
            }
            CancelError::ShuttingDown => shutting_down(),
        }
    }
}

impl From<AnswerError> for ApiError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::NotFound => Self::not_found("there is no such run"),
            AnswerError::Finished => {
                Self::conflict(Code::RUN_FINISHED, "the run has already ended: there is nothing to answer")
            }
            AnswerError::NothingAsked => Self::conflict(
                Code::NOTHING_ASKED,
                "the run asks nothing: look at what it waits for, and answer when it asks",
            ),
            AnswerError::WhichQuestion(open) => {
                let called = |asked: &Asked| asked.name.as_deref().unwrap_or(asked.key.as_str()).to_owned();
                let names: Vec<String> = open.iter().take(MAX_NAMED).map(called).collect();
                let (count, are) = (open.len(), if open.len() == 1 { "question is" } else { "questions are" });
                let more = if count > MAX_NAMED { ", ..." } else { "" };
                let message = format!(
                    "{count} {are} open and the answer names none of them: send it again with `question`, the name or \
                     the key of one: {}{more}",
                    names.join(", ")
                );
                let mut error = Self::conflict(Code::WHICH_QUESTION, message);
                error.0.questions = Some(answers::list(&open));
                error
            }
            AnswerError::AlreadyAnswered => Self::conflict(
                Code::ALREADY_ANSWERED,
                "the question was answered already, or the answer's id was used for another answer: the first one counts",
            ),
            AnswerError::TooLarge { what, bytes, limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::BODY_TOO_LARGE,
                format!("the answer's {what} has {bytes} bytes, {limit} are allowed: send less"),
            ),
            AnswerError::StorageFull => Self::storage_full(),
            AnswerError::Unknown(why) => {
                tracing::error!(error = %why, error.code = "STORAGE_FAILED", "whether an answer was recorded is not known");
                Self::unavailable(
                    Code::STORAGE_FAILED,
                    "whether the answer was recorded is not known: send it again with the same id, which counts once",
                )
            }
            AnswerError::ShuttingDown => shutting_down(),
        }
    }
}

fn shutting_down() -> ApiError {
    ApiError::unavailable(
        Code::SHUTTING_DOWN,
        "the server is shutting down and takes no more work: try again when it is back",
    )
}

impl From<ModuleError> for ApiError {
    fn from(error: ModuleError) -> Self {
        let info = error.info();
        let status = if info.retryable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNPROCESSABLE_ENTITY };
        Self::new(status, info.code.clone(), info.message.clone())
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotFound(id) => Self::not_found(format!("deployment {id} does not exist")),
            LoadError::Store(error) => error.into(),
            LoadError::Blob(error) => Self::internal("reading the deployment's module", &error),
            // Not the client's fault: what was deployed cannot be executed by this process.
            LoadError::NotInProcess { .. } | LoadError::Module { .. } | LoadError::Missing(_) => {
                tracing::error!(%error, error.code = "MODULE_INVALID", "a deployment cannot be used");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::MODULE_INVALID, error.to_string())
            }
        }
    }
}

impl From<DeployError> for ApiError {
    fn from(error: DeployError) -> Self {
        let text = error.to_string();
        match error {
            DeployError::Module(error) => error.into(),
            DeployError::RefTaken { .. } | DeployError::GrantsDiffer { .. } => {
                Self::conflict(Code::IMMUTABLE_REF_CONFLICT, text)
            }
            DeployError::NotAskedFor(..) => Self::bad_request(text),
            DeployError::RouteOwned { .. } => Self::conflict(Code::ROUTE_OWNED, text),
            DeployError::Blob(BlobError::Full) => Self::storage_full(),
            DeployError::Blob(error) => Self::internal("keeping the module", &error),
            DeployError::Store(error) => error.into(),
            DeployError::Commit(CommitError::Conflict(why)) => Self::conflict(Code::IMMUTABLE_REF_CONFLICT, why),
            DeployError::Commit(error) => error.into(),
        }
    }
}

impl From<SetError> for ApiError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::TooLong(_) => Self::bad_request(format!("{error}: keep long material elsewhere")),
            SetError::Seal(error) => error.into(),
            SetError::Commit(error) => error.into(),
        }
    }
}

impl From<EnvelopeError> for ApiError {
    fn from(error: EnvelopeError) -> Self {
        Self::internal("sealing with the master key", &error)
    }
}

impl From<PathRejection> for ApiError {
    fn from(error: PathRejection) -> Self {
        Self::bad_request(format!("the path cannot be read: {}", error.body_text()))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(error: QueryRejection) -> Self {
        Self::bad_request(format!("the query cannot be read: {}", error.body_text()))
    }
}

/// No route of that path.
pub(crate) async fn no_route(State(_): State<App>, method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    if path == "/v1/eval" || path.starts_with("/v1/entity/") {
        return ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            Code::NOT_IMPLEMENTED,
            format!("this server has no such component yet: {path} is not served"),
        );
    }
    ApiError::not_found(format!(
        "there is nothing at {method} {path}: runs are at /v1/functions/NAME/run and /v1/runs, control at /api/deployments, /api/routes, /api/secrets and /api/keys"
    ))
}

/// A route that is there, with a method that it does not know; the `Allow` header says which it knows.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::METHOD_NOT_ALLOWED,
        format!("{path} does not know the method {method}: the Allow header lists those it knows"),
    )
}
