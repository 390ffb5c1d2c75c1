//! What the conformance tests share: a server with an agent in it, and requests to it that hide nothing.
//!
//! The official clients (`js/`, `python/`, and the Rust crates among the development dependencies) show that others can
//! talk with us; what they do not show, such as event ids, statuses and another's key, is asked for here by hand, on both
//! transports. Nothing in this crate knows how the server works: it has its address, its routes and A2A 1.0.
//!
//! Where to go next: [`wire`] for HTTP, [`agent`] for A2A's operations over it, [`host`] for what is started,
//! [`scenario`] for what is said, [`talk`] for a whole conversation, [`normal`] for comparing conversations.

pub mod agent;
pub mod host;
pub mod normal;
pub mod scenario;
pub mod talk;
pub mod wire;

pub use agent::{Agent, Binding, Refusal};
pub use host::{Host, Served};

pub use scenario::Scenario;
