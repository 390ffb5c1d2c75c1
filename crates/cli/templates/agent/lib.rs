//! An agent with one skill: it brews tea, and asks what goes into it.
//!
//! A task may wait for its answer for days, and the server may be stopped meanwhile: what was done stays done.

use bivouac::prelude::*;
use serde::{Deserialize, Serialize};

/// What the skill asks for, with what it knows by then.
#[derive(Serialize, Deserialize)]
enum Missing {
    /// What goes into the tea.
    Addition { tea: String },
}

/// Brews a cup of tea and writes down how.
#[skill(
    id = "brew",
    name = "Brew tea",
    description = "Brews a cup of tea and writes down how it was done.",
    tags = ["tea"],
    examples = ["A cup of Assam, please", "Earl Grey"]
)]
struct Brew;

#[async_trait]
impl SkillHandler for Brew {
    async fn on_request(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let tea = content.text().trim().to_owned();
        if tea.to_lowercase().contains("coffee") {
            return Ok(OnRequestResult::rejected("There is only tea here."));
        }
        task.progress("The kettle is on.");
        // Nothing is held while it sleeps. A service would be asked here too, in a step:
        // `ctx.step("order", async { ctx.http().get(..).send().await }).await?`, with its host
        // named in `configure_agent`.
        ctx.sleep(Duration::from_secs(1)).await?;
        Ok(OnRequestResult::input_required(
            "The water boils. Milk, lemon, or nothing?",
            SkillSlot::new(Missing::Addition { tea }),
        ))
    }

    async fn on_input_received(
        &self,
        task: &mut TaskContext,
        _ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnInputResult> {
        let Some(Missing::Addition { tea }) = task.slot()? else {
            return Ok(OnInputResult::failed(
                "It is not known any more which tea it was.",
            ));
        };
        let addition = content.text().trim().to_lowercase();
        let recipe =
            format!("# {tea}\n\n1. Boil water.\n2. Brew for three minutes.\n3. Add: {addition}.\n");
        Ok(OnInputResult::completed("Your tea is ready.")
            .with_artifact(Artifact::text("recipe.md", recipe)))
    }
}

/// Who the agent is, what it can do, and what it asks for.
#[bivouac::module]
pub fn configure_agent() -> AgentDefinition {
    AgentDefinition::builder("my-project")
        .name("My Project")
        .description("Brews tea and writes down how.")
        .version(env!("CARGO_PKG_VERSION"))
        .skill(Brew)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bivouac::testing::Conversation;

    #[test]
    fn tea_is_brewed_with_what_is_asked_for() {
        let mut talk = Conversation::with(configure_agent, "my-project");
        let asked = talk.say("Earl Grey");
        assert_eq!(asked.progress(), ["The kettle is on."]);
        assert!(asked.question().unwrap().text.contains("Milk, lemon"));
        let served = talk.say("lemon");
        assert_eq!(served.text(), "Your tea is ready.");
        assert!(
            served.artifacts()[0].parts()[0]
                .as_text()
                .unwrap()
                .contains("3. Add: lemon.")
        );
    }

    #[test]
    fn there_is_no_coffee() {
        let mut talk = Conversation::with(configure_agent, "my-project");
        assert_eq!(
            talk.say("A coffee").error().unwrap().message(),
            "There is only tea here."
        );
    }
}
