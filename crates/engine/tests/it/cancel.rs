//! What a cancel does, phase by phase. Source: the guest contract, "Turns", rule 9.

use crate::help::{Alone, NOW, cancel, fence, retryable, signal_wait, timer, turn, twice};
use bivouac_engine::{EffectKind, End, Event, Input, Owed, Rejection, Status, Timestamp};
use bivouac_protocol::{Code, ErrorInfo, frame::CancelMode};

const GRACE_MS: u64 = 500;

fn queued() -> Alone {
    Alone::accepted(twice())
}

fn running() -> Alone {
    let mut alone = queued();
    alone.turn(turn(1, vec![crate::help::effect("1", EffectKind::Keyed)]), None).unwrap();
    alone
}

fn parked() -> Alone {
    let mut alone = queued();
    alone.turn(turn(1, vec![signal_wait("1", "go")]), None).unwrap();
    alone
}

fn backing_off() -> Alone {
    let mut alone = queued();
    alone.take(&Input::Failed { fence: fence(&alone.0), error: retryable() }, NOW).unwrap();
    alone
}

fn second_attempt_without_a_turn() -> Alone {
    let mut alone = backing_off();
    alone.take(&Input::Tick, Timestamp(NOW.0 + 10_000)).unwrap();
    alone
}

fn paused() -> Alone {
    let mut alone = queued();
    let error = ErrorInfo::terminal(Code::JOURNAL_MISMATCH, "it differs");
    alone.take(&Input::Mismatch { fence: fence(&alone.0), error }, NOW).unwrap();
    alone
}

fn ended() -> Alone {
    let mut alone = queued();
    alone.turn(turn(1, vec![]), Some(End::Completed { output: "1".into() })).unwrap();
    alone
}

fn requested(mode: CancelMode) -> Event {
    let until = if mode == CancelMode::Now { NOW } else { NOW.plus_ms(GRACE_MS) };
    Event::CancelRequested { mode, until, reason: "asked".into() }
}

fn cancelled() -> Event {
    Event::Ended(End::Cancelled { reason: "asked".into() })
}

#[test]
fn a_cancel_ends_at_once_whatever_does_not_execute_and_asks_whatever_does() {
    use CancelMode::{Grace, Now};
    type Phase = fn() -> Alone;
    let table: [(&str, Phase, CancelMode, Vec<Event>); 12] = [
        ("queued, grace", queued, Grace, vec![requested(Grace), cancelled()]),
        ("queued, now", queued, Now, vec![requested(Now), cancelled()]),
        ("running, grace", running, Grace, vec![requested(Grace)]),
        ("running, now", running, Now, vec![requested(Now), cancelled()]),
        ("parked, grace", parked, Grace, vec![requested(Grace), Event::Woken]),
        ("parked, now", parked, Now, vec![requested(Now), cancelled()]),
        ("backing off, grace", backing_off, Grace, vec![requested(Grace), cancelled()]),
        ("backing off, now", backing_off, Now, vec![requested(Now), cancelled()]),
        ("second attempt, grace", second_attempt_without_a_turn, Grace, vec![requested(Grace), cancelled()]),
        ("second attempt, now", second_attempt_without_a_turn, Now, vec![requested(Now), cancelled()]),
        ("paused, grace", paused, Grace, vec![requested(Grace), cancelled()]),
        ("paused, now", paused, Now, vec![requested(Now), cancelled()]),
    ];
    for (name, phase, mode, expected) in table {
        assert_eq!(phase().take(&cancel(mode, GRACE_MS), NOW).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_run_that_ended_cannot_be_cancelled() {
    assert_eq!(ended().take(&cancel(CancelMode::Now, 0), NOW), Err(Rejection::Finished));
}

#[test]
fn cancelling_again_changes_nothing_unless_it_is_harder() {
    let mut alone = running();
    alone.take(&cancel(CancelMode::Grace, GRACE_MS), NOW).unwrap();
    assert_eq!(alone.take(&cancel(CancelMode::Grace, 1), NOW).unwrap(), []);
    assert_eq!(alone.take(&cancel(CancelMode::Now, 0), NOW).unwrap(), [requested(CancelMode::Now), cancelled()]);
}

#[test]
fn a_guest_in_grace_may_finish_fail_or_end_as_cancelled() {
    let in_grace = || {
        let mut alone = running();
        alone.take(&cancel(CancelMode::Grace, GRACE_MS), NOW).unwrap();
        alone
    };
    let last = |end: End| {
        let events = in_grace().turn(turn(2, vec![]), Some(end)).unwrap();
        events.last().cloned().unwrap()
    };
    let completed = End::Completed { output: "1".into() };
    assert_eq!(last(completed.clone()), Event::Ended(completed));
    assert_eq!(last(End::Failed { error: retryable() }), cancelled());
    assert_eq!(last(End::Cancelled { reason: "".into() }), cancelled());
    let mut alone = in_grace();
    let input = Input::Failed { fence: fence(&alone.0), error: retryable() };
    assert_eq!(alone.take(&input, NOW).unwrap(), [cancelled()]);
}

#[test]
fn a_guest_cannot_end_as_cancelled_when_nobody_asked() {
    let events = queued().turn(turn(1, vec![]), Some(End::Cancelled { reason: "".into() })).unwrap();
    assert!(matches!(&events[1], Event::Ended(End::Failed { error }) if error.code == Code::CANCELLED), "{events:?}");
}

#[test]
fn grace_ends_even_where_turns_keep_coming() {
    let mut alone = running();
    alone.take(&cancel(CancelMode::Grace, GRACE_MS), NOW).unwrap();
    let late = Timestamp(NOW.0 + GRACE_MS + 50);
    let mut more = turn(2, vec![crate::help::effect("2", EffectKind::Keyed)]);
    more.now = late;
    more.cancel = Some(CancelMode::Grace);
    alone.turn(more, None).unwrap();
    assert!(alone.0.owed(late).contains(&Owed::WakeAt(NOW.plus_ms(GRACE_MS))), "{:?}", alone.0.owed(late));
    assert_eq!(alone.take(&Input::Tick, late).unwrap(), [cancelled()]);
}

#[test]
fn a_guest_that_was_told_may_not_wait() {
    let mut alone = running();
    alone.take(&cancel(CancelMode::Grace, GRACE_MS), NOW).unwrap();
    let mut waits = turn(2, vec![timer("2", NOW.plus_ms(1))]);
    waits.cancel = Some(CancelMode::Grace);
    assert_eq!(alone.turn(waits, None), Err(Rejection::WaitAfterCancel("2".into())));
    assert_eq!(alone.0.status(), Some(Status::Running));
}

#[test]
fn a_cancelled_run_is_told_once() {
    let mut alone = running();
    alone.take(&cancel(CancelMode::Grace, GRACE_MS), NOW).unwrap();
    assert!(alone.0.owed(NOW).contains(&Owed::Cancel(CancelMode::Grace)));
    let mut told = turn(2, vec![crate::help::effect("2", EffectKind::Keyed)]);
    told.cancel = Some(CancelMode::Grace);
    alone.turn(told, None).unwrap();
    assert!(!alone.0.owed(NOW).contains(&Owed::Cancel(CancelMode::Grace)));
}
