//! What a guest may say in a turn, and what becomes of it when it says something else.

use crate::help::{Alone, NOW, Owner, delivery, effect, fence, run_id, timer, turn, twice};
use bivouac_engine::{
    Command, Effect, EffectKind, End, Event, Input, Loss, Rejection, Timestamp, run::MAX_OPEN_EFFECTS,
};
use bivouac_protocol::Code;

fn completed() -> Option<End> {
    Some(End::Completed { output: "1".into() })
}

fn many(count: usize) -> Vec<Effect> {
    (1..=count).map(|n| effect(&n.to_string(), EffectKind::Safe)).collect()
}

#[test]
fn a_breach_of_the_contract_is_named() {
    let mut open = Alone::accepted(None);
    open.turn(turn(1, vec![effect("1", EffectKind::Safe)]), None).unwrap();
    let table: [(&str, bivouac_engine::Turn, Option<End>, Rejection); 6] = [
        ("a turn before its time", turn(3, vec![]), completed(), Rejection::OutOfOrder { expected: 2, got: 3 }),
        ("a turn again", turn(1, vec![]), completed(), Rejection::OutOfOrder { expected: 2, got: 1 }),
        (
            "an open path again",
            turn(2, vec![effect("1", EffectKind::Safe)]),
            None,
            Rejection::DuplicatePath("1".into()),
        ),
        (
            "an effect with the end",
            turn(2, vec![effect("2", EffectKind::Keyed)]),
            completed(),
            Rejection::EffectAfterEnd("2".into()),
        ),
        (
            "an outcome for what is not open",
            bivouac_engine::Turn { delivered: vec![delivery("7", None)], ..turn(2, vec![]) },
            None,
            Rejection::NotOpen("7".into()),
        ),
        (
            "nothing left to wait for",
            bivouac_engine::Turn { delivered: vec![delivery("1", None)], ..turn(2, vec![]) },
            None,
            Rejection::Stalled,
        ),
    ];
    for (name, turn, end, expected) in table {
        let before = open.0.clone();
        assert_eq!(open.turn(turn, end), Err(expected), "{name}");
        assert_eq!(open.0, before, "{name}");
    }
}

#[test]
fn writes_may_go_with_the_end() {
    let events = Alone::accepted(None).turn(turn(1, vec![effect("1", EffectKind::Write)]), completed()).unwrap();
    assert_eq!(events.len(), 2);
}

#[test]
fn a_run_may_hold_so_many_effects_open_and_no_more() {
    assert!(Alone::accepted(None).turn(turn(1, many(MAX_OPEN_EFFECTS)), None).is_ok());
    let refused = Alone::accepted(None).turn(turn(1, many(MAX_OPEN_EFFECTS + 1)), None);
    assert_eq!(refused, Err(Rejection::TooManyOpen(MAX_OPEN_EFFECTS)));
}

#[test]
fn what_is_the_guests_fault_fails_the_attempt_for_good_and_tells_why() {
    let mut owner = Owner::with_run(twice());
    owner.turn(turn(1, vec![effect("1", EffectKind::Safe), effect("1", EffectKind::Safe)])).unwrap();
    let batch = owner.shard.batch().unwrap();
    let Some(End::Failed { error }) = batch.transitions[0].end() else { panic!("{batch:?}") };
    assert_eq!(error.code, Code::DUPLICATE_PATH);
    assert!(!error.retryable);
}

#[test]
fn what_the_executor_got_wrong_ends_its_slice_and_not_the_attempt() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(5, vec![effect("1", EffectKind::Safe)])).unwrap();
    let batch = owner.shard.batch();
    assert_eq!((owner.run().attempt(), owner.run().slice()), (1, 2));
    let events: Vec<Event> = batch.unwrap().transitions.remove(0).events.into_iter().map(|r| r.event).collect();
    assert_eq!(events, [Event::SliceLost { cause: Loss::Executor }]);
    assert!(owner.shard.take_commands().iter().any(|command| matches!(command, Command::Drop { .. })));
}

#[test]
fn a_timer_cannot_be_delivered_before_it_is_due() {
    let mut alone = Alone::accepted(None);
    let due = NOW.plus_ms(5);
    alone.turn(turn(1, vec![timer("1", due), effect("2", EffectKind::Safe)]), None).unwrap();
    let mut early = turn(2, vec![]);
    early.delivered = vec![delivery("1", None)];
    assert_eq!(alone.turn(early.clone(), None), Err(Rejection::TooEarly("1".into())));
    early.now = due;
    assert!(alone.turn(early, None).is_ok());
}

#[test]
fn a_run_without_open_effects_but_waits_parks_and_wakes_with_another_slice() {
    let mut alone = Alone::accepted(None);
    let due = NOW.plus_ms(5);
    let events = alone.turn(turn(1, vec![timer("1", due)]), None).unwrap();
    assert_eq!(events.last(), Some(&Event::Parked));
    assert_eq!(alone.take(&Input::Tick, Timestamp(due.0 - 1)).unwrap(), []);
    assert_eq!(alone.take(&Input::Tick, due).unwrap(), [Event::Woken]);
    assert_eq!((alone.0.attempt(), alone.0.slice()), (1, 2));
}

#[test]
fn a_run_is_accepted_once() {
    let mut owner = Owner::with_run(None);
    let before = owner.run().clone();
    owner.handle(Input::Accept(Box::new(crate::help::accepted(None)))).unwrap();
    assert_eq!(*owner.run(), before);
    assert_eq!(owner.shard.pending_start("production", "order-1"), None, "it is on disk: the store knows it");
}

#[test]
fn a_mismatch_pauses_the_run_and_a_cancel_ends_it() {
    let mut alone = Alone::accepted(twice());
    alone.turn(turn(1, vec![effect("1", EffectKind::Safe)]), None).unwrap();
    let error = bivouac_protocol::ErrorInfo::terminal(Code::JOURNAL_MISMATCH, "it differs");
    let input = Input::Mismatch { fence: fence(&alone.0), error: error.clone() };
    assert_eq!(alone.take(&input, NOW).unwrap(), [Event::Paused { error }]);
    assert!(alone.0.owed(NOW).is_empty());
    assert!(alone.0.is_accounted_for(NOW));
    assert_eq!(alone.0.id(), run_id());
}
