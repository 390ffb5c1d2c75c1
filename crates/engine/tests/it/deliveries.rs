//! Waits: who is told what, and what becomes of signals.

use crate::help::{
    Alone, NOW, Owner, delivered, delivery, effect, retryable, run_id, signal, signal_wait, terminal, timer, turn,
    twice,
};
use bivouac_engine::{EffectKind, End, Event, Input, Rejection, Step, StepOutcome, Timestamp};
use bivouac_protocol::Path;

fn paths(paths: &[&str]) -> Vec<Path> {
    paths.iter().map(|path| Path::from(*path)).collect()
}

#[test]
fn a_signal_on_its_way_to_one_wait_is_not_promised_to_another() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![effect("1:0/1", EffectKind::Safe), signal_wait("1:1/1", "go")])).unwrap();
    owner.handle(signal("go", "s1")).unwrap();
    assert_eq!(delivered(&owner.shard.take_commands()), paths(&["1:1/1"]));
    // The guest, which has not heard of the signal yet, asks for another wait that comes first in the order of paths.
    let mut second = turn(2, vec![signal_wait("1:0/2", "go"), effect("1:2/1", EffectKind::Safe)]);
    second.delivered = vec![delivery("1:0/1", None)];
    owner.turn(second).unwrap();
    assert_eq!(delivered(&owner.shard.take_commands()), paths(&[]));
    // It drops the wait that was promised the signal: now the other one gets it.
    let mut third = turn(3, vec![]);
    third.cancels = paths(&["1:1/1"]);
    owner.turn(third).unwrap();
    assert_eq!(delivered(&owner.shard.take_commands()), paths(&["1:0/2"]));
}

#[test]
fn one_signal_cannot_end_two_waits_of_one_turn() {
    let mut alone = Alone::accepted(None);
    alone
        .turn(turn(1, vec![signal_wait("1", "go"), signal_wait("2", "go"), effect("3", EffectKind::Safe)]), None)
        .unwrap();
    alone.take(&signal("go", "s1"), NOW).unwrap();
    let number = alone.0.inbox().next().unwrap().0;
    let mut both = turn(2, vec![]);
    both.delivered = vec![delivery("1", Some(number)), delivery("2", Some(number))];
    assert_eq!(alone.turn(both, None), Err(Rejection::TooEarly("2".into())));
    let mut twice = turn(2, vec![]);
    twice.delivered = vec![delivery("3", None), delivery("3", None)];
    assert_eq!(alone.turn(twice, None), Err(Rejection::NotOpen("3".into())));
}

#[test]
fn a_signal_of_another_name_or_number_does_not_end_a_wait() {
    let mut alone = Alone::accepted(None);
    alone.turn(turn(1, vec![signal_wait("1", "go"), effect("2", EffectKind::Safe)]), None).unwrap();
    alone.take(&signal("stop", "s1"), NOW).unwrap();
    let number = alone.0.inbox().next().unwrap().0;
    for signal in [None, Some(number), Some(99)] {
        let mut wrong = turn(2, vec![]);
        wrong.delivered = vec![delivery("1", signal)];
        assert_eq!(alone.turn(wrong, None), Err(Rejection::TooEarly("1".into())), "{signal:?}");
    }
}

#[test]
fn the_same_signal_again_counts_once() {
    let mut alone = Alone::accepted(None);
    assert_eq!(alone.take(&signal("go", "s1"), NOW).unwrap().len(), 1);
    assert_eq!(alone.take(&signal("go", "s1"), NOW).unwrap(), []);
    assert_eq!(alone.take(&signal("stop", "s1"), NOW).unwrap().len(), 1, "an id is one within its name");
}

#[test]
fn a_signal_wakes_a_parked_run_that_awaits_it_and_no_other() {
    let mut alone = Alone::accepted(None);
    let events = alone.turn(turn(1, vec![signal_wait("1", "go")]), None).unwrap();
    assert_eq!(events.last(), Some(&Event::Parked));
    assert_eq!(alone.take(&signal("stop", "s1"), NOW).unwrap().len(), 1);
    assert_eq!(alone.take(&signal("go", "s2"), NOW).unwrap().last(), Some(&Event::Woken));
}

#[test]
fn a_run_does_not_park_on_what_is_there_already() {
    let mut alone = Alone::accepted(None);
    alone.take(&signal("go", "s1"), NOW).unwrap();
    let events = alone.turn(turn(1, vec![signal_wait("1", "go"), timer("2", NOW.plus_ms(9))]), None).unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
}

/// Takes the signal `go` at the path, then ends the step with the outcome, then fails the attempt.
fn inbox_of_next_attempt(path: &str, step: Option<StepOutcome>) -> usize {
    let mut alone = Alone::accepted(twice());
    alone.take(&signal("go", "s1"), NOW).unwrap();
    let number = alone.0.inbox().next().unwrap().0;
    alone.turn(turn(1, vec![signal_wait(path, "go")]), None).unwrap();
    let mut taken = turn(2, vec![effect("9", EffectKind::Safe)]);
    taken.delivered = vec![delivery(path, Some(number))];
    taken.steps = step.into_iter().map(|outcome| Step { key: "charge".into(), outcome }).collect();
    alone.turn(taken, None).unwrap();
    assert_eq!(alone.0.inbox().count(), 0, "it was taken");
    alone.turn(turn(3, vec![]), Some(End::Failed { error: retryable() })).unwrap();
    alone.0.inbox().count()
}

#[test]
fn a_new_attempt_finds_the_signals_that_no_lasting_step_took() {
    let table = [
        ("outside a step", "1", None, 1),
        ("in a step that did not end", "charge/1", None, 1),
        ("in a step that succeeded", "charge/1", Some(StepOutcome::Ok("1".into())), 0),
        ("in a step that failed for good", "charge/1", Some(StepOutcome::Err(terminal())), 0),
        ("in a step that is tried again", "charge/1", Some(StepOutcome::Err(retryable())), 1),
        ("outside the step that succeeded", "1", Some(StepOutcome::Ok("1".into())), 1),
    ];
    for (name, path, step, expected) in table {
        assert_eq!(inbox_of_next_attempt(path, step), expected, "{name}");
    }
}

#[test]
fn signals_come_back_in_the_order_in_which_they_arrived() {
    let mut alone = Alone::accepted(twice());
    for id in ["s1", "s2", "s3"] {
        alone.take(&signal("go", id), NOW).unwrap();
    }
    let before: Vec<u64> = alone.0.inbox().map(|(number, _)| number).collect();
    alone.turn(turn(1, vec![signal_wait("1", "go"), effect("9", EffectKind::Safe)]), None).unwrap();
    let mut taken = turn(2, vec![]);
    taken.delivered = vec![delivery("1", Some(before[1]))];
    alone.turn(taken, None).unwrap();
    alone.turn(turn(3, vec![]), Some(End::Failed { error: retryable() })).unwrap();
    assert_eq!(alone.0.inbox().map(|(number, _)| number).collect::<Vec<_>>(), before);
}

#[test]
fn a_dropped_wait_gives_its_signal_back_in_the_same_turn() {
    let mut alone = Alone::accepted(None);
    alone.take(&signal("go", "s1"), NOW).unwrap();
    let number = alone.0.inbox().next().unwrap().0;
    alone.turn(turn(1, vec![signal_wait("1:0/1", "go"), effect("1:1/1", EffectKind::Safe)]), None).unwrap();
    let mut lost = turn(2, vec![effect("2", EffectKind::Safe)]);
    lost.delivered = vec![delivery("1:0/1", Some(number)), delivery("1:1/1", None)];
    lost.cancels = paths(&["1:0/1"]);
    alone.turn(lost, None).unwrap();
    assert_eq!(alone.0.inbox().count(), 1);
}

#[test]
fn a_timer_fires_once_it_is_due() {
    let mut owner = Owner::with_run(None);
    let due = NOW.plus_ms(10);
    owner.turn(turn(1, vec![timer("1", due), effect("2", EffectKind::Safe)])).unwrap();
    owner.shard.take_commands();
    owner.shard.tick(Timestamp(due.0 - 1));
    assert_eq!(delivered(&owner.shard.take_commands()), paths(&[]));
    owner.shard.tick(due);
    owner.shard.tick(due);
    assert_eq!(delivered(&owner.shard.take_commands()), paths(&["1"]), "and it is told once");
}

#[test]
fn a_run_that_is_restored_only_to_be_refused_does_not_stay_in_memory() {
    let mut owner = Owner::with_run(None);
    owner.turn_with(turn(1, vec![]), Some(End::Completed { output: "1".into() }), vec![]).unwrap();
    let ended = owner.run().clone();
    owner.commit();
    assert!(owner.shard.run(run_id()).is_none());
    owner.shard.restore(ended, NOW);
    assert_eq!(owner.handle(signal("go", "s1")), Err(Rejection::Finished));
    assert!(owner.shard.run(run_id()).is_none());
}

#[test]
fn a_tick_of_a_run_that_does_not_exist_changes_nothing() {
    let mut alone = Alone(bivouac_engine::Run::absent(run_id()));
    assert_eq!(alone.take(&Input::Tick, NOW).unwrap(), []);
    assert_eq!(alone.take(&signal("go", "s1"), NOW), Err(Rejection::NotAccepted));
}
