use bivouac::prelude::*;

/// Greets.
#[skill]
struct Greet;

#[async_trait]
impl SkillHandler for Greet {
    async fn on_request(
        &self,
        _task: &mut TaskContext,
        _ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<String> {
        Ok(content.text())
    }
}

fn main() {}
