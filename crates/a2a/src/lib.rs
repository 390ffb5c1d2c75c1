//! A2A 1.0 as data: its types, its errors, both HTTP bindings, and how a run of an agent is told as a task.
//!
//! Everything here is pure: no socket, no clock, no store. The server feeds it from the journal, an agent that is
//! served without the platform feeds it from its own record, and both give the same conversation. It builds for
//! `wasm32-wasip1` and `wasm32-unknown-unknown`.
//!
//! Where to go next: [`types`] for what is said, [`task`] for how it comes about, [`error`] for what can go wrong,
//! `http` (feature `http`) for requests and answers, [`card`] for how an agent is found.

pub mod card;
pub mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod media;
pub mod object;
mod proto;
pub mod task;
pub mod timestamp;
pub mod types;

pub use error::{A2aError, ErrorKind};
pub use object::Object;
pub use timestamp::Timestamp;

/// The version of the protocol that this crate speaks, as cards and the header `A2A-Version` write it.
pub const PROTOCOL_VERSION: &str = "1.0";
