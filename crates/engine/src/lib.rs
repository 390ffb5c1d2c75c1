//! The pure core of Bivouac: what a run is, what may happen to it, and what is owed for it.
//!
//! [`Run`] is the machine of one run: [`Run::decide`] says what follows from an input and changes nothing,
//! [`Run::apply`] folds a recorded fact and cannot fail, [`Run::owed`] names what the shell still has to do.
//! [`Shard`] drives many runs together and holds back whatever must not be seen before it is on disk.
//!
//! Nothing here does I/O, reads a clock, spawns, or iterates in random order: the same inputs give the same outputs, on
//! the live path, in recovery and in simulation. Time is an argument. Payloads are opaque bytes.
//!
//! Where to go next: [`event`] for the facts, [`input`] for the wishes, [`shard`] for output commit, [`memo`] for what
//! an attempt inherits, [`journal`] for how facts are written down.

#![warn(missing_docs, clippy::wildcard_enum_match_arm)]

pub mod event;
pub mod input;
pub mod journal;
pub mod memo;
pub mod run;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod shard;

pub use event::{Accepted, Effect, EffectKind, End, Event, Loss, Step, StepOutcome, Turn};
pub use input::{Fence, Input, Rejection};
pub use run::{Asked, Owed, Resolution, Run, Status};
pub use shard::{
    Aspect, Batch, Command, Head, MemoryScope, MemoryWrite, Recorded, Shard, ShardLimits, Ticket, Transition,
};

/// Whether a deliberate defect is switched on; always `false` outside the simulation.
macro_rules! sabotaged {
    ($defect:ident) => {{
        #[cfg(feature = "sabotage")]
        {
            $crate::sabotage::is_on($crate::sabotage::Defect::$defect)
        }
        #[cfg(not(feature = "sabotage"))]
        {
            false
        }
    }};
}
pub(crate) use sabotaged;

/// An instant, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This instant and so many milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}
