//! A key-value server of its own for each test, started from the Debian package `etcd-server`.

use bivouac_testbed::process::Process;
use std::{net::TcpListener, process::Command, time::Duration};
use tempfile::TempDir;

/// A server that is there as long as this is.
pub(crate) struct Etcd {
    pub(crate) url: String,
    _process: Process,
    _folder: TempDir,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [client, peer] = free_ports().map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        let mut process = Process::spawn(&mut command).unwrap_or_else(|error| {
            panic!("etcd cannot be started ({error}): run `cargo xtask setup`, which installs the package etcd-server")
        });
        process.wait_for_line("ready to serve client requests", Duration::from_secs(30)).unwrap();
        Self { url: client, _process: process, _folder: folder }
    }
}

/// Two ports that nobody has at the moment.
fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.each_ref().map(|socket| socket.local_addr().unwrap().port())
}
