//! Agents as the commands talk to them: A2A 1.0 over HTTP+JSON.
//!
//! A message has an id of ours, so that sending it again begins nothing twice; a stream that breaks is taken up again
//! after the last event that arrived. What a task's events mean to a person is in [`crate::talk`].

use crate::{
    client::{Capability, Client},
    failure::{Exit, Failure, Result},
    nearest::nearest,
    output, sse,
};
use bivouac_a2a::{
    PROTOCOL_VERSION,
    types::{AgentCard, ListTasksResponse, Message, SendMessageRequest, StreamResponse, Task, TaskState},
};
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::{Duration, Instant};

/// The first wait before a broken stream is taken up again; it doubles up to [`LAST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(3);
/// How long the server may be away before it is given up.
const GIVE_UP: Duration = Duration::from_secs(300);

/// An agent at a server.
pub(crate) struct Agent<'a> {
    client: &'a Client,
    /// The environment, where it is not the key's own.
    environment: Option<String>,
    pub(crate) name: String,
}

/// The agents that a server's environment routes to.
pub(crate) async fn names(client: &Client, environment: Option<&str>) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Routes {
        routes: Vec<Route>,
    }
    #[derive(Deserialize)]
    struct Route {
        component: String,
    }
    let mut request = client.get(&["api", "routes"]);
    if let Some(environment) = environment {
        request = request.query(&[("environment", environment)]);
    }
    let routes: Routes = client.json(request, "the agents are not listed").await?;
    let agents =
        routes.routes.into_iter().filter_map(|route| route.component.strip_prefix("agent/").map(str::to_owned));
    Ok(agents.collect())
}

impl<'a> Agent<'a> {
    /// Finds an agent and reads its card.
    pub(crate) async fn find(client: &'a Client, environment: Option<&str>, name: &str) -> Result<(Self, AgentCard)> {
        let agent = Self { client, environment: environment.map(str::to_owned), name: name.to_owned() };
        let undone = format!("the agent `{}` cannot be talked to", output::plain(name));
        client.require(Capability::Agents, &undone).await?;
        let card = agent.request(Method::GET, &[".well-known", "agent-card.json"]);
        match client.json(card, &undone).await {
            Ok(card) => Ok((agent, card)),
            Err(failure) if failure.exit == Exit::NotFound => Err(agent.unknown(undone).await),
            Err(failure) => Err(failure),
        }
    }

    /// That there is no such agent, with those that there are, where the key may see them.
    async fn unknown(&self, undone: String) -> Failure {
        let failure = Failure::new(Exit::NotFound, undone);
        let server = self.client.server();
        let names = match names(self.client, self.environment.as_deref()).await {
            Ok(names) => names,
            // What is not there and what is not shown look the same.
            Err(unseen) => {
                let failure =
                    failure.why(format!("there is no such agent at {server}, or it is not shown to this key"));
                return match unseen.hint_text() {
                    Some(hint) if unseen.exit == Exit::Refused => failure.hint(hint),
                    _ => failure.hint("check its name: it is the id in the agent's definition"),
                };
            }
        };
        if names.is_empty() {
            return failure
                .why(format!("no agent is deployed at {server}"))
                .hint("`bivouac dev` in an agent's folder serves it, `bivouac deploy` sends it to a server");
        }
        let failure = failure.why(format!("there is no such agent at {server}; there is {}", names.join(", ")));
        match nearest(&self.name, names.iter().map(String::as_str)) {
            Some(meant) => failure.hint(format!("did you mean `bivouac chat {meant}`?")),
            None => failure.hint(format!("bivouac chat {}", names[0])),
        }
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut segments = Vec::with_capacity(path.len() + 4);
        if let Some(environment) = &self.environment {
            segments.extend(["envs", environment.as_str()]);
        }
        segments.extend(["agents", self.name.as_str()]);
        segments.extend_from_slice(path);
        self.client.request(method, &segments).header("A2A-Version", PROTOCOL_VERSION)
    }

    fn rest(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.request(method, &[&["a2a", "rest"], path].concat())
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder, undone: &str) -> Result<T> {
        self.client.json(request.header("Accept", "application/a2a+json, application/json"), undone).await
    }

    /// A task as it stands.
    pub(crate) async fn task(&self, id: &str) -> Result<Task> {
        self.ask(self.rest(Method::GET, &["tasks", id]), &format!("the task {id} is not shown")).await
    }

    /// The task of a conversation that waits for an answer, if one does.
    pub(crate) async fn asking(&self, context: &str) -> Result<Option<Task>> {
        let query = [("contextId", context), ("status", "TASK_STATE_INPUT_REQUIRED"), ("pageSize", "1")];
        let request = self.rest(Method::GET, &["tasks"]).query(&query);
        let page: ListTasksResponse = self.ask(request, "the conversation is not taken up").await?;
        Ok(page.tasks.into_iter().next())
    }

    /// Wishes that a task ends.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Task> {
        let request = self.rest(Method::POST, &["tasks", &format!("{id}:cancel")]);
        let request = request.header("Content-Type", "application/json").body("{}");
        self.ask(request, &format!("the task {id} was not cancelled")).await
    }
}

/// How a task's events stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// With this state, which is terminal or waits for somebody.
    At(TaskState),
    /// The agent answered without a task.
    Answered,
}

/// A message on its way, and what comes back.
pub(crate) struct Turn<'a> {
    agent: &'a Agent<'a>,
    message: Message,
    /// The task that it belongs to, once that is known.
    pub(crate) task: Option<String>,
    /// The conversation that it belongs to, once that is known.
    pub(crate) context: Option<String>,
    /// The number of the last event.
    last: Option<String>,
    /// Where the task stands, as far as events have told.
    state: Option<TaskState>,
    /// Whether a stream was ever open: then a failure is a break, not a wrong address.
    connected: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(agent: &'a Agent<'a>, message: Message) -> Self {
        let (task, context) = (None, message.context_id.clone());
        Self { agent, message, task, context, last: None, state: None, connected: false }
    }

    /// Sends the message and follows what comes of it. `event` is told of each event and of its JSON.
    ///
    /// Dropped in the middle, it is taken up again where it was when it is called once more.
    pub(crate) async fn follow(&mut self, mut event: impl FnMut(&StreamResponse, &str) -> Result) -> Result<Stopped> {
        let mut lost: Option<Instant> = None;
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.last.clone();
            let heard = self.listen(&mut event).await;
            if self.last != before {
                (lost, wait) = (None, FIRST_WAIT);
            }
            match heard {
                Ok(Some(stopped)) => return Ok(stopped),
                Ok(None) => {
                    if let Some(stopped) = self.look(&mut event).await? {
                        return Ok(stopped);
                    }
                }
                Err(failure)
                    if failure.exit != Exit::Unreachable || !(self.connected || failure.may_have_arrived()) =>
                {
                    return Err(failure);
                }
                Err(failure) => {
                    let since = *lost.get_or_insert_with(|| {
                        output::note(&format!("{}; the task goes on by itself, taking it up again", failure.line()));
                        Instant::now()
                    });
                    if since.elapsed() > GIVE_UP {
                        return Err(failure);
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Listens to one stream until it ends. Nothing where that is not the task's end.
    async fn listen(&mut self, event: &mut impl FnMut(&StreamResponse, &str) -> Result) -> Result<Option<Stopped>> {
        let client = self.agent.client;
        let undone = "the message was not answered";
        let mut request = match &self.task {
            None => {
                let send = SendMessageRequest { message: Some(self.message.clone()), ..SendMessageRequest::default() };
                let body = serde_json::to_string(&send)
                    .map_err(|error| Failure::failed("the message cannot be written").why(error.to_string()))?;
                let request = self.agent.rest(Method::POST, &["message:stream"]);
                request.header("Content-Type", "application/json").body(body)
            }
            Some(task) => self.agent.rest(Method::GET, &["tasks", &format!("{task}:subscribe")]),
        };
        if let Some(last) = &self.last {
            request = request.header("Last-Event-ID", last);
        }
        let mut response = client.send(request.header("Accept", "text/event-stream"), undone).await?;
        self.connected = true;
        let mut parser = sse::Parser::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| client.unreachable(&error, undone))? {
            let complete = parser.push(&chunk).map_err(|error| Failure::failed(undone).why(error.to_string()))?;
            for told in complete {
                if told.name == "error" {
                    return Err(client.refused_in_stream(&told.data, undone));
                }
                let response: StreamResponse = client.read(&told.data, undone)?;
                let stopped = self.take(&response);
                event(&response, &told.data)?;
                if told.id.is_some() {
                    self.last = told.id;
                }
                if stopped.is_some() {
                    return Ok(stopped);
                }
            }
        }
        Ok(None)
    }

    /// Notes what an event says of the task; gives where it stops the stream.
    fn take(&mut self, response: &StreamResponse) -> Option<Stopped> {
        let (task, context, state, is_snapshot) = match response {
            StreamResponse::Message(message) => {
                self.context = message.context_id.clone().or_else(|| self.context.take());
                return Some(Stopped::Answered);
            }
            StreamResponse::Task(task) => (&task.id, task.context_id.as_ref(), Some(task.status.state), true),
            StreamResponse::StatusUpdate(update) => {
                (&update.task_id, Some(&update.context_id), Some(update.status.state), false)
            }
            StreamResponse::ArtifactUpdate(update) => (&update.task_id, Some(&update.context_id), None, false),
        };
        self.task = Some(task.clone());
        self.context = context.filter(|context| !context.is_empty()).cloned().or_else(|| self.context.take());
        self.state = state.or(self.state);
        // A snapshot may be of the moment before the message that was just sent, when the task still asked.
        let state = state.filter(|state| state.is_terminal() || (state.is_interrupted() && !is_snapshot))?;
        Some(Stopped::At(state))
    }

    /// Looks at a task whose stream ended without saying why.
    async fn look(&mut self, event: &mut impl FnMut(&StreamResponse, &str) -> Result) -> Result<Option<Stopped>> {
        let Some(id) = &self.task else { return Ok(None) };
        let task = self.agent.task(id).await?;
        let state = task.status.state;
        if !state.is_terminal() && !state.is_interrupted() {
            return Ok(None);
        }
        let response = StreamResponse::Task(task);
        let text = serde_json::to_string(&response).unwrap_or_default();
        event(&response, &text)?;
        Ok(Some(Stopped::At(state)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    fn take(events: &[&str]) -> Vec<Option<Stopped>> {
        let server = reqwest::Url::parse("http://127.0.0.1:1").unwrap();
        let connection = Connection { server, server_from: String::new(), key: None, key_from: String::new() };
        let client = Client::new(connection).unwrap();
        let agent = Agent { client: &client, environment: None, name: "a".to_owned() };
        let mut turn = Turn::new(&agent, Message::default());
        let read = |text: &&str| turn.take(&serde_json::from_str(text).unwrap());
        events.iter().map(read).collect()
    }

    #[test]
    fn a_turn_stops_where_the_task_ends_or_asks_but_not_at_a_snapshot_that_asks() {
        let stops = take(&[
            r#"{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}"#,
            r#"{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}}"#,
            r#"{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]}}}"#,
            r#"{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}"#,
            r#"{"task":{"id":"t","status":{"state":"TASK_STATE_COMPLETED"}}}"#,
            r#"{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"hi"}]}}"#,
        ]);
        let at = |state| Some(Stopped::At(state));
        let expected =
            [None, None, None, at(TaskState::InputRequired), at(TaskState::Completed), Some(Stopped::Answered)];
        assert_eq!(stops, expected);
    }
}
