//! `bivouac serve`: the server, until it is told to stop.
//!
//! The only module that starts the server's code; what it does is documented there.

use super::json;
use crate::{
    cli::Globals,
    failure::{Exit, Failure, Result},
    output::{self, Style},
    server_config::{self, Options},
    stop::Stop,
};
use bivouac_server::{Config, Server, config::LogFormat};
use clap::Args;
use serde_json::json;
use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::PathBuf,
};
use tracing_subscriber::EnvFilter;

/// The first port that needs no special rights.
const FIRST_FREE_PORT: u16 = 1024;
/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_LOG: &str = "info";

/// Run a server
///
/// Every option is also a variable (`--max-queue` is BIVOUAC_MAX_QUEUE) and a key of bivouac-server.toml (`max_queue`);
/// flags win over variables, variables over the file. BIVOUAC_ADMIN_KEY sets an admin key of your own (also where the
/// first one was lost), BIVOUAC_MASTER_KEY the key that secrets are sealed with (else DATA/master.key), RUST_LOG what is
/// logged.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac serve                                   on 127.0.0.1:7420, data in .bivouac
  bivouac serve --dev                             no key needed from this machine
  bivouac serve --listen 0.0.0.0:80 --data /var/lib/bivouac --log-format json
  BIVOUAC_MAX_QUEUE=20000 bivouac serve --config /etc/bivouac-server.toml")]
pub(crate) struct ServeArgs {
    /// A configuration file [default: bivouac-server.toml in this folder, where there is one]
    #[arg(long, env = "BIVOUAC_CONFIG", hide_env = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(args: ServeArgs, globals: &Globals) -> Result {
    let config = server_config::load(&args.options, args.config.as_deref())?;
    start_logging(config.log_format, DEFAULT_LOG);
    server_config::warn_of_unknown_variables();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the server did not start").why(error.to_string()))?;
    runtime.block_on(serve(config, json(globals)))
}

async fn serve(config: Config, json: bool) -> Result {
    // Before the start, so that an impatient Ctrl-C does not cut it in two.
    let mut stop = Stop::new()?;
    let (data, dev, durable) = (config.data.clone(), config.dev, config.durable);
    let listen = config.listen;
    let server = Server::start(config, Vec::new()).await.map_err(|error| not_started(&error, listen))?;
    let url = format!("http://{}", server.address());
    if json {
        output::say_json(&json!({"url": url, "data": data, "admin_key": server.admin_key()}))?;
    } else {
        greet(&url, server.admin_key(), dev)?;
    }
    if !durable {
        output::warn("durable is off: everything is lost at exit");
    }
    stop.wait().await;
    output::note(
        "Stopping: requests in flight are answered, runs go on at the next start (Ctrl-C again to stop at once).",
    );
    tokio::select! {
        stopped = server.shutdown() => {
            stopped.map_err(|error| Failure::failed("the server did not stop cleanly").why(format!("{error:#}")))
        }
        () = stop.wait() => Err(Failure::silent(Exit::Interrupted)),
    }
}

/// Why it did not start; what happens most is said in the words that help most.
pub(super) fn not_started(error: &anyhow::Error, listen: SocketAddr) -> Failure {
    let failure = Failure::failed("the server did not start");
    match io_kind(error) {
        Some(io::ErrorKind::AddrInUse) => failure
            .why(format!("{listen} is in use by another program, which may be another server"))
            .hint("stop that one, or choose another address with --listen"),
        Some(io::ErrorKind::AddrNotAvailable) => failure
            .why(format!("{listen} is not an address of this machine"))
            .hint("--listen 127.0.0.1:7420, or 0.0.0.0:7420 for all addresses"),
        Some(io::ErrorKind::PermissionDenied)
            if listen.port() < FIRST_FREE_PORT && format!("{error:#}").contains("listening") =>
        {
            failure
                .why(format!("{listen} needs more rights: ports below {FIRST_FREE_PORT} do"))
                .hint("choose a higher port with --listen")
        }
        _ => failure.why(format!("{error:#}")),
    }
}

/// Whether another program has the port.
pub(super) fn is_in_use(error: &anyhow::Error) -> bool {
    io_kind(error) == Some(io::ErrorKind::AddrInUse)
}

fn io_kind(error: &anyhow::Error) -> Option<io::ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn greet(url: &str, admin_key: Option<&str>, dev: bool) -> Result {
    let style = Style::stdout();
    output::say(&format!("bivouac {} listens on {}", env!("CARGO_PKG_VERSION"), style.bold(url)))?;
    match admin_key {
        Some(key) => {
            output::say(&format!("The admin key, shown this once:\n\n  export BIVOUAC_KEY={}\n", style.bold(key)))
        }
        None if dev => output::say("Development: requests from this machine need no key."),
        None => {
            output::say("Keys are those of earlier starts; BIVOUAC_ADMIN_KEY=... adds an admin key where it was lost.")
        }
    }
}

/// Logs to stderr what `RUST_LOG` says, else from this level up.
pub(super) fn start_logging(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            logs.with_ansi(colour).with_target(false).init();
        }
    }
}
