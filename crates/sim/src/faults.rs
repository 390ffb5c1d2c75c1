//! What can go wrong, how often in this world, and how often it did.
//!
//! Each seed has its own weather: some faults never happen in it, some often. A world in which everything happens all
//! the time finds less, because no run gets far.

use crate::dice::Dice;
use std::{collections::BTreeMap, fmt};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $rates:expr,)*) => {
        /// Something that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The rates, in thousandths, from which a world's weather is drawn.
            const fn rates(self) -> [u64; 4] {
                match self {
                    $(Self::$name => $rates,)*
                }
            }
        }
    };
}

faults! {
    /// The machine stops between two instructions of the loop.
    CrashBetweenInstructions: [0, 0, 2, 8],
    /// The machine stops before the commit reaches the disk.
    CrashBeforeCommit: [0, 0, 10, 60],
    /// The machine stops after the commit reached the disk, before the loop hears of it.
    CrashAfterCommit: [0, 0, 10, 60],
    /// The commit is on disk, but its acknowledgement is lost.
    CommitAcknowledgementLost: [0, 0, 20, 80],
    /// The commit's outcome is unknown, and it is not on disk.
    CommitOutcomeUnknown: [0, 0, 20, 80],
    /// The disk is full for this commit.
    DiskFull: [0, 0, 20, 80],
    /// Another owner opens the shard; the old one does not know and goes on.
    SecondOwner: [0, 0, 1, 4],
    /// A commit of a replaced owner is refused.
    CommitFenced: [0, 0, 0, 0],
    /// The executor loses a slice.
    SliceLost: [0, 0, 5, 30],
    /// A slice runs into the CPU deadline.
    SliceDeadline: [0, 0, 5, 30],
    /// The guest traps in the middle of a turn.
    GuestTrapped: [0, 0, 3, 15],
    /// The same turn is sent twice.
    TurnRepeated: [0, 0, 10, 60],
    /// A slice that is over goes on and answers late.
    StaleSlice: [0, 100, 300, 800],
    /// What a slice of a machine that stopped said reaches the next machine.
    StaleMachine: [0, 100, 300, 800],
    /// A command is lost on its way to the executor.
    CommandDropped: [0, 0, 5, 30],
    /// A command reaches the executor twice.
    CommandRepeated: [0, 0, 20, 100],
    /// The executor stops after some of a slice's effects have left.
    CrashAfterEffects: [0, 0, 50, 200],
    /// An effect that may have happened is performed again after a replay.
    EffectRepeated: [0, 0, 0, 0],
    /// The target refuses an effect.
    EffectRefused: [0, 0, 10, 50],
    /// A message to the loop is overtaken by those of other runs.
    MessageOvertaken: [0, 100, 300, 600],
    /// An answer to a client is lost.
    AnswerLost: [0, 0, 30, 150],
    /// A client sends the same start again.
    StartRepeated: [0, 50, 100, 300],
    /// A client sends another start under a used idempotency key.
    StartConflicting: [0, 10, 30, 60],
    /// A client sends the same signal again.
    SignalRepeated: [0, 50, 100, 300],
    /// A client sends the same answer again.
    AnswerRepeated: [0, 50, 100, 300],
    /// A client sends another answer under a used id.
    AnswerConflicting: [0, 10, 30, 60],
    /// A client cancels again.
    CancelRepeated: [0, 50, 100, 300],
    /// The clock jumps far ahead.
    ClockJump: [0, 0, 2, 6],
    /// The clock steps back, or the next machine's is behind.
    ClockBack: [0, 0, 5, 20],
    /// Replay comes out differently: the component is not deterministic.
    ReplayDiffers: [0, 0, 0, 0],
}

/// How likely each fault is in one world.
#[derive(Clone, Debug)]
pub struct Weather(BTreeMap<Fault, u64>);

impl Weather {
    /// The weather of one world.
    pub fn drawn(dice: &mut Dice) -> Self {
        Self(Fault::ALL.iter().map(|fault| (*fault, dice.pick(&fault.rates()))).collect())
    }

    /// A world in which nothing goes wrong.
    #[must_use]
    pub fn calm() -> Self {
        Self(BTreeMap::new())
    }

    /// The fault's rate in thousandths.
    #[must_use]
    pub fn rate(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or(0)
    }
}

/// How often each kind of thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Faults.
    pub faults: BTreeMap<Fault, u64>,
    /// Events that reached the disk, by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Whatever else is worth knowing.
    pub facts: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts a fault.
    pub fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Counts an event.
    pub fn event(&mut self, kind: &'static str) {
        *self.events.entry(kind).or_default() += 1;
    }

    /// Counts something else.
    pub fn fact(&mut self, what: &'static str) {
        *self.facts.entry(what).or_default() += 1;
    }

    /// Adds another world's counts.
    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (kind, count) in &other.events {
            *self.events.entry(kind).or_default() += count;
        }
        for (what, count) in &other.facts {
            *self.facts.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults")?;
        for fault in Fault::ALL {
            writeln!(f, "  {:<28} {:>9}", format!("{fault:?}"), self.faults.get(fault).unwrap_or(&0))?;
        }
        writeln!(f, "events on disk")?;
        for (kind, count) in &self.events {
            writeln!(f, "  {kind:<28} {count:>9}")?;
        }
        writeln!(f, "facts")?;
        for (what, count) in &self.facts {
            writeln!(f, "  {what:<28} {count:>9}")?;
        }
        Ok(())
    }
}
