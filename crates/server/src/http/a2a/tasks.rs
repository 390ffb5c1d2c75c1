//! Showing, listing and cancelling tasks.

use super::{
    CANCEL_WAIT, Rung,
    fold::{Budget, Folded},
    place::{Agent, context},
    refusal, rung,
};
use crate::{
    driver::DEFAULT_GRACE_MS,
    http::{Shared, begin::Following, runs::MAX_REASON},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bivouac_a2a::{
    A2aError, ErrorKind, Timestamp,
    http::Reply,
    types::{CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Task, TaskState, TaskStatus},
};
use bivouac_engine::{Aspect, Status, Timestamp as Instant};
use bivouac_protocol::{RunId, frame::CancelMode};
use bivouac_store::{RunRecord, TaskFilter};

/// How many tasks a page holds where the client does not say.
const DEFAULT_PAGE: i32 = 50;
/// The most tasks that are looked at for one page, where their state is not in their head.
const MAX_SCANNED: usize = 2_000;
/// The most tasks that are counted; more are as many.
const MAX_COUNTED: usize = 100_000;
/// How many tasks are read at once.
const CHUNK: usize = 101;
/// What a run is told where its client gives no reason for the cancel.
const REASON: &str = "canceled by the client";

pub(super) fn get(app: &Shared, agent: &Agent, request: &GetTaskRequest) -> Result<Reply, A2aError> {
    let run = agent.task(app, &request.id)?;
    let folded = Folded::read(app, &run, &mut Budget::default())?;
    Ok(Reply::Task(folded.fold.task(request.history_length, true)))
}

pub(super) async fn cancel(app: &Shared, agent: &Agent, request: &CancelTaskRequest) -> Result<Reply, A2aError> {
    let run = agent.task(app, &request.id)?;
    if run.status.is_final() {
        return Err(refusal::not_cancelable());
    }
    let said = request.metadata.as_ref().and_then(|metadata| metadata.text_of("reason"));
    let reason = said.filter(|reason| reason.len() <= MAX_REASON).unwrap_or_else(|| REASON.to_owned());
    let mut following = Following::new(&app.driver, run.id);
    let cancelled = app.driver.cancel(run.id, CancelMode::Grace, reason, DEFAULT_GRACE_MS).await;
    cancelled.map_err(|error| refusal::cancel(error, &request.id))?;
    tracing::info!(run_id = %run.id, "cancel requested");
    let deadline = tokio::time::Instant::now() + CANCEL_WAIT;
    let mut budget = Budget::default();
    let mut folded = Folded::read(app, &run, &mut budget)?;
    while !folded.fold.state().is_terminal() {
        match rung(app, &mut following, deadline.saturating_duration_since(tokio::time::Instant::now())).await {
            Rung::Yes => {}
            Rung::TakenDown => following = Following::new(&app.driver, run.id),
            Rung::Quiet | Rung::Stopping => break,
        }
        folded.read_on(app, &mut budget)?;
    }
    Ok(Reply::Task(folded.fold.task(None, true)))
}

pub(super) fn list(app: &Shared, agent: &Agent, request: &ListTasksRequest) -> Result<Reply, A2aError> {
    let wanted = Wanted::of(agent, request);
    let after = request.page_token.as_deref().map(cursor).transpose()?;
    let page_size = request.page_size.unwrap_or(DEFAULT_PAGE);
    let size = usize::try_from(page_size).unwrap_or(1);
    let mut budget = Budget::default();
    let mut page = wanted.page(app, after, size + 1)?;
    let mut more = page.len() > size;
    page.truncate(size);
    let mut tasks = Vec::with_capacity(page.len());
    for run in &page {
        match Folded::read(app, run, &mut budget) {
            Ok(folded) => {
                let mut task = folded.fold.task(request.history_length, request.include_artifacts.unwrap_or_default());
                // What the list is sorted and filtered by is what it shows.
                task.status.timestamp = Some(moment(run.changed));
                tasks.push(task);
            }
            // A task that is too large by itself is shown in outline, and does not stand in the way of the others.
            Err(error) if error.kind == ErrorKind::TaskTooLarge && tasks.is_empty() => {
                tasks.push(outline(run));
                budget = Budget::default();
            }
            Err(error) if error.kind == ErrorKind::TaskTooLarge => {
                more = true;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let last = page.get(tasks.len().saturating_sub(1)).filter(|_| more);
    Ok(Reply::Tasks(ListTasksResponse {
        next_page_token: last.map(token).unwrap_or_default(),
        page_size,
        total_size: i32::try_from(wanted.count(app)?).unwrap_or(i32::MAX),
        tasks,
    }))
}

fn moment(at: Instant) -> Timestamp {
    Timestamp::from_millis(i64::try_from(at.0).unwrap_or(i64::MAX))
}

fn outline(run: &RunRecord) -> Task {
    Task {
        id: run.id.to_string(),
        context_id: Some(context(run)),
        status: TaskStatus { state: state_of(run), message: None, timestamp: Some(moment(run.changed)) },
        ..Task::default()
    }
}

/// What a task's head says of its state. While its code is executed, the head stays as it was; see [`Wanted::is`].
fn state_of(run: &RunRecord) -> TaskState {
    match (run.status, run.aspect) {
        (Status::Completed, _) => TaskState::Completed,
        (Status::Cancelled, _) => TaskState::Canceled,
        (Status::Failed, Aspect::Rejected) => TaskState::Rejected,
        (Status::Failed, _) => TaskState::Failed,
        (Status::Queued, _) if run.last_seq <= 1 => TaskState::Submitted,
        (Status::Waiting | Status::Paused, Aspect::Asks) => TaskState::InputRequired,
        (Status::Queued | Status::Running | Status::Waiting | Status::BackingOff | Status::Paused, _) => {
            TaskState::Working
        }
    }
}

/// Which tasks are wanted: what the store can tell, and what only a task's events can.
struct Wanted {
    filter: TaskFilter,
    /// The state, where a head alone does not say whether it is that.
    state: Option<TaskState>,
}

impl Wanted {
    fn of(agent: &Agent, request: &ListTasksRequest) -> Self {
        let mut filter = agent.owned();
        filter.session.clone_from(&request.context_id);
        let since = request.status_timestamp_after.map(Timestamp::millis_up);
        filter.since = since.map(|since| Instant(u64::try_from(since).unwrap_or(0)));
        let mut state = None;
        match request.status {
            TaskState::Unspecified => {}
            TaskState::Completed => filter.statuses = vec![Status::Completed],
            TaskState::Canceled => filter.statuses = vec![Status::Cancelled],
            TaskState::Failed => {
                filter.statuses = vec![Status::Failed];
                filter.aspects = vec![Aspect::Plain, Aspect::Asks];
            }
            TaskState::Rejected => {
                filter.statuses = vec![Status::Failed];
                filter.aspects = vec![Aspect::Rejected];
            }
            unfinished @ (TaskState::Submitted
            | TaskState::Working
            | TaskState::InputRequired
            | TaskState::AuthRequired) => {
                filter.statuses =
                    vec![Status::Queued, Status::Running, Status::Waiting, Status::BackingOff, Status::Paused];
                state = Some(unfinished);
            }
        }
        Self { filter, state }
    }

    /// Whether a task is in the state that is wanted. One whose code is being executed may have asked since its head was
    /// written: only its events say so.
    fn is(&self, app: &Shared, run: &RunRecord, budget: &mut Budget) -> Result<bool, A2aError> {
        let Some(wanted) = self.state else { return Ok(true) };
        let head = state_of(run);
        if matches!(run.status, Status::Queued | Status::Running) && head == TaskState::Working {
            return match Folded::read(app, run, budget) {
                Ok(folded) => Ok(folded.fold.state() == wanted),
                Err(error) if error.kind == ErrorKind::TaskTooLarge => Ok(head == wanted),
                Err(error) => Err(error),
            };
        }
        Ok(head == wanted)
    }

    /// The next tasks, at most so many.
    fn page(
        &self,
        app: &Shared,
        mut after: Option<(Instant, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, A2aError> {
        let (mut found, mut scanned) = (Vec::new(), 0);
        let mut budget = Budget::default();
        while found.len() < limit && scanned < MAX_SCANNED {
            let chunk = app.driver.reader().tasks(&self.filter, after, CHUNK).map_err(refusal::store)?;
            let full = chunk.len() == CHUNK;
            for run in chunk {
                after = Some((run.changed, run.id));
                scanned += 1;
                if found.len() < limit && self.is(app, &run, &mut budget)? {
                    found.push(run);
                }
            }
            if !full {
                break;
            }
        }
        Ok(found)
    }

    /// How many there are over all pages.
    fn count(&self, app: &Shared) -> Result<usize, A2aError> {
        match self.state {
            None => app.driver.reader().count_tasks(&self.filter, MAX_COUNTED).map_err(refusal::store),
            Some(_) => Ok(self.page(app, None, MAX_SCANNED)?.len()),
        }
    }
}

/// Where a page ended: when its last task changed, and which it was.
fn token(run: &RunRecord) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{}", run.changed.0, run.id))
}

fn cursor(token: &str) -> Result<(Instant, RunId), A2aError> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (changed, id) = std::str::from_utf8(&bytes).ok()?.split_once('/')?;
        Some((Instant(changed.parse().ok()?), id.parse().ok()?))
    };
    read().ok_or_else(|| {
        A2aError::invalid(
            "`pageToken` is none that was given here: take the `nextPageToken` of the page before, or leave it out",
        )
    })
}
