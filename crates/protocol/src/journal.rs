//! How a host writes a run down. Versioned; what was written once is read for ever.
//!
//! A record is one version byte and the version's encoding. The types here are the journal's own: the engine's types
//! convert to and from them, so that a rule can change without the disk noticing.

pub mod v1;

use serde::{Deserialize, Serialize};

/// Bytes that are no record of this journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Nothing at all.
    #[error("the record is empty")]
    Empty,
    /// A version that this build does not know.
    #[error("the record has version {0}; this build reads up to version 1: it was written by a newer one")]
    Newer(u8),
    /// Not what its version says.
    #[error("the record cannot be read: {0}")]
    Malformed(String),
}

const V1: u8 = 1;
/// What most records fit into, in bytes: growing from nothing costs as much time as the encoding itself.
const USUAL_RECORD: usize = 1024;

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_RECORD);
    bytes.push(V1);
    append(record, bytes)
}

fn append<T: Serialize>(record: &T, bytes: Vec<u8>) -> Vec<u8> {
    postcard::to_extend(record, bytes).expect("records are plain data and memory does not refuse bytes")
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, JournalError> {
    take(bytes).map(|(record, _)| record)
}

/// Reads a record, and gives what follows it.
fn take<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), JournalError> {
    match bytes.split_first() {
        None => Err(JournalError::Empty),
        Some((&V1, rest)) => postcard::take_from_bytes(rest).map_err(malformed),
        Some((&version, _)) => Err(JournalError::Newer(version)),
    }
}

/// Reads what follows a record of the same version.
fn rest<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, JournalError> {
    postcard::from_bytes(bytes).map_err(malformed)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn malformed(error: postcard::Error) -> JournalError {
    JournalError::Malformed(error.to_string())
}
