//! Deployments: a module or native code at an immutable ref, what it was granted, and how its guests are made.

use crate::{
    driver::{Driver, now},
    effects::memory::{HostMemory, Keeper},
};
use bivouac_protocol::{
    ABI_VERSION, DeploymentId, Guest,
    key::Digest,
    manifest::{Capabilities, ComponentRef, Manifest},
};
use bivouac_store::{
    ControlChange, DeploymentRecord, RouteRecord, StoreError,
    blobs::{BlobError, Blobs},
};
use bivouac_wasm_host::{Host, Module, ModuleError};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The most deployments whose code is kept ready.
pub const MAX_READY: usize = 256;
/// The carrier of modules.
pub const CARRIER_MODULE: &str = "core/1";
/// The carrier of code in the server's own process.
pub const CARRIER_NATIVE: &str = "native/1";

/// How guests of native code are made.
pub type Factory = Arc<dyn Fn() -> Box<dyn Guest> + Send + Sync>;

/// Code of the server's own process.
#[derive(Clone)]
pub struct NativeCode {
    /// How its guests are made.
    pub factory: Factory,
    /// Who keeps its memory, where that is not the server's store.
    pub memory: Option<Arc<dyn HostMemory>>,
}

/// A deployment that is ready to execute.
pub struct Deployment {
    /// What is stored of it.
    pub record: DeploymentRecord,
    /// What it offers.
    pub manifest: Manifest,
    /// What it was granted: a part of what it asks for.
    pub grants: Capabilities,
    /// Its code.
    pub code: Code,
}

/// A deployment's code.
pub enum Code {
    /// A module.
    Module(Module),
    /// Native code.
    Native(NativeCode),
}

impl Deployment {
    /// Who keeps its memory.
    pub(crate) fn memory_keeper(&self) -> Keeper {
        match &self.code {
            _ if !self.grants.memory => Keeper::Nobody,
            Code::Native(NativeCode { memory: Some(_), .. }) => Keeper::Program,
            Code::Native(_) | Code::Module(_) => Keeper::Store,
        }
    }

    /// The memory that its program keeps.
    pub(crate) fn host_memory(&self) -> Option<&Arc<dyn HostMemory>> {
        match &self.code {
            Code::Native(native) => native.memory.as_ref(),
            Code::Module(_) => None,
        }
    }
}

/// A deployment that is not there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Unknown.
    #[error("deployment {0} does not exist")]
    NotFound(DeploymentId),
    /// Its native code is not part of this process.
    #[error(
        "deployment {id} ({service} at {immutable_ref}) is native code that this process does not contain: start the program that it came from, at the same version"
    )]
    NotInProcess {
        /// The deployment.
        id: DeploymentId,
        /// Its service.
        service: String,
        /// Its version.
        immutable_ref: String,
    },
    /// Its module cannot be used.
    #[error("the module of deployment {id}: {source}")]
    Module {
        /// The deployment.
        id: DeploymentId,
        /// Why not.
        #[source]
        source: ModuleError,
    },
    /// Its module is not where it was kept.
    #[error("the module of deployment {0} is missing from the data directory: deploy it again")]
    Missing(DeploymentId),
    /// Its module cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What somebody wants to deploy.
pub struct NewDeployment {
    /// The environment whose routes it takes.
    pub environment: String,
    /// The service.
    pub service: String,
    /// What it is a deployment of.
    pub immutable_ref: String,
    /// What the deployer grants.
    pub grants: Capabilities,
    /// Whether it takes its components' routes.
    pub activate: bool,
    /// Whether it may take routes of another service.
    pub replace_route_owners: bool,
}

/// What became of it.
pub struct Deployed {
    /// The deployment.
    pub deployment: Arc<Deployment>,
    /// Whether it was there before.
    pub existing: bool,
    /// The components whose routes it has now.
    pub routes: Vec<RouteRecord>,
    /// Components of the service that lost their route for new runs.
    pub dropped: Vec<String>,
}

/// Why nothing was deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The module cannot be used.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The same ref with other bytes.
    #[error(
        "{service} at {immutable_ref} is already deployed as {existing} with other contents: an immutable ref names one module for ever; use a new ref"
    )]
    RefTaken {
        /// The service.
        service: String,
        /// The ref.
        immutable_ref: String,
        /// The deployment that has it.
        existing: DeploymentId,
    },
    /// The same ref and bytes with other grants.
    #[error(
        "{service} at {immutable_ref} is already deployed as {existing} with other grants: grants belong to the deployment; use a new ref"
    )]
    GrantsDiffer {
        /// The service.
        service: String,
        /// The ref.
        immutable_ref: String,
        /// The deployment that has it.
        existing: DeploymentId,
    },
    /// A grant that the module does not ask for.
    #[error("the grant `{0}` is not asked for by the module: it asks for {1}")]
    NotAskedFor(String, String),
    /// Routes of another service.
    #[error(
        "the route of {component} belongs to the service {owner}: deploy with --replace-route-owners to take it over"
    )]
    RouteOwned {
        /// The component.
        component: String,
        /// Who has it.
        owner: String,
    },
    /// The module cannot be kept.
    #[error("keeping the module: {0}")]
    Blob(#[source] BlobError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] bivouac_store::CommitError),
}

/// The deployments of a server.
pub struct Deployments {
    host: Host,
    blobs: Blobs,
    natives: HashMap<DeploymentId, NativeCode>,
    ready: RwLock<HashMap<DeploymentId, Arc<Deployment>>>,
    routes: RwLock<HashMap<(String, String), RouteRecord>>,
}

impl Deployments {
    /// The deployments whose modules lie in `blobs`.
    #[must_use]
    pub fn new(host: Host, blobs: Blobs) -> Self {
        Self { host, blobs, natives: HashMap::new(), ready: RwLock::default(), routes: RwLock::default() }
    }

    /// Makes native code known, before anything runs.
    pub fn add_native(&mut self, service: &str, version: &str, code: NativeCode) -> DeploymentId {
        let id = deployment_id(service, version);
        self.natives.insert(id, code);
        id
    }

    /// The deployment that new runs of a component are pinned to.
    ///
    /// # Errors
    /// [`LoadError`] where it cannot be used.
    pub fn route(
        &self,
        driver: &Driver,
        environment: &str,
        component: &ComponentRef,
    ) -> Result<Option<Arc<Deployment>>, LoadError> {
        let key = (environment.to_owned(), component.to_string());
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        match known {
            Some(route) => self.load(driver, route.deployment).map(Some),
            None => Ok(None),
        }
    }

    /// An environment's routes.
    #[must_use]
    pub fn routes(&self, environment: &str) -> Vec<RouteRecord> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let mut routes: Vec<_> = routes.values().filter(|route| route.environment == environment).cloned().collect();
        routes.sort_by(|a, b| a.component.cmp(&b.component));
        routes
    }

    /// Reads an environment's routes from the store.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn read_routes(&self, driver: &Driver, environment: &str) -> Result<(), StoreError> {
        let stored = driver.reader().routes(environment)?;
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|(of, _), _| of != environment);
        routes.extend(stored.into_iter().map(|r| ((r.environment.clone(), r.component.clone()), r)));
        Ok(())
    }

    /// A deployment, ready to execute.
    ///
    /// # Errors
    /// [`LoadError`] where it cannot be used.
    pub fn load(&self, driver: &Driver, id: DeploymentId) -> Result<Arc<Deployment>, LoadError> {
        if let Some(ready) = self.ready.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(ready.clone());
        }
        let record = driver.reader().deployment(id)?.ok_or(LoadError::NotFound(id))?;
        let code = if record.carrier == CARRIER_NATIVE {
            let missing = || LoadError::NotInProcess {
                id,
                service: record.service.clone(),
                immutable_ref: record.immutable_ref.clone(),
            };
            Code::Native(self.natives.get(&id).cloned().ok_or_else(missing)?)
        } else {
            let bytes = self.blobs.get(&record.digest)?.ok_or(LoadError::Missing(id))?;
            Code::Module(self.host.load(&bytes).map_err(|source| LoadError::Module { id, source })?)
        };
        let damaged = |what: &str, error: serde_json::Error| {
            StoreError::Corrupt(format!("the {what} of deployment {id}: {error}"))
        };
        let manifest = serde_json::from_str(&record.manifest).map_err(|error| damaged("manifest", error))?;
        let grants = serde_json::from_str(&record.grants).map_err(|error| damaged("grants", error))?;
        Ok(self.keep(Deployment { record, manifest, grants, code }))
    }

    fn keep(&self, deployment: Deployment) -> Arc<Deployment> {
        let deployment = Arc::new(deployment);
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= MAX_READY {
            // Which one goes does not matter: its compiled code stays in the cache on disk.
            if let Some(other) = ready.keys().next().copied() {
                ready.remove(&other);
            }
        }
        ready.insert(deployment.record.id, deployment.clone());
        deployment
    }

    /// Deploys a module.
    ///
    /// # Errors
    /// [`DeployError`]; nothing is changed.
    pub async fn deploy(&self, driver: &Driver, new: NewDeployment, module: &[u8]) -> Result<Deployed, DeployError> {
        let loaded = tokio::task::block_in_place(|| self.host.load(module))?;
        let manifest = loaded.manifest().clone();
        let digest = loaded.digest();
        check_grants(&manifest.capabilities, &new.grants)?;
        if driver.reader().deployment_at(&new.service, &new.immutable_ref)?.is_none() {
            tokio::task::block_in_place(|| self.blobs.put(module)).map_err(DeployError::Blob)?;
        }
        self.install(driver, new, manifest, digest, module.len() as u64, Code::Module(loaded)).await
    }

    /// Deploys native code that was made known before.
    ///
    /// # Errors
    /// [`DeployError`]; nothing is changed.
    ///
    /// # Panics
    /// Where the code was not made known: a bug of the caller's.
    pub async fn deploy_native(&self, driver: &Driver, new: NewDeployment) -> Result<Deployed, DeployError> {
        let id = deployment_id(&new.service, &new.immutable_ref);
        let native = self.natives.get(&id).cloned().expect("native code is made known before it is deployed");
        let manifest = bivouac_wasm_host::manifest::read(&(native.factory)().configure())?;
        check_grants(&manifest.capabilities, &new.grants)?;
        let name = Digest::of([new.service.as_bytes(), new.immutable_ref.as_bytes()]);
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&name.0);
        self.install(driver, new, manifest, digest, 0, Code::Native(native)).await
    }

    async fn install(
        &self,
        driver: &Driver,
        new: NewDeployment,
        manifest: Manifest,
        digest: [u8; 32],
        size: u64,
        code: Code,
    ) -> Result<Deployed, DeployError> {
        let grants = serde_json::to_string(&new.grants).expect("grants have text keys");
        let existing = driver.reader().deployment_at(&new.service, &new.immutable_ref)?;
        if let Some(there) = &existing {
            let taken = (new.service.clone(), new.immutable_ref.clone(), there.id);
            if there.digest != digest {
                return Err(DeployError::RefTaken { service: taken.0, immutable_ref: taken.1, existing: taken.2 });
            }
            if there.grants != grants {
                return Err(DeployError::GrantsDiffer { service: taken.0, immutable_ref: taken.1, existing: taken.2 });
            }
        }
        let carrier = if matches!(code, Code::Native(_)) { CARRIER_NATIVE } else { CARRIER_MODULE };
        let record = existing.clone().unwrap_or_else(|| DeploymentRecord {
            id: deployment_id(&new.service, &new.immutable_ref),
            service: new.service.clone(),
            immutable_ref: new.immutable_ref.clone(),
            carrier: carrier.to_owned(),
            abi: ABI_VERSION,
            digest,
            size,
            manifest: serde_json::to_string(&manifest).expect("a manifest has text keys"),
            grants,
            created: now(),
        });
        let (routes, dropped) =
            if new.activate { self.plan_routes(&new, &record, &manifest)? } else { (Vec::new(), Vec::new()) };
        let change = ControlChange::Deploy {
            deployment: Box::new(record.clone()),
            routes: routes.clone(),
            dropped: dropped.iter().map(|component| (new.environment.clone(), component.clone())).collect(),
        };
        driver.control(change).await?;
        self.read_routes(driver, &new.environment)?;
        let deployment = self.keep(Deployment { record, manifest, grants: new.grants, code });
        Ok(Deployed { deployment, existing: existing.is_some(), routes, dropped })
    }

    /// A newer deployment of the same service supersedes it silently, another service's routes are not taken unasked.
    fn plan_routes(
        &self,
        new: &NewDeployment,
        record: &DeploymentRecord,
        manifest: &Manifest,
    ) -> Result<(Vec<RouteRecord>, Vec<String>), DeployError> {
        let current = self.routes(&new.environment);
        let mut routes = Vec::new();
        for component in &manifest.components {
            let component = format!("{}/{}", component.kind, component.name);
            let owner = current.iter().find(|route| route.component == component).map(|route| route.service.as_str());
            if let Some(owner) = owner.filter(|owner| *owner != new.service && !new.replace_route_owners) {
                return Err(DeployError::RouteOwned { component, owner: owner.to_owned() });
            }
            routes.push(RouteRecord {
                environment: new.environment.clone(),
                component,
                service: new.service.clone(),
                deployment: record.id,
            });
        }
        let dropped = current
            .into_iter()
            .filter(|old| old.service == new.service && !routes.iter().any(|route| route.component == old.component))
            .map(|old| old.component)
            .collect();
        Ok((routes, dropped))
    }
}

/// A deployment's id: the same service and ref give the same, everywhere.
fn deployment_id(service: &str, immutable_ref: &str) -> DeploymentId {
    let digest = Digest::of([b"deployment".as_slice(), service.as_bytes(), immutable_ref.as_bytes()]);
    DeploymentId::from_u128(u128::from_be_bytes(digest.0))
}

fn check_grants(asked: &Capabilities, granted: &Capabilities) -> Result<(), DeployError> {
    let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    if let Some(host) = granted.hosts.iter().find(|host| !asked.hosts.contains(host)) {
        return Err(DeployError::NotAskedFor(format!("host={host}"), format!("the hosts {}", list(&asked.hosts))));
    }
    if let Some(name) = granted.secrets.iter().find(|name| !asked.secrets.contains(name)) {
        return Err(DeployError::NotAskedFor(
            format!("secret={name}"),
            format!("the secrets {}", list(&asked.secrets)),
        ));
    }
    if granted.memory && !asked.memory {
        return Err(DeployError::NotAskedFor("memory".to_owned(), "no memory".to_owned()));
    }
    Ok(())
}
