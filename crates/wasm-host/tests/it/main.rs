//! Hosts modules written by hand: what a good guest gets, and how each kind of bad one ends.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on has failed the test")]

mod cache;
mod guest;
mod hostile;
mod life;
