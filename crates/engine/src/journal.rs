//! Between the engine's types and the journal's records.

use crate::{
    Timestamp,
    event::{Accepted, Delivery, Effect, EffectKind, End, Event, Loss, Note, Step, StepOutcome, Turn},
    run::{Answer, Cancel, Open, Phase, Run, Signal, Status, Taken},
};
use bivouac_protocol::{
    Code, DeploymentId, ErrorInfo, RunId,
    frame::CancelMode,
    journal::{JournalError, v1},
    key::Digest,
    manifest::{Backoff, Retries},
};
use std::sync::Arc;

/// Writes an event down.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    record(event).encode()
}

/// Reads an event.
///
/// # Errors
/// [`JournalError`] where the bytes are none, or a newer build's.
pub fn decode(bytes: &[u8]) -> Result<Event, JournalError> {
    v1::Record::decode(bytes).map(event)
}

/// Writes a run's folded state down.
#[must_use]
pub fn encode_state(run: &Run) -> Vec<u8> {
    let phase = match run.phase {
        Phase::Absent | Phase::Live => v1::Phase::Live,
        Phase::Parked => v1::Phase::Parked,
        Phase::BackingOff(due) => v1::Phase::BackingOff { due_ms: due.0 },
        Phase::Paused => v1::Phase::Paused,
        Phase::Ended(Status::Completed) => v1::Phase::Completed,
        Phase::Ended(Status::Cancelled) => v1::Phase::Cancelled,
        Phase::Ended(_) => v1::Phase::Failed,
    };
    fn inbox<'a>(number: &u64, signal: &'a Signal) -> (u64, &'a str, u64) {
        (*number, &signal.name, signal.seq)
    }
    v1::State {
        phase,
        retries: run.retries.as_ref().map(retries_record),
        next_seq: run.next_seq,
        next_turn: run.next_turn,
        attempt: run.attempt,
        slice: run.slice,
        began: run.began,
        losses: run.losses,
        deadlines: run.deadlines,
        clock_ms: run.clock.0,
        open: run.open.iter().map(|(path, open)| (path.as_str(), open.key.as_str(), kind_record(&open.kind))).collect(),
        written: run.written.iter().map(bivouac_protocol::EffectKey::as_str).collect(),
        cancel: run
            .cancel
            .as_ref()
            .map(|cancel| (cancel.mode == CancelMode::Now, cancel.until.0, &*cancel.reason, cancel.told)),
        inbox: run.inbox.iter().map(|(number, s)| inbox(number, s)).collect(),
        taken: run
            .taken
            .iter()
            .map(|(number, taken)| {
                let (number, name, seq) = inbox(number, &taken.signal);
                (number, name, seq, taken.path.as_str())
            })
            .collect(),
        signal_ids: run.signal_ids.iter().map(|(name, id)| (&**name, &**id)).collect(),
    }
    .encode(&more_record(run))
}

fn more_record(run: &Run) -> v1::StateMore<'_> {
    let answers = run.answers.iter().map(|(key, answer)| v1::Answer {
        key: key.as_str(),
        name: answer.name.as_deref(),
        id: &answer.id,
        digest: answer.digest.0,
        seq: answer.seq,
    });
    v1::StateMore { answers: answers.collect() }
}

fn answer(record: &v1::Answer<'_>) -> Answer {
    Answer { name: record.name.map(Into::into), id: record.id.into(), digest: Digest(record.digest), seq: record.seq }
}

/// Reads a run's folded state.
///
/// # Errors
/// [`JournalError`] where the bytes are none, or a newer build's.
pub fn decode_state(id: RunId, bytes: &[u8]) -> Result<Run, JournalError> {
    let (state, more) = v1::State::decode(bytes)?;
    let signal = |name: &str, seq| Signal { name: name.into(), seq };
    Ok(Run {
        id,
        phase: match state.phase {
            v1::Phase::Live => Phase::Live,
            v1::Phase::Parked => Phase::Parked,
            v1::Phase::BackingOff { due_ms } => Phase::BackingOff(Timestamp(due_ms)),
            v1::Phase::Paused => Phase::Paused,
            v1::Phase::Completed => Phase::Ended(Status::Completed),
            v1::Phase::Failed => Phase::Ended(Status::Failed),
            v1::Phase::Cancelled => Phase::Ended(Status::Cancelled),
        },
        retries: state.retries.map(retries),
        next_seq: state.next_seq,
        next_turn: state.next_turn,
        attempt: state.attempt,
        slice: state.slice,
        began: state.began,
        losses: state.losses,
        deadlines: state.deadlines,
        clock: Timestamp(state.clock_ms),
        open: state
            .open
            .into_iter()
            .map(|(path, key, k)| (path.into(), Open { key: key.into(), kind: kind(k) }))
            .collect(),
        written: state.written.into_iter().map(Into::into).collect(),
        cancel: state.cancel.map(|(now, until, reason, told)| Cancel {
            mode: if now { CancelMode::Now } else { CancelMode::Grace },
            until: Timestamp(until),
            reason: reason.into(),
            told,
        }),
        inbox: state.inbox.into_iter().map(|(number, name, seq)| (number, signal(name, seq))).collect(),
        taken: state
            .taken
            .into_iter()
            .map(|(number, name, seq, path)| (number, Taken { signal: signal(name, seq), path: path.into() }))
            .collect(),
        signal_ids: state.signal_ids.into_iter().map(|(name, id)| (name.into(), id.into())).collect(),
        answers: more.answers.into_iter().map(|record| (record.key.into(), answer(&record))).collect(),
    })
}

fn record(event: &Event) -> v1::Record<'_> {
    match event {
        Event::Accepted(accepted) => v1::Record::Accepted(accepted_record(accepted)),
        Event::AttemptStarted { attempt } => v1::Record::AttemptStarted { attempt: *attempt },
        Event::Turn(turn) => v1::Record::Turn(turn_record(turn)),
        Event::Parked => v1::Record::Parked,
        Event::Woken => v1::Record::Woken,
        Event::SliceLost { cause } => v1::Record::SliceLost { deadline: *cause == Loss::Deadline },
        Event::AttemptFailed { error, retry_at } => {
            v1::Record::AttemptFailed { error: error_record(error), retry_at_ms: retry_at.0 }
        }
        Event::Paused { error } => v1::Record::Paused { error: error_record(error) },
        Event::SignalReceived { name, id, payload } => {
            v1::Record::SignalReceived { name, id, payload: payload.clone() }
        }
        Event::Answered { key, id, payload } => {
            v1::Record::Answered { key: key.as_str(), id, payload: payload.clone() }
        }
        Event::CancelRequested { mode, until, reason } => {
            v1::Record::CancelRequested { now: *mode == CancelMode::Now, until_ms: until.0, reason }
        }
        Event::Ended(End::Completed { output }) => v1::Record::Completed { output: output.clone() },
        Event::Ended(End::Failed { error }) => v1::Record::Failed { error: error_record(error) },
        Event::Ended(End::Cancelled { reason }) => v1::Record::Cancelled { reason },
    }
}

fn event(record: v1::Record<'_>) -> Event {
    match record {
        v1::Record::Accepted(record) => Event::Accepted(Box::new(accepted(record))),
        v1::Record::AttemptStarted { attempt } => Event::AttemptStarted { attempt },
        v1::Record::Turn(record) => Event::Turn(Arc::new(turn(record))),
        v1::Record::Parked => Event::Parked,
        v1::Record::Woken => Event::Woken,
        v1::Record::SliceLost { deadline } => {
            Event::SliceLost { cause: if deadline { Loss::Deadline } else { Loss::Executor } }
        }
        v1::Record::AttemptFailed { error: e, retry_at_ms } => {
            Event::AttemptFailed { error: error(e), retry_at: Timestamp(retry_at_ms) }
        }
        v1::Record::Paused { error: e } => Event::Paused { error: error(e) },
        v1::Record::SignalReceived { name, id, payload } => {
            Event::SignalReceived { name: name.into(), id: id.into(), payload }
        }
        v1::Record::Answered { key, id, payload } => Event::Answered { key: key.into(), id: id.into(), payload },
        v1::Record::CancelRequested { now, until_ms, reason } => Event::CancelRequested {
            mode: if now { CancelMode::Now } else { CancelMode::Grace },
            until: Timestamp(until_ms),
            reason: reason.into(),
        },
        v1::Record::Completed { output } => Event::Ended(End::Completed { output }),
        v1::Record::Failed { error: e } => Event::Ended(End::Failed { error: error(e) }),
        v1::Record::Cancelled { reason } => Event::Ended(End::Cancelled { reason: reason.into() }),
    }
}

fn accepted_record(accepted: &Accepted) -> v1::Accepted<'_> {
    v1::Accepted {
        environment: &accepted.environment,
        tenant: &accepted.tenant,
        app: &accepted.app,
        user: &accepted.user,
        deployment: accepted.deployment.to_u128(),
        component: &accepted.component,
        idempotency: accepted.idempotency.as_ref().map(|(key, digest)| (&**key, digest.0)),
        input: accepted.input.clone(),
        metadata: accepted.metadata.clone(),
        seed: accepted.seed.clone(),
        patches: accepted.patches.iter().map(|patch| &**patch).collect(),
        retries: accepted.retries.as_ref().map(retries_record),
    }
}

fn accepted(record: v1::Accepted<'_>) -> Accepted {
    Accepted {
        environment: record.environment.into(),
        tenant: record.tenant.into(),
        app: record.app.into(),
        user: record.user.into(),
        deployment: DeploymentId::from_u128(record.deployment),
        component: record.component.into(),
        idempotency: record.idempotency.map(|(key, digest)| (key.into(), Digest(digest))),
        input: record.input,
        metadata: record.metadata,
        seed: record.seed,
        patches: record.patches.into_iter().map(Into::into).collect(),
        retries: record.retries.map(retries),
    }
}

fn retries_record(retries: &Retries) -> v1::Retries {
    v1::Retries {
        max_attempts: retries.max_attempts,
        initial_interval_ms: retries.initial_interval_ms,
        max_interval_ms: retries.max_interval_ms,
        backoff: match retries.backoff {
            Backoff::Constant => 0,
            Backoff::Linear => 1,
            Backoff::Exponential => 2,
        },
        multiplier_thousandths: retries.multiplier_thousandths,
    }
}

fn retries(record: v1::Retries) -> Retries {
    Retries {
        max_attempts: record.max_attempts,
        initial_interval_ms: record.initial_interval_ms,
        max_interval_ms: record.max_interval_ms,
        backoff: match record.backoff {
            0 => Backoff::Constant,
            1 => Backoff::Linear,
            _ => Backoff::Exponential,
        },
        multiplier_thousandths: record.multiplier_thousandths,
    }
}

fn turn_record(turn: &Turn) -> v1::Turn<'_> {
    v1::Turn {
        n: turn.n,
        now_ms: turn.now.0,
        frame: turn.frame.clone(),
        delivered: turn.delivered.iter().map(|delivery| (delivery.path.as_str(), delivery.signal)).collect(),
        cancel: match turn.cancel {
            None => 0,
            Some(CancelMode::Grace) => 1,
            Some(CancelMode::Now) => 2,
        },
        effects: turn
            .effects
            .iter()
            .map(|effect| v1::Effect {
                path: effect.path.as_str(),
                key: effect.key.as_str(),
                op: &effect.op,
                digest: effect.digest.0,
                kind: kind_record(&effect.kind),
            })
            .collect(),
        steps: turn
            .steps
            .iter()
            .map(|step| {
                let result = match &step.outcome {
                    StepOutcome::Ok(value) => v1::StepResult::Ok(value.clone()),
                    StepOutcome::Err(error) => v1::StepResult::Err(error_record(error)),
                };
                (step.key.as_str(), result)
            })
            .collect(),
        cancels: turn.cancels.iter().map(bivouac_protocol::Path::as_str).collect(),
        notes: turn.notes.iter().map(|note| (note.visible, note.text.clone())).collect(),
    }
}

fn turn(record: v1::Turn<'_>) -> Turn {
    Turn {
        n: record.n,
        now: Timestamp(record.now_ms),
        frame: record.frame,
        delivered: record.delivered.into_iter().map(|(path, signal)| Delivery { path: path.into(), signal }).collect(),
        cancel: match record.cancel {
            1 => Some(CancelMode::Grace),
            2 => Some(CancelMode::Now),
            _ => None,
        },
        effects: record
            .effects
            .into_iter()
            .map(|effect| Effect {
                path: effect.path.into(),
                key: effect.key.into(),
                op: effect.op.into(),
                digest: Digest(effect.digest),
                kind: kind(effect.kind),
            })
            .collect(),
        steps: record
            .steps
            .into_iter()
            .map(|(key, result)| Step {
                key: key.into(),
                outcome: match result {
                    v1::StepResult::Ok(value) => StepOutcome::Ok(value),
                    v1::StepResult::Err(e) => StepOutcome::Err(error(e)),
                },
            })
            .collect(),
        cancels: record.cancels.into_iter().map(Into::into).collect(),
        notes: record.notes.into_iter().map(|(visible, text)| Note { visible, text }).collect(),
    }
}

fn kind_record(kind: &EffectKind) -> v1::EffectKind<'_> {
    match kind {
        EffectKind::Safe => v1::EffectKind::Safe,
        EffectKind::Keyed => v1::EffectKind::Keyed,
        EffectKind::Write => v1::EffectKind::Write,
        EffectKind::Timer { due } => v1::EffectKind::Timer { due_ms: due.0 },
        EffectKind::Signal { name } => v1::EffectKind::Signal { name },
        EffectKind::Question { name, question } => {
            v1::EffectKind::Question { name: name.as_deref(), question: question.clone() }
        }
    }
}

fn kind(record: v1::EffectKind<'_>) -> EffectKind {
    match record {
        v1::EffectKind::Safe => EffectKind::Safe,
        v1::EffectKind::Keyed => EffectKind::Keyed,
        v1::EffectKind::Write => EffectKind::Write,
        v1::EffectKind::Timer { due_ms } => EffectKind::Timer { due: Timestamp(due_ms) },
        v1::EffectKind::Signal { name } => EffectKind::Signal { name: name.into() },
        v1::EffectKind::Question { name, question } => EffectKind::Question { name: name.map(Into::into), question },
    }
}

fn error_record(error: &ErrorInfo) -> v1::Error<'_> {
    v1::Error {
        code: error.code.as_str(),
        message: &error.message,
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
    }
}

fn error(record: v1::Error<'_>) -> ErrorInfo {
    ErrorInfo {
        code: Code::new(record.code),
        message: record.message.to_owned(),
        retryable: record.retryable,
        retry_after_ms: record.retry_after_ms,
    }
}
