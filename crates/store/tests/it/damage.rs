//! Directories that cannot be opened, and rows that cannot be read: what is said of them.

use bivouac_store::{
    Reader, Store as _, StoreError,
    envelope::MasterKey,
    sqlite::{SqliteOptions, SqliteStore},
    suite::sample::{Owner, run_id, scope, start, write},
};
use rusqlite::Connection;
use std::{fs, path::Path, sync::Arc};

fn open(directory: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(directory, SqliteOptions::default())
}

/// A directory with one run in it.
fn prepared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    let mut start = start(run_id(0, 1));
    start.writes.push(write("ada", "cart", Some("1")));
    Owner::open(&mut store, 0).commit(&mut store, vec![start]).unwrap();
    directory
}

fn database(directory: &tempfile::TempDir) -> std::path::PathBuf {
    directory.path().join("bivouac.db")
}

fn alter(directory: &tempfile::TempDir, sql: &str) {
    Connection::open(database(directory)).unwrap().execute_batch(sql).unwrap();
}

fn refused(directory: &tempfile::TempDir) -> StoreError {
    open(directory.path()).unwrap_err()
}

#[test]
fn what_is_no_database_is_not_opened_and_not_touched() {
    for content in [&b"not a database at all, but a text"[..], b"SQL", &[0; 8192]] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(database(&directory), content).unwrap();
        let error = refused(&directory);
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
        assert_eq!(fs::read(database(&directory)).unwrap(), content);
    }
}

#[test]
fn the_database_of_another_program_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    alter(&directory, "CREATE TABLE recipes (name TEXT)");
    let error = refused(&directory);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("another program")), "{error}");
}

#[test]
fn a_truncated_database_is_noticed_at_once() {
    let directory = prepared();
    let content = fs::read(database(&directory)).unwrap();
    for length in [content.len() / 2, 4096, 100, 17] {
        fs::write(database(&directory), &content[..length]).unwrap();
        let error = refused(&directory);
        assert!(matches!(error, StoreError::Corrupt(_)), "{length}: {error}");
    }
}

#[test]
fn a_missing_table_is_named() {
    let directory = prepared();
    alter(&directory, "DROP TABLE route");
    let error = refused(&directory);
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("`route`")), "{error}");
}

#[test]
fn a_format_that_is_no_number_is_damage() {
    let directory = prepared();
    alter(&directory, "DELETE FROM meta");
    assert!(matches!(refused(&directory), StoreError::Corrupt(_)));
}

#[test]
fn a_newer_format_is_told_apart_and_left_as_it_is() {
    let directory = prepared();
    alter(&directory, "UPDATE meta SET format = format + 7");
    let error = refused(&directory);
    assert!(matches!(error, StoreError::Newer { found, known } if found == known + 7), "{error}");
    assert!(error.to_string().contains("newer build"), "{error}");
    alter(&directory, "UPDATE meta SET format = format - 7");
    open(directory.path()).unwrap();
}

#[test]
fn a_directory_in_use_names_who_uses_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let error = refused(&directory);
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {} (", std::process::id())), "{error}");
    drop(first);
    open(directory.path()).unwrap();
}

fn reader_of(directory: &tempfile::TempDir) -> Arc<dyn Reader> {
    open(directory.path()).unwrap().reader().unwrap()
}

#[test]
fn a_damaged_row_is_an_error_and_never_another_value() {
    let changes = [
        "UPDATE event SET payload = cast(substr(payload, 1, 20) AS BLOB)",
        "UPDATE event SET payload = cast(payload || x'00' AS BLOB)",
        "UPDATE event SET payload = x''",
        "UPDATE event SET seq = 2",
    ];
    for change in changes {
        let directory = prepared();
        alter(&directory, change);
        let read = reader_of(&directory).events(run_id(0, 1), 0, 10);
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{change}: {read:?}");
    }
    let directory = prepared();
    alter(&directory, "UPDATE run SET status = 99; UPDATE memory SET name = 'other'");
    let reader = reader_of(&directory);
    assert!(matches!(reader.run(run_id(0, 1)), Err(StoreError::Corrupt(_))));
    assert!(matches!(reader.memory(&scope("ada"), "other"), Err(StoreError::Corrupt(_))));
    assert_eq!(reader.memory(&scope("ada"), "cart").unwrap(), None);
}

#[test]
fn sealed_payloads_need_their_key_and_open_ones_do_not() {
    let directory = prepared();
    let open_with = |key: Option<[u8; 32]>| {
        let options = SqliteOptions { encrypt_payloads: key.map(MasterKey::from_bytes), ..SqliteOptions::default() };
        SqliteStore::open(directory.path(), options).unwrap()
    };
    let mut store = open_with(Some([1; 32]));
    Owner::open(&mut store, 0).commit(&mut store, vec![start(run_id(0, 2))]).unwrap();
    let reader = store.reader().unwrap();
    for run in [run_id(0, 1), run_id(0, 2)] {
        assert_eq!(reader.events(run, 0, 10).unwrap().len(), 1);
    }
    drop(store);
    for key in [None, Some([2; 32])] {
        let reader = open_with(key).reader().unwrap();
        assert_eq!(reader.events(run_id(0, 1), 0, 10).unwrap().len(), 1);
        let error = reader.events(run_id(0, 2), 0, 10).unwrap_err();
        assert!(matches!(error, StoreError::Sealed { .. }), "{error}");
        assert!(error.to_string().contains("master key"), "{error}");
    }
}
