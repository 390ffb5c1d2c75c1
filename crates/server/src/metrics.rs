//! Counters of the running server, shown at `/metrics` and asserted by tests: counts are no timings.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident)*) => {
        /// The server's counters. Each only grows, unless it says otherwise.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $doc])* pub $name: AtomicU64,)*
        }

        impl Metrics {
            /// Every counter with its help text and its value.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),*).trim_ascii(), self.$name.load(Relaxed))),*]
            }
        }
    };
}

counters! {
    /// Runs accepted.
    runs_accepted
    /// Runs completed.
    runs_completed
    /// Runs failed.
    runs_failed
    /// Runs cancelled.
    runs_cancelled
    /// Starts refused because the queue was full.
    runs_refused
    /// Commits of the shard loop, each one sync.
    commits
    /// Commits that did not succeed.
    commits_failed
    /// Events written.
    events_written
    /// Turns driven, replayed ones not counted.
    turns
    /// Turns replayed.
    turns_replayed
    /// Slices started.
    slices_started
    /// Guests instantiated.
    instances
    /// Effects performed.
    effects_performed
    /// Effects performed over HTTP.
    http_requests
    /// Effects refused by grants or limits.
    effects_refused
    /// Requests answered by the API.
    api_requests
    /// Slices out (now).
    slices_live
    /// Runs in the queue (now).
    queue_length
    /// Runs waiting for an instant (now).
    runs_waiting
}

impl Metrics {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Adds many.
    pub fn add(counter: &AtomicU64, many: u64) {
        counter.fetch_add(many, Relaxed);
    }

    /// Sets what goes up and down.
    pub fn set(gauge: &AtomicU64, value: usize) {
        gauge.store(value as u64, Relaxed);
    }
}
