//! Spawned tasks, foreign futures, and what a component leaves behind.

use crate::driver::{asked, cancels, code, driver, message, ok, paths, reply, steps};
use bivouac::{
    prelude::*,
    protocol::frame::{Op, Status},
};
use std::{
    future::{pending, poll_fn},
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

async fn get(ctx: &Context, url: &str) -> Result<u32, Error> {
    ctx.http().get(url).send().await?.json()
}

#[bivouac::workflow]
async fn spawning(ctx: &Context, wait: bool) -> Result<u32, Error> {
    let task = ctx.spawn(|ctx| async move {
        let inner = ctx.spawn(|ctx| async move { ctx.step("inner", async { Ok(1) }).await });
        get(&ctx, "http://a/task").await.map(|value| value + 1)?;
        inner.await
    });
    if wait { task.await } else { Ok(7) }
}

#[test]
fn a_component_ends_after_its_tasks_whether_it_awaits_them_or_not() {
    for (wait, output) in [(true, "1"), (false, "7")] {
        let mut run = driver::<spawning>(wait);
        let out = run.turn([]);
        assert_eq!((out.status, paths(&out), steps(&out)), (Status::Running, vec!["1:1/2"], vec!["1:1/1:1/inner"]));
        assert_eq!(run.turn([("1:1/2", reply(0))]).output.unwrap().text(), output);
    }
}

#[bivouac::workflow]
async fn task_in_step(ctx: &Context, select: bool) -> Result<u32, Error> {
    let step = ctx.step("outer", async {
        let _beside = ctx.spawn(|ctx| async move { get(&ctx, "http://a/beside").await });
        Ok(3)
    });
    if !select {
        return step.await;
    }
    match ctx.select(step, get(ctx, "http://a/other")).await {
        Either::Left(value) | Either::Right(value) => value,
    }
}

#[test]
fn a_step_ends_after_the_tasks_of_its_body() {
    let mut run = driver::<task_in_step>(false);
    let out = run.turn([]);
    assert_eq!((paths(&out), steps(&out)), (vec!["outer/1:1/1"], vec![]));
    let out = run.turn([("outer/1:1/1", reply(0))]);
    assert_eq!((out.output.as_ref().unwrap().text(), steps(&out)), ("3", vec!["outer"]));
}

#[test]
fn a_dropped_step_drops_its_tasks_and_cancels_their_effects() {
    let mut run = driver::<task_in_step>(true);
    assert_eq!(paths(&run.turn([])), ["1:2/1", "1:1/outer/1:1/1"]);
    let out = run.turn([("1:2/1", reply(8))]);
    assert_eq!((out.output.as_ref().unwrap().text(), cancels(&out)), ("8", vec!["1:1/outer/1:1/1"]));
    assert_eq!(steps(&out), [""; 0]);
}

#[bivouac::workflow]
async fn foreign(ctx: &Context, place: String) -> Result<(), Error> {
    let stuck = || pending::<Result<(), Error>>();
    match place.as_str() {
        "body" => stuck().await,
        "step" => ctx.step("charge", stuck()).await,
        "branch" => ctx.join(stuck(), async { Ok::<_, Error>(()) }).await.0,
        "task" => ctx.spawn(|_| pending()).await,
        "deadlock" => {
            let (sender, receiver) = futures::channel::oneshot::channel::<()>();
            let waits = receiver.await;
            drop(sender);
            Ok(waits?)
        }
        _ => ctx.join(stuck(), async { get(ctx, "http://a/slow").await }).await.0,
    }
}

#[test]
fn a_foreign_future_stalls_the_run_and_the_error_says_where() {
    for (place, words) in [
        ("body", "the component's own body awaits"),
        ("step", "the step `charge` awaits"),
        ("branch", "the branch `1:1` awaits"),
        ("task", "the spawned task `1:1` awaits"),
        ("deadlock", "the component's own body awaits"),
    ] {
        let out = driver::<foreign>(place).turn([]);
        assert_eq!((out.status, code(&out)), (Status::Stalled, "FOREIGN_FUTURE"), "{place}");
        assert!(message(&out).contains(words), "{place}: {}", message(&out));
    }
    let mut beside_an_effect = driver::<foreign>("effect");
    assert_eq!(beside_an_effect.turn([]).status, Status::Running);
    assert!(message(&beside_an_effect.turn([("1:2/1", reply(0))])).contains("the branch `1:1` awaits"));
}

#[bivouac::workflow]
async fn wakes_itself(_ctx: &Context, times: u32) -> Result<u32, Error> {
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(Ok(times));
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[test]
fn waking_oneself_is_allowed_but_not_without_end() {
    assert_eq!(driver::<wakes_itself>(5_000).turn([]).status, Status::Completed);
    let out = driver::<wakes_itself>(u32::MAX).turn([]);
    assert_eq!((out.status, code(&out)), (Status::Failed, "CPU_LIMIT"));
    assert!(message(&out).contains("the component's own body woke itself"));
}

#[bivouac::workflow]
async fn writes(ctx: &Context, _: ()) -> Result<(), Error> {
    let memory = ctx.memory();
    memory.save("early", &1).detach()?;
    assert_eq!(memory.list("e").await?, ["early"]);
    memory.save("late", &2).detach()?;
    memory.delete("old").detach()?;
    drop(futures::poll!(std::pin::pin!(memory.save("never", &3))));
    Ok(())
}

#[test]
fn a_terminal_frame_carries_detached_writes_and_nothing_else() {
    let mut run = driver::<writes>(());
    assert_eq!(asked(&run.turn([])), ["1 memory.save", "2 memory.list"]);
    let out = run.turn([("1", ok(())), ("2", ok(["early"]))]);
    assert_eq!((out.status, asked(&out)), (Status::Completed, vec!["3 memory.save".into(), "4 memory.delete".into()]));
    assert!(matches!(&out.effects[0].op, Op::MemorySave { name, .. } if name == "late"));
    assert_eq!(cancels(&out), [""; 0]);
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Counted {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[bivouac::workflow]
async fn holds(ctx: &Context, _: ()) -> Result<(), Error> {
    let _root = Counted::new();
    let _task = ctx.spawn(|ctx| async move {
        let _task = Counted::new();
        ctx.sleep(Duration::from_secs(1)).await
    });
    let _step = ctx
        .step("step", async {
            let _step = Counted::new();
            ctx.sleep(Duration::from_secs(2)).await
        })
        .await;
    Ok(())
}

#[test]
fn an_attempt_that_is_over_or_given_up_leaves_nothing_behind() {
    let mut run = driver::<holds>(());
    run.turn([]);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 3);
    run.cancel(bivouac::protocol::frame::CancelMode::Now);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);

    let mut given_up = driver::<holds>(());
    given_up.turn([]);
    drop(given_up);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
}
