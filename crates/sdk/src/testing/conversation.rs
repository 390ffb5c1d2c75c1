//! A conversation with an agent: a message, what comes back, the next message.

use super::{Report, Rule, Test};
use crate::{Artifact, Content, Error, IntoModule};
use bivouac_protocol::{
    Json,
    frame::{Question, Status},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A conversation with one agent, message by message.
///
/// A message answers what the agent asks; where it asks nothing, it begins a task, which finds the memory that the task
/// before it left. Each message drives the task from its beginning, twice, with all that was said: what an agent does
/// must be the same each time.
///
/// # Examples
/// ```
/// use bivouac::{prelude::*, testing::Conversation};
///
/// /// Greets.
/// #[skill]
/// struct Greet;
///
/// #[async_trait]
/// impl SkillHandler for Greet {
///     async fn on_request(
///         &self,
///         _task: &mut TaskContext,
///         ctx: &Context,
///         _runtime: &dyn Runtime,
///         _content: Content,
///     ) -> AgentResult<OnRequestResult> {
///         let name = ctx.ask("What is your name?").await?;
///         Ok(OnRequestResult::completed(format!("Hello, {name}!")))
///     }
/// }
///
/// fn configure_agent() -> AgentDefinition {
///     AgentDefinition::builder("greeter").description("Greets.").skill(Greet).build()
/// }
///
/// let mut talk = Conversation::with(configure_agent, "greeter");
/// assert_eq!(talk.say("hello").question().unwrap().text, "What is your name?");
/// assert_eq!(talk.say("Ada").text(), "Hello, Ada!");
/// ```
#[derive(Clone, Debug)]
pub struct Conversation {
    test: Test,
    /// Whether the task that is on its way asks something.
    asked: bool,
    answers: Vec<Json>,
    seen: Seen,
}

/// How much of the task's report earlier replies told.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    progress: usize,
    artifacts: usize,
}

/// What an agent said and did after one message.
#[derive(Clone, Debug)]
#[must_use = "a reply is there to be asked"]
pub struct Reply {
    report: Report,
    seen: Seen,
}

impl Conversation {
    /// A conversation with the agent of this id, of what `configure` describes.
    ///
    /// # Panics
    /// Where there is no such agent.
    #[must_use]
    pub fn with<M: IntoModule + 'static>(configure: fn() -> M, id: &str) -> Self {
        Self::of(Test::agent(configure, id))
    }

    /// A conversation in a world that is arranged otherwise.
    #[must_use]
    pub fn of(test: Test) -> Self {
        Self { test, asked: false, answers: Vec::new(), seen: Seen::default() }
    }

    /// Scripts what effects become, from the beginning of each task.
    #[must_use]
    pub fn on(mut self, rule: Rule) -> Self {
        self.test = self.test.on(rule);
        self
    }

    /// On whose behalf the agent works from here on.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.test = self.test.user(user);
        self
    }

    /// A member of the metadata of each task's first message.
    #[must_use]
    pub fn metadata<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.test = self.test.message_metadata(name, value);
        self
    }

    /// Says something, and gives what comes back until the agent asks or ends.
    ///
    /// # Panics
    /// As [`Test::run`] does.
    pub fn say(&mut self, content: impl Into<Content>) -> Reply {
        let mut test = self.test.clone();
        if self.asked {
            test.answers = std::mem::take(&mut self.answers);
            test = test.answer(content);
        } else {
            test = test.message(content);
            self.test = test.clone();
        }
        self.answers.clone_from(&test.answers);
        let report = test.run();
        self.asked = report.status() == Status::Running;
        let reply = Reply { seen: std::mem::take(&mut self.seen), report };
        if self.asked {
            let report = &reply.report;
            self.seen = Seen { progress: report.progress().len(), artifacts: report.artifacts().len() };
        } else {
            self.answers.clear();
            self.test.memory.clone_from(&reply.report.memory);
        }
        reply
    }

    /// What the user's memory holds after the tasks that have ended.
    #[must_use]
    pub const fn memory(&self) -> &BTreeMap<String, Json> {
        &self.test.memory
    }
}

impl Reply {
    /// What the agent said: its question, its last words, or why it did not do it.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(question) = self.question() {
            return question.text.clone();
        }
        if self.report.status() == Status::Completed {
            return self.report.message().unwrap_or_default().text();
        }
        self.report.error().message().to_owned()
    }

    /// What the agent asks; nothing where it does not.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        if self.report.status() == Status::Running { self.report.questions().last().copied() } else { None }
    }

    /// Whether the task is done.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.report.status() == Status::Completed
    }

    /// The error that the task ended with; nothing where it is on its way or done.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        matches!(self.report.status(), Status::Failed | Status::Cancelled | Status::Stalled)
            .then(|| self.report.error())
    }

    /// How far the agent said to be, since the last reply: the words of each progress.
    #[must_use]
    pub fn progress(&self) -> Vec<String> {
        self.report.progress().split_off(self.seen.progress).iter().map(Content::text).collect()
    }

    /// What the agent made, since the last reply.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Artifact> {
        self.report.artifacts().split_off(self.seen.artifacts)
    }

    /// Everything that happened in the task so far.
    pub const fn report(&self) -> &Report {
        &self.report
    }
}
