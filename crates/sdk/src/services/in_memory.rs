//! Services that keep everything in the process: for tests and laptops.
//!
//! Each has a bound, since nothing here is ever written anywhere else: what goes beyond it is refused, never dropped.

use super::{
    AuthService, DefaultAuthService, HttpService, LoggingService, NoHttpService, Runtime, Saved, StderrLoggingService,
    TaskManager, TaskRecord,
};
use crate::{
    context::AuthContext,
    error::Error,
    exec::lock,
    memory::{AgentResult, MemoryService},
};
use async_trait::async_trait;
use bivouac_protocol::Code;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

/// The most bytes that an [`InMemoryMemoryService`] keeps, names and values as JSON together.
pub const MAX_MEMORY_BYTES: usize = 64 << 20;
/// The most tasks that an [`InMemoryTaskManager`] keeps.
pub const MAX_TASKS: usize = 10_000;

/// Application, user, tenant, name: parts that stay apart, so that no two users share a place.
type Place = (String, String, String, String);

fn place(auth_ctx: &AuthContext, name: &str) -> Place {
    (auth_ctx.app_name.clone(), auth_ctx.user_name.clone(), auth_ctx.tenant.clone(), name.to_owned())
}

fn is_of(place: &Place, auth_ctx: &AuthContext) -> bool {
    place.0 == auth_ctx.app_name && place.1 == auth_ctx.user_name && place.2 == auth_ctx.tenant
}

/// Values by name in the process's memory.
#[derive(Default)]
pub struct InMemoryMemoryService {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Values as JSON text: an integer leaves as it came, and its size is known.
    values: BTreeMap<Place, String>,
    bytes: usize,
}

impl InMemoryMemoryService {
    /// An empty memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl MemoryService for InMemoryMemoryService {
    async fn save_serialized(&self, auth_ctx: &AuthContext, key: &str, value: Value) -> AgentResult<()> {
        let (place, text) = (place(auth_ctx, key), value.to_string());
        let mut kept = lock(&self.kept);
        let before = kept.values.get(&place).map_or(0, |old| key.len() + old.len());
        let after = kept.bytes - before + key.len() + text.len();
        if after > MAX_MEMORY_BYTES {
            return Err(full(&format!("memory in this process holds {MAX_MEMORY_BYTES} bytes")));
        }
        kept.bytes = after;
        kept.values.insert(place, text);
        Ok(())
    }

    async fn load_serialized(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<Option<Value>> {
        let text = lock(&self.kept).values.get(&place(auth_ctx, key)).cloned();
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    async fn list(&self, auth_ctx: &AuthContext, prefix: &str) -> AgentResult<Vec<String>> {
        let kept = lock(&self.kept);
        let found = kept.values.range(place(auth_ctx, prefix)..).map(|(place, _)| place);
        let own = found.take_while(|place| is_of(place, auth_ctx) && place.3.starts_with(prefix));
        Ok(own.map(|place| place.3.clone()).collect())
    }

    async fn delete(&self, auth_ctx: &AuthContext, key: &str) -> AgentResult<()> {
        let mut kept = lock(&self.kept);
        if let Some(old) = kept.values.remove(&place(auth_ctx, key)) {
            kept.bytes -= key.len() + old.len();
        }
        Ok(())
    }
}

/// Tasks in the process's memory.
#[derive(Default)]
pub struct InMemoryTaskManager {
    tasks: Mutex<BTreeMap<Place, TaskRecord>>,
}

impl InMemoryTaskManager {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl TaskManager for InMemoryTaskManager {
    async fn load(&self, auth_ctx: &AuthContext, id: &str) -> AgentResult<Option<TaskRecord>> {
        Ok(lock(&self.tasks).get(&place(auth_ctx, id)).cloned())
    }

    async fn save(&self, auth_ctx: &AuthContext, record: &TaskRecord) -> AgentResult<Saved> {
        let place = place(auth_ctx, &record.id);
        let mut tasks = lock(&self.tasks);
        let kept = tasks.get(&place).map_or(0, |kept| kept.revision);
        if kept + 1 != record.revision {
            return Ok(Saved::Stale);
        }
        if kept == 0 && tasks.len() >= MAX_TASKS {
            return Err(full(&format!("this process holds {MAX_TASKS} tasks")));
        }
        tasks.insert(place, record.clone());
        Ok(Saved::Kept)
    }

    async fn list(&self, auth_ctx: &AuthContext, limit: usize) -> AgentResult<Vec<TaskRecord>> {
        let tasks = lock(&self.tasks);
        let own = tasks.range(place(auth_ctx, "")..).take_while(|(place, _)| is_of(place, auth_ctx));
        Ok(own.take(limit).map(|(_, record)| record.clone()).collect())
    }
}

fn full(what: &str) -> Error {
    Error::refused(Code::OVERLOADED, format!("{what}, and is full: use a runtime that keeps things outside of it"))
}

/// A runtime that keeps everything in the process.
///
/// Its user is the local one, its log goes to standard error, and it sends no requests; each of its services can be
/// another.
///
/// # Examples
/// ```
/// use bivouac::{AuthContext, InMemoryRuntime, KeyAuthService, Runtime};
/// use std::sync::Arc;
///
/// let keys = KeyAuthService::new().key("4f1c0b7e9a5d4c2f8e6b", AuthContext::new("trips", "ada"));
/// let runtime = InMemoryRuntime::new().with_auth_service(Arc::new(keys));
/// # let _ = runtime.auth_service();
/// ```
#[derive(Clone)]
pub struct InMemoryRuntime {
    auth: Arc<dyn AuthService>,
    memory: Arc<dyn MemoryService>,
    tasks: Arc<dyn TaskManager>,
    log: Arc<dyn LoggingService>,
    http: Arc<dyn HttpService>,
    timer: Option<Arc<dyn super::TimerService>>,
}

impl InMemoryRuntime {
    /// Nothing kept yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            auth: Arc::new(DefaultAuthService::new()),
            memory: Arc::new(InMemoryMemoryService::new()),
            tasks: Arc::new(InMemoryTaskManager::new()),
            log: Arc::new(StderrLoggingService::new()),
            http: Arc::new(NoHttpService::new()),
            timer: None,
        }
    }

    /// The same with another way to know who asks.
    #[must_use]
    pub fn with_auth_service(mut self, auth: Arc<dyn AuthService>) -> Self {
        self.auth = auth;
        self
    }

    /// The same with another memory.
    #[must_use]
    pub fn with_memory_service(mut self, memory: Arc<dyn MemoryService>) -> Self {
        self.memory = memory;
        self
    }

    /// The same with another keeper of tasks.
    #[must_use]
    pub fn with_task_manager(mut self, tasks: Arc<dyn TaskManager>) -> Self {
        self.tasks = tasks;
        self
    }

    /// The same with another log.
    #[must_use]
    pub fn with_logging_service(mut self, log: Arc<dyn LoggingService>) -> Self {
        self.log = log;
        self
    }

    /// The same with requests to other services.
    #[must_use]
    pub fn with_http_service(mut self, http: Arc<dyn HttpService>) -> Self {
        self.http = http;
        self
    }

    /// The same with something that waits.
    #[must_use]
    pub fn with_timer_service(mut self, timer: Arc<dyn super::TimerService>) -> Self {
        self.timer = Some(timer);
        self
    }
}

impl Default for InMemoryRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for InMemoryRuntime {
    fn auth_service(&self) -> Arc<dyn AuthService> {
        Arc::clone(&self.auth)
    }

    fn memory_service(&self) -> Arc<dyn MemoryService> {
        Arc::clone(&self.memory)
    }

    fn task_manager(&self) -> Arc<dyn TaskManager> {
        Arc::clone(&self.tasks)
    }

    fn logging_service(&self) -> Arc<dyn LoggingService> {
        Arc::clone(&self.log)
    }

    fn http_service(&self) -> Arc<dyn HttpService> {
        Arc::clone(&self.http)
    }

    fn timer_service(&self) -> Option<Arc<dyn super::TimerService>> {
        self.timer.clone()
    }
}

impl fmt::Debug for InMemoryMemoryService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryMemoryService").field("bytes", &lock(&self.kept).bytes).finish_non_exhaustive()
    }
}

impl fmt::Debug for InMemoryTaskManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryTaskManager").field("tasks", &lock(&self.tasks).len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for InMemoryRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryRuntime").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn record(revision: u64) -> TaskRecord {
        TaskRecord {
            id: "t".to_owned(),
            revision,
            updated_ms: 1,
            agent: "a".to_owned(),
            context_id: "c".to_owned(),
            data: format!("{revision}"),
        }
    }

    /// What every keeper of tasks does, asked of each that there is here.
    fn keeps_tasks(tasks: &dyn TaskManager) {
        let (ada, bob) = (AuthContext::new("app", "ada"), AuthContext::new("app", "bob"));
        let all = async {
            assert_eq!(tasks.save(&ada, &record(2)).await.unwrap(), Saved::Stale);
            assert_eq!(tasks.save(&ada, &record(1)).await.unwrap(), Saved::Kept);
            assert_eq!(tasks.save(&ada, &record(1)).await.unwrap(), Saved::Stale);
            assert_eq!(tasks.save(&ada, &record(2)).await.unwrap(), Saved::Kept);
            assert_eq!(tasks.load(&ada, "t").await.unwrap(), Some(record(2)));
            assert_eq!(tasks.load(&bob, "t").await.unwrap(), None);
            assert_eq!(tasks.list(&ada, 10).await.unwrap(), [record(2)]);
            assert_eq!(tasks.list(&ada, 0).await.unwrap(), []);
            assert_eq!(tasks.list(&bob, 10).await.unwrap(), []);
        };
        all.now_or_never().expect("nothing here waits");
    }

    #[test]
    fn a_task_is_written_revision_by_revision_and_seen_by_its_user_alone() {
        keeps_tasks(&InMemoryTaskManager::new());
        keeps_tasks(&super::super::MemoryTaskManager::new(Arc::new(InMemoryMemoryService::new())));
    }

    #[test]
    fn names_that_only_look_alike_when_joined_are_different_places() {
        let memory = InMemoryMemoryService::new();
        let one = AuthContext::new("a:b", "c");
        let other = AuthContext::new("a", "b:c");
        let all = async {
            memory.save_serialized(&one, "k", Value::from(1)).await.unwrap();
            assert_eq!(memory.load_serialized(&other, "k").await.unwrap(), None);
            assert_eq!(memory.list(&one, "").await.unwrap(), ["k"]);
            assert_eq!(memory.list(&other, "").await.unwrap(), Vec::<String>::new());
        };
        all.now_or_never().expect("nothing here waits");
    }

    #[test]
    fn a_full_memory_refuses_and_keeps_what_it_has() {
        let memory = InMemoryMemoryService::new();
        let user = AuthContext::new("app", "ada");
        let all = async {
            memory.save_serialized(&user, "k", Value::from("small")).await.unwrap();
            let large = Value::from("x".repeat(MAX_MEMORY_BYTES));
            let error = memory.save_serialized(&user, "k", large).await.unwrap_err();
            assert_eq!(error.code(), "OVERLOADED");
            assert_eq!(memory.load_serialized(&user, "k").await.unwrap(), Some(Value::from("small")));
            memory.delete(&user, "k").await.unwrap();
            assert_eq!(lock(&memory.kept).bytes, 0);
        };
        all.now_or_never().expect("nothing here waits");
    }
}
