//! What only the embedded store has: its log, its readers, its directory.

use bivouac_engine::{Event, MemoryWrite, Transition};
use bivouac_store::{
    Store as _,
    sqlite::{SqliteOptions, SqliteStore},
    suite::sample::{Owner, run_id, scope, start, transition, turn},
};
use bytes::Bytes;
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

/// What the log may have: its limit, what is written until the limit is noticed, and one commit.
const LOG_LIMIT: u64 = (64 + 8 + 8) << 20;

fn open(directory: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap()
}

#[test]
fn the_log_does_not_grow_for_ever_and_is_gone_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let mut owner = Owner::open(&mut store, 0);
    owner.commit(&mut store, vec![start(run_id(0, 1))]).unwrap();
    let reader = store.reader().unwrap();
    // Noise, so that it stays as large as it is.
    let value: Vec<u8> = (0..1_u64 << 19).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()).collect();
    let value = Bytes::from(value);
    for seq in 2..50 {
        let write = MemoryWrite { scope: scope("ada"), name: "large".into(), value: Some(value.clone()) };
        let step = Transition { writes: vec![write], ..transition(run_id(0, 1), seq, vec![Event::Woken]) };
        owner.commit(&mut store, vec![step]).unwrap();
        let log = fs::metadata(directory.path().join("bivouac.db-wal")).unwrap().len();
        assert!(log <= LOG_LIMIT, "{log}");
    }
    assert_eq!(reader.memory(&scope("ada"), "large").unwrap(), Some(value));
    drop((reader, store));
    assert!(!directory.path().join("bivouac.db-wal").exists());
}

#[test]
fn readers_in_many_threads_see_whole_commits_while_the_writer_works() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory);
    let mut owner = Owner::open(&mut store, 0);
    let runs = [run_id(0, 1), run_id(0, 2)];
    owner.commit(&mut store, runs.map(start).to_vec()).unwrap();
    let reader = store.reader().unwrap();
    let committed = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while committed.load(Ordering::SeqCst) < 60 {
                    let before = committed.load(Ordering::SeqCst);
                    // The second run is read later, so it has at least as much.
                    let counts = runs.map(|run| reader.events(run, 0, usize::MAX).unwrap().len() as u64);
                    assert!(before <= counts[0] && counts[0] <= counts[1], "{before} {counts:?}");
                }
            });
        }
        for seq in 2..=60 {
            let steps = runs.map(|run| transition(run, seq, vec![Event::Turn(std::sync::Arc::new(turn(seq)))]));
            owner.commit(&mut store, steps.to_vec()).unwrap();
            committed.store(seq, Ordering::SeqCst);
        }
    });
}

#[test]
fn a_database_keeps_the_page_size_that_it_was_made_with() {
    let directory = tempfile::tempdir().unwrap();
    let made = SqliteStore::open(directory.path(), SqliteOptions { page_size: 8192, ..SqliteOptions::default() });
    assert_eq!(made.unwrap().page_size(), 8192);
    assert_eq!(open(&directory).page_size(), 8192);
}

#[test]
fn the_directory_is_made_where_it_is_missing() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("var/lib/bivouac");
    SqliteStore::open(&directory, SqliteOptions::default()).unwrap();
    assert!(directory.join("bivouac.db").exists());
}

#[test]
fn lists_and_lookups_use_indexes() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&directory));
    let db = rusqlite::Connection::open(directory.path().join("bivouac.db")).unwrap();
    let plan = |sql: &str| -> String {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    };
    let expected = [
        (
            "SELECT id, wake FROM run WHERE shard = 0 AND status < 5 AND id > x'00' ORDER BY id LIMIT 9",
            "run_unfinished",
        ),
        ("SELECT id FROM run WHERE status > 5 AND status = 6 ORDER BY id DESC LIMIT 9", "run_without_output"),
        ("SELECT number FROM run WHERE id < x'00' ORDER BY id DESC LIMIT 9", "run_by_id"),
        ("SELECT id FROM run WHERE environment = 'a' AND idempotency_key = 'b'", "run_by_idempotency"),
        ("SELECT max(seq) FROM event WHERE run = 1", "event_by_run"),
        ("SELECT payload FROM event WHERE run = 1 AND seq > 7 ORDER BY seq LIMIT 9", "event_by_run"),
    ];
    for (sql, index) in expected {
        let plan = plan(sql);
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE") && !plan.contains("SCAN event"), "{sql}: {plan}");
    }
}
