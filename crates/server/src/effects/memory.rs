//! Reads of memory: a run sees what is committed and its own uncommitted writes, never another run's.

use bivouac_engine::{MemoryScope, Shard};
use bivouac_protocol::{
    Code, ErrorInfo, Json, RunId,
    frame::{Op, Outcome},
};
use bivouac_store::{Reader, StoreError};
use bytes::Bytes;
use std::collections::BTreeSet;

/// The most names that one `memory.list` gives.
pub const MAX_NAMES: usize = 1_000;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 512;
/// The largest value, in bytes.
pub const MAX_VALUE: usize = 256 << 10;

/// Performs a read.
pub(crate) fn read(reader: &dyn Reader, shard: &Shard, run: RunId, scope: &MemoryScope, op: &Op) -> Outcome {
    let found = match op {
        Op::MemoryLoad { name } => load(reader, shard, run, scope, name),
        Op::MemoryList { prefix } => list(reader, shard, run, scope, prefix),
        other => return Outcome::Err(unsupported(other.name())),
    };
    found.map_or_else(
        |error| Outcome::Err(ErrorInfo::retryable(Code::STORAGE_FAILED, format!("memory cannot be read: {error}"))),
        Outcome::Ok,
    )
}

fn load(reader: &dyn Reader, shard: &Shard, run: RunId, scope: &MemoryScope, name: &str) -> Result<Json, StoreError> {
    let value: Option<Bytes> = match shard.uncommitted(run, scope, name) {
        Some(own) => own,
        None => reader.memory(scope, name)?,
    };
    match value {
        None => Ok(Json::null()),
        Some(bytes) => Json::parse_bytes(&bytes)
            .map_err(|error| StoreError::Corrupt(format!("the memory of `{name}` is no JSON: {error}"))),
    }
}

fn list(reader: &dyn Reader, shard: &Shard, run: RunId, scope: &MemoryScope, prefix: &str) -> Result<Json, StoreError> {
    let mut names: BTreeSet<String> = reader.memory_names(scope, prefix, MAX_NAMES)?.into_iter().collect();
    for (name, kept) in shard.uncommitted_names(run, scope, prefix) {
        if kept {
            names.insert(name.to_owned());
        } else {
            names.remove(name);
        }
    }
    let names: Vec<String> = names.into_iter().take(MAX_NAMES).collect();
    Ok(Json::of(&names).expect("names are text"))
}

/// The refusal of an operation that this server does not perform.
pub(crate) fn unsupported(op: &str) -> ErrorInfo {
    ErrorInfo::terminal(
        Code::OP_UNSUPPORTED,
        format!("this server does not perform the operation `{op}`: use a newer server, or do without it"),
    )
}
