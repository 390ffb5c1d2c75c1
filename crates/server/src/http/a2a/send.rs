//! Messages to agents: a new task, or an answer to what a task asks.
//!
//! What is acknowledged is on disk. A message's id makes it count once: the same again finds the task that it began, or
//! is confirmed as the answer that it was.

use super::{
    Done,
    blocking::Blocking,
    fold::{Budget, Folded, From},
    no_push,
    place::{Agent, context},
    refusal, stream,
};
use crate::{
    driver::StartError,
    http::{
        ApiError, App, Shared,
        begin::{Following, MESSAGE_KEY_PREFIX},
    },
};
use bivouac_a2a::{
    A2aError, ErrorKind, card,
    http::{Call, Reply},
    media,
    task::METADATA_QUESTION,
    types::{Message, SendMessageRequest, SendMessageResponse},
};
use bivouac_engine::Accepted;
use bivouac_protocol::{Json, key::Digest};
use bivouac_store::{METADATA_SESSION, RunRecord};
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A message that was taken.
pub(super) struct Taken {
    pub(super) run: RunRecord,
    pub(super) following: Following,
    /// Whether it answered a question of a task that was there.
    answered: bool,
}

/// Sends a message and tells of the task once: when it waits or is over, or when waiting has taken long enough.
pub(super) async fn unary(
    app: &App,
    agent: Agent,
    call: &Call,
    request: &SendMessageRequest,
) -> Result<Done, A2aError> {
    let Taken { run, following, .. } = take(app, &agent, request).await?;
    let history_length = request.configuration.history_length;
    if request.configuration.return_immediately {
        let folded = Folded::read(app, &run, &mut Budget::default())?;
        let task = folded.fold.task(history_length, true);
        return Ok(Done::reply(Reply::Sent(SendMessageResponse::Task(task))));
    }
    let deadline = Instant::now() + Duration::from_millis(app.config.run_wait_ms);
    Blocking::new(app, call.form(), &run, following, history_length, deadline)?.finish().await
}

/// Sends a message and tells of the task as it goes.
pub(super) async fn streaming(
    app: &App,
    agent: Agent,
    call: &Call,
    request: &SendMessageRequest,
) -> Result<Done, A2aError> {
    let permit = stream::permit(app)?;
    let Taken { run, following, answered } = take(app, &agent, request).await?;
    let message = request.message.as_ref().map(|message| message.message_id.as_str()).unwrap_or_default();
    let from = if answered { From::Answered(message) } else { From::Accepted };
    stream::open(app, call, &run, &from, following, permit).map(Done::Answered)
}

/// Takes a message: it is on disk when this returns.
async fn take(app: &App, agent: &Agent, request: &SendMessageRequest) -> Result<Taken, A2aError> {
    let Some(message) = request.message.clone() else { return Err(A2aError::invalid("`message` is missing")) };
    if app.is_stopping() {
        return Err(refusal::start(StartError::ShuttingDown));
    }
    if request.configuration.task_push_notification_config.is_some() {
        return Err(no_push());
    }
    match message.task_id.clone() {
        Some(task) => answer(app, agent, message, &task).await,
        None => begin(app, agent, message).await,
    }
}

/// A message to a task that is there: it answers what the task asks.
async fn answer(app: &App, agent: &Agent, mut message: Message, task: &str) -> Result<Taken, A2aError> {
    let run = agent.task(app, task)?;
    let belongs_to = context(&run);
    if message.context_id.as_ref().is_some_and(|context| *context != belongs_to) {
        return Err(A2aError::invalid(
            "`message.contextId` is not the context of the task that `message.taskId` names: leave it out, or give the task's",
        ));
    }
    media::check_parts(&message.parts, &card::input_modes(agent.described()?))?;
    // Written the same whether the client repeats the context or not, so that it counts once.
    message.context_id = Some(belongs_to);
    message.task_id = Some(run.id.to_string());
    let question = message.metadata.as_ref().and_then(|metadata| metadata.text_of(METADATA_QUESTION));
    let id = message.message_id.clone();
    let outcome = outcome(&message)?;
    let following = Following::new(&app.driver, run.id);
    let answered = app.driver.answer(run.id, question.as_deref(), &id, &outcome).await;
    answered.map_err(|error| refusal::answer(error, task))?;
    Ok(Taken { run, following, answered: true })
}

fn outcome(message: &Message) -> Result<Json, A2aError> {
    #[derive(serde::Serialize)]
    struct Outcome<'a> {
        message: &'a Message,
    }
    Json::of(&Outcome { message }).map_err(|error| ApiError::internal("writing an answer's outcome", &error).into())
}

/// A message that begins a task.
async fn begin(app: &App, agent: &Agent, mut message: Message) -> Result<Taken, A2aError> {
    let component = agent.described()?;
    media::check_parts(&message.parts, &card::input_modes(component))?;
    let write = |message: &Message| {
        let json =
            Json::of(message).map_err(|error| A2aError::from(ApiError::internal("writing a message", &error)))?;
        Ok::<_, A2aError>(Bytes::copy_from_slice(json.text().as_bytes()))
    };
    let name = agent.component.to_string();
    let owner = [name.as_bytes(), agent.tenant.as_bytes(), agent.user.as_bytes()];
    let key = Digest::of([owner[0], owner[1], owner[2], message.message_id.as_bytes()]).text();
    let sent = write(&message)?;
    let digest = Digest::of([owner[0], owner[1], owner[2], &sent]);
    let context = match &message.context_id {
        Some(context) => context.clone(),
        None => {
            let number = |()| getrandom::u64().map_err(|error| ApiError::internal("making a context's id", &error));
            format!("ctx_{:016x}{:016x}", number(())?, number(())?)
        }
    };
    message.context_id = Some(context.clone());
    let metadata = serde_json::to_vec(&BTreeMap::from([(METADATA_SESSION, &context)]))
        .map_err(|error| ApiError::internal("writing a run's metadata", &error))?;
    let deployment = &agent.deployment;
    let accepted = Accepted {
        environment: agent.environment.as_str().into(),
        tenant: agent.tenant.as_str().into(),
        app: deployment.record.service.as_str().into(),
        user: agent.user.as_str().into(),
        deployment: deployment.record.id,
        component: name.as_str().into(),
        idempotency: Some((format!("{MESSAGE_KEY_PREFIX}{key}").into(), digest)),
        input: write(&message)?,
        metadata: metadata.into(),
        seed: app.secrets.new_seed().map_err(ApiError::from)?.into(),
        patches: deployment.manifest.patches.iter().map(|patch| patch.as_str().into()).collect(),
        retries: component.flow_control.retries,
    };
    let id = app.driver.new_run_id().map_err(|error| ApiError::internal("making a run's id", &error))?;
    let following = Following::new(&app.driver, id);
    let started = app.driver.start(id, accepted).await.map_err(refusal::start)?;
    let following = if started.id == id { following } else { Following::new(&app.driver, started.id) };
    let run = started_task(app, agent, &started.id.to_string())?;
    Ok(Taken { run, following, answered: false })
}

/// The task that a message began. Its key was made of its owner, so that it is the owner's; if somebody else has taken
/// the key by other means, nothing of theirs is shown.
fn started_task(app: &Shared, agent: &Agent, id: &str) -> Result<RunRecord, A2aError> {
    agent.task(app, id).map_err(|error| match error.kind {
        ErrorKind::TaskNotFound => refusal::message_id_conflict(),
        _ => error,
    })
}
