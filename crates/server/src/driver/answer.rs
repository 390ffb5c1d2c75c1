//! Answering what a run asks: the handle's side, and what may come of it.

use super::{Driver, Message};
use bivouac_engine::{Asked, Input, Rejection};
use bivouac_protocol::{Json, RunId};
use bytes::Bytes;
use tokio::sync::oneshot;

/// The largest answer, in bytes.
pub const MAX_ANSWER: usize = 1 << 20;
/// The longest id of an answer, in bytes.
pub const MAX_ANSWER_ID: usize = 255;

/// An answer that changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no such run.
    #[error("there is no such run")]
    NotFound,
    /// It is over.
    #[error("the run has already ended")]
    Finished,
    /// The run asks nothing.
    #[error("the run asks nothing")]
    NothingAsked,
    /// Several questions are open and the answer names none of them, or what it names is not open.
    #[error("the answer does not say which of {} open questions it answers", .0.len())]
    WhichQuestion(Vec<Asked>),
    /// The question has another answer, or the id stands for another one.
    #[error("the question was answered otherwise, or the answer's id was used for another answer")]
    AlreadyAnswered,
    /// The answer has more bytes than [`MAX_ANSWER`], or its id more than [`MAX_ANSWER_ID`].
    #[error("the answer's {what} has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// The answer's text or its id.
        what: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The disk is full.
    #[error("the disk is full")]
    StorageFull,
    /// Whether the answer was recorded is not known; the same again tells.
    #[error("whether the answer was recorded is not known: {0}")]
    Unknown(String),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl From<Rejection> for AnswerError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Finished => Self::Finished,
            Rejection::NothingAsked => Self::NothingAsked,
            Rejection::WhichQuestion(open) => Self::WhichQuestion(open),
            Rejection::AlreadyAnswered => Self::AlreadyAnswered,
            Rejection::NotAccepted => Self::NotFound,
            other => Self::Unknown(other.to_string()),
        }
    }
}

impl Driver {
    /// Answers a question of a run; the answer is on disk when this returns. `question` is the author's name or the key
    /// of it, and may be left out where one alone is open. `outcome` is the whole outcome of the `ask`:
    /// `{"answer":..}` or `{"message":..}`. The same under the same `id` again changes nothing and is confirmed, also
    /// when the run has gone on or has ended.
    ///
    /// # Errors
    /// [`AnswerError`]; nothing is changed, except perhaps after [`AnswerError::Unknown`].
    pub async fn answer(
        &self,
        run: RunId,
        question: Option<&str>,
        id: &str,
        outcome: &Json,
    ) -> Result<(), AnswerError> {
        for (what, bytes, limit) in [("text", outcome.text().len(), MAX_ANSWER), ("id", id.len(), MAX_ANSWER_ID)] {
            if bytes > limit {
                return Err(AnswerError::TooLarge { what, bytes, limit });
            }
        }
        let input = Input::Answer {
            question: question.map(Into::into),
            id: id.into(),
            payload: Bytes::copy_from_slice(outcome.text().as_bytes()),
        };
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Answer { id: run, input, reply }).map_err(|_| AnswerError::ShuttingDown)?;
        answer.await.map_err(|_| AnswerError::ShuttingDown)?
    }
}
