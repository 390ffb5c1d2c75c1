//! `/health` (the process is alive), `/ready` (it can take work), `/metrics` (its counters, for Prometheus).

use crate::http::{
    ApiError, App,
    auth::{Caller, Scope},
    object::Object,
    runs::answer,
};
use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed};

/// What the help text of a counter says that goes up and down.
const GAUGE_MARK: &str = "(now)";

/// This release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The header by which every answer names the release.
pub(crate) const VERSION_HEADER: HeaderName = HeaderName::from_static("bivouac-version");
/// What this release can do that an earlier one could not, for clients that need it.
const CAPABILITIES: &[&str] = &["a2a", "questions"];

/// `GET /health`
pub(crate) async fn health() -> Response {
    let mut object = Object::new();
    object.put("status", "ok").put("version", VERSION).put("capabilities", CAPABILITIES);
    answer(StatusCode::OK, object.finish())
}

/// `GET /ready`
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let mut reasons = Vec::new();
    if app.is_stopping() {
        reasons.push("the server is shutting down".to_owned());
    }
    let queued = app.driver.metrics().queue_length.load(Relaxed);
    if queued >= app.config.max_queue as u64 {
        reasons.push(format!("{queued} runs wait in the queue, as many as it holds"));
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut object = Object::new();
    object.put("ready", &reasons.is_empty()).put("reasons", &reasons);
    answer(status, object.finish())
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(&[Scope::Read])?;
    let text = exposition(&app.driver.metrics().all());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The text format of Prometheus, version 0.0.4.
fn exposition(counters: &[(&str, &str, u64)]) -> String {
    let mut text = String::with_capacity(counters.len() * 128);
    for (name, help, value) in counters {
        let gauge = help.contains(GAUGE_MARK);
        let (kind, suffix) = if gauge { ("gauge", "") } else { ("counter", "_total") };
        let help = help.trim_end_matches('.').replace(GAUGE_MARK, "").trim_end().to_owned();
        writeln!(text, "# HELP bivouac_{name}{suffix} {help}.").expect("memory takes text");
        writeln!(text, "# TYPE bivouac_{name}{suffix} {kind}").expect("memory takes text");
        writeln!(text, "bivouac_{name}{suffix} {value}").expect("memory takes text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_grows_is_a_counter_and_what_is_now_a_gauge() {
        let text = exposition(&[("commits", "Commits of the loop.", 3), ("slices_live", "Slices out (now).", 1)]);
        assert_eq!(
            text,
            "# HELP bivouac_commits_total Commits of the loop.\n# TYPE bivouac_commits_total counter\nbivouac_commits_total 3\n\
             # HELP bivouac_slices_live Slices out.\n# TYPE bivouac_slices_live gauge\nbivouac_slices_live 1\n"
        );
    }
}
