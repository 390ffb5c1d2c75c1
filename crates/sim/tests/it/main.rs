//! A thousand worlds, without bugs and with.
#![expect(clippy::print_stdout, reason = "what was found, and how often what happened, is worth reading")]

mod planted;
mod seeds;
