//! A component that misbehaves on purpose, one way at a time: each must end in its own clear error.
//!
//! What only a module that was not built with the SDK can do - lying lengths, frames of another form - is the host's to
//! test with modules of its own.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    future::{pending, poll_fn},
    hint::black_box,
    task::Poll,
};

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// Panics in the first turn.
    Panic,
    /// Panics after an effect.
    LatePanic,
    /// Awaits what nobody drives.
    ForeignFuture,
    /// Starts two steps in one scope.
    ConcurrentScope,
    /// Wakes itself without end.
    EndlessWake,
    /// Never gives control back.
    EndlessLoop,
    /// Takes memory without end.
    MemoryBomb,
    /// Calls itself without end.
    DeepRecursion,
    /// Ends a step with 8 MiB.
    HugeStep,
    /// Ends with 32 MiB.
    HugeOutput,
    /// Sends a body of 32 MiB.
    HugeRequest,
    /// Opens ten thousand effects at once.
    ManyEffects,
    /// Logs ten thousand lines.
    ManyNotes,
    /// Emits an event of 16 MiB.
    HugeNote,
    /// Asks for a host that is not granted.
    UngrantedHost,
}

/// Misbehaves.
///
/// # Errors
/// What the host makes of it.
///
/// # Panics
/// Where it is asked to.
#[bivouac::function]
pub async fn misbehave(ctx: &Context, how: How) -> Result<String, Error> {
    match how {
        How::Panic => panic!("asked to panic"),
        How::LatePanic => {
            ctx.sleep(Duration::from_millis(1)).await?;
            panic!("asked to panic after a sleep")
        }
        How::ForeignFuture => ctx.step("stuck", pending()).await,
        How::ConcurrentScope => concurrent_scope(ctx).await,
        How::EndlessWake => {
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await
        }
        How::EndlessLoop => endless_loop(),
        How::MemoryBomb => memory_bomb(),
        How::DeepRecursion => Ok(deep_recursion(0).to_string()),
        How::HugeStep => ctx.step("huge", async { Ok("x".repeat(8 << 20)) }).await,
        How::HugeOutput => Ok("x".repeat(32 << 20)),
        How::HugeRequest => {
            let request = ctx.http().post("http://127.0.0.1:9/").text("x".repeat(32 << 20));
            Ok(request.send().await?.status().to_string())
        }
        How::ManyEffects => {
            let all = ctx.join_all((0..10_000).map(|ms| ctx.sleep(Duration::from_millis(ms)))).await;
            Ok(all.len().to_string())
        }
        How::ManyNotes => {
            (0..10_000).for_each(|line| ctx.info(format!("line {line}")));
            Ok("logged".into())
        }
        How::HugeNote => {
            ctx.emit("huge", &"x".repeat(16 << 20))?;
            Ok("emitted".into())
        }
        How::UngrantedHost => Ok(ctx.http().get("http://ungranted.invalid/").send().await?.status().to_string()),
    }
}

/// Polls two steps in turn without a combinator of the SDK.
async fn concurrent_scope(ctx: &Context) -> Result<String, Error> {
    let mut one = Box::pin(ctx.step("one", ctx.sleep(Duration::from_millis(1))));
    let mut two = Box::pin(ctx.step("two", ctx.sleep(Duration::from_millis(1))));
    poll_fn(|cx| {
        let first = one.as_mut().poll(cx);
        let second = two.as_mut().poll(cx);
        if first.is_ready() && second.is_ready() { Poll::Ready(Ok("both".into())) } else { Poll::Pending }
    })
    .await
}

fn endless_loop() -> ! {
    loop {
        black_box(());
    }
}

fn memory_bomb() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(vec![1_u8; 1 << 20]);
        black_box(&held);
    }
}

#[expect(unconditional_recursion, reason = "it is meant to overflow the stack")]
fn deep_recursion(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    deep_recursion(depth + 1) + frame[3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::{protocol::frame::Status, testing::Test};

    fn ends(how: How) -> (Status, String) {
        let report = Test::of::<misbehave>().input(&how).run();
        (report.status(), report.error().code().to_owned())
    }

    #[test]
    fn each_way_that_the_sdk_can_see_ends_in_its_own_error() {
        for (how, status, code) in [
            (How::Panic, Status::Failed, "GUEST_TRAPPED"),
            (How::LatePanic, Status::Failed, "GUEST_TRAPPED"),
            (How::ForeignFuture, Status::Stalled, "FOREIGN_FUTURE"),
            (How::ConcurrentScope, Status::Failed, "CONCURRENT_SCOPE"),
            (How::EndlessWake, Status::Failed, "CPU_LIMIT"),
            (How::HugeStep, Status::Failed, "STEP_TOO_LARGE"),
            (How::HugeOutput, Status::Failed, "OUTPUT_TOO_LARGE"),
            (How::ManyEffects, Status::Failed, "TOO_MANY_EFFECTS"),
            (How::ManyNotes, Status::Failed, "TOO_MANY_NOTES"),
        ] {
            assert_eq!(ends(how), (status, code.to_owned()), "{how:?}");
        }
    }
}
