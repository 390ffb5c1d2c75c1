//! Write functions, workflows and agents once; run them durably anywhere.
//!
//! A component is an ordinary `async fn` that is given a [`Context`]. What it does through the context - requests,
//! sleeps, memory, steps - is recorded, so the run survives a crash of the machine and goes on where it was. The same
//! source is a WASM module (`cargo build --lib --target wasm32-wasip1`) and a part of a native program: no `cfg` in it.
//!
//! ```
//! use bivouac::prelude::*;
//!
//! /// Charges a card and sends a receipt.
//! #[bivouac::workflow(retries(max_attempts = 3))]
//! pub async fn order(ctx: &Context, amount: u64) -> Result<String, Error> {
//!     let charge: String = ctx
//!         .step("charge", async {
//!             let request = ctx.http().post("https://pay.example/charges").json(&amount);
//!             request.header("authorization", bearer(secret("PAY"))).send().await?.error_for_status()?.json()
//!         })
//!         .await?;
//!     ctx.sleep(Duration::from_secs(60)).await?;
//!     ctx.emit("charged", &charge)?;
//!     Ok(charge)
//! }
//!
//! #[bivouac::module]
//! pub fn configure() -> Module {
//!     Module::new().component::<order>().host("pay.example").secret("PAY")
//! }
//! ```
//!
//! An agent is skills under one name, offered to whoever speaks A2A: see [`AgentDefinition`] and [`SkillHandler`]. It
//! asks people with [`Context::ask`] and calls what `#[tool]` stands on with [`Context::tool`].
//!
//! A component is pure but for its context: between two of its calls nothing happens. So it must not use another
//! runtime's timers, sockets or tasks, threads, the system's clock or chance; [`Context`] has all of these. Tests drive
//! components with scripted outcomes: feature `testing`, module `testing`.
//!
//! Where to go next: [`Context`] for what a component can do, [`Module`] for what a module offers and asks for,
//! [`macro@function`], [`macro@workflow`], [`macro@skill`] and [`macro@tool`] for what can be written in the attributes,
//! [`services`] for what a runtime of one's own consists of.
#![warn(missing_docs)]

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod abi;
mod agent;
mod ambient;
mod ask;
mod combine;
mod content;
mod context;
mod error;
mod exec;
mod guest;
mod http;
mod memory;
mod module;
#[cfg(all(feature = "runtime", not(target_arch = "wasm32")))]
pub mod runtime;
pub mod services;
mod skill;
mod spawn;
#[cfg(feature = "standalone")]
pub mod standalone;
mod step;
#[cfg(feature = "testing")]
pub mod testing;
mod tool;

pub use agent::{AgentBuilder, AgentDefinition, MAX_INPUTS};
pub use ambient::Random;
pub use ask::{Answer, Anything, Approval, Ask, MAX_ASKS, Many, One, Words};
pub use async_trait::async_trait;
pub use bivouac_macros::{function, module, skill, tool, workflow};
pub use bivouac_protocol as protocol;
pub use bivouac_protocol::{Json, RunId, frame::LogLevel, manifest};
pub use combine::{Either, Join, Join3, JoinAll, Select, SelectAll, Sleep, Timeout};
pub use content::{Artifact, Content, Part};
pub use context::{AuthContext, Context};
pub use error::Error;
pub use guest::ModuleGuest;
pub use http::{Header, Http, Request, Response, bearer, secret};
pub use memory::{AgentResult, Memory, MemoryService, MemoryServiceExt, Write};
pub use module::{Body, Component, IntoModule, Module};
pub use schemars;
pub use services::{
    AuthService, DefaultAuthService, HttpService, InMemoryMemoryService, InMemoryRuntime, InMemoryTaskManager,
    KeyAuthService, LoggingService, Runtime, TaskManager, TaskRecord, TimerService,
};
pub use skill::{OnInputResult, OnRequestResult, Skill, SkillHandler, SkillSlot, TaskContext};
pub use spawn::JoinHandle;
pub use step::Step;
pub use tool::Tool;

/// What nearly every component and agent needs.
pub mod prelude {
    pub use crate::{
        AgentDefinition, AgentResult, Artifact, AuthContext, Content, Context, Either, Error, LogLevel, MemoryService,
        MemoryServiceExt, Module, OnInputResult, OnRequestResult, Part, Runtime, SkillHandler, SkillSlot, TaskContext,
        async_trait, bearer, schemars, secret, skill, tool,
    };
    pub use std::time::Duration;
}

/// What the attributes' output refers to; nothing to build upon.
#[doc(hidden)]
pub mod __private {
    use crate::{Body, Error, IntoModule, Json, Module};
    use serde::{Serialize, de::DeserializeOwned};
    use std::future::Future;

    /// Reads a component's input.
    ///
    /// # Errors
    /// `INVALID_INPUT`.
    pub fn read_input<T: DeserializeOwned>(component: &str, input: &Json) -> Result<T, Error> {
        crate::module::read_input(component, input)
    }

    /// Makes a module of what the author's function returns.
    pub fn module(described: impl IntoModule) -> Module {
        described.into_module()
    }

    /// The JSON Schema of what a tool takes.
    #[must_use]
    pub fn schema<T: schemars::JsonSchema>() -> Json {
        crate::tool::schema::<T>()
    }

    /// Wraps a component's future.
    pub fn body<T: Serialize, E: Into<Error>>(
        component: &'static str,
        future: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Body {
        crate::module::body(component, future)
    }
}
