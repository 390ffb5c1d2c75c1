//! The command as its users meet it: the real binary, against servers of the test's own and against the real one.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod answers;
mod bin;
mod chat;
mod dev;
mod fake;
mod following;
mod help;
mod new;
mod projects;
mod server;
