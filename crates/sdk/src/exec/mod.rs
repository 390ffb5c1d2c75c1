//! The executor: author's futures on one side, frames on the other.
//!
//! [`attempt::Attempt`] owns the tasks and drives one turn; [`core::Core`] is what every future of the SDK shares;
//! [`scope`] counts paths and keys; [`effect`] is the one future that leaves the guest. Nothing here does I/O, reads a
//! clock or starts a thread. No lock is held while author's code executes.

pub(crate) mod attempt;
pub(crate) mod core;
pub(crate) mod effect;
pub(crate) mod scope;

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A future of a component, on the heap.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The most polls of tasks in one turn: only a task that wakes itself without end needs more.
pub(crate) const MAX_POLLS_PER_TURN: u32 = 100_000;

/// Locks, also after a panic in author's code: what the lock guards is changed in whole steps only.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A duration in whole milliseconds, rounded up: a wait is never shorter than it was asked for.
pub(crate) fn millis(duration: Duration) -> u64 {
    let beside = u64::from(duration.subsec_nanos().div_ceil(1_000_000));
    duration.as_secs().saturating_mul(1_000).saturating_add(beside)
}
