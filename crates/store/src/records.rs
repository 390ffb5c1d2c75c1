//! What a store keeps besides events.

use bivouac_engine::{Accepted, Aspect, Event, Status, Timestamp};
use bivouac_protocol::{DeploymentId, RunId};
use std::{borrow::Cow, collections::BTreeMap};

/// A run's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The run.
    pub id: RunId,
    /// Its environment.
    pub environment: String,
    /// Its sub-tenant; empty for none.
    pub tenant: String,
    /// The verified user that it goes for.
    pub user: String,
    /// The session that it belongs to; empty for none.
    pub session: String,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its component, as `kind/name`.
    pub component: String,
    /// What a person is told; while its code is executed, as of its last change of head.
    pub status: Status,
    /// What is said beside the status, as of its last change of head.
    pub aspect: Aspect,
    /// When its head last changed.
    pub changed: Timestamp,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When it needs attention: 0 for at once.
    pub wake: Option<Timestamp>,
    /// The number of its last event.
    pub last_seq: u64,
}

/// An event as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number within the run.
    pub seq: u64,
    /// Its number within the shard.
    pub lsn: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The event.
    pub event: Event,
}

/// A run that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The run.
    pub id: RunId,
    /// When it needs attention: 0 for at once; `None` while it waits for something that will arrive.
    pub wake: Option<Timestamp>,
}

/// Which runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this environment.
    pub environment: Option<String>,
    /// Of this component, as `kind/name` or only the name.
    pub component: Option<String>,
    /// With this status.
    pub status: Option<Status>,
    /// Of this deployment.
    pub deployment: Option<DeploymentId>,
}

/// Which runs of one agent, of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// The environment.
    pub environment: String,
    /// The agent, as `agent/name`.
    pub component: String,
    /// The sub-tenant; empty for none.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// Of this session.
    pub session: Option<String>,
    /// Of one of these statuses; none means of any.
    pub statuses: Vec<Status>,
    /// With one of these aspects; none means with any.
    pub aspects: Vec<Aspect>,
    /// Whose head last changed then or later.
    pub since: Option<Timestamp>,
}

impl TaskFilter {
    /// Whether a run is one of these.
    #[must_use]
    pub fn takes(&self, record: &RunRecord) -> bool {
        record.environment == self.environment
            && record.component == self.component
            && record.tenant == self.tenant
            && record.user == self.user
            && self.session.as_ref().is_none_or(|session| record.session == *session)
            && (self.statuses.is_empty() || self.statuses.contains(&record.status))
            && (self.aspects.is_empty() || self.aspects.contains(&record.aspect))
            && self.since.is_none_or(|since| record.changed >= since)
    }
}

/// Under which name a run's metadata hold the session that it belongs to.
pub const METADATA_SESSION: &str = "session_id";

/// The session that a run belongs to; empty for none.
pub(crate) fn session(accepted: &Accepted) -> String {
    let metadata: BTreeMap<Cow<'_, str>, Cow<'_, str>> = serde_json::from_slice(&accepted.metadata).unwrap_or_default();
    metadata.get(METADATA_SESSION).map(ToString::to_string).unwrap_or_default()
}

/// An immutable deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// Its id.
    pub id: DeploymentId,
    /// The service that owns its routes.
    pub service: String,
    /// What it is a deployment of, immutable within the service.
    pub immutable_ref: String,
    /// How its code is reached: `core/1` for a module, `native/1` for code in the server's own process.
    pub carrier: String,
    /// The revision of the guest contract.
    pub abi: u32,
    /// SHA-256 of the module; for native code, of its name and version.
    pub digest: [u8; 32],
    /// The module's size in bytes.
    pub size: u64,
    /// The manifest, as JSON text.
    pub manifest: String,
    /// What the deployer granted, as JSON text.
    pub grants: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Which deployment new runs of a component are pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRecord {
    /// The environment.
    pub environment: String,
    /// The component, as `kind/name`.
    pub component: String,
    /// The service that owns the route.
    pub service: String,
    /// The deployment.
    pub deployment: DeploymentId,
}

/// A secret, sealed with the master key.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// The environment.
    pub environment: String,
    /// Its name.
    pub name: String,
    /// The hosts that it may be sent to; none means nowhere.
    pub hosts: Vec<String>,
    /// The sealed value.
    pub sealed: Vec<u8>,
    /// When it was set.
    pub set: Timestamp,
}

impl std::fmt::Debug for SecretRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretRecord").field("environment", &self.environment).field("name", &self.name).finish()
    }
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part, by which it is listed and revoked.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// SHA-256 of the whole key.
    pub digest: [u8; 32],
    /// The environment that it belongs to.
    pub environment: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The user that it stands for.
    pub user: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A change of what is not a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlChange {
    /// A new deployment, and the routes that it takes: upserts, and components that lose theirs.
    Deploy {
        /// The deployment; one that is there already stays as it is.
        deployment: Box<DeploymentRecord>,
        /// Routes to set.
        routes: Vec<RouteRecord>,
        /// Routes to remove, as (environment, component).
        dropped: Vec<(String, String)>,
    },
    /// Sets a secret.
    SetSecret(SecretRecord),
    /// Removes a secret.
    RemoveSecret {
        /// The environment.
        environment: String,
        /// Its name.
        name: String,
    },
    /// A new key, or a key's revocation.
    PutKey(KeyRecord),
}
