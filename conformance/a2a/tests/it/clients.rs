//! The official clients, unmodified, play the scenario against every host and over both transports.
//!
//! A test for each pair, so that they run side by side and a failure names who failed with whom.

use crate::{
    checks::{self, Client, Seen},
    rust_client,
    support::World,
};
use bivouac_conformance_a2a::{Binding, Host, Scenario};
use bivouac_testbed::clients;

/// Plays the scenario with a client.
pub(crate) fn play(client: Client, scenario: &Scenario) -> Result<Seen, String> {
    match client {
        Client::JavaScript => {
            let installed = clients::javascript().map_err(|error| error.to_string())?;
            checks::run(client, installed.script("conversation.mjs"), scenario)
        }
        Client::Python => {
            let installed = clients::python().map_err(|error| error.to_string())?;
            checks::run(client, installed.script("conversation.py"), scenario)
        }
        Client::Rust => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let lines = runtime.block_on(rust_client::converse(scenario)).map_err(|error| format!("{error:#}"))?;
            checks::judge(client, scenario.live, &lines)
        }
    }
}

#[test]
fn javascript_talks_to_the_module() {
    everything(Client::JavaScript, Host::Module);
}

#[test]
fn python_talks_to_the_module() {
    everything(Client::Python, Host::Module);
}

#[test]
fn rust_talks_to_the_module() {
    everything(Client::Rust, Host::Module);
}

#[test]
fn javascript_talks_to_native_code() {
    everything(Client::JavaScript, Host::Native);
}

#[test]
fn python_talks_to_native_code() {
    everything(Client::Python, Host::Native);
}

#[test]
fn rust_talks_to_native_code() {
    everything(Client::Rust, Host::Native);
}

#[test]
fn javascript_talks_to_an_agent_without_the_platform() {
    everything(Client::JavaScript, Host::Standalone);
}

#[test]
fn python_talks_to_an_agent_without_the_platform() {
    everything(Client::Python, Host::Standalone);
}

#[test]
fn rust_talks_to_an_agent_without_the_platform() {
    everything(Client::Rust, Host::Standalone);
}

/// The whole scenario over both transports; a client sees the same over both.
fn everything(client: Client, host: Host) {
    let world = World::new(host);
    let served = world.start();
    let seen = Binding::ALL.map(|binding| {
        let scenario = world.scenario(&served, binding);
        play(client, &scenario).unwrap_or_else(|why| panic!("over {}: {why}", binding.name()))
    });
    for check in ["stream: input required", "stream: answered"] {
        assert_eq!(seen[0][check], seen[1][check], "{check}, over both transports");
    }
}

#[test]
fn every_client_sees_the_same_events() {
    let world = World::new(Host::Module);
    let served = world.start();
    let scenario = world.scenario(&served, Binding::JsonRpc);
    let seen = Client::ALL.map(|client| play(client, &scenario).unwrap_or_else(|why| panic!("{why}")));
    for check in ["stream: input required", "stream: answered"] {
        assert!(seen.iter().all(|one| one[check] == seen[0][check]), "{check}: {seen:#?}");
    }
}
