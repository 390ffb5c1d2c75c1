//! A virtual world that tries to break the engine.
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
