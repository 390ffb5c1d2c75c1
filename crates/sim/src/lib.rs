//! A virtual world that tries to break the engine.
//!
//! A world is one seed: machines that own a shard in turn or at once ([`owner`], the server's loop instruction by
//! instruction), executors with scripted guests ([`executor`], [`guest`], [`program`]), clients ([`clients`]), a disk
//! ([`store`]), a target of effects ([`outside`]), a clock, and weather ([`faults`]). Everything happens in one thread, in
//! an order that the seed's dice decide ([`dice`]); nothing reads a clock or iterates in random order, so that a seed is
//! the same world every time. First the weather is bad; then it clears, and whatever was accepted has to end ([`world`]).
//!
//! [`model`] watches. It folds the disk by itself and checks every commit, every effect that leaves, every answer, and
//! at the end every run against what its program may end with ([`mod@reference`]). It never tells the engine anything. So
//! that one can believe it, bugs can be planted ([`Planted`]), and each must be found.
//!
//! A seed that breaks a rule is told line by line: `SEED=n cargo run -p bivouac-sim --example sim`.
//!
//! # Examples
//! ```
//! let report = bivouac_sim::simulate(1, None);
//! assert_eq!(report.violation, None);
//! ```

#![warn(missing_docs)]

pub mod clients;
pub mod dice;
pub mod executor;
pub mod faults;
pub mod guest;
pub mod model;
pub mod outside;
pub mod owner;
pub mod program;
pub mod reference;
pub mod store;
pub mod world;

pub use faults::{Counts, Fault};
pub use model::{Check, Violation};
pub use world::Report;

use bivouac_engine::sabotage::{self, Defect};

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// In the engine.
    Engine(Defect),
    /// In the guest: keys are derived from the attempt.
    KeysShift,
}

/// Lets the world of a seed run to its end, with a bug or without.
#[must_use]
pub fn simulate(seed: u64, planted: Option<Planted>) -> Report {
    run(seed, planted, false)
}

/// Does the same, and tells what happens.
#[must_use]
pub fn trace(seed: u64, planted: Option<Planted>) -> Report {
    run(seed, planted, true)
}

fn run(seed: u64, planted: Option<Planted>, traced: bool) -> Report {
    let (defect, keys_shift) = match planted {
        None => (None, false),
        Some(Planted::Engine(defect)) => (Some(defect), false),
        Some(Planted::KeysShift) => (None, true),
    };
    sabotage::switch(defect);
    let report = world::run(seed, keys_shift, traced);
    sabotage::switch(None);
    report
}
