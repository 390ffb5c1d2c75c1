//! Frames: what crosses the boundary between a guest and its host in one turn.
//!
//! A frame is `u32 length (LE) | header JSON | attachments`. The length is the header's; the header's `att` lists the
//! attachments' lengths, and where JSON would need bytes it says `{"$att":i}`. Unknown fields are ignored. Payloads stay
//! raw JSON text ([`Json`]). The schemas and golden frames are in `conformance/frames/`.
//! Source: the guest contract, "Frames".

mod codec;
mod incoming;
mod op;
mod outgoing;
mod question;

pub use codec::{FrameError, split};
pub use incoming::{Auth, CancelMode, InFrame, Limits, Memo, Outcome, Start};
pub use op::{Body, HeaderValue, HttpRequest, HttpResponse, Op, Part, op_names};
pub use outgoing::{Effect, LogLevel, Note, OutFrame, Status};
pub use question::{AnswerOption, InputType, MAX_OPTIONS, MAX_QUESTION_BYTES, MAX_QUESTION_NAME_BYTES, Question};

use crate::{error::ErrorInfo, json::Json};

/// What a step ended with.
pub type StepResult = Result<Json, ErrorInfo>;
