//! What follows from an input. Nothing here changes anything.

use super::{
    Cancel, MAX_DEADLINES, MAX_EVENTS, MAX_INBOX, MAX_LOSSES, MAX_OPEN_EFFECTS, Phase, Run, admissible, backoff_ms,
};
use crate::{
    Timestamp,
    event::{EffectKind, End, Event, Loss, Turn},
    input::{Fence, Input, Rejection},
    sabotaged,
};
use bivouac_protocol::{Code, ErrorInfo, frame::CancelMode};
use std::sync::Arc;

impl Run {
    /// Says what follows from `input` at `now`, without changing anything.
    ///
    /// # Errors
    /// [`Rejection`] when the input is stale or senseless in this state.
    pub fn decide(&self, input: &Input, now: Timestamp) -> Result<Vec<Event>, Rejection> {
        admissible(self, input)?;
        match input {
            Input::Accept(accepted) => Ok(match self.phase {
                Phase::Absent => vec![Event::Accepted(accepted.clone())],
                Phase::Live | Phase::Parked | Phase::BackingOff(_) | Phase::Paused | Phase::Ended(_) => Vec::new(),
            }),
            Input::Turn { fence, turn, end, writes: _ } => {
                self.check(*fence)?;
                self.decide_turn(turn, end.as_ref(), now)
            }
            Input::Failed { fence, error } => {
                self.check(*fence)?;
                Ok(self.failure(error, now))
            }
            Input::Lost { fence, cause } => {
                self.check(*fence)?;
                Ok(self.loss(*cause, now))
            }
            Input::Mismatch { fence, error } => {
                self.check(*fence)?;
                Ok(match &self.cancel {
                    Some(cancel) => vec![cancelled(cancel)],
                    None => vec![Event::Paused { error: error.clone() }],
                })
            }
            Input::Tick => Ok(self.tick(now)),
            Input::Cancel { mode, reason, grace_ms } => Ok(self.decide_cancel(*mode, reason, *grace_ms, now)),
            Input::Answer { question, id, payload } => self.decide_answer(question.as_deref(), id, payload),
            Input::Signal { name, id, payload } => {
                if self.signal_ids.contains(&(name.clone(), id.clone())) {
                    return Ok(Vec::new());
                }
                if self.inbox.len() >= MAX_INBOX {
                    return Err(Rejection::InboxFull(MAX_INBOX));
                }
                let received = Event::SignalReceived { name: name.clone(), id: id.clone(), payload: payload.clone() };
                let awaited = self.open.values().any(|open| open.kind == EffectKind::Signal { name: name.clone() });
                Ok(match self.phase {
                    Phase::Parked if awaited => vec![received, Event::Woken],
                    Phase::Absent
                    | Phase::Live
                    | Phase::Parked
                    | Phase::BackingOff(_)
                    | Phase::Paused
                    | Phase::Ended(_) => vec![received],
                })
            }
        }
    }

    /// A slice may speak while it is the one that is out.
    fn check(&self, fence: Fence) -> Result<(), Rejection> {
        let current = self.is_live() && fence.attempt == self.attempt && fence.slice == self.slice;
        if current || sabotaged!(FenceOff) { Ok(()) } else { Err(Rejection::Stale) }
    }

    fn decide_turn(&self, turn: &Arc<Turn>, end: Option<&End>, now: Timestamp) -> Result<Vec<Event>, Rejection> {
        if turn.n != self.next_turn && !sabotaged!(FenceOff) {
            return Err(Rejection::OutOfOrder { expected: self.next_turn, got: turn.n });
        }
        if self.next_seq >= MAX_EVENTS {
            return Err(Rejection::HistoryFull(MAX_EVENTS));
        }
        self.check_deliveries(turn)?;
        self.check_effects(turn, end.is_some())?;
        let mut events = vec![Event::Turn(Arc::clone(turn))];
        let mut after = self.clone();
        after.apply(&events[0]);
        match end {
            Some(End::Failed { error }) => events.extend(after.failure(error, now)),
            Some(End::Cancelled { .. }) => events.push(match &after.cancel {
                Some(cancel) => cancelled(cancel),
                None => Event::Ended(End::Failed {
                    error: ErrorInfo::terminal(Code::CANCELLED, "the component ended as cancelled, but nobody asked"),
                }),
            }),
            Some(end @ End::Completed { .. }) => events.push(Event::Ended(end.clone())),
            None if after.open.is_empty() => return Err(Rejection::Stalled),
            None if after.may_park(now) => events.push(Event::Parked),
            None => {}
        }
        Ok(events)
    }

    /// Every open effect is a wait, none of them is over, and there is nothing to tell the guest.
    fn may_park(&self, now: Timestamp) -> bool {
        self.open.values().all(|open| open.kind.is_wait())
            && (self.ready(now).next().is_none() || sabotaged!(LostWakeUp))
            && self.cancel.as_ref().is_none_or(|cancel| cancel.told)
    }

    fn check_deliveries(&self, turn: &Turn) -> Result<(), Rejection> {
        for (index, delivery) in turn.delivered.iter().enumerate() {
            let earlier = &turn.delivered[..index];
            let open = self
                .open
                .get(&delivery.path)
                .filter(|_| earlier.iter().all(|other| other.path != delivery.path))
                .ok_or_else(|| Rejection::NotOpen(delivery.path.clone()))?;
            let over = match &open.kind {
                EffectKind::Timer { due } => *due <= turn.now,
                // One signal ends one wait.
                EffectKind::Signal { name } => delivery.signal.is_some_and(|number| {
                    self.inbox.get(&number).is_some_and(|signal| signal.name == *name)
                        && earlier.iter().all(|other| other.signal != delivery.signal)
                }),
                EffectKind::Question { .. } => delivery.signal.is_none() && self.answers.contains_key(&open.key),
                EffectKind::Safe | EffectKind::Keyed | EffectKind::Write => delivery.signal.is_none(),
            };
            if !over {
                return Err(Rejection::TooEarly(delivery.path.clone()));
            }
        }
        Ok(())
    }

    fn check_effects(&self, turn: &Turn, ends: bool) -> Result<(), Rejection> {
        let told = turn.cancel.is_some() || self.cancel.as_ref().is_some_and(|cancel| cancel.told);
        for (index, effect) in turn.effects.iter().enumerate() {
            let again = turn.effects[..index].iter().any(|other| other.path == effect.path);
            if again || self.open.contains_key(&effect.path) {
                return Err(Rejection::DuplicatePath(effect.path.clone()));
            }
            if ends && effect.kind != EffectKind::Write {
                return Err(Rejection::EffectAfterEnd(effect.path.clone()));
            }
            if told && effect.kind.is_wait() {
                return Err(Rejection::WaitAfterCancel(effect.path.clone()));
            }
        }
        if self.open.len() + turn.effects.len() > MAX_OPEN_EFFECTS + turn.delivered.len() + turn.cancels.len() {
            return Err(Rejection::TooManyOpen(MAX_OPEN_EFFECTS));
        }
        Ok(())
    }

    /// What follows when the component's code failed.
    fn failure(&self, error: &ErrorInfo, now: Timestamp) -> Vec<Event> {
        if let Some(cancel) = &self.cancel {
            return vec![cancelled(cancel)];
        }
        match &self.retries {
            Some(retries) if error.retryable && self.attempt < retries.max_attempts && self.next_seq < MAX_EVENTS => {
                let retry_at = now.plus_ms(backoff_ms(retries, self.attempt, error));
                vec![Event::AttemptFailed { error: error.clone(), retry_at }]
            }
            _ => vec![Event::Ended(End::Failed { error: error.clone() })],
        }
    }

    fn loss(&self, cause: Loss, now: Timestamp) -> Vec<Event> {
        let (repeated, limit, error) = match cause {
            Loss::Deadline => (
                self.deadlines,
                MAX_DEADLINES,
                ErrorInfo::terminal(
                    Code::CPU_LIMIT,
                    format!(
                        "one turn ran past its CPU limit and was repeated {MAX_DEADLINES} times in vain: split the computation by awaiting between its parts"
                    ),
                ),
            ),
            Loss::Executor => (
                self.losses,
                MAX_LOSSES,
                ErrorInfo::retryable(
                    Code::INTERNAL,
                    format!("the executor lost the run {MAX_LOSSES} times in a row, and then once more"),
                ),
            ),
        };
        if repeated < limit { vec![Event::SliceLost { cause }] } else { self.failure(&error, now) }
    }

    fn tick(&self, now: Timestamp) -> Vec<Event> {
        if let Some(cancel) = self.cancel.as_ref().filter(|cancel| cancel.until <= now)
            && matches!(self.phase, Phase::Live | Phase::Parked | Phase::BackingOff(_) | Phase::Paused)
        {
            return vec![cancelled(cancel)];
        }
        match self.phase {
            Phase::BackingOff(due) if due <= now => vec![Event::AttemptStarted { attempt: self.attempt + 1 }],
            Phase::Parked => {
                let told = self.cancel.as_ref().is_none_or(|cancel| cancel.told);
                if self.ready(now).next().is_some() || !told { vec![Event::Woken] } else { Vec::new() }
            }
            Phase::Absent | Phase::Live | Phase::BackingOff(_) | Phase::Paused | Phase::Ended(_) => Vec::new(),
        }
    }

    fn decide_cancel(&self, mode: CancelMode, reason: &str, grace_ms: u64, now: Timestamp) -> Vec<Event> {
        let harder = match &self.cancel {
            Some(cancel) => cancel.mode == CancelMode::Grace && mode == CancelMode::Now,
            None => true,
        };
        if !harder {
            return Vec::new();
        }
        let until = match mode {
            CancelMode::Grace => now.plus_ms(grace_ms),
            CancelMode::Now => now,
        };
        let requested = Event::CancelRequested { mode, until, reason: reason.into() };
        let at_once =
            mode == CancelMode::Now || matches!(self.phase, Phase::BackingOff(_) | Phase::Paused) || !self.began;
        if at_once {
            return vec![requested, Event::Ended(End::Cancelled { reason: reason.into() })];
        }
        match self.phase {
            Phase::Parked => vec![requested, Event::Woken],
            Phase::Absent | Phase::Live | Phase::BackingOff(_) | Phase::Paused | Phase::Ended(_) => vec![requested],
        }
    }
}

fn cancelled(cancel: &Cancel) -> Event {
    Event::Ended(End::Cancelled { reason: cancel.reason.clone() })
}
