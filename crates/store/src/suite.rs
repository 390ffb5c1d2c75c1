//! One suite for all stores: the same cases, run on each, with the same faults.
//!
//! A store passes by a [`Subject`] and one line, [`conformance!`](crate::conformance); [`cases`] holds what is asked.
//! [`FaultyStore`] wraps a store and fails on demand, for whoever tests a shard loop; [`sample`] builds batches.
//!
//! A failed case panics, as a test does: this module is for tests and compiled only with the feature `suite`.

pub mod cases;
mod faulty;
pub mod sample;

pub use faulty::{Fault, Faults, FaultyStore};

use crate::Store;

/// A store under test.
pub trait Subject {
    /// The store.
    fn store(&mut self) -> &mut dyn Store;

    /// Closes the store and opens it again on the same content; a store without a disk gives a new handle.
    fn reopen(&mut self);
}

/// Runs all cases on a store, each as a test of its own; the expression makes a new [`suite::Subject`](Subject).
///
/// # Examples
/// ```
/// use bivouac_store::{Store, memory::MemoryStore, suite::Subject};
/// struct InMemory(MemoryStore);
/// impl Subject for InMemory {
///     fn store(&mut self) -> &mut dyn Store {
///         &mut self.0
///     }
///     fn reopen(&mut self) {
///         self.0 = self.0.clone();
///     }
/// }
/// bivouac_store::conformance!(InMemory(MemoryStore::default()));
/// ```
#[macro_export]
macro_rules! conformance {
    ($subject:expr) => {
        $crate::conformance! { $subject;
            events_are_read_back_exactly
            events_are_numbered_without_a_gap
            a_refused_batch_leaves_nothing_behind
            a_run_is_accepted_once
            a_commit_needs_the_epoch_and_the_entry_on_disk
            of_two_owners_only_the_later_commits
            an_idempotency_key_is_unique_within_its_environment
            memory_becomes_visible_with_its_commit_only
            a_memory_belongs_to_its_whole_scope
            heads_follow_the_last_change
            tasks_are_listed_for_their_owner
            a_state_stays_until_the_next_one
            unfinished_runs_are_paged_in_order
            lists_are_filtered_and_paged
            a_long_run_is_paged_whole
            entries_are_numbered_through_the_batches
            shards_do_not_touch_each_other
            deployments_are_immutable_and_routes_are_not
            secrets_and_keys_follow_their_last_change
            a_reader_outlives_many_commits
            everything_is_there_after_reopening
            an_unknown_outcome_is_settled_by_the_last_entry
            a_refused_commit_can_be_made_again
        }
    };
    ($subject:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::suite::cases::$case(&mut $subject);
            }
        )*
    };
}
