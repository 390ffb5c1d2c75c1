//! Agents on hosts that are not the platform, and state that is not the platform's: a real key-value server.
#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod etcd;
mod host;
mod module;
mod served;
mod world;
