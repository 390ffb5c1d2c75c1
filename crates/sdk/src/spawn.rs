//! Tasks: work beside the component's own body.

use crate::{
    context::Context,
    error::Error,
    exec::{attempt::NewTask, core::Core, lock, scope::ScopeKind},
};
use bivouac_protocol::Code;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{self, Poll, Waker},
};

/// A spawned task; awaiting it gives its result. Dropping the handle does not stop the task.
#[must_use = "a task's errors are seen only by awaiting it"]
pub struct JoinHandle<T> {
    core: Arc<Core>,
    slot: Arc<Mutex<Slot<T>>>,
}

struct Slot<T> {
    result: Option<Result<T, Error>>,
    waker: Option<Waker>,
}

impl Context {
    /// Starts a task beside this one, in a scope of its own.
    ///
    /// A component ends after the tasks that it spawned, a step after those that its body spawned. A task whose step is
    /// dropped is dropped with it.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context) -> Result<(), Error> {
    /// let report = ctx.spawn(|ctx| async move { ctx.step("report", async { Ok(7) }).await });
    /// ctx.sleep(Duration::from_secs(1)).await?;
    /// assert_eq!(report.await?, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<T, F>(&self, task: impl FnOnce(Self) -> F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let body = task(self.clone());
        let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
        let ending = Ending(Arc::clone(&slot));
        let future = Box::pin(async move {
            let result = body.await;
            ending.end(result);
        });
        let mut state = self.core().state();
        let parent = Arc::clone(&state.current);
        let group = parent.pass_group();
        let scope = parent.branch(state.next_scope(), ScopeKind::Task, &group, 1);
        if let Some(owner) = &scope.owner {
            owner.task_started();
        }
        state.spawned.push(NewTask { future, scope });
        drop(state);
        JoinHandle { core: self.core_arc(), slot }
    }
}

/// Ends a task's handle, also when the task is dropped.
struct Ending<T>(Arc<Mutex<Slot<T>>>);

impl<T> Ending<T> {
    fn end(&self, result: Result<T, Error>) {
        let mut slot = lock(&self.0);
        slot.result = Some(result);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if lock(&self.0).result.is_none() {
            self.end(Err(Error::refused(Code::CANCELLED, "the task was dropped before it ended")));
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        if let Some(result) = slot.result.take() {
            return Poll::Ready(result);
        }
        slot.waker = Some(cx.waker().clone());
        drop(slot);
        self.core.pending()
    }
}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}
