//! The one unsafe step of this crate: taking bytes for compiled code.

use wasmtime::{Engine, Module};

/// Makes a module from code that this host's cache gave out.
///
/// # Errors
/// The engine's, where it finds that the code is of another release or other settings.
#[expect(unsafe_code, reason = "compiled code can only be taken on trust")]
pub(super) fn module(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: `code` must be what `Module::serialize` of a compatible engine gave. The cache calls this only with bytes
    // from a directory that belongs to this process's user and that nobody else can write to (`cache::private`), that
    // carry the key of an engine of the same release, settings and processor, and whose SHA-256 is the one written with
    // them; the caller holds them in its own memory, so they cannot change after the check.
    unsafe { Module::deserialize(engine, code) }
}
