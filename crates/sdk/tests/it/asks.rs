//! Questions: asked, answered, asked again, inherited, cancelled.

use crate::driver::{asked, code, driver, message, ok, paths};
use bivouac::{
    prelude::*,
    protocol::frame::{CancelMode, InputType, Op, Question, Status},
    testing::{Test, op},
};
use serde_json::json;
use std::future::IntoFuture as _;

#[bivouac::workflow(retries(max_attempts = 2))]
async fn travel(ctx: &Context, (): ()) -> Result<(String, bool, String, Vec<String>), Error> {
    let city = ctx.ask("Where to?").named("city").await?;
    let sure = ctx.ask(format!("Really {city}?")).approval().await?;
    let class = ctx.ask("Which class?").select([("1", "First"), ("2", "Second")]).await?;
    let extras = ctx.ask("What else?").multiselect([("wifi", "Wi-Fi"), ("meal", "A meal")]).await?;
    Ok((city, sure, class, extras))
}

fn question(op: &Op) -> &Question {
    match op {
        Op::Ask(question) => question,
        other => panic!("asked for {other:?}"),
    }
}

#[test]
fn four_kinds_of_answer_come_as_messages_or_as_json() {
    let test = Test::of::<travel>().input(&());
    let report = test.answer("Lisbon").answer_json(&true).answer("second").answer("wifi, a meal").run();
    let expected = ("Lisbon".to_owned(), true, "2".to_owned(), vec!["wifi".to_owned(), "meal".to_owned()]);
    assert_eq!(report.output::<(String, bool, String, Vec<String>)>(), expected);
    let kinds: Vec<_> = report.questions().iter().map(|question| question.input_type).collect();
    assert_eq!(kinds, [InputType::Text, InputType::Approval, InputType::Select, InputType::Multiselect]);
    assert_eq!(report.questions()[0].name.as_deref(), Some("city"));
    assert_eq!(report.questions()[3].options[1].label, "A meal");
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_again_with_the_reason() {
    let report = Test::of::<travel>().input(&()).answer("Lisbon").answer("perhaps").answer("yes").run();
    assert_eq!(report.status(), Status::Running, "the third question is open");
    let texts: Vec<_> = report.questions().iter().map(|question| question.text.as_str()).collect();
    let again = "Please answer yes or no; `perhaps` is neither.\nReally Lisbon?";
    assert_eq!(texts, ["Where to?", "Really Lisbon?", again, "Which class?"]);
}

#[bivouac::function]
async fn stubborn(ctx: &Context, (): ()) -> Result<bool, Error> {
    ctx.ask("Yes?").approval().await
}

#[test]
fn a_question_is_not_asked_without_end() {
    let report = Test::of::<stubborn>().input(&()).on(op("ask").gives(&json!({ "answer": "hm" }))).run();
    assert_eq!(report.questions().len(), bivouac::MAX_ASKS as usize);
    assert_eq!((report.error().code(), report.error().is_retryable()), ("INVALID_INPUT", false));
    assert!(report.error().message().contains("`hm` is neither"), "{}", report.error());
}

#[bivouac::workflow(retries(max_attempts = 3))]
async fn forgetful(ctx: &Context, (): ()) -> Result<String, Error> {
    let name = ctx.ask("Your name?").await?;
    let again = ctx.ask("Your name?").await?;
    match ctx.attempt() {
        1 => Err(Error::new("the first attempt fails")),
        _ => Ok(format!("{name} {again}")),
    }
}

#[test]
fn a_later_attempt_has_the_answers_without_asking() {
    let report = Test::of::<forgetful>().input(&()).answer("Ada").answer("Lovelace").run();
    assert_eq!((report.output::<String>().as_str(), report.attempts()), ("Ada Lovelace", 2));
    assert_eq!(report.questions().len(), 2, "nothing was asked twice");
}

#[test]
fn a_question_is_open_under_one_path_and_its_answer_is_taken() {
    let mut driver = driver::<travel>(());
    let out = driver.turn([]);
    assert_eq!((out.status, asked(&out)), (Status::Running, vec!["1 ask".to_owned()]));
    assert_eq!(question(&out.effects[0].op).text, "Where to?");
    let out = driver.turn([("1", ok(json!({ "answer": "Rome" })))]);
    assert_eq!(paths(&out), ["2"]);
}

#[test]
fn a_cancelled_run_asks_no_more() {
    let mut driver = driver::<travel>(());
    driver.turn([]);
    let out = driver.cancel(CancelMode::Grace);
    assert_eq!((out.status, code(&out), asked(&out)), (Status::Cancelled, "CANCELLED", Vec::new()));
    assert_eq!(out.cancels.len(), 1);
}

#[bivouac::function]
async fn persistent(ctx: &Context, (): ()) -> Result<String, Error> {
    let first = ctx.ask("First?").await.unwrap_err();
    let second = ctx.ask("Second?").await.unwrap_err();
    Ok(format!("{} {}", first.code(), second.code()))
}

#[test]
fn a_question_that_begins_in_grace_fails_at_once() {
    let mut driver = driver::<persistent>(());
    driver.turn([]);
    let out = driver.cancel(CancelMode::Grace);
    assert_eq!(out.output.unwrap().text(), r#""CANCELLED CANCELLED""#);
    assert!(out.effects.is_empty());
}

#[bivouac::function]
async fn optionless(ctx: &Context, (): ()) -> Result<String, Error> {
    let none: [(&str, &str); 0] = [];
    ctx.ask("Which?").select(none).await
}

#[test]
fn a_question_that_cannot_be_asked_is_refused_before_it_leaves() {
    let mut driver = driver::<optionless>(());
    let out = driver.turn([]);
    assert_eq!((out.status, code(&out)), (Status::Failed, "INVALID_INPUT"));
    assert!(message(&out).contains("offers no option"), "{}", message(&out));
    assert!(out.effects.is_empty());
}

#[bivouac::function]
async fn shown(ctx: &Context, (): ()) -> Result<bool, Error> {
    let picture = Content::from_text("Look:").with(Part::url("image/png", "https://a.example/seat.png"));
    ctx.ask("This seat?").content(picture).approval().await
}

#[test]
fn a_question_may_show_more_than_text_also_when_it_is_asked_again() {
    let mut driver = driver::<shown>(());
    let out = driver.turn([]);
    let content = question(&out.effects[0].op).content.clone().unwrap();
    let parts = r#""parts":[{"text":"Look:"},{"url":"https://a.example/seat.png","mediaType":"image/png"}]"#;
    assert_eq!(content.text(), format!("{{{parts}}}"));
    let out = driver.turn([("1", ok(json!({ "answer": "hm" })))]);
    let again = question(&out.effects[0].op).content.clone().unwrap();
    assert!(again.text().contains("`hm` is neither"), "{again}");
}

#[bivouac::function]
async fn two_at_once(ctx: &Context, (): ()) -> Result<String, Error> {
    let (a, b) = ctx.join(ctx.ask("A?").named("a").into_future(), ctx.ask("B?").named("b").into_future()).await;
    Ok(a? + &b?)
}

#[test]
fn two_questions_may_be_open_and_are_answered_by_name() {
    let answer = |text: &str| json!({ "answer": text });
    let rules =
        |test: Test| test.on(op("ask").named("b").gives(&answer("B"))).on(op("ask").named("a").gives(&answer("A")));
    assert_eq!(rules(Test::of::<two_at_once>().input(&())).run().output::<String>(), "AB");
}
