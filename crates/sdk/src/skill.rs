//! What an agent can do: skills, what they are given, and how a turn of theirs ends.
//!
//! A skill is a type with `#[skill]` (what it says of itself) and [`SkillHandler`] (what it does). A task is one run:
//! what a handler does through its [`Context`] is recorded, and a task that asks for input is parked until it comes.

use crate::{
    content::{Artifact, Content, Message},
    context::Context,
    error::Error,
    memory::AgentResult,
    services::Runtime,
};
use async_trait::async_trait;
use bivouac_protocol::{Code, Json, frame::Note, manifest};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, fmt};

/// What a skill says of itself; `#[skill]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what skill it is",
    label = "no `#[skill(...)]` stands on this type",
    note = "write `#[skill(id = \"..\", name = \"..\", description = \"..\")]` on the struct"
)]
pub trait Skill {
    /// What the card says of it.
    fn describe() -> manifest::Skill;
}

/// What a skill does with a message, and with what it asked for.
///
/// # Examples
/// ```
/// use bivouac::prelude::*;
///
/// /// Greets by name, and asks for it where it is missing.
/// #[skill(id = "greet", name = "Greet")]
/// struct Greet;
///
/// #[async_trait]
/// impl SkillHandler for Greet {
///     async fn on_request(
///         &self,
///         _task: &mut TaskContext,
///         _ctx: &Context,
///         _runtime: &dyn Runtime,
///         content: Content,
///     ) -> AgentResult<OnRequestResult> {
///         if content.text().is_empty() {
///             return Ok(OnRequestResult::input_required("What is your name?", SkillSlot::new("name")));
///         }
///         Ok(OnRequestResult::completed(format!("Hello, {}!", content.text())))
///     }
///
///     async fn on_input_received(
///         &self,
///         _task: &mut TaskContext,
///         _ctx: &Context,
///         _runtime: &dyn Runtime,
///         content: Content,
///     ) -> AgentResult<OnInputResult> {
///         Ok(OnInputResult::completed(format!("Hello, {}!", content.text())))
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no skill yet: it has no `SkillHandler`",
    label = "this type does not implement `SkillHandler`",
    note = "write `#[async_trait] impl SkillHandler for {Self} {{ async fn on_request(..) .. }}`"
)]
pub trait SkillHandler: Send + Sync {
    /// A task begins with this message.
    ///
    /// # Errors
    /// Why the attempt failed. [`OnRequestResult::Failed`] and [`OnRequestResult::Rejected`] say something to the user.
    async fn on_request(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult>;

    /// What the task asked for with `InputRequired` has come; [`TaskContext::slot`] says what that was.
    ///
    /// A skill that never asks so - also one that uses [`Context::ask`] - does without.
    ///
    /// # Errors
    /// Why the attempt failed.
    async fn on_input_received(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnInputResult> {
        let _unused = (ctx, runtime, content);
        Err(Error::terminal(
            "INPUT_NOT_HANDLED",
            format!(
                "the skill `{}` asked for input, but has no `on_input_received` to take it: implement it, or ask with \
                 `ctx.ask(..)`, which gives the answer where it is asked",
                task.skill
            ),
        ))
    }
}

/// How the first turn of a task ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnRequestResult {
    /// The task is done.
    Completed {
        /// What to say.
        message: Option<Content>,
        /// What was made, besides what was sent while the task went on.
        artifacts: Vec<Artifact>,
    },
    /// The user is asked for something; [`SkillHandler::on_input_received`] gets it.
    InputRequired {
        /// What to ask.
        message: Content,
        /// What it is that is asked for, for the handler to tell.
        slot: SkillSlot,
    },
    /// The task cannot be done.
    Failed {
        /// Why.
        error: Content,
    },
    /// The task is declined, before any of it was done.
    Rejected {
        /// Why.
        reason: Content,
    },
}

/// How a later turn of a task ends: a task that was begun cannot be rejected any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnInputResult {
    /// The task is done.
    Completed {
        /// What to say.
        message: Option<Content>,
        /// What was made, besides what was sent while the task went on.
        artifacts: Vec<Artifact>,
    },
    /// The user is asked for something more.
    InputRequired {
        /// What to ask.
        message: Content,
        /// What it is that is asked for, for the handler to tell.
        slot: SkillSlot,
    },
    /// The task cannot be done.
    Failed {
        /// Why.
        error: Content,
    },
}

macro_rules! results {
    ($($result:ident)*) => {
        $(impl $result {
            /// The task is done, with this to say.
            pub fn completed(message: impl Into<Content>) -> Self {
                Self::Completed { message: Some(message.into()), artifacts: Vec::new() }
            }

            /// The user is asked for something.
            pub fn input_required(message: impl Into<Content>, slot: SkillSlot) -> Self {
                Self::InputRequired { message: message.into(), slot }
            }

            /// The task cannot be done.
            pub fn failed(error: impl Into<Content>) -> Self {
                Self::Failed { error: error.into() }
            }

            /// The same; a completed task made this too.
            #[must_use]
            pub fn with_artifact(mut self, artifact: Artifact) -> Self {
                if let Self::Completed { artifacts, .. } = &mut self {
                    artifacts.push(artifact);
                }
                self
            }
        })*
    };
}
results!(OnRequestResult OnInputResult);

impl OnRequestResult {
    /// The task is declined.
    pub fn rejected(reason: impl Into<Content>) -> Self {
        Self::Rejected { reason: reason.into() }
    }
}

impl From<OnInputResult> for OnRequestResult {
    fn from(result: OnInputResult) -> Self {
        match result {
            OnInputResult::Completed { message, artifacts } => Self::Completed { message, artifacts },
            OnInputResult::InputRequired { message, slot } => Self::InputRequired { message, slot },
            OnInputResult::Failed { error } => Self::Failed { error },
        }
    }
}

/// What a task asks for, in the skill's own terms: a name, or an enum with what is known so far.
///
/// # Examples
/// ```
/// use bivouac::SkillSlot;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Missing {
///     Destination,
///     Dates { destination: String },
/// }
///
/// let slot = SkillSlot::new(Missing::Dates { destination: "Lisbon".into() });
/// assert!(matches!(slot.get(), Ok(Missing::Dates { .. })));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillSlot(Result<Json, String>);

impl SkillSlot {
    /// This is asked for. A value that cannot be written as JSON is found out when it is read.
    pub fn new<T: Serialize>(value: T) -> Self {
        Self(Json::of(&value).map_err(|error| error.to_string()))
    }

    /// What is asked for.
    ///
    /// # Errors
    /// `INVALID_INPUT` where it is not what the type says.
    pub fn get<T: DeserializeOwned>(&self) -> AgentResult<T> {
        let read =
            self.0.as_ref().map_err(Clone::clone).and_then(|json| json.parse().map_err(|error| error.to_string()));
        read.map_err(|error| {
            Error::refused(Code::INVALID_INPUT, format!("what the skill asked for is not what its type says: {error}"))
        })
    }
}

/// The task that a skill works on.
pub struct TaskContext {
    ctx: Context,
    message: Message,
    skill: String,
    slot: Option<SkillSlot>,
    values: BTreeMap<String, Json>,
}

impl TaskContext {
    pub(crate) fn new(ctx: Context, message: Message, skill: String) -> Self {
        Self { ctx, message, skill, slot: None, values: BTreeMap::new() }
    }

    /// The task's id, which is its run's.
    #[must_use]
    pub fn id(&self) -> String {
        self.ctx.run_id().to_string()
    }

    /// The conversation that the task belongs to; empty where there is none.
    #[must_use]
    pub fn context_id(&self) -> &str {
        self.message.context_id.as_deref().unwrap_or_else(|| self.ctx.session_id())
    }

    /// The id of the skill that works on it.
    #[must_use]
    pub fn skill(&self) -> &str {
        &self.skill
    }

    /// A member of the metadata that came with the first message; nothing where it is not there.
    ///
    /// # Errors
    /// `INVALID_INPUT` where it is not what the type says.
    pub fn metadata<T: DeserializeOwned>(&self, name: &str) -> AgentResult<Option<T>> {
        parse(self.message.member(name).as_ref(), || format!("the message's metadata `{name}`"))
    }

    /// What was asked for last, in the skill's terms; nothing in a task's first turn.
    ///
    /// # Errors
    /// `INVALID_INPUT` where it is not what the type says.
    pub fn slot<T: DeserializeOwned>(&self) -> AgentResult<Option<T>> {
        self.slot.as_ref().map(SkillSlot::get).transpose()
    }

    /// Keeps a value for the task's later turns. What is to outlive the task goes into memory.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> AgentResult<()> {
        let value = Json::of(value).map_err(|error| {
            Error::refused(Code::INVALID_INPUT, format!("the task's value `{name}` cannot be written as JSON: {error}"))
        })?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// A value that was kept for the task; nothing where there is none.
    ///
    /// # Errors
    /// `INVALID_INPUT` where it is not what the type says.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> AgentResult<Option<T>> {
        parse(self.values.get(name), || format!("the task's value `{name}`"))
    }

    /// Tells the user how far the task is; see [`Context::progress`].
    pub fn progress(&self, content: impl Into<Content>) {
        self.ctx.progress(content);
    }

    /// Sends an artifact while the task goes on; see [`Context::artifact`].
    pub fn artifact(&self, artifact: &Artifact) {
        self.ctx.artifact(artifact);
    }

    /// Waits for what a turn asked for.
    pub(crate) async fn input(&mut self, message: Content, slot: SkillSlot) -> AgentResult<Content> {
        let text = message.text();
        let mut ask = self.ctx.ask(text).anything();
        if message.is_rich() {
            ask = ask.content(message);
        }
        let said = ask.await?;
        self.slot = Some(slot);
        Ok(said)
    }
}

fn parse<T: DeserializeOwned>(json: Option<&Json>, what: impl Fn() -> String) -> AgentResult<Option<T>> {
    json.map(Json::parse)
        .transpose()
        .map_err(|error| Error::refused(Code::INVALID_INPUT, format!("{} is not what its type says: {error}", what())))
}

impl Context {
    /// Tells clients how far the run is. They see it once everything that led to it is on disk.
    ///
    /// # Examples
    /// ```
    /// # fn example(ctx: &bivouac::Context) {
    /// ctx.progress("looking for hotels");
    /// # }
    /// ```
    pub fn progress(&self, content: impl Into<Content>) {
        self.core().note(Note::Progress { content: content.into().to_json() });
    }

    /// Gives clients an artifact while the run goes on: all of it, in the place of one that had its id.
    pub fn artifact(&self, artifact: &Artifact) {
        self.artifact_note(artifact, false, true);
    }

    /// Gives clients a piece of an artifact: its parts follow those that were sent under its id. `last` says that it is
    /// complete.
    pub fn artifact_chunk(&self, artifact: &Artifact, last: bool) {
        self.artifact_note(artifact, true, last);
    }

    fn artifact_note(&self, artifact: &Artifact, append: bool, last_chunk: bool) {
        self.core().note(Note::Artifact { artifact: artifact.to_json(), append, last_chunk });
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", &self.ctx.run_id())
            .field("skill", &self.skill)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
