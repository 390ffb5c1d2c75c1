//! A store that forgets at exit, for tests and throw-away servers.
//!
//! The same semantics as the embedded store, checked by the same suite: fences, numbering, uniqueness, all or nothing.
//! Nothing is encoded and nothing waits. A clone is another handle on the same content, so that a test can lose its
//! writer and go on with another.

use crate::{
    CommitError, ControlChange, DeploymentRecord, KeyRecord, Opened, Reader, RouteRecord, RunFilter, RunRecord,
    SecretRecord, Store, StoreError, StoredEvent, TaskFilter, Unfinished, numbering, records,
};
use bivouac_engine::{Aspect, Batch, Event, MemoryScope, Status, Timestamp, Transition, shard::Recorded};
use bivouac_protocol::{DeploymentId, RunId, key::Digest};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The store in memory.
///
/// # Examples
/// ```
/// use bivouac_store::{Store as _, memory::MemoryStore};
/// let mut store = MemoryStore::default();
/// assert_eq!(store.open_shard(0).unwrap().epoch, 1);
/// assert_eq!(store.clone().open_shard(0).unwrap().epoch, 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    shards: BTreeMap<u16, Opened>,
    runs: BTreeMap<RunId, Kept>,
    starts: BTreeMap<(Box<str>, Box<str>), (RunId, Digest)>,
    memory: BTreeMap<(MemoryScope, Box<str>), Bytes>,
    deployments: BTreeMap<DeploymentId, DeploymentRecord>,
    routes: BTreeMap<(String, String), RouteRecord>,
    secrets: BTreeMap<(String, String), SecretRecord>,
    keys: BTreeMap<String, KeyRecord>,
}

#[derive(Debug)]
struct Kept {
    shard: u16,
    record: RunRecord,
    state: Option<Vec<u8>>,
    events: Vec<StoredEvent>,
}

impl MemoryStore {
    fn content(&self) -> MutexGuard<'_, Content> {
        // A change is checked whole before it is made, so the content is whole at any moment.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn open_shard(&mut self, shard: u16) -> Result<Opened, StoreError> {
        let mut content = self.content();
        let opened = content.shards.entry(shard).or_insert(Opened { epoch: 0, lsn: 0 });
        opened.epoch += 1;
        Ok(*opened)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let mut content = self.content();
        content.check(batch)?;
        content.write(batch);
        Ok(())
    }

    fn control(&mut self, change: &ControlChange) -> Result<(), CommitError> {
        self.content().control(change)
    }

    fn reader(&self) -> Result<Arc<dyn Reader>, StoreError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Content {
    /// Whether the whole batch can be written.
    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let Opened { epoch, lsn } = self.shards.get(&batch.shard).copied().unwrap_or(Opened { epoch: 0, lsn: 0 });
        if (epoch, lsn) != (batch.epoch, batch.lsn) {
            return Err(CommitError::Fenced { epoch, lsn });
        }
        let mut last = BTreeMap::new();
        let mut starts = BTreeMap::new();
        for transition in &batch.transitions {
            let run = transition.run;
            let known = last.get(&run).copied().or_else(|| self.runs.get(&run).map(|kept| kept.record.last_seq));
            last.insert(run, numbering::follow(known, transition)?);
            if let Some((key, _)) = start(transition)
                && (self.starts.contains_key(&key) || starts.insert(key.clone(), run).is_some())
            {
                return Err(CommitError::Conflict(format!("{run}: the idempotency key `{}` is taken", key.1)));
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) {
        let mut lsn = batch.lsn;
        for transition in &batch.transitions {
            self.transition(batch.shard, &mut lsn, transition);
        }
        if let Some(shard) = self.shards.get_mut(&batch.shard) {
            shard.lsn = lsn;
        }
    }

    fn transition(&mut self, shard: u16, lsn: &mut u64, transition: &Transition) {
        if let Some((key, digest)) = start(transition) {
            self.starts.insert(key, (transition.run, digest));
        }
        if let Some(Recorded { at, event: Event::Accepted(accepted), .. }) = transition.events.first() {
            let record = RunRecord {
                id: transition.run,
                environment: accepted.environment.to_string(),
                tenant: accepted.tenant.to_string(),
                user: accepted.user.to_string(),
                session: records::session(accepted),
                deployment: accepted.deployment,
                component: accepted.component.to_string(),
                status: Status::Queued,
                aspect: Aspect::Plain,
                changed: *at,
                created: *at,
                ended: None,
                wake: Some(Timestamp(0)),
                last_seq: 0,
            };
            self.runs.insert(transition.run, Kept { shard, record, state: None, events: Vec::new() });
        }
        let Some(kept) = self.runs.get_mut(&transition.run) else { return };
        for Recorded { seq, at, event } in &transition.events {
            *lsn += 1;
            kept.events.push(StoredEvent { seq: *seq, lsn: *lsn, at: *at, event: event.clone() });
            kept.record.last_seq = *seq;
        }
        if let Some(head) = &transition.head {
            kept.record.status = head.status;
            kept.record.wake = head.wake;
            kept.record.aspect = head.aspect;
            if let Some(last) = transition.events.last() {
                kept.record.changed = last.at;
            }
            kept.record.ended = transition.events.last().filter(|_| head.status.is_final()).map(|recorded| recorded.at);
            if head.state.is_some() {
                kept.state.clone_from(&head.state);
            }
        }
        for write in &transition.writes {
            let place = (write.scope.clone(), write.name.clone());
            match &write.value {
                Some(value) => self.memory.insert(place, value.clone()),
                None => self.memory.remove(&place),
            };
        }
    }

    fn control(&mut self, change: &ControlChange) -> Result<(), CommitError> {
        match change {
            ControlChange::Deploy { deployment, routes, dropped } => {
                let rival = self.deployment_at(&deployment.service, &deployment.immutable_ref);
                if rival.is_some_and(|rival| rival.id != deployment.id)
                    && !self.deployments.contains_key(&deployment.id)
                {
                    return Err(CommitError::Conflict(format!(
                        "{} has another deployment at {}",
                        deployment.service, deployment.immutable_ref
                    )));
                }
                self.deployments.entry(deployment.id).or_insert_with(|| (**deployment).clone());
                for place in dropped {
                    self.routes.remove(place);
                }
                for route in routes {
                    self.routes.insert((route.environment.clone(), route.component.clone()), route.clone());
                }
            }
            ControlChange::SetSecret(secret) => {
                self.secrets.insert((secret.environment.clone(), secret.name.clone()), secret.clone());
            }
            ControlChange::RemoveSecret { environment, name } => {
                self.secrets.remove(&(environment.clone(), name.clone()));
            }
            ControlChange::PutKey(key) => {
                self.keys.insert(key.id.clone(), key.clone());
            }
        }
        Ok(())
    }

    fn deployment_at(&self, service: &str, immutable_ref: &str) -> Option<&DeploymentRecord> {
        self.deployments.values().find(|d| d.service == service && d.immutable_ref == immutable_ref)
    }
}

/// An idempotency key within its environment, and the digest of what came under it.
type Start = ((Box<str>, Box<str>), Digest);

/// The idempotency key under which the transition starts its run.
fn start(transition: &Transition) -> Option<Start> {
    let Some(Recorded { event: Event::Accepted(accepted), .. }) = transition.events.first() else { return None };
    let (key, digest) = accepted.idempotency.as_ref()?;
    Some(((accepted.environment.clone(), key.clone()), *digest))
}

impl Reader for MemoryStore {
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.content().runs.get(&id).map(|kept| kept.record.clone()))
    }

    fn state(&self, id: RunId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().runs.get(&id).and_then(|kept| kept.state.clone()))
    }

    fn events(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let content = self.content();
        let events = content.runs.get(&id).map_or(&[][..], |kept| &kept.events);
        // Events are numbered from 1 without a gap.
        let skipped = usize::try_from(after).unwrap_or(usize::MAX).min(events.len());
        Ok(events[skipped..].iter().take(limit).cloned().collect())
    }

    fn started(&self, environment: &str, key: &str) -> Result<Option<(RunId, Digest)>, StoreError> {
        Ok(self.content().starts.get(&(environment.into(), key.into())).copied())
    }

    fn unfinished(&self, shard: u16, after: Option<RunId>, limit: usize) -> Result<Vec<Unfinished>, StoreError> {
        let content = self.content();
        let runs = content.runs.iter().filter(|(id, kept)| {
            kept.shard == shard && !kept.record.status.is_final() && after.is_none_or(|after| **id > after)
        });
        Ok(runs.take(limit).map(|(id, kept)| Unfinished { id: *id, wake: kept.record.wake }).collect())
    }

    fn runs(&self, filter: &RunFilter, before: Option<RunId>, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        let content = self.content();
        let records = content.runs.values().rev().map(|kept| &kept.record);
        let records = records.filter(|record| before.is_none_or(|before| record.id < before) && takes(filter, record));
        Ok(records.take(limit).cloned().collect())
    }

    fn tasks(
        &self,
        filter: &TaskFilter,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let content = self.content();
        let place = |record: &RunRecord| (record.changed, record.id);
        let records = content.runs.values().map(|kept| &kept.record).filter(|record| filter.takes(record));
        let mut found: Vec<_> = records.filter(|record| after.is_none_or(|after| place(record) < after)).collect();
        found.sort_by_key(|record| std::cmp::Reverse(place(record)));
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    fn count_tasks(&self, filter: &TaskFilter, limit: usize) -> Result<usize, StoreError> {
        let content = self.content();
        Ok(content.runs.values().filter(|kept| filter.takes(&kept.record)).take(limit).count())
    }

    fn memory(&self, scope: &MemoryScope, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.content().memory.get(&(scope.clone(), name.into())).cloned())
    }

    fn memory_names(&self, scope: &MemoryScope, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let content = self.content();
        let from = content.memory.range((scope.clone(), prefix.into())..);
        let names = from.take_while(|((s, name), _)| s == scope && name.starts_with(prefix));
        Ok(names.take(limit).map(|((_, name), _)| name.to_string()).collect())
    }

    fn deployment(&self, id: DeploymentId) -> Result<Option<DeploymentRecord>, StoreError> {
        Ok(self.content().deployments.get(&id).cloned())
    }

    fn deployment_at(&self, service: &str, immutable_ref: &str) -> Result<Option<DeploymentRecord>, StoreError> {
        Ok(self.content().deployment_at(service, immutable_ref).cloned())
    }

    fn deployments(&self, before: Option<DeploymentId>, limit: usize) -> Result<Vec<DeploymentRecord>, StoreError> {
        let content = self.content();
        let newest = content.deployments.values().rev().filter(|d| before.is_none_or(|before| d.id < before));
        Ok(newest.take(limit).cloned().collect())
    }

    fn routes(&self, environment: &str) -> Result<Vec<RouteRecord>, StoreError> {
        let content = self.content();
        Ok(content.routes.values().filter(|route| route.environment == environment).cloned().collect())
    }

    fn secrets(&self, environment: &str) -> Result<Vec<SecretRecord>, StoreError> {
        let content = self.content();
        Ok(content.secrets.values().filter(|secret| secret.environment == environment).cloned().collect())
    }

    fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        Ok(self.content().keys.values().cloned().collect())
    }
}

fn takes(filter: &RunFilter, record: &RunRecord) -> bool {
    let component = |wanted: &String| {
        let name = record.component.split_once('/').map_or(&*record.component, |(_, name)| name);
        record.component == *wanted || (!wanted.contains('/') && name == wanted)
    };
    filter.environment.as_ref().is_none_or(|environment| record.environment == *environment)
        && filter.component.as_ref().is_none_or(component)
        && filter.status.is_none_or(|status| record.status == status)
        && filter.deployment.is_none_or(|deployment| record.deployment == deployment)
}
