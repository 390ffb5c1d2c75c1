//! What an operator can set. Every option exists as a flag, as `BIVOUAC_...` and in `bivouac-server.toml`.

use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// The server's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:7420`.
    pub listen: SocketAddr,
    /// The data directory. Default `.bivouac`.
    pub data: PathBuf,
    /// Development: no key needed from loopback, loopback granted to every deployment.
    pub dev: bool,
    /// Whether commits reach the disk. Off, everything is lost at exit; for measurements.
    pub durable: bool,
    /// Whether payloads are encrypted on disk with the master key. Secrets and seeds always are.
    pub encrypt_payloads: bool,
    /// Private addresses that granted hosts may lead to, as networks (`10.1.0.0/16`) or addresses.
    pub allow_addresses: Vec<String>,
    /// The most slices that execute at once.
    pub max_slices: usize,
    /// The most runs that wait in the queue before new ones are refused with 429.
    pub max_queue: usize,
    /// Executor threads; 0 means one per core.
    pub executors: usize,
    /// The most memory of one guest, in bytes.
    pub guest_memory: usize,
    /// The most CPU time of one turn, in milliseconds.
    pub turn_cpu_ms: u64,
    /// The largest module, in bytes.
    pub max_module: usize,
    /// The largest request body besides modules, in bytes.
    pub max_body: usize,
    /// The largest response body of an `http` effect, in bytes.
    pub max_response: usize,
    /// How long `run` waits for the end before it answers 202, in milliseconds.
    pub run_wait_ms: u64,
    /// How long a shutdown waits for requests in flight, in milliseconds.
    pub shutdown_ms: u64,
    /// The environment whose agents are found without a key. Default `default`.
    pub public_environment: String,
    /// Whether the cards of that environment's agents need no key.
    pub public_cards: bool,
    /// Where the server is reached from outside, such as `https://agents.example.com`: what cards name. Without it they
    /// name the address that it listens on, in development the one that was asked.
    pub public_origin: Option<String>,
    /// The agent whose card lies at the root, where there are several.
    pub default_agent: Option<String>,
    /// How logs are written: `text` or `json`.
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7420)),
            data: PathBuf::from(".bivouac"),
            dev: false,
            durable: true,
            encrypt_payloads: false,
            allow_addresses: Vec::new(),
            max_slices: 512,
            max_queue: 8_192,
            executors: 0,
            guest_memory: 64 << 20,
            turn_cpu_ms: 1_000,
            max_module: 16 << 20,
            max_body: 4 << 20,
            max_response: 4 << 20,
            run_wait_ms: 30_000,
            shutdown_ms: 10_000,
            public_environment: "default".to_owned(),
            public_cards: true,
            public_origin: None,
            default_agent: None,
            log_format: LogFormat::Text,
        }
    }
}
