//! That events are numbered without a gap: what every store checks before it writes.

use crate::CommitError;
use bivouac_engine::{Event, Transition};

/// The number of the run's last event after the transition, where its events follow the last one that the store has.
///
/// `None` as the last one means that the store does not know the run.
pub(crate) fn follow(last: Option<u64>, transition: &Transition) -> Result<u64, CommitError> {
    let conflict = |text: String| CommitError::Conflict(format!("{}: {text}", transition.run));
    let opens = transition.events.first().is_some_and(|first| matches!(first.event, Event::Accepted(_)));
    match last {
        None if !opens => return Err(conflict("there is no such run".to_owned())),
        Some(_) if opens => return Err(conflict("the run is there already".to_owned())),
        None | Some(_) => {}
    }
    let mut seq = last.unwrap_or(0);
    for (i, recorded) in transition.events.iter().enumerate() {
        if recorded.seq != seq + 1 {
            return Err(conflict(format!("event {} came where event {} was due", recorded.seq, seq + 1)));
        }
        if i > 0 && matches!(recorded.event, Event::Accepted(_)) {
            return Err(conflict("the run is accepted twice".to_owned()));
        }
        seq = recorded.seq;
    }
    Ok(seq)
}
