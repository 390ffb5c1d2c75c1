//! Executors: threads that hold the guests of live slices and drive them.
//!
//! A run's slices stay on one thread, chosen by its id, so that nothing is shared between two drives. A thread takes
//! everything that has arrived before it drives, so that outcomes that come together are delivered together.

pub mod executor;
pub mod guest;
pub mod replay;
pub mod slice;
pub mod translate;

use crate::driver::{Driver, Said};
use bivouac_engine::{Accepted, Fence};
use bivouac_protocol::{
    Path, RunId,
    frame::{CancelMode, Outcome},
};
use crossbeam_channel::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What reaches an executor.
pub enum ToExecutor {
    /// Start a slice.
    Dispatch {
        /// The run.
        run: RunId,
        /// Who it speaks as.
        fence: Fence,
        /// How the run began, where nothing happened since.
        accepted: Option<Arc<Accepted>>,
    },
    /// An effect has an outcome.
    Outcome {
        /// The run.
        run: RunId,
        /// The slice that asked.
        fence: Fence,
        /// For which effect.
        path: Path,
        /// What became of it.
        outcome: Outcome,
    },
    /// The run is to end.
    Cancel {
        /// The run.
        run: RunId,
        /// The slice.
        fence: Fence,
        /// How.
        mode: CancelMode,
    },
    /// An effect may leave.
    Perform {
        /// The run.
        run: RunId,
        /// The slice that asked.
        fence: Fence,
        /// Which effect.
        path: Path,
    },
    /// Nobody waits for an effect any more.
    Abort {
        /// The run.
        run: RunId,
        /// The slice that asked.
        fence: Fence,
        /// Which effect.
        path: Path,
    },
    /// The slice is over.
    Drop {
        /// The run.
        run: RunId,
        /// The slice.
        fence: Fence,
    },
    /// What the slice needs cannot be read: it is over, and tried again.
    Lose {
        /// The run.
        run: RunId,
        /// The slice.
        fence: Fence,
    },
    /// All slices are over.
    DropAll,
    /// The thread ends.
    Stop,
}

/// The executor threads.
#[derive(Clone)]
pub struct Executors {
    inboxes: Arc<[Sender<ToExecutor>]>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Executors {
    /// Threads that read from these inboxes' other ends.
    #[must_use]
    pub fn new(inboxes: Vec<Sender<ToExecutor>>, threads: Vec<JoinHandle<()>>) -> Self {
        Self { inboxes: inboxes.into(), threads: Arc::new(Mutex::new(threads)) }
    }

    /// Hands a message to the thread that has the run's slices.
    pub fn send(&self, run: RunId, message: ToExecutor) {
        // A thread that has ended needs no word: its slices are gone with it, and what is on disk is replayed.
        let _ended = self.inboxes[index(run, self.inboxes.len())].send(message);
    }

    /// Ends all slices.
    pub fn drop_all(&self) {
        for inbox in &*self.inboxes {
            let _ended = inbox.send(ToExecutor::DropAll);
        }
    }

    /// Ends the threads, and waits for them.
    pub fn stop(&self) {
        for inbox in &*self.inboxes {
            let _ended = inbox.send(ToExecutor::Stop);
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("an executor thread had panicked");
            }
        }
    }
}

/// Which of `threads` has a run's slices.
#[must_use]
pub fn index(run: RunId, threads: usize) -> usize {
    run.to_u128() as usize % threads
}

/// How an executor speaks to the loop.
#[derive(Clone)]
pub struct Voice {
    /// The loop's handle.
    pub driver: Driver,
}

impl Voice {
    pub(crate) fn say(&self, run: RunId, said: Said) {
        self.driver.say(run, said);
    }
}
