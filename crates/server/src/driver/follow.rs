//! Doorbells: who follows a run is told how far its events are on disk, and reads them there.

use bivouac_engine::End;
use bivouac_protocol::RunId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// How far a run's events are on disk.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The number of the last durable event that was told of; 0 before the first.
    pub through: u64,
    /// How the run ended, once it has.
    pub end: Option<Arc<End>>,
}

/// Who follows which run. A doorbell is made when somebody comes and goes with the last of them.
#[derive(Default)]
pub struct Follow {
    bells: Mutex<HashMap<RunId, watch::Sender<Progress>>>,
}

impl Follow {
    /// Follows a run from now on.
    pub fn subscribe(&self, id: RunId) -> watch::Receiver<Progress> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.entry(id).or_insert_with(|| watch::Sender::new(Progress::default())).subscribe()
    }

    /// Rings for a run; a bell that nobody hears any more is taken down.
    pub fn ring(&self, id: RunId, through: u64, end: Option<End>) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bell) = bells.get(&id) else { return };
        let over = end.is_some();
        bell.send_modify(|progress| {
            progress.through = progress.through.max(through);
            progress.end = end.map(Arc::new).or_else(|| progress.end.take());
        });
        if over || bell.receiver_count() == 0 {
            bells.remove(&id);
        }
    }

    /// Takes down a bell that nobody hears, such as that of a run that was not started after all.
    pub fn forget(&self, id: RunId) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.get(&id).is_some_and(|bell| bell.receiver_count() == 0) {
            bells.remove(&id);
        }
    }

    /// How many runs are followed.
    pub fn len(&self) -> usize {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nobody follows anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
