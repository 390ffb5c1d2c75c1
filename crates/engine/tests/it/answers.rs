//! Questions: which answer is taken, that it counts once, and that it stays.

use crate::help::{
    Alone, NOW, Owner, answer, cancel, delivered, delivery, effect, question, retryable, run_id, timer, turn, twice,
};
use bivouac_engine::{
    Command, EffectKind, End, Event, Rejection, Resolution, Run, Status, Ticket,
    journal::{decode_state, encode_state},
    memo::Memo,
};
use bivouac_protocol::frame::CancelMode;
use proptest::prelude::*;

/// A run that asks these and waits for nothing else.
fn asking(names: &[(&str, Option<&str>)]) -> Alone {
    let mut alone = Alone::accepted(twice());
    let effects = names.iter().map(|(path, name)| question(path, *name)).collect();
    assert_eq!(alone.turn(turn(1, effects), None).unwrap().last(), Some(&Event::Parked));
    alone
}

fn refused(result: Result<Vec<Event>, Rejection>) -> Rejection {
    result.expect_err("a refusal")
}

fn open(run: &Run) -> Vec<String> {
    run.questions().map(|asked| asked.key.to_string()).collect()
}

#[test]
fn a_question_parks_its_run_for_as_long_as_it_takes() {
    let alone = asking(&[("1", None)]);
    assert_eq!(alone.0.status(), Some(Status::Waiting));
    assert_eq!(alone.0.owed(NOW.plus_ms(u64::MAX / 2)), []);
    assert!(alone.0.is_accounted_for(NOW));
    assert_eq!(open(&alone.0), ["0/1#1"]);
}

#[test]
fn an_answer_without_a_name_is_for_the_only_question() {
    let mut alone = asking(&[("1", Some("where"))]);
    let events = alone.take(&answer(None, "a1", "7"), NOW).unwrap();
    assert!(
        matches!(&events[..], [Event::Answered { key, .. }, Event::Woken] if key.as_str() == "0/1#1"),
        "{events:?}"
    );
    assert_eq!(open(&alone.0), [""; 0], "it waits for nobody any more");
}

#[test]
fn with_several_open_the_answer_says_which_by_name_or_key() {
    let both = [("1", Some("where")), ("2", Some("when"))];
    let Rejection::WhichQuestion(list) = refused(asking(&both).take(&answer(None, "a1", "7"), NOW)) else {
        panic!("two are open")
    };
    assert_eq!(list.iter().map(|asked| asked.name.as_deref()).collect::<Vec<_>>(), [Some("where"), Some("when")]);
    assert_eq!(list[0].question, "{\"text\":\"1?\"}");
    for named in ["when", "0/2#1"] {
        let mut alone = asking(&both);
        let events = alone.take(&answer(Some(named), "a1", "7"), NOW).unwrap();
        assert!(matches!(&events[0], Event::Answered { key, .. } if key.as_str() == "0/2#1"), "{named}");
        assert_eq!(open(&alone.0), ["0/1#1"], "{named}");
    }
    let mut alone = asking(&both);
    assert!(matches!(refused(alone.take(&answer(Some("who"), "a1", "7"), NOW)), Rejection::WhichQuestion(_)));
    let mut same_name = asking(&[("1", Some("where")), ("2", Some("where"))]);
    assert!(matches!(refused(same_name.take(&answer(Some("where"), "a1", "7"), NOW)), Rejection::WhichQuestion(_)));
}

#[test]
fn a_run_that_asks_nothing_takes_no_answer() {
    let mut fresh = Alone::accepted(None);
    assert_eq!(refused(fresh.take(&answer(None, "a1", "7"), NOW)), Rejection::NothingAsked);
    fresh.turn(turn(1, vec![timer("1", NOW.plus_ms(5))]), None).unwrap();
    assert_eq!(fresh.0.status(), Some(Status::Waiting), "it sleeps");
    assert_eq!(refused(fresh.take(&answer(None, "a1", "7"), NOW)), Rejection::NothingAsked);
    let mut ended = asking(&[("1", None)]);
    ended.take(&cancel(CancelMode::Now, 0), NOW).unwrap();
    assert_eq!(refused(ended.take(&answer(None, "a1", "7"), NOW)), Rejection::Finished);
}

/// Brings the run of one question to the point at which the answer `a1` of `7` was taken, and on to its end.
fn stages() -> Vec<(&'static str, Alone)> {
    let mut answered = asking(&[("1", Some("where"))]);
    answered.take(&answer(None, "a1", "7"), NOW).unwrap();
    let mut later = Alone(answered.0.clone());
    let mut taken = turn(2, vec![question("2", Some("when"))]);
    taken.delivered = vec![delivery("1", None)];
    later.turn(taken, None).unwrap();
    let mut failed = Alone(later.0.clone());
    failed.take(&answer(Some("when"), "a2", "8"), NOW).unwrap();
    let mut over = Alone(failed.0.clone());
    let mut last = turn(3, vec![]);
    last.delivered = vec![delivery("2", None)];
    over.turn(last, Some(End::Completed { output: "1".into() })).unwrap();
    let back = decode_state(run_id(), &encode_state(&later.0)).unwrap();
    vec![
        ("answered", answered),
        ("asks the next", later),
        ("read back from its row", Alone(back)),
        ("answered again", failed),
        ("ended", over),
    ]
}

#[test]
fn the_same_answer_again_is_confirmed_and_counts_once_wherever_the_run_is() {
    for (stage, mut alone) in stages() {
        let before = alone.0.clone();
        for question in [None, Some("where"), Some("0/1#1")] {
            assert_eq!(alone.take(&answer(question, "a1", "7"), NOW), Ok(vec![]), "{stage} {question:?}");
        }
        assert_eq!(alone.0, before, "{stage}");
    }
}

#[test]
fn another_answer_under_the_same_id_or_to_the_same_question_is_refused() {
    for (stage, mut alone) in stages() {
        let before = alone.0.clone();
        let other = [answer(None, "a1", "8"), answer(Some("when"), "a1", "7"), answer(Some("who"), "a1", "7")];
        for wish in other {
            assert_eq!(refused(alone.take(&wish, NOW)), Rejection::AlreadyAnswered, "{stage} {wish:?}");
        }
        let late = refused(alone.take(&answer(Some("where"), "a9", "7"), NOW));
        let expected = if stage == "ended" { Rejection::Finished } else { Rejection::AlreadyAnswered };
        assert_eq!(late, expected, "{stage}");
        assert_eq!(alone.0, before, "{stage}");
    }
    let mut unheard = asking(&[("1", None)]);
    unheard.take(&answer(None, "a1", "7"), NOW).unwrap();
    assert_eq!(refused(unheard.take(&answer(None, "a2", "7"), NOW)), Rejection::AlreadyAnswered);
}

#[test]
fn a_question_is_delivered_with_its_answer_and_not_before() {
    let mut alone = Alone::accepted(None);
    alone.turn(turn(1, vec![question("1", None), effect("2", EffectKind::Safe)]), None).unwrap();
    let mut early = turn(2, vec![]);
    early.delivered = vec![delivery("1", None)];
    assert_eq!(alone.turn(early.clone(), None), Err(Rejection::TooEarly("1".into())));
    assert_eq!(alone.take(&answer(None, "a1", "7"), NOW).unwrap().len(), 1, "it is live: nobody has to wake it");
    let mut as_signal = early.clone();
    as_signal.delivered = vec![delivery("1", Some(3))];
    assert_eq!(alone.turn(as_signal, None), Err(Rejection::TooEarly("1".into())));
    assert!(alone.turn(early, None).is_ok());
}

#[test]
fn a_shard_tells_the_slice_of_the_answer_and_who_answered_only_after_the_commit() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![question("1", None), effect("2", EffectKind::Safe)])).unwrap();
    assert!(owner.shard.batch().is_some(), "a question is for somebody outside: it asks for a commit");
    owner.commit();
    owner.handle(answer(None, "a1", "7")).unwrap();
    owner.shard.answer(run_id(), Ticket(1));
    let early = owner.shard.take_commands();
    assert_eq!(delivered(&early), ["1".into()], "a guest is pure: it may hear before the disk does");
    assert!(!early.contains(&Command::Answer(Ticket(1))));
    let seq = early.iter().find_map(|command| match command {
        Command::Deliver { resolution: Resolution::Answered { seq }, .. } => Some(*seq),
        _ => None,
    });
    let payload = owner.shard.uncommitted_payload(run_id(), seq.unwrap()).cloned();
    assert_eq!(payload.as_deref(), Some(&b"{\"answer\":7}"[..]));
    assert!(owner.commit().contains(&Command::Answer(Ticket(1))));
}

#[test]
fn a_parked_run_is_dispatched_when_its_answer_is_on_disk() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![question("1", None)])).unwrap();
    let parked = owner.run().clone();
    owner.commit();
    assert!(owner.shard.run(run_id()).is_none(), "it is not in memory");
    owner.shard.restore(parked, NOW);
    owner.handle(answer(None, "a1", "7")).unwrap();
    let dispatched = |commands: &[Command]| commands.iter().any(|c| matches!(c, Command::Dispatch { .. }));
    assert!(!dispatched(&owner.shard.take_commands()));
    let released = owner.commit();
    assert!(dispatched(&released));
    assert_eq!(delivered(&released), ["1".into()]);
}

#[test]
fn a_run_restored_only_to_be_refused_an_answer_does_not_stay_in_memory() {
    let mut owner = Owner::with_run(None);
    owner.turn(turn(1, vec![timer("1", NOW.plus_ms(50))])).unwrap();
    let parked = owner.run().clone();
    owner.commit();
    owner.shard.restore(parked, NOW);
    assert_eq!(owner.handle(answer(None, "a1", "7")), Err(Rejection::NothingAsked));
    assert!(owner.shard.run(run_id()).is_none());
}

#[test]
fn a_later_attempt_inherits_the_answer_and_would_get_it_again() {
    let mut alone = Alone::accepted(twice());
    let mut events = alone.turn(turn(1, vec![question("1", Some("where"))]), None).unwrap();
    events.extend(alone.take(&answer(None, "a1", "7"), NOW).unwrap());
    events.extend(alone.turn(turn(2, vec![]), Some(End::Failed { error: retryable() })).unwrap());
    let mut memo = Memo::default();
    events.iter().for_each(|event| memo.fold(event));
    assert_eq!(memo.answers.len(), 1);
    assert_eq!(memo.answers[&"0/1#1".into()], "{\"answer\":7}");
    assert_eq!(
        refused(alone.take(&answer(None, "a2", "8"), NOW)),
        Rejection::NothingAsked,
        "nothing is open meanwhile"
    );
    // A guest that asks all the same is told at once, and does not park.
    let later = NOW.plus_ms(100_000);
    alone.take(&bivouac_engine::Input::Tick, later).unwrap();
    let mut again = turn(3, vec![question("1", Some("where"))]);
    again.now = later;
    assert_eq!(alone.turn(again, None).unwrap().len(), 1);
    assert_eq!(open(&alone.0), [""; 0]);
}

#[test]
fn a_dropped_question_keeps_its_answer_and_gives_nothing_back() {
    let mut alone = Alone::accepted(None);
    alone.turn(turn(1, vec![question("1", None), effect("2", EffectKind::Safe)]), None).unwrap();
    alone.take(&answer(None, "a1", "7"), NOW).unwrap();
    let mut dropped = turn(2, vec![question("3", None)]);
    dropped.delivered = vec![delivery("2", None)];
    dropped.cancels = vec!["1".into()];
    alone.turn(dropped, None).unwrap();
    assert_eq!(open(&alone.0), ["0/3#1"], "the next question has no answer");
    assert_eq!(alone.take(&answer(None, "a1", "7"), NOW), Ok(vec![]), "and that one stays taken");
}

#[test]
fn no_question_is_asked_after_a_cancel_and_an_open_one_may_still_be_answered() {
    let mut alone = asking(&[("1", None)]);
    alone.take(&cancel(CancelMode::Grace, 500), NOW).unwrap();
    assert_eq!(alone.take(&answer(None, "a1", "7"), NOW).unwrap().len(), 1);
    let mut told = turn(2, vec![question("2", None)]);
    told.cancel = Some(CancelMode::Grace);
    assert_eq!(alone.turn(told, None), Err(Rejection::WaitAfterCancel("2".into())));
}

/// What may happen to a run that asks three things, of which two have one name.
fn wish() -> impl Strategy<Value = bivouac_engine::Input> {
    let named = prop::option::of(prop::sample::select(vec!["where", "when", "0/1#1", "0/2#1", "0/3#1", "who"]));
    (named, 0..4_u8, 0..3_u8).prop_map(|(named, id, text)| answer(named, &format!("a{id}"), &text.to_string()))
}

proptest! {
    #[test]
    fn whatever_comes_each_question_gets_one_answer_and_each_id_answers_once(wishes in prop::collection::vec(wish(), 1..40)) {
        let mut alone = asking(&[("1", Some("where")), ("2", Some("when")), ("3", Some("where"))]);
        let mut taken: Vec<(String, String)> = Vec::new();
        for wish in wishes {
            let before = alone.0.clone();
            match alone.take(&wish, NOW) {
                Ok(events) => for event in events {
                    if let Event::Answered { key, id, .. } = event {
                        prop_assert!(taken.iter().all(|(k, i)| *k != key.as_str() && **i != *id));
                        taken.push((key.to_string(), id.to_string()));
                        prop_assert_eq!(alone.take(&wish, NOW), Ok(vec![]), "the same again");
                    }
                },
                Err(_) => prop_assert_eq!(&alone.0, &before, "a refusal changes nothing"),
            }
            prop_assert_eq!(open(&alone.0).len() + taken.len(), 3);
            prop_assert_eq!(&decode_state(run_id(), &encode_state(&alone.0)).unwrap(), &alone.0);
        }
    }
}
