//! The server in the author's own program: the same agents and components, the same journal, no module.
//!
//! [`DefaultRuntime`] is what a `main` starts; [`serve`] is its short form. Both start the server with the program's
//! components as native code, through the same loop, store and effects as a module, and end on Ctrl-C or SIGTERM.
//! Everything that is on disk goes on at the next start, as long as the version is the same.
//!
//! A service of the author's own - a [`MemoryService`] over HTTP, say - is called on the host's side of the frame: the
//! component asks for an effect, and the service performs it on tokio once what led to it is on disk.

use crate::{context::AuthContext, memory::MemoryService, module::IntoModule, services};
use bivouac_protocol::{
    Guest,
    frame::{Auth, Op, Outcome},
    manifest::Manifest,
};
use bivouac_server::{Config, HostMemory, Native, Server};
use sha2::{Digest as _, Sha256};
use std::{fmt, future::Future, io, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// What kept a program's server from starting or ending well.
pub type RuntimeError = Box<dyn std::error::Error + Send + Sync>;

/// How many bytes of the executable's digest make its version.
const VERSION_BYTES: usize = 8;

/// The embedded server and store, with services of the author's own where there are some.
///
/// `BIVOUAC_LISTEN` (default `127.0.0.1:7420`) says where to listen, `BIVOUAC_DATA` (default `.bivouac`) where to keep
/// runs, `BIVOUAC_DURABLE=false` that nothing is kept at all; what is set here goes before. From the same machine no key
/// is needed. `RUST_LOG` says what is logged.
///
/// # Examples
/// ```no_run
/// # use bivouac::prelude::*;
/// # use std::sync::Arc;
/// # fn configure_agents() -> Vec<AgentDefinition> { Vec::new() }
/// # #[cfg(not(target_arch = "wasm32"))]
/// fn main() -> Result<(), bivouac::runtime::RuntimeError> {
///     bivouac::runtime::DefaultRuntime::new(configure_agents()).serve()
/// }
/// ```
#[must_use = "a runtime does nothing unless it serves"]
pub struct DefaultRuntime {
    program: Program,
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
}

/// What is served.
struct Program {
    service: String,
    version: Option<String>,
    manifest: Manifest,
    guest: Arc<dyn Fn() -> Box<dyn Guest> + Send + Sync>,
    memory: Option<Arc<dyn MemoryService>>,
}

impl DefaultRuntime {
    /// Serves these agents: an [`AgentDefinition`](crate::AgentDefinition), a list of them, or a
    /// [`Module`](crate::Module). They get what they ask for, as they are the program's own.
    pub fn new(agents: impl IntoModule) -> Self {
        let module = agents.into_module();
        let manifest = module.manifest();
        let service = manifest.components.first().map_or_else(|| "agents".to_owned(), |first| first.name.clone());
        let guest = Arc::new(move || Box::new(module.clone().into_guest()) as Box<dyn Guest>);
        let program = Program { service, version: None, manifest, guest, memory: None };
        Self { program, listen: None, data: None }
    }

    /// The service that owns the routes, and the version that names this state of the code; without it, the first
    /// component's name and a digest of the executable. Tasks that were begun on another version do not go on in this
    /// one, so a version of one's own is one's own promise.
    pub fn named(mut self, service: impl Into<String>, version: impl Into<String>) -> Self {
        self.program.service = service.into();
        self.program.version = Some(version.into());
        self
    }

    /// Keeps memory in a service of the author's own instead of the server's store.
    ///
    /// Reads are performed at once, writes when the turn that asked for them is on disk; one that may have arrived
    /// before a crash is repeated with the same key, see [`MemoryService::save_once`]. A write has to be awaited: one
    /// that is detached in a task's last turn is refused. An operation may take 30 seconds.
    pub fn memory_service(mut self, memory: Arc<dyn MemoryService>) -> Self {
        self.program.memory = Some(memory);
        self
    }

    /// Listens here; port 0 means any that is free.
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Keeps runs in this folder.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Serves until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// What kept the server from starting, and what to do: a port or data directory in use, a variable that cannot be
    /// read.
    pub fn serve(self) -> Result<(), RuntimeError> {
        log_to_stderr();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let serving = self.start().await?;
            announce(&serving);
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            serving.shutdown().await
        })
    }

    /// Starts the server on the caller's tokio runtime, which has several threads.
    ///
    /// # Errors
    /// As [`DefaultRuntime::serve`].
    pub async fn start(self) -> Result<Serving, RuntimeError> {
        let mut config = config_from_environment()?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(data) = self.data {
            config.data = data;
        }
        let Program { service, version, manifest, guest, memory } = self.program;
        let version = match version {
            Some(version) => version,
            None => executable_version()?,
        };
        let memory = memory.map(|memory| Arc::new(Kept(memory)) as Arc<dyn HostMemory>);
        let native = Native { service, version, factory: guest, grants: manifest.capabilities, memory };
        let server = Server::start(config, vec![native]).await.map_err(|error| format!("{error:#}"))?;
        Ok(Serving { server })
    }
}

/// A server that answers.
pub struct Serving {
    server: Server,
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops: requests in flight are answered, what is on disk goes on at the next start.
    ///
    /// # Errors
    /// Where a part of the server had failed.
    pub async fn shutdown(self) -> Result<(), RuntimeError> {
        self.server.shutdown().await.map_err(|error| format!("{error:#}").into())
    }
}

/// Serves a program's components until Ctrl-C or SIGTERM; see [`DefaultRuntime`] for what more can be said.
///
/// `service` owns the components' routes; `version` names this state of the code: change it with the code, since runs
/// that were started on another version do not go on in this one. The components get what they ask for, as they are the
/// program's own.
///
/// # Errors
/// What kept the server from starting, and what to do: a port or data directory in use, a variable that cannot be read.
///
/// # Examples
/// ```no_run
/// # use bivouac::prelude::*;
/// # #[bivouac::module]
/// # pub fn configure() -> Module { Module::new() }
/// # #[cfg(not(target_arch = "wasm32"))]
/// fn main() -> Result<(), bivouac::runtime::RuntimeError> {
///     bivouac::runtime::serve(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), guest)
/// }
/// ```
pub fn serve<G: Guest + 'static>(service: &str, version: &str, guest: fn() -> G) -> Result<(), RuntimeError> {
    let manifest: Manifest = serde_json::from_slice(&guest().configure())?;
    let program = Program {
        service: service.to_owned(),
        version: Some(version.to_owned()),
        manifest,
        guest: Arc::new(move || Box::new(guest())),
        memory: None,
    };
    DefaultRuntime { program, listen: None, data: None }.serve()
}

/// A service of the author's own as the server asks it.
struct Kept(Arc<dyn MemoryService>);

impl HostMemory for Kept {
    fn perform(&self, caller: Auth, op: Op, key: String) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let memory = Arc::clone(&self.0);
        let caller = AuthContext::from(caller);
        Box::pin(async move {
            let done = services::memory::perform(&*memory, &caller, op, &key).await;
            done.map_or_else(|error| Outcome::Err(error.into_info()), Outcome::Ok)
        })
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A program that logs in its own way keeps it.
    let _its_own = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
}

/// The version of a program that does not name one: what it consists of.
fn executable_version() -> Result<String, RuntimeError> {
    let path = std::env::current_exe()?;
    let mut file = std::fs::File::open(&path)
        .map_err(|error| format!("reading {} for its version: {error}; name one with `.named(..)`", path.display()))?;
    let mut hash = Digesting(Sha256::new());
    io::copy(&mut file, &mut hash)?;
    let digest = hash.0.finalize();
    let text: String = digest[..VERSION_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("exe-{text}"))
}

struct Digesting(Sha256);

impl io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config_from_environment() -> Result<Config, RuntimeError> {
    let mut config = Config { dev: true, ..Config::default() };
    if let Ok(listen) = std::env::var("BIVOUAC_LISTEN") {
        config.listen = listen.parse::<SocketAddr>().map_err(|_| {
            format!("BIVOUAC_LISTEN is `{listen}`, which is no address and port: write for example 127.0.0.1:7420")
        })?;
    }
    if let Ok(data) = std::env::var("BIVOUAC_DATA") {
        config.data = PathBuf::from(data);
    }
    if std::env::var("BIVOUAC_DURABLE").is_ok_and(|durable| durable == "false") {
        config.durable = false;
    }
    Ok(config)
}

#[expect(clippy::print_stdout, reason = "a program tells its user where it listens")]
fn announce(serving: &Serving) {
    println!("listening on http://{}", serving.address());
}

impl fmt::Debug for DefaultRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultRuntime").field("service", &self.program.service).finish_non_exhaustive()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("address", &self.address()).finish_non_exhaustive()
    }
}
