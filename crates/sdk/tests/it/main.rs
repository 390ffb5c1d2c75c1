//! The SDK through its public API: components on one side, frames on the other.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod agents;
mod asks;
mod attempts;
mod cancel;
mod driver;
mod frames;
mod kit;
mod limits;
// What the compiler says depends on the crates that are built with it: it is tested with what authors build.
#[cfg(not(feature = "runtime"))]
mod macros;
mod scopes;
mod seeds;
#[cfg(feature = "standalone")]
mod standalone;
#[cfg(feature = "standalone")]
mod standalone_runs;
mod tasks;
mod tools;
