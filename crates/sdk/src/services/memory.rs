//! A memory service asked by a host: a component's effect in, its outcome out.

use crate::{context::AuthContext, error::Error, exec::core::unreadable, memory::MemoryService};
use bivouac_protocol::{Code, Json, frame::Op};

/// Performs an operation of memory; what the component gets for it. Writes bear the key.
pub(crate) async fn perform(
    memory: &dyn MemoryService,
    caller: &AuthContext,
    op: Op,
    key: &str,
) -> Result<Json, Error> {
    let json = |value: serde_json::Result<Json>| {
        value.map_err(|error| Error::refused(Code::STORAGE_FAILED, format!("a value in memory is no JSON: {error}")))
    };
    match op {
        Op::MemoryLoad { name } => json(Json::of(&memory.load_serialized(caller, &name).await?)),
        Op::MemoryList { prefix } => json(Json::of(&memory.list(caller, &prefix).await?)),
        Op::MemorySave { name, value } => {
            let value = value.parse().map_err(|error| unreadable("a value for memory", &error))?;
            memory.save_once(caller, &name, value, key).await?;
            Ok(Json::null())
        }
        Op::MemoryDelete { name } => {
            memory.delete_once(caller, &name, key).await?;
            Ok(Json::null())
        }
        other => Err(Error::refused(Code::INTERNAL, format!("`{}` is not memory's", other.name()))),
    }
}
