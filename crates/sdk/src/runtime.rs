//! The server in the author's own program: the same components, the same journal, no module.
//!
//! [`serve`] is what a `main` calls. It starts the server with the program's components as native code, through the same
//! loop, store and effects as a module, and ends on Ctrl-C or SIGTERM. Everything that is on disk goes on at the next
//! start, as long as the version is the same.

use bivouac_protocol::{Guest, manifest::Manifest};
use bivouac_server::{Config, Native, Server};
use std::{error::Error, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// What kept a program's server from starting or ending well.
pub type RuntimeError = Box<dyn Error + Send + Sync>;

/// Serves a program's components until Ctrl-C or SIGTERM.
///
/// `service` owns the components' routes; `version` names this state of the code: change it with the code, since runs
/// that were started on another version do not go on in this one. The components get what they ask for, as they are the
/// program's own.
///
/// `BIVOUAC_LISTEN` (default `127.0.0.1:7420`) says where to listen, `BIVOUAC_DATA` (default `.bivouac`) where to keep
/// runs, `BIVOUAC_DURABLE=false` that nothing is kept at all; from the same machine no key is needed. `RUST_LOG` says what is logged.
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
    let config = config_from_environment()?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A program that logs in its own way keeps it.
    let _its_own = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let manifest: Manifest = serde_json::from_slice(&guest().configure())?;
    let native = Native {
        service: service.to_owned(),
        version: version.to_owned(),
        factory: Arc::new(move || Box::new(guest())),
        grants: manifest.capabilities,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(config, vec![native]).await.map_err(|error| format!("{error:#}"))?;
        announce(&server);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        server.shutdown().await.map_err(|error| format!("{error:#}").into())
    })
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
fn announce(server: &Server) {
    println!("listening on http://{}", server.address());
}
