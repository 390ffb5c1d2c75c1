//! A task as it goes, as server-sent events.
//!
//! A stream reads the journal; the run's bell only says that there is more to read. Each event has its position as its
//! id, so that a client that comes back with `Last-Event-ID` gets the task as it was there and then every event after
//! it, once, also after a restart of the server. A stream ends after an event that says that the task is over or waits
//! for the client.

use super::{
    HEARTBEAT_EVERY, Rung,
    fold::{Budget, From, Journal, Resumed},
    place::Agent,
    rung,
};
use crate::http::{AboutRun, App, Shared, begin::Following};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bivouac_a2a::{
    A2aError, ErrorKind,
    http::{Binding, Call, EVENT_STREAM, Form, HEARTBEAT, event_text},
    task::{Position, TaskFold, Told},
    types::{StreamResponse, SubscribeToTaskRequest},
};
use bivouac_protocol::RunId;
use bivouac_store::RunRecord;
use bytes::Bytes;
use std::{collections::VecDeque, convert::Infallible};
use tokio::sync::OwnedSemaphorePermit;

/// Follows a task that is there.
pub(super) fn subscribe(
    app: &App,
    agent: &Agent,
    call: &Call,
    request: &SubscribeToTaskRequest,
) -> Result<Response, A2aError> {
    let run = agent.task(app, &request.id)?;
    let seen = call.last_event_id.as_deref().map(str::parse::<Position>);
    let from = match seen {
        Some(Ok(position)) => From::Seen(position),
        Some(Err(())) | None if run.status.is_final() => {
            return Err(A2aError::new(
                ErrorKind::UnsupportedOperation,
                "the task has ended: there is nothing to subscribe to, ask for the task instead",
            ));
        }
        Some(Err(())) | None => From::Now,
    };
    let permit = permit(app)?;
    let following = Following::new(&app.driver, run.id);
    open(app, call, &run, &from, following, permit)
}

/// A place among the streams that are open at once.
pub(super) fn permit(app: &Shared) -> Result<OwnedSemaphorePermit, A2aError> {
    app.streams.clone().try_acquire_owned().map_err(|_| {
        let mut error = A2aError::new(
            ErrorKind::Overloaded,
            format!(
                "the server already serves {} streams: try again after the time in Retry-After, or ask for the task instead",
                crate::http::MAX_STREAMS
            ),
        );
        error.retry_after = Some(1);
        error
    })
}

/// Begins a stream: first the task as it was at a point, then what came after.
pub(super) fn open(
    app: &App,
    call: &Call,
    run: &RunRecord,
    from: &From<'_>,
    following: Following,
    permit: OwnedSemaphorePermit,
) -> Result<Response, A2aError> {
    let Resumed { snapshot, live, after, journal } = Resumed::read(app, run, from)?;
    let first = Told { position: snapshot.position(), event: StreamResponse::Task(snapshot.task(None, true)) };
    let mut pending = VecDeque::with_capacity(after.len() + 1);
    pending.push_back(first);
    pending.extend(after);
    let stream = Stream {
        app: app.clone(),
        form: call.form(),
        run: run.id,
        // Who answered one of two questions has the other in the snapshot.
        asked: matches!(from, From::Answered(_)) && live.state().is_interrupted(),
        live,
        journal,
        pending,
        following,
        _permit: permit,
    };
    let pieces = futures::stream::unfold(Some(stream), |stream| async {
        let (piece, rest) = stream?.next().await?;
        Some((Ok::<_, Infallible>(piece), rest))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // Proxies that buffer would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let mut response = (headers, Body::from_stream(pieces)).into_response();
    response.extensions_mut().insert(AboutRun(run.id));
    Ok(response)
}

struct Stream {
    app: App,
    form: Form,
    run: RunId,
    live: TaskFold,
    journal: Journal,
    pending: VecDeque<Told>,
    /// Whether the client was told what it is waited for: a question, or the end.
    asked: bool,
    following: Following,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    /// The next piece, and the stream where more follows.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        if let Some(piece) = self.flush() {
            return Some(piece.into_piece(self));
        }
        match rung(&self.app, &mut self.following, HEARTBEAT_EVERY).await {
            Rung::Yes | Rung::Quiet => {}
            Rung::TakenDown => self.following = Following::new(&self.app.driver, self.run),
            Rung::Stopping => return None,
        }
        match self.journal.read(&self.app, &mut Budget::default()) {
            Ok(events) => {
                for event in &events {
                    self.pending.extend(self.live.apply(event));
                }
            }
            Err(error) => return Some((self.broken(&error), None)),
        }
        match self.flush() {
            Some(piece) => Some(piece.into_piece(self)),
            // A task that is over and has nothing more to tell: the snapshot has told it.
            None if self.live.state().is_terminal() => None,
            None => Some((Bytes::from_static(HEARTBEAT.as_bytes()), Some(self))),
        }
    }

    /// Everything that is pending, up to what ends the stream.
    fn flush(&mut self) -> Option<Piece> {
        if self.pending.is_empty() {
            return None;
        }
        let mut text = String::new();
        for told in self.pending.drain(..) {
            text.push_str(&event_text(Some(&told.position.to_string()), None, &self.form.event(&told.event)));
            self.asked |= told.ends_stream();
        }
        // What was asked on the way and is answered by now is no end: what came after it follows.
        let state = self.live.state();
        let over = state.is_terminal() || (self.asked && state.is_interrupted());
        self.asked &= state.is_interrupted();
        Some(Piece { text, over })
    }

    fn broken(&self, error: &A2aError) -> Bytes {
        let name = (self.form.binding == Binding::HttpJson).then_some("error");
        event_text(None, name, &self.form.error_event(error)).into()
    }
}

struct Piece {
    text: String,
    over: bool,
}

impl Piece {
    fn into_piece(self, stream: Stream) -> (Bytes, Option<Stream>) {
        (self.text.into(), (!self.over).then_some(stream))
    }
}
