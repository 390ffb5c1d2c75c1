//! Folding what was recorded gives the live state, at every prefix, through the journal's bytes and back.

use crate::help::{NOW, accepted, run_id};
use bivouac_engine::{
    Effect, EffectKind, End, Event, Fence, Input, Loss, Run, Step, StepOutcome, Timestamp, Turn,
    event::{Delivery, Note},
    journal::{decode, decode_state, encode, encode_state},
};
use bivouac_protocol::{
    Code, ErrorInfo, Path,
    frame::CancelMode,
    key::Digest,
    manifest::{Backoff, Retries},
};
use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};

fn error() -> impl Strategy<Value = ErrorInfo> {
    (any::<bool>(), option::of(0..5_000_u64), ".{0,12}").prop_map(|(retryable, retry_after_ms, message)| ErrorInfo {
        code: Code::HANDLER_FAILED,
        message,
        retryable,
        retry_after_ms,
    })
}

fn retries() -> impl Strategy<Value = Option<Retries>> {
    let backoff = prop_oneof![Just(Backoff::Constant), Just(Backoff::Linear), Just(Backoff::Exponential)];
    option::of((1..5_u32, 0..1_000_u64, 0..5_000_u64, backoff, 1_000..4_000_u32).prop_map(
        |(max_attempts, initial_interval_ms, max_interval_ms, backoff, multiplier_thousandths)| Retries {
            max_attempts,
            initial_interval_ms,
            max_interval_ms,
            backoff,
            multiplier_thousandths,
        },
    ))
}

fn path() -> impl Strategy<Value = Path> {
    prop_oneof![Just("1"), Just("2"), Just("2:0/1"), Just("charge/1"), Just("3")].prop_map(Path::from)
}

fn name() -> impl Strategy<Value = Box<str>> {
    prop_oneof![Just("go"), Just("stop")].prop_map(Into::into)
}

fn effect() -> impl Strategy<Value = Effect> {
    let kind = prop_oneof![
        Just(EffectKind::Safe),
        Just(EffectKind::Keyed),
        Just(EffectKind::Write),
        (0..200_u64).prop_map(|ms| EffectKind::Timer { due: NOW.plus_ms(ms) }),
        name().prop_map(|name| EffectKind::Signal { name }),
    ];
    (path(), 0..6_u8, kind, any::<[u8; 16]>()).prop_map(|(path, key, kind, digest)| Effect {
        path,
        key: format!("0/{key}#1").into(),
        op: "op".into(),
        digest: Digest(digest),
        kind,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        vec(any::<u8>(), 0..6).prop_map(|value| StepOutcome::Ok(value.into())),
        error().prop_map(StepOutcome::Err),
    ];
    (prop_oneof![Just("charge"), Just("ship#2")], outcome).prop_map(|(key, outcome)| Step { key: key.into(), outcome })
}

fn turn() -> impl Strategy<Value = Turn> {
    let delivered = vec((path(), option::of(1..9_u64)), 0..3);
    let cancel = prop_oneof![4 => Just(None), 1 => Just(Some(CancelMode::Grace)), 1 => Just(Some(CancelMode::Now))];
    let notes = vec((any::<bool>(), vec(any::<u8>(), 0..5)), 0..2);
    let told = (vec(step(), 0..2), vec(path(), 0..2), notes);
    (0..4_u64, 0..200_u64, delivered, cancel, vec(effect(), 0..3), told).prop_map(
        |(n, ms, delivered, cancel, effects, (steps, cancels, notes))| Turn {
            n,
            now: NOW.plus_ms(ms),
            frame: Bytes::from_static(b"frame"),
            delivered: delivered.into_iter().map(|(path, signal)| Delivery { path, signal }).collect(),
            cancel,
            effects,
            steps,
            cancels,
            notes: notes.into_iter().map(|(visible, text)| Note { visible, text: text.into() }).collect(),
        },
    )
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Completed { output: Bytes::from_static(b"1") }),
        error().prop_map(|error| End::Failed { error }),
        Just(End::Cancelled { reason: "asked".into() }),
    ]
}

/// A wish of the world; who speaks and which turn it is are put in where it is taken.
#[derive(Clone, Debug)]
enum Wish {
    Turn { turn: Turn, end: Option<End>, sensible: bool },
    Failed(ErrorInfo),
    Lost(Loss),
    Mismatch(ErrorInfo),
    Other(Input),
}

fn wish() -> impl Strategy<Value = Wish> {
    let end = prop_oneof![6 => Just(None), 1 => end().prop_map(Some)];
    prop_oneof![
        8 => (turn(), end, prop::bool::weighted(0.9)).prop_map(|(turn, end, sensible)| Wish::Turn { turn, end, sensible }),
        1 => error().prop_map(Wish::Failed),
        1 => prop_oneof![Just(Loss::Executor), Just(Loss::Deadline)].prop_map(Wish::Lost),
        1 => error().prop_map(Wish::Mismatch),
        3 => Just(Wish::Other(Input::Tick)),
        1 => retries().prop_map(|retries| Wish::Other(Input::Accept(Box::new(accepted(retries))))),
        1 => (prop_oneof![3 => Just(CancelMode::Grace), 1 => Just(CancelMode::Now)], 0..100_u64)
            .prop_map(|(mode, grace_ms)| Wish::Other(Input::Cancel { mode, reason: "asked".into(), grace_ms })),
        3 => (name(), 0..6_u8).prop_map(|(name, id)| Wish::Other(Input::Signal {
            name,
            id: id.to_string().into(),
            payload: Bytes::from_static(b"1"),
        })),
    ]
}

/// Fits a wish to the run, so that most of what is tried is also taken.
fn input(wish: Wish, run: &Run) -> Input {
    let fence = Fence { epoch: 1, incarnation: 0, attempt: run.attempt(), slice: run.slice() };
    match wish {
        Wish::Failed(error) => Input::Failed { fence, error },
        Wish::Lost(cause) => Input::Lost { fence, cause },
        Wish::Mismatch(error) => Input::Mismatch { fence, error },
        Wish::Other(input) => input,
        Wish::Turn { mut turn, end, sensible } => {
            if sensible {
                turn.n = run.next_turn();
                turn.delivered.retain(|delivery| run.is_open(&delivery.path));
                for delivery in &mut turn.delivered {
                    let kind = run.awaits().find(|(path, ..)| **path == delivery.path).map(|(_, _, kind)| kind);
                    delivery.signal = match kind {
                        Some(EffectKind::Signal { name }) => run.inbox().find(|(_, n)| **n == **name).map(|(n, _)| n),
                        _ => None,
                    };
                }
                if end.is_some() {
                    turn.effects.retain(|effect| effect.kind == EffectKind::Write);
                }
            }
            Input::Turn { fence, turn: std::sync::Arc::new(turn), end, writes: Vec::new() }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn folding_the_journal_gives_the_live_run_at_every_prefix(
        retries in retries(),
        wishes in vec((wish(), 0..40_u64), 1..40),
    ) {
        let mut live = Run::absent(run_id());
        let mut journal: Vec<Vec<u8>> = Vec::new();
        let mut now = NOW;
        let start = Wish::Other(Input::Accept(Box::new(accepted(retries))));
        for (wish, ms) in std::iter::once((start, 0)).chain(wishes) {
            now = now.plus_ms(ms);
            let before = live.clone();
            let Ok(events) = live.decide(&input(wish, &live), now) else { continue };
            prop_assert_eq!(&live, &before, "deciding changes nothing");
            for event in events {
                live.apply(&event);
                let bytes = encode(&event);
                prop_assert_eq!(&decode(&bytes).unwrap(), &event);
                journal.push(bytes);
                let mut folded = Run::absent(run_id());
                journal.iter().for_each(|bytes| folded.apply(&decode(bytes).unwrap()));
                prop_assert_eq!(&folded, &live);
                prop_assert_eq!(&decode_state(run_id(), &encode_state(&live)).unwrap(), &live);
            }
            prop_assert_eq!(live.next_seq(), journal.len() as u64 + 1);
            prop_assert!(live.is_accounted_for(now), "{:?}", live);
            let ends = journal.iter().filter(|bytes| matches!(decode(bytes), Ok(Event::Ended(_)))).count();
            prop_assert_eq!(ends, usize::from(live.status().is_some_and(|status| status.is_final())));
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_an_error_and_no_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _error_or_record = decode(&bytes);
        let _error_or_state = decode_state(run_id(), &bytes);
    }

    #[test]
    fn any_turn_comes_back_from_its_bytes(turn in turn()) {
        let event = Event::Turn(std::sync::Arc::new(turn));
        prop_assert_eq!(decode(&encode(&event)).unwrap(), event);
    }
}

#[test]
fn a_record_of_a_newer_version_says_so() {
    let mut bytes = encode(&Event::Parked);
    bytes[0] = 2;
    assert!(decode(&bytes).unwrap_err().to_string().contains("version 2"));
    assert!(decode(&[]).is_err());
    assert_eq!(Timestamp(1).plus_ms(u64::MAX), Timestamp(u64::MAX));
}
