//! The order in which a run's events may come, written without looking at the engine's machine.

use bivouac_engine::{Event, Loss};

/// What came so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Grammar {
    place: Place,
    attempt: u32,
    turns: u64,
    clock: u64,
    /// Cancels requested.
    pub(super) cancels: u32,
    /// Slices lost to the CPU deadline in a row.
    pub(super) deadlines: u32,
    /// Slices lost in a row.
    pub(super) losses: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Live,
    Parked,
    BackingOff,
    Paused,
    Ended,
}

impl Grammar {
    pub(super) fn has_ended(&self) -> bool {
        self.place == Place::Ended
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, event: &Event) -> Result<(), String> {
        let (from, to): (&[Place], Place) = match event {
            Event::Accepted(_) => (&[Place::Nowhere], Place::Live),
            Event::AttemptStarted { .. } => (&[Place::BackingOff], Place::Live),
            Event::Turn(_) | Event::SliceLost { .. } => (&[Place::Live], Place::Live),
            Event::Parked => (&[Place::Live], Place::Parked),
            Event::Woken => (&[Place::Parked], Place::Live),
            Event::AttemptFailed { .. } => (&[Place::Live], Place::BackingOff),
            Event::Paused { .. } => (&[Place::Live], Place::Paused),
            Event::SignalReceived { .. } | Event::CancelRequested { .. } => {
                (&[Place::Live, Place::Parked, Place::BackingOff, Place::Paused], self.place)
            }
            // Between two attempts nothing is asked.
            Event::Answered { .. } => (&[Place::Live, Place::Parked, Place::Paused], self.place),
            Event::Ended(_) => (&[Place::Live, Place::Parked, Place::BackingOff, Place::Paused], Place::Ended),
        };
        if !from.contains(&self.place) {
            return Err(format!("{} came while the run was {:?}", event.kind(), self.place));
        }
        self.place = to;
        self.numbers(event)
    }

    fn numbers(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Accepted(_) => self.attempt = 1,
            Event::AttemptStarted { attempt } => {
                if *attempt != self.attempt + 1 {
                    return Err(format!("attempt {attempt} followed attempt {}", self.attempt));
                }
                self.attempt = *attempt;
            }
            Event::Turn(turn) => {
                if turn.n != self.turns + 1 {
                    return Err(format!("turn {} followed turn {}", turn.n, self.turns));
                }
                if turn.now.0 < self.clock {
                    return Err(format!("turn {} is at {}, its predecessor at {}", turn.n, turn.now.0, self.clock));
                }
                self.turns = turn.n;
                self.clock = turn.now.0;
                (self.deadlines, self.losses) = (0, 0);
            }
            Event::SliceLost { cause } => match cause {
                Loss::Executor => self.losses += 1,
                Loss::Deadline => self.deadlines += 1,
            },
            Event::CancelRequested { .. } => self.cancels += 1,
            Event::Parked
            | Event::Woken
            | Event::AttemptFailed { .. }
            | Event::Paused { .. }
            | Event::SignalReceived { .. }
            | Event::Answered { .. }
            | Event::Ended(_) => {}
        }
        Ok(())
    }
}
