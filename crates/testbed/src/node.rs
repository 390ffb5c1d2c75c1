//! A server process on a data directory: started, asked, killed, started again.
//!
//! [`Mode`] says how components get into it: as a module that is deployed through the command line, or as native code of
//! the very program. Both speak the same API. Every start takes a free port, so that a dead server's port is never
//! waited for.

use crate::{Api, PowerLoss, Process, artifacts, artifacts::BuildFailed, process::Failure};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long a server may take to start, or a command to end. Debug builds on a busy machine are slow.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How components get into a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As a module, deployed through `bivouac deploy` to `bivouac serve --dev`.
    Wasm,
    /// As native code of the program that serves them.
    Native,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Wasm, Self::Native];

    /// The mode's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        }
    }
}

/// What is executed: an example, in a mode.
#[derive(Clone, Debug)]
pub struct Programs {
    mode: Mode,
    server: PathBuf,
    module: Option<PathBuf>,
    service: String,
}

/// A server that could not be started, or asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A program could not be built.
    #[error(transparent)]
    Build(#[from] BuildFailed),
    /// A process did not do what it should.
    #[error(transparent)]
    Process(#[from] Failure),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A process printed or ended with something unexpected.
    #[error("{0}")]
    Unexpected(String),
}

impl Programs {
    /// Builds, in a cargo profile, what serves the example `package`.
    ///
    /// # Errors
    /// [`BuildFailed`], with what cargo printed.
    pub fn build(package: &str, mode: Mode, profile: &str) -> Result<Self, BuildFailed> {
        let service = package.to_owned();
        Ok(match mode {
            Mode::Wasm => {
                let server = match std::env::var_os(artifacts::BIN_VARIABLE) {
                    Some(path) => PathBuf::from(path),
                    None => artifacts::bin("bivouac-cli", "bivouac", profile)?,
                };
                Self { mode, server, module: Some(artifacts::module(package)?), service }
            }
            Mode::Native => {
                let server = artifacts::bin_with(package, package, profile, &["runtime"])?;
                Self { mode, server, module: None, service }
            }
        })
    }

    /// How components get into the server.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

/// A running server.
#[derive(Debug)]
pub struct Node {
    process: Process,
    api: Api,
}

impl Node {
    /// Starts a server on a data directory; under `watch` where the directory is to lose power. A module is not deployed
    /// yet, native code is.
    ///
    /// # Errors
    /// [`NodeError`], with what the server printed.
    pub fn start(programs: &Programs, data: &Path, watch: Option<&PowerLoss>) -> Result<Self, NodeError> {
        Self::start_with(programs, data, |command| {
            if let Some(watch) = watch {
                watch.watch(command);
            }
        })
    }

    /// The same, with a last word on the command.
    ///
    /// # Errors
    /// [`NodeError`], with what the server printed.
    pub fn start_with(programs: &Programs, data: &Path, adjust: impl FnOnce(&mut Command)) -> Result<Self, NodeError> {
        let mut process = Self::spawn(programs, data, adjust)?;
        let line = process.wait_for_line("http://", START_WITHIN)?;
        let address = address_in(&line).ok_or_else(|| NodeError::Unexpected(format!("no address in `{line}`")))?;
        process.wait_ready(address, START_WITHIN)?;
        Ok(Self { process, api: Api::new(address) })
    }

    /// The process alone, not waited for: it may be killed before it is ready, or refuse to start.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn spawn(programs: &Programs, data: &Path, adjust: impl FnOnce(&mut Command)) -> io::Result<Process> {
        let mut command = Command::new(&programs.server);
        if programs.mode == Mode::Wasm {
            command.args(["serve", "--dev"]);
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BIVOUAC_")) {
            command.env_remove(name);
        }
        // A folder of its own, so that no configuration file of the caller's is found.
        command.current_dir(data.parent().unwrap_or(data));
        command.env("BIVOUAC_LISTEN", "127.0.0.1:0").env("BIVOUAC_DATA", data).env("RUST_LOG", "warn");
        adjust(&mut command);
        Process::spawn(&mut command)
    }

    /// Deploys the module, with everything granted that it asks for; native code is there already.
    ///
    /// # Errors
    /// [`NodeError`], with what the command printed.
    pub fn deploy(&self, programs: &Programs) -> Result<(), NodeError> {
        let Some(module) = &programs.module else { return Ok(()) };
        let mut command = Command::new(&programs.server);
        command.arg("deploy").arg(module).args([
            "--service",
            &programs.service,
            "--immutable-ref",
            "v1",
            "--grant-all",
        ]);
        command.arg("--server").arg(format!("http://{}", self.address()));
        command.env_remove(artifacts::MODULES_VARIABLE).env_remove("BIVOUAC_SERVER").env_remove("BIVOUAC_KEY");
        let mut deploy = Process::spawn(&mut command)?;
        let status = deploy.wait(START_WITHIN)?;
        if status.success() {
            return Ok(());
        }
        Err(NodeError::Unexpected(format!("`bivouac deploy` ended with {status}:\n{}", deploy.output())))
    }

    /// The server's API.
    #[must_use]
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// The server's process.
    #[must_use]
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it at once (`kill -9`).
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn kill(mut self) -> io::Result<()> {
        self.process.kill().map(drop)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// [`Failure`], when it did not end in time.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.process.terminate(START_WITHIN).map(drop)
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    rest[..end].trim_end_matches(':').parse().ok()
}
