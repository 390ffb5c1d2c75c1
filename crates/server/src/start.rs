//! Putting a server together, and taking it down.

use crate::{
    config::Config,
    deployments::{Deployments, Factory, NativeCode, NewDeployment},
    dispatch::{Voice, executor},
    driver::{Driver, Follow, shard_loop},
    effects::{
        address::{AddressRules, Network},
        http::HttpEffects,
        memory::HostMemory,
    },
    http::{AppState, auth::Keys, router},
    metrics::Metrics,
    secrets::Secrets,
};
use anyhow::{Context as _, Result, anyhow};
use axum::serve::ListenerExt as _;
use bivouac_engine::ShardLimits;
use bivouac_protocol::manifest::Capabilities;
use bivouac_store::{
    Reader, Store,
    blobs::Blobs,
    envelope::MasterKey,
    memory::MemoryStore,
    sqlite::{SqliteOptions, SqliteStore},
};
use bivouac_wasm_host::{Host, HostConfig};
use std::{net::SocketAddr, sync::Arc, thread, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// The environment that a server begins with.
pub(crate) const DEFAULT_ENVIRONMENT: &str = "default";
/// The one shard of the embedded store.
const SHARD: u16 = 0;

/// Native code that the server executes in its own process, as a deployment.
pub struct Native {
    /// The service that owns its routes.
    pub service: String,
    /// Its version, immutable: a change of code is a new one.
    pub version: String,
    /// How its guests are made.
    pub factory: Factory,
    /// What it is granted.
    pub grants: Capabilities,
    /// Who keeps its memory, where that is not the server's store.
    pub memory: Option<Arc<dyn HostMemory>>,
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    admin_key: Option<String>,
    driver: Driver,
    state: AppState,
    stop: watch::Sender<bool>,
    http: tokio::task::JoinHandle<std::io::Result<()>>,
    loop_thread: thread::JoinHandle<()>,
    shutdown: Duration,
}

impl Server {
    /// Starts a server: opens the data directory, takes over unfinished runs, listens.
    ///
    /// # Errors
    /// What kept it from starting, and what to do.
    pub async fn start(mut config: Config, natives: Vec<Native>) -> Result<Self> {
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!("listening on {}: is another server running there? choose another with --listen", config.listen)
        })?;
        let address = listener.local_addr()?;
        // Whoever needs the address needs the port that was given, too.
        config.listen = address;
        let metrics = Arc::new(Metrics::default());
        let opened = open(&config)?;
        let secrets = Secrets::new(opened.master);
        let host = Host::new(host_config(&config)).context("setting up the WASM engine")?;
        let mut deployments = Deployments::new(host, opened.blobs);
        for native in &natives {
            let code = NativeCode { factory: native.factory.clone(), memory: native.memory.clone() };
            deployments.add_native(&native.service, &native.version, code);
        }
        let deployments = Arc::new(deployments);
        let (inbox, receiver) = crossbeam_channel::unbounded();
        let follow = Arc::new(Follow::default());
        let driver = Driver::new(SHARD, inbox, opened.reader.clone(), follow.clone(), metrics.clone());
        let executors = start_executors(&config, &driver, &deployments, &secrets, &metrics)?;
        let parts = shard_loop::Parts {
            shard: SHARD,
            store: opened.store,
            reader: opened.reader,
            inbox: receiver,
            executors,
            follow,
            metrics: metrics.clone(),
            limits: ShardLimits { slices: config.max_slices, queue: config.max_queue },
        };
        let shard_loop = shard_loop::ShardLoop::open(parts).context("taking over unfinished runs")?;
        let loop_thread = thread::Builder::new()
            .name("shard-0".to_owned())
            .spawn(move || shard_loop.run())
            .context("starting the shard's thread")?;
        deployments.read_routes(&driver, DEFAULT_ENVIRONMENT)?;
        for native in natives {
            let new = NewDeployment {
                environment: DEFAULT_ENVIRONMENT.to_owned(),
                service: native.service,
                immutable_ref: native.version,
                grants: native.grants,
                activate: true,
                replace_route_owners: true,
            };
            deployments.deploy_native(&driver, new).await.context("deploying native code")?;
        }
        let keys = Arc::new(Keys::load(&driver)?);
        let admin_key = if config.dev { None } else { keys.ensure_admin(&driver, DEFAULT_ENVIRONMENT).await? };
        for environment in keys.environments().into_iter().chain([config.public_environment.clone()]) {
            deployments.read_routes(&driver, &environment)?;
        }
        let (stop, stopping) = watch::channel(false);
        let shutdown = Duration::from_millis(config.shutdown_ms);
        let state = AppState::new(driver.clone(), deployments, secrets, keys, Arc::new(config), stopping.clone());
        let http = tokio::spawn(serve(listener, router(state.clone()), stopping));
        tracing::info!(%address, "listening");
        Ok(Self { address, admin_key, driver, state, stop, http, loop_thread, shutdown })
    }

    /// Where the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin key, where this start made it: it is shown once.
    #[must_use]
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    /// The handle on runs.
    #[must_use]
    pub const fn driver(&self) -> &Driver {
        &self.driver
    }

    /// What the HTTP handlers share.
    #[must_use]
    pub const fn state(&self) -> &AppState {
        &self.state
    }

    /// Stops: no new requests, those in flight are answered (within the configured time), slices are dropped, what is on
    /// disk goes on at the next start.
    ///
    /// # Errors
    /// Where a part had failed.
    pub async fn shutdown(self) -> Result<()> {
        // Nobody listens any more where the HTTP side has ended by itself.
        let _ended = self.stop.send(true);
        match tokio::time::timeout(self.shutdown, self.http).await {
            Ok(ended) => ended.context("joining the HTTP server")??,
            Err(_) => tracing::warn!("requests in flight were cut off after {} ms", self.shutdown.as_millis()),
        }
        self.driver.stop().await;
        let joined = tokio::task::spawn_blocking(move || self.loop_thread.join()).await?;
        joined.map_err(|_| anyhow!("the shard's thread had panicked"))
    }
}

struct Opened {
    store: Box<dyn Store>,
    reader: Arc<dyn Reader>,
    blobs: Blobs,
    master: MasterKey,
}

fn open(config: &Config) -> Result<Opened> {
    let doing = || format!("opening the data directory {}", config.data.display());
    std::fs::create_dir_all(&config.data).with_context(doing)?;
    let master = match std::env::var("BIVOUAC_MASTER_KEY") {
        Ok(text) => text.parse().context("reading BIVOUAC_MASTER_KEY")?,
        Err(_) => MasterKey::load_or_create(&config.data.join("master.key")).with_context(doing)?,
    };
    let blobs = Blobs::new(&config.data);
    let store: Box<dyn Store> = if config.durable {
        let encrypt_payloads = config.encrypt_payloads.then(|| master.clone());
        let options = SqliteOptions { encrypt_payloads, ..SqliteOptions::default() };
        Box::new(SqliteStore::open(&config.data, options).with_context(doing)?)
    } else {
        Box::new(MemoryStore::default())
    };
    let reader = store.reader().with_context(doing)?;
    Ok(Opened { store, reader, blobs, master })
}

fn host_config(config: &Config) -> HostConfig {
    // A slot that is being given back is not free yet, so there are more than slices.
    let slots = config.max_slices + config.max_slices / 2 + 64;
    HostConfig {
        max_instances: u32::try_from(slots).unwrap_or(u32::MAX),
        max_memory_bytes: config.guest_memory,
        max_module_bytes: config.max_module,
        drive_time: Duration::from_millis(config.turn_cpu_ms),
        cache_dir: Some(config.data.join("cache")),
        ..HostConfig::default()
    }
}

fn start_executors(
    config: &Config,
    driver: &Driver,
    deployments: &Arc<Deployments>,
    secrets: &Secrets,
    metrics: &Arc<Metrics>,
) -> Result<crate::dispatch::Executors> {
    let networks: Result<Vec<Network>, String> =
        config.allow_addresses.iter().map(|text| Network::parse(text)).collect();
    let rules = AddressRules {
        allowed: networks.map_err(|message| anyhow!(message)).context("reading allow_addresses")?,
        loopback: config.dev,
    };
    let http = HttpEffects::new(rules, config.max_response, metrics.clone());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = if config.executors == 0 { cores } else { config.executors };
    let channels = (0..count).map(|_| crossbeam_channel::unbounded()).collect();
    let runtime = tokio::runtime::Handle::current();
    executor::start(channels, |inbox| executor::Env {
        voice: Voice { driver: driver.clone() },
        deployments: deployments.clone(),
        secrets: secrets.clone(),
        http: http.clone(),
        runtime: runtime.clone(),
        metrics: metrics.clone(),
        inbox,
    })
    .context("starting executor threads")
}

async fn serve(listener: TcpListener, app: axum::Router, mut stopping: watch::Receiver<bool>) -> std::io::Result<()> {
    let listener = listener.tap_io(|connection| {
        // Small answers must not wait for the client's acknowledgement of the one before; without it they are only late.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps delaying small answers");
        }
    });
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            // The sender lives as long as the server; without it there is nobody to wait for.
            let _gone = stopping.wait_for(|stop| *stop).await;
        })
        .await
}
