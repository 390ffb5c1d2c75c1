//! What a module offers and asks for.

use crate::{context::Context, error::Error, exec::Boxed, guest::ModuleGuest};
use bivouac_protocol::{
    ABI_VERSION, Code, Json,
    frame::op_names,
    manifest::{self, Capabilities, ComponentRef, Manifest},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, future::Future};

/// A component's body with its input read.
pub type Body = Boxed<Result<Json, Error>>;

/// Something that can be run: a function or a workflow. The attributes [`macro@crate::function`] and
/// [`macro@crate::workflow`] implement it for a type named like the function they stand on.
pub trait Component {
    /// What the manifest says of it.
    fn describe() -> manifest::Component;

    /// Reads the input and gives the body, which is not started yet.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the input is not what its type says.
    fn start(ctx: Context, input: &Json) -> Result<Body, Error>;
}

type Start = fn(Context, &Json) -> Result<Body, Error>;

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
#[derive(Default)]
#[must_use = "a module is what `configure` returns"]
pub struct Module {
    components: Vec<(manifest::Component, Start)>,
    capabilities: Capabilities,
    patches: Vec<String>,
}

impl Module {
    /// A module that offers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers a component.
    pub fn component<C: Component>(mut self) -> Self {
        self.components.push((C::describe(), C::start));
        self
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
            components: self.components.iter().map(|(component, _)| component.clone()).collect(),
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
        let mut ops = vec![op_names::SLEEP];
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
        let found = self
            .components
            .iter()
            .find(|(component, _)| component.kind == wanted.kind && component.name == wanted.name);
        found.map(|(_, start)| *start).ok_or_else(|| {
            let names: Vec<_> =
                self.components.iter().map(|(component, _)| format!("{}/{}", component.kind, component.name)).collect();
            Error::refused(
                Code::COMPONENT_NOT_FOUND,
                format!("the module offers no `{wanted}`; it offers: {}", names.join(", ")),
            )
        })
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
