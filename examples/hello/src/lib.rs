//! The smallest components: a function that greets, and an agent that does.
//!
//! Build it as a module with `cargo build -p hello --lib --target wasm32-wasip1 --profile guest`. The tests at the end
//! drive them as a host would. Where to go next: the example `order`, which calls a service, and `trip-planner`, an agent
//! that does.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// Who is to be greeted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Name {
    /// The name, as the greeting is to say it.
    pub name: String,
}

/// What was said.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The greeting.
    pub message: String,
}

/// Greets somebody by name.
///
/// # Errors
/// `NO_NAME` where the name is empty.
#[bivouac::function]
pub async fn hello(ctx: &Context, input: Name) -> Result<Greeting, Error> {
    let name = input.name.trim();
    if name.is_empty() {
        return Err(Error::terminal("NO_NAME", "the input's `name` is empty: say who is to be greeted"));
    }
    ctx.debug(format!("greeting {name}"));
    Ok(Greeting { message: format!("Hello, {name}!") })
}

/// Greets whoever says a name, and asks who does not.
#[skill(id = "greet", name = "Greet", tags = ["greeting"], examples = ["Ada"])]
#[derive(Debug)]
pub struct Greet;

#[async_trait]
impl SkillHandler for Greet {
    async fn on_request(
        &self,
        _task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let mut name = content.text();
        if name.trim().is_empty() {
            name = ctx.ask("What is your name?").await?;
        }
        Ok(OnRequestResult::completed(format!("Hello, {}!", name.trim())))
    }
}

/// The agent `greeter`.
pub fn greeter() -> AgentDefinition {
    AgentDefinition::builder("greeter").name("Greeter").description("Greets by name.").skill(Greet).build()
}

/// What the module offers.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new().component::<hello>().agent(greeter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::testing::{Conversation, Test};

    #[test]
    fn somebody_is_greeted_by_name() {
        let report = Test::of::<hello>().input(&Name { name: " Ada ".into() }).run();
        assert_eq!(report.output::<Greeting>(), Greeting { message: "Hello, Ada!".into() });
        assert_eq!(report.turns().len(), 1);
    }

    #[test]
    fn nobody_cannot_be_greeted() {
        let report = Test::of::<hello>().input(&Name { name: " ".into() }).run();
        assert_eq!(report.error().code(), "NO_NAME");
        assert!(!report.error().is_retryable());
    }

    #[test]
    fn the_agent_greets_by_name_and_asks_for_it() {
        let mut talk = Conversation::with(configure, "greeter");
        assert_eq!(talk.say("Ada").text(), "Hello, Ada!");
        assert_eq!(talk.say(" ").question().unwrap().text, "What is your name?");
        assert_eq!(talk.say("Grace").text(), "Hello, Grace!");
    }
}
