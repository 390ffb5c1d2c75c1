//! The test kit tells the truth about components.

use bivouac::{
    prelude::*,
    protocol::frame::{CancelMode, Status},
    testing::{Test, http, op},
};
use std::sync::atomic::{AtomicU32, Ordering};

#[bivouac::workflow(retries(max_attempts = 3, initial_interval_ms = 50))]
async fn trip(ctx: &Context, city: String) -> Result<String, Error> {
    let visits: u32 = ctx.memory().load("visits").await?.unwrap_or(0);
    let flight: String = ctx
        .step("flight", async {
            let reply = ctx.http().post("https://air.example/book").json(&city).send().await?;
            reply.error_for_status()?.json()
        })
        .await?;
    ctx.emit("booked", &flight)?;
    ctx.sleep(Duration::from_secs(86_400)).await?;
    let hotel = ctx.step("hotel", async {
        ctx.http()
            .post("https://inn.example/book")
            .json(&city)
            .send()
            .await?
            .error_for_status()?
            .text()
            .map(str::to_owned)
    });
    let hotel = ctx.timeout(Duration::from_secs(5), hotel).await??;
    ctx.memory().save("visits", &(visits + 1)).await?;
    Ok(format!("{flight} {hotel}"))
}

fn arranged() -> Test {
    Test::of::<trip>().input("Rome").on(http("POST", "https://air.example/book").reply(200, "F1")).on(http(
        "POST",
        "https://inn.example/book",
    )
    .text(200, "H1"))
}

#[test]
fn a_run_is_driven_to_its_end_in_virtual_time() {
    let report = arranged().memory("visits", &6).run();
    assert_eq!(report.output::<String>(), "F1 H1");
    assert_eq!(report.steps(), ["flight", "1:1/hotel"]);
    assert_eq!(report.step::<String>("flight").unwrap(), "F1");
    assert_eq!(report.lines(), ["POST https://air.example/book", "POST https://inn.example/book"]);
    assert_eq!(report.requests()[0].json::<String>(), "Rome");
    assert_eq!(report.emitted::<String>("booked"), ["F1"]);
    assert_eq!(report.memory::<u32>("visits"), Some(7));
    assert_eq!((report.attempts(), report.elapsed()), (1, Duration::from_secs(86_400)));
    assert_eq!(report.cancels(), ["4:2/1"], "the deadline was not needed");
}

#[test]
fn a_failed_attempt_is_followed_by_one_that_keeps_steps_timers_and_keys() {
    let report =
        Test::of::<trip>().input("Rome").on(http("POST", "/book").reply(200, "F1").status(503).text(200, "H1")).run();
    assert_eq!((report.output::<String>().as_str(), report.attempts()), ("F1 H1", 2));
    assert_eq!(report.elapsed(), Duration::from_millis(86_400_050), "the day passed once");
    let sent = report.requests();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[1].key, sent[2].key);
    assert!(report.step_result("1:1/hotel").unwrap().is_ok());
}

#[test]
fn an_attempt_can_be_made_to_fail_after_a_step() {
    let report = arranged().fail_attempt_after("flight").run();
    assert_eq!((report.output::<String>().as_str(), report.attempts()), ("F1 H1", 2));
    assert_eq!(report.lines().len(), 2, "the flight was booked once");
}

#[test]
fn a_slow_target_meets_the_deadline() {
    let slow = http("POST", "https://inn.example/book").after(Duration::from_secs(6)).text(200, "H1");
    let report = Test::of::<trip>().on(http("POST", "https://air.example/book").reply(200, "F1")).on(slow);
    let report = report.input("Rome").attempts(1).run();
    assert_eq!(report.error().code(), "TIMEOUT");
    assert_eq!(report.cancels(), ["1:1/hotel/1"]);
}

#[test]
fn a_run_can_be_cancelled_and_operations_be_refused() {
    let report = arranged().cancel_after("flight", CancelMode::Grace).run();
    assert_eq!((report.status(), report.error().code()), (Status::Cancelled, "CANCELLED"));
    let refused = arranged().on(op("memory.load").named("visits").fails(Error::terminal("MEMORY_NOT_GRANTED", "no")));
    assert_eq!(refused.run().error().code(), "MEMORY_NOT_GRANTED");
}

#[test]
fn all_that_is_due_can_come_in_one_turn() {
    assert_eq!(arranged().together().run().output::<String>(), "F1 H1");
}

#[test]
#[should_panic(expected = "asked for POST https://air.example/book, which no rule of the test fits; there are: GET /x")]
fn an_effect_without_a_rule_fails_the_test_and_names_both() {
    let _report = Test::of::<trip>().input("Rome").on(http("GET", "/x")).run();
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[bivouac::function]
async fn counts_calls(_ctx: &Context, _: ()) -> Result<u32, Error> {
    Ok(CALLS.fetch_add(1, Ordering::SeqCst))
}

#[test]
#[should_panic(expected = "the component is not replayable: turn 1 came out differently")]
fn a_component_that_is_not_replayable_fails_the_test() {
    let _report = Test::of::<counts_calls>().run();
}

#[bivouac::function]
async fn waits_for_ever(ctx: &Context, _: ()) -> Result<(), Error> {
    ctx.http().get("https://a.example").send().await.map(drop)
}

#[test]
fn a_run_that_waits_for_what_never_comes_is_reported_as_running() {
    let report = Test::of::<waits_for_ever>().on(http("GET", "https://a.example").never()).run();
    assert_eq!(report.status(), Status::Running);
}
