//! The engine through its public face: rules as tables, folds as properties, the journal as golden files.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod answers;
mod cancel;
mod deliveries;
mod fold;
mod golden;
mod help;
mod limits;
mod output_commit;
mod retries;
mod turns;
mod writes;
