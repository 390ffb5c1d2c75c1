//! Records as the first version wrote them. They are read for ever: a file here is never changed, only added.

use crate::help::{NOW, accepted, delivery, effect, question, retryable, run_id, signal_wait, terminal, timer};
use bivouac_engine::{
    EffectKind, End, Event, Loss, Run, Step, StepOutcome, Turn,
    event::Note,
    journal::{decode, decode_state, encode, encode_state},
};
use bivouac_protocol::{
    frame::CancelMode,
    manifest::{Backoff, Retries},
};
use bytes::Bytes;
use std::{fs, path::PathBuf};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-v1").join(format!("{name}.hex"))
}

fn golden(name: &str, written: &[u8]) -> Vec<u8> {
    let text = fs::read_to_string(file(name))
        .unwrap_or_else(|_| panic!("{} is missing; this build writes\n{}", file(name).display(), hex::encode(written)));
    hex::decode(text.trim()).unwrap()
}

fn full_turn() -> Turn {
    Turn {
        n: 300,
        now: NOW,
        frame: Bytes::from_static(b"\x02\0\0\0{}"),
        delivered: vec![delivery("2:1/4", Some(7)), delivery("3", None)],
        cancel: Some(CancelMode::Grace),
        effects: vec![
            effect("4", EffectKind::Safe),
            effect("5", EffectKind::Keyed),
            effect("6", EffectKind::Write),
            timer("7", NOW.plus_ms(86_400_000)),
            signal_wait("8", "go"),
        ],
        steps: vec![
            Step { key: "charge".into(), outcome: StepOutcome::Ok(Bytes::from_static(b"9007199254740993")) },
            Step { key: "2:1/ship#2".into(), outcome: StepOutcome::Err(terminal()) },
        ],
        cancels: vec!["2:0/1".into()],
        notes: vec![Note { visible: true, text: Bytes::from_static(b"{\"note\":\"emit\"}") }],
    }
}

/// A turn whose questions have a name and none.
fn asking_turn() -> Turn {
    let effects = vec![question("1", None), question("2:0/1", Some("where"))];
    Turn { n: 7, delivered: Vec::new(), cancel: None, effects, steps: Vec::new(), cancels: Vec::new(), ..full_turn() }
}

fn all_retries() -> Retries {
    Retries {
        max_attempts: 5,
        initial_interval_ms: 250,
        max_interval_ms: 60_000,
        backoff: Backoff::Linear,
        multiplier_thousandths: 1_500,
    }
}

fn records() -> Vec<(&'static str, Event)> {
    let mut after = retryable();
    after.retry_after_ms = Some(1_500);
    vec![
        ("accepted", Event::Accepted(Box::new(accepted(Some(all_retries()))))),
        ("attempt_started", Event::AttemptStarted { attempt: 2 }),
        ("turn", Event::Turn(std::sync::Arc::new(full_turn()))),
        ("parked", Event::Parked),
        ("woken", Event::Woken),
        ("slice_lost", Event::SliceLost { cause: Loss::Deadline }),
        ("attempt_failed", Event::AttemptFailed { error: after, retry_at: NOW.plus_ms(1_500) }),
        ("paused", Event::Paused { error: terminal() }),
        (
            "signal_received",
            Event::SignalReceived { name: "go".into(), id: "s1".into(), payload: Bytes::from_static(b"{}") },
        ),
        (
            "answered",
            Event::Answered {
                key: "0/1#1".into(),
                id: "m2".into(),
                payload: Bytes::from_static(b"{\"answer\":9007199254740993}"),
            },
        ),
        ("turn_that_asks", Event::Turn(std::sync::Arc::new(asking_turn()))),
        ("cancel_requested", Event::CancelRequested { mode: CancelMode::Now, until: NOW, reason: "asked".into() }),
        ("completed", Event::Ended(End::Completed { output: Bytes::from_static(b"{\"ok\":true}") })),
        ("failed", Event::Ended(End::Failed { error: terminal() })),
        ("cancelled", Event::Ended(End::Cancelled { reason: "asked".into() })),
    ]
}

/// A run whose state says something in every field.
fn full_run() -> Run {
    let signal = |name: &str, id: &str| Event::SignalReceived {
        name: name.into(),
        id: id.into(),
        payload: Bytes::from_static(b"1"),
    };
    let mut run = Run::absent(run_id());
    let mut turn = full_turn();
    turn.n = 1;
    turn.delivered = vec![delivery("1", Some(2))];
    turn.steps.clear();
    turn.effects.push(signal_wait("9", "stop"));
    let events = [
        Event::Accepted(Box::new(accepted(Some(all_retries())))),
        signal("go", "s1"),
        signal("go", "s2"),
        Event::CancelRequested { mode: CancelMode::Grace, until: NOW.plus_ms(500), reason: "asked".into() },
        Event::Turn(std::sync::Arc::new(turn)),
        Event::SliceLost { cause: Loss::Executor },
        Event::SliceLost { cause: Loss::Executor },
        Event::SliceLost { cause: Loss::Deadline },
    ];
    events.iter().for_each(|event| run.apply(event));
    run
}

#[test]
fn every_kind_of_record_is_read_as_it_was_written_once() {
    for (name, event) in records() {
        let bytes = golden(name, &encode(&event));
        assert_eq!(decode(&bytes).unwrap(), event, "{name}");
        assert_eq!(encode(&event), bytes, "{name}");
    }
}

#[test]
fn a_folded_state_is_read_as_it_was_written_once() {
    let run = full_run();
    let bytes = golden("state", &encode_state(&run));
    assert_eq!(decode_state(run_id(), &bytes).unwrap(), run);
    assert_eq!(encode_state(&run), bytes);
}

/// A run that asks, and has answers from before.
fn answered_run() -> Run {
    let mut run = full_run();
    let mut asks = asking_turn();
    asks.n = 2;
    run.apply(&Event::Turn(std::sync::Arc::new(asks)));
    for (key, id) in [("0/1#1", "m2"), ("0/2:0/1#1", "a3")] {
        let payload = Bytes::from_static(b"{\"answer\":1}");
        run.apply(&Event::Answered { key: key.into(), id: id.into(), payload });
    }
    run
}

#[test]
fn what_follows_a_state_is_read_as_it_was_written_once() {
    let run = answered_run();
    let bytes = golden("state_answered", &encode_state(&run));
    assert_eq!(decode_state(run_id(), &bytes).unwrap(), run);
    assert_eq!(encode_state(&run), bytes);
}

#[test]
fn a_state_cut_short_is_refused() {
    let bytes = encode_state(&answered_run());
    let refused = (1..bytes.len()).filter(|end| decode_state(run_id(), &bytes[..*end]).is_err()).count();
    assert_eq!(refused, bytes.len() - 2, "only where the state itself ends is it whole: a row of the first builds");
}

#[test]
fn every_golden_file_belongs_to_a_record() {
    let mut names: Vec<String> = records().iter().map(|(name, _)| format!("{name}.hex")).collect();
    names.extend(["state.hex", "state_answered.hex"].map(str::to_owned));
    for entry in fs::read_dir(file("state").parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "{name} belongs to no record");
    }
}
