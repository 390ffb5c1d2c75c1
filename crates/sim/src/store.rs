//! The disk: what every commit left, in the simplest form, and each commit whole or not at all.
//!
//! Events and states lie here as bytes of the journal's codec, so that every recovery goes through it. The disk outlives
//! every machine. It fences by epoch and entry number, and knows no rule of the engine.

use bivouac_engine::{
    Batch, Event, MemoryScope, Run, Status, Timestamp,
    journal::{decode, decode_state, encode},
};
use bivouac_protocol::{RunId, key::Digest};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What is on disk.
#[derive(Debug, Default)]
pub struct Disk {
    /// The shard's current owner.
    pub epoch: u64,
    /// The number of the last entry.
    pub lsn: u64,
    /// The runs.
    pub runs: BTreeMap<RunId, Row>,
    /// Which run was started under which idempotency key, and the digest of what came under it.
    pub starts: BTreeMap<Box<str>, (RunId, Digest)>,
    /// What everybody sees in memory.
    pub memory: BTreeMap<(MemoryScope, Box<str>), Bytes>,
}

/// One run on disk.
#[derive(Debug)]
pub struct Row {
    events: Vec<Vec<u8>>,
    state: Option<Vec<u8>>,
    /// What a person is told.
    pub status: Status,
    /// When the run needs attention.
    pub wake: Option<Timestamp>,
}

/// Why a commit did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced;

impl Disk {
    /// A new owner: its epoch is higher than all before.
    pub fn open(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// [`Fenced`] where the disk is not as the batch's owner left it; nothing is written.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), Fenced> {
        if (batch.epoch, batch.lsn) != (self.epoch, self.lsn) {
            return Err(Fenced);
        }
        self.lsn = batch.last_lsn();
        for transition in &batch.transitions {
            let row = self.runs.entry(transition.run).or_insert_with(|| Row {
                events: Vec::new(),
                state: None,
                status: Status::Queued,
                wake: Some(Timestamp(0)),
            });
            for recorded in &transition.events {
                row.events.push(encode(&recorded.event));
                if let Event::Accepted(accepted) = &recorded.event
                    && let Some((key, digest)) = &accepted.idempotency
                {
                    self.starts.insert(key.clone(), (transition.run, *digest));
                }
            }
            if let Some(head) = &transition.head {
                row.status = head.status;
                row.wake = head.wake;
                row.state = head.state.clone().or_else(|| row.state.take());
            }
            for write in &transition.writes {
                let name = (write.scope.clone(), write.name.clone());
                match &write.value {
                    Some(value) => self.memory.insert(name, value.clone()),
                    None => self.memory.remove(&name),
                };
            }
        }
        Ok(())
    }

    /// A run's events, oldest first.
    ///
    /// # Errors
    /// What the codec says of bytes that it did not write.
    pub fn events(&self, run: RunId) -> Result<Vec<Event>, String> {
        let Some(row) = self.runs.get(&run) else { return Ok(Vec::new()) };
        row.events.iter().map(|bytes| decode(bytes).map_err(|error| error.to_string())).collect()
    }

    /// A run as recovery reads it: its last state and the events after it.
    ///
    /// # Errors
    /// Where the state and the events do not agree with the events alone, or cannot be read.
    pub fn load(&self, id: RunId) -> Result<Option<Run>, String> {
        let Some(row) = self.runs.get(&id) else { return Ok(None) };
        let events = self.events(id)?;
        let mut whole = Run::absent(id);
        events.iter().for_each(|event| whole.apply(event));
        if let Some(bytes) = &row.state {
            let mut run = decode_state(id, bytes).map_err(|error| error.to_string())?;
            let from = usize::try_from(run.next_seq() - 1).map_err(|error| error.to_string())?;
            events.iter().skip(from).for_each(|event| run.apply(event));
            if run != whole {
                return Err(format!("{id}: the state and its later events differ from all events"));
            }
        }
        Ok(Some(whole))
    }

    /// The unfinished runs that need attention by themselves, and when.
    #[must_use]
    pub fn unfinished(&self) -> Vec<(RunId, Timestamp)> {
        let open = self.runs.iter().filter(|(_, row)| !row.status.is_final());
        open.filter_map(|(id, row)| row.wake.map(|wake| (*id, wake))).collect()
    }
}
