//! The operations of A2A over kept tasks.
//!
//! Every operation begins with the caller's own tasks: what belongs to another is not found, and nothing else is said of
//! it. One that acts is tried again from the beginning where somebody else wrote the task meanwhile, so that it always
//! decides on what is kept.

use super::{
    Host,
    drive::{self, MAX_TASK_BYTES, Stop},
    record::{Beginning, Entry, Journal},
    tell::{self, OpenQuestion},
};
use crate::{AuthContext, error::Error};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bivouac_a2a::{
    A2aError, ErrorKind, Object, card,
    http::{Call, EVENT_STREAM, Operation, Reply, event_text},
    media,
    task::{METADATA_QUESTION, Position, TaskFold, Told},
    types::{
        AgentCard, CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Message, SendMessageRequest,
        SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskState,
    },
};
use bivouac_protocol::{Json, RunId, frame::LogLevel, manifest::Component};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// How long a task is left to the request that drives it, in milliseconds since it last wrote. After that another
/// request may take it over; what the first one does then is not kept.
pub const LEASE_MS: u64 = 30_000;
/// How often an operation begins anew because somebody else wrote the task meanwhile.
pub const MAX_TRIES: usize = 5;
/// How many tasks of one user are looked at to make a list.
pub const MAX_LISTED: usize = 1_000;
/// How long a subscription is held back until there is something to tell, in milliseconds: less than what clients wait
/// for a first byte.
pub const SUBSCRIBE_WAIT_MS: u64 = 4_000;
/// How often a task that is subscribed to is looked at meanwhile.
const SUBSCRIBE_LOOK: Duration = Duration::from_millis(100);
/// How many tasks a page has where the client does not say.
const PAGE_SIZE: i32 = 50;

/// An operation on its way.
struct Asked<'a> {
    host: &'a Host,
    agent: &'a Component,
    caller: &'a AuthContext,
}

/// A task that a request has worked on: what it is now, and where it stood before.
struct Worked {
    journal: Journal,
    before: Position,
}

/// Answers a call.
pub(super) async fn answer(
    host: &Host,
    agent: &Component,
    card: &AgentCard,
    caller: &AuthContext,
    call: &Call,
) -> Response<Bytes> {
    let asked = Asked { host, agent, caller };
    let checked = call.check_extensions(card);
    let answered = match (checked, &call.operation) {
        (Err(error), _) => Err(error),
        (Ok(()), Operation::SendStreamingMessage(request)) => match asked.send(request).await {
            Ok(worked) => return stream(host, call, &worked.journal, worked.before),
            Err(error) => Err(error),
        },
        (Ok(()), Operation::SubscribeToTask(request)) => match asked.subscribe(request, call).await {
            Ok(worked) => return stream(host, call, &worked.journal, worked.before),
            Err(error) => Err(error),
        },
        (Ok(()), operation) => asked.unary(operation, card).await,
    };
    call.reply(answered)
}

impl Asked<'_> {
    async fn unary(&self, operation: &Operation, card: &AgentCard) -> Result<Reply, A2aError> {
        match operation {
            Operation::SendMessage(request) => {
                let worked = self.send(request).await?;
                let task = self.task(&worked.journal, request.configuration.history_length, true)?;
                Ok(Reply::Sent(SendMessageResponse::Task(task)))
            }
            Operation::GetTask(request) => self.get(request).await.map(Reply::Task),
            Operation::ListTasks(request) => self.list(request).await.map(Reply::Tasks),
            Operation::CancelTask(request) => self.cancel(request).await.map(Reply::Task),
            Operation::GetExtendedAgentCard(_) if self.agent.agent.as_ref().is_some_and(|agent| agent.extended) => {
                Ok(Reply::Card(card.clone()))
            }
            Operation::GetExtendedAgentCard(_) => {
                Err(A2aError::new(ErrorKind::UnsupportedOperation, "the agent has no other card than its public one"))
            }
            _ => Err(no_push()),
        }
    }

    async fn load(&self, id: &str) -> Result<Journal, A2aError> {
        self.find(id).await?.ok_or_else(|| A2aError::task_not_found(id))
    }

    /// The caller's own task of this agent.
    async fn find(&self, id: &str) -> Result<Option<Journal>, A2aError> {
        // What is not an id is no task's; a service need not make keys of it.
        if id.parse::<RunId>().is_err() {
            return Ok(None);
        }
        let found = self.host.runtime.task_manager().load(self.caller, id).await;
        let found = found.and_then(|record| record.map(|record| Journal::read(&record)).transpose());
        let journal = found.map_err(|error| unavailable(self.host, &error))?;
        // The id is checked too, lest a store that confuses letters' cases gives another's.
        Ok(journal.filter(|journal| {
            journal.agent == self.agent.name
                && journal.id.to_string() == id
                && AuthContext::from(journal.auth.clone()) == *self.caller
        }))
    }

    fn fold(&self, journal: &Journal) -> Result<(TaskFold, Vec<Told>), A2aError> {
        tell::tell(journal).map_err(|error| unavailable(self.host, &error))
    }

    fn task(&self, journal: &Journal, history: Option<i32>, artifacts: bool) -> Result<Task, A2aError> {
        Ok(self.fold(journal)?.0.task(history, artifacts))
    }

    async fn get(&self, request: &GetTaskRequest) -> Result<Task, A2aError> {
        let journal = self.load(&request.id).await?;
        self.task(&journal, request.history_length, true)
    }

    async fn send(&self, request: &SendMessageRequest) -> Result<Worked, A2aError> {
        if request.configuration.task_push_notification_config.is_some() {
            return Err(no_push());
        }
        let message = request.message.as_ref().ok_or_else(|| A2aError::invalid("`message` is missing"))?;
        media::check_parts(&message.parts, &card::input_modes(self.agent))?;
        for _ in 0..MAX_TRIES {
            let tried = match &message.task_id {
                None => self.begin(message).await?,
                Some(id) => self.reply(id, message).await?,
            };
            if let Some(worked) = tried {
                return Ok(worked);
            }
        }
        Err(self.contended())
    }

    /// Begins a task, unless the message has begun one already. Nothing where it has to be tried again.
    async fn begin(&self, message: &Message) -> Result<Option<Worked>, A2aError> {
        let id = self.task_id(&message.message_id);
        let input = Json::of(message).map_err(|error| A2aError::invalid(error.to_string()))?;
        if let Some(journal) = self.find(&id.to_string()).await? {
            if journal.message != input {
                return Err(conflict(&message.message_id));
            }
            return self.take_over(journal).await;
        }
        let beginning = Beginning {
            id,
            agent: self.agent.name.clone(),
            context_id: message.context_id.clone().unwrap_or_else(|| context_of(id)),
            message: input,
            message_id: message.message_id.clone(),
            seed: seed()?,
            patches: self.host.manifest.patches.clone(),
            now_ms: self.host.runtime.now_ms(),
        };
        let mut journal = Journal::begin(beginning, self.caller);
        // It is there before anything is done for it, so that the same message finds it, and one seed holds.
        match drive::save(self.host, self.caller, &mut journal).await {
            Err(Stop::Stale) => return Ok(None),
            Err(Stop::Failed(error)) => return Err(unavailable(self.host, &error)),
            Ok(()) => {}
        }
        let before = self.fold(&journal)?.0.position();
        self.drive(journal, before).await
    }

    /// Takes a message to a task that asks. Nothing where it has to be tried again.
    async fn reply(&self, id: &str, message: &Message) -> Result<Option<Worked>, A2aError> {
        let mut journal = self.load(id).await?;
        if message.context_id.as_ref().is_some_and(|context| *context != journal.context_id) {
            return Err(A2aError::invalid(
                "`message.contextId` is not the task's: leave it out, or send the task's own",
            ));
        }
        // Written the same whether the client repeats the context or not, so that it counts once.
        let mut whole = message.clone();
        whole.context_id = Some(journal.context_id.clone());
        whole.task_id = Some(id.to_owned());
        let payload = Json::of(&Object::of_members([(
            "message",
            Json::of(&whole).map_err(|error| A2aError::invalid(error.to_string()))?,
        )]))
        .map_err(|error| A2aError::invalid(error.to_string()))?;
        match journal.answered_by(&message.message_id) {
            Some(given) if *given == payload => return self.take_over(journal).await,
            Some(_) => return Err(conflict(&message.message_id)),
            None if journal.message_id == message.message_id => return Err(conflict(&message.message_id)),
            None => {}
        }
        if journal.end().is_some() {
            return Err(ended());
        }
        if !journal.settled {
            if !self.is_abandoned(&journal) {
                return Err(self.contended());
            }
            // Whoever drove it is gone: it is brought to where it asks, and then looked at again.
            let before = self.fold(&journal)?.0.position();
            return match self.drive(journal, before).await? {
                Some(_) | None => Ok(None),
            };
        }
        let open = tell::open_questions(&journal).map_err(|error| unavailable(self.host, &error))?;
        let question = which(&open, message)?;
        let at = self.host.runtime.now_ms().max(journal.updated_ms);
        journal.bytes += payload.text().len();
        if journal.bytes > MAX_TASK_BYTES {
            return Err(A2aError::new(
                ErrorKind::PayloadTooLarge,
                format!(
                    "with this answer the task would have more than {MAX_TASK_BYTES} bytes: answer with less, or cancel it"
                ),
            ));
        }
        let (key, id) = (question.key.clone(), message.message_id.clone());
        journal.entries.push(Entry::Answered { key, id, payload, at });
        journal.settled = false;
        // As on the platform, what the client is shown first holds its answer.
        let before = self.fold(&journal)?.0.position();
        self.drive(journal, before).await
    }

    async fn cancel(&self, request: &CancelTaskRequest) -> Result<Task, A2aError> {
        for _ in 0..MAX_TRIES {
            let mut journal = self.load(&request.id).await?;
            if journal.end().is_some() {
                return Err(A2aError::new(
                    ErrorKind::TaskNotCancelable,
                    "the task has ended, there is nothing to cancel",
                ));
            }
            if !journal.is_cancelled() {
                let at = self.host.runtime.now_ms().max(journal.updated_ms);
                journal.entries.push(Entry::CancelRequested { at });
                journal.settled = false;
            }
            if let Some(worked) = self.drive(journal, Position::default()).await? {
                return self.task(&worked.journal, None, true);
            }
        }
        Err(self.contended())
    }

    async fn subscribe(&self, request: &SubscribeToTaskRequest, call: &Call) -> Result<Worked, A2aError> {
        let seen = match &call.last_event_id {
            None => None,
            Some(text) => Some(text.parse::<Position>().map_err(|()| {
                A2aError::invalid(
                    "`Last-Event-ID` is none of this stream's: leave it out to begin with the task as it is",
                )
            })?),
        };
        let mut journal = self.load(&request.id).await?;
        if journal.end().is_some() && seen.is_none() {
            return Err(ended());
        }
        let before = match seen {
            Some(seen) => seen,
            None => self.fold(&journal)?.0.position(),
        };
        for _ in 0..MAX_TRIES {
            if self.is_abandoned(&journal) {
                match self.drive(journal, before).await? {
                    Some(worked) => return Ok(worked),
                    None => journal = self.load(&request.id).await?,
                }
                continue;
            }
            let journal = self.await_news(journal, before).await?;
            return Ok(Worked { journal, before });
        }
        Err(self.contended())
    }

    /// Waits for something to tell after a position, where the host can wait: the body is sent whole, so a stream of a
    /// task that waits for a person can only be held back for a while.
    async fn await_news(&self, mut journal: Journal, before: Position) -> Result<Journal, A2aError> {
        let Some(timer) = self.host.runtime.timer_service() else { return Ok(journal) };
        let until = self.host.runtime.now_ms().saturating_add(SUBSCRIBE_WAIT_MS);
        while self.host.runtime.now_ms() < until {
            if journal.settled && self.fold(&journal)?.0.position() > before {
                break;
            }
            timer.sleep(SUBSCRIBE_LOOK).await;
            journal = self.load(&journal.id.to_string()).await?;
        }
        Ok(journal)
    }

    async fn list(&self, request: &ListTasksRequest) -> Result<ListTasksResponse, A2aError> {
        let records = self.host.runtime.task_manager().list(self.caller, MAX_LISTED).await;
        let records = records.map_err(|error| unavailable(self.host, &error))?;
        let mut tasks = Vec::new();
        for record in records.iter().filter(|record| record.agent == self.agent.name) {
            let journal = Journal::read(record).map_err(|error| unavailable(self.host, &error))?;
            if AuthContext::from(journal.auth.clone()) != *self.caller {
                continue;
            }
            if request.context_id.as_ref().is_some_and(|context| *context != journal.context_id) {
                continue;
            }
            let (fold, _) = self.fold(&journal)?;
            if request.status != TaskState::Unspecified && request.status != fold.state() {
                continue;
            }
            let task = fold.task(request.history_length, request.include_artifacts.unwrap_or_default());
            let at = task.status.timestamp.map_or(0, |at| at.millis());
            if request.status_timestamp_after.is_some_and(|after| at < after.millis_up()) {
                continue;
            }
            tasks.push((at, task));
        }
        // The latest first; ids make the order whole, so that a page begins where the one before ended.
        tasks.sort_by(|(at, a), (bt, b)| bt.cmp(at).then_with(|| a.id.cmp(&b.id)));
        let total = tasks.len();
        if let Some(token) = request.page_token.as_deref() {
            let (at, id) = read_token(token)?;
            tasks.retain(|(of, task)| *of < at || (*of == at && task.id > id));
        }
        let page_size = request.page_size.unwrap_or(PAGE_SIZE);
        let size = usize::try_from(page_size).unwrap_or(1);
        let more = tasks.len() > size;
        tasks.truncate(size);
        let next_page_token = tasks.last().filter(|_| more).map(|(at, task)| token(*at, &task.id)).unwrap_or_default();
        Ok(ListTasksResponse {
            tasks: tasks.into_iter().map(|(_, task)| task).collect(),
            next_page_token,
            page_size,
            total_size: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    /// Goes on with a task that nobody drives any more, and leaves any other as it is.
    async fn take_over(&self, journal: Journal) -> Result<Option<Worked>, A2aError> {
        let before = self.fold(&journal)?.0.position();
        if self.is_abandoned(&journal) {
            self.drive(journal, before).await
        } else {
            Ok(Some(Worked { journal, before }))
        }
    }

    /// Whether a task is on its way and the request that drove it is gone.
    fn is_abandoned(&self, journal: &Journal) -> bool {
        !journal.settled && self.host.runtime.now_ms() >= journal.updated_ms.saturating_add(LEASE_MS)
    }

    /// Drives a task as far as it goes. Nothing where somebody else wrote it first.
    async fn drive(&self, mut journal: Journal, before: Position) -> Result<Option<Worked>, A2aError> {
        match Box::pin(drive::drive(self.host, &mut journal)).await {
            Ok(()) => Ok(Some(Worked { journal, before })),
            Err(Stop::Stale) => Ok(None),
            Err(Stop::Failed(error)) => Err(unavailable(self.host, &error)),
        }
    }

    /// The task that a message begins: the same for the same message of the same caller, and nobody else's.
    fn task_id(&self, message_id: &str) -> RunId {
        let mut hash = Sha256::new();
        let AuthContext { app_name, user_name, tenant } = self.caller;
        for part in ["task", app_name, user_name, tenant, &self.agent.name, message_id] {
            // Lengths keep parts apart.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut number = [0; 16];
        number.copy_from_slice(&digest[..16]);
        RunId::from_u128(u128::from_be_bytes(number))
    }

    fn contended(&self) -> A2aError {
        let mut error = A2aError::new(
            ErrorKind::Unavailable,
            "another request works on this task at the moment: ask for the task, or send the same again in a second",
        );
        error.retry_after = Some(1);
        error
    }
}

/// The question that a message answers.
fn which<'a>(open: &'a [OpenQuestion], message: &Message) -> Result<&'a OpenQuestion, A2aError> {
    let named = message.metadata.as_ref().and_then(|metadata| metadata.text_of(METADATA_QUESTION));
    let names = || open.iter().map(|question| format!("`{}`", question.name())).collect::<Vec<_>>().join(", ");
    match (named, open) {
        (_, []) => Err(A2aError::new(
            ErrorKind::UnsupportedOperation,
            "the task asks nothing at the moment: begin another task, without a `taskId`",
        )),
        (None, [only]) => Ok(only),
        (None, _) => Err(A2aError::invalid(format!(
            "the task asks several things: name the one that is answered in `message.metadata.question`: {}",
            names()
        ))),
        (Some(named), _) => {
            let found = open.iter().find(|open| open.name() == named || open.key.as_str() == named);
            found.ok_or_else(|| A2aError::invalid(format!("the task does not ask that; it asks {}", names())))
        }
    }
}

/// Everything after a position, in one piece: the task as it was there, then each event once.
fn stream(host: &Host, call: &Call, journal: &Journal, from: Position) -> Response<Bytes> {
    // Two folds: one that stays as it was there cannot tell what came after, since that depends on what is open by then.
    let told = tell::facts(journal).map(|facts| {
        let (mut snapshot, mut live) = (tell::fold_of(journal).until(from), tell::fold_of(journal));
        facts.iter().for_each(|fact| drop(snapshot.apply(fact)));
        let told: Vec<Told> = facts.iter().flat_map(|fact| live.apply(fact)).collect();
        (snapshot, told)
    });
    let (snapshot, told) = match told {
        Ok(told) => told,
        Err(error) => return call.reply(Err(unavailable(host, &error))),
    };
    let first = call.event(&StreamResponse::Task(snapshot.task(None, true)));
    let mut body = event_text(Some(&snapshot.position().to_string()), None, &first);
    for told in told.iter().filter(|told| told.position > from) {
        body.push_str(&event_text(Some(&told.position.to_string()), None, &call.event(&told.event)));
        // Who takes up a stream again hears of what was asked and answered meanwhile, too.
        if told.ends_stream() && !matches!(call.operation, Operation::SubscribeToTask(_)) {
            break;
        }
    }
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A service failed: the log says how, the client only that.
pub(super) fn unavailable(host: &Host, error: &Error) -> A2aError {
    host.runtime.logging_service().log(LogLevel::Error, &format!("a request of A2A failed: {error}"));
    let (kind, message) = if error.is_retryable() {
        (ErrorKind::Unavailable, "what the agent stands on does not answer at the moment: send the same again later")
    } else {
        (ErrorKind::Internal, "the agent's host failed: its log says how")
    };
    A2aError::new(kind, message).with("code", error.code())
}

fn no_push() -> A2aError {
    A2aError::new(
        ErrorKind::PushNotificationNotSupported,
        "the agent sends no notifications, as its card says: ask for the task instead",
    )
}

fn ended() -> A2aError {
    A2aError::new(ErrorKind::UnsupportedOperation, "the task has ended: begin another one, without a `taskId`")
}

fn conflict(message_id: &str) -> A2aError {
    A2aError::new(
        ErrorKind::MessageIdConflict,
        "the message's id stands for another message already: give each message an id of its own",
    )
    .with("messageId", message_id)
}

/// The conversation of a task whose client did not name one.
fn context_of(task: RunId) -> String {
    let digest = Sha256::new().chain_update("context").chain_update(task.to_u128().to_be_bytes()).finalize();
    format!("ctx_{}", URL_SAFE_NO_PAD.encode(&digest[..16]))
}

fn seed() -> Result<[u8; 32], A2aError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        A2aError::new(ErrorKind::Internal, format!("this host gives no randomness ({error}): a task needs some"))
    })?;
    Ok(seed)
}

fn token(at: i64, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{at}:{id}"))
}

fn read_token(token: &str) -> Result<(i64, String), A2aError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let read = text.as_deref().and_then(|text| text.split_once(':')).and_then(|(at, id)| Some((at.parse().ok()?, id)));
    read.map(|(at, id)| (at, id.to_owned()))
        .ok_or_else(|| A2aError::invalid("`pageToken` is none that was given: leave it out to begin at the first page"))
}
