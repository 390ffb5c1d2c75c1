//! Limits of a run: what is refused at each, and that nothing else is.

use crate::help::{Alone, NOW, Owner, answer, effect, question, retryable, run_id, signal, turn, twice};
use bivouac_engine::{
    EffectKind, End, Event, Loss, Rejection,
    run::{MAX_EVENTS, MAX_INBOX, MAX_OPEN_EFFECTS},
};
use bivouac_protocol::Code;

#[test]
fn an_inbox_takes_so_many_signals_and_no_more() {
    let mut alone = Alone::accepted(None);
    for number in 0..MAX_INBOX {
        alone.take(&signal("go", &format!("s{number}")), NOW).unwrap();
    }
    let before = alone.0.clone();
    assert_eq!(alone.take(&signal("go", "one more"), NOW), Err(Rejection::InboxFull(MAX_INBOX)));
    assert_eq!(alone.take(&signal("stop", "another"), NOW), Err(Rejection::InboxFull(MAX_INBOX)), "whatever its name");
    assert_eq!(alone.take(&signal("go", "s0"), NOW), Ok(vec![]), "the same again still counts as taken");
    assert_eq!(alone.0, before);
}

/// A run of two attempts whose first waits for an effect and has so many events less than the most.
fn long(missing: u64) -> Alone {
    let mut alone = Alone::accepted(twice());
    alone.turn(turn(1, vec![effect("1", EffectKind::Safe), question("2", None)]), None).unwrap();
    while alone.0.next_seq() < MAX_EVENTS - missing {
        alone.0.apply(&Event::SliceLost { cause: Loss::Executor });
    }
    alone
}

#[test]
fn a_history_takes_so_many_events_and_then_no_turn() {
    let fine = turn(2, vec![effect("3", EffectKind::Safe)]);
    assert!(long(1).turn(fine.clone(), None).is_ok());
    assert_eq!(long(0).turn(fine.clone(), None), Err(Rejection::HistoryFull(MAX_EVENTS)));
    assert_eq!(
        long(0).turn(fine, Some(End::Completed { output: "1".into() })),
        Err(Rejection::HistoryFull(MAX_EVENTS)),
        "a last one neither"
    );
    let fault = Rejection::HistoryFull(MAX_EVENTS).guest_fault().unwrap();
    assert_eq!((fault.code, fault.retryable), (Code::HISTORY_TOO_LONG, false));
}

#[test]
fn a_run_whose_history_is_full_ends_and_is_not_tried_again() {
    let mut full = long(0);
    let fence = crate::help::fence(&full.0);
    let failed = bivouac_engine::Input::Failed { fence, error: retryable() };
    let events = full.take(&failed, NOW).unwrap();
    assert!(matches!(&events[..], [Event::Ended(End::Failed { .. })]), "{events:?}");
    // An answer is still recorded: somebody was told that it would be.
    assert!(long(0).take(&answer(None, "a1", "7"), NOW).is_ok());

    let mut owner = Owner::with_run(twice());
    owner.turn(turn(1, vec![effect("1", EffectKind::Safe)])).unwrap();
    let mut run = owner.run().clone();
    owner.commit();
    while run.next_seq() < MAX_EVENTS {
        run.apply(&Event::SliceLost { cause: Loss::Executor });
    }
    let mut owner = Owner { shard: bivouac_engine::Shard::new(3, 1, 0, 0, bivouac_engine::ShardLimits::default()) };
    owner.shard.restore(run, NOW);
    owner.turn(turn(2, vec![effect("2", EffectKind::Safe)])).unwrap();
    let batch = owner.shard.batch().unwrap();
    let end = batch.transitions[0].end().unwrap();
    assert!(matches!(end, End::Failed { error } if error.code == Code::HISTORY_TOO_LONG), "{end:?}");
    assert_eq!(batch.transitions[0].run, run_id());
}

#[test]
fn so_many_effects_are_open_at_once_and_no_more() {
    let many = |count: usize| (0..count).map(|n| question(&n.to_string(), None)).collect::<Vec<_>>();
    assert!(Alone::accepted(None).turn(turn(1, many(MAX_OPEN_EFFECTS)), None).is_ok());
    let refused = Alone::accepted(None).turn(turn(1, many(MAX_OPEN_EFFECTS + 1)), None);
    assert_eq!(refused, Err(Rejection::TooManyOpen(MAX_OPEN_EFFECTS)));
}
