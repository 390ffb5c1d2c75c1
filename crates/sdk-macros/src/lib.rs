//! The attributes of the Bivouac SDK: `#[function]`, `#[workflow]`, `#[skill]`, `#[tool]` and `#[module]`.
//!
//! They are used through the crate `bivouac`, which their output refers to. They only check the form of what they stand
//! on and add to it: what they stand on stays as it was written.
//!
//! Where to go next: `component` for functions, workflows and tools, `skill` for skills, `module` for a module's exports.

mod component;
mod module;
mod skill;

use proc_macro::TokenStream;

/// Makes a component of kind *function* of an `async fn`: one piece of work, usually short.
///
/// The function takes `&Context` and an input that `serde` can read, and returns a `Result` of an output that `serde`
/// can write and an error that can become a `bivouac::Error`. A type of the function's name is added, which names the
/// component: `Module::new().component::<hello>()`.
///
/// | argument | means | without it |
/// |---|---|---|
/// | `name = "..."` | the component's name: letters, digits, `_`, `-` | the function's |
/// | `description = "..."` | one sentence for a person | the first paragraph of its documentation |
/// | `retries(...)` | further attempts after a failure: `max_attempts` (3, the first included), `initial_interval_ms` (1000), `max_interval_ms` (60000), `backoff` (`"constant"`, `"linear"`, `"exponential"`), `multiplier` (2.0) | one attempt |
///
/// # Examples
/// ```ignore
/// #[bivouac::function(retries(max_attempts = 5, backoff = "linear"))]
/// pub async fn hello(ctx: &Context, input: HelloInput) -> Result<HelloOutput, Error> { .. }
/// ```
#[proc_macro_attribute]
pub fn function(args: TokenStream, item: TokenStream) -> TokenStream {
    component::expand(component::Kind::Function, args.into(), item.into()).into()
}

/// Makes a component of kind *workflow* of an `async fn`: several steps that take their time.
///
/// It is written like a [`macro@function`], with the same arguments.
#[proc_macro_attribute]
pub fn workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    component::expand(component::Kind::Workflow, args.into(), item.into()).into()
}

/// Makes a *tool* of an `async fn`: a typed function that agents call with `ctx.tool::<name>(args)`.
///
/// It is written like a [`macro@function`], with the same arguments. What it takes has a JSON Schema (`schemars`), and a
/// description is needed, because what calls a tool chooses it by these.
///
/// # Examples
/// ```ignore
/// /// Adds numbers.
/// #[tool]
/// async fn add(ctx: &Context, args: Sum) -> Result<i64, Error> { .. }
/// ```
#[proc_macro_attribute]
pub fn tool(args: TokenStream, item: TokenStream) -> TokenStream {
    component::expand(component::Kind::Tool, args.into(), item.into()).into()
}

/// Says what a type is as a *skill*: what an agent's card shows of it. What it does is its `SkillHandler`.
///
/// | argument | means | without it |
/// |---|---|---|
/// | `id = "..."` | its id within the agent: letters, digits, `_`, `-` | the type's name in snake case |
/// | `name = "..."` | its name for a person | the type's name in words |
/// | `description = "..."` | what it does, and when to use it | the first paragraph of its documentation; one of both is needed |
/// | `tags = ["..."]` | words to find it by | none |
/// | `examples = ["..."]` | requests that it can serve | none |
/// | `input_modes = ["..."]`, `output_modes = ["..."]` | media types | the agent's |
///
/// # Examples
/// ```ignore
/// /// Plans a trip.
/// #[skill(id = "plan", name = "Plan a trip", tags = ["travel"], examples = ["Three days in Lisbon"])]
/// struct Plan;
/// ```
#[proc_macro_attribute]
pub fn skill(args: TokenStream, item: TokenStream) -> TokenStream {
    skill::expand(args.into(), item.into()).into()
}

/// Makes a `fn() -> Module` the module's description: adds the exports of a WASM module, and for native programs a
/// function `guest` that gives the module as a `bivouac::ModuleGuest`.
///
/// The function may as well return an `AgentDefinition` or a `Vec<AgentDefinition>`. Exactly one function of a crate
/// carries it.
///
/// # Examples
/// ```ignore
/// #[bivouac::module]
/// pub fn configure() -> Module {
///     Module::new().component::<hello>()
/// }
/// ```
#[proc_macro_attribute]
pub fn module(args: TokenStream, item: TokenStream) -> TokenStream {
    module::expand(args.into(), item.into()).into()
}
