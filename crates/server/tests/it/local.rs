//! A server in the test's own process, asked over a plain connection and looked into.

use bivouac_protocol::{Guest, manifest::Manifest};
use bivouac_server::{Config, Native, Server, metrics::Metrics};
use bivouac_testbed::{Api, artifacts};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long anything may take. Debug builds on a busy machine are slow.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// A server that ends with the test.
pub(crate) struct Local {
    server: Option<Server>,
    runtime: Runtime,
    api: Api,
    _data: TempDir,
}

impl Local {
    /// A server with native code.
    pub(crate) fn start(natives: Vec<Native>) -> Self {
        Self::with(natives, |_| {})
    }

    /// The same, with a last word on the configuration.
    pub(crate) fn with(natives: Vec<Native>, adjust: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = Config { listen, data: data.path().join("data"), dev: true, ..Config::default() };
        adjust(&mut config);
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(config, natives)).unwrap();
        let api = Api::new(server.address());
        Self { server: Some(server), runtime, api, _data: data }
    }

    /// Deploys the module of a package with these grants, such as `memory`.
    pub(crate) fn deploy(&self, package: &str, grants: &[&str]) {
        let module = std::fs::read(artifacts::module(package).unwrap()).unwrap();
        let grants: String = grants.iter().map(|grant| format!("&grant={grant}")).collect();
        let path = format!("/api/deployments?service={package}&immutable_ref=v1{grants}");
        let answer = self.api.post(&path, &[("content-type", "application/wasm")], &module).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// The API.
    pub(crate) const fn api(&self) -> &Api {
        &self.api
    }

    /// The server.
    pub(crate) const fn server(&self) -> &Server {
        self.server.as_ref().expect("the server is there until the test ends")
    }

    /// Where the server is executed.
    pub(crate) const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A counter.
    pub(crate) fn count(&self, counter: fn(&Metrics) -> &AtomicU64) -> u64 {
        counter(self.server().driver().metrics()).load(Relaxed)
    }

    /// Waits until a counter has this value.
    pub(crate) fn wait_for(&self, counter: fn(&Metrics) -> &AtomicU64, value: u64) {
        let deadline = Instant::now() + SOON;
        while self.count(counter) < value {
            assert!(Instant::now() < deadline, "the counter is {} and never {value}", self.count(counter));
            thread::yield_now();
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown()).unwrap();
        }
    }
}

/// A guest as native code that is granted what it asks for.
pub(crate) fn native<G: Guest + 'static>(service: &str, guest: fn() -> G) -> Native {
    let manifest: Manifest = serde_json::from_slice(&guest().configure()).unwrap();
    Native {
        service: service.to_owned(),
        version: "v1".to_owned(),
        factory: Arc::new(move || Box::new(guest())),
        grants: manifest.capabilities,
        memory: None,
    }
}
