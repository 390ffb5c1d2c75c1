//! One guest at work: a frame in, a frame out, and an end at the first thing that goes wrong.
//!
//! An instance that trapped, overran a limit or lied about a length is poisoned: its memory can be in any state, so it
//! answers every later drive with the same error. Between two drives its stack is empty. Where the module exports its
//! stack pointer (`__stack_pointer`), that is checked after every drive; where it does not, nothing outside the
//! instance depends on it, since an instance is never restored from its memory.

use crate::{
    config::HostConfig,
    error::{DriveError, InstanceError},
    guest_log::GuestLog,
    module::Prepared,
    pool::Pool,
    wasi::{self, Exit, State},
};
use bivouac_protocol::{Code, ErrorInfo};
use bytes::Bytes;
use std::sync::Arc;
use wasmtime::{Global, Memory, ModuleExport, PoolConcurrencyLimitError, Store, Trap, TypedFunc, Val};

/// A live guest.
pub struct Instance {
    store: Store<State>,
    instance: wasmtime::Instance,
    pool: Arc<Pool>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    drive: TypedFunc<(u32, u32), u64>,
    configure: ModuleExport,
    abi: ModuleExport,
    stack_pointer: Option<(Global, i32)>,
    poison: Option<ErrorInfo>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("poison", &self.poison).finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) fn new(prepared: &Prepared, nonce: [u8; 32], now_ms: u64) -> Result<Self, InstanceError> {
        let Prepared { pool, template, exports } = prepared;
        let HostConfig { max_memory_bytes, max_log_bytes, max_instances, .. } = pool.config;
        let mut store = Store::new(&pool.engine, State::new(nonce, now_ms, max_memory_bytes, max_log_bytes));
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(pool.config.drive_ticks());
        let instance = template.instantiate(&mut store).map_err(|error| {
            if error.is::<PoolConcurrencyLimitError>() {
                InstanceError::PoolExhausted { limit: max_instances }
            } else {
                InstanceError::Machine(format!("{error:#}"))
            }
        })?;
        let memory = instance
            .get_module_export(&mut store, &exports.memory)
            .and_then(wasmtime::Extern::into_memory)
            .ok_or_else(|| InstanceError::Machine("the export `memory` is gone".to_owned()))?;
        store.data_mut().memory = Some(memory);
        let initialize = function::<(), ()>(&instance, &mut store, &exports.initialize)?;
        let alloc = function(&instance, &mut store, &exports.alloc)?;
        let drive = function(&instance, &mut store, &exports.drive)?;
        let stack_pointer = exports.stack_pointer.as_ref().and_then(|export| {
            let global = instance.get_module_export(&mut store, export)?.into_global()?;
            let initial = global.get(&mut store).i32()?;
            Some((global, initial))
        });
        if let Err(error) = initialize.call(&mut store, ()) {
            return Err(InstanceError::Guest(explain(&error, store.data(), &pool.config)));
        }
        Ok(Self {
            store,
            instance,
            pool: Arc::clone(pool),
            memory,
            alloc,
            drive,
            configure: exports.configure,
            abi: exports.abi,
            stack_pointer,
            poison: None,
        })
    }

    /// One turn: gives the guest a frame at the time `now_ms` and takes its answer. The guest's clock never goes back,
    /// whatever `now_ms` says.
    ///
    /// # Errors
    /// [`DriveError`]. But for a frame that is too large to be given, the instance is poisoned with it.
    pub fn drive(&mut self, frame: &[u8], now_ms: u64) -> Result<Bytes, DriveError> {
        let limit = self.pool.config.max_in_frame_bytes;
        let length = match u32::try_from(frame.len()) {
            Ok(length) if frame.len() <= limit => length,
            _ => {
                return Err(DriveError::terminal(
                    Code::FRAME_TOO_LARGE,
                    format!(
                        "the turn's frame has {} bytes, the limit is {limit}: keep inputs, step values and replies \
                             smaller, or store them elsewhere and pass a reference",
                        frame.len()
                    ),
                ));
            }
        };
        self.begin(now_ms)?;
        let driven = self.turn(frame, length);
        driven.map_err(|error| self.poisoned(error))
    }

    /// The lines that the guest wrote since the last call, for the log.
    pub fn take_log(&mut self) -> Vec<String> {
        self.store.data_mut().log.take()
    }

    pub(crate) fn abi(&mut self) -> Result<u32, DriveError> {
        self.begin(0)?;
        let abi = self.abi;
        let called = function::<(), u32>(&self.instance, &mut self.store, &abi)
            .map_err(|error| DriveError::terminal(Code::INTERNAL, error.to_string()))
            .and_then(|function| self.called(|store| function.call(store, ())));
        called.map_err(|error| self.poisoned(error))
    }

    /// The manifest's bytes.
    pub(crate) fn configure(&mut self) -> Result<Bytes, DriveError> {
        self.begin(0)?;
        let configure = self.configure;
        let limit = self.pool.config.max_manifest_bytes;
        let called = function::<(), u64>(&self.instance, &mut self.store, &configure)
            .map_err(|error| DriveError::terminal(Code::INTERNAL, error.to_string()))
            .and_then(|function| self.called(|store| function.call(store, ())))
            .and_then(|packed| self.take("manifest", Code::MANIFEST_INVALID, packed, limit));
        called.map_err(|error| self.poisoned(error))
    }

    /// Prepares a call: refuses a poisoned instance, sets the clock and the time limit.
    fn begin(&mut self, now_ms: u64) -> Result<(), DriveError> {
        if let Some(poison) = &self.poison {
            return Err(DriveError::new(
                poison.code.clone(),
                format!("this instance ended with an earlier error and cannot be driven again: {}", poison.message),
            ));
        }
        let state = self.store.data_mut();
        state.now_ms = state.now_ms.max(now_ms);
        state.limits.refused = None;
        self.store.set_epoch_deadline(self.pool.config.drive_ticks());
        Ok(())
    }

    fn turn(&mut self, frame: &[u8], length: u32) -> Result<Bytes, DriveError> {
        let alloc = self.alloc.clone();
        let pointer = self.called(|store| alloc.call(store, length))?;
        let memory = self.memory.data_mut(&mut self.store);
        let Some(range) = wasi::range(memory, pointer, length).filter(|_| pointer != 0) else {
            return Err(DriveError::terminal(
                Code::FRAME_INVALID,
                format!(
                    "the guest offers address {pointer:#x} for a frame of {length} bytes, which is not in its {} bytes \
                     of memory: its `bivouac_alloc` is broken; build it with the SDK",
                    memory.len()
                ),
            ));
        };
        memory[range].copy_from_slice(frame);
        let drive = self.drive.clone();
        let packed = self.called(|store| drive.call(store, (pointer, length)))?;
        let out = self.take("answer", Code::FRAME_INVALID, packed, self.pool.config.max_out_frame_bytes)?;
        check_envelope(&out)?;
        self.check_stack_pointer()?;
        Ok(out)
    }

    fn called<R>(&mut self, call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>) -> Result<R, DriveError> {
        call(&mut self.store).map_err(|error| explain(&error, self.store.data(), &self.pool.config))
    }

    /// Copies out what a guest's `pointer << 32 | length` names.
    fn take(&self, what: &str, broken: Code, packed: u64, limit: usize) -> Result<Bytes, DriveError> {
        let (pointer, length) = unpack(packed);
        if length as usize > limit {
            return Err(DriveError::terminal(
                Code::FRAME_TOO_LARGE,
                format!("the guest's {what} has {length} bytes, the limit is {limit}: return and record less at once"),
            ));
        }
        let memory = self.memory.data(&self.store);
        match wasi::range(memory, pointer, length) {
            Some(range) => Ok(Bytes::copy_from_slice(&memory[range])),
            None => Err(DriveError::terminal(
                broken,
                format!(
                    "the guest says that its {what} is {length} bytes at {pointer:#x}, which is not in its {} bytes of \
                     memory: build it with the SDK",
                    memory.len()
                ),
            )),
        }
    }

    fn check_stack_pointer(&mut self) -> Result<(), DriveError> {
        let Some((global, initial)) = self.stack_pointer else { return Ok(()) };
        match global.get(&mut self.store) {
            Val::I32(now) if now == initial => Ok(()),
            now => Err(DriveError::terminal(
                Code::FRAME_INVALID,
                format!(
                    "the guest's stack is not empty after its turn: its stack pointer is {now:?} instead of {initial}; \
                     build it with the SDK"
                ),
            )),
        }
    }

    fn poisoned(&mut self, error: DriveError) -> DriveError {
        self.poison = Some(error.info.clone());
        error
    }
}

/// A function whose type was checked when the module was loaded.
fn function<Params, Results>(
    instance: &wasmtime::Instance,
    store: &mut Store<State>,
    export: &ModuleExport,
) -> Result<TypedFunc<Params, Results>, InstanceError>
where
    Params: wasmtime::WasmParams,
    Results: wasmtime::WasmResults,
{
    instance
        .get_module_export(&mut *store, export)
        .and_then(wasmtime::Extern::into_func)
        .and_then(|function| function.typed(&*store).ok())
        .ok_or_else(|| InstanceError::Machine("an export changed its type".to_owned()))
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit number")]
const fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

/// A frame begins with its header's length, which must fit. The rest is its reader's to check.
fn check_envelope(frame: &[u8]) -> Result<(), DriveError> {
    let header = frame.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest));
    match header {
        Some((length, rest)) if length <= rest.len() => Ok(()),
        _ => Err(DriveError::terminal(
            Code::FRAME_INVALID,
            format!("the guest's answer of {} bytes is not a frame: build it with the SDK", frame.len()),
        )),
    }
}

/// Says what ended a call.
fn explain(error: &wasmtime::Error, state: &State, config: &HostConfig) -> DriveError {
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return DriveError::new(Code::GUEST_TRAPPED, exit.to_string());
    }
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::Interrupt) => DriveError {
            may_be_load: true,
            ..DriveError::new(
                Code::CPU_LIMIT,
                format!(
                    "the guest computed for longer than {} ms in one turn: split the work into steps, or give it to a \
                     service",
                    config.drive_time.as_millis()
                ),
            )
        },
        Some(Trap::StackOverflow) => stack_overflow(),
        _ if below_the_stack(error) => stack_overflow(),
        // An allocator that was refused memory aborts, which is an `unreachable`.
        Some(Trap::UnreachableCodeReached) => match state.limits.refused {
            Some(bytes) => DriveError::new(
                Code::MEMORY_LIMIT,
                format!(
                    "the guest asked for {bytes} bytes of memory and ended when it was refused, the limit is {}: keep \
                     less at once, or pass references",
                    config.max_memory_bytes
                ),
            ),
            None => DriveError::new(Code::GUEST_TRAPPED, trapped(trap, &state.log)),
        },
        _ => DriveError::new(Code::GUEST_TRAPPED, trapped(trap, &state.log)),
    }
}

fn stack_overflow() -> DriveError {
    DriveError::new(
        Code::STACK_OVERFLOW,
        "the guest's stack overflowed: look for endless recursion, and box large values",
    )
}

/// The guest's own stack grows down to address 0; what runs over it comes out at the upper end of the address space.
fn below_the_stack(error: &wasmtime::Error) -> bool {
    const FAULT: &str = "wasm address 0x";
    const LOWEST: u64 = 0xff00_0000;
    let text = error.to_string();
    let address = text.find(FAULT).map(|at| {
        let digits = &text[at + FAULT.len()..];
        digits.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default()
    });
    address.and_then(|digits| u64::from_str_radix(digits, 16).ok()).is_some_and(|address| address >= LOWEST)
}

fn trapped(trap: Option<&Trap>, log: &GuestLog) -> String {
    let reason = trap.map_or_else(|| "unknown".to_owned(), ToString::to_string);
    match (log.panic_text(), trap) {
        // A panic ends in an `unreachable`, which says nothing.
        (Some(text), Some(Trap::UnreachableCodeReached)) => text,
        (Some(text), _) => format!("{reason}; the guest's last words: {text}"),
        (None, _) => format!("the guest trapped: {reason}"),
    }
}
