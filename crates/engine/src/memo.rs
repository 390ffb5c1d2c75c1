//! What an attempt inherits from those before it: finished steps, and when timers are due.
//!
//! A fold over the run's events up to the start of the attempt, so that every slice of it gets the same. Source: the
//! guest contract, "Turns", rule 4.

use crate::{
    Timestamp,
    event::{EffectKind, Event, StepOutcome},
    sabotaged,
};
use bivouac_protocol::{EffectKey, StepKey};
use std::collections::BTreeMap;

/// What an attempt inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// Steps that succeeded, or failed for good.
    pub steps: BTreeMap<StepKey, StepOutcome>,
    /// When timers are due, open ones too.
    pub timers: BTreeMap<EffectKey, Timestamp>,
}

impl Memo {
    /// Takes over what the next attempt needs of one event.
    pub fn fold(&mut self, event: &Event) {
        let Event::Turn(turn) = event else { return };
        if sabotaged!(MemoForgotten) {
            return;
        }
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
