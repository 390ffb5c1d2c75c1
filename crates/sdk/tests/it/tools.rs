//! Tools: their schema, and how they are called.

use bivouac::{
    manifest::ComponentKind,
    prelude::*,
    testing::{Test, http},
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
struct Stock {
    /// The shop's number.
    sku: String,
    warehouse: Option<u8>,
}

/// Looks up what is there.
#[tool]
async fn stock(ctx: &Context, args: Stock) -> Result<u32, Error> {
    let url = format!("https://shop.example/{}/{}", args.sku, args.warehouse.unwrap_or(1));
    ctx.http().get(url).send().await?.error_for_status()?.json()
}

#[bivouac::workflow(retries(max_attempts = 2))]
async fn both(ctx: &Context, (): ()) -> Result<u32, Error> {
    let here = ctx.tool::<stock>(Stock { sku: "lamp".into(), warehouse: None }).await?;
    let there = ctx.tool::<stock>(Stock { sku: "lamp".into(), warehouse: Some(2) }).await?;
    if ctx.attempt() == 1 { Err(Error::new("once more")) } else { Ok(here + there) }
}

#[test]
fn a_tool_is_a_component_with_a_schema() {
    let manifest = Module::new().component::<stock>().manifest();
    let tool = &manifest.components[0];
    assert_eq!((tool.kind, tool.name.as_str()), (ComponentKind::Tool, "stock"));
    assert_eq!(tool.description.as_deref(), Some("Looks up what is there."));
    let schema: serde_json::Value = tool.input_schema.as_ref().unwrap().parse().unwrap();
    assert_eq!(schema["properties"]["sku"]["type"], "string");
    assert_eq!(schema["properties"]["sku"]["description"], "The shop's number.");
    assert_eq!(schema["required"], serde_json::json!(["sku"]));
}

#[test]
fn a_tool_is_called_once_and_its_result_is_kept() {
    let report = Test::of::<both>()
        .input(&())
        .on(http("GET", "/lamp/1").reply(200, &3))
        .on(http("GET", "/lamp/2").reply(200, &4))
        .run();
    assert_eq!((report.output::<u32>(), report.attempts()), (7, 2));
    assert_eq!(report.steps(), ["stock", "stock#2"]);
    assert_eq!(report.requests().len(), 2);
}

#[test]
fn a_tool_can_be_run_alone() {
    let test = Test::of::<stock>().input(&Stock { sku: "lamp".into(), warehouse: Some(9) });
    assert_eq!(test.on(http("GET", "/lamp/9").reply(200, &5)).run().output::<u32>(), 5);
}

/// Buys lamps.
#[skill]
struct Buy;

#[async_trait]
impl SkillHandler for Buy {
    async fn on_request(
        &self,
        _task: &mut TaskContext,
        ctx: &Context,
        _runtime: &dyn Runtime,
        content: Content,
    ) -> AgentResult<OnRequestResult> {
        let left = ctx.tool::<stock>(Stock { sku: content.text(), warehouse: None }).await?;
        Ok(OnRequestResult::completed(format!("{left} are left")))
    }
}

fn buyers() -> Vec<AgentDefinition> {
    let buyer = |id: &str| AgentDefinition::builder(id).description("Buys.").skill(Buy).tool::<stock>();
    vec![buyer("a").host("shop.example").build(), buyer("b").host("shop.example").build()]
}

#[test]
fn two_agents_may_use_one_tool() {
    let manifest = Module::from(buyers()).manifest();
    let names: Vec<_> = manifest.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["a", "stock", "b"]);
    let test = Test::agent(buyers, "b").message("lamp").on(http("GET", "/lamp/1").reply(200, &2));
    assert_eq!(test.run().message(), Some("2 are left".into()));
}
