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
    #[serde(default, skip_serializing_if = "is_zero")]
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the module offers and asks for.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new().component::<order>().host("127.0.0.1:*").host("localhost:*").secret("ORDER_SERVICE_KEY").memory()
}
