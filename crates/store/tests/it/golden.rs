//! Files of every format, kept for ever: each is opened by this build and read back.

use bivouac_engine::{Aspect, Event, Status, Timestamp, Transition, shard::Head};
use bivouac_store::{
    ControlChange, Reader, RunFilter, Store,
    memory::MemoryStore,
    sqlite::{SqliteOptions, SqliteStore},
    suite::sample::{
        Owner, accepted, deployment, end, key, route, run_id, scope, secret, start, start_of, transition, turn, write,
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{format}.db"))
}

/// One of everything.
fn fill(store: &mut dyn Store) {
    let mut owner = Owner::open(store, 0);
    let (parked, over) = (run_id(0, 1), run_id(0, 2));
    let mut begin = accepted("default", "workflow/order");
    begin.idempotency = Some(("order-1".into(), bivouac_protocol::key::Digest([5; 16])));
    let head = Head {
        status: Status::Waiting,
        wake: Some(Timestamp(1_800_000_000_000)),
        aspect: Aspect::Asks,
        state: Some(vec![7; 400]),
    };
    let wait = Transition {
        head: Some(head),
        writes: vec![write("ada", "cart", Some("[1,2]"))],
        ..transition(parked, 2, vec![Event::Turn(std::sync::Arc::new(turn(1))), Event::Parked])
    };
    owner.commit(store, vec![start_of(parked, begin), start(over)]).unwrap();
    owner.commit(store, vec![wait, end(over, 2, Status::Failed)]).unwrap();
    let deploy = ControlChange::Deploy {
        deployment: Box::new(deployment(7, "v1")),
        routes: vec![route("workflow/order", 7)],
        dropped: Vec::new(),
    };
    for change in [deploy, ControlChange::SetSecret(secret("TOKEN", b"sealed")), ControlChange::PutKey(key("k1"))] {
        store.control(&change).unwrap();
    }
}

/// All that can be read of it, as a file of this format says it.
fn content(reader: &dyn Reader, format: u32) -> String {
    let mut runs = reader.runs(&RunFilter::default(), None, 10).unwrap();
    if format < 2 {
        // There were no agents, so nothing says whose task a run is.
        for run in &mut runs {
            (run.user, run.session, run.aspect) = (String::new(), String::new(), Aspect::Plain);
            run.changed = run.ended.unwrap_or(run.created);
        }
    }
    let events: Vec<_> = runs.iter().map(|run| reader.events(run.id, 0, 10).unwrap()).collect();
    let states: Vec<_> = runs.iter().map(|run| reader.state(run.id).unwrap()).collect();
    let secrets = reader.secrets("default").unwrap();
    format!(
        "{:#?}",
        (
            (runs, events, states),
            (reader.started("default", "order-1").unwrap(), reader.unfinished(0, None, 10).unwrap()),
            (reader.memory(&scope("ada"), "cart").unwrap(), reader.memory_names(&scope("ada"), "", 10).unwrap()),
            (reader.deployments(None, 10).unwrap(), reader.routes("default").unwrap()),
            (secrets.iter().map(|secret| secret.sealed.clone()).collect::<Vec<_>>(), secrets),
            reader.keys().unwrap(),
        )
    )
}

#[test]
fn every_format_that_was_ever_written_is_read_and_written_on() {
    let mut expected = MemoryStore::default();
    fill(&mut expected);
    for format in 1..=2 {
        let expected = content(&*expected.reader().unwrap(), format);
        let directory = tempfile::tempdir().unwrap();
        fs::copy(golden(format), directory.path().join("bivouac.db")).unwrap();
        let mut store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
        assert_eq!(content(&*store.reader().unwrap(), format), expected);
        let mut owner = Owner::open(&mut store, 0);
        assert_eq!((owner.epoch, owner.lsn), (2, 5));
        owner.commit(&mut store, vec![transition(run_id(0, 1), 4, vec![Event::Woken])]).unwrap();
    }
}

#[test]
#[ignore = "makes the golden file of a new format: run by hand, once per format"]
fn make_the_golden_file() {
    let directory = tempfile::tempdir().unwrap();
    // Small pages, for a small file.
    let options = SqliteOptions { page_size: 512, ..SqliteOptions::default() };
    let mut store = SqliteStore::open(directory.path(), options).unwrap();
    fill(&mut store);
    drop(store);
    fs::copy(directory.path().join("bivouac.db"), golden(2)).unwrap();
}
