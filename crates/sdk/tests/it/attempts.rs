//! What later attempts inherit, and what is equal in all of them.

use crate::driver::{asked, code, driver, message, ok, reply, steps};
use bivouac::{
    Json,
    prelude::*,
    protocol::{
        Code, ErrorInfo,
        frame::{Op, Status},
    },
};
use serde::{Deserialize, Serialize};

#[bivouac::workflow]
async fn two_steps(ctx: &Context, _: ()) -> Result<u32, Error> {
    let first: u32 = ctx.step("first", async { ctx.http().get("http://a/1").send().await?.json() }).await?;
    let second: Result<u32, Error> =
        ctx.step("second", async { ctx.http().get("http://a/2").send().await?.error_for_status()?.json() }).await;
    match second {
        Ok(second) => Ok(first + second),
        Err(error) if error.code() == "HTTP_404" => Ok(first),
        Err(error) => Err(error),
    }
}

#[test]
fn a_remembered_step_gives_its_value_at_first_poll_without_its_body() {
    let mut run = driver::<two_steps>(()).remembering("first", Ok(Json::of(&40).unwrap()));
    let out = run.turn([]);
    assert_eq!((asked(&out), steps(&out)), (vec!["second/1 http".to_owned()], vec![]));
    assert_eq!(run.turn([("second/1", reply(2))]).output.unwrap().text(), "42");
}

#[test]
fn an_error_for_good_is_remembered_like_a_value() {
    let gone = ErrorInfo::terminal(Code::new("HTTP_404"), "gone");
    let mut run =
        driver::<two_steps>(()).remembering("first", Ok(Json::of(&40).unwrap())).remembering("second", Err(gone));
    assert_eq!(run.turn([]).output.unwrap().text(), "40");
}

#[test]
fn a_retryable_error_is_recorded_and_given_on() {
    let mut run = driver::<two_steps>(());
    run.turn([]);
    run.turn([("first/1", reply(1))]);
    let reply = serde_json::json!({
        "status": 503, "headers": [["retry-after", "7"]], "body": { "text": "busy" }
    });
    let out = run.turn([("second/1", ok(reply))]);
    let (key, recorded) = &out.steps[0];
    assert_eq!(key.as_str(), "second");
    assert_eq!(recorded.as_ref().unwrap_err(), out.error.as_ref().unwrap());
    let error = out.error.unwrap();
    assert_eq!((error.code.as_str(), error.retryable, error.retry_after_ms), ("HTTP_503", true, Some(7_000)));
}

#[test]
fn a_remembered_value_of_another_type_is_an_error_that_names_the_step() {
    let out = driver::<two_steps>(()).remembering("first", Ok(Json::of("forty").unwrap())).turn([]);
    assert_eq!(code(&out), "INVALID_INPUT");
    assert!(message(&out).contains("the recorded value of the step `first`"), "{}", message(&out));
}

#[derive(Default, Serialize, Deserialize)]
struct Partly {
    kept: u32,
    #[serde(skip)]
    skipped: u32,
}

#[bivouac::workflow]
async fn skips(ctx: &Context, _: ()) -> Result<u32, Error> {
    let value = ctx.step("value", async { Ok(Partly { kept: 1, skipped: 1 }) }).await?;
    Ok(value.kept + value.skipped)
}

#[test]
fn a_steps_value_is_what_its_json_says_in_the_first_attempt_too() {
    assert_eq!(driver::<skips>(()).turn([]).output.unwrap().text(), "1");
}

#[bivouac::workflow]
async fn naps(ctx: &Context, _: ()) -> Result<u64, Error> {
    ctx.sleep(Duration::from_secs(10)).await?;
    Ok(ctx.now_ms())
}

#[test]
fn a_timer_of_an_earlier_attempt_is_waited_for_until_it_was_due() {
    let mut first = driver::<naps>(());
    let key = first.turn([]).effects[0].key.clone();

    let mut early = driver::<naps>(()).with_timer(&key, 11_000).starting(|start| start.attempt = 2);
    early.now_ms = 4_000;
    let out = early.turn([]);
    assert_eq!(out.effects[0].key, key);
    assert_eq!(out.effects[0].op, Op::Sleep { ms: 10_000, until_ms: Some(11_000) });

    let mut late = driver::<naps>(()).with_timer(&key, 11_000).starting(|start| start.attempt = 2);
    late.now_ms = 11_000;
    let out = late.turn([]);
    assert_eq!((out.effects.len(), out.output.unwrap().text()), (0, "11000"));
}

#[bivouac::workflow]
async fn hurries(ctx: &Context, _: ()) -> Result<(), Error> {
    ctx.timeout(Duration::from_secs(1), ctx.http().get("http://a").send()).await??;
    Ok(())
}

#[test]
fn a_deadline_starts_anew_in_each_attempt() {
    let key = driver::<hurries>(()).turn([]).effects[1].key.clone();
    let mut again = driver::<hurries>(()).with_timer(&key, 0).starting(|start| start.attempt = 2);
    let out = again.turn([]);
    assert_eq!(asked(&out), ["1:1/1 http", "1:2/1 sleep"]);
    assert_eq!(out.effects[1].key.as_str(), format!("{}~2", key.as_str()));
}

#[bivouac::workflow]
async fn chances(ctx: &Context, _: ()) -> Result<Vec<String>, Error> {
    let mut drawn = vec![ctx.uuid()];
    drawn.push(ctx.step("in_step", async { Ok(ctx.uuid()) }).await?);
    let (a, b) = ctx.join(async { ctx.uuid() }, async { ctx.uuid() }).await;
    drawn.extend([a, b, ctx.random().number().to_string(), ctx.uuid()]);
    Ok(drawn)
}

#[test]
fn chance_is_equal_in_every_attempt_and_different_in_every_scope() {
    let drawn = |attempt: u32, generation: u32| {
        let mut run = driver::<chances>(()).starting(|start| {
            start.attempt = attempt;
            start.generation = generation;
        });
        run.turn([]).output.unwrap().parse::<Vec<String>>().unwrap()
    };
    let first = drawn(1, 0);
    assert_eq!(first, drawn(2, 0));
    assert!(first.iter().zip(&drawn(1, 1)).all(|(here, there)| here != there), "a new generation draws anew");
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), first.len());
    assert_eq!((first[0].len(), &first[0][14..15]), (36, "4"));
    assert!(matches!(&first[0][19..20], "8" | "9" | "a" | "b"));
}

#[test]
fn a_step_from_memory_does_not_shift_chance_behind_it() {
    let whole: Vec<String> = driver::<chances>(()).turn([]).output.unwrap().parse().unwrap();
    let mut run = driver::<chances>(()).remembering("in_step", Ok(Json::of(&whole[1]).unwrap()));
    assert_eq!(run.turn([]).output.unwrap().parse::<Vec<String>>().unwrap(), whole);
}

#[test]
fn without_a_seed_there_is_no_chance_and_the_error_says_so() {
    let out = driver::<chances>(()).starting(|start| start.seed = String::new()).turn([]);
    assert_eq!((out.status, code(&out)), (Status::Failed, "FRAME_INVALID"));
    assert!(message(&out).contains("no seed"));
}

#[bivouac::workflow]
async fn asks_around(ctx: &Context, _: ()) -> Result<(u32, bool, String, String, String), Error> {
    ctx.emit("seen", &ctx.auth().user_name)?;
    ctx.warn("careful");
    let sent = ctx.metadata().get("from").cloned().unwrap_or_default();
    Ok((ctx.attempt(), ctx.patched("new-way"), ctx.auth().app_name.clone(), sent, ctx.run_id().to_string()))
}

#[test]
fn a_component_sees_how_its_attempt_started() {
    let mut run = driver::<asks_around>(()).starting(|start| {
        start.attempt = 3;
        start.patches = vec!["new-way".into()];
        start.metadata.insert("from".into(), "test".into());
    });
    let out = run.turn([]);
    let id = bivouac::RunId::new(1, 2, 3);
    assert_eq!(out.output.unwrap().text(), format!(r#"[3,true,"app","test","{id}"]"#));
    let notes: Vec<_> = out.notes.iter().map(|note| note.to_json().text().to_owned()).collect();
    assert_eq!(
        notes,
        [r#"{"note":"emit","name":"seen","data":"ada"}"#, r#"{"note":"log","level":"warn","message":"careful"}"#]
    );
}
