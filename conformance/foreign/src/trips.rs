//! The agent: asks back, fetches twice at once, books once, and remembers the last place of each user.

use bivouac::prelude::*;
use serde_json::json;

/// Where the world is that the agent of the module asks.
pub const WORLD: &str = "http://world.example";

/// Plans a trip.
#[skill(id = "plan", name = "Plan", description = "Plans a trip to a place", tags = ["travel"])]
#[derive(Debug)]
pub struct Plan {
    world: String,
}

#[async_trait]
impl SkillHandler for Plan {
    async fn on_request(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let place = content.text();
        let last = runtime.memory_service().load_serialized(ctx.auth(), "last-place").await?;
        if let Some(last) = last.as_ref().and_then(serde_json::Value::as_str) {
            task.progress(format!("last time it was {last}"));
        }
        task.set("place", &place)?;
        Ok(OnRequestResult::input_required(format!("How many days in {place}?"), SkillSlot::new("days")))
    }

    async fn on_input_received(
        &self,
        task: &mut TaskContext,
        ctx: &Context,
        runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnInputResult> {
        let Ok(days) = content.text().trim().parse::<u32>() else {
            return Ok(OnInputResult::input_required("A number, please.", SkillSlot::new("days")));
        };
        let place: String = task.get("place")?.unwrap_or_default();
        let (http, world) = (ctx.http(), &self.world);
        let (weather, hotel) = ctx
            .join(
                http.get(format!("{world}/weather/{place}")).send(),
                http.get(format!("{world}/hotels/{place}")).send(),
            )
            .await;
        let (weather, hotel) = (weather?.error_for_status()?, hotel?.error_for_status()?);
        let booking = http.post(format!("{world}/bookings")).json(&json!({ "place": place, "days": days }));
        let booking = booking.send().await?.error_for_status()?;
        runtime.memory_service().save_serialized(ctx.auth(), "last-place", json!(place)).await?;
        let text = format!("{place}, {days} days: {}; {}; {}", weather.text()?, hotel.text()?, booking.text()?);
        Ok(OnInputResult::completed("Have a good trip.").with_artifact(Artifact::new("plan").with(Part::text(text))))
    }
}

/// The agents of the module.
#[must_use]
pub fn configure_agents() -> Vec<AgentDefinition> {
    agents_of(WORLD)
}

/// The same, of a world elsewhere.
#[must_use]
pub fn agents_of(world: &str) -> Vec<AgentDefinition> {
    let host = world.trim_start_matches("http://");
    let trips = AgentDefinition::builder("trips")
        .name("Trips")
        .description("Plans trips and books them.")
        .skill(Plan { world: world.to_owned() })
        .host(host)
        .memory();
    vec![trips.build()]
}
