//! The test kit: drives a component in a unit test as a host would, with scripted outcomes and virtual time.
//!
//! Nothing leaves the test: requests are answered by a script, memory is a map, sleeping takes no time. Each run is then
//! driven a second time, from another thread, and must come out the same in every turn; a component that asks the
//! system's clock or chance fails here.
//!
//! ```
//! use bivouac::prelude::*;
//! use bivouac::testing::{Test, http};
//!
//! #[bivouac::workflow(retries(max_attempts = 2))]
//! async fn price(ctx: &Context, sku: String) -> Result<u32, Error> {
//!     let price: u32 = ctx
//!         .step("look_up", async {
//!             let reply = ctx.http().get(format!("https://shop.example/{sku}")).send().await?;
//!             reply.error_for_status()?.json()
//!         })
//!         .await?;
//!     ctx.sleep(Duration::from_secs(3600)).await?;
//!     Ok(price)
//! }
//!
//! let report = Test::of::<price>()
//!     .input("lamp")
//!     .on(http("GET", "/lamp").status(503).reply(200, &25))
//!     .run();
//!
//! assert_eq!(report.output::<u32>(), 25);
//! assert_eq!(report.attempts(), 2);
//! assert_eq!(report.step::<u32>("look_up"), Some(25));
//! assert!(report.elapsed() >= Duration::from_secs(3600));
//! ```
//!
//! An agent is talked to: see [`Conversation`].
//!
//! Where to go next: [`Test`] for what can be arranged, [`Rule`] for scripted outcomes, [`Report`] for what can be asked
//! afterwards.

mod conversation;
mod report;
mod script;
mod world;

pub use conversation::{Conversation, Reply};
pub use report::{Report, Sent};
pub use script::{Rule, http, op};

use crate::{Component, Content, IntoModule, Module};
use bivouac_a2a::{
    Object,
    types::{Message, Role},
};
use bivouac_protocol::{
    Json,
    frame::{CancelMode, Limits},
    manifest::{self, ComponentKind},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// When a test's world begins, in milliseconds since the Unix epoch: the 1st of January 2026.
pub const START_MS: u64 = 1_767_225_600_000;

/// A run of one component that is being arranged.
#[derive(Clone, Debug)]
#[must_use = "nothing is driven before `run`"]
pub struct Test {
    module: Described,
    /// Which agent; nothing means the module's first component.
    agent: Option<String>,
    input: Json,
    message_metadata: BTreeMap<String, Json>,
    rules: Vec<Rule>,
    answers: Vec<Json>,
    memory: BTreeMap<String, Json>,
    metadata: BTreeMap<String, String>,
    patches: Vec<String>,
    limits: Limits,
    user: String,
    max_attempts: Option<u32>,
    fail_after: Option<String>,
    cancel_after: Option<(String, CancelMode)>,
    together: bool,
}

/// Makes the module; each guest has one of its own.
#[derive(Clone)]
struct Described(Arc<dyn Fn() -> Module + Send + Sync>);

impl Described {
    fn module(&self) -> Module {
        (self.0)()
    }
}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.module().fmt(f)
    }
}

impl Test {
    /// A run of this component with the input `null`.
    pub fn of<C: Component>() -> Self {
        Self::new(|| Module::new().component::<C>(), None)
    }

    /// A task of the agent with this id, of what `configure` describes.
    ///
    /// # Panics
    /// Where there is no such agent.
    pub fn agent<M: IntoModule + 'static>(configure: fn() -> M, id: &str) -> Self {
        let test = Self::new(move || configure().into_module(), Some(id.to_owned()));
        test.component();
        test
    }

    fn new(module: impl Fn() -> Module + Send + Sync + 'static, agent: Option<String>) -> Self {
        Self {
            module: Described(Arc::new(module)),
            agent,
            input: Json::null(),
            message_metadata: BTreeMap::new(),
            answers: Vec::new(),
            rules: Vec::new(),
            memory: BTreeMap::new(),
            metadata: BTreeMap::new(),
            patches: Vec::new(),
            limits: Limits::default(),
            user: "user".to_owned(),
            max_attempts: None,
            fail_after: None,
            cancel_after: None,
            together: false,
        }
    }

    /// The run's input.
    ///
    /// # Panics
    /// Where the value cannot be written as JSON.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.input = Json::of(input).expect("the test's input can be written as JSON");
        self
    }

    /// The agent's first message.
    pub fn message(mut self, content: impl Into<Content>) -> Self {
        let message = user_message("message-1", &content.into(), &self.message_metadata);
        self.input = Json::of(&message).expect("a message has text keys");
        self
    }

    /// A member of the metadata of messages that are set from here on, such as `skill`.
    ///
    /// # Panics
    /// Where the value cannot be written as JSON.
    pub fn message_metadata<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        let value = Json::of(value).expect("the test's value can be written as JSON");
        self.message_metadata.insert(name.to_owned(), value);
        self
    }

    /// Answers the next question that no rule fits, as a message. A question without an answer stays open, and so does
    /// the run.
    pub fn answer(mut self, content: impl Into<Content>) -> Self {
        let id = format!("message-{}", self.answers.len() + 2);
        let message = user_message(&id, &content.into(), &BTreeMap::new());
        let message = Json::of(&message).expect("a message has text keys");
        self.answers.push(Object::of_members([("message", message)]).json().clone());
        self
    }

    /// The same, as JSON, which is how the runs API answers.
    ///
    /// # Panics
    /// Where the value cannot be written as JSON.
    pub fn answer_json<T: Serialize + ?Sized>(mut self, answer: &T) -> Self {
        let answer = Json::of(answer).expect("the test's answer can be written as JSON");
        self.answers.push(Object::of_members([("answer", answer)]).json().clone());
        self
    }

    /// Scripts what effects become; the first rule that fits an effect applies.
    pub fn on(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Puts a value into the caller's memory before the run.
    ///
    /// # Panics
    /// Where the value cannot be written as JSON.
    pub fn memory<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.memory.insert(name.to_owned(), Json::of(value).expect("the test's value can be written as JSON"));
        self
    }

    /// What the caller sends along.
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        self.metadata.insert(name.to_owned(), value.to_owned());
        self
    }

    /// On whose behalf the run goes; `user` where nothing is said.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Lets `ctx.patched(id)` be true.
    pub fn patched(mut self, id: &str) -> Self {
        self.patches.push(id.to_owned());
        self
    }

    /// The run's limits, in place of the defaults.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many attempts are made at most, in place of what the component's retry policy says.
    pub const fn attempts(mut self, max: u32) -> Self {
        self.max_attempts = Some(max);
        self
    }

    /// Lets the first attempt fail right after this step was recorded; the next one goes on with what is kept.
    pub fn fail_attempt_after(mut self, step: &str) -> Self {
        self.fail_after = Some(step.to_owned());
        self
    }

    /// Cancels the run in the turn after this step was recorded.
    pub fn cancel_after(mut self, step: &str, mode: CancelMode) -> Self {
        self.cancel_after = Some((step.to_owned(), mode));
        self
    }

    /// Delivers all outcomes that are due at one instant in one turn, instead of one by one in the order in which they
    /// were asked for.
    pub const fn together(mut self) -> Self {
        self.together = true;
        self
    }

    /// Drives the run to its end, and then a second time from another thread.
    ///
    /// # Panics
    /// Where an effect fits no rule, where the component answers differently the second time, and where a run does not
    /// come to an end.
    pub fn run(self) -> Report {
        let module = self.module.clone();
        let report = world::World::new(self).run();
        report.check_replay(move || module.module());
        report
    }

    /// What is run.
    fn component(&self) -> manifest::Component {
        let mut components = self.module.module().manifest().components;
        let Some(id) = &self.agent else { return components.swap_remove(0) };
        let at = components.iter().position(|one| one.kind == ComponentKind::Agent && one.name == *id);
        let Some(at) = at else { panic!("there is no agent `{id}` in {:?}", self.module) };
        components.swap_remove(at)
    }
}

fn user_message(id: &str, content: &Content, metadata: &BTreeMap<String, Json>) -> Message {
    let metadata = (!metadata.is_empty())
        .then(|| Object::of_members(metadata.iter().map(|(name, value)| (name.as_str(), value.clone()))));
    Message { message_id: id.to_owned(), role: Role::User, parts: content.to_a2a(), metadata, ..Message::default() }
}

fn duration_ms(duration: Duration) -> u64 {
    crate::exec::millis(duration)
}
