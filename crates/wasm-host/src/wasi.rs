//! What a guest can call: the few functions of `wasi_snapshot_preview1` that a pure machine needs, and ENOSYS.
//!
//! Time is the turn's, chance comes from the run's nonce, output is the log. There is no file, no environment, no
//! socket and no argument. Every function does a bounded amount of work, since the time limit cannot interrupt it, and
//! a pointer outside the guest's memory is an error code, never a fault of the host.

use crate::guest_log::GuestLog;
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use wasmtime::{Caller, Engine, ExternType, Linker, Memory, ResourceLimiter, Val, ValType};

/// The only module that a guest may import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// The most bytes that one call of `random_get` gives.
const MAX_RANDOM_BYTES: u32 = 1 << 20;
/// The most buffers that one call of `fd_write` takes, as on POSIX.
const MAX_BUFFERS: u32 = 1024;
/// The nanoseconds of a millisecond.
const NANOS: u64 = 1_000_000;

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

const OK: i32 = 0;
const EBADF: i32 = 8;
const EFAULT: i32 = 21;
const EINVAL: i32 = 28;
const ENOSYS: i32 = 52;

/// What an instance's calls can see and change.
pub(crate) struct State {
    /// The guest's memory; there from the moment the instance is.
    pub(crate) memory: Option<Memory>,
    /// The time of the turn; it never decreases.
    pub(crate) now_ms: u64,
    pub(crate) log: GuestLog,
    pub(crate) limits: Limits,
    random: Random,
}

impl State {
    pub(crate) fn new(nonce: [u8; 32], now_ms: u64, max_memory: usize, max_log: usize) -> Self {
        Self {
            memory: None,
            now_ms,
            log: GuestLog::new(max_log),
            limits: Limits { max_memory, refused: None },
            random: Random { nonce, block: 0 },
        }
    }
}

/// Bounds an instance's growth and remembers a refusal, so that the trap that follows can be told from another.
pub(crate) struct Limits {
    max_memory: usize,
    /// How many bytes were asked for and refused in this drive.
    pub(crate) refused: Option<usize>,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.max_memory.min(maximum.unwrap_or(usize::MAX));
        if !allowed {
            self.refused = Some(desired);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // Only at the start: the scan refuses `table.grow`, and the pool bounds the initial size.
        Ok(true)
    }
}

/// Bytes from a nonce: SHA-256 over the nonce and a counter.
struct Random {
    nonce: [u8; 32],
    block: u64,
}

impl Random {
    fn fill(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(32) {
            let block = Sha256::new().chain_update(self.nonce).chain_update(self.block.to_le_bytes()).finalize();
            self.block += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// Ends a guest that called `proc_exit`.
#[derive(Debug, thiserror::Error)]
#[error("the guest ended itself with exit code {0}, which a component must not do: return an error instead")]
pub(crate) struct Exit(pub(crate) i32);

/// A guest's memory together with its state.
fn split<'a>(caller: &'a mut Caller<'_, State>) -> (&'a mut [u8], &'a mut State) {
    match caller.data().memory {
        Some(memory) => memory.data_and_store_mut(caller),
        // No code of a guest's runs before its memory is known: start functions are refused.
        None => (&mut [], caller.data_mut()),
    }
}

/// Where a guest's range lies, if it lies in its memory.
pub(crate) fn range(memory: &[u8], pointer: u32, length: u32) -> Option<Range<usize>> {
    let start = pointer as usize;
    let end = start.checked_add(length as usize)?;
    (end <= memory.len()).then_some(start..end)
}

fn put(memory: &mut [u8], pointer: u32, bytes: &[u8]) -> i32 {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match range(memory, pointer, length) {
        Some(range) => {
            memory[range].copy_from_slice(bytes);
            OK
        }
        None => EFAULT,
    }
}

fn put_two_zeros(memory: &mut [u8], first: u32, second: u32) -> i32 {
    match put(memory, first, &[0; 4]) {
        OK => put(memory, second, &[0; 4]),
        error => error,
    }
}

fn random_get(mut caller: Caller<'_, State>, pointer: u32, length: u32) -> i32 {
    if length > MAX_RANDOM_BYTES {
        return EINVAL;
    }
    let (memory, state) = split(&mut caller);
    let Some(range) = range(memory, pointer, length) else { return EFAULT };
    state.random.fill(&mut memory[range]);
    OK
}

fn fd_write(mut caller: Caller<'_, State>, fd: i32, buffers: u32, count: u32, written: u32) -> i32 {
    if fd != STDOUT && fd != STDERR {
        return EBADF;
    }
    if count > MAX_BUFFERS {
        return EINVAL;
    }
    let (memory, state) = split(&mut caller);
    let Some(buffers) = range(memory, buffers, count * 8) else { return EFAULT };
    let mut total = 0_u32;
    for at in buffers.step_by(8) {
        let word = |at: usize| u32::from_le_bytes([memory[at], memory[at + 1], memory[at + 2], memory[at + 3]]);
        let (pointer, length) = (word(at), word(at + 4));
        let Some(range) = range(memory, pointer, length) else { return EFAULT };
        let Some(sum) = total.checked_add(length) else { return EINVAL };
        total = sum;
        state.log.write(&memory[range]);
    }
    put(memory, written, &total.to_le_bytes())
}

/// Everything that the module may import, by name and type.
///
/// # Errors
/// An import of another module, of something that is no function, or of a function that has not its type.
pub(crate) fn linker(engine: &Engine, module: &wasmtime::Module) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Caller<'_, State>, _clock: i32, _precision: i64, at: u32| {
            let (memory, state) = split(&mut caller);
            put(memory, at, &state.now_ms.saturating_mul(NANOS).to_le_bytes())
        },
    )?;
    linker.func_wrap(MODULE, "clock_res_get", |mut caller: Caller<'_, State>, _clock: i32, at: u32| {
        put(split(&mut caller).0, at, &NANOS.to_le_bytes())
    })?;
    linker.func_wrap(MODULE, "random_get", random_get)?;
    linker.func_wrap(MODULE, "fd_write", fd_write)?;
    for sizes in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(MODULE, sizes, |mut caller: Caller<'_, State>, count: u32, bytes: u32| {
            put_two_zeros(split(&mut caller).0, count, bytes)
        })?;
    }
    for list in ["environ_get", "args_get"] {
        linker.func_wrap(MODULE, list, |_: u32, _: u32| OK)?;
    }
    // wasi-libc asks for the directories that it was given until it hears EBADF.
    linker.func_wrap(MODULE, "fd_prestat_get", |_: u32, _: u32| EBADF)?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> wasmtime::Result<()> { Err(Exit(code).into()) })?;
    let known: Vec<String> = linker
        .iter(&mut wasmtime::Store::new(engine, State::new([0; 32], 0, 0, 0)))
        .map(|(_, name, _)| name.to_owned())
        .collect();
    for import in module.imports() {
        let answers_errno =
            |ty: &wasmtime::FuncType| ty.results().len() == 1 && ty.results().all(|ty| matches!(ty, ValType::I32));
        match import.ty() {
            _ if known.iter().any(|name| name == import.name()) => {}
            ExternType::Func(ty) if import.module() == MODULE && answers_errno(&ty) => {
                linker.func_new(MODULE, import.name(), ty, |_, _, results| {
                    results[0] = Val::I32(ENOSYS);
                    Ok(())
                })?;
            }
            // Instantiation names what is missing.
            _ => {}
        }
    }
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_nonce_gives_the_same_bytes_and_another_gives_others() {
        let bytes = |nonce| {
            let mut bytes = [0; 100];
            Random { nonce, block: 0 }.fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes([1; 32]), bytes([1; 32]));
        assert_ne!(bytes([1; 32]), bytes([2; 32]));
    }

    #[test]
    fn a_range_is_found_only_within_the_memory() {
        let memory = [0; 10];
        assert_eq!(range(&memory, 4, 6), Some(4..10));
        assert_eq!(range(&memory, 10, 0), Some(10..10));
        assert_eq!(range(&memory, 4, 7), None);
        assert_eq!(range(&memory, u32::MAX, u32::MAX), None);
    }
}
