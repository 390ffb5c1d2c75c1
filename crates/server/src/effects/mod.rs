//! Effects: what a guest asks its host to do in the world.
//!
//! Nothing here decides when an effect may leave; it is called once that is allowed. Every refusal is an outcome that
//! the guest sees and the journal records.

pub mod address;
pub mod http;
pub mod memory;
