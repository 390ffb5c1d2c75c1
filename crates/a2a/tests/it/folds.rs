//! How a run is told as a task.

use bivouac_a2a::{
    Timestamp,
    task::{End, Fact, Position, RunEvent, TaskFold, Told},
    types::{StreamResponse, TaskState},
};
use bivouac_protocol::{Code, Json, frame::Question};
use proptest::prelude::*;
use serde_json::json;

fn json_of(text: &str) -> Json {
    Json::parse_text(text).unwrap()
}

fn facts(facts: impl IntoIterator<Item = (u64, Fact)>) -> Vec<RunEvent> {
    facts
        .into_iter()
        .map(|(seq, fact)| RunEvent { seq, at: Timestamp::from_millis(i64::try_from(seq).unwrap() * 1000), fact })
        .collect()
}

fn fold(events: &[RunEvent]) -> (TaskFold, Vec<Told>) {
    let mut fold = TaskFold::new("t", "c");
    let told = events.iter().flat_map(|event| fold.apply(event)).collect();
    (fold, told)
}

fn accepted() -> Fact {
    Fact::Accepted { input: json_of(r#"{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]}"#) }
}

fn progress(text: &str) -> Fact {
    Fact::Progress { content: Json::of(&json!({"parts": [{"text": text}]})).unwrap() }
}

fn asked(key: &str, text: &str) -> Fact {
    Fact::Asked { key: key.to_owned(), question: Question { name: Some(format!("n{key}")), ..Question::new(text) } }
}

fn answered(key: &str, text: &str) -> Fact {
    let message = json!({"message": {"messageId": format!("a{key}"), "role": "ROLE_USER", "parts": [{"text": text}]}});
    Fact::Answered { key: key.to_owned(), id: format!("a{key}"), outcome: Json::of(&message).unwrap() }
}

fn artifact(id: &str, text: &str, append: bool) -> Fact {
    let artifact = Json::of(&json!({"artifactId": id, "parts": [{"text": text}]})).unwrap();
    Fact::Artifact { artifact, append, last_chunk: false }
}

fn completed(output: &str) -> Fact {
    Fact::Ended(End::Completed { output: json_of(output) })
}

/// Each event in a few words: its position, its state or artifact, and what is said.
fn words(told: &[Told]) -> Vec<String> {
    told.iter()
        .map(|told| match &told.event {
            StreamResponse::StatusUpdate(update) => {
                let said =
                    update.status.message.as_ref().map(|message| format!(" {}", message.text())).unwrap_or_default();
                format!("{} {}{said}", told.position, update.status.state.as_str().trim_start_matches("TASK_STATE_"))
            }
            StreamResponse::ArtifactUpdate(update) => {
                format!("{} artifact {}", told.position, update.artifact.artifact_id)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_conversation_is_told_in_the_order_in_which_it_happened() {
    let events = facts([
        (1, accepted()),
        (2, Fact::Began),
        (2, progress("looking")),
        (2, artifact("a", "1", false)),
        (2, asked("k", "Where?")),
        (3, Fact::Moved),
        (4, answered("k", "Rome")),
        (5, Fact::Moved),
        (6, artifact("a", "2", true)),
        (
            7,
            completed(
                r#"{"message":{"parts":[{"text":"done"}]},"artifacts":[{"artifactId":"b","parts":[{"text":"3"}]}]}"#,
            ),
        ),
    ]);
    let (fold, told) = fold(&events);
    let expected = [
        "2.0 WORKING",
        "2.1 WORKING looking",
        "2.2 artifact a",
        "2.3 INPUT_REQUIRED Where?",
        "4.0 WORKING",
        "6.0 artifact a",
        "7.0 artifact b",
        "7.1 COMPLETED done",
    ];
    assert_eq!(words(&told), expected);
    assert_eq!(
        told.iter().map(Told::ends_stream).collect::<Vec<_>>(),
        [false, false, false, true, false, false, false, true]
    );
    let task = fold.task(None, true);
    assert_eq!(task.status.state, TaskState::Completed);
    let artifacts = task.artifacts.unwrap();
    assert_eq!(artifacts.iter().map(|a| a.parts.len()).collect::<Vec<_>>(), [2, 1]);
    let history: Vec<_> = task.history.iter().map(|message| (message.message_id.as_str(), message.text())).collect();
    assert_eq!(history, [("m", "hi".to_owned()), ("t.2.3", "Where?".to_owned()), ("ak", "Rome".to_owned())]);
    assert!(
        task.history
            .iter()
            .all(|message| message.task_id.as_deref() == Some("t") && message.context_id.as_deref() == Some("c"))
    );
    assert_eq!(fold.task(Some(1), false).history.len(), 1);
    assert_eq!(fold.task(Some(0), false).artifacts, None);
}

#[test]
fn the_time_of_a_snapshot_is_that_of_the_last_move_and_not_of_progress() {
    let events = facts([(1, accepted()), (2, Fact::Began), (3, progress("x")), (4, Fact::Moved), (5, progress("y"))]);
    let times: Vec<_> =
        (1..=events.len()).map(|n| fold(&events[..n]).0.task(None, false).status.timestamp.unwrap().millis()).collect();
    assert_eq!(times, [1000, 1000, 1000, 4000, 4000]);
}

#[test]
fn while_something_is_asked_it_stays_in_sight() {
    let events = facts([
        (1, accepted()),
        (2, asked("k", "Left?")),
        (2, asked("l", "Right?")),
        (3, progress("meanwhile")),
        (4, artifact("a", "1", false)),
        (5, answered("l", "yes")),
        (6, answered("k", "no")),
    ]);
    let (_, told) = fold(&events);
    let expected = [
        "2.0 INPUT_REQUIRED Left?",
        "2.1 INPUT_REQUIRED Right?",
        "4.0 artifact a",
        "5.0 INPUT_REQUIRED Left?",
        "6.0 WORKING",
    ];
    assert_eq!(words(&told), expected);
}

#[test]
fn a_question_that_is_withdrawn_is_out_of_sight() {
    let withdrawn = |key: &str| Fact::Withdrawn { key: key.to_owned() };
    let events = facts([
        (1, accepted()),
        (2, asked("k1", "one?")),
        (2, asked("k2", "two?")),
        (3, withdrawn("k1")),
        (4, withdrawn("k2")),
        (4, progress("on")),
        (5, withdrawn("k2")),
        (6, asked("k3", "three?")),
        (7, answered("k3", "3")),
    ]);
    let (fold, told) = fold(&events);
    let expected = [
        "2.0 INPUT_REQUIRED one?",
        "2.1 INPUT_REQUIRED two?",
        "3.0 INPUT_REQUIRED two?",
        "4.0 WORKING",
        "4.1 WORKING on",
        "6.0 INPUT_REQUIRED three?",
        "7.0 WORKING",
    ];
    assert_eq!(words(&told), expected);
    assert_eq!(fold.state(), TaskState::Working);
}

#[test]
fn a_failed_attempt_takes_its_questions_back() {
    let events = facts([
        (1, accepted()),
        (2, asked("k", "Where?")),
        (3, Fact::AttemptFailed),
        (4, asked("k", "Where?")),
        (5, answered("k", "x")),
        (6, Fact::AttemptFailed),
    ]);
    let (fold, told) = fold(&events);
    assert_eq!(words(&told), ["2.0 INPUT_REQUIRED Where?", "3.0 WORKING", "4.0 INPUT_REQUIRED Where?", "5.0 WORKING"]);
    assert_eq!(fold.state(), TaskState::Working);
}

#[test]
fn every_end_is_told_as_what_it_is() {
    let end = |fact| fold(&facts([(1, accepted()), (2, fact)]));
    let failed = |code: Code| Fact::Ended(End::Failed { code, message: "why".to_owned() });
    for (fact, state, said) in [
        (failed(Code::new("NO_LUCK")), TaskState::Failed, "why"),
        (failed(Code::REJECTED), TaskState::Rejected, "why"),
        (Fact::Ended(End::Canceled { reason: "enough".to_owned() }), TaskState::Canceled, "enough"),
        (completed("\"words\""), TaskState::Completed, "words"),
        (completed(r#"{"message":"words"}"#), TaskState::Completed, "words"),
    ] {
        let task = end(fact).0.task(None, false);
        assert_eq!((task.status.state, task.status.message.unwrap().text().as_str()), (state, said));
    }
    for output in ["null", "{}", r#"{"artifacts":[]}"#] {
        assert_eq!(end(completed(output)).0.task(None, false).status.message, None, "{output}");
    }
    let odd = end(completed(r#"{"n":9007199254740993}"#)).0.task(None, false).status.message.unwrap();
    assert_eq!(serde_json::to_string(&odd.parts).unwrap(), r#"[{"data":{"n":9007199254740993}}]"#);
}

#[test]
fn an_input_that_is_no_message_is_what_is_said_in_one() {
    for (input, said) in [
        ("\"hi\"", json!({"text": "hi"})),
        ("{\"a\":1}", json!({"data": {"a": 1}})),
        ("null", json!({"data": null})),
        (r#"{"parts":[]}"#, json!({"data": {"parts": []}})),
    ] {
        let task = fold(&facts([(1, Fact::Accepted { input: json_of(input) })])).0.task(None, false);
        assert_eq!(serde_json::to_value(&task.history[0].parts).unwrap(), json!([said]), "{input}");
        assert_eq!(task.history[0].message_id, "t.1.0");
    }
}

#[test]
fn a_position_is_written_and_read() {
    let position = Position { seq: 12, sub: 3 };
    assert_eq!(position.to_string().parse(), Ok(position));
    for bad in ["", "1", "1.", ".1", "1.2.3", "a.b", "-1.2", "+1.2", "1.99999999999"] {
        assert_eq!(bad.parse::<Position>(), Err(()), "{bad}");
    }
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let key = prop::sample::select(vec!["k", "l", "m"]);
    prop_oneof![
        Just(Fact::Began),
        "[a-z]{0,3}".prop_map(|text| progress(&text)),
        ("[ab]", "[a-z]{1,2}", any::<bool>()).prop_map(|(id, text, append)| artifact(&id, &text, append)),
        key.clone().prop_map(|key| asked(key, "?")),
        key.clone().prop_map(|key| answered(key, "!")),
        key.prop_map(|key| Fact::Withdrawn { key: key.to_owned() }),
        Just(Fact::AttemptFailed),
        Just(Fact::Moved),
    ]
}

fn any_run() -> impl Strategy<Value = Vec<RunEvent>> {
    let end = prop_oneof![
        Just(completed(
            r#"{"artifacts":[{"artifactId":"a","parts":[{"text":"z"}]},{"parts":[{"text":"y"}]}],"message":{"parts":[{"text":"x"}]}}"#
        )),
        Just(Fact::Ended(End::Failed { code: Code::REJECTED, message: "no".to_owned() })),
    ];
    (prop::collection::vec((any::<bool>(), any_fact()), 0..24), prop::option::of(end)).prop_map(|(middle, end)| {
        let (mut seq, mut run) = (1, vec![(1, accepted())]);
        for (same, fact) in middle {
            seq += u64::from(!same || seq == 1);
            run.push((seq, fact));
        }
        run.extend(end.map(|end| (seq + 1, end)));
        facts(run)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whoever sees the task at some position and then every event after it knows what the fold knows.
    #[test]
    fn a_snapshot_and_the_events_after_it_make_the_task(events in any_run()) {
        let (whole, told) = fold(&events);
        let mut positions: Vec<_> = told.iter().map(|told| told.position).collect();
        prop_assert!(positions.is_sorted_by(|a, b| a < b), "positions increase: {positions:?}");
        positions.insert(0, Position { seq: 1, sub: 0 });
        for position in positions {
            let mut snapshot = TaskFold::new("t", "c").until(position);
            let mut seen = Vec::new();
            for event in &events {
                seen.extend(snapshot.apply(event));
            }
            prop_assert_eq!(snapshot.position(), position);
            let mut task = snapshot.task(None, true);
            for later in told.iter().filter(|told| told.position > position) {
                match &later.event {
                    StreamResponse::StatusUpdate(update) => task.status = update.status.clone(),
                    StreamResponse::ArtifactUpdate(update) => {
                        let artifacts = task.artifacts.as_mut().unwrap();
                        match artifacts.iter_mut().find(|known| known.artifact_id == update.artifact.artifact_id) {
                            Some(known) if update.append => known.parts.extend(update.artifact.parts.clone()),
                            Some(known) => *known = update.artifact.clone(),
                            None => artifacts.push(update.artifact.clone()),
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            let end = whole.task(None, true);
            prop_assert_eq!(task.status.state, end.status.state);
            prop_assert_eq!(task.status.message, end.status.message);
            prop_assert_eq!(task.artifacts, end.artifacts);
        }
    }

    /// Who only tells tells the same.
    #[test]
    fn a_lean_fold_tells_the_same(events in any_run()) {
        let mut lean = TaskFold::new("t", "c").lean();
        let told: Vec<_> = events.iter().flat_map(|event| lean.apply(event)).collect();
        let (whole, expected) = fold(&events);
        prop_assert_eq!(told, expected);
        prop_assert_eq!(lean.state(), whole.state());
        prop_assert_eq!(lean.task(None, true).history.len(), 0);
    }
}
