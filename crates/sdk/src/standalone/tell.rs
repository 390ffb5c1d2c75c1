//! A kept task as A2A tells it: the same facts, in the same order, as the platform's journal gives.

use super::record::{End, Entry, Journal};
use crate::error::Error;
use bivouac_a2a::{
    Timestamp,
    task::{self, Fact, RunEvent, TaskFold, Told},
};
use bivouac_protocol::{
    EffectKey, Path,
    frame::{Note, Op, Question},
};
use std::collections::BTreeMap;

/// A question that is open.
pub(super) struct OpenQuestion {
    pub(super) key: EffectKey,
    pub(super) question: Question,
}

impl OpenQuestion {
    /// What an answer may name it by.
    pub(super) fn name(&self) -> &str {
        self.question.name.as_deref().unwrap_or(self.key.as_str())
    }
}

/// A number of a time or an entry as A2A's types have it.
fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// What happened, in order.
pub(super) fn facts(journal: &Journal) -> Result<Vec<RunEvent>, Error> {
    let mut events = vec![RunEvent {
        seq: 1,
        at: timestamp(journal.accepted_ms),
        fact: Fact::Accepted { input: journal.message.clone() },
    }];
    let mut began = false;
    // What the attempt asks, by path: a turn withdraws a question by that.
    let mut open: BTreeMap<Path, String> = BTreeMap::new();
    for (seq, entry) in (2_u64..).zip(&journal.entries) {
        let (at, facts) = match entry {
            // The fold hears of an attempt by its first turn.
            Entry::Began { at, .. } | Entry::CancelRequested { at } => (*at, vec![Fact::Moved]),
            Entry::Turn { at, frame, out } => {
                let out = out.outgoing()?;
                let incoming = frame.incoming()?;
                for (path, _) in &incoming.deliver {
                    open.remove(path);
                }
                let mut facts = Vec::new();
                if !std::mem::replace(&mut began, true) {
                    facts.push(Fact::Began);
                }
                let withdrawn: Vec<_> = out.cancels.iter().filter_map(|path| open.remove(path)).collect();
                // What a cancel takes back goes with the task: its end is what is told.
                facts.extend(
                    withdrawn.into_iter().filter(|_| incoming.cancel.is_none()).map(|key| Fact::Withdrawn { key }),
                );
                facts.extend(out.notes.into_iter().filter_map(note));
                for effect in out.effects {
                    if let Op::Ask(question) = effect.op {
                        open.insert(effect.path, effect.key.to_string());
                        facts.push(Fact::Asked { key: effect.key.to_string(), question });
                    }
                }
                (*at, facts)
            }
            Entry::Answered { key, id, payload, at } => {
                (*at, vec![Fact::Answered { key: key.to_string(), id: id.clone(), outcome: payload.clone() }])
            }
            Entry::Failed { at, .. } => {
                open.clear();
                (*at, vec![Fact::AttemptFailed])
            }
            Entry::Ended { end, at } => (*at, vec![Fact::Ended(ended(end))]),
        };
        let at = timestamp(at);
        events.extend(facts.into_iter().map(|fact| RunEvent { seq, at, fact }));
    }
    Ok(events)
}

fn note(note: Note) -> Option<Fact> {
    match note {
        Note::Progress { content } => Some(Fact::Progress { content }),
        Note::Artifact { artifact, append, last_chunk } => Some(Fact::Artifact { artifact, append, last_chunk }),
        _ => None,
    }
}

fn ended(end: &End) -> task::End {
    match end {
        End::Completed { output } => task::End::Completed { output: output.clone() },
        End::Failed { error } => task::End::Failed { code: error.code.clone(), message: error.message.clone() },
        End::Cancelled => task::End::Canceled { reason: String::new() },
    }
}

/// A task with nothing taken in.
pub(super) fn fold_of(journal: &Journal) -> TaskFold {
    TaskFold::new(journal.id.to_string(), journal.context_id.clone())
}

/// The task as it stands, and everything that was told of it.
pub(super) fn tell(journal: &Journal) -> Result<(TaskFold, Vec<Told>), Error> {
    let mut fold = fold_of(journal);
    let told = facts(journal)?.iter().flat_map(|event| fold.apply(event)).collect();
    Ok((fold, told))
}

/// The questions that wait for an answer.
pub(super) fn open_questions(journal: &Journal) -> Result<Vec<OpenQuestion>, Error> {
    if journal.end().is_some() {
        return Ok(Vec::new());
    }
    let mut open: BTreeMap<Path, OpenQuestion> = BTreeMap::new();
    for entry in journal.attempt().1 {
        let Entry::Turn { frame, out, .. } = entry else { continue };
        let out = out.outgoing()?;
        for path in frame.incoming()?.deliver.iter().map(|(path, _)| path).chain(&out.cancels) {
            open.remove(path);
        }
        for effect in out.effects {
            if let Op::Ask(question) = effect.op {
                open.insert(effect.path, OpenQuestion { key: effect.key, question });
            }
        }
    }
    Ok(open.into_values().filter(|open| journal.answer(&open.key).is_none()).collect())
}
