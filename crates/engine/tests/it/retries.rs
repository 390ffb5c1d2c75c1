//! When a failed attempt is tried again. Source: flow control, row `retries`.

use crate::help::{Alone, NOW, fence, retryable, terminal};
use bivouac_engine::{
    End, Event, Input, Loss, Timestamp,
    run::{MAX_BACKOFF_MS, MAX_DEADLINES, MAX_LOSSES},
};
use bivouac_protocol::{
    Code, ErrorInfo,
    manifest::{Backoff, Retries},
};

/// The waits before each retry, in milliseconds, until the run ends.
fn waits(retries: Option<Retries>, error: &ErrorInfo) -> Vec<u64> {
    let mut alone = Alone::accepted(retries);
    let mut waits = Vec::new();
    let mut now = NOW;
    loop {
        let input = Input::Failed { fence: fence(&alone.0), error: error.clone() };
        match alone.take(&input, now).unwrap().as_slice() {
            [Event::AttemptFailed { retry_at, .. }] => {
                waits.push(retry_at.0 - now.0);
                now = *retry_at;
                let started = Event::AttemptStarted { attempt: alone.0.attempt() + 1 };
                assert_eq!(alone.take(&Input::Tick, now).unwrap(), [started]);
            }
            [Event::Ended(End::Failed { error: ended })] => {
                assert_eq!(ended, error);
                return waits;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn policy(backoff: Backoff, max_attempts: u32) -> Retries {
    Retries { max_attempts, initial_interval_ms: 100, max_interval_ms: 1_000, backoff, multiplier_thousandths: 2_000 }
}

#[test]
fn attempts_are_counted_with_the_first_and_wait_as_the_policy_says() {
    let table: [(&str, Option<Retries>, &[u64]); 9] = [
        ("no policy is one attempt", None, &[]),
        ("one attempt", Some(policy(Backoff::Constant, 1)), &[]),
        ("constant", Some(policy(Backoff::Constant, 4)), &[100, 100, 100]),
        ("linear", Some(policy(Backoff::Linear, 4)), &[100, 200, 300]),
        ("exponential", Some(policy(Backoff::Exponential, 5)), &[100, 200, 400, 800]),
        (
            "exponential, up to the longest wait",
            Some(policy(Backoff::Exponential, 7)),
            &[100, 200, 400, 800, 1_000, 1_000],
        ),
        (
            "linear, up to the longest wait",
            Some(Retries { max_interval_ms: 150, ..policy(Backoff::Linear, 3) }),
            &[100, 150],
        ),
        ("the defaults", Some(Retries::default()), &[1_000, 2_000]),
        (
            "a small wait grows by parts of a millisecond",
            Some(Retries { initial_interval_ms: 1, multiplier_thousandths: 1_500, ..policy(Backoff::Exponential, 6) }),
            &[1, 1, 2, 3, 5],
        ),
    ];
    for (name, retries, expected) in table {
        assert_eq!(waits(retries, &retryable()), expected, "{name}");
    }
}

#[test]
fn a_terminal_error_is_not_tried_again() {
    assert_eq!(waits(Some(policy(Backoff::Constant, 4)), &terminal()), Vec::<u64>::new());
}

#[test]
fn an_error_may_ask_for_a_longer_wait_than_the_policy_but_not_for_ever() {
    let after = |ms| ErrorInfo { retry_after_ms: Some(ms), ..retryable() };
    assert_eq!(waits(Some(policy(Backoff::Constant, 2)), &after(5_000)), [5_000]);
    assert_eq!(waits(Some(policy(Backoff::Constant, 2)), &after(50)), [100]);
    assert_eq!(waits(Some(policy(Backoff::Constant, 2)), &after(u64::MAX)), [MAX_BACKOFF_MS]);
}

#[test]
fn huge_numbers_end_at_the_longest_wait() {
    let huge = Retries {
        max_attempts: 40,
        initial_interval_ms: u64::MAX / 2,
        max_interval_ms: u64::MAX,
        backoff: Backoff::Exponential,
        multiplier_thousandths: 1_000_000,
    };
    assert!(waits(Some(huge), &retryable()).iter().all(|wait| *wait == MAX_BACKOFF_MS));
    assert!(
        waits(Some(Retries { backoff: Backoff::Linear, ..huge }), &retryable())
            .iter()
            .all(|wait| *wait == MAX_BACKOFF_MS)
    );
}

#[test]
fn nothing_happens_before_the_wait_is_over() {
    let mut alone = Alone::accepted(Some(policy(Backoff::Constant, 2)));
    alone.take(&Input::Failed { fence: fence(&alone.0), error: retryable() }, NOW).unwrap();
    assert_eq!(alone.take(&Input::Tick, Timestamp(NOW.0 + 99)).unwrap(), []);
    assert_eq!(alone.take(&Input::Tick, Timestamp(NOW.0 + 100)).unwrap(), [Event::AttemptStarted { attempt: 2 }]);
}

#[test]
fn a_turn_that_runs_into_the_deadline_is_repeated_three_times_and_losses_of_other_kinds_do_not_count() {
    let mut alone = Alone::accepted(None);
    let lost = |alone: &Alone, cause| Input::Lost { fence: fence(&alone.0), cause };
    for _ in 0..5 {
        let input = lost(&alone, Loss::Executor);
        assert_eq!(alone.take(&input, NOW).unwrap(), [Event::SliceLost { cause: Loss::Executor }]);
    }
    for _ in 0..MAX_DEADLINES {
        let input = lost(&alone, Loss::Deadline);
        assert_eq!(alone.take(&input, NOW).unwrap(), [Event::SliceLost { cause: Loss::Deadline }]);
    }
    let input = lost(&alone, Loss::Deadline);
    let events = alone.take(&input, NOW).unwrap();
    assert!(
        matches!(&events[..], [Event::Ended(End::Failed { error })] if error.code == Code::CPU_LIMIT),
        "{events:?}"
    );
}

#[test]
fn a_slice_is_not_lost_for_ever() {
    let mut alone = Alone::accepted(None);
    for _ in 0..MAX_LOSSES {
        let input = Input::Lost { fence: fence(&alone.0), cause: Loss::Executor };
        assert_eq!(alone.take(&input, NOW).unwrap(), [Event::SliceLost { cause: Loss::Executor }]);
    }
    let input = Input::Lost { fence: fence(&alone.0), cause: Loss::Executor };
    let events = alone.take(&input, NOW).unwrap();
    assert!(matches!(&events[..], [Event::Ended(End::Failed { error })] if error.code == Code::INTERNAL), "{events:?}");
}
