//! The crate through its public names: what each operation looks like on both bindings, what ProtoJSON allows, what
//! becomes of rubbish, and how a run is told as a task.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod bindings;
mod cards;
mod folds;
#[path = "../../examples/fuzz_parser.rs"]
#[expect(dead_code, reason = "its main function is the example's")]
mod fuzz_parser;
mod fuzzed;
mod proto_json;
mod refused;
