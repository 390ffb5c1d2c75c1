//! The exports of a WASM module (carrier `core/1`), behind the ones that `#[bivouac::module]` writes.
//!
//! All of the SDK's unsafe code is here: buffers cross the boundary as addresses. A buffer belongs to whoever holds its
//! address: the host from [`alloc`] until it calls [`drive`] or [`free`]. What [`configure`] and [`drive`] return stays
//! the guest's and is valid until the next call of either.
#![expect(unsafe_code, reason = "the carrier passes buffers by address")]

use crate::{guest::ModuleGuest, module::Module};
use bivouac_protocol::Guest as _;
use bytes::Bytes;
use std::cell::RefCell;

pub use bivouac_protocol::ABI_VERSION;

#[derive(Default)]
struct Instance {
    guest: Option<ModuleGuest>,
    /// The last answer, kept alive for the host to read.
    answer: Bytes,
}

thread_local! {
    // A module has one thread.
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Makes a buffer for the host to write into.
#[must_use]
pub fn alloc(len: usize) -> *mut u8 {
    Box::into_raw(vec![0; len].into_boxed_slice()).cast()
}

/// Takes back a buffer that was never driven.
///
/// # Safety
/// The buffer comes from [`alloc`] with this length and belongs to the caller.
pub unsafe fn free(buffer: *mut u8, len: usize) {
    // SAFETY: by this function's contract the address and length are those that `alloc` gave away, once.
    drop(unsafe { take(buffer, len) });
}

/// Takes the manifest from the author's function.
#[must_use]
pub fn configure(module: fn() -> Module) -> u64 {
    INSTANCE.with_borrow_mut(|instance| {
        let guest = instance.guest.get_or_insert_with(|| module().into_guest());
        instance.answer = guest.configure();
        packed(&instance.answer)
    })
}

/// Drives one turn.
///
/// # Safety
/// The buffer comes from [`alloc`] with this length and belongs to the caller, who gives it away.
#[must_use]
pub unsafe fn drive(buffer: *mut u8, len: usize, module: fn() -> Module) -> u64 {
    // SAFETY: by this function's contract the address and length are those that `alloc` gave away, once.
    let frame = unsafe { take(buffer, len) };
    INSTANCE.with_borrow_mut(|instance| {
        // The last answer's memory may serve this one.
        instance.answer = Bytes::new();
        let guest = instance.guest.get_or_insert_with(|| module().into_guest());
        instance.answer = guest.drive(&frame);
        packed(&instance.answer)
    })
}

/// # Safety
/// As for [`free`].
unsafe fn take(buffer: *mut u8, len: usize) -> Box<[u8]> {
    // SAFETY: `alloc` made the box and turned it into this address; the caller has the only copy of it.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(buffer, len)) }
}

/// An address and a length in one number: `address << 32 | length`.
fn packed(bytes: &Bytes) -> u64 {
    ((bytes.as_ptr() as u64) << 32) | bytes.len() as u64
}
