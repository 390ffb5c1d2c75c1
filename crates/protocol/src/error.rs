//! Error codes: stable names for what can go wrong, the same in frames, journals, the API and the command line.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// A stable error code such as `HOST_NOT_GRANTED`; authors may use their own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// A code of the author's or of another host.
    pub fn new(code: impl Into<String>) -> Self {
        Self(Cow::Owned(code.into()))
    }

    /// The code's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed(stringify!($name)));)*

            /// Every code that Bivouac itself gives.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    // The guest contract.
    /// A frame is not what the contract says it is.
    FRAME_INVALID
    /// A frame is larger than its limit.
    FRAME_TOO_LARGE
    /// Guest and host speak different revisions of the contract.
    ABI_UNSUPPORTED
    /// An effect names an operation that this host does not perform.
    OP_UNSUPPORTED
    /// Two effects of one attempt have the same path.
    DUPLICATE_PATH
    /// A scope opened a second effect or step while one was open.
    CONCURRENT_SCOPE
    /// A future of another runtime was awaited.
    FOREIGN_FUTURE
    /// A terminal frame carries an effect that cannot be performed with it.
    EFFECT_AFTER_END
    /// A turn carries more effects, or a run holds more open ones, than allowed.
    TOO_MANY_EFFECTS
    /// A step's value is larger than its limit.
    STEP_TOO_LARGE
    /// An output is larger than its limit.
    OUTPUT_TOO_LARGE
    /// More notes or log bytes in a turn than allowed.
    TOO_MANY_NOTES
    /// Replay came out differently from what was recorded.
    JOURNAL_MISMATCH
    /// A run's history reached its limit.
    HISTORY_TOO_LONG

    // Modules.
    /// The module is not a WebAssembly module that can be compiled.
    MODULE_INVALID
    /// The module imports something that no guest is given.
    MODULE_IMPORT_REFUSED
    /// The module lacks an export of the contract, or has one of another type.
    MODULE_EXPORT_MISSING
    /// The module is larger than its limit.
    MODULE_TOO_LARGE
    /// The module's manifest cannot be read or is not valid.
    MANIFEST_INVALID

    // What ends an attempt.
    /// The component's code panicked or trapped.
    GUEST_TRAPPED
    /// A drive ran longer than its limit.
    CPU_LIMIT
    /// The guest asked for more memory than its limit.
    MEMORY_LIMIT
    /// The guest's stack overflowed.
    STACK_OVERFLOW
    /// The component returned an error without a code of its own.
    HANDLER_FAILED
    /// The component declines the work it was given, before having begun it.
    REJECTED
    /// An input, output or value is not what its type says.
    INVALID_INPUT
    /// The run was cancelled.
    CANCELLED
    /// What was waited for took longer than the author allowed.
    TIMEOUT

    // Effects.
    /// The host is not among those granted to the deployment.
    HOST_NOT_GRANTED
    /// The address that the host's name leads to may not be connected to.
    ADDRESS_REFUSED
    /// The secret is not granted, not known, or not bound to this host.
    SECRET_NOT_GRANTED
    /// Memory is not granted to the deployment.
    MEMORY_NOT_GRANTED
    /// The request is not one that can be sent.
    REQUEST_INVALID
    /// A request or response body is larger than its limit.
    BODY_TOO_LARGE
    /// The target could not be connected to, or the connection broke.
    CONNECTION_FAILED

    // The API.
    /// Nothing of that name or id.
    NOT_FOUND
    /// The component is not deployed in this environment.
    COMPONENT_NOT_FOUND
    /// The request's body or parameters cannot be read.
    BAD_REQUEST
    /// The path is known, the method is not.
    METHOD_NOT_ALLOWED
    /// A part of the API that this server does not have.
    NOT_IMPLEMENTED
    /// The request carries no key, or one that is not valid.
    UNAUTHORIZED
    /// The key lacks the scope that the request needs.
    INSUFFICIENT_SCOPES
    /// The same idempotency key with another body.
    IDEMPOTENCY_CONFLICT
    /// The same immutable ref with other bytes.
    IMMUTABLE_REF_CONFLICT
    /// The route belongs to another service.
    ROUTE_OWNED
    /// The run has already ended.
    RUN_FINISHED
    /// The run has not ended yet.
    RUN_NOT_FINISHED
    /// The run asks nothing that could be answered.
    NOTHING_ASKED
    /// The run asks several things, or not what the answer names: say which question is answered.
    WHICH_QUESTION
    /// The question has another answer already, or the answer's id stands for another.
    ALREADY_ANSWERED
    /// More work than the server takes at once.
    OVERLOADED
    /// The disk is full.
    STORAGE_FULL
    /// The store failed.
    STORAGE_FAILED
    /// The server is shutting down.
    SHUTTING_DOWN
    /// A bug of Bivouac's.
    INTERNAL
}

/// An error as it is recorded and shown: whose fault, whether to retry, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// The stable code.
    pub code: Code,
    /// What happened, why, and what to do.
    pub message: String,
    /// Whether the same again may succeed.
    #[serde(default = "yes")]
    pub retryable: bool,
    /// How long to wait before that, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

fn yes() -> bool {
    true
}

impl ErrorInfo {
    /// An error that the same again may mend.
    pub fn retryable(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true, retry_after_ms: None }
    }

    /// An error that the same again meets again.
    pub fn terminal(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, retry_after_ms: None }
    }
}

impl fmt::Display for ErrorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ErrorInfo {}
