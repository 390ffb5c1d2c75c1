//! `GET /v1/runs`: the runs of an environment, the newest first, page by page.

use crate::http::{
    ApiError, App,
    auth::{Caller, Scope},
    begin::tenant,
    object::{Object, array},
    runs::{answer, shown, summary},
};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bivouac_engine::Status;
use bivouac_protocol::{DeploymentId, RunId};
use bivouac_store::{Reader, RunFilter, RunRecord, StoreError};
use serde::Deserialize;

/// The most runs of one page.
pub(crate) const MAX_PAGE: usize = 500;
/// How many runs a page has unless the client says otherwise.
const DEFAULT_PAGE: usize = 50;
/// How many runs are looked at for one page: a filter that lets few through gives short pages, not slow ones.
const MAX_LOOKED_AT: usize = 5_000;

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    component_name: Option<String>,
    component: Option<String>,
    status: Option<String>,
    deployment_id: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// The statuses on disk that a client's word stands for.
fn statuses(word: &str) -> Option<&'static [Status]> {
    Some(match word {
        "queued" | "enqueued" | "pending" => &[Status::Queued],
        "running" | "started" => &[Status::Queued, Status::Running],
        "retry_delayed" => &[Status::BackingOff],
        "paused" => &[Status::Waiting, Status::Paused],
        "completed" => &[Status::Completed],
        "failed" => &[Status::Failed],
        "cancelled" => &[Status::Cancelled],
        _ => return None,
    })
}

/// The word that [`shown`] uses for a client's word.
fn canonical(word: &str) -> &str {
    match word {
        "enqueued" | "pending" => "queued",
        "started" => "running",
        other => other,
    }
}

/// `GET /v1/runs`
pub(crate) async fn runs(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(&[Scope::Run, Scope::Read])?;
    let Query(query) = query?;
    let wanted = query.status.as_deref().map(|word| {
        statuses(word).map(|statuses| (canonical(word), statuses)).ok_or_else(|| {
            ApiError::bad_request(format!(
                "`{}` is no status to look for: queued, running, retry_delayed, paused, completed, failed or cancelled",
                word.chars().take(64).collect::<String>()
            ))
        })
    });
    let wanted = wanted.transpose()?;
    let filter = RunFilter {
        environment: Some(caller.environment().to_owned()),
        component: query.component.or(query.component_name),
        status: None,
        deployment: query.deployment_id.as_deref().map(deployment).transpose()?,
    };
    let tenant = tenant(&headers)?;
    let fits = |run: &RunRecord| {
        tenant.is_none_or(|tenant| run.tenant == tenant) && wanted.is_none_or(|(word, _)| shown(run) == word)
    };
    let before = query.after.as_deref().map(cursor).transpose()?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let statuses = wanted.map(|(_, statuses)| statuses);
    let page = page(&**app.driver.reader(), &filter, statuses, before, limit, fits)?;
    let count = page.runs.len();
    let mut body = Object::new();
    body.raw("runs", &array(page.runs.iter().map(|run| summary(run).finish()))).put("count", &count);
    body.put("next", &page.next);
    Ok(answer(StatusCode::OK, body.finish()))
}

fn deployment(text: &str) -> Result<DeploymentId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("deployment_id: {error}")))
}

fn cursor(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|error| {
        ApiError::bad_request(format!("after: {error}; give the `next` of the page before, or the id of its last run"))
    })
}

struct Page {
    runs: Vec<RunRecord>,
    /// The last run looked at, where there may be more.
    next: Option<RunId>,
}

fn page(
    reader: &dyn Reader,
    filter: &RunFilter,
    statuses: Option<&[Status]>,
    mut before: Option<RunId>,
    limit: usize,
    fits: impl Fn(&RunRecord) -> bool,
) -> Result<Page, StoreError> {
    let mut runs = Vec::new();
    let mut looked_at = 0;
    loop {
        let chunk = newest(reader, filter, statuses, before, limit)?;
        let full = chunk.len() == limit;
        looked_at += chunk.len();
        for run in chunk {
            before = Some(run.id);
            if fits(&run) {
                runs.push(run);
            }
            if runs.len() == limit {
                return Ok(Page { runs, next: before });
            }
        }
        if !full {
            return Ok(Page { runs, next: None });
        }
        if looked_at >= MAX_LOOKED_AT {
            return Ok(Page { runs, next: before });
        }
    }
}

/// Runs with any of the statuses: one list per status, put together.
fn newest(
    reader: &dyn Reader,
    filter: &RunFilter,
    statuses: Option<&[Status]>,
    before: Option<RunId>,
    limit: usize,
) -> Result<Vec<RunRecord>, StoreError> {
    let Some(statuses) = statuses else { return reader.runs(filter, before, limit) };
    let mut runs = Vec::new();
    for status in statuses {
        runs.extend(reader.runs(&RunFilter { status: Some(*status), ..filter.clone() }, before, limit)?);
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));
    runs.truncate(limit);
    Ok(runs)
}
