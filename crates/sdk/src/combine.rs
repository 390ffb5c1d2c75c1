//! Combinators: several things at once, each in a scope of its own.
//!
//! They poll their branches in order, and all of them each time, so that every replay does the same. A foreign
//! combinator over effects is refused with `CONCURRENT_SCOPE`, because it gives its branches no scopes.

use crate::{
    context::Context,
    error::Error,
    exec::{
        core::{Core, OpenGroup},
        effect::{EffectFuture, Kind},
        millis,
        scope::Scope,
    },
};
use bivouac_protocol::frame::Op;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Duration,
};

/// One of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one.
    Left(A),
    /// The second one.
    Right(B),
}

pin_project! {
    /// A branch: a future in its scope, or what it gave.
    struct Branch<F: Future> {
        #[pin]
        future: Option<F>,
        scope: Option<Arc<Scope>>,
        output: Option<F::Output>,
    }
}

impl<F: Future> Branch<F> {
    const fn new(future: F) -> Self {
        Self { future: Some(future), scope: None, output: None }
    }

    /// Polls the branch unless it has ended; whether it has.
    fn drive(self: Pin<&mut Self>, core: &Core, group: &OpenGroup, number: u32, cx: &mut task::Context<'_>) -> bool {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return true };
        let scope = this.scope.get_or_insert_with(|| group.branch(number));
        match core.poll_in(scope, future, cx) {
            Poll::Ready(output) => {
                this.future.set(None);
                *this.scope = None;
                *this.output = Some(output);
                true
            }
            Poll::Pending => false,
        }
    }

    fn drop_future(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }

    fn take(self: Pin<&mut Self>) -> Option<F::Output> {
        self.project().output.take()
    }
}

macro_rules! join {
    ($(#[$doc:meta])* $name:ident, $label:literal, $($branch:ident: $future:ident = $number:literal),+) => {
        pin_project! {
            $(#[$doc])*
            #[must_use = "futures do nothing unless awaited"]
            pub struct $name<$($future: Future),+> {
                core: Arc<Core>,
                group: Option<OpenGroup>,
                $(#[pin] $branch: Branch<$future>,)+
            }
        }

        impl<$($future: Future),+> Future for $name<$($future),+> {
            type Output = ($($future::Output,)+);

            fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
                let mut this = self.project();
                let Some(group) = open(this.core, this.group, $label) else { return this.core.pending() };
                let mut ended = true;
                $(ended &= this.$branch.as_mut().drive(this.core, group, $number, cx);)+
                if !ended {
                    return this.core.pending();
                }
                *this.group = None;
                Poll::Ready(($(match this.$branch.take() {
                    Some(output) => output,
                    None => return Poll::Pending,
                },)+))
            }
        }

        debug!($name<$($future: Future),+>);
    };
}

macro_rules! debug {
    ($name:ident<$($param:ident $(: $bound:path)?),+>) => {
        impl<$($param $(: $bound)?),+> std::fmt::Debug for $name<$($param),+> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use debug;

fn open<'a>(core: &Arc<Core>, group: &'a mut Option<OpenGroup>, name: &'static str) -> Option<&'a OpenGroup> {
    if group.is_none() {
        *group = core.open_group(name);
    }
    group.as_ref()
}

join!(
    /// See [`Context::join`].
    Join, "join", a: A = 1, b: B = 2
);
join!(
    /// See [`Context::join3`].
    Join3, "join", a: A = 1, b: B = 2, c: C = 3
);

/// See [`Context::join_all`].
#[must_use = "futures do nothing unless awaited"]
pub struct JoinAll<F: Future> {
    core: Arc<Core>,
    group: Option<OpenGroup>,
    branches: Vec<Branch<Pin<Box<F>>>>,
}

// Nothing is pinned in place: the futures are on the heap.
impl<F: Future> Unpin for JoinAll<F> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(group) = open(&this.core, &mut this.group, "join_all") else { return this.core.pending() };
        let mut ended = true;
        for (branch, number) in this.branches.iter_mut().zip(1..) {
            ended &= Pin::new(branch).drive(&this.core, group, number, cx);
        }
        if !ended {
            return this.core.pending();
        }
        this.group = None;
        Poll::Ready(std::mem::take(&mut this.branches).into_iter().filter_map(|branch| branch.output).collect())
    }
}

debug!(JoinAll<F: Future>);

pin_project! {
    /// See [`Context::select`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Select<A: Future, B: Future> {
        core: Arc<Core>,
        label: &'static str,
        group: Option<OpenGroup>,
        #[pin] a: Branch<A>,
        #[pin] b: Branch<B>,
    }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(group) = open(this.core, this.group, this.label) else { return this.core.pending() };
        let first = this.a.as_mut().drive(this.core, group, 1, cx);
        if !first && !this.b.as_mut().drive(this.core, group, 2, cx) {
            return this.core.pending();
        }
        this.a.as_mut().drop_future();
        this.b.as_mut().drop_future();
        *this.group = None;
        let winner = this.a.take().map(Either::Left).or_else(|| this.b.take().map(Either::Right));
        winner.map_or(Poll::Pending, Poll::Ready)
    }
}

debug!(Select<A: Future, B: Future>);

/// See [`Context::select_all`].
#[must_use = "futures do nothing unless awaited"]
pub struct SelectAll<F: Future> {
    core: Arc<Core>,
    group: Option<OpenGroup>,
    branches: Vec<Branch<Pin<Box<F>>>>,
}

// Nothing is pinned in place: the futures are on the heap.
impl<F: Future> Unpin for SelectAll<F> {}

impl<F: Future> Future for SelectAll<F> {
    type Output = (usize, F::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(group) = open(&this.core, &mut this.group, "select_all") else { return this.core.pending() };
        let mut winner = None;
        for ((index, branch), number) in this.branches.iter_mut().enumerate().zip(1..) {
            if Pin::new(&mut *branch).drive(&this.core, group, number, cx) {
                winner = branch.output.take().map(|output| (index, output));
                break;
            }
        }
        if winner.is_none() {
            return this.core.pending();
        }
        this.branches.clear();
        this.group = None;
        winner.map_or(Poll::Pending, Poll::Ready)
    }
}

debug!(SelectAll<F: Future>);

pin_project! {
    /// See [`Context::timeout`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F: Future> {
        after: Duration,
        #[pin] race: Select<F, EffectFuture>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.race.poll(cx)) {
            Either::Left(output) => Ok(output),
            Either::Right(timer) => Err(match timer.value() {
                Ok(_) => Error::retryable("TIMEOUT", format!("not done within {} ms", millis(*this.after))),
                Err(error) => error,
            }),
        })
    }
}

debug!(Timeout<F: Future>);

/// See [`Context::sleep`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep(EffectFuture);

impl Future for Sleep {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(crate::exec::core::nothing)
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// Several things at once.
impl Context {
    /// Does two things at once and gives what both gave.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context) -> Result<(), Error> {
    /// let (paid, told) = ctx
    ///     .join(ctx.step("charge", async { Ok(1) }), ctx.step("notify", async { Ok(true) }))
    ///     .await;
    /// assert!(paid? == 1 && told?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join<A: Future, B: Future>(&self, a: A, b: B) -> Join<A, B> {
        Join { core: self.core_arc(), group: None, a: Branch::new(a), b: Branch::new(b) }
    }

    /// Does three things at once and gives what all gave.
    pub fn join3<A: Future, B: Future, C: Future>(&self, a: A, b: B, c: C) -> Join3<A, B, C> {
        Join3 { core: self.core_arc(), group: None, a: Branch::new(a), b: Branch::new(b), c: Branch::new(c) }
    }

    /// Does any number of like things at once and gives what all gave, in their order.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context, urls: Vec<String>) -> Result<(), Error> {
    /// let replies = ctx.join_all(urls.iter().map(|url| ctx.http().get(url).send())).await;
    /// for reply in replies {
    ///     ctx.info(format!("status {}", reply?.status()));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_all<I>(&self, futures: I) -> JoinAll<I::Item>
    where
        I: IntoIterator,
        I::Item: Future,
    {
        JoinAll { core: self.core_arc(), group: None, branches: branches(futures) }
    }

    /// Does two things at once until one is done, the first one where both are; drops the other, whose effects are
    /// cancelled.
    pub fn select<A: Future, B: Future>(&self, a: A, b: B) -> Select<A, B> {
        self.race("select", a, b)
    }

    /// Does any number of like things at once until one is done, the first in order where several are; gives its
    /// number, from 0, and what it gave. Without any it waits for ever, which ends the run as stalled.
    pub fn select_all<I>(&self, futures: I) -> SelectAll<I::Item>
    where
        I: IntoIterator,
        I::Item: Future,
    {
        SelectAll { core: self.core_arc(), group: None, branches: branches(futures) }
    }

    /// Gives a thing a time within which it must be done, and drops it after that.
    ///
    /// The time counts within one attempt: a retry gets all of it again. Once the run is being cancelled in grace the
    /// deadline is lifted, so that clean-up is not cut off.
    ///
    /// The error has the code `TIMEOUT` and is retryable.
    pub fn timeout<F: Future>(&self, after: Duration, future: F) -> Timeout<F> {
        let timer = EffectFuture::new(self.core(), sleep_op(after), Kind::Deadline);
        Timeout { after, race: self.race("timeout", future, timer) }
    }

    fn race<A: Future, B: Future>(&self, label: &'static str, a: A, b: B) -> Select<A, B> {
        Select { core: self.core_arc(), label, group: None, a: Branch::new(a), b: Branch::new(b) }
    }

    /// Waits, durably: the time goes on while the run is not in memory, and an attempt that follows waits for the rest
    /// only.
    ///
    /// The error has the code `CANCELLED` when the run is being cancelled, so that `?` leads to the clean-up.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep(EffectFuture::new(self.core(), sleep_op(duration), Kind::Wait))
    }
}

fn branches<I>(futures: I) -> Vec<Branch<Pin<Box<I::Item>>>>
where
    I: IntoIterator,
    I::Item: Future,
{
    futures.into_iter().map(|future| Branch::new(Box::pin(future))).collect()
}

fn sleep_op(duration: Duration) -> Op {
    Op::Sleep { ms: millis(duration), until_ms: None }
}
