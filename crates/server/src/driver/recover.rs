//! Reading runs back from disk.

use bivouac_engine::{Event, Run, Timestamp, journal};
use bivouac_protocol::RunId;
use bivouac_store::{Reader, StoreError};

/// How many rows one read takes.
pub(crate) const PAGE: usize = 1_000;

/// A run, folded from its last state and the events after it; `None` where it does not exist.
pub(crate) fn load(reader: &dyn Reader, id: RunId) -> Result<Option<Run>, StoreError> {
    let mut run = match reader.state(id)? {
        Some(bytes) => journal::decode_state(id, &bytes)
            .map_err(|error| StoreError::Corrupt(format!("the state of {id}: {error}")))?,
        None => Run::absent(id),
    };
    each_event(reader, id, run.next_seq() - 1, |event| run.apply(&event))?;
    Ok(run.status().is_some().then_some(run))
}

/// Hands every event after the one numbered `after` to `take`, in order.
pub(crate) fn each_event(
    reader: &dyn Reader,
    id: RunId,
    mut after: u64,
    mut take: impl FnMut(Event),
) -> Result<(), StoreError> {
    loop {
        let page = reader.events(id, after, PAGE)?;
        let full = page.len() == PAGE;
        for stored in page {
            if stored.seq != after + 1 {
                return Err(StoreError::Corrupt(format!("{id}: event {} is followed by event {}", after, stored.seq)));
            }
            after = stored.seq;
            take(stored.event);
        }
        if !full {
            return Ok(());
        }
    }
}

/// The shard's unfinished runs and when they need attention; those that wait for something to arrive need none.
pub(crate) fn unfinished(reader: &dyn Reader, shard: u16) -> Result<Vec<(RunId, Timestamp)>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = reader.unfinished(shard, after, PAGE)?;
        after = page.last().map(|last| last.id);
        let full = page.len() == PAGE;
        found.extend(page.into_iter().filter_map(|run| Some((run.id, run.wake?))));
        if !full {
            return Ok(found);
        }
    }
}
