//! The two functions of every guest, wherever it executes.

use bytes::Bytes;

/// A component's code as a pure machine: a frame of results in, a frame of effects out.
///
/// A WASM module exports the same two functions; a native program implements this trait through the SDK. A guest
/// performs no I/O: between two calls its stack is empty and its memory is its state.
pub trait Guest: Send {
    /// The module's manifest, encoded as JSON (see [`crate::manifest::Manifest`]).
    fn configure(&self) -> Bytes;

    /// One turn: takes an encoded [`crate::frame::InFrame`], gives an encoded [`crate::frame::OutFrame`].
    fn drive(&mut self, frame: &[u8]) -> Bytes;
}
