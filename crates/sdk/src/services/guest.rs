//! The runtime that a skill is handed: every call goes through the run's [`Context`].

use super::{
    AuthService, HttpRequest, HttpResponse, HttpService, LoggingService, RequestHead, Runtime, Saved, TaskManager,
    TaskRecord,
};
use crate::{
    context::{AuthContext, Context},
    error::Error,
    memory::{AgentResult, MemoryService},
};
use async_trait::async_trait;
use bivouac_protocol::{Code, frame::LogLevel};
use std::sync::Arc;

/// The services of a run, over its [`Context`].
///
/// - `auth_service` gives the run's verified caller, whatever request it is shown: who asked was decided before the run
///   began.
/// - `memory_service` is [`Context::memory`]: what the host keeps for that caller.
/// - `logging_service` writes to the run's log; `http_service` is [`Context::http`].
/// - `task_manager` knows one task, the run's own, and refuses to save: the host keeps tasks, from what the run does.
///
/// Everything it does is recorded, so a skill that uses it goes on after a crash where it was.
#[derive(Clone, Debug)]
pub struct GuestRuntime {
    ctx: Context,
}

impl GuestRuntime {
    /// The services of this context's run.
    #[must_use]
    pub fn new(ctx: &Context) -> Self {
        Self { ctx: ctx.clone() }
    }

    fn service(&self) -> Arc<Service> {
        Arc::new(Service { ctx: self.ctx.clone() })
    }
}

impl Runtime for GuestRuntime {
    fn auth_service(&self) -> Arc<dyn AuthService> {
        self.service()
    }

    fn memory_service(&self) -> Arc<dyn MemoryService> {
        Arc::new(self.ctx.memory())
    }

    fn task_manager(&self) -> Arc<dyn TaskManager> {
        self.service()
    }

    fn logging_service(&self) -> Arc<dyn LoggingService> {
        self.service()
    }

    fn http_service(&self) -> Arc<dyn HttpService> {
        self.service()
    }

    /// The time of the run's turn, which is the same when the turn is driven again.
    fn now_ms(&self) -> u64 {
        self.ctx.now_ms()
    }
}

struct Service {
    ctx: Context,
}

#[async_trait]
impl AuthService for Service {
    async fn authenticate(&self, _: &RequestHead) -> AgentResult<AuthContext> {
        Ok(self.ctx.auth().clone())
    }
}

impl LoggingService for Service {
    fn log(&self, level: LogLevel, message: &str) {
        self.ctx.log(level, message);
    }
}

#[async_trait]
impl HttpService for Service {
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse> {
        let mut asked = self.ctx.http().request(request.method, request.url);
        for (name, value) in request.headers {
            asked = asked.header(name, value);
        }
        if let Some(timeout) = request.timeout {
            asked = asked.timeout(timeout);
        }
        if !request.body.is_empty() {
            asked = asked.bytes(request.body);
        }
        let reply = asked.send().await?;
        let headers = reply.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(HttpResponse { status: reply.status(), headers, body: reply.bytes().to_vec().into() })
    }
}

impl Service {
    fn own(&self) -> TaskRecord {
        TaskRecord {
            id: self.ctx.run_id().to_string(),
            revision: u64::from(self.ctx.attempt()),
            updated_ms: self.ctx.run_id().accepted_ms(),
            agent: self.ctx.core().start.component.name.clone(),
            context_id: self.ctx.metadata().get("session_id").cloned().unwrap_or_default(),
            data: String::new(),
        }
    }
}

#[async_trait]
impl TaskManager for Service {
    async fn load(&self, auth_ctx: &AuthContext, id: &str) -> AgentResult<Option<TaskRecord>> {
        let own = self.own();
        Ok((auth_ctx == self.ctx.auth() && own.id == id).then_some(own))
    }

    async fn save(&self, _: &AuthContext, _: &TaskRecord) -> AgentResult<Saved> {
        Err(Error::refused(
            Code::OP_UNSUPPORTED,
            "a skill does not save its task, the host does, from what the skill does: keep values in memory, or report \
             progress and artifacts",
        ))
    }

    async fn list(&self, auth_ctx: &AuthContext, limit: usize) -> AgentResult<Vec<TaskRecord>> {
        let own = (auth_ctx == self.ctx.auth()).then(|| self.own());
        Ok(own.into_iter().take(limit).collect())
    }
}
