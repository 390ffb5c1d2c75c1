//! The scenario with the official client for Rust; the same checks as in `js/conversation.mjs` and `python/conversation.py`.

use crate::checks::Line;
use a2a::{
    A2AError, AgentCard, CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest, ListTasksRequest,
    ListTasksResponse, Message, Part, PartContent, Role, SVC_PARAM_VERSION, SendMessageConfiguration,
    SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskPushNotificationConfig,
    TaskState, error_code, error_reason, new_message_id,
};
use a2a_client::{
    A2AClient, A2AClientFactory, BoxStream, ServiceParams, Transport, agent_card::AgentCardResolver,
    middleware::CallInterceptor,
};
use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use bivouac_conformance_a2a::Scenario;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

type Client = A2AClient<Box<dyn Transport>>;
type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

const CHECK_WITHIN: Duration = Duration::from_secs(60);
const MAX_EVENTS: usize = 200;

/// Plays the scenario and says of each check how it went.
pub(crate) async fn converse(scenario: &Scenario) -> Result<Vec<Line>> {
    let card = AgentCardResolver::new(None).resolve(&scenario.base).await?;
    let mut talk = Talk {
        client: client(&card, scenario, None).await?,
        card,
        scenario: scenario.clone(),
        lines: Vec::new(),
        asked: None,
        ended: None,
        streamed: None,
        context: new_message_id(),
        listed: Vec::new(),
        order: Vec::new(),
        nobody: new_message_id(),
    };
    talk.all().await;
    Ok(talk.lines)
}

async fn client(card: &AgentCard, scenario: &Scenario, version: Option<&'static str>) -> Result<Client> {
    let mut builder = A2AClientFactory::builder().preferred_bindings(vec![scenario.transport.to_owned()]);
    builder = builder.with_interceptor(Arc::new(Headers { key: scenario.key.clone(), version }));
    let (client, interface) = builder.build().create_from_card_with_interface(card).await?;
    ensure!(interface.protocol_binding == scenario.transport, "the transport is {}", interface.protocol_binding);
    Ok(client)
}

struct Headers {
    key: Option<String>,
    version: Option<&'static str>,
}

#[async_trait]
impl CallInterceptor for Headers {
    async fn before(&self, _method: &str, params: &mut ServiceParams) -> Result<(), A2AError> {
        if let Some(key) = &self.key {
            params.insert("Authorization".to_owned(), vec![format!("Bearer {key}")]);
        }
        if let Some(version) = self.version {
            params.insert(SVC_PARAM_VERSION.to_owned(), vec![version.to_owned()]);
        }
        Ok(())
    }
}

/// Which task a message goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct To {
    task: Option<String>,
    context: Option<String>,
}

impl To {
    fn of(task: &Task) -> Self {
        Self { task: Some(task.id.clone()), context: Some(task.context_id.clone()) }
    }
}

/// A client, and what it has begun so far: later checks ask about it.
struct Talk {
    client: Client,
    card: AgentCard,
    scenario: Scenario,
    lines: Vec<Line>,
    asked: Option<Task>,
    ended: Option<Task>,
    streamed: Option<To>,
    context: String,
    listed: Vec<String>,
    order: Vec<String>,
    nobody: String,
}

macro_rules! checks {
    ($talk:ident: $($name:literal => $check:ident,)*) => {
        $(
            let outcome = tokio::time::timeout(CHECK_WITHIN, $talk.$check()).await;
            let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("no end after {CHECK_WITHIN:?}")));
            $talk.lines.push(line($name, outcome));
        )*
    };
}

fn line(check: &str, outcome: Result<Value>) -> Line {
    let (ok, seen, why) = match outcome {
        Ok(seen) => (true, seen, String::new()),
        Err(error) => (false, Value::Null, format!("{error:#}")),
    };
    Line { check: check.to_owned(), ok, seen, why, stack: String::new() }
}

impl Talk {
    async fn all(&mut self) {
        checks! { self:
            "card" => the_card,
            "send: input required" => send_asked,
            "send: answered" => send_answered,
            "send: the task alone names the context" => send_task_alone,
            "send: a message sent twice counts once" => send_twice,
            "send: at once" => send_at_once,
            "send: what was said survives" => send_survives,
            "send: a context goes on" => send_goes_on,
            "stream: input required" => stream_asked,
            "stream: answered" => stream_answered,
            "get" => get,
            "get: history" => get_history,
            "list: context" => list_context,
            "list: pages" => list_pages,
            "list: filters" => list_filters,
            "list: what is shown" => list_shown,
            "cancel" => cancel,
            "subscribe: after a cut" => subscribe_after_cut,
            "extended card" => extended_card,
            "error: task not found" => error_not_found,
            "error: task not cancelable" => error_not_cancelable,
            "error: push not supported" => error_push,
            "error: unsupported operation" => error_unsupported,
            "error: content type not supported" => error_content_type,
            "error: version not supported" => error_version,
            "error: invalid parameters" => error_invalid,
        }
        // A stream that is sent in one piece at its end cannot be answered while it is open.
        if self.scenario.live {
            checks! { self: "subscribe: until the end" => subscribe_to_end, }
        }
        let ok = self.lines.iter().all(|line| line.ok);
        self.lines.push(Line { ok, ..line("done", Ok(Value::Null)) });
    }

    fn start(&self) -> Vec<Part> {
        vec![Part::text(&self.scenario.start)]
    }

    fn asked(&self) -> Result<&Task> {
        self.asked.as_ref().context("the first check that sends has failed")
    }

    fn ended(&self) -> Result<&Task> {
        self.ended.as_ref().context("the first check that answers has failed")
    }

    async fn send_with(&self, message: Message, at_once: bool) -> Result<Task> {
        let configuration = at_once.then_some(SendMessageConfiguration {
            accepted_output_modes: None,
            task_push_notification_config: None,
            history_length: None,
            return_immediately: Some(true),
        });
        let request = SendMessageRequest { message, configuration, metadata: None, tenant: None };
        match self.client.send_message(&request).await? {
            SendMessageResponse::Task(task) => Ok(task),
            SendMessageResponse::Message(_) => bail!("a message, not a task"),
        }
    }

    async fn send(&self, parts: Vec<Part>, to: &To) -> Result<Task> {
        self.send_with(self.message(parts, to), false).await
    }

    async fn answer(&self, text: &str, to: &To) -> Result<Task> {
        self.send(vec![Part::text(text)], to).await
    }

    async fn stream(&self, parts: Vec<Part>, to: &To) -> Result<Events> {
        stream(&self.client, self.message(parts, to)).await
    }

    fn message(&self, parts: Vec<Part>, to: &To) -> Message {
        let metadata = HashMap::from([("service".to_owned(), json!(self.scenario.service))]);
        let message = Message::new(Role::User, parts);
        Message { task_id: to.task.clone(), context_id: to.context.clone(), metadata: Some(metadata), ..message }
    }

    async fn task(&self, id: &str, history_length: Option<i32>) -> Result<Task> {
        Ok(self.client.get_task(&GetTaskRequest { id: id.to_owned(), history_length, tenant: None }).await?)
    }

    async fn canceled(&self, id: &str) -> Result<Task> {
        let request = CancelTaskRequest { id: id.to_owned(), metadata: None, tenant: None };
        Ok(self.client.cancel_task(&request).await?)
    }

    async fn subscribe(&self, id: &str) -> Result<Events> {
        Ok(self.client.subscribe_to_task(&SubscribeToTaskRequest { id: id.to_owned(), tenant: None }).await?)
    }

    async fn list(&self, filters: ListTasksRequest) -> Result<ListTasksResponse> {
        Ok(self.client.list_tasks(&filters).await?)
    }

    async fn the_card(&mut self) -> Result<Value> {
        let card = &AgentCardResolver::new(None).resolve(self.scenario.base.trim_end_matches('/')).await?;
        same("the card without a slash at its base", card, &self.card)?;
        same("the name", &card.name, &self.scenario.name)?;
        ensure!(card.capabilities.streaming == Some(true), "no streaming");
        ensure!(card.capabilities.push_notifications == Some(false), "push is not denied");
        ensure!(!card.skills.is_empty(), "no skills");
        ensure!(
            card.skills.iter().all(|skill| !skill.id.is_empty() && !skill.name.is_empty()),
            "a skill without a name"
        );
        let mut bindings: Vec<_> =
            card.supported_interfaces.iter().map(|interface| interface.protocol_binding.as_str()).collect();
        bindings.sort_unstable();
        same("the interfaces", &bindings, &vec!["HTTP+JSON", "JSONRPC"])?;
        let plain = card.supported_interfaces.iter().all(|interface| {
            interface.protocol_version == "1.0" && interface.tenant.as_deref().unwrap_or_default().is_empty()
        });
        ensure!(plain, "an interface of another version, or with a tenant");
        Ok(Value::Null)
    }

    async fn send_asked(&mut self) -> Result<Value> {
        let task = self.send(self.start(), &To::default()).await?;
        same("the state", &task.status.state, &TaskState::InputRequired)?;
        ensure!(!task.id.is_empty() && !task.context_id.is_empty(), "no ids");
        let question = task.status.message.as_ref().context("no question")?;
        ensure!(question.text().is_some_and(|text| !text.is_empty()), "an empty question");
        same("who asks", &question.role, &Role::Agent)?;
        same("what was said", &said_by_user(&task), &vec![self.scenario.start.clone()])?;
        ensure!(task.status.timestamp.is_some(), "no timestamp");
        self.asked = Some(task);
        Ok(Value::Null)
    }

    async fn send_answered(&mut self) -> Result<Value> {
        let mut task = self.asked()?.clone();
        let first = task.id.clone();
        for answer in &self.scenario.answers {
            same("the state before an answer", &task.status.state, &TaskState::InputRequired)?;
            task = self.answer(answer, &To::of(&task)).await?;
            same("the task", &task.id, &first)?;
        }
        same("the state", &task.status.state, &TaskState::Completed)?;
        let artifacts = task.artifacts.as_deref().unwrap_or_default();
        ensure!(
            artifacts.first().is_some_and(|first| !first.artifact_id.is_empty() && !first.parts.is_empty()),
            "no artifact"
        );
        same("what the user said", &said_by_user(&task), &self.everything_said())?;
        self.ended = Some(task);
        Ok(Value::Null)
    }

    fn everything_said(&self) -> Vec<String> {
        std::iter::once(&self.scenario.start).chain(&self.scenario.answers).cloned().collect()
    }

    async fn send_task_alone(&mut self) -> Result<Value> {
        let first = self.send(self.start(), &To::default()).await?;
        let task = self.answer(&self.scenario.answers[0], &To { context: None, ..To::of(&first) }).await?;
        same("ids", &To::of(&task), &To::of(&first))?;
        Ok(Value::Null)
    }

    async fn send_twice(&mut self) -> Result<Value> {
        let start = self.message(self.start(), &To::default());
        let first = self.send_with(start.clone(), false).await?;
        let again = self.send_with(start, false).await?;
        same("ids", &To::of(&again), &To::of(&first))?;
        let answer = self.message(vec![Part::text(&self.scenario.answers[0])], &To::of(&first));
        self.send_with(answer.clone(), false).await?;
        self.send_with(answer.clone(), false).await?;
        let task = self.task(&first.id, None).await?;
        let history = task.history.unwrap_or_default();
        let counted = history.iter().filter(|said| said.message_id == answer.message_id).count();
        same("how often the answer is in the history", &counted, &1)?;
        Ok(Value::Null)
    }

    async fn send_at_once(&mut self) -> Result<Value> {
        let task = self.send_with(self.message(self.start(), &To::default()), true).await?;
        let open = [TaskState::Submitted, TaskState::Working, TaskState::InputRequired];
        ensure!(open.contains(&task.status.state), "the state is {:?}", task.status.state);
        let asks = |event: &StreamResponse| word(event).contains(" INPUT_REQUIRED");
        let events = collect(self.subscribe(&task.id).await?, asks).await?;
        same("the task", &one_task(&events)?.task, &Some(task.id))?;
        ensure!(matches!(events[0], StreamResponse::Task(_)), "no snapshot first");
        Ok(Value::Null)
    }

    async fn send_survives(&mut self) -> Result<Value> {
        let text = format!("{}\u{2028}\u{85} \u{1f30d} \"quoted\" \\ \n next", self.scenario.start);
        // The client carries every number as a double.
        let data = json!({"nested": {"list": [1.5, "two", null, true]}, "sign": "a\u{2028}b\u{85}c\u{2029}d"});
        let mut part = Part::data(data.clone()).with_media_type("application/json");
        part.metadata = Some(HashMap::from([("note".to_owned(), json!("ü"))]));
        let events = self.stream(vec![Part::text(&text), part.clone()], &To::default()).await?;
        let events = collect(events, |_| false).await?;
        let StreamResponse::Task(first) = &events[0] else { bail!("no snapshot first") };
        let task = self.task(&first.id, None).await?;
        for history in [&first.history, &task.history] {
            let said = history.as_ref().and_then(|history| history.first()).context("no history")?;
            same("the text", &said.parts[0].as_text(), &Some(text.as_str()))?;
            same("the data", &said.parts[1].content, &PartContent::Data(data.clone()))?;
            same("the metadata", &said.parts[1].metadata, &part.metadata)?;
        }
        Ok(Value::Null)
    }

    async fn send_goes_on(&mut self) -> Result<Value> {
        let ended = self.ended()?;
        let to = To { task: None, context: Some(ended.context_id.clone()) };
        let task = self.send(self.start(), &to).await?;
        same("the context", &task.context_id, &ended.context_id)?;
        ensure!(task.id != ended.id, "the same task");
        Ok(Value::Null)
    }

    async fn stream_asked(&mut self) -> Result<Value> {
        let events = collect(self.stream(self.start(), &To::default()).await?, |_| false).await?;
        self.streamed = Some(one_task(&events)?);
        let words: Vec<_> = events.iter().map(word).collect();
        ensure!(words[0].starts_with("task "), "no snapshot first: {words:?}");
        ensure!(words.iter().any(|word| word.starts_with("status WORKING")), "no work: {words:?}");
        ensure!(words.last().is_some_and(|word| word == "status INPUT_REQUIRED with message"), "{words:?}");
        Ok(json!(words))
    }

    async fn stream_answered(&mut self) -> Result<Value> {
        let to = self.streamed.clone().context("the first stream has failed")?;
        let mut seen = Vec::new();
        for answer in &self.scenario.answers {
            let events = collect(self.stream(vec![Part::text(answer)], &to).await?, |_| false).await?;
            same("ids", &one_task(&events)?, &to)?;
            ensure!(matches!(events[0], StreamResponse::Task(_)), "no snapshot first");
            seen.push(events.iter().map(word).collect::<Vec<_>>());
        }
        let last = seen.last().context("no answers")?;
        ensure!(last.iter().any(|word| word.starts_with("artifact")), "no artifact: {last:?}");
        ensure!(seen.iter().flatten().any(|word| word == "status WORKING with message"), "no progress: {seen:?}");
        ensure!(last.last().is_some_and(|word| word.starts_with("status COMPLETED")), "{last:?}");
        Ok(json!(seen))
    }

    async fn get(&mut self) -> Result<Value> {
        let ended = self.ended()?;
        let task = self.task(&ended.id, None).await?;
        same("ids", &To::of(&task), &To::of(ended))?;
        same("the artifacts", &task.artifacts, &ended.artifacts)?;
        same("the status", &task.status, &ended.status)?;
        Ok(Value::Null)
    }

    async fn get_history(&mut self) -> Result<Value> {
        let id = self.ended()?.id.clone();
        let history = async |length| anyhow::Ok(self.task(&id, length).await?.history.unwrap_or_default());
        let whole = history(None).await?;
        ensure!(whole.len() > 1, "{} messages", whole.len());
        same("none", &history(Some(0)).await?, &Vec::new())?;
        same("the latest", &history(Some(1)).await?, &whole[whole.len() - 1..].to_vec())?;
        same("more than there is", &history(Some(1000)).await?, &whole)?;
        Ok(Value::Null)
    }

    async fn list_context(&mut self) -> Result<Value> {
        for _ in 0..3 {
            let to = To { task: None, context: Some(self.context.clone()) };
            self.listed.push(self.send(self.start(), &to).await?.id);
        }
        let page = self.list(within(&self.context)).await?;
        // Two that changed in the same millisecond may come either way round.
        self.order = ids(&page);
        same("the tasks", &sorted(&self.order), &sorted(&self.listed))?;
        let latest_first = page.tasks.is_sorted_by(|one, next| one.status.timestamp >= next.status.timestamp);
        ensure!(latest_first, "an older one comes first");
        same("the rest", &(page.next_page_token.as_str(), page.total_size), &("", 3))?;
        ensure!(page.page_size > 0, "no page size");
        same("no context", &self.list(within(&new_message_id())).await?.tasks.len(), &0)?;
        Ok(Value::Null)
    }

    async fn list_pages(&mut self) -> Result<Value> {
        let first = self.list(ListTasksRequest { page_size: Some(2), ..within(&self.context) }).await?;
        same("the sizes", &(first.tasks.len(), first.page_size, first.total_size), &(2, 2, 3))?;
        ensure!(!first.next_page_token.is_empty(), "no token");
        let page_token = Some(first.next_page_token.clone());
        let second = self.list(ListTasksRequest { page_size: Some(2), page_token, ..within(&self.context) }).await?;
        same("the end", &(second.tasks.len(), second.next_page_token.as_str()), &(1, ""))?;
        same("each once", &[ids(&first), ids(&second)].concat(), &self.order)?;
        Ok(Value::Null)
    }

    async fn list_filters(&mut self) -> Result<Value> {
        let [first, others @ ..] = self.listed.as_slice() else { bail!("the tasks are not there") };
        let listed = async |filters| anyhow::Ok(ids(&self.list(filters).await?));
        let of = |state| ListTasksRequest { status: Some(state), ..within(&self.context) };
        self.canceled(first).await?;
        same("canceled", &listed(of(TaskState::Canceled)).await?, &vec![first.clone()])?;
        same("open", &sorted(&listed(of(TaskState::InputRequired)).await?), &sorted(others))?;
        let since = self.task(first, None).await?.status.timestamp.context("no timestamp")?;
        let after = |at| ListTasksRequest { status_timestamp_after: Some(at), ..within(&self.context) };
        same("in the future", &listed(after(since + Duration::from_secs(3600))).await?, &Vec::new())?;
        same("since the latest change", &listed(after(since)).await?, &vec![first.clone()])?;
        Ok(Value::Null)
    }

    async fn list_shown(&mut self) -> Result<Value> {
        let ended = self.ended()?;
        let of = async |filters: ListTasksRequest| {
            let page = self.list(filters).await?;
            page.tasks.into_iter().find(|task| task.id == ended.id).context("the task is not listed")
        };
        let all = within(&ended.context_id);
        ensure!(of(all.clone()).await?.artifacts.unwrap_or_default().is_empty(), "artifacts that nobody asked for");
        let with = of(ListTasksRequest { include_artifacts: Some(true), ..all.clone() }).await?;
        same("artifacts", &with.artifacts, &ended.artifacts)?;
        for length in [0, 1] {
            let task = of(ListTasksRequest { history_length: Some(length), ..all.clone() }).await?;
            same("the history's length", &i32::try_from(task.history.unwrap_or_default().len())?, &length)?;
        }
        Ok(Value::Null)
    }

    async fn cancel(&mut self) -> Result<Value> {
        let id = self.listed.get(1).context("the tasks are not there")?;
        same("the state", &self.canceled(id).await?.status.state, &TaskState::Canceled)?;
        same("the state later", &self.task(id, None).await?.status.state, &TaskState::Canceled)?;
        Ok(Value::Null)
    }

    async fn subscribe_to_end(&mut self) -> Result<Value> {
        let task = self.send(self.start(), &To::default()).await?;
        let to = To::of(&task);
        let mut seen = Vec::new();
        for answer in &self.scenario.answers {
            let mut events = self.subscribe(&task.id).await?;
            let first = events.next().await.context("an empty stream")??;
            same("the snapshot", &word(&first), &"task INPUT_REQUIRED".to_owned())?;
            let (answered, rest) = futures::join!(self.answer(answer, &to), collect(events, |_| false));
            let (_, rest) = (answered?, rest?);
            same("ids", &one_task(&rest)?, &to)?;
            seen.push(std::iter::once(&first).chain(&rest).map(word).collect::<Vec<_>>());
        }
        let last = seen.last().and_then(|words| words.last());
        ensure!(last.is_some_and(|word| word.starts_with("status COMPLETED")), "{seen:?}");
        Ok(json!(seen))
    }

    async fn subscribe_after_cut(&mut self) -> Result<Value> {
        // The connection is closed after the first event, wherever the task is then.
        let cut = collect(self.stream(self.start(), &To::default()).await?, |_| true).await?;
        let to = one_task(&cut)?;
        let id = to.task.clone().context("no task")?;
        let asks = |event: &StreamResponse| word(event).contains(" INPUT_REQUIRED");
        let events = collect(self.subscribe(&id).await?, asks).await?;
        ensure!(matches!(events[0], StreamResponse::Task(_)), "no snapshot first");
        same("ids", &one_task(&events)?, &to)?;
        for answer in &self.scenario.answers {
            collect(self.stream(vec![Part::text(answer)], &to).await?, |_| true).await?;
            match self.subscribe(&id).await {
                Ok(events) => {
                    let stops = |event: &StreamResponse| asks(event) || word(event).contains(" COMPLETED");
                    same("ids", &one_task(&collect(events, stops).await?)?, &to)?;
                }
                // It may have ended before: then there is nothing to subscribe to.
                Err(error) => {
                    is(error_code::UNSUPPORTED_OPERATION, &error)?;
                    same("the state", &self.task(&id, None).await?.status.state, &TaskState::Completed)?;
                }
            }
        }
        let task = self.task(&id, None).await?;
        same("the state", &task.status.state, &TaskState::Completed)?;
        same("what the user said", &said_by_user(&task), &self.everything_said())?;
        Ok(Value::Null)
    }

    async fn extended_card(&mut self) -> Result<Value> {
        let asking = self.client.get_extended_agent_card(&GetExtendedAgentCardRequest { tenant: None });
        if !self.scenario.extended {
            refused(error_code::UNSUPPORTED_OPERATION, async { Ok(asking.await?) }).await?;
            return Ok(json!("refused"));
        }
        let extended = asking.await?;
        same("the name", &extended.name, &self.card.name)?;
        ensure!(extended.skills.len() > self.card.skills.len(), "no more skills");
        Ok(json!("shown"))
    }

    async fn error_not_found(&mut self) -> Result<Value> {
        let (code, nobody) = (error_code::TASK_NOT_FOUND, &self.nobody);
        let to = To { task: Some(nobody.clone()), context: None };
        refused(code, self.task(nobody, None)).await?;
        refused(code, self.canceled(nobody)).await?;
        refused(code, streamed(self.subscribe(nobody))).await?;
        refused(code, self.answer("hello", &to)).await?;
        refused(code, streamed(self.stream(vec![Part::text("hello")], &to))).await?;
        Ok(Value::Null)
    }

    async fn error_not_cancelable(&mut self) -> Result<Value> {
        for id in [&self.ended()?.id, self.listed.get(1).context("the tasks are not there")?] {
            refused(error_code::TASK_NOT_CANCELABLE, self.canceled(id)).await?;
        }
        Ok(Value::Null)
    }

    async fn error_push(&mut self) -> Result<Value> {
        let (code, task_id, id) =
            (error_code::PUSH_NOTIFICATION_NOT_SUPPORTED, self.ended()?.id.clone(), "one".to_owned());
        let client = &self.client;
        let config = TaskPushNotificationConfig {
            url: "https://example.invalid/".to_owned(),
            id: Some(id.clone()),
            task_id: task_id.clone(),
            token: None,
            authentication: None,
            tenant: None,
        };
        refused(code, async { Ok(client.create_push_config(&config).await?) }).await?;
        let one = GetTaskPushNotificationConfigRequest { task_id: task_id.clone(), id: id.clone(), tenant: None };
        refused(code, async { Ok(client.get_push_config(&one).await?) }).await?;
        let every = ListTaskPushNotificationConfigsRequest {
            task_id: task_id.clone(),
            page_size: None,
            page_token: None,
            tenant: None,
        };
        refused(code, async { Ok(client.list_push_configs(&every).await?) }).await?;
        let gone = DeleteTaskPushNotificationConfigRequest { task_id, id, tenant: None };
        refused(code, async { Ok(client.delete_push_config(&gone).await?) }).await?;
        Ok(Value::Null)
    }

    async fn error_unsupported(&mut self) -> Result<Value> {
        let (code, ended) = (error_code::UNSUPPORTED_OPERATION, self.ended()?);
        refused(code, self.answer("more", &To::of(ended))).await?;
        refused(code, streamed(self.stream(vec![Part::text("more")], &To::of(ended)))).await?;
        refused(code, streamed(self.subscribe(&ended.id))).await?;
        Ok(Value::Null)
    }

    async fn error_content_type(&mut self) -> Result<Value> {
        let code = error_code::CONTENT_TYPE_NOT_SUPPORTED;
        let picture = Part::raw(vec![1, 2, 3]).with_media_type(self.scenario.refused).with_filename("x.png");
        let both = [self.start(), vec![picture.clone()]].concat();
        refused(code, self.send(both, &To::default())).await?;
        refused(code, streamed(self.stream(vec![picture], &To::default()))).await?;
        Ok(Value::Null)
    }

    async fn error_version(&mut self) -> Result<Value> {
        let code = error_code::VERSION_NOT_SUPPORTED;
        for version in ["0.3", "2.0", ""] {
            let client = client(&self.card, &self.scenario, Some(version)).await?;
            let request = GetTaskRequest { id: self.ended()?.id.clone(), history_length: None, tenant: None };
            refused(code, async { Ok(client.get_task(&request).await?) }).await?;
            refused(code, streamed(stream(&client, self.message(self.start(), &To::default())))).await?;
        }
        Ok(Value::Null)
    }

    async fn error_invalid(&mut self) -> Result<Value> {
        let code = error_code::INVALID_PARAMS;
        refused(code, self.send(Vec::new(), &To::default())).await?;
        let nameless = Message { message_id: String::new(), ..self.message(self.start(), &To::default()) };
        refused(code, self.send_with(nameless, false)).await?;
        let elsewhere = To { context: Some(new_message_id()), ..To::of(self.asked()?) };
        refused(code, self.answer("x", &elsewhere)).await?;
        refused(code, self.list(ListTasksRequest { page_size: Some(101), ..within(&self.context) })).await?;
        let page_token = Some("not a token".to_owned());
        refused(code, self.list(ListTasksRequest { page_token, ..within(&self.context) })).await?;
        refused(code, self.task(&self.ended()?.id, Some(-1))).await?;
        Ok(Value::Null)
    }
}

async fn stream(client: &Client, message: Message) -> Result<Events> {
    let request = SendMessageRequest { message, configuration: None, metadata: None, tenant: None };
    Ok(client.send_streaming_message(&request).await?)
}

fn within(context: &str) -> ListTasksRequest {
    ListTasksRequest {
        context_id: Some(context.to_owned()),
        status: None,
        page_size: None,
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    }
}

fn ids(page: &ListTasksResponse) -> Vec<String> {
    page.tasks.iter().map(|task| task.id.clone()).collect()
}

fn sorted(ids: &[String]) -> Vec<String> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

fn said_by_user(task: &Task) -> Vec<String> {
    let history = task.history.iter().flatten().filter(|said| said.role == Role::User);
    history.flat_map(|said| &said.parts).filter_map(Part::as_text).map(str::to_owned).collect()
}

/// An event in one word, the same in every client.
fn word(event: &StreamResponse) -> String {
    let name = |state: &TaskState| {
        let name = serde_json::to_value(state).unwrap_or_default();
        name.as_str().unwrap_or_default().trim_start_matches("TASK_STATE_").to_owned()
    };
    match event {
        StreamResponse::Task(task) => format!("task {}", name(&task.status.state)),
        StreamResponse::Message(_) => "message".to_owned(),
        StreamResponse::StatusUpdate(update) => {
            let said = if update.status.message.is_some() { " with message" } else { "" };
            format!("status {}{said}", name(&update.status.state))
        }
        StreamResponse::ArtifactUpdate(update) if update.append == Some(true) => "artifact appended".to_owned(),
        StreamResponse::ArtifactUpdate(_) => "artifact".to_owned(),
    }
}

fn one_task(events: &[StreamResponse]) -> Result<To> {
    let to = |event: &StreamResponse| {
        let (task, context) = match event {
            StreamResponse::Task(task) => (&task.id, &task.context_id),
            StreamResponse::StatusUpdate(update) => (&update.task_id, &update.context_id),
            StreamResponse::ArtifactUpdate(update) => (&update.task_id, &update.context_id),
            StreamResponse::Message(_) => bail!("a message in a task's stream"),
        };
        Ok(To { task: Some(task.clone()), context: Some(context.clone()) })
    };
    let first = to(events.first().context("an empty stream")?)?;
    for event in events {
        same("the ids of an event", &to(event)?, &first)?;
    }
    Ok(first)
}

async fn collect(mut stream: Events, until: impl Fn(&StreamResponse) -> bool) -> Result<Vec<StreamResponse>> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        let event = event?;
        let enough = until(&event);
        events.push(event);
        ensure!(events.len() <= MAX_EVENTS, "the stream does not end");
        if enough {
            break;
        }
    }
    Ok(events)
}

/// A stream may be refused before it begins or by its first event.
async fn streamed(stream: impl Future<Output = Result<Events>>) -> Result<Vec<StreamResponse>> {
    collect(stream.await?, |_| false).await
}

/// Expects an error with the protocol's code for it.
async fn refused<T>(code: i32, asking: impl Future<Output = Result<T>>) -> Result<()> {
    match asking.await {
        Ok(_) => bail!("expected {}, and it was accepted", error_reason(code)),
        Err(error) => is(code, &error),
    }
}

fn is(code: i32, error: &anyhow::Error) -> Result<()> {
    let found =
        error.downcast_ref::<A2AError>().with_context(|| format!("expected {}, got {error:#}", error_reason(code)))?;
    ensure!(
        found.code == code,
        "expected {}, got {} ({})",
        error_reason(code),
        error_reason(found.code),
        found.message
    );
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) -> Result<()> {
    ensure!(got == expected, "{what} is {got:?}, not {expected:?}");
    Ok(())
}
