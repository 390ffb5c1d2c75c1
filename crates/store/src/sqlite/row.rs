//! Between our types and columns: numbers, ids, statuses, and the contexts under which payloads are packed.

use crate::{
    StoreError,
    envelope::{self, EnvelopeError, MasterKey},
};
use bivouac_engine::{Aspect, Event, Status, Timestamp};
use bivouac_protocol::RunId;
use std::sync::Arc;

/// How many bits of an event's id number the entry within its shard.
const LSN_BITS: u32 = 48;
const LSN_MASK: u64 = (1 << LSN_BITS) - 1;

/// The key of a shard's entry; `None` where the shard is out of numbers.
pub(super) fn entry(shard: u16, lsn: u64) -> Option<i64> {
    (lsn <= LSN_MASK).then(|| ((u64::from(shard) << LSN_BITS) | lsn).cast_signed())
}

/// The entry's number within its shard.
pub(super) const fn lsn(entry: i64) -> u64 {
    entry.cast_unsigned() & LSN_MASK
}

/// An instant as a column; what is further away than a column can say is never.
pub(super) fn instant(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// A column as an instant; no writer of ours writes one before the epoch.
pub(super) fn timestamp(column: i64) -> Timestamp {
    Timestamp(u64::try_from(column).unwrap_or(0))
}

pub(super) const fn status_column(status: Status) -> i64 {
    match status {
        Status::Queued => 0,
        Status::Running => 1,
        Status::Waiting => 2,
        Status::BackingOff => 3,
        Status::Paused => 4,
        Status::Completed => 5,
        Status::Failed => 6,
        Status::Cancelled => 7,
    }
}

pub(super) fn status(column: i64) -> Option<Status> {
    Some(match column {
        0 => Status::Queued,
        1 => Status::Running,
        2 => Status::Waiting,
        3 => Status::BackingOff,
        4 => Status::Paused,
        5 => Status::Completed,
        6 => Status::Failed,
        7 => Status::Cancelled,
        _ => return None,
    })
}

pub(super) const fn aspect_column(aspect: Aspect) -> i64 {
    match aspect {
        Aspect::Plain => 0,
        Aspect::Asks => 1,
        Aspect::Rejected => 2,
    }
}

pub(super) fn aspect(column: i64) -> Option<Aspect> {
    Some(match column {
        0 => Aspect::Plain,
        1 => Aspect::Asks,
        2 => Aspect::Rejected,
        _ => return None,
    })
}

/// The event's kind as a column, for counting without reading payloads.
pub(super) const fn kind_column(event: &Event) -> i64 {
    match event {
        Event::Turn(_) => 0,
        Event::Accepted(_) => 1,
        Event::AttemptStarted { .. } => 2,
        Event::Parked => 3,
        Event::Woken => 4,
        Event::SliceLost { .. } => 5,
        Event::AttemptFailed { .. } => 6,
        Event::Paused { .. } => 7,
        Event::SignalReceived { .. } => 8,
        Event::CancelRequested { .. } => 9,
        Event::Ended(_) => 10,
        Event::Answered { .. } => 11,
    }
}

/// Packs and unpacks the payloads of one store.
#[derive(Clone, Debug)]
pub(super) struct Payloads(pub(super) Option<Arc<MasterKey>>);

impl Payloads {
    pub(super) fn pack(&self, place: &[u8], payload: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        envelope::pack(place, payload, self.0.as_deref())
    }

    pub(super) fn unpack(
        &self,
        place: &[u8],
        packed: &[u8],
        what: impl FnOnce() -> String,
    ) -> Result<Vec<u8>, StoreError> {
        envelope::unpack(place, packed, self.0.as_deref()).map_err(|source| match source {
            EnvelopeError::NoKey(_) | EnvelopeError::OtherKey { .. } | EnvelopeError::Newer => {
                StoreError::Sealed { what: what(), source }
            }
            _ => StoreError::Corrupt(format!("{}: {source}", what())),
        })
    }
}

/// The place of an event's payload: its run and number.
pub(super) fn event_place(run: RunId, seq: u64) -> [u8; 25] {
    let mut place = [b'e'; 25];
    place[1..17].copy_from_slice(&run.to_u128().to_be_bytes());
    place[17..].copy_from_slice(&seq.to_be_bytes());
    place
}

/// The place of a run's state.
pub(super) fn state_place(run: RunId) -> [u8; 17] {
    let mut place = [b's'; 17];
    place[1..].copy_from_slice(&run.to_u128().to_be_bytes());
    place
}

/// The place of a memory value: its scope's number and its name.
pub(super) fn memory_place(scope: i64, name: &str) -> Vec<u8> {
    [&b"m"[..], &scope.to_be_bytes(), name.as_bytes()].concat()
}
