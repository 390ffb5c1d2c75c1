//! Replay: the recorded frames again, one per drive, and what comes out compared with what is recorded.

use bivouac_engine::{Effect, StepOutcome, Turn};
use bivouac_protocol::{Code, ErrorInfo};
use std::collections::BTreeSet;

/// Compares a turn that was driven again with the recorded one. `finished` holds the paths whose outcomes are recorded:
/// of those only the identity must agree.
pub(crate) fn compare(recorded: &Turn, again: &Turn, finished: &BTreeSet<&str>) -> Result<(), ErrorInfo> {
    let n = recorded.n;
    for (before, now) in recorded.effects.iter().zip(&again.effects) {
        if (&before.path, &before.op) != (&now.path, &now.op) {
            return Err(mismatch(n, &before.to_string(), &now.to_string()));
        }
        if before.digest != now.digest {
            if !finished.contains(before.path.as_str()) {
                return Err(mismatch(n, &before.to_string(), &format!("{now} with other arguments")));
            }
            tracing::warn!(turn = n, path = %before.path, op = %before.op, "a finished effect has other arguments in replay");
        }
    }
    if recorded.effects.len() != again.effects.len() {
        let index = recorded.effects.len().min(again.effects.len());
        return Err(mismatch(n, &effect(recorded.effects.get(index)), &effect(again.effects.get(index))));
    }
    for (before, now) in recorded.steps.iter().zip(&again.steps) {
        if before != now {
            return Err(mismatch(n, &step(before), &step(now)));
        }
    }
    if recorded.steps.len() != again.steps.len() {
        let index = recorded.steps.len().min(again.steps.len());
        let name = |turn: &Turn| turn.steps.get(index).map_or_else(|| "no further step".to_owned(), step);
        return Err(mismatch(n, &name(recorded), &name(again)));
    }
    if recorded.cancels != again.cancels {
        return Err(mismatch(n, &format!("{:?} given up", recorded.cancels), &format!("{:?} given up", again.cancels)));
    }
    Ok(())
}

fn effect(effect: Option<&Effect>) -> String {
    effect.map_or_else(|| "no further effect".to_owned(), ToString::to_string)
}

fn step(step: &bivouac_engine::Step) -> String {
    match &step.outcome {
        StepOutcome::Ok(value) => format!("the step {} with a value of {} bytes", step.key, value.len()),
        StepOutcome::Err(error) => format!("the step {} with the error {}", step.key, error.code),
    }
}

fn mismatch(turn: u64, recorded: &str, now: &str) -> ErrorInfo {
    ErrorInfo::terminal(
        Code::JOURNAL_MISMATCH,
        format!(
            "replay came out differently in turn {turn}: recorded is {recorded}, the code now gives {now}. The code is not \
             deterministic (HashMap order, the wall clock, unseeded randomness), or it was changed under the run"
        ),
    )
}
