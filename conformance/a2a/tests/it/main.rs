//! The official clients against every host, and what a conversation survives.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

mod checks;
mod clients;
mod equality;
mod kills;
mod rust_client;
mod streams;
mod support;
mod tenants;
