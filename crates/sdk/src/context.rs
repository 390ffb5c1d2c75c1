//! What a component is given: everything durable goes through its [`Context`].

use crate::{error::Error, exec::core::Core};
use bivouac_protocol::{
    Code, Json, RunId,
    frame::{Auth, LogLevel, Note},
    manifest::ComponentRef,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What a component is given: steps, effects, time, chance, and who asked for the run.
///
/// Clones are the same context; a spawned task gets one of its own.
#[derive(Clone)]
pub struct Context {
    core: Arc<Core>,
}

/// On whose behalf a run goes: verified by the server, never taken from the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthContext {
    /// The application: the service that the deployment belongs to.
    pub app_name: String,
    /// The user that the key or token stands for.
    pub user_name: String,
    /// The sub-tenant, or nothing.
    pub tenant: String,
}

impl From<Auth> for AuthContext {
    fn from(auth: Auth) -> Self {
        Self { app_name: auth.app, user_name: auth.user, tenant: auth.tenant }
    }
}

impl Context {
    pub(crate) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn core_arc(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.core.start.run_id
    }

    /// Which try of the component's code this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.core.start.attempt
    }

    /// On whose behalf the run goes.
    #[must_use]
    pub fn auth(&self) -> &AuthContext {
        &self.core.auth
    }

    /// What the caller sent along with the input.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.core.start.metadata
    }

    /// What is run.
    #[must_use]
    pub fn component(&self) -> &ComponentRef {
        &self.core.start.component
    }

    /// The session that the run belongs to - for an agent, A2A's context - or nothing.
    #[must_use]
    pub fn session_id(&self) -> &str {
        self.metadata().get("session_id").map_or("", String::as_str)
    }

    /// Whether the run was accepted on a deployment whose module lists this change marker.
    ///
    /// Runs that were on their way before a change keep to the old branch:
    /// ```
    /// # use bivouac::prelude::*;
    /// # fn example(ctx: &Context) -> u32 {
    /// if ctx.patched("two-day-delivery") { 2 } else { 3 }
    /// # }
    /// ```
    #[must_use]
    pub fn patched(&self, id: &str) -> bool {
        self.core.start.patches.iter().any(|patch| patch == id)
    }

    /// Tells the world something: an event of the run, which clients see once everything that led to it is on disk.
    ///
    /// # Errors
    /// What the data's `Serialize` refuses.
    pub fn emit<T: Serialize + ?Sized>(&self, name: impl Into<String>, data: &T) -> Result<(), Error> {
        let name = name.into();
        let data = Json::of(data).map_err(|error| {
            Error::refused(Code::INVALID_INPUT, format!("the data of the event `{name}` cannot be JSON: {error}"))
        })?;
        self.core.note(Note::Emit { name, data });
        Ok(())
    }

    /// Writes a line to the run's log.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        self.core.note(Note::Log { level, message: message.into() });
    }

    /// Writes to the run's log, for whoever looks for a fault.
    pub fn debug(&self, message: impl Into<String>) {
        self.log(LogLevel::Debug, message);
    }

    /// Writes to the run's log what happens once in a while.
    pub fn info(&self, message: impl Into<String>) {
        self.log(LogLevel::Info, message);
    }

    /// Writes to the run's log what is degraded and goes on.
    pub fn warn(&self, message: impl Into<String>) {
        self.log(LogLevel::Warn, message);
    }

    /// Writes to the run's log what a person must act on.
    pub fn error(&self, message: impl Into<String>) {
        self.log(LogLevel::Error, message);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("run_id", &self.run_id())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
