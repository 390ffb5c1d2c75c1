//! Agents: skills under one name, offered to whoever speaks A2A.
//!
//! [`AgentDefinition`] is what an author's `configure_agent` returns. It becomes a component of kind `agent`; each task
//! is a run of it. What happens in a run: the message's skill is found, its handler is called, and called again with
//! what it asked for, until it says how the task ended.

use crate::{
    Tool,
    content::{Artifact, Content, Message},
    context::Context,
    error::Error,
    memory::AgentResult,
    module::{Body, Offer},
    services::{GuestRuntime, Runtime},
    skill::{OnRequestResult, Skill, SkillHandler, TaskContext},
};
use bivouac_protocol::{
    Code, Json,
    manifest::{self, Capabilities, ComponentKind, FlowControl, Provider, Retries},
};
use serde::Serialize;
use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// How often one task may ask for input; more means that it asks without end.
pub const MAX_INPUTS: u32 = 10_000;

/// The longest id of an agent or a skill, in characters.
const MAX_ID_CHARS: usize = 128;

/// An agent: who it is, what it can do, and what it asks to be granted.
///
/// # Examples
/// ```
/// use bivouac::prelude::*;
///
/// /// Says what was said.
/// #[skill(id = "echo", name = "Echo")]
/// struct Echo;
///
/// #[async_trait]
/// impl SkillHandler for Echo {
///     async fn on_request(
///         &self,
///         _task: &mut TaskContext,
///         _ctx: &Context,
///         _runtime: &dyn Runtime,
///         content: Content,
///     ) -> AgentResult<OnRequestResult> {
///         Ok(OnRequestResult::completed(content.text()))
///     }
/// }
///
/// #[bivouac::module]
/// pub fn configure_agent() -> AgentDefinition {
///     AgentDefinition::builder("parrot").name("Parrot").description("Repeats things.").skill(Echo).build()
/// }
///
/// let module = Module::from(configure_agent());
/// assert_eq!(module.manifest().components[0].agent.as_ref().unwrap().skills[0].id, "echo");
/// ```
#[derive(Clone)]
pub struct AgentDefinition {
    agent: Arc<Agent>,
    tools: Vec<Offer>,
    capabilities: Capabilities,
}

/// Picks the skill for a message, by its id.
type Route = Arc<dyn Fn(&Content) -> Option<String> + Send + Sync>;

struct Agent {
    id: String,
    description: String,
    card: manifest::Agent,
    handlers: Vec<Arc<dyn SkillHandler>>,
    route: Option<Route>,
    retries: Option<Retries>,
}

/// An agent being described; see [`AgentDefinition::builder`].
#[must_use = "an agent is what `build` gives"]
pub struct AgentBuilder {
    agent: Agent,
    tools: Vec<Offer>,
    capabilities: Capabilities,
}

impl AgentDefinition {
    /// Begins to describe an agent. Its id is what paths say (`/agents/ID/`): letters, digits, `_` and `-`.
    pub fn builder(id: impl Into<String>) -> AgentBuilder {
        let id = id.into();
        let card = manifest::Agent { version: "0.1.0".to_owned(), ..manifest::Agent::default() };
        let (description, handlers) = (String::new(), Vec::new());
        AgentBuilder {
            agent: Agent { id, description, card, handlers, route: None, retries: None },
            tools: Vec::new(),
            capabilities: Capabilities::default(),
        }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.agent.id
    }

    /// What it says of itself on its card.
    #[must_use]
    pub fn card(&self) -> &manifest::Agent {
        &self.agent.card
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.agent.description
    }

    /// What a module takes over from it.
    pub(crate) fn into_parts(self) -> (Vec<Offer>, Capabilities) {
        let Self { agent, tools, capabilities } = self;
        let described = manifest::Component {
            kind: ComponentKind::Agent,
            name: agent.id.clone(),
            description: Some(agent.description.clone()),
            input_schema: None,
            output_schema: None,
            flow_control: FlowControl { retries: agent.retries },
            agent: Some(agent.card.clone()),
        };
        let start = Arc::new(move |ctx: Context, input: &Json| {
            let message = Message::read(input)?;
            let agent = Arc::clone(&agent);
            let body: Body = Box::pin(async move { agent.run(ctx, message).await });
            Ok(body)
        });
        let mut offers = vec![Offer { described, start }];
        offers.extend(tools);
        (offers, capabilities)
    }
}

impl AgentBuilder {
    /// Its name for a person; the id where none is given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.agent.card.title = name.into();
        self
    }

    /// What it is for, in a sentence. Every agent has one.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.agent.description = description.into();
        self
    }

    /// Its version, as the author counts; `0.1.0` where nothing is said.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.agent.card.version = version.into();
        self
    }

    /// Adds a skill.
    pub fn skill<S: Skill + SkillHandler + 'static>(self, skill: S) -> Self {
        self.add(S::describe(), skill)
    }

    /// Adds a skill that only the extended card shows, which verified callers get.
    pub fn extended_skill<S: Skill + SkillHandler + 'static>(mut self, skill: S) -> Self {
        self.agent.card.extended = true;
        self.add(manifest::Skill { extended: true, ..S::describe() }, skill)
    }

    fn add(mut self, described: manifest::Skill, skill: impl SkillHandler + 'static) -> Self {
        self.agent.card.skills.push(described);
        self.agent.handlers.push(Arc::new(skill));
        self
    }

    /// Picks the skill for a message that does not name one in its metadata (`skill`). Where this gives nothing, the user
    /// is asked. It must give the same for the same message.
    pub fn route<R: Into<String>>(mut self, route: impl Fn(&Content) -> Option<R> + Send + Sync + 'static) -> Self {
        self.agent.route = Some(Arc::new(move |content| route(content).map(Into::into)));
        self
    }

    /// Offers a tool beside the agent, as a component of its own.
    pub fn tool<T: Tool>(mut self) -> Self {
        self.tools.push(Offer::of::<T>());
        self
    }

    /// Asks for a host that `http` may speak to; see [`Module::host`](crate::Module::host).
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.capabilities.hosts.push(host.into());
        self
    }

    /// Asks for a secret by its name.
    pub fn secret(mut self, name: impl Into<String>) -> Self {
        self.capabilities.secrets.push(name.into());
        self
    }

    /// Asks for memory.
    pub fn memory(mut self) -> Self {
        self.capabilities.memory = true;
        self
    }

    /// Tries a task again after its code failed; one attempt where nothing is said.
    pub fn retries(mut self, retries: Retries) -> Self {
        self.agent.retries = Some(retries);
        self
    }

    /// The media types that it takes; text and JSON where nothing is said.
    pub fn input_modes<M: Into<String>>(mut self, modes: impl IntoIterator<Item = M>) -> Self {
        self.agent.card.input_modes = modes.into_iter().map(Into::into).collect();
        self
    }

    /// The media types that it answers with; text and JSON where nothing is said.
    pub fn output_modes<M: Into<String>>(mut self, modes: impl IntoIterator<Item = M>) -> Self {
        self.agent.card.output_modes = modes.into_iter().map(Into::into).collect();
        self
    }

    /// Who offers it.
    pub fn provider(mut self, organization: impl Into<String>, url: impl Into<String>) -> Self {
        self.agent.card.provider = Some(Provider { organization: organization.into(), url: url.into() });
        self
    }

    /// Where it is explained.
    pub fn documentation_url(mut self, url: impl Into<String>) -> Self {
        self.agent.card.documentation_url = Some(url.into());
        self
    }

    /// Its picture.
    pub fn icon_url(mut self, url: impl Into<String>) -> Self {
        self.agent.card.icon_url = Some(url.into());
        self
    }

    /// The agent.
    ///
    /// # Panics
    /// Where it cannot be one: an id that paths cannot say, no description, no skill, two skills of one id. A module that
    /// does so is refused when it is built or uploaded, with the panic's text.
    #[must_use]
    pub fn build(self) -> AgentDefinition {
        let Self { mut agent, tools, capabilities } = self;
        if let Some(fault) = agent.fault() {
            panic!("{fault}");
        }
        if agent.card.title.is_empty() {
            agent.card.title.clone_from(&agent.id);
        }
        let modes = || vec!["text/plain".to_owned(), "application/json".to_owned()];
        if agent.card.input_modes.is_empty() {
            agent.card.input_modes = modes();
        }
        if agent.card.output_modes.is_empty() {
            agent.card.output_modes = modes();
        }
        AgentDefinition { agent: Arc::new(agent), tools, capabilities }
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !id.is_empty() && id.len() <= MAX_ID_CHARS && id.chars().all(allowed)
}

/// What a run of an agent ends with.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a Content>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifacts: &'a [Artifact],
}

impl Agent {
    fn fault(&self) -> Option<String> {
        let id = &self.id;
        if !is_id(id) {
            return Some(format!(
                "the agent's id `{id}` cannot be: it is 1 to {MAX_ID_CHARS} letters, digits, `_` or `-`, since paths say it"
            ));
        }
        if self.description.trim().is_empty() {
            return Some(format!(
                "the agent `{id}` has no description: add `.description(\"..\")`, its card needs one"
            ));
        }
        let skills = &self.card.skills;
        if skills.is_empty() {
            return Some(format!("the agent `{id}` has no skill: add one with `.skill(..)`"));
        }
        let twice =
            skills.iter().enumerate().find(|(at, skill)| skills[..*at].iter().any(|other| other.id == skill.id));
        twice.map(|(_, skill)| format!("the agent `{id}` has two skills of the id `{}`: rename one", skill.id))
    }

    async fn run(&self, ctx: Context, message: Message) -> Result<Json, Error> {
        let at = self.choose(&ctx, &message).await?;
        let content = message.content.clone();
        let mut task = TaskContext::new(ctx.clone(), message, self.card.skills[at].id.clone());
        let runtime = GuestRuntime::new(&ctx);
        let result = self.converse(&*self.handlers[at], &mut task, &ctx, &runtime, content).await?;
        match result {
            OnRequestResult::Completed { message, artifacts } => {
                Json::of(&Output { message: message.as_ref(), artifacts: &artifacts })
                    .map_err(|error| Error::refused(Code::INTERNAL, format!("the task's output: {error}")))
            }
            OnRequestResult::Failed { error } => Err(declined(&ctx, Code::HANDLER_FAILED, error)),
            OnRequestResult::Rejected { reason } => Err(declined(&ctx, Code::REJECTED, reason)),
            OnRequestResult::InputRequired { .. } => Err(Error::refused(
                Code::HISTORY_TOO_LONG,
                format!("the skill `{}` asked for input {MAX_INPUTS} times in one task", task.skill()),
            )),
        }
    }

    /// Calls the handler, turn by turn, until it asks for nothing more.
    fn converse<'a>(
        &'a self,
        handler: &'a dyn SkillHandler,
        task: &'a mut TaskContext,
        ctx: &'a Context,
        runtime: &'a dyn Runtime,
        content: Content,
    ) -> Borrowing<'a, AgentResult<OnRequestResult>> {
        Box::pin(async move {
            let mut result = handler.on_request(task, ctx, runtime, content).await?;
            for _ in 0..MAX_INPUTS {
                let OnRequestResult::InputRequired { message, slot } = result else { break };
                let said = task.input(message, slot).await?;
                result = handler.on_input_received(task, ctx, runtime, said).await?.into();
            }
            Ok(result)
        })
    }

    /// The skill for a message: the one that it names, the only one, the routed one, or the one that the user names when
    /// asked.
    async fn choose(&self, ctx: &Context, message: &Message) -> Result<usize, Error> {
        if let Some(named) = message.member("skill") {
            let id: String = named.parse().unwrap_or_else(|_| named.to_string());
            return self.position(&id).ok_or_else(|| Error::refused(Code::REJECTED, self.unknown(&id)));
        }
        if self.handlers.len() == 1 {
            return Ok(0);
        }
        if let Some(id) = self.route.as_ref().and_then(|route| route(&message.content)) {
            return self.position(&id).ok_or_else(|| {
                Error::refused(Code::HANDLER_FAILED, format!("the agent's `route` gave an id: {}", self.unknown(&id)))
            });
        }
        let shown = || self.card.skills.iter().filter(|skill| !skill.extended);
        let skills: Vec<_> =
            if shown().next().is_some() { shown().collect() } else { self.card.skills.iter().collect() };
        let lines: Vec<_> = skills.iter().map(|skill| format!("- {}: {}", skill.name, skill.description)).collect();
        let question = format!("What can I do for you?\n{}", lines.join("\n"));
        let options = skills.iter().map(|skill| (skill.id.as_str(), skill.name.as_str()));
        let id = ctx.ask(question).select(options).named("skill").await?;
        self.position(&id).ok_or_else(|| Error::refused(Code::INTERNAL, self.unknown(&id)))
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.card.skills.iter().position(|skill| skill.id == id)
    }

    fn unknown(&self, id: &str) -> String {
        let ids: Vec<_> = self.card.skills.iter().filter(|skill| !skill.extended).map(|skill| &*skill.id).collect();
        format!("the agent `{}` has no skill `{id}`; there are: {}", self.id, ids.join(", "))
    }
}

/// The error that ends a task; what is more than words goes before it, as progress.
fn declined(ctx: &Context, code: Code, content: Content) -> Error {
    let text = content.text();
    if content.is_rich() {
        ctx.progress(content);
    }
    let text = if text.is_empty() { "the skill gave no reason in words".to_owned() } else { text };
    Error::refused(code, text)
}

/// A future that borrows.
type Borrowing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl fmt::Debug for AgentDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentDefinition")
            .field("id", &self.agent.id)
            .field("card", &self.agent.card)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("id", &self.agent.id)
            .field("card", &self.agent.card)
            .finish_non_exhaustive()
    }
}
