//! A full disk, and writes that fail in the middle of a commit.

use bivouac_engine::Event;
use bivouac_store::{
    CommitError, ControlChange, Store as _,
    sqlite::{SqliteOptions, SqliteStore},
    suite::sample::{Owner, run_id, secret, start, transition, turn},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What tells the test binary that it is the child, and where it works.
const CHILD: &str = "BIVOUAC_STORE_TEST_DIRECTORY";
/// How large files may become in the child, in blocks of 512 bytes.
const FILE_BLOCKS: u32 = 2_000;

fn limited(directory: &Path, max_pages: Option<u32>) -> SqliteStore {
    SqliteStore::open(directory, SqliteOptions { max_pages, ..SqliteOptions::default() }).unwrap()
}

/// Commits turns of a run, from its `next`th event on, until a commit fails.
fn fill(store: &mut SqliteStore, owner: &mut Owner, next: &mut u64) -> CommitError {
    loop {
        let event = Event::Turn(std::sync::Arc::new(turn(*next)));
        match owner.commit(store, vec![transition(run_id(0, 1), *next, vec![event])]) {
            Ok(()) => *next += 1,
            Err(error) => return error,
        }
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_takes_it_once_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = limited(directory.path(), Some(80));
    let (mut owner, mut next) = (Owner::open(&mut store, 0), 2);
    owner.commit(&mut store, vec![start(run_id(0, 1))]).unwrap();
    for _ in 0..2 {
        assert!(matches!(fill(&mut store, &mut owner, &mut next), CommitError::Full));
        // All that was acknowledged can be read, and nothing else.
        let events = store.reader().unwrap().events(run_id(0, 1), 0, usize::MAX).unwrap();
        assert!(events.iter().map(|event| event.seq).eq(1..next));
        assert_eq!(store.open_shard(0).unwrap().lsn, next - 1);
        owner.epoch += 1;
    }
    let large = ControlChange::SetSecret(secret("TOKEN", &[7; 100_000]));
    assert!(matches!(store.control(&large), Err(CommitError::Full)));
    drop(store);
    let mut store = limited(directory.path(), None);
    let mut owner = Owner::open(&mut store, 0);
    let event = Event::Turn(std::sync::Arc::new(turn(next)));
    owner.commit(&mut store, vec![transition(run_id(0, 1), next, vec![event])]).unwrap();
    store.control(&large).unwrap();
}

#[test]
fn a_commit_that_could_not_be_written_whole_is_settled_by_opening_again() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return write_until_it_fails(&PathBuf::from(directory));
    }
    let directory = tempfile::tempdir().unwrap();
    // The system refuses to let files grow; the signal that would end the process for it is ignored.
    let script = format!("trap '' XFSZ; ulimit -f {FILE_BLOCKS}; exec \"$0\" --exact \"$1\" --nocapture");
    let test = "full::a_commit_that_could_not_be_written_whole_is_settled_by_opening_again";
    let child = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let next: u64 = said.lines().find_map(|line| line.split("next event ").nth(1)).unwrap().trim().parse().unwrap();
    let mut store = limited(directory.path(), None);
    let mut owner = Owner::open(&mut store, 0);
    let events = store.reader().unwrap().events(run_id(0, 1), 0, usize::MAX).unwrap();
    // What was acknowledged is there; of what was not, all or nothing.
    assert_eq!(events.len() as u64, owner.lsn);
    assert!([next - 1, next].contains(&owner.lsn), "{} and {next}", owner.lsn);
    assert!(events.iter().map(|event| event.seq).eq(1..=owner.lsn));
    let seq = owner.lsn + 1;
    owner.commit(&mut store, vec![transition(run_id(0, 1), seq, vec![Event::Parked])]).unwrap();
}

/// The child's part.
fn write_until_it_fails(directory: &Path) {
    let mut store = limited(directory, None);
    let (mut owner, mut next) = (Owner::open(&mut store, 0), 2);
    owner.commit(&mut store, vec![start(run_id(0, 1))]).unwrap();
    let error = fill(&mut store, &mut owner, &mut next);
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
    // Reads go on.
    assert!(store.reader().unwrap().run(run_id(0, 1)).unwrap().is_some());
    println!("next event {next}");
}
