//! Nothing leaves a run before every turn that led to it is on disk. Source: the guest contract, "Turns", rule 2.

use crate::help::{
    NOW, Owner, accepted, delivered, effect, fence, performed, run_id, signal, signal_wait, terminal, timer, turn,
    twice,
};
use bivouac_engine::{
    Batch, Command, EffectKind, End, Event, Fence, Input, Loss, Rejection, Shard, ShardLimits, Status, Ticket,
    Timestamp, event::Note, journal,
};
use bivouac_protocol::{Path, RunId};

fn paths(paths: &[&str]) -> Vec<Path> {
    paths.iter().map(|path| Path::from(*path)).collect()
}

#[test]
fn a_safe_effect_leaves_at_once_and_a_keyed_one_after_the_commit() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![effect("1", EffectKind::Safe), effect("2", EffectKind::Keyed)])).unwrap();
    assert_eq!(performed(&owner.shard.take_commands()), paths(&["1"]));
    assert_eq!(performed(&owner.commit()), paths(&["2"]));
}

#[test]
fn a_keyed_effect_that_is_dropped_before_the_commit_never_leaves() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![effect("1", EffectKind::Keyed), effect("2", EffectKind::Safe)])).unwrap();
    let mut dropped = turn(2, vec![]);
    dropped.cancels = paths(&["1"]);
    owner.turn(dropped).unwrap();
    assert_eq!(performed(&owner.commit()), paths(&[]));
}

#[test]
fn an_effect_that_is_asked_for_and_dropped_in_one_turn_is_never_open() {
    let mut owner = Owner::with_run(None);
    let mut both = turn(1, vec![effect("1", EffectKind::Safe), effect("2", EffectKind::Safe)]);
    both.cancels = paths(&["1"]);
    owner.turn(both).unwrap();
    assert_eq!(performed(&owner.shard.take_commands()), paths(&["2"]));
    assert!(!owner.run().is_open(&"1".into()));
}

#[test]
fn a_run_that_only_computes_needs_two_commits() {
    let mut shard = Shard::new(3, 1, 0, 0, ShardLimits::default());
    shard.handle(run_id(), Input::Accept(Box::new(accepted(None))), NOW).unwrap();
    let acceptance = shard.batch().unwrap();
    shard.committed(&acceptance);
    let speaker = fence(shard.run(run_id()).unwrap());
    let input = |n, end| Input::Turn {
        fence: speaker,
        turn: std::sync::Arc::new(turn(n, vec![effect("m", EffectKind::Write)])),
        end,
        writes: vec![],
    };
    shard.handle(run_id(), input(1, None), NOW).unwrap();
    assert!(shard.batch().is_none(), "a turn from which nothing leaves asks for no commit");
    let mut last = turn(2, vec![]);
    last.delivered = vec![crate::help::delivery("m", None)];
    let end = Some(End::Completed { output: "1".into() });
    shard
        .handle(run_id(), Input::Turn { fence: speaker, turn: std::sync::Arc::new(last), end, writes: vec![] }, NOW)
        .unwrap();
    let end = shard.batch().unwrap();
    assert_eq!(end.transitions[0].events.len(), 3, "the commit carries the whole tail");
    assert_eq!((acceptance.lsn, acceptance.last_lsn(), end.lsn, end.last_lsn()), (0, 1, 1, 4));
}

#[test]
fn a_visible_note_asks_for_a_commit_and_a_log_line_does_not() {
    for (visible, asks) in [(true, true), (false, false)] {
        let mut owner = Owner::with_run(None);
        let mut noted = turn(1, vec![effect("1", EffectKind::Safe)]);
        noted.notes = vec![Note { visible, text: "1".into() }];
        owner.turn(noted).unwrap();
        assert_eq!(owner.shard.batch().is_some(), asks, "visible: {visible}");
    }
}

#[test]
fn a_client_is_answered_after_the_commit_or_at_once_where_all_is_on_disk() {
    let mut owner = Owner::with_run(None);
    owner.shard.answer(run_id(), Ticket(1));
    assert_eq!(owner.shard.take_commands(), [Command::Answer(Ticket(1))]);
    owner.handle(signal("go", "s1")).unwrap();
    owner.shard.answer(run_id(), Ticket(2));
    assert_eq!(owner.shard.take_commands(), []);
    assert!(owner.commit().contains(&Command::Answer(Ticket(2))));
}

#[test]
fn an_answer_commits_even_a_tail_that_nothing_else_waits_for() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![effect("1", EffectKind::Safe)])).unwrap();
    assert!(owner.shard.batch().is_none());
    owner.shard.answer(run_id(), Ticket(1));
    assert!(owner.shard.batch().is_some());
}

#[test]
fn a_slice_is_dispatched_once_what_it_replays_is_on_disk() {
    let mut owner = Owner::with_run(None);
    let lost = Input::Lost { fence: fence(owner.run()), cause: Loss::Executor };
    owner.handle(lost).unwrap();
    let dispatches = |commands: &[Command]| commands.iter().any(|c| matches!(c, Command::Dispatch { .. }));
    assert!(!dispatches(&owner.shard.take_commands()));
    assert!(dispatches(&owner.commit()));
}

#[test]
fn a_slice_that_is_held_back_hears_what_it_is_told_after_it_exists() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![signal_wait("1", "go")])).unwrap();
    let parked = owner.run().clone();
    owner.commit();
    owner.shard.restore(parked, NOW);
    owner.handle(signal("go", "s1")).unwrap();
    assert_eq!(delivered(&owner.shard.take_commands()), paths(&[]));
    let released = owner.commit();
    let places: Vec<usize> = released
        .iter()
        .enumerate()
        .filter(|(_, command)| matches!(command, Command::Dispatch { .. } | Command::Deliver { .. }))
        .map(|(place, _)| place)
        .collect();
    assert!(matches!(released[places[0]], Command::Dispatch { .. }), "{released:?}");
    assert!(matches!(released[places[1]], Command::Deliver { .. }), "{released:?}");
}

#[test]
fn a_stale_speaker_is_refused_whatever_part_of_its_fence_is_old() {
    let owner = || Owner::with_run(twice());
    let current = fence(owner().run());
    let table = [
        Fence { epoch: 2, ..current },
        Fence { incarnation: 1, ..current },
        Fence { attempt: 2, ..current },
        Fence { slice: 2, ..current },
    ];
    for stale in table {
        let mut owner = owner();
        let inputs = [
            Input::Turn {
                fence: stale,
                turn: std::sync::Arc::new(turn(1, vec![effect("1", EffectKind::Safe)])),
                end: None,
                writes: vec![],
            },
            Input::Failed { fence: stale, error: terminal() },
            Input::Lost { fence: stale, cause: Loss::Deadline },
            Input::Mismatch { fence: stale, error: terminal() },
        ];
        for input in inputs {
            let before = owner.run().clone();
            assert_eq!(owner.handle(input.clone()), Err(Rejection::Stale), "{input:?}");
            assert_eq!(*owner.run(), before);
        }
    }
}

#[test]
fn a_parked_run_is_not_in_memory_and_is_woken_from_disk() {
    let mut owner = Owner::with_run(None);
    let due = NOW.plus_ms(50);
    owner.turn(turn(1, vec![timer("1", due)])).unwrap();
    let batch = owner.shard.batch().unwrap();
    let head = batch.transitions[0].head.clone().unwrap();
    assert_eq!((head.status, head.wake), (Status::Waiting, Some(due)));
    let state = head.state.unwrap();
    owner.commit();
    assert!(owner.shard.run(run_id()).is_none());
    assert_eq!(owner.shard.next_wake(), Some(due));
    owner.shard.tick(due);
    assert_eq!(owner.shard.next_to_load(), Some(run_id()));
    owner.shard.resume(journal::decode_state(run_id(), &state).unwrap(), due);
    let commands = owner.shard.take_commands();
    assert!(matches!(&commands[..], [Command::Dispatch { .. }, Command::Deliver { .. }]), "{commands:?}");
}

fn parks(owner: &mut Owner, n: u64, wait: bivouac_engine::Effect, delivered: Option<(&str, u64)>) -> Batch {
    let mut next = turn(n, vec![wait]);
    next.delivered = delivered.iter().map(|(path, number)| crate::help::delivery(path, Some(*number))).collect();
    owner.turn(next).unwrap();
    let batch = owner.shard.batch().unwrap();
    let parked = owner.run().clone();
    owner.commit();
    owner.shard.restore(parked, NOW);
    batch
}

#[test]
fn a_run_that_parks_again_writes_its_head_and_state_anew() {
    let mut owner = Owner::with_run(None);
    let first = parks(&mut owner, 1, timer("1", NOW.plus_ms(99)), None);
    assert_eq!(first.transitions[0].head.as_ref().unwrap().wake, Some(NOW.plus_ms(99)));
    let parked = owner.run().clone();
    drop(parked);
    let mut owner = Owner::with_run(None);
    parks(&mut owner, 1, signal_wait("1", "go"), None);
    owner.handle(signal("go", "s1")).unwrap();
    let number = owner.run().inbox().next().unwrap().0;
    let second = parks(&mut owner, 2, signal_wait("2", "go"), Some(("1", number)));
    let head = second.transitions[0].head.as_ref().unwrap();
    assert_eq!((head.status, head.wake), (Status::Waiting, None));
    assert!(head.state.is_some());
}

#[test]
fn more_starts_than_the_queue_holds_are_refused_and_nothing_is_kept_of_them() {
    let mut shard = Shard::new(3, 1, 0, 0, ShardLimits { slices: 1, queue: 2 });
    let start = |shard: &mut Shard, n: u64| {
        let mut accepted = accepted(None);
        accepted.idempotency = Some((format!("key-{n}").into(), bivouac_protocol::key::Digest::default()));
        shard.handle(RunId::new(NOW.0, 3, n), Input::Accept(Box::new(accepted)), NOW)
    };
    for n in 1..=3 {
        start(&mut shard, n).unwrap();
    }
    assert_eq!(start(&mut shard, 4), Err(Rejection::Overloaded(2)));
    assert!(shard.run(RunId::new(NOW.0, 3, 4)).is_none());
    assert_eq!(shard.pending_start("production", "key-4"), None);
    assert!(shard.pending_start("production", "key-3").is_some());
    assert_eq!((shard.slices(), shard.queue_len()), (1, 2));
}

#[test]
fn a_reload_takes_up_what_is_on_disk_with_a_new_incarnation() {
    let mut owner = Owner::with_run(None);
    let on_disk = owner.run().clone();
    owner.turn(turn(1, vec![effect("1", EffectKind::Keyed)])).unwrap();
    let mut shard = Shard::new(3, 1, 1, 1, ShardLimits::default());
    shard.recover([(run_id(), Timestamp(0))]);
    assert_eq!(shard.next_to_load(), Some(run_id()));
    shard.resume(on_disk, NOW);
    let commands = shard.take_commands();
    assert!(matches!(&commands[..], [Command::Dispatch { fence, .. }] if fence.incarnation == 1), "{commands:?}");
    let old = Fence { epoch: 1, incarnation: 0, attempt: 1, slice: 1 };
    assert_eq!(shard.handle(run_id(), Input::Lost { fence: old, cause: Loss::Executor }, NOW), Err(Rejection::Stale));
}

#[test]
fn a_long_tail_asks_for_a_commit_by_itself() {
    let mut owner = Owner::with_run(None);
    let mut n = 1;
    owner.turn(turn(n, vec![effect("1", EffectKind::Safe)])).unwrap();
    while owner.shard.batch().is_none() {
        n += 1;
        let mut next = turn(n, vec![effect(&n.to_string(), EffectKind::Safe)]);
        next.delivered = vec![crate::help::delivery(&(n - 1).to_string(), None)];
        owner.turn(next).unwrap();
    }
    assert_eq!(n, bivouac_engine::shard::MAX_TAIL as u64);
    let batch = owner.shard.batch().unwrap();
    assert!(batch.transitions[0].events.iter().all(|recorded| matches!(recorded.event, Event::Turn(_))));
}
