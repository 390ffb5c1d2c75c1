//! Moves what is in the write-ahead log into the database, on a thread and a connection of its own.
//!
//! From [`CHECKPOINT_BYTES`] on it copies beside the commits and holds nobody up. A log that is never quite copied
//! cannot start over and would grow for ever: from [`MAX_LOG_BYTES`] on the writer waits between two commits, for the
//! time that the rest takes to copy.
//!
//! A sync that fails here is as bad as in a commit: the next commit reports it.

use super::error::{database, extended_code, is_sync};
use crate::StoreError;
use rusqlite::Connection;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::JoinHandle,
};

/// The log is copied whenever it has grown by so much.
pub(super) const CHECKPOINT_BYTES: u64 = 8 << 20;
/// From this size on the log is made to start over.
pub(super) const MAX_LOG_BYTES: u64 = 64 << 20;

/// Owns the thread and joins it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    page_size: u64,
}

#[derive(Debug, Default)]
struct Shared {
    request: Mutex<Request>,
    bell: Condvar,
    /// Held by the writer during a commit, and while the log is made to start over.
    gate: Mutex<()>,
    failed: OnceLock<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Request {
    /// The log's size after the last commit.
    log: u64,
    /// Its size when it was copied last.
    copied: u64,
    stop: bool,
}

impl Request {
    /// Whether there is enough to copy. A log that is shorter than when it was copied has started over.
    const fn is_due(&self) -> bool {
        let copied = if self.copied > self.log { 0 } else { self.copied };
        self.log - copied >= CHECKPOINT_BYTES
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checkpointer {
    /// Starts the thread with its connection.
    pub(super) fn start(db: Connection, page_size: u64) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || attend(&db, &shared)
            })
            .map_err(|source| StoreError::Io { doing: "cannot start the checkpoint thread".to_owned(), source })?;
        Ok(Self { shared, thread: Some(thread), page_size })
    }

    /// The size of the database's pages, in bytes.
    pub(super) const fn page_size(&self) -> u64 {
        self.page_size
    }

    /// The writer's right to commit.
    pub(super) fn gate(&self) -> MutexGuard<'_, ()> {
        lock(&self.shared.gate)
    }

    /// What the disk refused to confirm, if ever.
    pub(super) fn failed(&self) -> Option<&str> {
        self.shared.failed.get().map(String::as_str)
    }

    /// As if the disk had not confirmed a sync.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        self.shared.failed.set("on purpose".to_owned()).unwrap();
    }

    /// Told after every commit: how many pages the log has.
    pub(super) fn committed(&self, log_pages: u64) {
        let mut request = lock(&self.shared.request);
        request.log = log_pages.saturating_mul(self.page_size);
        if request.is_due() {
            self.shared.bell.notify_one();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        lock(&self.shared.request).stop = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

/// The thread: waits until there is enough to copy, copies.
fn attend(db: &Connection, shared: &Shared) {
    loop {
        let request = {
            let mut request = lock(&shared.request);
            while !request.stop && !request.is_due() {
                request = shared.bell.wait(request).unwrap_or_else(PoisonError::into_inner);
            }
            request.copied = request.log;
            *request
        };
        if request.stop {
            return;
        }
        if let Err(error) = copy(db, shared, request.log) {
            if extended_code(&error).is_some_and(is_sync) {
                // Only the first failure is kept: the process ends because of it.
                drop(shared.failed.set(format!("in a checkpoint: {error}")));
                return;
            }
            let error = database("cannot copy the log into the database", error);
            tracing::warn!(%error, "a checkpoint failed and will be tried again");
        }
    }
}

fn copy(db: &Connection, shared: &Shared, log: u64) -> rusqlite::Result<()> {
    checkpoint(db, "PASSIVE")?;
    if log >= MAX_LOG_BYTES {
        let _gate = lock(&shared.gate);
        let busy = checkpoint(db, "RESTART")?;
        tracing::debug!(busy, "the log was made to start over");
    }
    Ok(())
}

/// Returns whether somebody was in the way.
fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<bool> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_started_over_is_copied_when_it_has_grown_again() {
        let request = |log, copied| Request { log, copied, stop: false }.is_due();
        assert!(!request(CHECKPOINT_BYTES - 1, 0));
        assert!(request(CHECKPOINT_BYTES, 0));
        assert!(!request(CHECKPOINT_BYTES + 1, CHECKPOINT_BYTES));
        assert!(request(2 * CHECKPOINT_BYTES, CHECKPOINT_BYTES));
        assert!(!request(1, 2 * CHECKPOINT_BYTES));
        assert!(request(CHECKPOINT_BYTES, 2 * CHECKPOINT_BYTES));
    }
}
