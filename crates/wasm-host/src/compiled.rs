//! The one unsafe step of this crate: taking bytes for compiled code.

use wasmtime::{Engine, Module};

/// Makes a module from code that this process compiled, or that its cache gave out.
///
/// # Errors
/// The engine's, where it finds that the code is of another release or other settings.
#[expect(unsafe_code, reason = "compiled code can only be taken on trust")]
pub(crate) fn module(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: `code` must be what a compatible engine compiled, unaltered. It comes from one of two places. Either
    // `Host::load` compiled it a moment ago and holds it in memory; or the cache read it from a directory that belongs
    // to this process's user and that nobody else can write to (`cache::private`), under the key of an engine of the same
    // release, settings and processor, and found the SHA-256 that was written with it. The caller owns the bytes, so
    // they do not change after the check.
    unsafe { Module::deserialize(engine, code) }
}
