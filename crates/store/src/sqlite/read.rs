//! Reads: a small pool of read-only connections. Each read is one statement, so one transaction of its own.

use super::{
    BUSY_TIMEOUT,
    error::database,
    open,
    row::{self, Payloads},
};
use crate::{
    DeploymentRecord, KeyRecord, Reader, RouteRecord, RunFilter, RunRecord, SecretRecord, StoreError, StoredEvent,
    TaskFilter, Unfinished, envelope::MasterKey,
};
use bivouac_engine::{MemoryScope, Timestamp};
use bivouac_protocol::{DeploymentId, RunId, key::Digest};
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Params, Row, params, types::Value};
use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// How many connections read at once; further readers wait for one of them.
const MAX_READERS: usize = 4;

const RUN: &str = "id, environment, tenant, deployment, component, status, created, ended, wake,
    (SELECT max(seq) FROM event WHERE event.run = run.number), user, session, changed, aspect";
const DEPLOYMENT: &str = "id, service, immutable_ref, carrier, abi, digest, size, manifest, grants, created";

/// The pool.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    payloads: Payloads,
    idle: Mutex<Idle>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    opened: usize,
}

/// A row whose content is not what we wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreadable(&'static str);

fn unreadable(what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(Unreadable(what)))
}

impl Pool {
    pub(super) fn new(path: PathBuf, key: Option<Arc<MasterKey>>) -> Self {
        Self { path, payloads: Payloads(key), idle: Mutex::default(), returned: Condvar::new() }
    }

    /// Reads with one of the connections.
    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let db = self.take()?;
        let result = read(&db);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).connections.push(db);
        self.returned.notify_one();
        result
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(db) = idle.connections.pop() {
                return Ok(db);
            }
            if idle.opened < MAX_READERS {
                break;
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        idle.opened += 1;
        drop(idle);
        open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY, BUSY_TIMEOUT).inspect_err(|_| {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).opened -= 1;
            self.returned.notify_one();
        })
    }

    fn rows<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.with(|db| {
            db.prepare_cached(sql)
                .and_then(|mut statement| statement.query_map(params, read)?.collect())
                .map_err(|error| database(doing, error))
        })
    }

    fn row<T>(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.with(|db| {
            db.prepare_cached(sql)
                .and_then(|mut statement| statement.query_row(params, read).optional())
                .map_err(|error| database(doing, error))
        })
    }
}

impl Reader for Pool {
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.row("cannot read the run", &format!("SELECT {RUN} FROM run WHERE id = ?1"), [blob(id.to_u128())], run)
    }

    fn state(&self, id: RunId) -> Result<Option<Vec<u8>>, StoreError> {
        let packed: Option<Option<Vec<u8>>> =
            self.row("cannot read the state", "SELECT state FROM run WHERE id = ?1", [blob(id.to_u128())], |row| {
                row.get(0)
            })?;
        let place = row::state_place(id);
        packed
            .flatten()
            .map(|packed| self.payloads.unpack(&place, &packed, || format!("the state of {id}")))
            .transpose()
    }

    fn events(&self, id: RunId, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<(u64, i64, i64, Vec<u8>)> = self.rows(
            "cannot read events",
            "SELECT seq, id, at, payload FROM event
             WHERE run = (SELECT number FROM run WHERE id = ?1) AND seq > ?2 ORDER BY seq LIMIT ?3",
            params![blob(id.to_u128()), at_most(after), at_most(limit)],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        rows.into_iter()
            .map(|(seq, entry, at, packed)| {
                let what = || format!("event {seq} of {id}");
                let payload = self.payloads.unpack(&row::event_place(id, seq), &packed, what)?;
                let event = bivouac_engine::journal::decode(&payload)
                    .map_err(|error| StoreError::Corrupt(format!("{}: {error}", what())))?;
                Ok(StoredEvent { seq, lsn: row::lsn(entry), at: row::timestamp(at), event })
            })
            .collect()
    }

    fn started(&self, environment: &str, key: &str) -> Result<Option<(RunId, Digest)>, StoreError> {
        self.row(
            "cannot look an idempotency key up",
            "SELECT id, idempotency_digest FROM run WHERE environment = ?1 AND idempotency_key = ?2",
            params![environment, key],
            |row| Ok((RunId::from_u128(number(row, 0)?), Digest(row.get(1)?))),
        )
    }

    fn unfinished(&self, shard: u16, after: Option<RunId>, limit: usize) -> Result<Vec<Unfinished>, StoreError> {
        // An empty blob comes before every id.
        let after = after.map_or_else(Vec::new, |id| blob(id.to_u128()).to_vec());
        self.rows(
            "cannot read the unfinished runs",
            "SELECT id, wake FROM run WHERE shard = ?1 AND status < 5 AND id > ?2 ORDER BY id LIMIT ?3",
            params![shard, after, at_most(limit)],
            |row| Ok(Unfinished { id: RunId::from_u128(number(row, 0)?), wake: instant(row, 1)? }),
        )
    }

    fn runs(&self, filter: &RunFilter, before: Option<RunId>, limit: usize) -> Result<Vec<RunRecord>, StoreError> {
        let (conditions, mut params) = conditions(filter, before);
        params.push(Value::Integer(at_most(limit)));
        let sql = format!("SELECT {RUN} FROM run WHERE {conditions} ORDER BY id DESC LIMIT ?");
        self.rows("cannot list the runs", &sql, rusqlite::params_from_iter(params), run)
    }

    fn tasks(
        &self,
        filter: &TaskFilter,
        after: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let (mut conditions, mut params) = owned(filter);
        if let Some((changed, id)) = after {
            conditions.push_str(" AND (changed, id) < (?, ?)");
            params.push(Value::Integer(row::instant(changed)));
            params.push(Value::Blob(blob(id.to_u128()).to_vec()));
        }
        params.push(Value::Integer(at_most(limit)));
        let sql = format!("SELECT {RUN} FROM run WHERE {conditions} ORDER BY changed DESC, id DESC LIMIT ?");
        self.rows("cannot list the tasks", &sql, rusqlite::params_from_iter(params), run)
    }

    fn count_tasks(&self, filter: &TaskFilter, limit: usize) -> Result<usize, StoreError> {
        let (conditions, mut params) = owned(filter);
        params.push(Value::Integer(at_most(limit)));
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM run WHERE {conditions} LIMIT ?)");
        let count = self.row("cannot count the tasks", &sql, rusqlite::params_from_iter(params), |row| row.get(0))?;
        Ok(count.unwrap_or(0))
    }

    fn memory(&self, scope: &MemoryScope, name: &str) -> Result<Option<Bytes>, StoreError> {
        let found: Option<(i64, Vec<u8>)> = self.row(
            "cannot read the memory",
            "SELECT scope, value FROM memory WHERE name = ?5 AND scope = (SELECT number FROM memory_scope
             WHERE environment = ?1 AND app = ?2 AND tenant = ?3 AND user = ?4)",
            params![scope.environment, scope.app, scope.tenant, scope.user, name],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        found
            .map(|(scope, packed)| {
                let what = || format!("the memory value `{name}`");
                self.payloads.unpack(&row::memory_place(scope, name), &packed, what).map(Bytes::from)
            })
            .transpose()
    }

    fn memory_names(&self, scope: &MemoryScope, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.rows(
            "cannot list the memory",
            // Texts compare by their bytes, so the names that begin so lie together.
            "SELECT name FROM memory WHERE name >= ?5 AND (?6 IS NULL OR name < ?6) AND scope =
               (SELECT number FROM memory_scope WHERE environment = ?1 AND app = ?2 AND tenant = ?3 AND user = ?4)
             ORDER BY name LIMIT ?7",
            params![scope.environment, scope.app, scope.tenant, scope.user, prefix, after_all(prefix), at_most(limit)],
            |row| row.get(0),
        )
    }

    fn deployment(&self, id: DeploymentId) -> Result<Option<DeploymentRecord>, StoreError> {
        let sql = format!("SELECT {DEPLOYMENT} FROM deployment WHERE id = ?1");
        self.row("cannot read the deployment", &sql, [blob(id.to_u128())], deployment)
    }

    fn deployment_at(&self, service: &str, immutable_ref: &str) -> Result<Option<DeploymentRecord>, StoreError> {
        let sql = format!("SELECT {DEPLOYMENT} FROM deployment WHERE service = ?1 AND immutable_ref = ?2");
        self.row("cannot read the deployment", &sql, [service, immutable_ref], deployment)
    }

    fn deployments(&self, before: Option<DeploymentId>, limit: usize) -> Result<Vec<DeploymentRecord>, StoreError> {
        let sql = format!("SELECT {DEPLOYMENT} FROM deployment WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2");
        let before = before.map(|id| blob(id.to_u128()));
        self.rows("cannot list the deployments", &sql, params![before, at_most(limit)], deployment)
    }

    fn routes(&self, environment: &str) -> Result<Vec<RouteRecord>, StoreError> {
        self.rows(
            "cannot read the routes",
            "SELECT environment, component, service, deployment FROM route WHERE environment = ?1 ORDER BY component",
            [environment],
            |row| {
                Ok(RouteRecord {
                    environment: row.get(0)?,
                    component: row.get(1)?,
                    service: row.get(2)?,
                    deployment: DeploymentId::from_u128(number(row, 3)?),
                })
            },
        )
    }

    fn secrets(&self, environment: &str) -> Result<Vec<SecretRecord>, StoreError> {
        self.rows(
            "cannot read the secrets",
            "SELECT environment, name, hosts, sealed, set_at FROM secret WHERE environment = ?1 ORDER BY name",
            [environment],
            |row| {
                Ok(SecretRecord {
                    environment: row.get(0)?,
                    name: row.get(1)?,
                    hosts: list(row, 2)?,
                    sealed: row.get(3)?,
                    set: row::timestamp(row.get(4)?),
                })
            },
        )
    }

    fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.rows(
            "cannot read the API keys",
            "SELECT id, name, digest, environment, scopes, user, created, revoked FROM api_key ORDER BY id",
            [],
            |row| {
                Ok(KeyRecord {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    digest: row.get(2)?,
                    environment: row.get(3)?,
                    scopes: list(row, 4)?,
                    user: row.get(5)?,
                    created: row::timestamp(row.get(6)?),
                    revoked: instant(row, 7)?,
                })
            },
        )
    }
}

/// The conditions of a list and their values, in the order of their question marks.
fn conditions(filter: &RunFilter, before: Option<RunId>) -> (String, Vec<Value>) {
    let mut conditions = vec!["true"];
    let mut values = Vec::new();
    if let Some(before) = before {
        conditions.push("id < ?");
        values.push(Value::Blob(blob(before.to_u128()).to_vec()));
    }
    if let Some(environment) = &filter.environment {
        conditions.push("environment = ?");
        values.push(Value::Text(environment.clone()));
    }
    if let Some(component) = &filter.component {
        if component.contains('/') {
            conditions.push("component = ?");
        } else {
            conditions.push("substr(component, instr(component, '/') + 1) = ?");
        }
        values.push(Value::Text(component.clone()));
    }
    if let Some(deployment) = filter.deployment {
        conditions.push("deployment = ?");
        values.push(Value::Blob(blob(deployment.to_u128()).to_vec()));
    }
    if let Some(status) = filter.status {
        let column = row::status_column(status);
        // Said once more in the words of the partial indexes, so that they are used.
        conditions.push(match column {
            0..5 => "status < 5 AND status = ?",
            5 => "status = ?",
            _ => "status > 5 AND status = ?",
        });
        values.push(Value::Integer(column));
    }
    (conditions.join(" AND "), values)
}

/// The conditions of an owner's runs and their values. The first line says the index's words, so that it is used.
fn owned(filter: &TaskFilter) -> (String, Vec<Value>) {
    let mut conditions = "component >= 'agent/' AND component < 'agent0'
        AND environment = ? AND component = ? AND tenant = ? AND user = ?"
        .to_owned();
    let owner = [&filter.environment, &filter.component, &filter.tenant, &filter.user];
    let mut values: Vec<Value> = owner.into_iter().cloned().map(Value::Text).collect();
    if let Some(session) = &filter.session {
        conditions.push_str(" AND session = ?");
        values.push(Value::Text(session.clone()));
    }
    if let Some(since) = filter.since {
        conditions.push_str(" AND changed >= ?");
        values.push(Value::Integer(row::instant(since)));
    }
    let mut one_of = |column: &str, wanted: Vec<i64>| {
        if !wanted.is_empty() {
            conditions.push_str(&format!(" AND {column} IN ({})", vec!["?"; wanted.len()].join(", ")));
            values.extend(wanted.into_iter().map(Value::Integer));
        }
    };
    one_of("status", filter.statuses.iter().map(|status| row::status_column(*status)).collect());
    one_of("aspect", filter.aspects.iter().map(|aspect| row::aspect_column(*aspect)).collect());
    (conditions, values)
}

fn run(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        id: RunId::from_u128(number(row, 0)?),
        environment: row.get(1)?,
        tenant: row.get(2)?,
        deployment: DeploymentId::from_u128(number(row, 3)?),
        component: row.get(4)?,
        status: row::status(row.get(5)?).ok_or_else(|| unreadable("a run's status"))?,
        created: row::timestamp(row.get(6)?),
        ended: instant(row, 7)?,
        wake: instant(row, 8)?,
        last_seq: row.get::<_, Option<u64>>(9)?.unwrap_or(0),
        user: row.get(10)?,
        session: row.get(11)?,
        changed: row::timestamp(row.get(12)?),
        aspect: row::aspect(row.get(13)?).ok_or_else(|| unreadable("a run's aspect"))?,
    })
}

fn deployment(row: &Row<'_>) -> rusqlite::Result<DeploymentRecord> {
    Ok(DeploymentRecord {
        id: DeploymentId::from_u128(number(row, 0)?),
        service: row.get(1)?,
        immutable_ref: row.get(2)?,
        carrier: row.get(3)?,
        abi: row.get(4)?,
        digest: row.get(5)?,
        size: row.get(6)?,
        manifest: row.get(7)?,
        grants: row.get(8)?,
        created: row::timestamp(row.get(9)?),
    })
}

const fn blob(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    row.get(column).map(u128::from_be_bytes)
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(row::timestamp))
}

fn list(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| unreadable("a list of texts"))
}

/// The first text after all that begin so; `None` where there is none.
fn after_all(prefix: &str) -> Option<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            rest.push(next);
            return Some(rest);
        }
    }
    None
}

/// A limit as a column; what is more than a column can say is no limit.
fn at_most(limit: impl TryInto<i64>) -> i64 {
    limit.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_all_that_begin_so_is_found_at_every_edge() {
        assert_eq!(after_all("cart").as_deref(), Some("caru"));
        assert_eq!(after_all("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(after_all("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(after_all("\u{10FFFF}"), None);
        assert_eq!(after_all(""), None);
    }
}
