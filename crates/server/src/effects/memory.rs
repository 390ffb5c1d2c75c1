//! Memory: a run sees what is committed and its own uncommitted writes, never another run's.
//!
//! That holds for the store's memory. A program that embeds the server may keep memory in a service of its own, see
//! [`HostMemory`]: then reads are performed at once and writes when their turn is on disk, each under its key.

use bivouac_engine::{MemoryScope, Shard};
use bivouac_protocol::{
    Code, ErrorInfo, Json, RunId,
    frame::{Auth, Op, Outcome},
};
use bivouac_store::{Reader, StoreError};
use bytes::Bytes;
use futures::FutureExt as _;
use std::{collections::BTreeSet, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

/// The most names that one `memory.list` gives.
pub const MAX_NAMES: usize = 1_000;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 512;
/// The largest value, in bytes.
pub const MAX_VALUE: usize = 256 << 10;

/// How long a program's own memory may take for one operation.
pub const HOST_MEMORY_TIMEOUT: Duration = Duration::from_secs(30);

/// Memory that a program keeps by itself, for its native code: reached on tokio, on the host side of the frame.
pub trait HostMemory: Send + Sync {
    /// Performs `memory.load`, `memory.list`, `memory.save` or `memory.delete` for a run's verified caller. A write that
    /// may have arrived is repeated with the same idempotency key.
    ///
    /// The outcome of a load is the value or `null`, of a list the names, of a write `null`.
    fn perform(&self, caller: Auth, op: Op, idempotency_key: String) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;
}

/// Performs an operation in a program's own memory; whatever becomes of it is an outcome.
pub(crate) async fn perform(memory: Arc<dyn HostMemory>, scope: MemoryScope, op: Op, key: String) -> Outcome {
    let name = op.name().to_owned();
    let MemoryScope { app, user, tenant, .. } = scope;
    let caller = Auth { app: app.to_string(), user: user.to_string(), tenant: tenant.to_string() };
    // What the program's code does in a panic is its own; the run only hears of it.
    let performed = AssertUnwindSafe(async move { memory.perform(caller, op, key).await }).catch_unwind();
    match tokio::time::timeout(HOST_MEMORY_TIMEOUT, performed).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Outcome::Err(ErrorInfo::retryable(
            Code::STORAGE_FAILED,
            format!("the program's memory service panicked in `{name}`: its standard error says where"),
        )),
        Err(_) => Outcome::Err(ErrorInfo::retryable(
            Code::TIMEOUT,
            format!("the program's memory service did not answer `{name}` within {} s", HOST_MEMORY_TIMEOUT.as_secs()),
        )),
    }
}

/// Who keeps the memory of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// It was granted none.
    Nobody,
    /// The server's store.
    Store,
    /// The program, see [`HostMemory`].
    Program,
}

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
