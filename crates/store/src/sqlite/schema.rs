//! The schema and its way forward: a list of migrations, each applied once, in order, in a transaction of its own.
//!
//! The format on disk is the number of migrations that were applied. There is no way back: an older build refuses a
//! newer format and says so. `tests/golden` keeps a file of each format for ever.

use super::error::{database, extended_code, is_damage};
use crate::StoreError;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, ffi};

/// All migrations, oldest first. Never change or remove one.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];
/// What tells our files from other databases: `BVAK`.
const APPLICATION_ID: i32 = 0x4256_414B;
/// Tables that every store reads or writes; where one is missing, the file is damaged.
const TABLES: [&str; 9] =
    ["shard", "run", "event", "memory_scope", "memory", "deployment", "route", "secret", "api_key"];

/// Brings the schema to the newest format.
pub(super) fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    migrate_through(db, MIGRATIONS)?;
    check(db)
}

fn migrate_through(db: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let found = format(db)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (format, migration) in (1..=known).zip(migrations).skip_while(|(format, _)| *format <= found) {
        apply(db, format, migration)
            .map_err(|error| database("cannot bring the database to its newest format", error))?;
    }
    Ok(())
}

fn apply(db: &mut Connection, format: u32, migration: &str) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    if transaction.execute("UPDATE meta SET format = ?1", [format])? == 0 {
        transaction.execute("INSERT INTO meta (format) VALUES (?1)", [format])?;
    }
    transaction.commit()
}

/// The newest format that this build knows.
pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The format on disk: 0 for a file without anything.
pub(super) fn format(db: &Connection) -> Result<u32, StoreError> {
    let read = |error| database("cannot read the format of the database", error);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(read)?;
    if tables == 0 {
        return Ok(0);
    }
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(read)?;
    if application != APPLICATION_ID {
        return Err(StoreError::Corrupt("bivouac.db is a database of another program".to_owned()));
    }
    let format: Option<i64> = db.query_row("SELECT format FROM meta", [], |row| row.get(0)).optional().map_err(read)?;
    format
        .and_then(|format| u32::try_from(format).ok())
        .filter(|format| *format > 0)
        .ok_or_else(|| StoreError::Corrupt("bivouac.db does not say which format it has".to_owned()))
}

/// Touches every table's first page. Not a scan: what lies deeper is noticed when it is read.
fn check(db: &Connection) -> Result<(), StoreError> {
    for table in TABLES {
        let found = db.query_row(&format!("SELECT 1 FROM {table} LIMIT 1"), [], |_| Ok(())).optional();
        found.map_err(|error| {
            if is_damage(&error) || extended_code(&error) == Some(ffi::SQLITE_ERROR) {
                StoreError::Corrupt(format!("the table `{table}` of bivouac.db cannot be read: {error}"))
            } else {
                database("cannot check the database", error)
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: &str = "ALTER TABLE shard ADD COLUMN region TEXT NOT NULL DEFAULT 'here'";
    const BROKEN: &str = "CREATE TABLE half (id INTEGER); CREATE TABLE half (id INTEGER)";

    fn tables(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_migration_is_applied_once_and_in_order() {
        let mut db = Connection::open_in_memory().unwrap();
        assert_eq!(format(&db).unwrap(), 0);
        migrate_through(&mut db, &MIGRATIONS[..1]).unwrap();
        db.execute("INSERT INTO shard (id, owner, epoch, lsn) VALUES (0, 'me', 3, 9)", []).unwrap();
        let both = [MIGRATIONS[0], SECOND];
        for _ in 0..2 {
            migrate_through(&mut db, &both).unwrap();
            assert_eq!(format(&db).unwrap(), 2);
        }
        let row: (i64, String) =
            db.query_row("SELECT lsn, region FROM shard", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(row, (9, "here".to_owned()));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_format_as_it_was() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate_through(&mut db, &MIGRATIONS[..1]).unwrap();
        let before = tables(&db);
        assert!(migrate_through(&mut db, &[MIGRATIONS[0], BROKEN]).is_err());
        assert_eq!((format(&db).unwrap(), tables(&db)), (1, before));
        migrate_through(&mut db, &[MIGRATIONS[0], SECOND]).unwrap();
    }

    #[test]
    fn an_older_build_refuses_a_newer_format_and_changes_nothing() {
        let mut db = Connection::open_in_memory().unwrap();
        let (known, mut newer) = (newest(), MIGRATIONS.to_vec());
        newer.push(SECOND);
        migrate_through(&mut db, &newer).unwrap();
        let refused = migrate(&mut db).unwrap_err();
        assert!(
            matches!(refused, StoreError::Newer { found, known: k } if (found, k) == (known + 1, known)),
            "{refused}"
        );
        assert_eq!(format(&db).unwrap(), known + 1);
    }
}
