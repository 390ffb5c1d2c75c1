//! What an agent stands on: who asks, what is remembered, which tasks there are, the log, and HTTP.
//!
//! A [`Runtime`] bundles the services. A skill is handed one: there, each call becomes an effect or a note of the run,
//! see [`GuestRuntime`]. A host hands its own to the embedded server or to the standalone host: there, the same traits
//! are implemented by what really keeps and sends. So one skill runs over a laptop's memory, over the platform, and over
//! a store that speaks HTTP.
//!
//! Nothing here decides what an agent does. [`InMemoryRuntime`] is for tests and laptops; it keeps nothing beyond the
//! process.

mod auth;
mod guest;
mod http;
mod in_memory;
mod log;
#[cfg(any(feature = "standalone", all(feature = "runtime", not(target_arch = "wasm32"))))]
pub(crate) mod memory;
mod tasks;

pub use auth::{AuthService, DefaultAuthService, KeyAuthService, LOCAL_USER, RequestHead};
pub use guest::GuestRuntime;
pub use http::{HttpRequest, HttpResponse, HttpService, NoHttpService};
pub use in_memory::{InMemoryMemoryService, InMemoryRuntime, InMemoryTaskManager, MAX_MEMORY_BYTES, MAX_TASKS};
pub use log::{LoggingService, StderrLoggingService};
pub use tasks::{MemoryTaskManager, Saved, TASK_PREFIX, TaskManager, TaskRecord};

use crate::memory::MemoryService;
use async_trait::async_trait;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The services that an agent stands on.
///
/// Two of them have no default, since only the author knows who may ask and where things are kept. The others do:
/// tasks go through the memory service, the log to standard error, and HTTP is refused with the way to allow it.
///
/// # Examples
/// ```
/// use bivouac::{AuthService, DefaultAuthService, InMemoryMemoryService, MemoryService, Runtime};
/// use std::sync::Arc;
///
/// pub struct ServerlessRuntime {
///     auth_service: Arc<dyn AuthService>,
///     memory_service: Arc<dyn MemoryService>,
/// }
///
/// impl ServerlessRuntime {
///     pub fn new() -> Self {
///         Self {
///             auth_service: Arc::new(DefaultAuthService::new()),
///             memory_service: Arc::new(InMemoryMemoryService::new()),
///         }
///     }
/// }
///
/// impl Runtime for ServerlessRuntime {
///     fn auth_service(&self) -> Arc<dyn AuthService> {
///         Arc::clone(&self.auth_service)
///     }
///     fn memory_service(&self) -> Arc<dyn MemoryService> {
///         Arc::clone(&self.memory_service)
///     }
/// }
/// # ServerlessRuntime::new().task_manager();
/// ```
pub trait Runtime: Send + Sync {
    /// Who asks.
    fn auth_service(&self) -> Arc<dyn AuthService>;

    /// What outlives a task, for each user.
    fn memory_service(&self) -> Arc<dyn MemoryService>;

    /// Where tasks are kept. The default keeps them through the memory service, see [`MemoryTaskManager`] for what that
    /// does not protect against.
    fn task_manager(&self) -> Arc<dyn TaskManager> {
        Arc::new(MemoryTaskManager::new(self.memory_service()))
    }

    /// Where the log goes. The default writes lines to standard error.
    fn logging_service(&self) -> Arc<dyn LoggingService> {
        Arc::new(StderrLoggingService::new())
    }

    /// What speaks to other services. The default refuses every request.
    fn http_service(&self) -> Arc<dyn HttpService> {
        Arc::new(NoHttpService::new())
    }

    /// What waits, where the host can. Without one a task that sleeps fails and says so.
    fn timer_service(&self) -> Option<Arc<dyn TimerService>> {
        None
    }

    /// The value of a secret that a component named, for a request to this host. The default knows none.
    fn secret(&self, name: &str, host: &str) -> Option<String> {
        let _unknown = (name, host);
        None
    }

    /// The time in milliseconds since the Unix epoch. The default is the system's clock.
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Waits on the host's clock.
#[async_trait]
pub trait TimerService: Send + Sync {
    /// Returns when the time has passed.
    async fn sleep(&self, duration: Duration);
}
