//! A workflow of six steps against a service over HTTP.
//!
//! `reserve`, then `charge` and `notify_warehouse` at once, `ship`, `invoice`, `confirm`: each is `POST
//! {service}/{step}` with the order as JSON, and its reply is kept, so an order that is interrupted goes on after the
//! last step that was done. When the service refuses to ship (409), or when the run is cancelled, what was done is
//! undone: `refund`, then `release`. The last order of each user is kept in memory.
//!
//! The module asks for `127.0.0.1:*` and `localhost:*`, so the service is one on the same machine.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// The name in memory of a user's last order.
const LAST_ORDER: &str = "last_order";

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Where the service is, such as `http://127.0.0.1:8080`.
    pub service: String,
    /// The shop's number of the order.
    pub order_id: String,
    /// What is ordered.
    pub items: Vec<Item>,
    /// How long to sleep between two steps, in milliseconds.
    #[serde(default)]
    pub pause_ms: u64,
    /// The step after which the first attempt fails, to show how the next one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_at: Option<String>,
    /// Whether requests carry the secret `ORDER_SERVICE_KEY`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub authorize: bool,
}

/// A line of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// What the customer is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The shop's number of the order.
    pub order_id: String,
    /// The same customer's order before this one.
    pub previous_order: Option<String>,
    /// What the service called each step's result, in the order of the steps.
    pub references: Vec<String>,
}

/// What a step sends.
#[derive(Serialize)]
struct Task<'a> {
    order_id: &'a str,
    items: &'a [Item],
}

/// What the service answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Done {
    reference: String,
}

/// Fulfils an order, or undoes what was done of it.
///
/// # Errors
/// `ORDER_UNDONE` where the service refuses to ship, after the compensation; the service's own errors.
#[bivouac::workflow(retries(max_attempts = 5, initial_interval_ms = 100, max_interval_ms = 2000))]
pub async fn order(ctx: &Context, order: Order) -> Result<Receipt, Error> {
    let previous_order = ctx.memory().load(LAST_ORDER).await?;
    let mut done = Vec::new();
    match fulfil(ctx, &order, &mut done).await {
        Ok(()) => {}
        Err(error) if matches!(error.code(), "HTTP_409" | "CANCELLED") => {
            ctx.warn(format!("order {} is undone: {error}", order.order_id));
            undo(ctx, &order, &done).await?;
            return Err(Error::terminal("ORDER_UNDONE", format!("the order was undone because {}", error.message())));
        }
        Err(error) => return Err(error),
    }
    ctx.memory().save(LAST_ORDER, &order.order_id).await?;
    let references = done.into_iter().map(|(_, done)| done.reference).collect();
    Ok(Receipt { order_id: order.order_id, previous_order, references })
}

type StepsDone = Vec<(&'static str, Done)>;

async fn fulfil(ctx: &Context, order: &Order, done: &mut StepsDone) -> Result<(), Error> {
    let reserved = call(ctx, order, "reserve").await?;
    finish(ctx, order, done, "reserve", reserved).await?;

    let (charged, notified) = ctx.join(call(ctx, order, "charge"), call(ctx, order, "notify_warehouse")).await;
    finish(ctx, order, done, "charge", charged?).await?;
    finish(ctx, order, done, "notify_warehouse", notified?).await?;

    for step in ["ship", "invoice", "confirm"] {
        let reply = call(ctx, order, step).await?;
        finish(ctx, order, done, step, reply).await?;
    }
    Ok(())
}

/// One step: tells the service, and keeps what it answers.
async fn call(ctx: &Context, order: &Order, step: &'static str) -> Result<Done, Error> {
    ctx.step(step, async {
        let task = Task { order_id: &order.order_id, items: &order.items };
        let mut request = ctx.http().post(format!("{}/{step}", order.service)).json(&task);
        if order.authorize {
            request = request.header("authorization", bearer(secret("ORDER_SERVICE_KEY")));
        }
        request.send().await?.error_for_status()?.json()
    })
    .await
}

/// Tells who watches, and pauses.
async fn finish(
    ctx: &Context,
    order: &Order,
    done: &mut StepsDone,
    step: &'static str,
    reply: Done,
) -> Result<(), Error> {
    done.push((step, reply));
    ctx.emit("step_done", step)?;
    if ctx.attempt() == 1 && order.fail_at.as_deref() == Some(step) {
        return Err(Error::new(format!("the order asks that its first attempt fails after `{step}`")));
    }
    if order.pause_ms > 0 {
        ctx.sleep(Duration::from_millis(order.pause_ms)).await?;
    }
    Ok(())
}

/// Takes back what was done, the last first.
async fn undo(ctx: &Context, order: &Order, done: &StepsDone) -> Result<(), Error> {
    for (step, remedy) in [("charge", "refund"), ("reserve", "release")] {
        if done.iter().any(|(name, _)| *name == step) {
            call(ctx, order, remedy).await?;
            ctx.emit("step_undone", step)?;
        }
    }
    Ok(())
}

/// What the module offers and asks for.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new().component::<order>().host("127.0.0.1:*").host("localhost:*").secret("ORDER_SERVICE_KEY").memory()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::{
        protocol::frame::{CancelMode, Status},
        testing::{Report, Test, http},
    };

    const STEPS: [&str; 6] = ["reserve", "1:1/charge", "1:2/notify_warehouse", "ship", "invoice", "confirm"];

    fn lamp() -> Order {
        Order {
            service: "http://127.0.0.1:9".into(),
            order_id: "o-1".into(),
            items: vec![Item { sku: "lamp".into(), quantity: 2 }],
            pause_ms: 0,
            fail_at: None,
            authorize: false,
        }
    }

    /// A service that does whatever is not scripted otherwise.
    fn service(test: Test) -> Test {
        ["reserve", "charge", "notify_warehouse", "ship", "invoice", "confirm", "refund", "release"]
            .into_iter()
            .fold(test, |test, step| test.on(answer(step)))
    }

    fn answer(step: &str) -> bivouac::testing::Rule {
        let done = Done { reference: format!("{step}-1") };
        http("POST", &format!("/{step}")).reply(200, &done)
    }

    fn called(report: &Report) -> Vec<String> {
        let path = |line: String| line.rsplit('/').next().unwrap_or_default().to_owned();
        report.lines().into_iter().map(path).collect()
    }

    #[test]
    fn an_order_is_six_steps_and_is_remembered() {
        let report = service(Test::of::<order>().input(&lamp())).memory(LAST_ORDER, "o-0").run();
        let receipt = report.output::<Receipt>();
        assert_eq!(receipt.previous_order.as_deref(), Some("o-0"));
        assert_eq!(receipt.references.len(), 6);
        assert_eq!(report.steps(), STEPS);
        assert_eq!(called(&report), ["reserve", "charge", "notify_warehouse", "ship", "invoice", "confirm"]);
        assert_eq!(report.memory::<String>(LAST_ORDER).as_deref(), Some("o-1"));
        assert_eq!(report.emitted::<String>("step_done").len(), 6);
    }

    #[test]
    fn a_refused_shipment_is_refunded_and_released() {
        let test = Test::of::<order>().input(&lamp()).on(http("POST", "/ship").status(409));
        let report = service(test).run();
        assert_eq!(report.error().code(), "ORDER_UNDONE");
        assert_eq!(called(&report)[3..], ["ship", "refund", "release"]);
        assert_eq!(report.attempts(), 1, "a refusal is for good");
        assert_eq!(report.memory::<String>(LAST_ORDER), None);
    }

    #[test]
    fn each_step_may_be_followed_by_a_failure_and_is_done_once() {
        for step in ["reserve", "charge", "notify_warehouse", "ship", "invoice", "confirm"] {
            let order_that_fails = Order { fail_at: Some(step.into()), ..lamp() };
            let report = service(Test::of::<order>().input(&order_that_fails)).run();
            assert_eq!((report.status(), report.attempts()), (Status::Completed, 2), "{step}");
            assert_eq!(report.steps(), STEPS, "{step}");
            assert_eq!(called(&report).len(), 6, "{step}");
        }
    }

    #[test]
    fn a_service_that_is_busy_is_asked_again_with_the_same_key() {
        let busy = answer_after_failure("invoice");
        let report = service(Test::of::<order>().input(&lamp()).on(busy)).run();
        assert_eq!((report.status(), report.attempts()), (Status::Completed, 2));
        let invoices: Vec<_> = report.requests().iter().filter(|sent| sent.line().ends_with("/invoice")).collect();
        assert_eq!(invoices.len(), 2);
        assert_eq!(invoices[0], invoices[1]);
    }

    fn answer_after_failure(step: &str) -> bivouac::testing::Rule {
        http("POST", &format!("/{step}")).status(503).reply(200, &Done { reference: format!("{step}-2") })
    }

    #[test]
    fn a_cancelled_order_is_undone() {
        let pausing = Order { pause_ms: 60_000, authorize: true, ..lamp() };
        let report = service(Test::of::<order>().input(&pausing)).cancel_after("ship", CancelMode::Grace).run();
        assert_eq!((report.status(), report.error().code()), (Status::Cancelled, "CANCELLED"));
        assert_eq!(called(&report)[3..], ["ship", "refund", "release"]);
    }
}
