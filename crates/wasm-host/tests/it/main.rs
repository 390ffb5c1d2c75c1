//! Hosts modules written by hand: what a good guest gets, and how each kind of bad one ends.

mod cache;
mod guest;
mod hostile;
mod life;
