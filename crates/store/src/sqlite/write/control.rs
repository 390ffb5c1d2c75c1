//! Changes of what is not a run.

use super::super::{error::refused, row};
use crate::{CommitError, ControlChange, DeploymentRecord, KeyRecord, RouteRecord, SecretRecord};
use rusqlite::{Connection, params};

/// Applies a change within the open transaction.
pub(super) fn apply(db: &Connection, change: &ControlChange) -> Result<(), CommitError> {
    let applied = match change {
        ControlChange::Deploy { deployment, routes, dropped } => {
            insert_deployment(db, deployment)?;
            set_routes(db, routes, dropped)
        }
        ControlChange::SetSecret(secret) => set_secret(db, secret),
        ControlChange::RemoveSecret { environment, name } => db
            .execute("DELETE FROM secret WHERE environment = ?1 AND name = ?2", params![environment, name])
            .map(|_| ()),
        ControlChange::PutKey(key) => put_key(db, key),
    };
    applied.map_err(|error| refused(&error))
}

/// A deployment that is there stays as it is; another one in its place is a conflict.
fn insert_deployment(db: &Connection, deployment: &DeploymentRecord) -> Result<(), CommitError> {
    let size = super::int(deployment.size)?;
    db.execute(
        "INSERT INTO deployment (id, service, immutable_ref, carrier, abi, digest, size, manifest, grants, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
        params![
            deployment.id.to_u128().to_be_bytes(),
            deployment.service,
            deployment.immutable_ref,
            deployment.carrier,
            deployment.abi,
            deployment.digest,
            size,
            deployment.manifest,
            deployment.grants,
            row::instant(deployment.created),
        ],
    )
    .map(|_| ())
    .map_err(|error| match refused(&error) {
        CommitError::Conflict(_) => CommitError::Conflict(format!(
            "{} has another deployment at {}",
            deployment.service, deployment.immutable_ref
        )),
        other => other,
    })
}

fn set_routes(db: &Connection, routes: &[RouteRecord], dropped: &[(String, String)]) -> rusqlite::Result<()> {
    for (environment, component) in dropped {
        db.execute("DELETE FROM route WHERE environment = ?1 AND component = ?2", params![environment, component])?;
    }
    for route in routes {
        db.execute(
            "INSERT INTO route (environment, component, service, deployment) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (environment, component, project)
             DO UPDATE SET service = excluded.service, deployment = excluded.deployment",
            params![route.environment, route.component, route.service, route.deployment.to_u128().to_be_bytes()],
        )?;
    }
    Ok(())
}

fn set_secret(db: &Connection, secret: &SecretRecord) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO secret (environment, name, hosts, sealed, set_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (environment, name, project)
         DO UPDATE SET hosts = excluded.hosts, sealed = excluded.sealed, set_at = excluded.set_at",
        params![secret.environment, secret.name, list(&secret.hosts), secret.sealed, row::instant(secret.set)],
    )
    .map(|_| ())
}

fn put_key(db: &Connection, key: &KeyRecord) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO api_key (id, name, digest, environment, scopes, user, created, revoked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, digest = excluded.digest,
           environment = excluded.environment, scopes = excluded.scopes, user = excluded.user,
           created = excluded.created, revoked = excluded.revoked",
        params![
            key.id,
            key.name,
            key.digest,
            key.environment,
            list(&key.scopes),
            key.user,
            row::instant(key.created),
            key.revoked.map(row::instant),
        ],
    )
    .map(|_| ())
}

/// A list of texts as a column.
fn list(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}
