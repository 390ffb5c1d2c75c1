//! The host: pools of instances, and a cache of compiled modules.

use crate::{
    cache::Cache,
    compiled,
    config::HostConfig,
    error::{HostError, ModuleError},
    module::Module,
    pool::Pool,
    scan::scan,
};
use bivouac_protocol::Code;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Loads modules and bounds what their instances may use together. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    pools: Arc<[Arc<Pool>]>,
    cache: Option<Arc<Cache>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("config", &self.pools[0].config).finish_non_exhaustive()
    }
}

impl Host {
    /// Sets the engines up, reserves the pools' address space, opens the cache.
    ///
    /// # Errors
    /// [`HostError`] where the machine cannot serve the configuration.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let pools = Pool::all(&config)?;
        let cache = config.cache_dir.map(|dir| Cache::open(dir, &pools[0].engine)).transpose()?.map(Arc::new);
        Ok(Self { pools, cache })
    }

    /// Takes a module in: scan, compile or fetch from the cache, ask for its manifest, validate that.
    ///
    /// Compiling takes the machine's cores for up to seconds: call this where that is no harm, not on an async thread.
    ///
    /// # Errors
    /// [`ModuleError`] with the rule that the module breaks, or what it did wrong when asked for its manifest.
    pub fn load(&self, bytes: &[u8]) -> Result<Module, ModuleError> {
        scan(bytes, &self.pools[0].config)?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let cached = self.cache.as_ref().and_then(|cache| cache.get(&digest)).and_then(|code| {
            self.in_every_pool(&code)
                .inspect_err(|error| {
                    tracing::warn!(error = %format!("{error:#}"), "compiled module is refused, compiling again");
                })
                .ok()
        });
        let compiled = match cached {
            Some(compiled) => compiled,
            None => self.compile(bytes, &digest)?,
        };
        Module::new(compiled, digest)
    }

    fn compile(&self, bytes: &[u8], digest: &[u8; 32]) -> Result<Vec<(Arc<Pool>, wasmtime::Module)>, ModuleError> {
        let refused = |error: wasmtime::Error| {
            ModuleError::new(
                Code::MODULE_INVALID,
                format!("the module cannot be compiled: {error:#}; build it with `bivouac build` and upload it again"),
            )
        };
        let code = self.pools[0].engine.precompile_module(bytes).map_err(refused)?;
        let compiled = self.in_every_pool(&code).map_err(refused)?;
        if let Some(cache) = &self.cache {
            cache.put(digest, &code);
        }
        Ok(compiled)
    }

    fn in_every_pool(&self, code: &[u8]) -> wasmtime::Result<Vec<(Arc<Pool>, wasmtime::Module)>> {
        self.pools.iter().map(|pool| Ok((Arc::clone(pool), compiled::module(&pool.engine, code)?))).collect()
    }
}
