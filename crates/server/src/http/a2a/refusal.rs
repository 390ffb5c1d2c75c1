//! What the server refuses, in the words of A2A: the one place where its errors become those of the protocol.

use crate::{
    driver::{AnswerError, CancelError, StartError},
    http::ApiError,
};
use axum::http::StatusCode;
use bivouac_a2a::{A2aError, ErrorKind};
use bivouac_store::StoreError;

impl From<ApiError> for A2aError {
    fn from(error: ApiError) -> Self {
        let kind = match error.status() {
            StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
            StatusCode::FORBIDDEN => ErrorKind::PermissionDenied,
            StatusCode::NOT_FOUND => ErrorKind::MethodNotFound,
            StatusCode::CONFLICT => ErrorKind::UnsupportedOperation,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::PayloadTooLarge,
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::Overloaded,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => ErrorKind::Unavailable,
            status if status.is_client_error() => ErrorKind::InvalidParams,
            _ => ErrorKind::Internal,
        };
        let mut refusal = Self::new(kind, error.message()).with("code", error.code().as_str());
        refusal.retry_after = error.retry_after_s();
        refusal
    }
}

pub(super) fn store(error: StoreError) -> A2aError {
    ApiError::from(error).into()
}

pub(super) fn start(error: StartError) -> A2aError {
    match error {
        StartError::IdempotencyConflict(_) => message_id_conflict(),
        error => ApiError::from(error).into(),
    }
}

pub(super) fn message_id_conflict() -> A2aError {
    A2aError::new(
        ErrorKind::MessageIdConflict,
        "the messageId was used before for another message: send the same message to get its task, or give this one an id of its own",
    )
}

pub(super) fn cancel(error: CancelError, task: &str) -> A2aError {
    match error {
        CancelError::NotFound => A2aError::task_not_found(task),
        CancelError::Finished => not_cancelable(),
        error => ApiError::from(error).into(),
    }
}

pub(super) fn not_cancelable() -> A2aError {
    A2aError::new(ErrorKind::TaskNotCancelable, "the task has ended already: there is nothing to cancel")
}

pub(super) fn answer(error: AnswerError, task: &str) -> A2aError {
    match error {
        AnswerError::NotFound => A2aError::task_not_found(task),
        AnswerError::Finished => A2aError::new(
            ErrorKind::UnsupportedOperation,
            "the task has ended and takes no more messages: send one without taskId, in the same context if it belongs there",
        ),
        AnswerError::NothingAsked => A2aError::new(
            ErrorKind::UnsupportedOperation,
            "the task works and asks nothing: wait until its state is TASK_STATE_INPUT_REQUIRED, or begin another task in the same context",
        ),
        AnswerError::WhichQuestion(open) => {
            let names = open.iter().map(|asked| asked.name.as_deref().unwrap_or_else(|| asked.key.as_str()));
            let names: Vec<_> = names.collect();
            A2aError::invalid(format!(
                "the task asks {}, and the message does not say which it answers: name one as `question` in the message's metadata",
                names.join(", ")
            ))
            .with("questions", names.join(","))
        }
        AnswerError::AlreadyAnswered => A2aError::new(
            ErrorKind::MessageIdConflict,
            "the question was answered already, or the messageId was used for another answer: the first one counts",
        ),
        error => ApiError::from(error).into(),
    }
}
