//! What an attempt inherits from those before it: finished steps, when timers are due, and answers.
//!
//! A fold over the run's events up to the start of the attempt, so that every slice of it gets the same. Source: the
//! guest contract, "Turns", rule 4.

use crate::{
    Timestamp,
    event::{EffectKind, Event, StepOutcome},
    sabotaged,
};
use bivouac_protocol::{EffectKey, StepKey};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What an attempt inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// Steps that succeeded, or failed for good.
    pub steps: BTreeMap<StepKey, StepOutcome>,
    /// When timers are due, open ones too.
    pub timers: BTreeMap<EffectKey, Timestamp>,
    /// What questions were answered with, as JSON text.
    pub answers: BTreeMap<EffectKey, Bytes>,
}

impl Memo {
    /// Takes over what the next attempt needs of one event.
    pub fn fold(&mut self, event: &Event) {
        if sabotaged!(MemoForgotten) {
            return;
        }
        let turn = match event {
            Event::Turn(turn) => turn,
            Event::Answered { .. } if sabotaged!(AnswerLost) => return,
            Event::Answered { key, payload, .. } => {
                self.answers.insert(key.clone(), payload.clone());
                return;
            }
            Event::Accepted(_)
            | Event::AttemptStarted { .. }
            | Event::Parked
            | Event::Woken
            | Event::SliceLost { .. }
            | Event::AttemptFailed { .. }
            | Event::Paused { .. }
            | Event::SignalReceived { .. }
            | Event::CancelRequested { .. }
            | Event::Ended(_) => return,
        };
        for step in turn.steps.iter().filter(|step| step.outcome.lasts()) {
            self.steps.insert(step.key.clone(), step.outcome.clone());
        }
        for effect in &turn.effects {
            if let EffectKind::Timer { due } = effect.kind {
                self.timers.entry(effect.key.clone()).or_insert(due);
            }
        }
    }
}
