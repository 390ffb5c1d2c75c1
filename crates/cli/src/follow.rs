//! Follows a run by its event stream, over broken connections and restarts of the server.
//!
//! Events have numbers and lie on disk before they are sent, so a stream that breaks is taken up again after the last
//! number that arrived: nothing is missed, nothing comes twice.

use crate::{
    client::Client,
    failure::{Exit, Failure, Result},
    output, sse,
};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// The first wait before a broken stream is taken up again; it doubles up to [`LAST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(3);
/// How long the server may be away before following ends.
const GIVE_UP: Duration = Duration::from_secs(300);
/// Events after which nothing comes.
const LAST_EVENTS: [&str; 3] = ["run.completed", "run.failed", "run.cancelled"];

/// Follows a run to its end. `events` is told of each event, and may end the following before.
///
/// # Errors
/// Where the run does not exist, the key does not do, or the server stays away.
pub(crate) async fn follow(
    client: &Client,
    run: &str,
    mut events: impl FnMut(&sse::Event) -> Result<ControlFlow<()>>,
) -> Result {
    let mut place = Place { last: None, connected: false };
    let mut lost: Option<Instant> = None;
    let mut wait = FIRST_WAIT;
    loop {
        let before = place.last.clone();
        let heard = listen(client, run, &mut place, &mut events).await;
        if place.last != before {
            (lost, wait) = (None, FIRST_WAIT);
        }
        match heard {
            Ok(ControlFlow::Break(())) => return Ok(()),
            Ok(ControlFlow::Continue(())) => {}
            Err(failure) if failure.exit != Exit::Unreachable || !place.connected => return Err(failure),
            Err(failure) => {
                let since = *lost.get_or_insert_with(|| {
                    output::note(&format!("{}; the run goes on by itself, trying to follow it again", failure.line()));
                    Instant::now()
                });
                if since.elapsed() > GIVE_UP {
                    return Err(failure.hint(format!("bivouac runs events {run} --follow")));
                }
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_WAIT);
    }
}

/// How far the stream was read.
struct Place {
    /// The number of the last event.
    last: Option<String>,
    /// Whether a stream was ever open: then a failure is a break, not a wrong address.
    connected: bool,
}

/// Listens to one stream until it ends: at the run's end, or because it broke.
async fn listen(
    client: &Client,
    run: &str,
    place: &mut Place,
    events: &mut impl FnMut(&sse::Event) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let undone = format!("{run} cannot be followed");
    let mut request = client.get(&["v1", "runs", run, "stream"]).header("Accept", "text/event-stream");
    if let Some(last) = &place.last {
        request = request.header("Last-Event-ID", last);
    }
    let mut response = client.send(request, &undone).await?;
    place.connected = true;
    let mut parser = sse::Parser::default();
    while let Some(chunk) = response.chunk().await.map_err(|error| client.unreachable(&error, &undone))? {
        let complete = parser.push(&chunk).map_err(|error| Failure::failed(&undone).why(error.to_string()))?;
        for event in complete {
            if let Some(id) = &event.id {
                place.last = Some(id.clone());
            }
            if events(&event)?.is_break() || LAST_EVENTS.contains(&event.name.as_str()) {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}
