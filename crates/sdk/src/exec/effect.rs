//! The one future that leaves the guest, and the table of what is open.

use super::{
    core::{Core, State},
    scope::{Counts, Opening, Scope},
};
use crate::error::Error;
use bivouac_protocol::{
    Code, EffectKey, ErrorInfo, Json, Path,
    frame::{Effect, HttpResponse, Op, Outcome},
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// What is special about an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its future takes its outcome.
    Plain,
    /// A wait of the author's: fails when the run is cancelled.
    Wait,
    /// The timer of a `timeout`: starts anew in each attempt, and never fires once the run is cancelled.
    Deadline,
}

/// What became of an effect, with the bytes that it may refer to.
pub(crate) struct Resolved {
    outcome: Outcome,
    attachments: Vec<Bytes>,
}

impl Resolved {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, attachments: Vec::new() }
    }

    /// The outcome as a value.
    pub(crate) fn value(self) -> Result<Json, Error> {
        match self.outcome {
            Outcome::Ok(json) => Ok(json),
            Outcome::Http(_) => Ok(Json::null()),
            Outcome::Err(error) => Err(Error::from_info(error)),
        }
    }

    /// The outcome as a reply.
    pub(crate) fn reply(self) -> Result<HttpResponse, Error> {
        match self.outcome {
            Outcome::Ok(json) => HttpResponse::from_json(&json, &self.attachments)
                .map_err(|error| Error::refused(Code::FRAME_INVALID, format!("the host's reply: {error}"))),
            Outcome::Http(response) => Ok(response),
            Outcome::Err(error) => Err(Error::from_info(error)),
        }
    }
}

/// What is open, and when timers of earlier attempts are due.
pub(crate) struct Effects {
    /// In the order in which they were asked for, which is that of their numbers.
    open: Vec<OpenEffect>,
    timers: Counts,
    /// What questions of earlier attempts were answered with; a key is asked for once in an attempt.
    answers: Vec<(EffectKey, Json)>,
    next: u32,
}

struct OpenEffect {
    id: u32,
    path: Path,
    kind: Kind,
    asked_in: u64,
    scope: Arc<Scope>,
    item: u32,
    detached: bool,
    resolved: Option<Resolved>,
    waker: Waker,
}

impl OpenEffect {
    /// The waker, which is needed once: what is resolved is not waited for any more.
    fn take_waker(&mut self) -> Waker {
        std::mem::replace(&mut self.waker, Waker::noop().clone())
    }
}

impl Effects {
    pub(crate) fn new(timers: Vec<(EffectKey, u64)>, answers: Vec<(EffectKey, Json)>) -> Self {
        let mut due = Counts::new();
        for (key, due_ms) in timers {
            due.insert(key.as_str().into(), due_ms);
        }
        Self { open: Vec::new(), timers: due, answers, next: 0 }
    }

    /// The answer that an earlier attempt's question of this key got.
    fn take_answer(&mut self, key: &EffectKey) -> Option<Json> {
        let at = self.answers.iter().position(|(answered, _)| answered == key)?;
        Some(self.answers.swap_remove(at).1)
    }

    /// Takes a delivered outcome; one for a path that is not open is of no interest any more. Gives who is to be woken,
    /// once nothing is locked.
    #[must_use]
    pub(crate) fn deliver(&mut self, path: &Path, outcome: Outcome, attachments: &[Bytes]) -> Option<Waker> {
        let at = self.open.iter().position(|open| open.path == *path && open.resolved.is_none())?;
        let open = &mut self.open[at];
        if open.detached {
            self.open.remove(at);
            return None;
        }
        open.resolved = Some(Resolved { outcome, attachments: attachments.to_vec() });
        Some(open.take_waker())
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.open.binary_search_by_key(&id, |open| open.id).ok()
    }

    /// Whether a future waits for an outcome.
    pub(crate) fn any_awaited(&self) -> bool {
        self.open.iter().any(|open| open.resolved.is_none() && !open.detached)
    }
}

impl State {
    /// The run is to end in grace: waits fail, deadlines are forgotten, all else goes on. Gives who is to be woken, once
    /// nothing is locked.
    #[must_use]
    pub(crate) fn cancel_waits(&mut self) -> Vec<Waker> {
        let (mut forgotten, mut wakers) = (Vec::new(), Vec::new());
        for open in &mut self.effects.open {
            if open.resolved.is_some() || open.kind == Kind::Plain {
                continue;
            }
            self.out.cancels.push(open.path.clone());
            if open.kind == Kind::Wait {
                // Handed over here and now, so that dropping it untaken does not report it a second time.
                open.resolved = Some(Resolved::new(Outcome::Err(cancelled())));
                open.detached = true;
                wakers.push(open.take_waker());
            } else {
                forgotten.push(open.id);
            }
        }
        for id in forgotten {
            self.release(id);
        }
        wakers
    }

    fn release(&mut self, id: u32) -> Option<OpenEffect> {
        let at = self.effects.position(id)?;
        let open = self.effects.open.remove(at);
        open.scope.close(open.item);
        Some(open)
    }

    /// Forgets an effect whose future was dropped: unsaid where this turn asked for it, cancelled where an earlier one
    /// did.
    fn abandon(&mut self, id: u32) {
        let Some(open) = self.release(id) else { return };
        if !open.detached {
            self.withdraw(open);
        }
    }

    fn withdraw(&mut self, open: OpenEffect) {
        if open.asked_in == self.turn {
            self.out.effects.retain(|effect| effect.path != open.path);
        } else {
            self.out.cancels.push(open.path);
        }
    }

    /// What is still open when the attempt ends: writes to memory go with its commit, all else is cancelled.
    pub(crate) fn end_effects(&mut self) {
        for open in std::mem::take(&mut self.effects.open) {
            if !open.detached {
                self.withdraw(open);
            }
        }
    }
}

fn cancelled() -> ErrorInfo {
    ErrorInfo::terminal(Code::CANCELLED, "the run is being cancelled, so it does not wait any more")
}

fn opening_name(op: &Op) -> &'static str {
    use bivouac_protocol::frame::op_names as names;
    match op {
        Op::Http(_) => names::HTTP,
        Op::MemoryLoad { .. } => names::MEMORY_LOAD,
        Op::MemoryList { .. } => names::MEMORY_LIST,
        Op::MemorySave { .. } => names::MEMORY_SAVE,
        Op::MemoryDelete { .. } => names::MEMORY_DELETE,
        Op::Sleep { .. } => names::SLEEP,
        Op::Ask(_) => names::ASK,
        Op::Unknown { .. } => "effect",
    }
}

enum Opened {
    Now(Resolved),
    Open(u32),
    Never,
}

impl Core {
    fn open_effect(&self, mut op: Op, key: Option<&str>, kind: Kind, waker: &Waker, detached: bool) -> Opened {
        let mut state = self.state();
        if state.fatal.is_some() {
            return Opened::Never;
        }
        let scope = Arc::clone(&state.current);
        let name = opening_name(&op);
        let item = if detached {
            scope.pass()
        } else {
            match scope.open(Opening::Effect(name)) {
                Ok(item) => item,
                Err(open) => {
                    state.refuse_second(&scope, &open, &format!("a `{name}`"));
                    return Opened::Never;
                }
            }
        };
        let key = self.effect_key(&scope, &op, key, kind);
        if let Op::Sleep { until_ms, .. } = &mut op
            && kind != Kind::Plain
        {
            *until_ms = state.effects.timers.get(key.as_str()).copied();
            let due = until_ms.is_some_and(|due| due <= state.now_ms);
            if due || state.cancel.is_some() {
                scope.close(item);
                return match (due, kind) {
                    (true, _) => Opened::Now(Resolved::new(Outcome::Ok(Json::null()))),
                    (false, Kind::Deadline) => Opened::Never,
                    (false, _) => Opened::Now(Resolved::new(Outcome::Err(cancelled()))),
                };
            }
        }
        if matches!(op, Op::Ask(_)) {
            let known = state.effects.take_answer(&key).map(Outcome::Ok);
            let over = state.cancel.is_some().then(|| Outcome::Err(cancelled()));
            if let Some(outcome) = known.or(over) {
                scope.close(item);
                return Opened::Now(Resolved::new(outcome));
            }
        }
        let limits = &self.start.limits;
        if state.out.effects.len() >= limits.effects_per_turn as usize {
            let message = too_many(&scope, limits.effects_per_turn, "ask for in one turn");
            state.fail(Code::TOO_MANY_EFFECTS, message);
            return Opened::Never;
        }
        if state.effects.open.len() >= limits.open_effects as usize {
            let message = too_many(&scope, limits.open_effects, "have open at once");
            state.fail(Code::TOO_MANY_EFFECTS, message);
            return Opened::Never;
        }
        let path = Path::new(scope.item_path(item));
        let id = state.effects.next;
        state.effects.next += 1;
        state.out.effects.push(Effect { path: path.clone(), key, op });
        let asked_in = state.turn;
        let waker = waker.clone();
        let open = OpenEffect { id, path, kind, asked_in, scope, item, detached, resolved: None, waker };
        state.effects.open.push(open);
        Opened::Open(id)
    }

    fn effect_key(&self, scope: &Scope, op: &Op, key: Option<&str>, kind: Kind) -> EffectKey {
        let generation = self.start.generation;
        let mut key = match key {
            Some(name) => scope.named_key(generation, name),
            None => scope.digest_key(generation, op.digest()),
        };
        // A deadline that passed in one attempt must not be passed from the start in all that follow.
        if kind == Kind::Deadline && self.start.attempt > 1 {
            key.push_str(&format!("~{}", self.start.attempt));
        }
        EffectKey::new(key)
    }
}

fn too_many(scope: &Scope, limit: u32, what: &str) -> String {
    format!("{} goes beyond the {limit} effects that a run may {what}: work in smaller groups", scope.describe())
}

/// An effect: asked for when first polled, resolved when its outcome is delivered, cancelled when dropped before.
pub(crate) struct EffectFuture {
    core: Arc<Core>,
    phase: Phase,
}

enum Phase {
    Unasked { op: Op, key: Option<String>, kind: Kind },
    Open(u32),
    Ended,
}

impl EffectFuture {
    pub(crate) fn new(core: &Arc<Core>, op: Op, kind: Kind) -> Self {
        Self { core: Arc::clone(core), phase: Phase::Unasked { op, key: None, kind } }
    }

    pub(crate) fn with_key(mut self, author_key: Option<String>) -> Self {
        if let Phase::Unasked { key, .. } = &mut self.phase {
            *key = author_key;
        }
        self
    }

    /// Asks for the effect now and never looks at its outcome.
    pub(crate) fn detach(mut self) {
        if let Phase::Unasked { op, key, kind } = std::mem::replace(&mut self.phase, Phase::Ended) {
            self.core.open_effect(op, key.as_deref(), kind, Waker::noop(), true);
        }
    }
}

impl Future for EffectFuture {
    type Output = Resolved;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Resolved> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Unasked { op, key, kind } => {
                match self.core.open_effect(op, key.as_deref(), kind, cx.waker(), false) {
                    Opened::Now(resolved) => return Poll::Ready(resolved),
                    Opened::Open(id) => self.phase = Phase::Open(id),
                    Opened::Never => {}
                }
                self.core.pending()
            }
            Phase::Open(id) => {
                let mut state = self.core.state();
                let Some(at) = state.effects.position(id) else {
                    state.count_pending();
                    return Poll::Pending;
                };
                let open = &mut state.effects.open[at];
                if open.resolved.is_none() {
                    // An old waker may be another combinator's, so it is dropped after the lock.
                    let waker = (!open.waker.will_wake(cx.waker()))
                        .then(|| std::mem::replace(&mut open.waker, cx.waker().clone()));
                    state.count_pending();
                    drop(state);
                    drop(waker);
                    self.phase = Phase::Open(id);
                    return Poll::Pending;
                }
                let open = state.release(id);
                drop(state);
                open.and_then(|open| open.resolved).map_or(Poll::Pending, Poll::Ready)
            }
            Phase::Ended => self.core.pending(),
        }
    }
}

impl Drop for EffectFuture {
    fn drop(&mut self) {
        if let Phase::Open(id) = self.phase {
            self.core.state().abandon(id);
        }
    }
}
