//! A look at a data directory without changing what is in it, for whoever examines a server that does not start.

use super::{BUSY_TIMEOUT, FILE, check_magic, open, schema};
use crate::{StoreError, lock::DirectoryLock};
use rusqlite::OpenFlags;
use std::path::Path;

/// What a data directory looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The process that holds it, with its command where it can be read; `None` while it is free.
    pub owner: Option<String>,
    /// The format on disk; `None` where there is no database yet.
    pub format: Option<u32>,
    /// The newest format that this build reads.
    pub known: u32,
}

/// Looks at a data directory: who holds it, and which format it has. Migrates nothing and repairs nothing.
///
/// # Errors
/// [`StoreError`] where the directory or the database cannot be read, or the database is damaged.
pub fn inspect(directory: &Path) -> Result<Inspection, StoreError> {
    let known = schema::newest();
    let path = directory.join(FILE);
    check_magic(&path)?;
    if !path.exists() {
        return Ok(Inspection { owner: None, format: None, known });
    }
    // Held while we look, so that no server starts under our eyes; let go at the end.
    let lock = DirectoryLock::acquire(directory);
    let owner = match &lock {
        Ok(_) => None,
        Err(StoreError::Locked { owner, .. }) => Some(owner.clone()),
        Err(_) => return lock.map(|_| Inspection { owner: None, format: None, known }),
    };
    let db = open(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, BUSY_TIMEOUT)?;
    Ok(Inspection { owner, format: Some(schema::format(&db)?), known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{SqliteOptions, SqliteStore};

    #[test]
    fn a_look_tells_owner_and_format_and_leaves_the_directory_free() {
        let directory = tempfile::tempdir().unwrap();
        let known = schema::newest();
        let look = || inspect(directory.path()).unwrap();
        assert_eq!(look(), Inspection { owner: None, format: None, known });
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
        let held = look();
        assert!(held.owner.unwrap().contains(&std::process::id().to_string()));
        assert_eq!(held.format, Some(known));
        drop(store);
        assert_eq!(look(), Inspection { owner: None, format: Some(known), known });
        SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
    }
}
