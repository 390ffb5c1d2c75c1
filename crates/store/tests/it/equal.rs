//! Random batches, right and wrong, on both stores: equal answers, equal content.

use bivouac_engine::{Aspect, Event, Status, Timestamp, Transition, shard::Head};
use bivouac_protocol::{DeploymentId, key::Digest};
use bivouac_store::{
    CommitError, Reader, RunFilter, Store,
    memory::MemoryStore,
    sqlite::{SqliteOptions, SqliteStore},
    suite::sample::{Owner, accepted, end, run_id, scope, small_event, start_of, transition, turn, write},
};
use proptest::prelude::*;

const RUNS: u64 = 6;
const NAMES: [&str; 4] = ["a", "ab", "b", ""];
const STATUSES: [Status; 5] = [Status::Queued, Status::Running, Status::Waiting, Status::BackingOff, Status::Paused];

/// What a commit does to one run.
#[derive(Clone, Debug)]
enum Act {
    Start {
        key: Option<u8>,
        environment: bool,
    },
    Turns(u64),
    Head {
        status: usize,
        wake: Option<u32>,
        state: Option<u16>,
    },
    Write {
        name: usize,
        value: Option<u16>,
    },
    End(u8),
    /// Leaves a number out.
    Gap,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (prop::option::of(0..3_u8), any::<bool>()).prop_map(|(key, environment)| Act::Start { key, environment }),
        6 => (1..4_u64).prop_map(Act::Turns),
        3 => (0..STATUSES.len(), prop::option::of(any::<u32>()), prop::option::of(0..600_u16))
            .prop_map(|(status, wake, state)| Act::Head { status, wake, state }),
        3 => (0..NAMES.len(), prop::option::of(any::<u16>())).prop_map(|(name, value)| Act::Write { name, value }),
        2 => (0..3_u8).prop_map(Act::End),
        1 => Just(Act::Gap),
    ]
}

/// What a commit does to which runs; whether its owner is a stale one; whether the shard is opened anew before.
type Commit = (Vec<(u64, Act)>, bool, bool);

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let commit = (prop::collection::vec((0..RUNS, acts()), 0..5), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    prop::collection::vec(commit, 1..25)
}

/// The transition for an act, where `next` is the number that the run's next event should have.
fn build(n: u64, act: &Act, next: u64) -> Transition {
    let run = run_id(0, n);
    let small = |events: u64| transition(run, next, (0..events).map(|_| small_event()).collect());
    match act {
        Act::Start { key, environment } => {
            let mut begin = accepted(if *environment { "default" } else { "staging" }, "workflow/order");
            begin.deployment = DeploymentId::from_u128(u128::from(n % 2));
            begin.idempotency = key.map(|key| (format!("key-{key}").into(), Digest([key; 16])));
            start_of(run, begin)
        }
        Act::Turns(count) => {
            transition(run, next, (0..*count).map(|i| Event::Turn(std::sync::Arc::new(turn(next + i)))).collect())
        }
        Act::Head { status, wake, state } => {
            let state = state.map(|length| vec![b'x'; usize::from(length)]);
            let head = Head {
                status: STATUSES[*status],
                wake: wake.map(|wake| Timestamp(wake.into())),
                aspect: Aspect::default(),
                state,
            };
            Transition { head: Some(head), ..small(1) }
        }
        Act::Write { name, value } => {
            let value = value.map(|value| value.to_string());
            let user = if n.is_multiple_of(2) { "ada" } else { "bob" };
            Transition { writes: vec![write(user, NAMES[*name], value.as_deref())], ..small(1) }
        }
        Act::End(how) => end(run, next, [Status::Completed, Status::Failed, Status::Cancelled][usize::from(*how)]),
        Act::Gap => transition(run, next + 1, vec![small_event()]),
    }
}

/// A commit's outcome, without the words.
fn outcome(result: Result<(), CommitError>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(CommitError::Conflict(_)) => "conflict".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

/// All that can be read.
fn content(reader: &dyn Reader) -> Vec<String> {
    let mut content = Vec::new();
    for n in 0..RUNS {
        let run = run_id(0, n);
        content.push(format!("{:?}", (reader.run(run).unwrap(), reader.state(run).unwrap())));
        content.push(format!("{:?}", reader.events(run, n, 7).unwrap()));
    }
    for status in STATUSES.iter().chain(&[Status::Completed, Status::Failed]).copied().map(Some).chain([None]) {
        let filter = RunFilter { status, deployment: None, component: None, environment: Some("default".to_owned()) };
        content.push(format!("{:?}", reader.runs(&filter, Some(run_id(0, 5)), 3).unwrap()));
    }
    for environment in ["default", "staging"] {
        for key in 0..3 {
            content.push(format!("{:?}", reader.started(environment, &format!("key-{key}")).unwrap()));
        }
    }
    for user in ["ada", "bob"] {
        for name in NAMES {
            let names = reader.memory_names(&scope(user), name, 3).unwrap();
            content.push(format!("{:?}", (reader.memory(&scope(user), name).unwrap(), names)));
        }
    }
    content.push(format!("{:?}", reader.unfinished(0, Some(run_id(0, 1)), 4).unwrap()));
    content
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike_and_hold_the_same(commits in commits()) {
        let directory = tempfile::tempdir().unwrap();
        let mut sqlite = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
        let mut memory = MemoryStore::default();
        let mut owner = Owner::open(&mut sqlite, 0);
        Owner::open(&mut memory, 0);
        for (acts, stale, reopen) in commits {
            if reopen {
                drop(sqlite);
                sqlite = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
                let opened = sqlite.open_shard(0).unwrap();
                prop_assert_eq!(memory.open_shard(0).unwrap(), opened);
                owner.epoch = opened.epoch;
            }
            let reader = memory.reader().unwrap();
            let mut next: Vec<u64> =
                (0..RUNS).map(|n| reader.run(run_id(0, n)).unwrap().map_or(1, |run| run.last_seq + 1)).collect();
            let transitions: Vec<Transition> = acts.iter().map(|(n, act)| {
                let slot = &mut next[usize::try_from(*n).unwrap()];
                let transition = build(*n, act, *slot);
                *slot += transition.events.len() as u64;
                transition
            }).collect();
            let mut batch = owner.batch(transitions);
            batch.epoch -= u64::from(stale);
            let (one, other) = (outcome(sqlite.commit(&batch)), outcome(memory.commit(&batch)));
            prop_assert_eq!(&one, &other);
            if one == "done" {
                owner.lsn = batch.last_lsn();
            }
            prop_assert_eq!(content(&*sqlite.reader().unwrap()), content(&*memory.reader().unwrap()));
        }
    }
}
