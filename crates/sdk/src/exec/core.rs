//! What every future of the SDK shares: the turn being made, the memo, what is open, and the scope being polled.

use super::{
    attempt::NewTask,
    effect::{Effects, Resolved},
    lock,
    scope::{Group, Opening, Scope, ScopeKind, TaskOwner},
};
use crate::error::Error;
use bivouac_protocol::{
    Code, ErrorInfo, Json, StepKey,
    frame::{CancelMode, Effect, Note, Start, StepResult},
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake},
};

/// What an attempt's futures share.
pub(crate) struct Core {
    /// How the attempt started, without its memo.
    pub(crate) start: Start,
    pub(crate) auth: crate::AuthContext,
    pub(crate) ready: Arc<Ready>,
    state: Mutex<State>,
}

/// What changes from turn to turn.
pub(crate) struct State {
    pub(crate) turn: u64,
    pub(crate) now_ms: u64,
    pub(crate) cancel: Option<CancelMode>,
    /// The scope whose future is being polled.
    pub(crate) current: Arc<Scope>,
    /// Why the attempt cannot go on.
    pub(crate) fatal: Option<ErrorInfo>,
    /// What earlier attempts recorded; taken out once, since a step's key is used once in an attempt.
    memo_steps: BTreeMap<Box<str>, Option<StepResult>>,
    pub(crate) effects: Effects,
    /// What this turn says besides its effects.
    pub(crate) out: Out,
    pub(crate) spawned: Vec<NewTask>,
    /// Whether a step with tasks was dropped in this poll.
    pub(crate) abandoned: bool,
    next_scope: u32,
    /// How often a future of the SDK answered "not yet": a scope whose future does so while this stands still awaits
    /// something foreign.
    pendings: u64,
    foreign: Vec<Weak<Scope>>,
}

/// A turn's effects, steps and notes, in the order in which they came.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) effects: Vec<Effect>,
    pub(crate) steps: Vec<(StepKey, StepResult)>,
    pub(crate) cancels: Vec<bivouac_protocol::Path>,
    pub(crate) notes: Vec<Note>,
}

/// The tasks that were woken, in order.
#[derive(Default)]
pub(crate) struct Ready(Mutex<VecDeque<u32>>);

impl Ready {
    pub(crate) fn push(&self, task: u32) {
        lock(&self.0).push_back(task);
    }

    pub(crate) fn pop(&self) -> Option<u32> {
        lock(&self.0).pop_front()
    }
}

/// Wakes one task: puts it into the queue once until it is polled.
pub(crate) struct TaskWaker {
    pub(crate) task: u32,
    pub(crate) queued: AtomicBool,
    pub(crate) ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.task);
        }
    }
}

/// What a step does when it is first polled.
pub(crate) enum StepStart {
    /// Its result is known; the body is not polled.
    Known(StepResult),
    /// The body is to be polled.
    Run(OpenStep),
    /// The attempt is over.
    Never,
}

impl Core {
    pub(crate) fn new(mut start: Start, turn: u64, now_ms: u64) -> Arc<Self> {
        let memo = std::mem::take(&mut start.memo);
        let auth = crate::AuthContext::from(std::mem::take(&mut start.auth));
        let mut memo_steps = BTreeMap::new();
        for (key, result) in memo.steps {
            memo_steps.insert(key.as_str().into(), Some(result));
        }
        Arc::new(Self {
            auth,
            ready: Arc::default(),
            state: Mutex::new(State {
                turn,
                now_ms,
                cancel: None,
                current: Scope::root(),
                fatal: None,
                memo_steps,
                effects: Effects::new(memo.timers, memo.answers),
                out: Out::default(),
                spawned: Vec::new(),
                abandoned: false,
                next_scope: 1,
                pendings: 0,
                foreign: Vec::new(),
            }),
            start,
        })
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Polls a future in its scope.
    pub(crate) fn poll_in<F: Future + ?Sized>(
        &self,
        scope: &Arc<Scope>,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let (outer, before) = {
            let mut state = self.state();
            (std::mem::replace(&mut state.current, Arc::clone(scope)), state.pendings)
        };
        let polled = future.poll(cx);
        let mut state = self.state();
        state.current = outer;
        if !state.foreign.is_empty() {
            state.foreign.retain(|other| other.upgrade().is_some_and(|other| other.id != scope.id));
        }
        if polled.is_pending() {
            if state.pendings == before {
                state.foreign.push(Arc::downgrade(scope));
            }
            state.pendings += 1;
        }
        polled
    }

    /// Answers "not yet" for a future of the SDK.
    pub(crate) fn pending<T>(&self) -> Poll<T> {
        self.state().pendings += 1;
        Poll::Pending
    }

    /// Ends the attempt with an error that the same again would meet again.
    pub(crate) fn fail(&self, code: Code, message: impl Into<String>) {
        self.state().fail(code, message);
    }

    /// Starts a step in the scope being polled.
    pub(crate) fn start_step(self: &Arc<Self>, name: &str) -> StepStart {
        let mut state = self.state();
        let parent = Arc::clone(&state.current);
        if name.is_empty() {
            state.fail(Code::INVALID_INPUT, format!("a step in {} has no name: give it one", parent.describe()));
        }
        if state.fatal.is_some() {
            return StepStart::Never;
        }
        let (item, key) = match parent.open_step(name) {
            Ok(opened) => opened,
            Err(open) => {
                state.refuse_second(&parent, &open, &format!("the step `{name}`"));
                return StepStart::Never;
            }
        };
        if let Some(result) = state.memo_steps.get_mut(&*key).and_then(Option::take) {
            parent.close(item);
            return StepStart::Known(result);
        }
        let owner = Arc::<TaskOwner>::default();
        let scope = Scope::step(state.next_scope(), &key, owner);
        StepStart::Run(OpenStep { core: Arc::clone(self), parent, item, key, scope, ended: false })
    }

    /// Opens a combinator in the scope being polled; nothing where the attempt is over.
    pub(crate) fn open_group(self: &Arc<Self>, name: &'static str) -> Option<OpenGroup> {
        let mut state = self.state();
        if state.fatal.is_some() {
            return None;
        }
        let parent = Arc::clone(&state.current);
        match parent.open_group(name) {
            Ok(group) => Some(OpenGroup { core: Arc::clone(self), parent, group }),
            Err(open) => {
                state.refuse_second(&parent, &open, &format!("a `{name}`"));
                None
            }
        }
    }

    /// Keeps what an author's task reports.
    pub(crate) fn note(&self, note: Note) {
        let limit = self.start.limits.notes_per_turn;
        let mut state = self.state();
        if state.out.notes.len() >= limit as usize {
            let scope = state.current.describe();
            state.fail(
                Code::TOO_MANY_NOTES,
                format!("{scope} made more than {limit} notes in one turn: emit and log less, or less often"),
            );
        } else {
            state.out.notes.push(note);
        }
    }
}

impl State {
    pub(crate) fn fail(&mut self, code: Code, message: impl Into<String>) {
        if self.fatal.is_none() {
            self.fatal = Some(ErrorInfo::terminal(code, message));
        }
    }

    pub(crate) fn next_scope(&mut self) -> u32 {
        let id = self.next_scope;
        self.next_scope = self.next_scope.wrapping_add(1);
        id
    }

    /// Ends the attempt because a scope opened something while something was open in it.
    pub(crate) fn refuse_second(&mut self, scope: &Scope, open: &Opening, second: &str) {
        let message = format!(
            "{second} started in {} while {} is not finished there; effects and steps that go on at once need \
             `ctx.join`, `ctx.join_all` or `ctx.select`, which give each its own scope",
            scope.describe(),
            open.describe(),
        );
        self.fail(Code::CONCURRENT_SCOPE, message);
    }

    /// Where something foreign is awaited, as a person reads it.
    pub(crate) fn foreign_scopes(&self) -> Vec<String> {
        self.foreign.iter().filter_map(Weak::upgrade).map(|scope| scope.describe()).collect()
    }

    pub(crate) fn count_pending(&mut self) {
        self.pendings += 1;
    }
}

/// A step whose body is not finished. Dropping it abandons the step.
pub(crate) struct OpenStep {
    core: Arc<Core>,
    parent: Arc<Scope>,
    item: u32,
    key: Arc<str>,
    scope: Arc<Scope>,
    ended: bool,
}

impl OpenStep {
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Whether tasks that the body spawned still run; if so, the last one wakes.
    pub(crate) fn awaits_tasks(&self, cx: &Context<'_>) -> bool {
        self.scope.owner.as_ref().is_some_and(|owner| owner.still_running(cx))
    }

    /// Records the step's end.
    ///
    /// # Errors
    /// What was recorded instead of a value.
    pub(crate) fn end(mut self, result: Result<Json, Error>) -> Result<(), Error> {
        self.ended = true;
        self.parent.close(self.item);
        let limit = self.core.start.limits.step_bytes;
        let result = match result {
            Ok(value) if value.text().len() > limit as usize => Err(ErrorInfo::terminal(
                Code::STEP_TOO_LARGE,
                format!(
                    "the value of the step `{}` is {} bytes of JSON, {limit} are allowed: keep the large part \
                     elsewhere and return a reference to it",
                    self.key,
                    value.text().len(),
                ),
            )),
            Ok(value) => Ok(value),
            Err(error) => Err(error.into_info()),
        };
        let ended = result.as_ref().map(drop).map_err(|error| Error::from_info(error.clone()));
        self.core.state().out.steps.push((StepKey::new(&*self.key), result));
        ended
    }
}

impl Drop for OpenStep {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.parent.close(self.item);
        if let Some(owner) = &self.scope.owner
            && owner.has_tasks()
        {
            owner.abandon();
            self.core.state().abandoned = true;
        }
    }
}

/// A combinator that is not finished.
pub(crate) struct OpenGroup {
    core: Arc<Core>,
    parent: Arc<Scope>,
    group: Group,
}

impl OpenGroup {
    /// The scope of a branch, from 1.
    pub(crate) fn branch(&self, number: u32) -> Arc<Scope> {
        let id = self.core.state().next_scope();
        self.parent.branch(id, ScopeKind::Branch, &self.group, number)
    }
}

impl Drop for OpenGroup {
    fn drop(&mut self) {
        self.parent.close(self.group.item);
    }
}

/// The error of a value that is not what its type says.
pub(crate) fn unreadable(what: impl std::fmt::Display, error: &serde_json::Error) -> Error {
    Error::refused(Code::INVALID_INPUT, format!("{what}: {error}"))
}

/// The outcome of an effect whose value nobody reads.
pub(crate) fn nothing(resolved: Resolved) -> Result<(), Error> {
    resolved.value().map(drop)
}
