//! What can go wrong: with a host, a module, an instance, a drive.

use bivouac_protocol::{Code, ErrorInfo};
use std::path::PathBuf;

/// A host that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine refuses the settings or the machine cannot serve them.
    #[error(
        "the WASM engine cannot be set up for {max_instances} instances: {cause}; allow fewer, or less memory each"
    )]
    Engine {
        /// How many instances were asked for.
        max_instances: u32,
        /// What the engine says.
        cause: String,
    },
    /// The cache's directory cannot be used.
    #[error("the directory for compiled modules, {}, cannot be used: {cause}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The thread that limits time cannot be started.
    #[error("the thread that limits the guests' time cannot be started")]
    Ticker(#[source] std::io::Error),
}

/// A module that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ModuleError(ErrorInfo);

impl ModuleError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(ErrorInfo::terminal(code, message))
    }

    /// The same module may be accepted at another time.
    pub(crate) fn for_now(code: Code, message: impl Into<String>) -> Self {
        Self(ErrorInfo::retryable(code, message))
    }

    /// The error in the form in which it is shown.
    #[must_use]
    pub const fn info(&self) -> &ErrorInfo {
        &self.0
    }
}

impl From<ModuleError> for ErrorInfo {
    fn from(error: ModuleError) -> Self {
        error.0
    }
}

/// An instance that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// As many instances live as the host allows: wait until one ends.
    #[error("all {limit} instances that this host allows are in use")]
    PoolExhausted {
        /// How many the host allows.
        limit: u32,
    },
    /// The guest's own initialisation failed.
    #[error("the guest cannot be initialised: {0}")]
    Guest(DriveError),
    /// The machine refuses memory.
    #[error("no memory for an instance: {0}")]
    Machine(String),
}

impl From<InstanceError> for ErrorInfo {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::PoolExhausted { .. } => Self::retryable(Code::OVERLOADED, error.to_string()),
            InstanceError::Guest(error) => error.info,
            InstanceError::Machine(_) => Self::retryable(Code::INTERNAL, error.to_string()),
        }
    }
}

/// A drive that gave no frame. The instance is of no more use, unless its frame was too large to be given to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{info}")]
pub struct DriveError {
    /// What happened, in the form in which it is recorded.
    pub info: ErrorInfo,
    /// Whether a busy machine may be to blame: the slice should be repeated a few times before this counts.
    pub may_be_load: bool,
}

impl DriveError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { info: ErrorInfo::retryable(code, message), may_be_load: false }
    }

    /// What the same again meets again: the guest breaks the contract.
    pub(crate) fn terminal(code: Code, message: impl Into<String>) -> Self {
        Self { info: ErrorInfo::terminal(code, message), may_be_load: false }
    }
}

impl From<DriveError> for ErrorInfo {
    fn from(error: DriveError) -> Self {
        error.info
    }
}
