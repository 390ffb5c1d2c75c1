//! What outlives a run: values by name, for one user of one application in one environment.
//!
//! [`Memory`] is the host's; a service of the author's own implements [`MemoryService`] over [`Context::http`] and is
//! used in the same way. Reads see committed values and the run's own writes, never those that another run has not
//! committed.

use crate::{
    context::{AuthContext, Context},
    error::Error,
    exec::{
        core::{Core, nothing, unreadable},
        effect::{EffectFuture, Kind},
    },
};
use async_trait::async_trait;
use bivouac_protocol::{Code, Json, frame::Op};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

/// What an agent's services give.
pub type AgentResult<T> = Result<T, Error>;

/// A store of values by name, as a component or a service of the author's own sees it.
///
/// # Examples
/// ```
/// use bivouac::{AgentResult, AuthContext, MemoryService, async_trait};
/// use serde_json::Value;
///
/// /// Keeps nothing.
/// struct Forgetful;
///
/// #[async_trait]
/// impl MemoryService for Forgetful {
///     async fn save_serialized(&self, _: &AuthContext, _: &str, _: Value) -> AgentResult<()> {
///         Ok(())
///     }
///     async fn load_serialized(&self, _: &AuthContext, _: &str) -> AgentResult<Option<Value>> {
///         Ok(None)
///     }
///     async fn list(&self, _: &AuthContext, _: &str) -> AgentResult<Vec<String>> {
///         Ok(Vec::new())
///     }
///     async fn delete(&self, _: &AuthContext, _: &str) -> AgentResult<()> {
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait MemoryService: Send + Sync {
    /// Keeps a value.
    ///
    /// # Errors
    /// Why it is not kept.
    async fn save_serialized(&self, auth_ctx: &AuthContext, key: &str, value: serde_json::Value) -> AgentResult<()>;

    /// Reads a value; nothing where none is kept.
    ///
    /// # Errors
    /// Why it cannot be read.
    async fn load_serialized(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<serde_json::Value>>;

    /// The names that begin so, in order.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn list(&self, auth_ctx: &AuthContext, prefix: &str) -> AgentResult<Vec<String>>;

    /// Forgets a value.
    ///
    /// # Errors
    /// Why it is not forgotten.
    async fn delete(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<()>;

    /// Keeps a value under an idempotency key: a host that does not know whether a write arrived sends it again with the
    /// same one. The default writes again, which does no harm but where somebody else wrote in between.
    ///
    /// # Errors
    /// Why it is not kept.
    async fn save_once(
        &self,
        auth_ctx: &AuthContext,
        key: &str,
        value: serde_json::Value,
        idempotency_key: &str,
    ) -> AgentResult<()> {
        let _once = idempotency_key;
        self.save_serialized(auth_ctx, key, value).await
    }

    /// Forgets a value under an idempotency key; see [`MemoryService::save_once`].
    ///
    /// # Errors
    /// Why it is not forgotten.
    async fn delete_once(&self, auth_ctx: &AuthContext, key: &str, idempotency_key: &str) -> AgentResult<()> {
        let _once = idempotency_key;
        self.delete(auth_ctx, key).await
    }
}

/// Typed values over any [`MemoryService`].
#[async_trait]
pub trait MemoryServiceExt: MemoryService {
    /// Keeps a value.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses, or why it is not kept.
    async fn save<T: Serialize + Sync>(&self, auth_ctx: &AuthContext, key: &str, value: &T) -> AgentResult<()> {
        let value = serde_json::to_value(value).map_err(|error| unwritable(key, &error))?;
        self.save_serialized(auth_ctx, key, value).await
    }

    /// Reads a value; nothing where none is kept.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the value is not what the type says, or why it cannot be read.
    async fn load<T: DeserializeOwned>(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<T>> {
        let value = self.load_serialized(auth_ctx, key).await?;
        value.map(serde_json::from_value).transpose().map_err(|error| mistyped(key, &error))
    }
}

impl<M: MemoryService + ?Sized> MemoryServiceExt for M {}

/// The host's memory for the run's verified caller; see [`Context::memory`].
pub struct Memory {
    core: Arc<Core>,
}

impl Context {
    /// Values that outlive the run, for its verified caller. The module asks for it with
    /// [`Module::memory`](crate::Module::memory).
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context) -> Result<(), Error> {
    /// let visits: u32 = ctx.memory().load("visits").await?.unwrap_or(0);
    /// ctx.memory().save("visits", &(visits + 1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory { core: self.core_arc() }
    }
}

impl Memory {
    /// Keeps a value.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses; `MEMORY_NOT_GRANTED`.
    pub fn save<T: Serialize + ?Sized>(&self, key: impl Into<String>, value: &T) -> Write {
        let name = key.into();
        match Json::of(value) {
            Ok(value) => self.write(Op::MemorySave { name, value }),
            Err(error) => Write(Err(Some(unwritable(&name, &error)))),
        }
    }

    /// Reads a value; nothing where none is kept.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the value is not what the type says; `MEMORY_NOT_GRANTED`.
    pub async fn load<T: DeserializeOwned>(&self, key: impl Into<String> + Send) -> Result<Option<T>, Error> {
        let name = key.into();
        let value = self.effect(Op::MemoryLoad { name: name.clone() }).await.value()?;
        value.parse().map_err(|error| mistyped(&name, &error))
    }

    /// The names that begin so, in order.
    ///
    /// # Errors
    /// `MEMORY_NOT_GRANTED`.
    pub async fn list(&self, prefix: impl Into<String> + Send) -> Result<Vec<String>, Error> {
        let effect = self.effect(Op::MemoryList { prefix: prefix.into() });
        effect.await.value()?.parse().map_err(|error| unreadable("the host's list of names", &error))
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// `MEMORY_NOT_GRANTED`.
    pub fn delete(&self, key: impl Into<String>) -> Write {
        self.write(Op::MemoryDelete { name: key.into() })
    }

    fn effect(&self, op: Op) -> EffectFuture {
        EffectFuture::new(&self.core, op, Kind::Plain)
    }

    fn write(&self, op: Op) -> Write {
        Write(Ok(self.effect(op)))
    }

    fn check(&self, auth_ctx: &AuthContext) -> Result<(), Error> {
        if *auth_ctx == self.core.auth {
            return Ok(());
        }
        Err(Error::refused(
            Code::MEMORY_NOT_GRANTED,
            "the host's memory is that of the run's verified caller: pass `ctx.auth()`",
        ))
    }
}

#[async_trait]
impl MemoryService for Memory {
    async fn save_serialized(&self, auth_ctx: &AuthContext, key: &str, value: serde_json::Value) -> AgentResult<()> {
        self.check(auth_ctx)?;
        self.save(key, &value).await
    }

    async fn load_serialized(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<serde_json::Value>> {
        self.check(auth_ctx)?;
        self.load(key).await
    }

    async fn list(&self, auth_ctx: &AuthContext, prefix: &str) -> AgentResult<Vec<String>> {
        self.check(auth_ctx)?;
        Self::list(self, prefix).await
    }

    async fn delete(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<()> {
        self.check(auth_ctx)?;
        Self::delete(self, key).await
    }
}

/// A write to memory: awaiting it waits until it is accepted.
#[must_use = "a write does nothing unless awaited or detached"]
pub struct Write(Result<EffectFuture, Option<Error>>);

impl Write {
    /// Writes without waiting: the write goes with the turn's commit, also when the component ends in this turn. A
    /// refusal is not seen.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses.
    pub fn detach(self) -> Result<(), Error> {
        match self.0 {
            Ok(effect) => {
                effect.detach();
                Ok(())
            }
            Err(error) => error.map_or(Ok(()), Err),
        }
    }
}

impl Future for Write {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(effect) => Pin::new(effect).poll(cx).map(nothing),
            Err(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

fn unwritable(key: &str, error: &serde_json::Error) -> Error {
    unreadable(format_args!("the value of `{key}` cannot be written as JSON"), error)
}

fn mistyped(key: &str, error: &serde_json::Error) -> Error {
    unreadable(format_args!("the value of `{key}` in memory is not what its type says"), error)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}
