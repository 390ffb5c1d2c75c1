//! Servers for the tests, and the travel service that `trip-planner` looks things up in.

use bivouac_conformance_a2a::{Agent, Binding, Host, Scenario, Served};
use bivouac_testbed::{Api, Process, Travel, artifacts, process::free_address};
use serde_json::json;
use std::{net::SocketAddr, path::Path, process::Command, time::Duration};
use tempfile::TempDir;

/// The package, and its agent.
pub(crate) const TRIP: &str = "trip-planner";

const ADMIN: &str = "bvk_conformance1_0123456789abcdef0123456789abcdef";
const START_WITHIN: Duration = Duration::from_secs(60);

/// What outlives a server: its data, and the service that its agent asks.
pub(crate) struct World {
    host: Host,
    data: TempDir,
    pub(crate) travel: Travel,
}

impl World {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, data: tempfile::tempdir().unwrap(), travel: Travel::start().unwrap() }
    }

    /// The same service, and another host with data of its own.
    pub(crate) fn elsewhere(self, host: Host) -> Self {
        Self { host, data: tempfile::tempdir().unwrap(), travel: self.travel }
    }

    /// Starts a server on the data, for the first time or again.
    pub(crate) fn start(&self) -> Served {
        Served::start(self.host, TRIP, &self.data.path().join("data")).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn scenario(&self, served: &Served, binding: Binding) -> Scenario {
        let scenario = Scenario::trip(&served.url(), &self.travel.origin(), binding);
        Scenario { live: self.host.is_live(), ..scenario }
    }
}

/// A server that wants keys.
pub(crate) struct Server {
    api: Api,
    _process: Process,
}

impl Server {
    /// Starts one on a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let address = free_address().unwrap();
        let mut command = Command::new(artifacts::bivouac_bin().unwrap_or_else(|error| panic!("{error}")));
        command.arg("serve").current_dir(folder).env("BIVOUAC_DATA", folder.join("data"));
        command.env("BIVOUAC_LISTEN", address.to_string()).env("BIVOUAC_ADMIN_KEY", ADMIN);
        command.env_remove("BIVOUAC_KEY").env_remove("BIVOUAC_SERVER").env("RUST_LOG", "warn");
        let mut process = Process::spawn(&mut command).unwrap();
        process.wait_ready(address, START_WITHIN).unwrap_or_else(|error| panic!("{error}"));
        Self { api: Api::new(address), _process: process }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// A key of a user's in an environment.
    pub(crate) fn key(&self, environment: &str, user: &str) -> String {
        let wish =
            json!({"name": user, "user": user, "environment": environment, "scopes": ["run", "read", "workflow"]});
        let headers = [("x-api-key", ADMIN), ("content-type", "application/json")];
        let answer = self.api.post("/api/keys", &headers, wish.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["key"].as_str().unwrap().to_owned()
    }

    /// Deploys a package's module into an environment, with everything granted that it asks for.
    pub(crate) fn deploy(&self, package: &str, environment: &str) {
        let module = artifacts::module(package).unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(artifacts::bivouac_bin().unwrap_or_else(|error| panic!("{error}")));
        command.arg("deploy").arg(module).args(["--service", package, "--immutable-ref", "v1", "--grant-all"]);
        command.args(["--env", environment, "--key", ADMIN]).arg("--server").arg(format!("http://{}", self.address()));
        let mut deploy = Process::spawn(&mut command).unwrap();
        let status = deploy.wait(START_WITHIN).unwrap_or_else(|error| panic!("{error}"));
        assert!(status.success(), "{}", deploy.output());
    }

    /// An agent of an environment: `default` is public, others have a path of their own.
    pub(crate) fn agent(&self, base: &str, binding: Binding) -> Agent {
        Agent::new(self.address(), base, binding)
    }
}
