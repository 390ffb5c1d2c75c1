//! What tests, the demo and the benchmarks share: a service that counts calls, processes that can be killed at a precise
//! point, the programs they are made of, and the image that a power cut would leave.
//!
//! Nothing here is part of Bivouac: no published crate depends on it, and it knows of the server only its command line
//! and its HTTP API. Every wait has a deadline and ends with an error that says what did happen instead.
//!
//! Where to go next: [`shop`] and [`travel`] for the services, [`process`] for programs, [`artifacts`] for where they come from,
//! [`powerloss`] for what survives, [`node`] and [`api`] for a server and what is asked of it, [`crash`] for the drill
//! that puts all of them together.

pub mod api;
pub mod artifacts;
pub mod clients;
pub mod crash;
pub mod node;
pub mod powerloss;
pub mod process;
pub mod shop;
pub mod travel;

pub use api::Api;
pub use node::Node;
pub use powerloss::PowerLoss;
pub use process::Process;
pub use shop::Shop;
pub use travel::Travel;
