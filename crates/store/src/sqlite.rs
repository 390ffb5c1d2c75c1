//! The embedded store: one SQLite database in the data directory, `bivouac.db`.
//!
//! One connection writes, owned by the shard loop: a commit is one transaction and one sync of the write-ahead log.
//! A second connection copies the log into the database on a thread of its own. Reads come from a small pool of
//! read-only connections, each read in a transaction of its own, and never hold the writer up.
//!
//! It does not gather batches (the loop does, by draining its queue) and knows no rule of the engine beyond numbering.
//! The tables `memo` and `inbox` and the column `event.delivery` are in the schema, but nothing writes them yet.
//!
//! Where to go next: `sqlite/migrations` for the tables, `write` for commits, `read` for the pool, `error` for what a
//! refusal means.

mod checkpoint;
mod error;
mod inspect;
mod read;
mod row;
mod schema;
mod write;

pub use inspect::{Inspection, inspect};

use crate::{
    CommitError, ControlChange, Opened, Reader, Store, StoreError, blobs, envelope::MasterKey, lock::DirectoryLock,
};
use bivouac_engine::Batch;
use checkpoint::Checkpointer;
use error::database;
use read::Pool;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use write::Writer;

const FILE: &str = "bivouac.db";
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How long a connection waits for a lock that another holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the log's restart waits for readers before it is put off.
const RESTART_TIMEOUT: Duration = Duration::from_millis(50);
/// The writer's page cache, in KiB.
const WRITER_CACHE_KIB: i64 = 8 << 10;
/// The page cache of every other connection, in KiB.
const OTHER_CACHE_KIB: i64 = 1 << 10;
/// The size of a new database's pages, in bytes. Measured: see `docs/measurements/store.md`.
pub const PAGE_SIZE: u32 = 4096;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Seals events, states and memory values with this key; without it they carry a digest only. Heads stay open:
    /// names of environments and components, statuses, times, idempotency keys, names of memory values. What was
    /// written with the key can be read only with the key; what was written without can be read in either case.
    pub encrypt_payloads: Option<MasterKey>,
    /// The revision of the host, recorded with every new run.
    pub host_revision: u32,
    /// The size of a new database's pages, in bytes: a power of two from 512 to 65536.
    pub page_size: u32,
    /// The most pages that the database may have, its log not counted; none for as many as the disk holds.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { encrypt_payloads: None, host_revision: 1, page_size: PAGE_SIZE, max_pages: None }
    }
}

/// The embedded store.
#[derive(Debug)]
pub struct SqliteStore {
    checkpoints: Checkpointer,
    /// Closed before the writer, which as the last one copies the log into the database and removes it.
    readers: Arc<Pool>,
    writer: Writer,
    /// Let go of last.
    _lock: DirectoryLock,
}

impl SqliteStore {
    /// Opens the store of a data directory; makes both where they are missing, and brings the format up to date.
    ///
    /// # Errors
    /// [`StoreError`]: another process owns the directory, a newer build wrote it, it is damaged, or the system refuses.
    ///
    /// # Examples
    /// ```
    /// use bivouac_store::{Store as _, sqlite::{SqliteOptions, SqliteStore}};
    /// # let directory = tempfile::tempdir().unwrap();
    /// let mut store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
    /// assert_eq!(store.open_shard(0).unwrap().epoch, 1);
    /// ```
    pub fn open(directory: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        blobs::create_synced(directory).map_err(|source| StoreError::Io {
            doing: format!("cannot create the data directory {}", directory.display()),
            source,
        })?;
        let lock = DirectoryLock::acquire(directory)?;
        let path = directory.join(FILE);
        check_magic(&path)?;
        let mut db = open_writer(&path, &options)?;
        schema::migrate(&mut db)?;
        let page_size: u32 = db
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .map_err(|error| database("cannot read the page size", error))?;
        let second = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, RESTART_TIMEOUT)?;
        let key = options.encrypt_payloads.map(Arc::new);
        Ok(Self {
            checkpoints: Checkpointer::start(second, u64::from(page_size))?,
            writer: Writer::new(db, key.clone(), options.host_revision),
            readers: Arc::new(Pool::new(path, key)),
            _lock: lock,
        })
    }

    /// The size of the database's pages, in bytes; a database keeps the one that it was made with.
    #[must_use]
    pub fn page_size(&self) -> u64 {
        self.checkpoints.page_size()
    }
}

impl Store for SqliteStore {
    fn open_shard(&mut self, shard: u16) -> Result<Opened, StoreError> {
        let Self { checkpoints, writer, .. } = self;
        let _gate = checkpoints.gate();
        writer.open_shard(shard)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.write(|writer| writer.commit(batch))
    }

    fn control(&mut self, change: &ControlChange) -> Result<(), CommitError> {
        self.write(|writer| writer.control(change))
    }

    fn reader(&self) -> Result<Arc<dyn Reader>, StoreError> {
        Ok(Arc::<Pool>::clone(&self.readers))
    }
}

impl SqliteStore {
    fn write(&mut self, write: impl FnOnce(&mut Writer) -> Result<(), CommitError>) -> Result<(), CommitError> {
        let Self { checkpoints, writer, .. } = self;
        if let Some(failed) = checkpoints.failed() {
            return Err(CommitError::SyncFailed(failed.to_owned()));
        }
        {
            let _gate = checkpoints.gate();
            write(writer)?;
        }
        checkpoints.committed(write::log_pages());
        Ok(())
    }
}

/// Whether the file is a database at all; SQLite would take a short file of zeros for an empty one.
fn check_magic(path: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { doing: format!("cannot read {}", path.display()), source };
    let mut start = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.map_err(io)?.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut start).map_err(io)?,
    };
    if start.is_empty() || start == SQLITE_MAGIC {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("{} does not begin like a database: restore it from a backup", path.display())))
}

fn open_writer(path: &PathBuf, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let db = open(path, flags, BUSY_TIMEOUT)?;
    let mut mode = String::new();
    let mut configure = || {
        // The page size counts only before the first table and before the log.
        db.pragma_update(None, "page_size", options.page_size)?;
        mode = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        if let Some(pages) = options.max_pages {
            db.pragma_update(None, "max_page_count", pages)?;
        }
        write::watch_log(&db);
        Ok(())
    };
    configure().map_err(|error| database("cannot configure the database", error))?;
    if mode != "wal" {
        return Err(StoreError::Database {
            doing: "cannot keep a write-ahead log",
            message: format!("{} is on a file system without shared memory: use a local one", path.display()),
        });
    }
    Ok(db)
}

/// Opens a connection with what all of them have in common.
fn open(path: &PathBuf, flags: OpenFlags, busy: Duration) -> Result<Connection, StoreError> {
    let open = || {
        let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(busy)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", false)?;
        db.pragma_update(None, "cache_size", -OTHER_CACHE_KIB)?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(db)
    };
    open().map_err(|error| database("cannot open the database", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_whose_sync_failed_fails_the_next_commit() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
        let epoch = store.open_shard(0).unwrap().epoch;
        let batch = Batch { shard: 0, epoch, lsn: 0, transitions: Vec::new() };
        store.commit(&batch).unwrap();
        store.checkpoints.fail();
        assert!(matches!(store.commit(&batch), Err(CommitError::SyncFailed(_))));
    }
}
