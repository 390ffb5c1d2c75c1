//! What Bivouac's parts say to each other: ids, guest frames, the module's manifest, journal records, error codes.
//!
//! Everything here is data and its encoding. Nothing here does I/O, reads a clock or knows an HTTP server; the crate
//! builds for `wasm32-wasip1`, because a guest speaks the same frames as its host.
//!
//! Where to go next: [`frame`] for one turn of a guest, [`manifest`] for what a module offers and asks for,
//! [`journal`] (feature `journal`) for what a host writes down, [`error`] for the codes a user can meet.

pub mod error;
pub mod frame;
pub mod guest;
pub mod id;
#[cfg(feature = "journal")]
pub mod journal;
pub mod json;
pub mod key;
pub mod manifest;

pub use error::{Code, ErrorInfo};
pub use guest::Guest;
pub use id::{DeploymentId, RunId};
pub use json::Json;
pub use key::{EffectKey, Path, StepKey};

/// The revision of the guest contract that this crate speaks.
pub const ABI_VERSION: u32 = 1;
