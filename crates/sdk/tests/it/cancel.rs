//! How a component learns that its run is to end.

use crate::driver::{asked, cancels, code, driver, message, ok, reply, steps};
use bivouac::{
    prelude::*,
    protocol::frame::{CancelMode, Status},
};

#[bivouac::workflow]
async fn booking(ctx: &Context, how: String) -> Result<String, Error> {
    let waited = ctx.sleep(Duration::from_secs(60)).await;
    let Err(error) = waited else { return Ok("booked".into()) };
    ctx.step("undo", async { ctx.http().post("http://a/undo").send().await.map(drop) }).await?;
    match how.as_str() {
        "ok" => Ok("undone".into()),
        "again" => ctx.sleep(Duration::from_secs(1)).await.map(|()| "slept".into()),
        "other" => Err(Error::new("undone with pain")),
        _ => Err(error),
    }
}

#[test]
fn grace_ends_open_and_new_waits_and_lets_all_else_go_on() {
    for (how, status, text) in [
        ("ok", Status::Completed, ""),
        ("err", Status::Cancelled, "does not wait any more"),
        ("again", Status::Cancelled, "does not wait any more"),
        ("other", Status::Cancelled, "its component ended with HANDLER_FAILED: undone with pain"),
    ] {
        let mut run = driver::<booking>(how);
        run.turn([]);
        let out = run.cancel(CancelMode::Grace);
        assert_eq!((out.status, asked(&out), cancels(&out)), (Status::Running, vec!["undo/1 http".into()], vec!["1"]));
        let out = run.turn([("undo/1", reply(()))]);
        assert_eq!((out.status, steps(&out)), (status, vec!["undo"]), "{how}");
        if status == Status::Cancelled {
            assert_eq!(code(&out), "CANCELLED");
        }
        assert!(message(&out).contains(text), "{how}: {}", message(&out));
    }
}

#[test]
fn an_outcome_that_comes_with_the_cancel_counts() {
    let mut run = driver::<booking>("ok");
    run.turn([]);
    let out = run.drive(|frame| bivouac::protocol::frame::InFrame {
        deliver: vec![("1".into(), ok(()))],
        cancel: Some(CancelMode::Grace),
        ..frame
    });
    assert_eq!((out.status, out.output.unwrap().text()), (Status::Completed, "\"booked\""));
}

#[bivouac::workflow]
async fn careful(ctx: &Context, _: ()) -> Result<(), Error> {
    ctx.timeout(Duration::from_secs(1), ctx.http().get("http://a/1").send()).await??;
    ctx.timeout(Duration::from_secs(1), ctx.http().get("http://a/2").send()).await??;
    Ok(())
}

#[test]
fn grace_lifts_deadlines_so_that_clean_up_is_not_cut_off() {
    let mut run = driver::<careful>(());
    assert_eq!(asked(&run.turn([])), ["1:1/1 http", "1:2/1 sleep"]);
    let out = run.cancel(CancelMode::Grace);
    assert_eq!((out.status, cancels(&out)), (Status::Running, vec!["1:2/1"]));
    assert_eq!(asked(&run.turn([("1:1/1", reply(()))])), ["2:1/1 http"]);
    assert_eq!(run.turn([("2:1/1", reply(()))]).status, Status::Completed);
}

#[test]
fn now_drops_everything_at_once() {
    let mut run = driver::<careful>(());
    run.turn([]);
    let out = run.cancel(CancelMode::Now);
    assert_eq!((out.status, code(&out), cancels(&out)), (Status::Cancelled, "CANCELLED", vec!["1:1/1", "1:2/1"]));
}
