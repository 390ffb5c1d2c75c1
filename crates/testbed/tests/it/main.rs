//! The testbed's promises: what it counts, kills and loses is what it says.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

mod answers;
mod crash;
mod powerloss;
mod process;
mod shop;
