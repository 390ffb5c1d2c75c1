//! The ways to serve an agent, each a process of its own that is started, killed and started again on the same data.
//!
//! [`Host::Module`] is the server with the agent's module deployed, [`Host::Native`] the agent's own program with the server
//! in it, [`Host::Standalone`] the agent under axum, without the platform: that one keeps nothing on disk, and sends a
//! stream in one piece. A [`Served`] that is dropped is killed.

use crate::agent::{Agent, Binding};
use bivouac_testbed::{
    Node, Process, artifacts,
    node::{Mode, NodeError, Programs},
};
use std::{io, net::SocketAddr, path::Path, process::Command, time::Duration};

/// The cargo profile that what is served is built in.
const PROFILE: &str = "dev";
/// Where the agent without the platform comes from: a package, and its program.
const STANDALONE: (&str, &str) = ("foreign", "standalone");
/// How long a program may take to start.
const START_WITHIN: Duration = Duration::from_secs(60);

/// A way to serve an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A module in `bivouac serve --dev`.
    Module,
    /// The agent's own program, with the server in it.
    Native,
    /// The agent's own program, under axum.
    Standalone,
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Module, Self::Native, Self::Standalone];
    /// Those that keep what they know on disk.
    pub const DURABLE: [Self; 2] = [Self::Module, Self::Native];

    /// Whether a stream tells an event when it happens, and not all of them at its end.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Standalone)
    }
}

/// An agent that is served.
#[derive(Debug)]
pub struct Served {
    server: Server,
    base: String,
}

#[derive(Debug)]
enum Server {
    Node(Node),
    Alone(Process, SocketAddr),
}

impl Served {
    /// Starts a host with an example's agent, `package` and agent having the same name, on a data folder.
    ///
    /// # Errors
    /// [`NodeError`], with what was printed.
    pub fn start(host: Host, package: &str, data: &Path) -> Result<Self, NodeError> {
        let base = format!("/agents/{package}");
        let mode = match host {
            Host::Module => Mode::Wasm,
            Host::Native => Mode::Native,
            Host::Standalone => return Ok(Self { server: alone()?, base }),
        };
        let programs = Programs::build(package, mode, PROFILE)?;
        let node = Node::start(&programs, data, None)?;
        node.deploy(&programs)?;
        Ok(Self { server: Server::Node(node), base })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        match &self.server {
            Server::Node(node) => node.address(),
            Server::Alone(_, address) => *address,
        }
    }

    /// The agent's base URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address(), self.base)
    }

    /// The agent, asked over a transport.
    #[must_use]
    pub fn agent(&self, binding: Binding) -> Agent {
        Agent::new(self.address(), &self.base, binding)
    }

    /// The process.
    #[must_use]
    pub const fn process(&mut self) -> &mut Process {
        match &mut self.server {
            Server::Node(node) => node.process(),
            Server::Alone(process, _) => process,
        }
    }

    /// Kills it at once (`kill -9`). Nothing of it runs after this returns.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn kill(mut self) -> io::Result<()> {
        self.process().kill().map(drop)
    }
}

fn alone() -> Result<Server, NodeError> {
    let (package, program) = STANDALONE;
    let mut command = Command::new(artifacts::bin(package, program, PROFILE)?);
    // Its one user is whoever is on this machine.
    command.arg("127.0.0.1:0").env("STANDALONE_OPEN", "1");
    let mut process = Process::spawn(&mut command)?;
    let line = process.wait_for_line("http://", START_WITHIN)?;
    let address = line.split_once("http://").and_then(|(_, address)| address.trim().parse().ok());
    let address = address.ok_or_else(|| NodeError::Unexpected(format!("no address in `{line}`")))?;
    Ok(Server::Alone(process, address))
}
