//! The host: one engine, one pool of instances, one cache of compiled modules.

use crate::{
    cache::Cache,
    config::HostConfig,
    error::{HostError, ModuleError},
    module::Module,
    scan::scan,
    ticker::Ticker,
};
use bivouac_protocol::Code;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use wasmtime::Engine;

/// Loads modules and bounds what their instances may use together. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    cache: Option<Arc<Cache>>,
}

/// What a host and its modules hold together; the last of them ends the ticker.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) config: HostConfig,
    _ticker: Ticker,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Host {
    /// Sets the engine up, reserves the pool's address space, opens the cache.
    ///
    /// # Errors
    /// [`HostError`] where the machine cannot serve the configuration.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let engine = Engine::new(&config.engine())
            .map_err(|error| HostError::Engine { max_instances: config.max_instances, cause: format!("{error:#}") })?;
        let ticker = Ticker::start(engine.clone())?;
        let cache = config.cache_dir.clone().map(|dir| Cache::open(dir, &engine)).transpose()?.map(Arc::new);
        Ok(Self { shared: Arc::new(Shared { engine, config, _ticker: ticker }), cache })
    }

    /// Takes a module in: scan, compile or fetch from the cache, ask for its manifest, validate that.
    ///
    /// Compiling takes the machine's cores for up to seconds: call this where that is no harm, not on an async thread.
    ///
    /// # Errors
    /// [`ModuleError`] with the rule that the module breaks, or what it did wrong when asked for its manifest.
    pub fn load(&self, bytes: &[u8]) -> Result<Module, ModuleError> {
        scan(bytes, &self.shared.config)?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let cached = self.cache.as_ref().and_then(|cache| cache.get(&self.shared.engine, &digest));
        let compiled = match cached {
            Some(compiled) => compiled,
            None => self.compile(bytes, &digest)?,
        };
        Module::new(Arc::clone(&self.shared), &compiled, digest)
    }

    fn compile(&self, bytes: &[u8], digest: &[u8; 32]) -> Result<wasmtime::Module, ModuleError> {
        let compiled = wasmtime::Module::new(&self.shared.engine, bytes).map_err(|error| {
            ModuleError::new(
                Code::MODULE_INVALID,
                format!("the module cannot be compiled: {error:#}; build it with `bivouac build` and upload it again"),
            )
        })?;
        if let Some(cache) = &self.cache {
            cache.put(&compiled, digest);
        }
        Ok(compiled)
    }
}
