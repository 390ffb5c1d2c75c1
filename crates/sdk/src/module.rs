//! What a module offers and asks for.

use crate::{agent::AgentDefinition, context::Context, error::Error, exec::Boxed, guest::ModuleGuest};
use bivouac_protocol::{
    ABI_VERSION, Code, Json,
    frame::op_names,
    manifest::{self, Capabilities, ComponentKind, ComponentRef, Manifest},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, future::Future, sync::Arc};

/// A component's body with its input read.
pub type Body = Boxed<Result<Json, Error>>;

/// Something that can be run: a function or a workflow. The attributes [`macro@crate::function`] and
/// [`macro@crate::workflow`] implement it for a type named like the function they stand on.
pub trait Component: 'static {
    /// What the manifest says of it.
    fn describe() -> manifest::Component;

    /// Reads the input and gives the body, which is not started yet.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the input is not what its type says.
    fn start(ctx: Context, input: &Json) -> Result<Body, Error>;
}

pub(crate) type Start = Arc<dyn Fn(Context, &Json) -> Result<Body, Error> + Send + Sync>;

/// A component as a module holds it.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) described: manifest::Component,
    pub(crate) start: Start,
}

impl Offer {
    pub(crate) fn of<C: Component>() -> Self {
        Self { described: C::describe(), start: Arc::new(C::start) }
    }
}

/// What a module offers and asks for. What it asks for does nothing until the deployer grants it.
///
/// # Examples
/// ```
/// use bivouac::prelude::*;
///
/// /// Greets.
/// #[bivouac::function]
/// async fn hello(_ctx: &Context, name: String) -> Result<String, Error> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// #[bivouac::module]
/// pub fn configure() -> Module {
///     Module::new().component::<hello>().host("api.example.com").secret("API_KEY").memory()
/// }
///
/// let manifest = configure().manifest();
/// assert_eq!(manifest.components[0].name, "hello");
/// assert_eq!(manifest.components[0].description.as_deref(), Some("Greets."));
/// ```
#[derive(Clone, Default)]
#[must_use = "a module is what `configure` returns"]
pub struct Module {
    offers: Vec<Offer>,
    capabilities: Capabilities,
    patches: Vec<String>,
}

impl Module {
    /// A module that offers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers a component.
    ///
    /// # Panics
    /// Where the module offers one of this kind and name already.
    pub fn component<C: Component>(mut self) -> Self {
        self.offer(Offer::of::<C>());
        self
    }

    /// Offers an agent and its tools, and asks for what it asks for.
    ///
    /// # Panics
    /// Where the module offers an agent of this id already.
    pub fn agent(mut self, agent: AgentDefinition) -> Self {
        let (offers, asked) = agent.into_parts();
        for offer in offers {
            // Two agents may use one tool.
            let known =
                |other: &Offer| other.described == offer.described && offer.described.kind == ComponentKind::Tool;
            if !self.offers.iter().any(known) {
                self.offer(offer);
            }
        }
        let Capabilities { hosts, secrets, memory } = asked;
        add_new(&mut self.capabilities.hosts, hosts);
        add_new(&mut self.capabilities.secrets, secrets);
        self.capabilities.memory |= memory;
        self
    }

    fn offer(&mut self, offer: Offer) {
        let manifest::Component { kind, name, .. } = &offer.described;
        if self.offers.iter().any(|other| other.described.kind == *kind && other.described.name == *name) {
            panic!("the module offers two {} of the name `{name}`: rename one of them", kind.plural());
        }
        self.offers.push(offer);
    }

    /// Asks for a host that `http` may speak to: `api.example.com`, `*.example.com`, `127.0.0.1:8080`, `localhost:*`.
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

    /// Lists a change marker: `ctx.patched(id)` is true in runs that are accepted from now on.
    pub fn patch(mut self, id: impl Into<String>) -> Self {
        self.patches.push(id.into());
        self
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        Manifest {
            abi: ABI_VERSION,
            sdk: concat!("bivouac-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            components: self.offers.iter().map(|offer| offer.described.clone()).collect(),
            ops: self.ops().into_iter().map(str::to_owned).collect(),
            capabilities: self.capabilities.clone(),
            patches: self.patches.clone(),
        }
    }

    /// The module as a guest that a host in the same program drives.
    #[must_use]
    pub fn into_guest(self) -> ModuleGuest {
        ModuleGuest::new(self)
    }

    /// The operations that its components can ask for, which follow from what it asks to be granted.
    fn ops(&self) -> Vec<&'static str> {
        let mut ops = vec![op_names::SLEEP, op_names::ASK];
        if !self.capabilities.hosts.is_empty() {
            ops.push(op_names::HTTP);
        }
        if self.capabilities.memory {
            use op_names::{MEMORY_DELETE, MEMORY_LIST, MEMORY_LOAD, MEMORY_SAVE};
            ops.extend([MEMORY_LOAD, MEMORY_LIST, MEMORY_SAVE, MEMORY_DELETE]);
        }
        ops
    }

    /// Finds a component.
    ///
    /// # Errors
    /// `COMPONENT_NOT_FOUND`, with the names of those that there are.
    pub(crate) fn find(&self, wanted: &ComponentRef) -> Result<Start, Error> {
        let described = || self.offers.iter().map(|offer| &offer.described);
        let at = described().position(|component| component.kind == wanted.kind && component.name == wanted.name);
        at.map(|at| Arc::clone(&self.offers[at].start)).ok_or_else(|| {
            let names: Vec<_> = described().map(|component| format!("{}/{}", component.kind, component.name)).collect();
            Error::refused(
                Code::COMPONENT_NOT_FOUND,
                format!("the module offers no `{wanted}`; it offers: {}", names.join(", ")),
            )
        })
    }
}

fn add_new(texts: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
}

/// What `#[bivouac::module]` takes: a [`Module`], an [`AgentDefinition`] or a list of them.
#[diagnostic::on_unimplemented(
    message = "`#[bivouac::module]` cannot make a module of `{Self}`",
    label = "this function's return type",
    note = "return a `Module`, an `AgentDefinition` or a `Vec<AgentDefinition>`"
)]
pub trait IntoModule {
    /// The module.
    fn into_module(self) -> Module;
}

impl IntoModule for Module {
    fn into_module(self) -> Self {
        self
    }
}

impl IntoModule for AgentDefinition {
    fn into_module(self) -> Module {
        Module::new().agent(self)
    }
}

impl IntoModule for Vec<AgentDefinition> {
    fn into_module(self) -> Module {
        self.into_iter().fold(Module::new(), Module::agent)
    }
}

impl From<AgentDefinition> for Module {
    fn from(agent: AgentDefinition) -> Self {
        agent.into_module()
    }
}

impl From<Vec<AgentDefinition>> for Module {
    fn from(agents: Vec<AgentDefinition>) -> Self {
        agents.into_module()
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.manifest(), f)
    }
}

/// Reads a component's input.
pub(crate) fn read_input<T: DeserializeOwned>(component: &str, input: &Json) -> Result<T, Error> {
    input.parse().map_err(|error| {
        Error::refused(Code::INVALID_INPUT, format!("the input of `{component}` is not what its type says: {error}"))
    })
}

/// Wraps a component's future so that it gives JSON.
pub(crate) fn body<T: Serialize, E: Into<Error>>(
    component: &'static str,
    future: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Body {
    Box::pin(async move {
        let output = future.await.map_err(Into::into)?;
        Json::of(&output).map_err(|error| {
            Error::refused(
                Code::INVALID_INPUT,
                format!("the output of `{component}` cannot be written as JSON: {error}"),
            )
        })
    })
}
