//! From a guest's frame to a turn of the journal: what the engine has to know, and what the guest must not do.

use crate::effects::memory::{Keeper, MAX_NAME, MAX_VALUE};
use bivouac_engine::{
    Effect, EffectKind, End, MemoryScope, MemoryWrite, Step, StepOutcome, Timestamp, Turn,
    event::{Delivery, Note},
};
use bivouac_protocol::{
    Code, ErrorInfo, Path,
    frame::{CancelMode, Limits, LogLevel, Note as FrameNote, Op, OutFrame, Status},
};
use bytes::Bytes;

/// The longest path or key of an effect or step, in bytes.
pub const MAX_KEY: usize = 1_024;
/// The most bytes of notes in one turn.
pub const MAX_NOTE_BYTES: usize = 256 << 10;
/// The most bytes of questions in one turn.
pub const MAX_QUESTIONS_BYTES: usize = 256 << 10;

/// What a drive was given.
pub(crate) struct Driven {
    /// The turn's number.
    pub(crate) n: u64,
    /// Its time.
    pub(crate) now: Timestamp,
    /// The frame as it is journaled.
    pub(crate) frame: Bytes,
    /// The effects whose outcomes it delivered.
    pub(crate) delivered: Vec<Path>,
    /// The cancel that it carried.
    pub(crate) cancel: Option<CancelMode>,
}

/// What a drive came to.
pub(crate) struct Translated {
    pub(crate) turn: Turn,
    pub(crate) end: Option<End>,
    pub(crate) writes: Vec<MemoryWrite>,
    /// The operations asked for, by path.
    pub(crate) ops: Vec<(Path, Op)>,
}

/// Translates a frame; what breaks a limit fails the attempt.
pub(crate) fn translate(
    driven: Driven,
    out: OutFrame,
    log: Vec<String>,
    limits: &Limits,
    scope: &MemoryScope,
    memory: Keeper,
) -> Result<Translated, ErrorInfo> {
    check_limits(&out, limits)?;
    let notes = notes(&out, log, limits)?;
    let end = end_of(&out, limits)?;
    let mut writes = Vec::new();
    let mut effects = Vec::with_capacity(out.effects.len());
    let mut ops = Vec::with_capacity(out.effects.len());
    for effect in out.effects {
        let kind = kind_of(&effect.op, driven.now, memory);
        if memory != Keeper::Nobody && matches!(effect.op, Op::MemorySave { .. } | Op::MemoryDelete { .. }) {
            let write = write_of(&effect.op, scope)?;
            match memory {
                Keeper::Program if end.is_some() => return Err(unawaited(&write.name)),
                Keeper::Program | Keeper::Nobody => {}
                Keeper::Store => writes.push(write),
            }
        }
        effects.push(Effect {
            path: effect.path.clone(),
            key: effect.key,
            op: effect.op.name().into(),
            digest: effect.op.digest(),
            kind,
        });
        ops.push((effect.path, effect.op));
    }
    let steps = out
        .steps
        .into_iter()
        .map(|(key, result)| Step {
            key,
            outcome: match result {
                Ok(value) => StepOutcome::Ok(Bytes::copy_from_slice(value.text().as_bytes())),
                Err(error) => StepOutcome::Err(error),
            },
        })
        .collect();
    let turn = Turn {
        n: driven.n,
        now: driven.now,
        frame: driven.frame,
        delivered: driven.delivered.into_iter().map(|path| Delivery { path, signal: None }).collect(),
        cancel: driven.cancel,
        effects,
        steps,
        cancels: out.cancels,
        notes,
    };
    Ok(Translated { turn, end, writes, ops })
}

fn kind_of(op: &Op, now: Timestamp, memory: Keeper) -> EffectKind {
    match op {
        Op::Http(request) if matches!(request.method.as_str(), "GET" | "HEAD") => EffectKind::Safe,
        Op::Http(_) => EffectKind::Keyed,
        Op::MemorySave { .. } | Op::MemoryDelete { .. } if memory == Keeper::Store => EffectKind::Write,
        Op::MemorySave { .. } | Op::MemoryDelete { .. } if memory == Keeper::Program => EffectKind::Keyed,
        Op::Sleep { ms, until_ms } => EffectKind::Timer { due: until_ms.map_or_else(|| now.plus_ms(*ms), Timestamp) },
        Op::Ask(question) => EffectKind::Question {
            name: question.name.as_deref().map(Into::into),
            question: Bytes::copy_from_slice(question.to_json().text().as_bytes()),
        },
        // What is refused, and what is read, does nothing to the world.
        Op::MemoryLoad { .. }
        | Op::MemoryList { .. }
        | Op::MemorySave { .. }
        | Op::MemoryDelete { .. }
        | Op::Unknown { .. } => EffectKind::Safe,
    }
}

/// A write that would have to be performed after the run has ended.
fn unawaited(name: &str) -> ErrorInfo {
    ErrorInfo::terminal(
        Code::EFFECT_AFTER_END,
        format!(
            "the component ends with a write of `{name}` under way; this program keeps memory by itself, so a write takes              place when its turn is on disk: await it"
        ),
    )
}

fn write_of(op: &Op, scope: &MemoryScope) -> Result<MemoryWrite, ErrorInfo> {
    let (name, value) = match op {
        Op::MemorySave { name, value } => (name, Some(value)),
        Op::MemoryDelete { name } => (name, None),
        other => return Err(ErrorInfo::terminal(Code::INTERNAL, format!("`{}` writes no memory", other.name()))),
    };
    let too_large = |what: &str, limit: usize| {
        ErrorInfo::terminal(
            Code::REQUEST_INVALID,
            format!("a memory's {what} may have {limit} bytes: keep less under one name"),
        )
    };
    if name.len() > MAX_NAME {
        return Err(too_large("name", MAX_NAME));
    }
    if value.is_some_and(|value| value.text().len() > MAX_VALUE) {
        return Err(too_large("value", MAX_VALUE));
    }
    Ok(MemoryWrite {
        scope: scope.clone(),
        name: name.as_str().into(),
        value: value.map(|value| Bytes::copy_from_slice(value.text().as_bytes())),
    })
}

fn check_limits(out: &OutFrame, limits: &Limits) -> Result<(), ErrorInfo> {
    let too_many = |what: &str, limit: u32| {
        ErrorInfo::terminal(
            Code::TOO_MANY_EFFECTS,
            format!("a turn may have {limit} {what}: await some before starting more"),
        )
    };
    if out.effects.len() > limits.effects_per_turn as usize {
        return Err(too_many("effects", limits.effects_per_turn));
    }
    if out.cancels.len() > limits.open_effects as usize {
        return Err(too_many("cancelled effects", limits.open_effects));
    }
    let keys = out.effects.iter().flat_map(|effect| [effect.path.as_str(), effect.key.as_str()]);
    if let Some(long) = keys.chain(out.steps.iter().map(|(key, _)| key.as_str())).find(|key| key.len() > MAX_KEY) {
        return Err(ErrorInfo::terminal(
            Code::FRAME_INVALID,
            format!(
                "the path or key `{}...` has more than {MAX_KEY} bytes: use shorter names",
                long.chars().take(64).collect::<String>()
            ),
        ));
    }
    check_questions(out)?;
    for (key, result) in &out.steps {
        let size = result.as_ref().map_or_else(|error| error.message.len(), |value| value.text().len());
        if size > limits.step_bytes as usize {
            return Err(ErrorInfo::terminal(
                Code::STEP_TOO_LARGE,
                format!(
                    "the value of the step {key} has {size} bytes, {} are allowed: return a reference instead",
                    limits.step_bytes
                ),
            ));
        }
    }
    Ok(())
}

fn check_questions(out: &OutFrame) -> Result<(), ErrorInfo> {
    let mut bytes = 0;
    for effect in &out.effects {
        let Op::Ask(question) = &effect.op else { continue };
        if let Some(fault) = question.fault() {
            return Err(ErrorInfo::terminal(Code::REQUEST_INVALID, fault));
        }
        bytes += question.to_json().text().len();
    }
    if bytes > MAX_QUESTIONS_BYTES {
        return Err(ErrorInfo::terminal(
            Code::REQUEST_INVALID,
            format!("the questions of one turn have {bytes} bytes, {MAX_QUESTIONS_BYTES} are allowed: ask some later"),
        ));
    }
    Ok(())
}

fn notes(out: &OutFrame, log: Vec<String>, limits: &Limits) -> Result<Vec<Note>, ErrorInfo> {
    let too_many = || {
        ErrorInfo::terminal(
            Code::TOO_MANY_NOTES,
            format!("a turn may have {} notes of {MAX_NOTE_BYTES} bytes in all", limits.notes_per_turn),
        )
    };
    if out.notes.len() > limits.notes_per_turn as usize {
        return Err(too_many());
    }
    let lines = log.into_iter().map(|message| FrameNote::Log { level: LogLevel::Info, message });
    let notes: Vec<Note> = out
        .notes
        .iter()
        .cloned()
        .chain(lines)
        .map(|note| Note { visible: note.is_visible(), text: Bytes::copy_from_slice(note.to_json().text().as_bytes()) })
        .collect();
    if notes.iter().map(|note| note.text.len()).sum::<usize>() > MAX_NOTE_BYTES {
        return Err(too_many());
    }
    Ok(notes)
}

fn end_of(out: &OutFrame, limits: &Limits) -> Result<Option<End>, ErrorInfo> {
    let error = |code: Code, message: &str| {
        let error = out.error.clone().unwrap_or_else(|| ErrorInfo::terminal(code, message));
        Some(End::Failed { error })
    };
    Ok(match out.status {
        Status::Running => None,
        Status::Completed => {
            let output = out.output.clone().unwrap_or_default();
            if output.text().len() > limits.output_bytes as usize {
                return Err(ErrorInfo::terminal(
                    Code::OUTPUT_TOO_LARGE,
                    format!(
                        "the output has {} bytes, {} are allowed: return a reference instead",
                        output.text().len(),
                        limits.output_bytes
                    ),
                ));
            }
            Some(End::Completed { output: Bytes::copy_from_slice(output.text().as_bytes()) })
        }
        Status::Failed => error(Code::HANDLER_FAILED, "the component failed and did not say why"),
        Status::Cancelled => Some(End::Cancelled { reason: "".into() }),
        Status::Stalled => error(Code::FOREIGN_FUTURE, "the component waits for something that is not the SDK's"),
        other => Some(End::Failed {
            error: ErrorInfo::terminal(
                Code::OP_UNSUPPORTED,
                format!("this server does not know the status `{other:?}` of a guest: use a newer server"),
            ),
        }),
    })
}
