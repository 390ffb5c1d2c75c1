//! Where runs are kept.
//!
//! A store commits what the engine computed, all of it or nothing, and answers a few reads. It knows no rule of the
//! engine: not when a run may end, not what a turn means. [`Store`] is the writer, owned by one shard loop; a
//! [`Reader`] sees only what is committed and may be shared.
//!
//! [`memory::MemoryStore`] forgets at exit; [`sqlite::SqliteStore`] is the embedded store. Both pass the same suite.
//! [`envelope`] is how payloads lie on disk, [`blobs`] where modules lie.

#![warn(missing_docs)]

pub mod blobs;
pub mod envelope;
mod lock;
pub mod memory;
mod numbering;
pub mod records;
pub mod sqlite;
#[cfg(feature = "suite")]
pub mod suite;

pub use records::{
    ControlChange, DeploymentRecord, KeyRecord, METADATA_SESSION, RouteRecord, RunFilter, RunRecord, SecretRecord,
    StoredEvent, TaskFilter, Unfinished,
};

use bivouac_engine::{Batch, MemoryScope, Timestamp};
use bivouac_protocol::{DeploymentId, RunId, key::Digest};
use bytes::Bytes;
use std::sync::Arc;

/// What a store says of a shard when its owner opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The owner's epoch: one more than at the last open.
    pub epoch: u64,
    /// The number of the shard's last entry.
    pub lsn: u64,
}

/// The writer of a store.
pub trait Store: Send {
    /// Makes the caller the owner of a shard: bumps its epoch, so that commits of an earlier owner are refused.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read or written.
    fn open_shard(&mut self, shard: u16) -> Result<Opened, StoreError>;

    /// Writes a batch, all of it or nothing, and returns when it is on disk. One commit, one sync.
    ///
    /// # Errors
    /// [`CommitError`]; after any of them the owner must forget its memory and read what is on disk.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;

    /// Writes a change of what is not a run: deployments, routes, secrets, keys. On disk when it returns.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is changed.
    fn control(&mut self, change: &ControlChange) -> Result<(), CommitError>;

    /// A reader of what is committed.
    ///
    /// # Errors
    /// [`StoreError`] where no further connection can be opened.
    fn reader(&self) -> Result<Arc<dyn Reader>, StoreError>;
}

/// Reads of what is committed. Every list is limited by the caller and goes on after the last entry seen.
pub trait Reader: Send + Sync {
    /// One run's head.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// A run's folded state as it was last written, if ever; the events after it complete it.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn state(&self, id: RunId) -> Result<Option<Vec<u8>>, StoreError>;

    /// A run's events after the one numbered `after` (0 for all), oldest first.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read or an event is damaged.
    fn events(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// The run that was started in the environment under this idempotency key, and the digest of what came under it.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn started(&self, environment: &str, key: &str) -> Result<Option<(RunId, Digest)>, StoreError>;

    /// The shard's unfinished runs after `after`, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn unfinished(&self, shard: u16, after: Option<RunId>, limit: usize) -> Result<Vec<Unfinished>, StoreError>;

    /// Runs, newest first, older than `before`.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn runs(&self, filter: &RunFilter, before: Option<RunId>, limit: usize) -> Result<Vec<RunRecord>, StoreError>;

    /// An owner's runs of an agent, the last changed first, after the one that last changed then.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn tasks(
        &self,
        filter: &TaskFilter,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError>;

    /// How many runs [`Reader::tasks`] would give without a limit; at most `limit` are counted.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn count_tasks(&self, filter: &TaskFilter, limit: usize) -> Result<usize, StoreError>;

    /// One value of a memory.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn memory(&self, scope: &MemoryScope, name: &str) -> Result<Option<Bytes>, StoreError>;

    /// The names of a memory that begin so, in order.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn memory_names(&self, scope: &MemoryScope, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// One deployment.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn deployment(&self, id: DeploymentId) -> Result<Option<DeploymentRecord>, StoreError>;

    /// The deployment of a service at an immutable ref.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn deployment_at(&self, service: &str, immutable_ref: &str) -> Result<Option<DeploymentRecord>, StoreError>;

    /// All deployments, newest first, older than `before`.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn deployments(&self, before: Option<DeploymentId>, limit: usize) -> Result<Vec<DeploymentRecord>, StoreError>;

    /// An environment's routes.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn routes(&self, environment: &str) -> Result<Vec<RouteRecord>, StoreError>;

    /// An environment's secrets, sealed.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn secrets(&self, environment: &str) -> Result<Vec<SecretRecord>, StoreError>;

    /// All API keys; of each only the digest of its secret part.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;
}

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process owns the data directory.
    #[error("the data directory {directory} is in use by process {owner}: stop it first, or choose another directory")]
    Locked {
        /// The directory.
        directory: String,
        /// The process that holds it, with its command where it can be read.
        owner: String,
    },
    /// Written by a newer build.
    #[error(
        "the data directory has format {found}, this build reads up to {known}: start the newer build that wrote it"
    )]
    Newer {
        /// The format on disk.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// Damaged.
    #[error("the data is damaged: {0}")]
    Corrupt(String),
    /// Written with a key, or by a build, that is not at hand.
    #[error("{what}: {source}")]
    Sealed {
        /// What cannot be read.
        what: String,
        /// Why.
        #[source]
        source: envelope::EnvelopeError,
    },
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No space is left.
    #[error("{0}: the disk is full")]
    Full(&'static str),
    /// The disk did not confirm a sync: nothing it says can be trusted any more, the process must end.
    #[error("the disk did not confirm a sync: {0}")]
    SyncFailed(String),
    /// The database refused.
    #[error("{doing}: {message}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        message: String,
    },
}

/// A commit that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// No space is left; nothing was written.
    #[error("the disk is full")]
    Full,
    /// Another owner, or another batch, was there first; nothing was written.
    #[error("the shard is at epoch {epoch} and entry {lsn}, not where this owner left it")]
    Fenced {
        /// The epoch on disk.
        epoch: u64,
        /// The last entry on disk.
        lsn: u64,
    },
    /// The change collides with what is there; nothing was written.
    #[error("{0}")]
    Conflict(String),
    /// It may be on disk or not.
    #[error("whether the commit is on disk is not known: {0}")]
    Unknown(String),
    /// The disk did not confirm a sync: nothing it says can be trusted any more, the process must end.
    #[error("the disk did not confirm a sync: {0}")]
    SyncFailed(String),
    /// Anything else; nothing was written.
    #[error("the commit failed: {0}")]
    Failed(String),
}
