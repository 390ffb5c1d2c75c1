//! Hosts guest modules: from the bytes that somebody uploaded to turns of a running instance.
//!
//! A [`Host`] scans, compiles and remembers modules; a [`Module`] knows its manifest and makes instances; an
//! [`Instance`] is driven, one frame in and one frame out. Every guest is taken to be hostile: it gets no file, socket,
//! environment or clock of the host's, its memory, stack, time and log are limited, and whatever it does ends in an
//! error of its own while the host goes on.
//!
//! This crate never does I/O for a guest, never looks into a frame beyond its envelope, and shows no type of the WASM
//! engine beneath it. Source of the rules: the guest contract, "Carrier `core/1`".
//!
//! Where to go next: [`HostConfig`] for the limits, `scan` for what a module may be, `wasi` for what it can call,
//! `instance` for a turn, `pool` for where instances live, `cache` for what is kept on disk.
//!
//! # Examples
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (bytes, frame) = (Vec::new(), bivouac_protocol::frame::InFrame::new(1, 0).encode());
//! use bivouac_wasm_host::{Host, HostConfig};
//!
//! let host = Host::new(HostConfig::default())?;
//! let module = host.load(&bytes)?;
//! let mut instance = module.instantiate([7; 32], 1_700_000_000_000)?;
//! let out = instance.drive(&frame, 1_700_000_000_000)?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod compiled;
mod config;
mod error;
mod guest_log;
mod host;
mod instance;
pub mod manifest;
mod module;
mod pool;
mod scan;
mod ticker;
mod wasi;

pub use config::HostConfig;
pub use error::{DriveError, HostError, InstanceError, ModuleError};
pub use host::Host;
pub use instance::Instance;
pub use module::Module;
