//! Questions: which are open, what an answer to one changes, and that it counts once.
//!
//! An answer belongs to its question's key for good: a later attempt that asks the same gets it again, and a future that
//! was dropped untaken does not give it back. Whoever answers may do so again with the same words and hears the same.

use super::{Phase, Run};
use crate::{
    event::{EffectKind, Event},
    input::Rejection,
    sabotaged,
};
use bivouac_protocol::{EffectKey, key::Digest};
use bytes::Bytes;

/// A question that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is known by.
    pub key: EffectKey,
    /// The author's name for it.
    pub name: Option<Box<str>>,
    /// The question, as JSON text.
    pub question: Bytes,
}

/// What a question was answered with, so far as the machine has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The author's name for the question.
    pub(crate) name: Option<Box<str>>,
    /// Whose answer.
    pub(crate) id: Box<str>,
    /// What was answered.
    pub(crate) digest: Digest,
    /// The event that carries it.
    pub(crate) seq: u64,
}

impl Run {
    /// The questions that wait for an answer, in the order of their paths.
    pub fn questions(&self) -> impl Iterator<Item = Asked> {
        self.open.values().filter_map(|open| match &open.kind {
            EffectKind::Question { name, question } if !self.answers.contains_key(&open.key) => {
                Some(Asked { key: open.key.clone(), name: name.clone(), question: question.clone() })
            }
            EffectKind::Question { .. }
            | EffectKind::Safe
            | EffectKind::Keyed
            | EffectKind::Write
            | EffectKind::Timer { .. }
            | EffectKind::Signal { .. } => None,
        })
    }

    pub(super) fn decide_answer(
        &self,
        question: Option<&str>,
        id: &str,
        payload: &Bytes,
    ) -> Result<Vec<Event>, Rejection> {
        let names = |key: &EffectKey, name: Option<&str>| {
            question.is_none_or(|question| key.as_str() == question || name == Some(question))
        };
        if let Some((key, known)) = self.answers.iter().find(|(_, known)| *known.id == *id)
            && !sabotaged!(AnswerCountsTwice)
        {
            let same = known.digest == digest(payload) && names(key, known.name.as_deref());
            return if same { Ok(Vec::new()) } else { Err(Rejection::AlreadyAnswered) };
        }
        if matches!(self.phase, Phase::Ended(_)) {
            return Err(Rejection::Finished);
        }
        let open: Vec<Asked> = self.questions().collect();
        let mut meant = open.iter().filter(|asked| names(&asked.key, asked.name.as_deref()));
        let key = match (meant.next(), meant.next()) {
            (Some(asked), None) => asked.key.clone(),
            (None, _) if self.has_answered(question) => return Err(Rejection::AlreadyAnswered),
            (None, _) if open.is_empty() => return Err(Rejection::NothingAsked),
            _ => return Err(Rejection::WhichQuestion(open)),
        };
        let answered = Event::Answered { key, id: id.into(), payload: payload.clone() };
        Ok(match self.phase {
            Phase::Parked => vec![answered, Event::Woken],
            Phase::Absent | Phase::Live | Phase::BackingOff(_) | Phase::Paused | Phase::Ended(_) => vec![answered],
        })
    }

    /// Whether the question was answered already: the one that is named, else one that has not heard of it yet.
    fn has_answered(&self, question: Option<&str>) -> bool {
        match question {
            Some(question) => self
                .answers
                .iter()
                .any(|(key, answer)| key.as_str() == question || answer.name.as_deref() == Some(question)),
            None => self.open.values().any(|open| self.answers.contains_key(&open.key)),
        }
    }

    pub(super) fn answered(&mut self, key: &EffectKey, id: &str, payload: &Bytes) {
        let name = self.open.values().find(|open| open.key == *key).and_then(|open| match &open.kind {
            EffectKind::Question { name, .. } => name.clone(),
            EffectKind::Safe
            | EffectKind::Keyed
            | EffectKind::Write
            | EffectKind::Timer { .. }
            | EffectKind::Signal { .. } => None,
        });
        let answer = Answer { name, id: id.into(), digest: digest(payload), seq: self.next_seq - 1 };
        self.answers.insert(key.clone(), answer);
    }
}

fn digest(payload: &Bytes) -> Digest {
    Digest::of([&payload[..]])
}
