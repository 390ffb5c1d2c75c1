//! Commits: one transaction each, fenced by the shard's row.
//!
//! The shard's row is moved on first, where epoch and lsn are as the batch expects; everything else follows in the same
//! transaction. Runs are known by a number in the other tables; the numbers and last events of runs at work are kept in
//! memory and forgotten with any error, because then the disk counts and not what was remembered.

mod control;

use super::{
    error::{database, in_doubt, refused},
    row::{self, Payloads},
};
use crate::{CommitError, ControlChange, Opened, StoreError, envelope::MasterKey, numbering, records};
use bivouac_engine::{
    Accepted, Batch, Event, MemoryScope, MemoryWrite, Status, Timestamp, Transition,
    shard::{Head, Recorded},
};
use bivouac_protocol::RunId;
use rusqlite::{Connection, OptionalExtension as _, hooks::Wal, params};
use std::{cell::Cell, collections::BTreeMap, ffi::c_int, sync::Arc};

/// How many runs' numbers are kept in memory before they are all forgotten and read again.
const MAX_KNOWN_RUNS: usize = 16_384;
/// How many memory scopes' numbers are kept in memory before they are all forgotten and read again.
const MAX_KNOWN_SCOPES: usize = 4_096;
/// The revision of the encodings in a run's events and state: the journal's version.
const JOURNAL_FORMAT: u32 = 1;

/// The writing connection and what it remembers.
#[derive(Debug)]
pub(super) struct Writer {
    db: Connection,
    payloads: Payloads,
    host_revision: u32,
    runs: BTreeMap<RunId, Known>,
    scopes: BTreeMap<MemoryScope, i64>,
}

/// A run at work.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: i64,
    last_seq: u64,
}

thread_local! {
    /// How many pages the log had after this thread's last commit: SQLite tells a plain function, which has no other
    /// place to put it.
    static LOG_PAGES: Cell<u64> = const { Cell::new(0) };
}

/// Has SQLite tell the log's size after every commit.
pub(super) fn watch_log(db: &Connection) {
    fn remember(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
        LOG_PAGES.set(u64::try_from(pages).unwrap_or(0));
        Ok(())
    }
    db.wal_hook(Some(remember));
}

/// How many pages the log had after this thread's last commit.
pub(super) fn log_pages() -> u64 {
    LOG_PAGES.get()
}

impl Writer {
    pub(super) fn new(db: Connection, key: Option<Arc<MasterKey>>, host_revision: u32) -> Self {
        Self { db, payloads: Payloads(key), host_revision, runs: BTreeMap::new(), scopes: BTreeMap::new() }
    }

    pub(super) fn open_shard(&mut self, shard: u16) -> Result<Opened, StoreError> {
        self.forget();
        let opened = self.take_shard(shard);
        opened.inspect_err(|_| self.give_up()).map_err(|error| database("cannot open the shard", error))
    }

    fn take_shard(&self, shard: u16) -> rusqlite::Result<Opened> {
        let owner = std::process::id().to_string();
        // A statement that returns a row is over without a word on whether it was committed: only COMMIT says so.
        self.run("BEGIN IMMEDIATE")?;
        let opened = self.db.query_row(
            "INSERT INTO shard (id, owner, epoch, lsn) VALUES (?1, ?2, 1, 0)
             ON CONFLICT (id) DO UPDATE SET owner = ?2, epoch = epoch + 1 RETURNING epoch, lsn",
            params![shard, owner],
            |row| Ok(Opened { epoch: row.get(0)?, lsn: row.get(1)? }),
        )?;
        self.run("COMMIT")?;
        Ok(opened)
    }

    pub(super) fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.transaction(|writer| {
            writer.fence(batch)?;
            let mut lsn = batch.lsn;
            for transition in &batch.transitions {
                writer.transition(batch.shard, &mut lsn, transition)?;
            }
            Ok(())
        })
    }

    pub(super) fn control(&mut self, change: &ControlChange) -> Result<(), CommitError> {
        self.transaction(|writer| control::apply(&writer.db, change))
    }

    /// All that `write` does, or nothing.
    fn transaction(&mut self, write: impl FnOnce(&mut Self) -> Result<(), CommitError>) -> Result<(), CommitError> {
        let begun = self.run("BEGIN IMMEDIATE").map_err(|error| refused(&error));
        let written = begun.and_then(|()| write(self));
        let committed = written.and_then(|()| self.run("COMMIT").map_err(|error| in_doubt(&error)));
        committed.inspect_err(|_| self.give_up())
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    fn give_up(&mut self) {
        self.forget();
        if !self.db.is_autocommit()
            && let Err(error) = self.run("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    fn forget(&mut self) {
        self.runs.clear();
        self.scopes.clear();
    }

    /// Moves the shard on; refuses where somebody else did.
    fn fence(&self, batch: &Batch) -> Result<(), CommitError> {
        let (epoch, lsn, last) = (int(batch.epoch)?, int(batch.lsn)?, int(batch.last_lsn())?);
        let moved = self
            .db
            .prepare_cached("UPDATE shard SET lsn = ?4 WHERE id = ?1 AND epoch = ?2 AND lsn = ?3")
            .and_then(|mut statement| statement.execute(params![batch.shard, epoch, lsn, last]))
            .map_err(|error| refused(&error))?;
        if moved == 1 {
            return Ok(());
        }
        let on_disk = self
            .db
            .query_row("SELECT epoch, lsn FROM shard WHERE id = ?1", [batch.shard], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(|error| refused(&error))?;
        let (epoch, lsn) = on_disk.unwrap_or((0, 0));
        Err(CommitError::Fenced { epoch, lsn })
    }

    fn transition(&mut self, shard: u16, lsn: &mut u64, transition: &Transition) -> Result<(), CommitError> {
        let known = self.known(transition.run)?;
        let last_seq = numbering::follow(known.map(|known| known.last_seq), transition)?;
        let number = match (known, transition.events.first()) {
            (Some(known), _) => {
                if let Some(head) = &transition.head {
                    self.update_head(known.number, transition, head)?;
                }
                known.number
            }
            (None, Some(Recorded { at, event: Event::Accepted(accepted), .. })) => {
                self.insert_run(shard, *at, accepted, transition)?
            }
            (None, _) => return Err(CommitError::Failed("the run does not begin with its acceptance".to_owned())),
        };
        self.insert_events(shard, lsn, number, transition)?;
        for write in &transition.writes {
            self.write_memory(write)?;
        }
        self.remember(transition, Known { number, last_seq });
        Ok(())
    }

    fn remember(&mut self, transition: &Transition, known: Known) {
        if transition.end().is_some() {
            self.runs.remove(&transition.run);
            return;
        }
        if self.runs.len() >= MAX_KNOWN_RUNS {
            self.runs.clear();
        }
        self.runs.insert(transition.run, known);
    }

    /// What the other tables know a run by; `None` for a run that is not there.
    fn known(&self, run: RunId) -> Result<Option<Known>, CommitError> {
        if let Some(known) = self.runs.get(&run) {
            return Ok(Some(*known));
        }
        self.db
            .prepare_cached(
                "SELECT number, (SELECT max(seq) FROM event WHERE event.run = number) FROM run WHERE id = ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([run.to_u128().to_be_bytes()], |row| {
                        Ok(Known { number: row.get(0)?, last_seq: row.get::<_, Option<u64>>(1)?.unwrap_or(0) })
                    })
                    .optional()
            })
            .map_err(|error| refused(&error))
    }

    fn insert_run(
        &self,
        shard: u16,
        at: Timestamp,
        accepted: &Accepted,
        transition: &Transition,
    ) -> Result<i64, CommitError> {
        let (status, wake) =
            transition.head.as_ref().map_or((Status::Queued, Some(Timestamp(0))), |head| (head.status, head.wake));
        let deployment = accepted.deployment.to_u128().to_be_bytes();
        let mut insert = self
            .db
            .prepare_cached(
                "INSERT INTO run (id, shard, environment, tenant, deployment, component, format, abi, host, status,
                   created, ended, wake, idempotency_key, idempotency_digest, state, user, session, changed, aspect)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce((SELECT abi FROM deployment WHERE id = ?5), ?8), ?9,
                   ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
            )
            .map_err(|error| refused(&error))?;
        insert
            .insert(params![
                transition.run.to_u128().to_be_bytes(),
                shard,
                accepted.environment,
                accepted.tenant,
                deployment,
                accepted.component,
                JOURNAL_FORMAT,
                bivouac_protocol::ABI_VERSION,
                self.host_revision,
                row::status_column(status),
                row::instant(at),
                ended(transition, status),
                wake.map(row::instant),
                accepted.idempotency.as_ref().map(|(key, _)| key),
                accepted.idempotency.as_ref().map(|(_, digest)| digest.0),
                self.packed_state(transition)?,
                accepted.user,
                records::session(accepted),
                changed(transition),
                row::aspect_column(transition.head.as_ref().map(|head| head.aspect).unwrap_or_default()),
            ])
            .map_err(|error| refused(&error))
    }

    fn update_head(&self, number: i64, transition: &Transition, head: &Head) -> Result<(), CommitError> {
        let (status, wake) = (row::status_column(head.status), head.wake.map(row::instant));
        let (ended, state) = (ended(transition, head.status), self.packed_state(transition)?);
        self.db
            .prepare_cached(
                "UPDATE run SET status = ?2, wake = ?3, ended = ?4, state = coalesce(?5, state),
                   changed = coalesce(?6, changed), aspect = ?7 WHERE number = ?1",
            )
            .and_then(|mut update| {
                let aspect = row::aspect_column(head.aspect);
                update.execute(params![number, status, wake, ended, state, changed(transition), aspect])
            })
            .map(|_| ())
            .map_err(|error| refused(&error))
    }

    fn packed_state(&self, transition: &Transition) -> Result<Option<Vec<u8>>, CommitError> {
        let state = transition.head.as_ref().and_then(|head| head.state.as_ref());
        state.map(|state| self.pack(&row::state_place(transition.run), state)).transpose()
    }

    fn pack(&self, place: &[u8], payload: &[u8]) -> Result<Vec<u8>, CommitError> {
        self.payloads.pack(place, payload).map_err(|error| CommitError::Failed(error.to_string()))
    }

    fn insert_events(
        &self,
        shard: u16,
        lsn: &mut u64,
        number: i64,
        transition: &Transition,
    ) -> Result<(), CommitError> {
        let mut insert = self
            .db
            .prepare_cached(
                "INSERT INTO event (id, run, seq, nth, kind, at, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .map_err(|error| refused(&error))?;
        for (nth, recorded) in transition.events.iter().enumerate() {
            *lsn += 1;
            let id = row::entry(shard, *lsn)
                .ok_or_else(|| CommitError::Failed(format!("shard {shard} is out of entry numbers")))?;
            let payload = bivouac_engine::journal::encode(&recorded.event);
            let packed = self.pack(&row::event_place(transition.run, recorded.seq), &payload)?;
            let seq = int(recorded.seq)?;
            let (kind, at) = (row::kind_column(&recorded.event), row::instant(recorded.at));
            insert.execute(params![id, number, seq, nth, kind, at, packed]).map_err(|error| refused(&error))?;
        }
        Ok(())
    }

    fn write_memory(&mut self, write: &MemoryWrite) -> Result<(), CommitError> {
        let scope = self.scope(&write.scope)?;
        let written = if let Some(value) = &write.value {
            let packed = self.pack(&row::memory_place(scope, &write.name), value)?;
            self.db
                .prepare_cached(
                    "INSERT INTO memory (scope, name, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
                )
                .and_then(|mut upsert| upsert.execute(params![scope, write.name, packed]))
        } else {
            self.db
                .prepare_cached("DELETE FROM memory WHERE scope = ?1 AND name = ?2")
                .and_then(|mut delete| delete.execute(params![scope, write.name]))
        };
        written.map(|_| ()).map_err(|error| refused(&error))
    }

    /// A memory scope's number; it gets one with its first write.
    fn scope(&mut self, scope: &MemoryScope) -> Result<i64, CommitError> {
        if let Some(number) = self.scopes.get(scope) {
            return Ok(*number);
        }
        let number = self
            .db
            .prepare_cached(
                // An update that changes nothing, so that the row that is there already is returned as well.
                "INSERT INTO memory_scope (environment, app, tenant, user) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET app = app RETURNING number",
            )
            .and_then(|mut upsert| {
                upsert.query_row(params![scope.environment, scope.app, scope.tenant, scope.user], |row| row.get(0))
            })
            .map_err(|error| refused(&error))?;
        if self.scopes.len() >= MAX_KNOWN_SCOPES {
            self.scopes.clear();
        }
        self.scopes.insert(scope.clone(), number);
        Ok(number)
    }
}

/// When the run's head changed with this.
fn changed(transition: &Transition) -> Option<i64> {
    transition.events.last().map(|last| row::instant(last.at))
}

/// When the run ended, where it did.
fn ended(transition: &Transition, status: Status) -> Option<i64> {
    transition.events.last().filter(|_| status.is_final()).map(|last| row::instant(last.at))
}

fn int(number: u64) -> Result<i64, CommitError> {
    i64::try_from(number).map_err(|_| CommitError::Failed(format!("{number} is out of range")))
}
