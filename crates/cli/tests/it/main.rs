//! The command as its users meet it: the real binary, against servers of the test's own and against the real one.

mod answers;
mod bin;
mod fake;
mod following;
mod help;
mod projects;
mod server;
