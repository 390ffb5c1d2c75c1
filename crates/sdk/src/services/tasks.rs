//! Which tasks there are, and what is kept of each.

use crate::{
    context::AuthContext,
    error::Error,
    memory::{AgentResult, MemoryService, MemoryServiceExt as _},
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// What names in memory begin with that hold tasks. Components cannot use such names where a [`MemoryTaskManager`] is.
pub const TASK_PREFIX: &str = "bivouac.task/";

/// What is kept of a task.
///
/// A service keeps it as it is; only `id`, `revision` and `updated_ms` have a meaning for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task.
    pub id: String,
    /// Counts the writes of the task, from 1.
    pub revision: u64,
    /// When the task last changed, in milliseconds since the Unix epoch.
    pub updated_ms: u64,
    /// The agent that works on it.
    pub agent: String,
    /// The conversation that it belongs to.
    pub context_id: String,
    /// What the host needs to go on; text that means nothing to the service.
    pub data: String,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The task is kept as it was given.
    Kept,
    /// Nothing was written: somebody else wrote this revision, or a later one, first. Load, and decide again.
    Stale,
}

/// Keeps tasks, each for one user of one application.
///
/// A task that belongs to another user does not exist: [`TaskManager::load`] gives nothing and [`TaskManager::list`]
/// does not show it. An implementation therefore makes every part of the [`AuthContext`] a part of its keys, in a way
/// that no two users share one.
#[async_trait]
pub trait TaskManager: Send + Sync {
    /// A task of this user; nothing where there is none of this id.
    ///
    /// # Errors
    /// Why it cannot be read.
    async fn load(&self, auth_ctx: &AuthContext, id: &str) -> AgentResult<Option<TaskRecord>>;

    /// Keeps a task, if what is kept of it so far has the revision before the given one - nothing at all where the
    /// given one is 1. Looking and writing are one step, which nobody else can come between.
    ///
    /// # Errors
    /// Why it may not be kept.
    async fn save(&self, auth_ctx: &AuthContext, record: &TaskRecord) -> AgentResult<Saved>;

    /// This user's tasks in any order, at most so many.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn list(&self, auth_ctx: &AuthContext, limit: usize) -> AgentResult<Vec<TaskRecord>>;
}

/// Keeps tasks in a [`MemoryService`], under names that begin with [`TASK_PREFIX`].
///
/// A memory service cannot compare and write in one step, so two requests for one task that arrive at the same moment
/// may both be kept as if the other had not been there. Where that can happen, implement [`TaskManager`] over what your
/// store offers for it: a transaction, a conditional put, an etag.
pub struct MemoryTaskManager {
    memory: Arc<dyn MemoryService>,
}

impl MemoryTaskManager {
    /// Keeps tasks in this memory.
    #[must_use]
    pub fn new(memory: Arc<dyn MemoryService>) -> Self {
        Self { memory }
    }
}

#[async_trait]
impl TaskManager for MemoryTaskManager {
    async fn load(&self, auth_ctx: &AuthContext, id: &str) -> AgentResult<Option<TaskRecord>> {
        self.memory.load(auth_ctx, &format!("{TASK_PREFIX}{id}")).await
    }

    async fn save(&self, auth_ctx: &AuthContext, record: &TaskRecord) -> AgentResult<Saved> {
        let kept = self.load(auth_ctx, &record.id).await?.map_or(0, |kept| kept.revision);
        if kept + 1 != record.revision {
            return Ok(Saved::Stale);
        }
        self.memory.save(auth_ctx, &format!("{TASK_PREFIX}{}", record.id), record).await?;
        Ok(Saved::Kept)
    }

    async fn list(&self, auth_ctx: &AuthContext, limit: usize) -> AgentResult<Vec<TaskRecord>> {
        let names = self.memory.list(auth_ctx, TASK_PREFIX).await?;
        let mut records = Vec::new();
        for name in names.iter().take(limit) {
            let record = self.memory.load(auth_ctx, name).await.map_err(|error: Error| error.context("a task"))?;
            records.extend(record);
        }
        Ok(records)
    }
}

impl fmt::Debug for MemoryTaskManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTaskManager").finish_non_exhaustive()
    }
}
