//! The limits that the SDK checks before its host has to.

use crate::driver::{code, driver, message, reply, steps};
use bivouac::{
    prelude::*,
    protocol::frame::{Limits, Status},
};

#[bivouac::workflow]
async fn big_step(ctx: &Context, bytes: usize) -> Result<String, Error> {
    let step = ctx.step("big", async { Ok("x".repeat(bytes)) }).await;
    Ok(step.err().map_or_else(String::new, |error| error.code().to_owned()))
}

#[test]
fn a_steps_value_beyond_its_limit_is_recorded_as_an_error_for_good() {
    let limits = Limits { step_bytes: 10, ..Limits::default() };
    let out = driver::<big_step>(8).starting(|start| start.limits = limits).turn([]);
    assert_eq!(out.output.unwrap().text(), r#""""#);
    let out = driver::<big_step>(9).starting(|start| start.limits = limits).turn([]);
    assert_eq!((steps(&out), out.output.as_ref().unwrap().text()), (vec!["big"], r#""STEP_TOO_LARGE""#));
    let error = out.steps[0].1.as_ref().unwrap_err();
    assert!(!error.retryable && error.message.contains("11 bytes of JSON, 10 are allowed"), "{}", error.message);
}

#[bivouac::workflow]
async fn big_output(_ctx: &Context, bytes: usize) -> Result<String, Error> {
    Ok("x".repeat(bytes))
}

#[test]
fn an_output_beyond_its_limit_fails_the_run() {
    let limits = Limits { output_bytes: 10, ..Limits::default() };
    assert_eq!(driver::<big_output>(8).starting(|start| start.limits = limits).turn([]).status, Status::Completed);
    let out = driver::<big_output>(9).starting(|start| start.limits = limits).turn([]);
    assert_eq!((out.status, code(&out), out.output.is_none()), (Status::Failed, "OUTPUT_TOO_LARGE", true));
}

#[bivouac::workflow]
async fn wide(ctx: &Context, (tasks, each): (u32, u32)) -> Result<(), Error> {
    let one = async |n: u32| {
        for m in 0..each {
            ctx.http().get(format!("http://a/{n}/{m}")).send().await?;
        }
        Ok::<_, Error>(())
    };
    ctx.join_all((0..tasks).map(one)).await;
    Ok(())
}

#[test]
fn more_effects_than_allowed_fail_the_attempt_in_a_turn_or_open() {
    let per_turn = Limits { effects_per_turn: 3, ..Limits::default() };
    let out = driver::<wide>((3, 1)).starting(|start| start.limits = per_turn).turn([]);
    assert_eq!((out.status, out.effects.len()), (Status::Running, 3));
    let out = driver::<wide>((4, 1)).starting(|start| start.limits = per_turn).turn([]);
    assert_eq!((out.status, code(&out), out.effects.len()), (Status::Failed, "TOO_MANY_EFFECTS", 0));
    assert!(message(&out).contains("the 3 effects that a run may ask for in one turn"), "{}", message(&out));

    let open = Limits { open_effects: 3, ..Limits::default() };
    let mut run = driver::<wide>((3, 2)).starting(|start| start.limits = open);
    run.turn([]);
    assert_eq!(run.turn([("1:1/1", reply(()))]).status, Status::Running);
    assert_eq!(code(&driver::<wide>((4, 1)).starting(|start| start.limits = open).turn([])), "TOO_MANY_EFFECTS");
}

#[bivouac::workflow]
async fn talkative(ctx: &Context, lines: u32) -> Result<(), Error> {
    for line in 0..lines {
        ctx.info(format!("line {line}"));
    }
    Ok(())
}

#[test]
fn more_notes_than_allowed_fail_the_attempt() {
    let limits = Limits { notes_per_turn: 2, ..Limits::default() };
    assert_eq!(driver::<talkative>(2).starting(|start| start.limits = limits).turn([]).status, Status::Completed);
    let out = driver::<talkative>(3).starting(|start| start.limits = limits).turn([]);
    assert_eq!((out.status, code(&out), out.notes.len()), (Status::Failed, "TOO_MANY_NOTES", 2));
}

#[bivouac::workflow]
async fn nameless(ctx: &Context, _: ()) -> Result<(), Error> {
    ctx.step("", async { Ok(()) }).await
}

#[test]
fn a_step_needs_a_name() {
    let out = driver::<nameless>(()).turn([]);
    assert_eq!((out.status, code(&out)), (Status::Failed, "INVALID_INPUT"));
}
