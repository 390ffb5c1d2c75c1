//! The server: hosts deployments, drives their runs through the journal, performs their effects, answers HTTP.
//!
//! One thread per shard is the [`driver`]'s loop and the store's writer: it hands inputs to the pure engine, commits, and
//! only then lets anything out. Executor threads ([`dispatch`]) hold the guests of live slices; effects ([`effects`]) and
//! clients ([`http`]) live on tokio. The server holds no rule of runs: those are the engine's.
//!
//! To follow one run from the socket to the disk and back, start at [`http::runs`], then [`driver`], then
//! [`dispatch::slice`].

#![expect(missing_debug_implementations, reason = "nobody prints a server's parts, and some of them hold secrets")]

pub mod config;
pub mod deployments;
pub mod dispatch;
pub mod driver;
pub mod effects;
pub mod http;
pub mod metrics;
pub mod secrets;
mod start;

pub use config::Config;
pub use effects::memory::HostMemory;
pub use start::{Native, Server};
