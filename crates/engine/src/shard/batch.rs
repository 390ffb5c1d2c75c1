//! What one commit writes.

use crate::{
    Timestamp,
    event::{End, Event},
    journal,
    run::{Owed, Run, Status},
};
use bivouac_protocol::{Code, RunId};
use bytes::Bytes;

/// Everything that one commit writes: all of it, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The shard.
    pub shard: u16,
    /// The owner's epoch; the commit is refused where the disk holds another.
    pub epoch: u64,
    /// The number of the shard's last entry before this batch; the commit is refused where the disk holds another.
    pub lsn: u64,
    /// What changes, run by run.
    pub transitions: Vec<Transition>,
}

impl Batch {
    /// The number of the shard's last entry after this batch. Entries are numbered through the events in order.
    #[must_use]
    pub fn last_lsn(&self) -> u64 {
        self.lsn + self.transitions.iter().map(|transition| transition.events.len() as u64).sum::<u64>()
    }
}

/// What changes for one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The run.
    pub run: RunId,
    /// Its new events, in order.
    pub events: Vec<Recorded>,
    /// Its new head, where that changes; no head row is written per step.
    pub head: Option<Head>,
    /// Memory writes that become visible with it, in order.
    pub writes: Vec<MemoryWrite>,
}

impl Transition {
    /// How the run ended, where it did with this.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.events.iter().find_map(|recorded| match &recorded.event {
            Event::Ended(end) => Some(end),
            Event::Accepted(_)
            | Event::AttemptStarted { .. }
            | Event::Turn(_)
            | Event::Parked
            | Event::Woken
            | Event::SliceLost { .. }
            | Event::AttemptFailed { .. }
            | Event::Paused { .. }
            | Event::SignalReceived { .. }
            | Event::Answered { .. }
            | Event::CancelRequested { .. } => None,
        })
    }
}

/// An event with its number and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its number within the run, from 1, without a gap.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The event.
    pub event: Event,
}

/// What is known about a run without reading its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What a person is told.
    pub status: Status,
    /// When the run needs attention: 0 for at once (also after a crash), an instant, or not until something arrives.
    pub wake: Option<Timestamp>,
    /// What a list of runs says beside the status.
    pub aspect: Aspect,
    /// The folded state, written when the run lets go of its guest.
    pub state: Option<Vec<u8>>,
}

/// What a list of runs says beside the status, as of the last change of head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Nothing.
    #[default]
    Plain,
    /// The run waits, and an answer is among what it waits for.
    Asks,
    /// The run failed because its component would not take it on.
    Rejected,
}

/// Whose memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryScope {
    /// The environment.
    pub environment: Box<str>,
    /// The service.
    pub app: Box<str>,
    /// The sub-tenant; empty for none.
    pub tenant: Box<str>,
    /// The user.
    pub user: Box<str>,
}

/// A value kept or forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryWrite {
    /// Whose memory.
    pub scope: MemoryScope,
    /// The name within it.
    pub name: Box<str>,
    /// The value as JSON text; `None` forgets it.
    pub value: Option<Bytes>,
}

/// The head of a run, where it differs from the one on disk or goes with a newly folded state.
pub(super) fn head(run: &Run, on_disk: Option<(Status, Option<Timestamp>)>, tail: &[Recorded]) -> Option<Head> {
    let status = run.status()?;
    // While its code is executed, a run's head stays as it is: queued or running makes no difference on disk.
    let coarse = |status: Status| if status == Status::Queued { Status::Running } else { status };
    let wake = wake(run, status);
    let unchanged = on_disk.is_some_and(|(old, old_wake)| coarse(old) == coarse(status) && old_wake == wake);
    let lets_go = !run.is_live() && !status.is_final();
    let anew = lets_go && tail.iter().any(|recorded| recorded.event == Event::Parked);
    (anew || !unchanged).then(|| Head {
        status,
        wake,
        aspect: aspect(run, tail),
        state: lets_go.then(|| journal::encode_state(run)),
    })
}

fn aspect(run: &Run, tail: &[Recorded]) -> Aspect {
    let rejected = |recorded: &Recorded| matches!(&recorded.event, Event::Ended(End::Failed { error }) if error.code == Code::REJECTED);
    if tail.last().is_some_and(rejected) {
        Aspect::Rejected
    } else if run.questions().next().is_some() {
        Aspect::Asks
    } else {
        Aspect::Plain
    }
}

/// When a run with this status needs attention.
pub(super) fn wake(run: &Run, status: Status) -> Option<Timestamp> {
    match status {
        Status::Queued | Status::Running => Some(Timestamp(0)),
        Status::Completed | Status::Failed | Status::Cancelled | Status::Paused => None,
        Status::Waiting | Status::BackingOff => run.owed(Timestamp(0)).iter().find_map(|owed| match owed {
            Owed::WakeAt(due) => Some(*due),
            Owed::Dispatch { .. } | Owed::Deliver { .. } | Owed::Cancel(_) => None,
        }),
    }
}
