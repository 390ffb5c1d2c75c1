//! What SQLite's refusals mean for us.
//!
//! The rules: until COMMIT is reached, a refusal means that nothing is written. In COMMIT, a full disk means the same,
//! because the frame that makes a transaction count is its last. Any other I/O error in COMMIT leaves the outcome open.
//! A failed sync ends everything, wherever it happens: what the system still holds may never reach the disk, and asking
//! again would hide it.

use crate::{CommitError, StoreError};
use rusqlite::{Error, ErrorCode, ffi};

/// A refusal of something other than a commit.
pub(super) fn database(doing: &'static str, error: Error) -> StoreError {
    if is_damage(&error) {
        return StoreError::Corrupt(format!("{doing}: {error}"));
    }
    match extended_code(&error) {
        Some(code) if is_sync(code) => StoreError::SyncFailed(error.to_string()),
        Some(code) if is_full(code) => StoreError::Full(doing),
        Some(_) | None => StoreError::Database { doing, message: error.to_string() },
    }
}

/// Whether the file's content is at fault.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..)
        )
}

/// A refusal before COMMIT: nothing is written.
pub(super) fn refused(error: &Error) -> CommitError {
    match extended_code(error) {
        Some(code) if is_sync(code) => CommitError::SyncFailed(error.to_string()),
        Some(code) if is_full(code) => CommitError::Full,
        Some(code) if code & 0xff == ffi::SQLITE_CONSTRAINT => CommitError::Conflict(error.to_string()),
        Some(_) | None => CommitError::Failed(error.to_string()),
    }
}

/// A refusal of COMMIT itself.
pub(super) fn in_doubt(error: &Error) -> CommitError {
    match extended_code(error) {
        Some(code) if is_sync(code) => CommitError::SyncFailed(error.to_string()),
        Some(ffi::SQLITE_FULL) => CommitError::Full,
        Some(_) | None => CommitError::Unknown(error.to_string()),
    }
}

/// Whether a sync was not confirmed.
pub(super) const fn is_sync(code: i32) -> bool {
    matches!(code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

/// Whether space is missing. SQLite reports a shared-memory file that cannot grow without its reason; it is this one.
const fn is_full(code: i32) -> bool {
    matches!(code, ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE)
}

pub(super) fn extended_code(error: &Error) -> Option<i32> {
    error.sqlite_error().map(|failure| failure.extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_full_disk_is_known_to_have_written_nothing() {
        assert!(matches!(refused(&failure(ffi::SQLITE_FULL)), CommitError::Full));
        assert!(matches!(in_doubt(&failure(ffi::SQLITE_FULL)), CommitError::Full));
        assert!(matches!(refused(&failure(ffi::SQLITE_IOERR_SHMSIZE)), CommitError::Full));
    }

    #[test]
    fn a_failed_sync_is_told_apart_wherever_it_happens() {
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC] {
            assert!(matches!(refused(&failure(code)), CommitError::SyncFailed(_)));
            assert!(matches!(in_doubt(&failure(code)), CommitError::SyncFailed(_)));
        }
    }

    #[test]
    fn opening_tells_a_full_disk_and_a_failed_sync_from_other_refusals() {
        let opening = |code| database("cannot open the shard", failure(code));
        assert!(matches!(opening(ffi::SQLITE_IOERR_FSYNC), StoreError::SyncFailed(_)));
        assert!(matches!(opening(ffi::SQLITE_FULL), StoreError::Full(_)));
        assert!(matches!(opening(ffi::SQLITE_IOERR_WRITE), StoreError::Database { .. }));
    }

    #[test]
    fn an_input_output_error_leaves_the_outcome_open_only_in_the_commit() {
        for code in [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMMAP, ffi::SQLITE_IOERR] {
            assert!(matches!(refused(&failure(code)), CommitError::Failed(_)));
            assert!(matches!(in_doubt(&failure(code)), CommitError::Unknown(_)));
        }
        assert!(matches!(in_doubt(&failure(ffi::SQLITE_IOERR_SHMSIZE)), CommitError::Unknown(_)));
    }

    #[test]
    fn a_violated_constraint_is_a_conflict() {
        assert!(matches!(refused(&failure(ffi::SQLITE_CONSTRAINT_UNIQUE)), CommitError::Conflict(_)));
    }
}
