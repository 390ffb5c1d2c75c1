//! A thousand worlds, without bugs and with.

mod planted;
mod seeds;
