//! Scopes, paths, keys, and what one scope may have open.

use crate::driver::{asked, cancels, code, driver, message, ok, paths, reply, steps};
use bivouac::{
    prelude::*,
    protocol::frame::{Op, Status},
};

async fn get(ctx: &Context, url: &str) -> Result<u32, Error> {
    ctx.http().get(url).send().await?.json()
}

#[bivouac::workflow]
async fn nested(ctx: &Context, before: u32) -> Result<u32, Error> {
    for n in 0..before {
        get(ctx, &format!("http://a/{n}")).await?;
    }
    let (a, b) = ctx
        .join(ctx.step("charge", async { get(ctx, "http://a/charge").await }), async {
            let (x, y) = ctx.join(get(ctx, "http://a/x"), ctx.sleep(Duration::from_millis(5))).await;
            y?;
            x
        })
        .await;
    Ok(a? + b?)
}

#[test]
fn paths_count_everything_and_keys_only_combinators_in_front() {
    let mut short = driver::<nested>(0);
    let direct = short.turn([]);
    assert_eq!(asked(&direct), ["1:1/charge/1 http", "1:2/1:1/1 http", "1:2/1:2/1 sleep"]);

    let mut long = driver::<nested>(2);
    assert_eq!(asked(&long.turn([])), ["1 http"]);
    assert_eq!(asked(&long.turn([("1", reply(0))])), ["2 http"]);
    let late = long.turn([("2", reply(0))]);
    assert_eq!(paths(&late), ["1:1/charge/1", "3:2/1:1/1", "3:2/1:2/1"]);

    let keys = |out: &bivouac::protocol::frame::OutFrame| {
        out.effects.iter().map(|effect| effect.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&direct), keys(&late), "retried effects before a combinator shift no key behind it");
    assert!(keys(&direct)[0].as_str().starts_with("0/1:1/charge/"));
    assert!(keys(&direct)[2].as_str().starts_with("0/1:2/1:2/"));
}

#[test]
fn a_join_ends_with_its_last_branch_and_a_step_is_recorded_by_its_key() {
    let mut run = driver::<nested>(0);
    run.turn([]);
    let first = run.turn([("1:1/charge/1", reply(40))]);
    assert_eq!((first.status, steps(&first)), (Status::Running, vec!["1:1/charge"]));
    assert_eq!(run.turn([("1:2/1:2/1", ok(()))]).status, Status::Running);
    let last = run.turn([("1:2/1:1/1", reply(2))]);
    assert_eq!(last.output.unwrap().text(), "42");
}

#[bivouac::workflow]
async fn repeats(ctx: &Context, _: ()) -> Result<u32, Error> {
    for _ in 0..2 {
        get(ctx, "http://a/same").await?;
    }
    ctx.http().post("http://a/named").key("pay/1").text("x").send().await?;
    ctx.step("twice", async { Ok(1) }).await?;
    ctx.step("twice", async { get(ctx, "http://a/in").await }).await
}

#[test]
fn equal_requests_and_namesakes_are_counted_and_an_authors_key_is_taken_escaped() {
    let mut run = driver::<repeats>(()).starting(|start| start.generation = 4);
    let key = |out: &bivouac::protocol::frame::OutFrame| out.effects[0].key.as_str().to_owned();
    let first = key(&run.turn([]));
    let second = key(&run.turn([("1", reply(0))]));
    assert!(first.starts_with("4/") && first.ends_with("#1"));
    assert_eq!(second, first.replace("#1", "#2"));
    assert_eq!(key(&run.turn([("2", reply(0))])), "4/pay%2F1");
    let steps_turn = run.turn([("3", reply(0))]);
    assert_eq!(steps(&steps_turn), ["twice"]);
    assert_eq!(paths(&steps_turn), ["twice#2/1"]);
    assert!(key(&steps_turn).starts_with("4/twice#2/"));
}

#[bivouac::workflow]
async fn foreign_join(ctx: &Context, what: String) -> Result<u32, Error> {
    let one = ctx.step("one", async { get(ctx, "http://a/1").await });
    match what.as_str() {
        "steps" => futures::join!(one, ctx.step("two", async { Ok(2) })).1,
        "effects" => futures::join!(get(ctx, "http://a/1"), get(ctx, "http://a/2")).1,
        "groups" => futures::join!(one, ctx.join_all([async { Ok::<_, Error>(2) }])).0,
        _ => ctx.step("outer", async { futures::join!(one, get(ctx, "http://a/2")).1 }).await,
    }
}

#[test]
fn a_second_opening_in_a_scope_fails_the_attempt_and_names_the_combinators() {
    for (what, words) in [
        ("steps", ["the step `two`", "the component's own body", "the step `one`"]),
        ("effects", ["a `http`", "the component's own body", "a `http`"]),
        ("groups", ["a `join_all`", "the component's own body", "the step `one`"]),
        ("nested", ["a `http`", "the step `outer`", "the step `outer/one`"]),
    ] {
        let out = driver::<foreign_join>(what).turn([]);
        assert_eq!((out.status, code(&out)), (Status::Failed, "CONCURRENT_SCOPE"), "{what}");
        assert!(!out.error.as_ref().unwrap().retryable);
        for word in words.into_iter().chain(["ctx.join", "ctx.join_all", "ctx.select"]) {
            assert!(message(&out).contains(word), "{what}: {}", message(&out));
        }
        assert_eq!(out.effects, [], "what was asked for in the failing turn is unsaid");
    }
}

#[bivouac::workflow]
async fn one_after_the_other(ctx: &Context, _: ()) -> Result<(), Error> {
    drop(futures::poll!(std::pin::pin!(get(ctx, "http://a/dropped"))));
    ctx.sleep(Duration::from_millis(1)).await
}

#[test]
fn a_dropped_effect_frees_its_scope_and_is_unsaid_in_its_own_turn() {
    let out = driver::<one_after_the_other>(()).turn([]);
    assert_eq!(asked(&out), ["2 sleep"]);
    assert_eq!(cancels(&out), [""; 0]);
}

#[bivouac::workflow]
async fn race(ctx: &Context, _: ()) -> Result<u32, Error> {
    match ctx.select(get(ctx, "http://a/1"), get(ctx, "http://a/2")).await {
        Either::Left(first) => Ok(first? + 10),
        Either::Right(second) => {
            ctx.sleep(Duration::from_millis(1)).await?;
            Ok(second? + 20)
        }
    }
}

#[test]
fn a_select_takes_the_first_in_order_and_cancels_the_other_delivered_or_not() {
    let mut both = driver::<race>(());
    assert_eq!(paths(&both.turn([])), ["1:1/1", "1:2/1"]);
    let out = both.turn([("1:2/1", reply(2)), ("1:1/1", reply(1))]);
    assert_eq!(out.output.as_ref().unwrap().text(), "11");
    assert_eq!(cancels(&out), ["1:2/1"], "delivered, but not taken");

    let mut one = driver::<race>(());
    one.turn([]);
    let out = one.turn([("1:2/1", reply(2))]);
    assert_eq!((cancels(&out), asked(&out)), (vec!["1:1/1"], vec!["2 sleep".to_owned()]));
    assert_eq!(one.turn([("1:1/1", reply(1)), ("2", ok(()))]).output.unwrap().text(), "22", "too late to matter");
}

#[bivouac::workflow]
async fn many(ctx: &Context, count: u32) -> Result<Vec<u32>, Error> {
    let urls: Vec<_> = (0..count).map(|n| format!("http://a/{n}")).collect();
    let all = ctx.join_all(urls.iter().map(|url| get(ctx, url))).await;
    let (winner, value) = ctx.select_all(urls.iter().map(|url| get(ctx, url))).await;
    let mut all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    all.extend([u32::try_from(winner)?, value?]);
    Ok(all)
}

#[test]
fn any_number_of_branches_keep_their_order() {
    let mut run = driver::<many>(3);
    assert_eq!(paths(&run.turn([])), ["1:1/1", "1:2/1", "1:3/1"]);
    let out = run.turn([("1:3/1", reply(3)), ("1:1/1", reply(1)), ("1:2/1", reply(2))]);
    assert_eq!(paths(&out), ["2:1/1", "2:2/1", "2:3/1"]);
    let out = run.turn([("2:2/1", reply(9))]);
    assert_eq!(out.output.as_ref().unwrap().text(), "[1,2,3,1,9]");
    assert_eq!(cancels(&out), ["2:1/1", "2:3/1"]);
}

#[bivouac::workflow]
async fn moved(ctx: &Context, _: ()) -> Result<u32, Error> {
    let mut slow = Box::pin(get(ctx, "http://a/slow"));
    if let Either::Left(done) = ctx.select(&mut slow, ctx.sleep(Duration::from_millis(1))).await {
        return done;
    }
    slow.await
}

#[test]
fn a_future_keeps_the_path_of_its_first_poll_where_ever_it_is_awaited() {
    let mut run = driver::<moved>(());
    run.turn([]);
    let out = run.turn([("1:2/1", ok(()))]);
    assert_eq!((out.status, cancels(&out)), (Status::Running, vec![]));
    assert_eq!(run.turn([("1:1/1", reply(5))]).output.unwrap().text(), "5");
}

#[bivouac::workflow]
async fn deadline(ctx: &Context, _: ()) -> Result<u32, Error> {
    ctx.timeout(Duration::from_micros(1_500), get(ctx, "http://a/slow")).await?
}

#[test]
fn a_timeout_cancels_what_is_too_slow_and_its_own_timer_when_not_needed() {
    let mut slow = driver::<deadline>(());
    let out = slow.turn([]);
    assert_eq!(asked(&out), ["1:1/1 http", "1:2/1 sleep"]);
    assert!(matches!(out.effects[1].op, Op::Sleep { ms: 2, until_ms: None }), "rounded up");
    let out = slow.turn([("1:2/1", ok(()))]);
    assert_eq!((code(&out), cancels(&out)), ("TIMEOUT", vec!["1:1/1"]));

    let mut quick = driver::<deadline>(());
    quick.turn([]);
    let out = quick.turn([("1:1/1", reply(1))]);
    assert_eq!((out.status, cancels(&out)), (Status::Completed, vec!["1:2/1"]));
}
