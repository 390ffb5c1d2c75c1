//! What is asked of every store. Each case gets an empty one.

use super::{
    Fault, FaultyStore, Subject,
    sample::{self, Owner, accepted, at, end, run_id, scope, small_event, start, start_of, transition, turn, write},
};
use crate::{
    CommitError, ControlChange, Reader, RouteRecord, RunFilter, RunRecord, Store, StoreError, StoredEvent, TaskFilter,
};
use bivouac_engine::{
    Accepted, Aspect, Event, MemoryScope, Status, Timestamp, Transition,
    shard::{Head, Recorded},
};
use bivouac_protocol::{DeploymentId, RunId, key::Digest};
use bytes::Bytes;
use std::sync::Arc;

/// How many events the long run has.
pub const LONG_RUN: u64 = 10_000;

/// A read that has to work.
fn read<T>(result: Result<T, StoreError>) -> T {
    result.expect("a store under test can be read")
}

/// A commit that has to work.
fn done(result: Result<(), CommitError>) {
    result.expect("a store under test takes what is valid");
}

fn reader(subject: &mut dyn Subject) -> Arc<dyn Reader> {
    read(subject.store().reader())
}

fn events(reader: &dyn Reader, run: RunId) -> Vec<StoredEvent> {
    read(reader.events(run, 0, usize::MAX))
}

fn record(reader: &dyn Reader, run: RunId) -> RunRecord {
    read(reader.run(run)).expect("the run is there")
}

fn turns(run: RunId, from: u64, count: u64) -> Transition {
    transition(run, from, (from..from + count).map(|n| Event::Turn(Arc::new(turn(n)))).collect())
}

/// Events come back as they were written, from any number on.
pub fn events_are_read_back_exactly(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    let mut all = vec![start(run), turns(run, 2, 3), transition(run, 5, vec![Event::Parked])];
    for transition in all.clone() {
        done(owner.commit(subject.store(), vec![transition]));
    }
    let reader = reader(subject);
    let stored = events(&*reader, run);
    let written: Vec<Recorded> = all.drain(..).flat_map(|transition| transition.events).collect();
    let as_written: Vec<Recorded> =
        stored.iter().map(|e| Recorded { seq: e.seq, at: e.at, event: e.event.clone() }).collect();
    assert_eq!(as_written, written);
    assert_eq!(read(reader.events(run, 3, 1)), stored[3..4]);
    assert_eq!(read(reader.events(run, 5, 10)), []);
    assert_eq!(read(reader.events(run, u64::MAX, usize::MAX)), []);
    assert_eq!(read(reader.events(run_id(0, 2), 0, 10)), []);
}

/// An event that leaves one out, repeats one, or belongs to no run, is refused.
pub fn events_are_numbered_without_a_gap(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    done(owner.commit(subject.store(), vec![start(run), turns(run, 2, 2)]));
    let hole = Transition {
        events: [turns(run, 4, 1).events, turns(run, 6, 1).events].concat(),
        ..transition(run, 4, Vec::new())
    };
    for wrong in [turns(run, 5, 1), turns(run, 3, 1), turns(run, 1, 1), hole, turns(run_id(0, 2), 1, 1)] {
        let refused = owner.commit(subject.store(), vec![wrong]);
        assert!(matches!(refused, Err(CommitError::Conflict(_))), "{refused:?}");
    }
    // What the writer remembers must not be what makes it right.
    subject.reopen();
    let mut owner = Owner::open(subject.store(), 0);
    assert!(matches!(owner.commit(subject.store(), vec![turns(run, 5, 1)]), Err(CommitError::Conflict(_))));
    done(owner.commit(subject.store(), vec![turns(run, 4, 1)]));
    assert_eq!(events(&*reader(subject), run).len(), 4);
}

/// Of a batch with one wrong transition, nothing is written: no run, no event, no memory, no entry.
pub fn a_refused_batch_leaves_nothing_behind(subject: &mut dyn Subject) {
    let (run, other, mut owner) = (run_id(0, 1), run_id(0, 2), Owner::open(subject.store(), 0));
    let good = Transition { writes: vec![write("ada", "cart", Some("1"))], ..start(run) };
    assert!(owner.commit(subject.store(), vec![good.clone(), turns(other, 1, 1)]).is_err());
    let reader = reader(subject);
    assert_eq!(read(reader.run(run)), None);
    assert_eq!(events(&*reader, run), []);
    assert_eq!(read(reader.memory(&scope("ada"), "cart")), None);
    assert_eq!(read(reader.unfinished(0, None, 10)), []);
    done(owner.commit(subject.store(), vec![good]));
    assert_eq!(events(&*reader, run).len(), 1);
}

/// A run that is there cannot be accepted again.
pub fn a_run_is_accepted_once(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    assert!(matches!(owner.commit(subject.store(), vec![start(run), start(run)]), Err(CommitError::Conflict(_))));
    done(owner.commit(subject.store(), vec![start(run)]));
    assert!(matches!(owner.commit(subject.store(), vec![start(run)]), Err(CommitError::Conflict(_))));
}

/// A commit from another place than the disk's is refused, and told where the disk is.
pub fn a_commit_needs_the_epoch_and_the_entry_on_disk(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    done(owner.commit(subject.store(), vec![start(run)]));
    let wrong = [
        Owner { lsn: 0, ..owner.clone() },
        Owner { lsn: 2, ..owner.clone() },
        Owner { epoch: owner.epoch + 1, ..owner.clone() },
        Owner { epoch: owner.epoch - 1, ..owner.clone() },
    ];
    for mut wrong in wrong {
        match wrong.commit(subject.store(), vec![turns(run, 2, 1)]) {
            Err(CommitError::Fenced { epoch, lsn }) => assert_eq!((epoch, lsn), (owner.epoch, 1)),
            other => panic!("the commit was not fenced: {other:?}"),
        }
    }
    let never_opened = Owner { shard: 9, epoch: 0, lsn: 0 }.commit(subject.store(), vec![start(run_id(9, 1))]);
    assert!(matches!(never_opened, Err(CommitError::Fenced { epoch: 0, lsn: 0 })) || never_opened.is_ok());
    done(owner.commit(subject.store(), vec![turns(run, 2, 1)]));
}

/// Each opening takes the shard from who had it.
pub fn of_two_owners_only_the_later_commits(subject: &mut dyn Subject) {
    let run = run_id(0, 1);
    let mut first = Owner::open(subject.store(), 0);
    done(first.commit(subject.store(), vec![start(run)]));
    for round in 0..5 {
        let mut second = Owner::open(subject.store(), 0);
        assert_eq!((second.epoch, second.lsn), (first.epoch + 1, first.lsn));
        let fenced = first.commit(subject.store(), vec![turns(run, 2 + round, 1)]);
        assert!(matches!(fenced, Err(CommitError::Fenced { .. })), "{fenced:?}");
        done(second.commit(subject.store(), vec![turns(run, 2 + round, 1)]));
        first = second;
    }
    assert_eq!(events(&*reader(subject), run).len(), 6);
}

/// The second run under one key is refused, within a batch and after it; another environment's key is another key.
pub fn an_idempotency_key_is_unique_within_its_environment(subject: &mut dyn Subject) {
    let mut owner = Owner::open(subject.store(), 0);
    let digest = Digest::of([&b"input"[..]]);
    let keyed = |n, environment: &str| {
        let mut accepted = accepted(environment, "workflow/order");
        accepted.idempotency = Some(("order-1".into(), digest));
        start_of(run_id(0, n), accepted)
    };
    let twice = owner.commit(subject.store(), vec![keyed(1, "default"), keyed(2, "default")]);
    assert!(matches!(twice, Err(CommitError::Conflict(_))), "{twice:?}");
    done(owner.commit(subject.store(), vec![keyed(1, "default"), keyed(3, "staging")]));
    let again = owner.commit(subject.store(), vec![keyed(4, "default")]);
    assert!(matches!(again, Err(CommitError::Conflict(_))), "{again:?}");
    // The run's end does not free its key.
    done(owner.commit(subject.store(), vec![end(run_id(0, 1), 2, Status::Completed)]));
    let after_end = owner.commit(subject.store(), vec![keyed(4, "default")]);
    assert!(matches!(after_end, Err(CommitError::Conflict(_))), "{after_end:?}");
    let reader = reader(subject);
    assert_eq!(read(reader.started("default", "order-1")), Some((run_id(0, 1), digest)));
    assert_eq!(read(reader.started("staging", "order-1")), Some((run_id(0, 3), digest)));
    assert_eq!(read(reader.started("default", "order-2")), None);
}

/// Values appear and disappear with the commit that says so, the last write of a name counts.
pub fn memory_becomes_visible_with_its_commit_only(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    let large = format!("\"{}\"", "value ".repeat(20_000));
    let writes = vec![
        write("ada", "cart", Some("1")),
        write("ada", "cart", Some("2")),
        write("ada", "gone", Some("3")),
        write("ada", "gone", None),
        write("ada", "large", Some(&large)),
    ];
    let batch = owner.batch(vec![Transition { writes, ..start(run) }]);
    let reader = reader(subject);
    assert_eq!(read(reader.memory(&scope("ada"), "cart")), None);
    done(subject.store().commit(&batch));
    owner.lsn = batch.last_lsn();
    assert_eq!(read(reader.memory(&scope("ada"), "cart")), Some(Bytes::from_static(b"2")));
    assert_eq!(read(reader.memory(&scope("ada"), "gone")), None);
    assert_eq!(read(reader.memory(&scope("ada"), "large")), Some(Bytes::from(large)));
    let forget = Transition { writes: vec![write("ada", "cart", None)], ..turns(run, 2, 1) };
    done(owner.commit(subject.store(), vec![forget]));
    assert_eq!(read(reader.memory(&scope("ada"), "cart")), None);
    assert_eq!(read(reader.memory_names(&scope("ada"), "", 10)), ["large"]);
}

/// Users, tenants, services and environments have memories of their own; names are listed by what they begin with.
pub fn a_memory_belongs_to_its_whole_scope(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    let names = ["cart", "cart/1", "cart/2", "Cart", "card", "carté", "d", "100%", "1_0", "*"];
    let mut writes: Vec<_> = names.iter().map(|name| write("ada", name, Some("1"))).collect();
    writes.push(write("bob", "cart/9", Some("2")));
    done(owner.commit(subject.store(), vec![Transition { writes, ..start(run) }]));
    let reader = reader(subject);
    let ada = scope("ada");
    assert_eq!(read(reader.memory_names(&ada, "cart", 10)), ["cart", "cart/1", "cart/2", "carté"]);
    assert_eq!(read(reader.memory_names(&ada, "cart", 2)), ["cart", "cart/1"]);
    assert_eq!(read(reader.memory_names(&ada, "100%", 10)), ["100%"]);
    assert_eq!(read(reader.memory_names(&ada, "*", 10)), ["*"]);
    assert_eq!(read(reader.memory_names(&ada, "", 100)).len(), names.len());
    assert_eq!(read(reader.memory_names(&scope("bob"), "", 10)), ["cart/9"]);
    for other in [
        MemoryScope { environment: "staging".into(), ..ada.clone() },
        MemoryScope { app: "other".into(), ..ada.clone() },
        scope("eve"),
        MemoryScope { tenant: "acme".into(), ..ada },
    ] {
        assert_eq!(read(reader.memory(&other, "cart")), None);
        assert_eq!(read(reader.memory_names(&other, "", 10)), Vec::<String>::new());
    }
}

/// A run's head is what was said last; steps do not touch it, but count.
pub fn heads_follow_the_last_change(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    let reader = reader(subject);
    done(owner.commit(subject.store(), vec![start(run), turns(run, 2, 3)]));
    let first = record(&*reader, run);
    let expected = RunRecord {
        id: run,
        environment: "default".to_owned(),
        tenant: String::new(),
        user: "ada".to_owned(),
        session: String::new(),
        deployment: DeploymentId::from_u128(7),
        component: "workflow/order".to_owned(),
        status: Status::Queued,
        aspect: Aspect::Plain,
        changed: at(1),
        created: at(1),
        ended: None,
        wake: Some(Timestamp(0)),
        last_seq: 4,
    };
    assert_eq!(first, expected);
    let head =
        Head { status: Status::Waiting, wake: Some(at(99)), aspect: Aspect::Asks, state: Some(b"folded".to_vec()) };
    let parked = Transition { head: Some(head), ..transition(run, 5, vec![Event::Parked]) };
    done(owner.commit(subject.store(), vec![parked]));
    let (status, aspect) = (Status::Waiting, Aspect::Asks);
    let waiting = RunRecord { status, aspect, changed: at(5), wake: Some(at(99)), last_seq: 5, ..expected };
    assert_eq!(record(&*reader, run), waiting);
    done(owner.commit(subject.store(), vec![end(run, 6, Status::Failed)]));
    let (status, aspect) = (Status::Failed, Aspect::Plain);
    let failed = RunRecord { status, aspect, changed: at(6), wake: None, ended: Some(at(6)), last_seq: 6, ..waiting };
    assert_eq!(record(&*reader, run), failed);
    assert_eq!(read(reader.run(run_id(0, 2))), None);
}

/// An owner's tasks: the last changed first, filtered, page by page, and nobody else's.
pub fn tasks_are_listed_for_their_owner(subject: &mut dyn Subject) {
    let mut owner = Owner::open(subject.store(), 0);
    let reader = reader(subject);
    let mine = |session: &str| Accepted {
        metadata: format!(r#"{{"session_id":{session:?}}}"#).into_bytes().into(),
        ..accepted("default", "agent/guide")
    };
    let (first, second, third) = (run_id(0, 1), run_id(0, 2), run_id(0, 3));
    let others = [
        Accepted { user: "eve".into(), ..mine("s1") },
        Accepted { tenant: "acme".into(), ..mine("s1") },
        Accepted { environment: "staging".into(), ..mine("s1") },
        Accepted { component: "agent/other".into(), ..mine("s1") },
        Accepted { component: "workflow/guide".into(), ..mine("s1") },
    ];
    let mut starts = vec![start_of(first, mine("s1")), start_of(second, mine("s\\\"2")), start_of(third, mine("s1"))];
    starts.extend((4..).zip(others).map(|(n, accepted)| start_of(run_id(0, n), accepted)));
    done(owner.commit(subject.store(), starts));
    let asks = Head { status: Status::Waiting, wake: None, aspect: Aspect::Asks, state: None };
    let parked = Transition { head: Some(asks), ..transition(first, 2, vec![Event::Parked]) };
    done(owner.commit(subject.store(), vec![parked, end(second, 2, Status::Completed)]));
    let filter = TaskFilter {
        environment: "default".to_owned(),
        component: "agent/guide".to_owned(),
        user: "ada".to_owned(),
        ..TaskFilter::default()
    };
    let list = |filter: &TaskFilter| {
        let found: Vec<_> = read(reader.tasks(filter, None, 10)).into_iter().map(|run| run.id).collect();
        assert_eq!(read(reader.count_tasks(filter, 10)), found.len());
        found
    };
    assert_eq!(list(&filter), [second, first, third]);
    let session = TaskFilter { session: Some("s1".to_owned()), ..filter.clone() };
    assert_eq!(list(&session), [first, third]);
    assert_eq!(list(&TaskFilter { session: Some("s\\\"2".to_owned()), ..filter.clone() }), [second]);
    assert_eq!(list(&TaskFilter { aspects: vec![Aspect::Asks], ..filter.clone() }), [first]);
    let statuses = vec![Status::Completed, Status::Queued];
    assert_eq!(list(&TaskFilter { statuses, ..filter.clone() }), [second, third]);
    assert_eq!(list(&TaskFilter { since: Some(at(2)), ..filter.clone() }), [second, first]);
    assert_eq!(list(&TaskFilter { user: "nobody".to_owned(), ..filter.clone() }), []);
    let (mut page, mut after) = (Vec::new(), None);
    for _ in 0..4 {
        let found = read(reader.tasks(&filter, after, 1));
        after = found.last().map(|run| (run.changed, run.id));
        page.extend(found.into_iter().map(|run| run.id));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(page, [second, first, third]);
    assert_eq!(read(reader.count_tasks(&filter, 2)), 2);
    assert_eq!(record(&*reader, first).session, "s1");
}

/// A head without a state leaves the one that is there.
pub fn a_state_stays_until_the_next_one(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    let reader = reader(subject);
    done(owner.commit(subject.store(), vec![start(run)]));
    assert_eq!(read(reader.state(run)), None);
    let head = |status, state: Option<&[u8]>| Head {
        status,
        wake: None,
        aspect: Aspect::Plain,
        state: state.map(<[u8]>::to_vec),
    };
    let state = b"state ".repeat(1_000);
    let steps = [
        (head(Status::Waiting, Some(&state)), &state[..]),
        (head(Status::Running, None), &state[..]),
        (head(Status::Paused, Some(b"")), b""),
    ];
    for (seq, (head, expected)) in (2..).zip(steps) {
        let change = Transition { head: Some(head), ..transition(run, seq, vec![small_event()]) };
        done(owner.commit(subject.store(), vec![change]));
        assert_eq!(read(reader.state(run)).as_deref(), Some(expected));
    }
}

/// All unfinished runs of a shard and no others, page by page, in the order of their ids.
pub fn unfinished_runs_are_paged_in_order(subject: &mut dyn Subject) {
    let mut owner = Owner::open(subject.store(), 0);
    let mut other = Owner::open(subject.store(), 1);
    // Not in the order of their ids.
    let order = [5, 3, 9, 1, 7, 2, 8, 4, 6, 10];
    done(owner.commit(subject.store(), order.iter().map(|n| start(run_id(0, *n))).collect()));
    done(other.commit(subject.store(), vec![start(run_id(1, 3))]));
    for (n, status) in [(2, Status::Completed), (4, Status::Failed), (6, Status::Cancelled)] {
        done(owner.commit(subject.store(), vec![end(run_id(0, n), 2, status)]));
    }
    let head = Head { status: Status::Paused, wake: None, aspect: Aspect::Plain, state: None };
    let paused = Transition { head: Some(head), ..transition(run_id(0, 7), 2, vec![small_event()]) };
    done(owner.commit(subject.store(), vec![paused]));
    let reader = reader(subject);
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = read(reader.unfinished(0, after, 3));
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page);
    }
    let expected: Vec<RunId> = [1, 3, 5, 7, 8, 9, 10].map(|n| run_id(0, n)).to_vec();
    assert_eq!(found.iter().map(|unfinished| unfinished.id).collect::<Vec<_>>(), expected);
    let wakes = found.iter().map(|unfinished| (unfinished.id, unfinished.wake));
    for (id, wake) in wakes {
        assert_eq!(wake, (id != run_id(0, 7)).then_some(Timestamp(0)));
    }
    assert_eq!(read(reader.unfinished(1, None, 10)).len(), 1);
    assert_eq!(read(reader.unfinished(2, None, 10)), []);
}

/// Lists begin with the newest, take every filter and any mixture of them, and go on where a page ended.
pub fn lists_are_filtered_and_paged(subject: &mut dyn Subject) {
    let mut owner = Owner::open(subject.store(), 0);
    let components = ["workflow/order", "function/hello", "function/order"];
    let statuses = [Status::Completed, Status::Failed, Status::Cancelled, Status::Queued];
    for n in 0..60_u64 {
        let pick = |len: usize| usize::try_from(n).unwrap_or(0) % len;
        let mut begin = accepted(["default", "staging"][pick(2)], components[pick(3)]);
        begin.deployment = DeploymentId::from_u128(u128::from(n % 5));
        let mut transitions = vec![start_of(run_id(0, n), begin)];
        let status = statuses[pick(4)];
        if status.is_final() {
            transitions.push(end(run_id(0, n), 2, status));
        }
        done(owner.commit(subject.store(), transitions));
    }
    let reader = reader(subject);
    let all = read(reader.runs(&RunFilter::default(), None, 100));
    assert_eq!(
        all.iter().map(|run| run.id).collect::<Vec<_>>(),
        (0..60).rev().map(|n| run_id(0, n)).collect::<Vec<_>>()
    );
    for filter in filters() {
        let matching = |run: &&RunRecord| {
            filter.environment.as_ref().is_none_or(|e| run.environment == *e)
                && filter
                    .component
                    .as_ref()
                    .is_none_or(|c| run.component == *c || run.component.ends_with(&format!("/{c}")))
                && filter.status.is_none_or(|s| run.status == s)
                && filter.deployment.is_none_or(|d| run.deployment == d)
        };
        let expected: Vec<RunRecord> = all.iter().filter(matching).cloned().collect();
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let page = read(reader.runs(&filter, before, 7));
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            found.extend(page);
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}

/// Every mixture of filters that may or may not match.
fn filters() -> Vec<RunFilter> {
    let mut filters = Vec::new();
    for environment in [None, Some("default"), Some("nowhere")] {
        for component in [None, Some("order"), Some("function/order"), Some("unction/order"), Some("rder")] {
            for status in
                [None, Some(Status::Completed), Some(Status::Failed), Some(Status::Cancelled), Some(Status::Queued)]
            {
                for deployment in [None, Some(DeploymentId::from_u128(3))] {
                    filters.push(RunFilter {
                        environment: environment.map(str::to_owned),
                        component: component.map(str::to_owned),
                        status,
                        deployment,
                    });
                }
            }
        }
    }
    filters
}

/// Ten thousand events come back page by page, none missing, none twice.
pub fn a_long_run_is_paged_whole(subject: &mut dyn Subject) {
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    done(owner.commit(subject.store(), vec![start(run)]));
    let mut next = 2;
    while next <= LONG_RUN {
        let count = 500.min(LONG_RUN + 1 - next);
        let small = (0..count).map(|_| small_event()).collect();
        done(owner.commit(subject.store(), vec![transition(run, next, small)]));
        next += count;
    }
    let reader = reader(subject);
    let mut after = 0;
    loop {
        let page = read(reader.events(run, after, 333));
        let Some(last) = page.last() else { break };
        assert!(page.iter().map(|event| event.seq).eq(after + 1..=last.seq));
        after = last.seq;
    }
    assert_eq!(after, LONG_RUN);
    assert_eq!(record(&*reader, run).last_seq, LONG_RUN);
}

/// Entries have consecutive numbers across runs and batches.
pub fn entries_are_numbered_through_the_batches(subject: &mut dyn Subject) {
    let (a, b, mut owner) = (run_id(0, 1), run_id(0, 2), Owner::open(subject.store(), 0));
    done(owner.commit(subject.store(), vec![start(a), turns(a, 2, 2), start(b)]));
    done(owner.commit(subject.store(), Vec::new()));
    done(owner.commit(subject.store(), vec![turns(b, 2, 1), turns(a, 4, 1)]));
    let reader = reader(subject);
    let lsns = |run| events(&*reader, run).iter().map(|event| event.lsn).collect::<Vec<_>>();
    assert_eq!(lsns(a), [1, 2, 3, 6]);
    assert_eq!(lsns(b), [4, 5]);
    assert_eq!(Owner::open(subject.store(), 0).lsn, 6);
}

/// Shards have epochs and entries of their own.
pub fn shards_do_not_touch_each_other(subject: &mut dyn Subject) {
    let mut owners = [0, 1, 0x8000, u16::MAX].map(|shard| Owner::open(subject.store(), shard));
    for round in 0..3 {
        for owner in &mut owners {
            let run = run_id(owner.shard, 1);
            let next = if round == 0 { start(run) } else { turns(run, round + 1, 1) };
            done(owner.commit(subject.store(), vec![next]));
        }
    }
    let reader = reader(subject);
    for owner in &owners {
        let lsns: Vec<u64> = events(&*reader, run_id(owner.shard, 1)).iter().map(|event| event.lsn).collect();
        assert_eq!(lsns, [1, 2, 3]);
        assert_eq!(read(reader.unfinished(owner.shard, None, 10)).len(), 1);
        assert_eq!(owner.epoch, 1);
    }
}

/// A deployment that is there stays as it is; its reference is taken; routes move.
pub fn deployments_are_immutable_and_routes_are_not(subject: &mut dyn Subject) {
    let deploy = |record, routes: &[RouteRecord], dropped: &[&str]| ControlChange::Deploy {
        deployment: Box::new(record),
        routes: routes.to_vec(),
        dropped: dropped.iter().map(|component| ("default".to_owned(), (*component).to_owned())).collect(),
    };
    let (first, second) = (sample::deployment(1, "v1"), sample::deployment(2, "v2"));
    let reader = reader(subject);
    let both = [sample::route("workflow/order", 1), sample::route("function/hello", 1)];
    done(subject.store().control(&deploy(first.clone(), &both, &[])));
    let mut changed = first.clone();
    changed.manifest = "{}".to_owned();
    done(subject.store().control(&deploy(changed, &[], &[])));
    assert_eq!(read(reader.deployment(first.id)), Some(first.clone()));
    let rival =
        subject.store().control(&deploy(sample::deployment(3, "v1"), &[sample::route("workflow/order", 3)], &[]));
    assert!(matches!(rival, Err(CommitError::Conflict(_))), "{rival:?}");
    assert_eq!(read(reader.routes("default")), [both[1].clone(), both[0].clone()]);
    done(subject.store().control(&deploy(second.clone(), &[sample::route("workflow/order", 2)], &["function/hello"])));
    assert_eq!(read(reader.routes("default")), [sample::route("workflow/order", 2)]);
    assert_eq!(read(reader.routes("staging")), []);
    assert_eq!(read(reader.deployment_at("shop", "v2")), Some(second.clone()));
    assert_eq!(read(reader.deployment_at("shop", "v3")), None);
    assert_eq!(read(reader.deployment(DeploymentId::from_u128(3))), None);
    assert_eq!(read(reader.deployments(None, 10)), [second.clone(), first.clone()]);
    assert_eq!(read(reader.deployments(None, 1)), std::slice::from_ref(&second));
    assert_eq!(read(reader.deployments(Some(second.id), 10)), [first]);
}

/// Secrets and keys are what was said last.
pub fn secrets_and_keys_follow_their_last_change(subject: &mut dyn Subject) {
    let reader = reader(subject);
    for secret in [sample::secret("TOKEN", b"one"), sample::secret("TOKEN", b"two"), sample::secret("A", b"three")] {
        done(subject.store().control(&ControlChange::SetSecret(secret)));
    }
    assert_eq!(read(reader.secrets("default")), [sample::secret("A", b"three"), sample::secret("TOKEN", b"two")]);
    assert_eq!(read(reader.secrets("staging")), []);
    let remove = ControlChange::RemoveSecret { environment: "default".to_owned(), name: "A".to_owned() };
    done(subject.store().control(&remove));
    done(subject.store().control(&remove));
    assert_eq!(read(reader.secrets("default")), [sample::secret("TOKEN", b"two")]);
    let mut key = sample::key("k1");
    done(subject.store().control(&ControlChange::PutKey(key.clone())));
    done(subject.store().control(&ControlChange::PutKey(sample::key("k0"))));
    key.revoked = Some(at(5));
    done(subject.store().control(&ControlChange::PutKey(key.clone())));
    assert_eq!(read(reader.keys()), [sample::key("k0"), key]);
}

/// A reader that was had before a commit sees it after.
pub fn a_reader_outlives_many_commits(subject: &mut dyn Subject) {
    let reader = reader(subject);
    let (run, mut owner) = (run_id(0, 1), Owner::open(subject.store(), 0));
    done(owner.commit(subject.store(), vec![start(run)]));
    for seq in 2..50 {
        done(owner.commit(subject.store(), vec![turns(run, seq, 1)]));
        assert_eq!(read(reader.events(run, seq - 1, 10)).len(), 1);
    }
}

/// Closing and opening changes nothing but the epoch.
pub fn everything_is_there_after_reopening(subject: &mut dyn Subject) {
    let mut owner = Owner::open(subject.store(), 0);
    let head =
        Head { status: Status::Waiting, wake: Some(at(50)), aspect: Aspect::Plain, state: Some(b"folded".to_vec()) };
    let parked = Transition {
        head: Some(head),
        writes: vec![write("ada", "cart", Some("1"))],
        ..transition(run_id(0, 1), 2, vec![Event::Turn(Arc::new(turn(1))), Event::Parked])
    };
    let transitions = vec![start(run_id(0, 1)), parked, start(run_id(0, 2)), end(run_id(0, 2), 2, Status::Completed)];
    done(owner.commit(subject.store(), transitions));
    done(subject.store().control(&ControlChange::SetSecret(sample::secret("TOKEN", b"sealed"))));
    let snapshot = |subject: &mut dyn Subject| {
        let reader = reader(subject);
        let runs = read(reader.runs(&RunFilter::default(), None, 10));
        let events: Vec<_> = runs.iter().map(|run| events(&*reader, run.id)).collect();
        let states: Vec<_> = runs.iter().map(|run| read(reader.state(run.id))).collect();
        let memory = read(reader.memory(&scope("ada"), "cart"));
        (runs, events, states, memory, read(reader.secrets("default")), read(reader.unfinished(0, None, 10)))
    };
    let before = snapshot(subject);
    subject.reopen();
    assert_eq!(snapshot(subject), before);
    let reopened = Owner::open(subject.store(), 0);
    assert_eq!((reopened.epoch, reopened.lsn), (owner.epoch + 1, owner.lsn));
}

/// After an outcome that is not known, opening the shard again tells whether the batch is there.
pub fn an_unknown_outcome_is_settled_by_the_last_entry(subject: &mut dyn Subject) {
    for (n, fault, is_there) in [(1, Fault::LostAcknowledgement, true), (2, Fault::LostCommit, false)] {
        let (run, mut store) = (run_id(0, n), FaultyStore::new(subject.store()));
        let mut owner = Owner::open(&mut store, 0);
        store.faults().push(fault);
        let batch = owner.batch(vec![start(run)]);
        assert!(matches!(owner.commit(&mut store, vec![start(run)]), Err(CommitError::Unknown(_))));
        let mut owner = Owner::open(&mut store, 0);
        assert_eq!(owner.lsn == batch.last_lsn(), is_there);
        assert_eq!(read(read(store.reader()).run(run)).is_some(), is_there);
        // The batch itself is never made twice: its epoch is over.
        assert!(matches!(store.commit(&batch), Err(CommitError::Fenced { .. })));
        if !is_there {
            done(owner.commit(&mut store, vec![start(run)]));
        }
        assert_eq!(read(read(store.reader()).events(run, 0, 10)).len(), 1);
    }
}

/// After a refusal that is known to have written nothing, the shard goes on from where it was.
pub fn a_refused_commit_can_be_made_again(subject: &mut dyn Subject) {
    let mut store = FaultyStore::new(subject.store());
    for (n, fault) in [(1, Fault::Refused), (2, Fault::Full), (3, Fault::Fenced)] {
        let run = run_id(0, n);
        let mut owner = Owner::open(&mut store, 0);
        store.faults().push_success();
        done(owner.commit(&mut store, Vec::new()));
        store.faults().push(fault);
        assert!(owner.commit(&mut store, vec![start(run)]).is_err());
        assert_eq!(read(read(store.reader()).run(run)), None);
        let mut owner = Owner::open(&mut store, 0);
        done(owner.commit(&mut store, vec![start(run)]));
    }
}
