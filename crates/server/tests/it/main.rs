//! The server through its own front door: a real process's worth of server per test, on a port of its own.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod a2a_cards;
mod a2a_errors;
mod a2a_isolation;
mod a2a_operations;
mod a2a_streams;
mod a2a_support;
mod aborts;
mod api_answers;
mod api_control;
mod api_events;
mod api_input;
mod api_runs;
mod api_support;
mod counts;
mod equality;
mod hostile;
mod local;
mod overload;
mod storage;
