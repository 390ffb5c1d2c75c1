//! A run's events as they happen, as server-sent events.
//!
//! A stream reads the journal; the run's doorbell only says that there is more to read. So each event is sent exactly
//! once, nothing is sent that is not on disk, a client that comes back with `Last-Event-ID` goes on where it was, and one
//! that reads slowly holds up nobody: it simply asks later. A stream ends after the run's last event, or when the server
//! shuts down.

use crate::http::{
    AboutRun, ApiError, App,
    auth::Caller,
    begin::{Following, begin},
    events::{self, Item, Position, kind_of},
    runs::find_run,
};
use axum::{
    body::Body,
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bivouac_protocol::RunId;
use bytes::Bytes;
use serde::Deserialize;
use std::{convert::Infallible, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// A stream that has nothing to send says so after this long, so that nobody on the way takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many events are read for one piece of a stream.
const PIECE: usize = 64;
/// A comment: clients skip it.
const KEEP_ALIVE_LINE: &[u8] = b": keep-alive\n\n";

/// `POST /v1/{types}/{name}/stream`: starts a run and streams its events from the first.
pub(crate) async fn start(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let permit = permit(&app)?;
    let last = last_event_id(request.headers(), None)?;
    let begun = begin(&app, path?.0, request, false).await?;
    let from = place(&app, begun.started.id, last.as_deref())?;
    let kind = begun.component.kind.as_str().to_owned();
    Ok(Stream::open(&app, begun.started.id, kind, from, begun.following, permit))
}

#[derive(Deserialize)]
pub(crate) struct FollowQuery {
    after: Option<String>,
}

/// `GET /v1/runs/{id}/stream`: streams a run's events, from the first or after the last that the client has.
pub(crate) async fn follow(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<FollowQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let run = find_run(&app, &caller, &headers, &id?)?;
    let permit = permit(&app)?;
    let last = last_event_id(&headers, query?.0.after)?;
    let from = place(&app, run.id, last.as_deref())?;
    let following = Following::new(&app.driver, run.id);
    Ok(Stream::open(&app, run.id, kind_of(&run).to_owned(), from, following, permit))
}

fn permit(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    app.streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::overloaded(format!(
            "the server already serves {} event streams: close one, or ask for /v1/runs/ID/events instead",
            super::MAX_STREAMS
        ))
    })
}

/// The last event that the client has; the header is what an `EventSource` sends when it comes back.
fn last_event_id(headers: &HeaderMap, query: Option<String>) -> Result<Option<String>, ApiError> {
    match headers.get("last-event-id") {
        Some(value) => {
            let text = value.to_str().map_err(|_| ApiError::bad_request("the header Last-Event-ID is not text"))?;
            Ok((!text.is_empty()).then(|| text.to_owned()))
        }
        None => Ok(query),
    }
}

fn place(app: &App, run: RunId, last: Option<&str>) -> Result<Position, ApiError> {
    match last {
        Some(last) => events::position(&**app.driver.reader(), run, last),
        None => Ok(Position::default()),
    }
}

struct Stream {
    app: App,
    run: RunId,
    kind: String,
    from: Position,
    following: Following,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    fn open(
        app: &App,
        run: RunId,
        kind: String,
        from: Position,
        following: Following,
        permit: OwnedSemaphorePermit,
    ) -> Response {
        let stream = Self { app: app.clone(), run, kind, from, following, _permit: permit };
        let pieces = futures::stream::unfold(Some(stream), |stream| async {
            let (piece, rest) = stream?.next().await?;
            Some((Ok::<_, Infallible>(piece), rest))
        });
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            // Proxies that buffer would hold events back.
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        let mut response = (headers, Body::from_stream(pieces)).into_response();
        response.extensions_mut().insert(AboutRun(run));
        response
    }

    /// The next piece, and the stream where more follows.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        let mut over = false;
        loop {
            let (piece, last) = self.read()?;
            if !piece.is_empty() {
                return Some((piece, (!last).then_some(self)));
            }
            if over {
                return None;
            }
            // A run that ended before anybody followed it rings no bell. Its last events may have come since the read.
            over = self.app.driver.status(self.run).ok()??.is_final();
            if over {
                continue;
            }
            match self.wait().await {
                Wake::Rung => {}
                Wake::Quiet => return Some((Bytes::from_static(KEEP_ALIVE_LINE), Some(self))),
                Wake::Stopping => return None,
            }
        }
    }

    /// What lies on disk after the last event sent, and whether the run's last event is among it.
    fn read(&mut self) -> Option<(Bytes, bool)> {
        let mut piece = Vec::new();
        let reader = self.app.driver.reader().clone();
        let walked = events::walk(&*reader, self.run, &self.kind, &mut self.from, PIECE, |item, json, place| {
            write(&mut piece, item, &json, place);
        });
        match walked {
            Ok(walked) => Some((piece.into(), walked.last)),
            Err(error) => {
                tracing::error!(run_id = %self.run, %error, "an event stream cannot read the store");
                None
            }
        }
    }

    /// Waits until there may be more.
    async fn wait(&mut self) -> Wake {
        let rung = tokio::select! {
            rung = self.following.bell().changed() => rung,
            () = tokio::time::sleep(KEEP_ALIVE) => return Wake::Quiet,
            () = self.app.stopping() => return Wake::Stopping,
        };
        if rung.is_err() {
            // The bell was taken down, as happens when a run ends.
            self.following = Following::new(&self.app.driver, self.run);
        }
        Wake::Rung
    }
}

enum Wake {
    Rung,
    Quiet,
    Stopping,
}

/// One event on the wire: its name before its data, and the data in one line. Raw JSON may hold line breaks between its
/// tokens, and only there; a space means the same.
fn write(piece: &mut Vec<u8>, item: &Item, json: &[u8], place: Position) {
    use std::io::Write as _;
    write!(piece, "id: {place}\nevent: {}\ndata: ", item.event_type).expect("memory takes bytes");
    piece.extend(json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    piece.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac_engine::{End, Event, Timestamp};

    #[test]
    fn an_event_is_its_id_its_name_and_one_line_of_data() {
        let end = Event::Ended(End::Completed { output: Bytes::from_static(b"{\n  \"a\": \"x\\n\"\r\n}") });
        let items = events::project("function", &end, None);
        let (mut piece, place) = (Vec::new(), Position { sequence: 3, seq: 2, index: 1 });
        let run = RunId::from_u128(0);
        write(&mut piece, &items[1], &items[1].json(run, Timestamp(0), place), place);
        let text = String::from_utf8(piece).unwrap();
        let lines: Vec<_> = text.split('\n').collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert_eq!(&lines[..2], ["id: 3.2.1", "event: run.completed"]);
        assert!(lines[2].starts_with("data: {\"id\":\"3.2.1\",\"event_type\":\"run.completed\""));
        assert!(lines[2].contains(r#"{"output":{   "a": "x\n"  }}"#), "{text}");
        assert_eq!(&lines[3..], ["", ""]);
    }
}
