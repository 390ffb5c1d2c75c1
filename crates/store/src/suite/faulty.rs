//! A store that fails on demand.

use crate::{CommitError, ControlChange, Opened, Reader, Store, StoreError};
use bivouac_engine::Batch;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The commit is made, the answer is lost: [`CommitError::Unknown`].
    LostAcknowledgement,
    /// The commit is lost, and nobody knows: [`CommitError::Unknown`].
    LostCommit,
    /// The commit is refused: [`CommitError::Failed`].
    Refused,
    /// No space is left: [`CommitError::Full`].
    Full,
    /// Another owner opens the shard first, so that the store itself says [`CommitError::Fenced`].
    Fenced,
    /// The disk does not confirm: [`CommitError::SyncFailed`].
    SyncFailed,
}

/// The faults to come, one per commit; shared with the [`FaultyStore`], wherever that went.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<VecDeque<Option<Fault>>>>);

impl Faults {
    /// The commit after those that are spoken for fails so.
    pub fn push(&self, fault: Fault) {
        self.next_is(Some(fault));
    }

    /// The commit after those that are spoken for succeeds.
    pub fn push_success(&self) {
        self.next_is(None);
    }

    fn next_is(&self, fault: Option<Fault>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    fn take(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten()
    }
}

/// A store whose commits fail as [`Faults`] says, and succeed when nothing is left there.
///
/// # Examples
/// ```
/// use bivouac_store::{CommitError, Store as _, memory::MemoryStore, suite::{Fault, FaultyStore, sample::Owner}};
/// let mut store = FaultyStore::new(MemoryStore::default());
/// store.faults().push(Fault::Full);
/// let mut owner = Owner::open(&mut store, 0);
/// assert!(matches!(owner.commit(&mut store, vec![]), Err(CommitError::Full)));
/// assert!(owner.commit(&mut store, vec![]).is_ok());
/// ```
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Faults,
}

impl<S: Store> FaultyStore<S> {
    /// Wraps a store that works.
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// The faults to come.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    fn fail(
        &mut self,
        shard: Option<u16>,
        mut write: impl FnMut(&mut S) -> Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        match self.faults.take() {
            None => write(&mut self.inner),
            Some(Fault::LostAcknowledgement) => {
                write(&mut self.inner)?;
                Err(CommitError::Unknown("the acknowledgement was lost on purpose".to_owned()))
            }
            Some(Fault::LostCommit) => Err(CommitError::Unknown("the commit was lost on purpose".to_owned())),
            Some(Fault::Refused) => Err(CommitError::Failed("refused on purpose".to_owned())),
            Some(Fault::Full) => Err(CommitError::Full),
            Some(Fault::Fenced) => {
                if let Some(shard) = shard {
                    self.inner.open_shard(shard).map_err(|error| CommitError::Failed(error.to_string()))?;
                }
                write(&mut self.inner)
            }
            Some(Fault::SyncFailed) => Err(CommitError::SyncFailed("not confirmed on purpose".to_owned())),
        }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn open_shard(&mut self, shard: u16) -> Result<Opened, StoreError> {
        self.inner.open_shard(shard)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.fail(Some(batch.shard), |store| store.commit(batch))
    }

    fn control(&mut self, change: &ControlChange) -> Result<(), CommitError> {
        self.fail(None, |store| store.control(change))
    }

    fn reader(&self) -> Result<Arc<dyn Reader>, StoreError> {
        self.inner.reader()
    }
}

impl<S: Store + ?Sized> Store for &mut S {
    fn open_shard(&mut self, shard: u16) -> Result<Opened, StoreError> {
        (**self).open_shard(shard)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        (**self).commit(batch)
    }

    fn control(&mut self, change: &ControlChange) -> Result<(), CommitError> {
        (**self).control(change)
    }

    fn reader(&self) -> Result<Arc<dyn Reader>, StoreError> {
        (**self).reader()
    }
}
