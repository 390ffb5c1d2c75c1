//! Steps: named units of work whose result is kept across attempts.

use crate::{
    combine::debug,
    context::Context,
    error::Error,
    exec::core::{Core, OpenStep, StepStart, unreadable},
};
use bivouac_protocol::{Json, frame::StepResult};
use pin_project_lite::pin_project;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

pin_project! {
    /// See [`Context::step`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Step<T, F> {
        core: Arc<Core>,
        name: Box<str>,
        phase: Phase<T>,
        #[pin]
        body: F,
    }
}

enum Phase<T> {
    Unpolled,
    Body(OpenStep),
    /// The body has ended, tasks that it spawned have not.
    Tasks(OpenStep, Result<T, Error>),
    Ended,
}

impl Context {
    /// Does a named piece of work once: its result is recorded, and later attempts get it without doing the work again.
    ///
    /// The value is what its JSON says, in the attempt that did the work as in all others. A body that fails with a
    /// retryable error is executed again by the next attempt; an error that is not retryable is kept like a value.
    /// Tasks that the body spawns end before the step does. A name may be used several times in a scope: uses are
    /// counted (`charge`, `charge#2`).
    ///
    /// # Errors
    /// The body's error; `STEP_TOO_LARGE` where the value is larger than a step's may be; `INVALID_INPUT` where a value
    /// cannot be written as JSON or not be read back.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context) -> Result<(), Error> {
    /// let total: u64 = ctx
    ///     .step("price", async {
    ///         let reply = ctx.http().get("https://prices.example/total").send().await?;
    ///         reply.error_for_status()?.json()
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn step<T, F>(&self, name: impl Into<String>, body: F) -> Step<T, F>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, Error>>,
    {
        Step { core: self.core_arc(), name: name.into().into(), phase: Phase::Unpolled, body }
    }
}

impl<T, F> Future for Step<T, F>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T, Error>>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let core = &**this.core;
        let phase = std::mem::replace(this.phase, Phase::Ended);
        let open = match phase {
            Phase::Unpolled => match this.core.start_step(this.name) {
                StepStart::Known(result) => return Poll::Ready(read(this.name, result)),
                StepStart::Run(open) => open,
                StepStart::Never => return core.pending(),
            },
            Phase::Body(open) => open,
            Phase::Tasks(open, result) => return end_after_tasks(core, this.name, this.phase, open, result, cx),
            Phase::Ended => return core.pending(),
        };
        match core.poll_in(open.scope(), this.body, cx) {
            Poll::Ready(result) => end_after_tasks(core, this.name, this.phase, open, result, cx),
            Poll::Pending => {
                *this.phase = Phase::Body(open);
                Poll::Pending
            }
        }
    }
}

fn end_after_tasks<T: Serialize + DeserializeOwned>(
    core: &Core,
    name: &str,
    phase: &mut Phase<T>,
    open: OpenStep,
    result: Result<T, Error>,
    cx: &task::Context<'_>,
) -> Poll<Result<T, Error>> {
    if open.awaits_tasks(cx) {
        *phase = Phase::Tasks(open, result);
        return core.pending();
    }
    let result = match result.and_then(|value| rewrite(name, &value)) {
        Ok((json, value)) => open.end(Ok(json)).map(|()| value),
        Err(error) => open.end(Err(error.clone())).and(Err(error)),
    };
    Poll::Ready(result)
}

/// Writes a value and reads it back: the attempt that did the work gets what all others will.
fn rewrite<T: Serialize + DeserializeOwned>(name: &str, value: &T) -> Result<(Json, T), Error> {
    let json = Json::of(value).map_err(|error| {
        unreadable(format_args!("the value of the step `{name}` cannot be written as JSON"), &error)
    })?;
    let value = json.parse().map_err(|error| {
        unreadable(format_args!("the value of the step `{name}` cannot be read back from its JSON"), &error)
    })?;
    Ok((json, value))
}

fn read<T: DeserializeOwned>(name: &str, result: StepResult) -> Result<T, Error> {
    result.map_err(Error::from_info)?.parse().map_err(|error| {
        unreadable(format_args!("the recorded value of the step `{name}` is not what its type says now"), &error)
    })
}

debug!(Step<T, F>);
