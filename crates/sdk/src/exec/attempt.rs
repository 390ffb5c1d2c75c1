//! One attempt of a component: its tasks, and the loop that drives them through a turn.

use super::{
    Boxed, MAX_POLLS_PER_TURN,
    core::{Core, TaskWaker},
    lock,
    scope::{Scope, TaskOwner},
};
use crate::error::Error;
use bivouac_protocol::{
    Code, ErrorInfo, Json,
    frame::{CancelMode, InFrame, OutFrame, Status},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// The number of the task that is the component itself.
const ROOT: u32 = 0;

/// A task that a poll spawned.
pub(crate) struct NewTask {
    pub(crate) future: Boxed<()>,
    pub(crate) scope: Arc<Scope>,
}

struct Task {
    id: u32,
    future: Boxed<()>,
    scope: Arc<Scope>,
    owner: Option<Arc<TaskOwner>>,
    waker: Arc<TaskWaker>,
}

/// One attempt of a component.
pub(crate) struct Attempt {
    core: Arc<Core>,
    /// In the order in which they were spawned, which is that of their numbers.
    tasks: Vec<Task>,
    next_task: u32,
    result: Arc<Mutex<Option<Result<Json, Error>>>>,
}

/// How a turn ended.
enum Ending {
    Running,
    Done(Result<Json, Error>),
    Failed(ErrorInfo),
    Cancelled,
    Stalled(ErrorInfo),
}

impl Attempt {
    /// Starts an attempt; its first turn is still to be driven.
    pub(crate) fn start(core: Arc<Core>, body: Boxed<Result<Json, Error>>) -> Self {
        let result = Arc::<Mutex<Option<_>>>::default();
        let slot = Arc::clone(&result);
        let future = Box::pin(async move {
            let ended = body.await;
            *lock(&slot) = Some(ended);
        });
        let mut attempt = Self { core, tasks: Vec::new(), next_task: ROOT, result };
        attempt.add(NewTask { future, scope: Scope::root() }, None);
        attempt
    }

    /// Drives one turn. After a terminal status the attempt is empty.
    pub(crate) fn turn(&mut self, frame: InFrame) -> OutFrame {
        let mut state = self.core.state();
        state.turn = frame.turn;
        // Decreasing time would be the host's mistake; no timer is to pay for it.
        state.now_ms = state.now_ms.max(frame.now_ms);
        drop(state);
        for (path, outcome) in frame.deliver {
            let waker = self.core.state().effects.deliver(&path, outcome, &frame.attachments);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        if frame.cancel == Some(CancelMode::Grace) {
            self.begin_grace();
        }
        let ending = if frame.cancel == Some(CancelMode::Now) { Ending::Cancelled } else { self.run() };
        self.finish(ending)
    }

    fn begin_grace(&self) {
        let mut state = self.core.state();
        if state.cancel.replace(CancelMode::Grace).is_some() {
            return;
        }
        let wakers = state.cancel_waits();
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Polls what was woken until nothing is.
    fn run(&mut self) -> Ending {
        let mut polls = 0;
        while let Some(id) = self.core.ready.pop() {
            polls += 1;
            if polls > MAX_POLLS_PER_TURN {
                return self.endless(id);
            }
            self.poll(id);
            if let Some(error) = self.core.state().fatal.take() {
                return Ending::Failed(error);
            }
            if let Some(result) = self.ended() {
                return Ending::Done(result);
            }
        }
        if self.core.state().effects.any_awaited() { Ending::Running } else { Ending::Stalled(self.stalled()) }
    }

    fn poll(&mut self, id: u32) {
        let Some(at) = self.position(id) else { return };
        let task = &mut self.tasks[at];
        task.waker.queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&task.waker));
        let polled = self.core.poll_in(&task.scope, task.future.as_mut(), &mut Context::from_waker(&waker));
        if polled == Poll::Ready(()) {
            self.remove(id);
        }
        let (spawned, abandoned) = {
            let mut state = self.core.state();
            (std::mem::take(&mut state.spawned), std::mem::take(&mut state.abandoned))
        };
        for task in spawned {
            let owner = task.scope.owner.clone();
            self.add(task, owner);
        }
        if abandoned {
            self.drop_abandoned();
        }
    }

    fn add(&mut self, task: NewTask, owner: Option<Arc<TaskOwner>>) {
        let id = self.next_task;
        self.next_task += 1;
        let ready = Arc::clone(&self.core.ready);
        ready.push(id);
        let waker = Arc::new(TaskWaker { task: id, queued: AtomicBool::new(true), ready });
        let NewTask { future, scope } = task;
        self.tasks.push(Task { id, future, scope, owner, waker });
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.tasks.binary_search_by_key(&id, |task| task.id).ok()
    }

    fn remove(&mut self, id: u32) {
        let Some(at) = self.position(id) else { return };
        let Task { future, owner, .. } = self.tasks.remove(at);
        drop(future);
        if let Some(owner) = owner {
            owner.task_ended();
        }
    }

    /// Drops the tasks of steps that were dropped; doing so may drop further steps.
    fn drop_abandoned(&mut self) {
        loop {
            let doomed = |task: &&Task| task.owner.as_ref().is_some_and(|owner| owner.is_abandoned());
            match self.tasks.iter().find(doomed).map(|task| task.id) {
                Some(id) => self.remove(id),
                None => return,
            }
        }
    }

    /// The component's result, once the tasks that it spawned have ended too.
    fn ended(&mut self) -> Option<Result<Json, Error>> {
        if self.tasks.is_empty() { lock(&self.result).take() } else { None }
    }

    fn endless(&self, id: u32) -> Ending {
        let scope = self.position(id).map_or_else(|| "a task".to_owned(), |at| self.tasks[at].scope.describe());
        Ending::Failed(ErrorInfo::terminal(
            Code::CPU_LIMIT,
            format!(
                "{scope} woke itself {MAX_POLLS_PER_TURN} times in one turn and did not come to an end: await an \
                 effect or `ctx.sleep` in the loop"
            ),
        ))
    }

    fn stalled(&self) -> ErrorInfo {
        let foreign = self.core.state().foreign_scopes();
        let message = if foreign.is_empty() {
            let tasks: Vec<_> = self.tasks.iter().map(|task| task.scope.describe()).collect();
            format!("everything waits for something else in the component: {}", tasks.join(", "))
        } else {
            format!(
                "{} awaits something that Bivouac does not drive, such as another runtime's timer, socket or channel \
                 that nobody writes to: use `ctx.sleep`, `ctx.http` and `ctx.spawn`",
                foreign.join(", ")
            )
        };
        ErrorInfo::terminal(Code::FOREIGN_FUTURE, message)
    }

    /// Writes the turn; a terminal one leaves nothing behind.
    fn finish(&mut self, ending: Ending) -> OutFrame {
        if !matches!(ending, Ending::Running) {
            self.clear();
        }
        let (out, grace) = {
            let mut state = self.core.state();
            (std::mem::take(&mut state.out), state.cancel.is_some())
        };
        let mut frame = OutFrame {
            effects: out.effects,
            steps: out.steps,
            cancels: out.cancels,
            notes: out.notes,
            ..OutFrame::new(Status::Running)
        };
        match ending {
            Ending::Running => {}
            Ending::Done(Ok(output)) => self.complete(&mut frame, output),
            Ending::Done(Err(error)) if grace => end(&mut frame, Status::Cancelled, cancelled_with(error.into_info())),
            Ending::Done(Err(error)) => end(&mut frame, Status::Failed, error.into_info()),
            Ending::Failed(error) => end(&mut frame, Status::Failed, error),
            Ending::Stalled(error) => end(&mut frame, Status::Stalled, error),
            Ending::Cancelled => {
                end(
                    &mut frame,
                    Status::Cancelled,
                    ErrorInfo::terminal(Code::CANCELLED, "the run was cancelled at once"),
                );
            }
        }
        frame
    }

    fn complete(&self, frame: &mut OutFrame, output: Json) {
        let limit = self.core.start.limits.output_bytes;
        if output.text().len() <= limit as usize {
            frame.status = Status::Completed;
            frame.output = Some(output);
            return;
        }
        let message = format!(
            "the output is {} bytes of JSON, {limit} are allowed: keep the large part elsewhere and return a \
             reference to it",
            output.text().len()
        );
        end(frame, Status::Failed, ErrorInfo::terminal(Code::OUTPUT_TOO_LARGE, message));
    }

    /// Drops every task and forgets what was open.
    fn clear(&mut self) {
        // The first in order first, so that what they cancel comes out the same each time.
        for task in std::mem::take(&mut self.tasks) {
            drop(task);
        }
        let spawned = std::mem::take(&mut self.core.state().spawned);
        drop(spawned);
        self.core.state().end_effects();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.clear();
    }
}

fn end(frame: &mut OutFrame, status: Status, error: ErrorInfo) {
    frame.status = status;
    frame.error = Some(error);
}

fn cancelled_with(error: ErrorInfo) -> ErrorInfo {
    if error.code == Code::CANCELLED {
        return error;
    }
    ErrorInfo::terminal(Code::CANCELLED, format!("the run was cancelled; its component ended with {error}"))
}
