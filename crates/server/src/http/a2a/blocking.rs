//! A message's answer that waits for the task.
//!
//! What is fast is answered at once, whole. What takes longer begins its body with blanks, which JSON allows before a
//! value: some clients give up where nothing arrives for 5 s. From then on only the task can follow.

use super::{
    Done, HEARTBEAT_EVERY, Rung,
    fold::{Budget, Folded},
    rung,
};
use crate::http::{App, begin::Following};
use axum::{body::Body, response::Response};
use bivouac_a2a::{
    A2aError,
    http::{Form, Reply},
    types::SendMessageResponse,
};
use bivouac_protocol::RunId;
use bivouac_store::RunRecord;
use bytes::Bytes;
use std::{convert::Infallible, time::Duration};
use tokio::time::Instant;

/// Waits for a task.
pub(super) struct Blocking {
    app: App,
    form: Form,
    run: RunId,
    folded: Folded,
    budget: Budget,
    following: Following,
    history_length: Option<i32>,
    deadline: Instant,
}

/// What came of a while of waiting.
enum Waited {
    Settled(Box<Result<Reply, A2aError>>),
    NotYet,
}

impl Blocking {
    pub(super) fn new(
        app: &App,
        form: Form,
        run: &RunRecord,
        following: Following,
        history_length: Option<i32>,
        deadline: Instant,
    ) -> Result<Self, A2aError> {
        let mut budget = Budget::default();
        let folded = Folded::read(app, run, &mut budget)?;
        Ok(Self { app: app.clone(), form, run: run.id, folded, budget, following, history_length, deadline })
    }

    pub(super) async fn finish(mut self) -> Result<Done, A2aError> {
        match self.wait(HEARTBEAT_EVERY).await {
            Waited::Settled(reply) => (*reply).map(Done::reply),
            Waited::NotYet => Ok(Done::Answered(self.trickle())),
        }
    }

    /// Waits until the task is settled, the deadline has come or the time is over.
    async fn wait(&mut self, time: Duration) -> Waited {
        let until = Instant::now() + time;
        loop {
            if self.folded.is_settled() {
                return Waited::Settled(Box::new(Ok(self.reply())));
            }
            let now = Instant::now();
            if now >= self.deadline {
                return Waited::Settled(Box::new(Ok(self.reply())));
            }
            if now >= until {
                return Waited::NotYet;
            }
            match rung(&self.app, &mut self.following, until.min(self.deadline) - now).await {
                Rung::Yes | Rung::Quiet => {}
                Rung::TakenDown => self.following = Following::new(&self.app.driver, self.run),
                Rung::Stopping => self.deadline = Instant::now(),
            }
            if let Err(error) = self.folded.read_on(&self.app, &mut self.budget) {
                return Waited::Settled(Box::new(Err(error)));
            }
        }
    }

    fn reply(&self) -> Reply {
        Reply::Sent(SendMessageResponse::Task(self.folded.fold.task(self.history_length, true)))
    }

    /// The answer as a body that goes on: blanks, then the task.
    fn trickle(self) -> Response {
        let head = self.form.reply(Ok(self.reply())).map(|_| ());
        let pieces = futures::stream::unfold(Some((self, true)), |state| async {
            let (mut blocking, first) = state?;
            if first {
                return Some((Ok::<_, Infallible>(BLANK), Some((blocking, false))));
            }
            match blocking.wait(HEARTBEAT_EVERY).await {
                Waited::NotYet => Some((Ok(BLANK), Some((blocking, false)))),
                Waited::Settled(reply) => Some((Ok(blocking.form.reply(*reply).into_body()), None)),
            }
        });
        head.map(|()| Body::from_stream(pieces))
    }
}

const BLANK: Bytes = Bytes::from_static(b" ");
