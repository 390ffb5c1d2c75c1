//! What a module may be, checked before any of it is compiled.
//!
//! The engine would refuse most of the rest by itself; what stands here is what the guest contract adds to WebAssembly:
//! imports from one module only, one memory of the module's own, one mutable global (the stack pointer), a function
//! table that nothing changes, and limits on sizes. A start function is refused too: `_initialize` is the one way to
//! begin, so making an instance runs no code of the guest's.
//!
//! The scan does not validate: whatever passes it is validated by the compiler.

use crate::{
    config::{HostConfig, WASM_PAGE},
    error::ModuleError,
    wasi,
};
use bivouac_protocol::Code;
use wasmparser::{
    BinaryReaderError, Encoding, FunctionBody, GlobalType, MemoryType, Operator, Parser, Payload, TableType, TypeRef,
    ValType,
};

/// The most imports of a module; all of WASI has fewer than 50 functions.
const MAX_IMPORTS: u32 = 200;
/// The most exports of a module.
const MAX_EXPORTS: u32 = 1_000;
/// The most global variables of a module.
const MAX_GLOBALS: u32 = 1_000;
/// The most data segments of a module.
const MAX_DATA_SEGMENTS: u32 = 100_000;

/// Checks a module's bytes.
///
/// # Errors
/// The first rule that the module breaks.
pub(crate) fn scan(bytes: &[u8], config: &HostConfig) -> Result<(), ModuleError> {
    if bytes.len() > config.max_module_bytes {
        return Err(too_large("module's bytes", bytes.len() as u64, config.max_module_bytes as u64));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(ModuleError::new(
            Code::MODULE_INVALID,
            "this is not a WebAssembly module: it does not begin with `\\0asm`; upload the .wasm file that \
             `bivouac build` writes",
        ));
    }
    let mut seen = Seen::default();
    for payload in Parser::new(0).parse_all(bytes) {
        seen.payload(&payload.map_err(|error| malformed(&error))?, config)?;
    }
    seen.finish()
}

#[derive(Default)]
struct Seen {
    memories: u32,
    mutable_globals: u32,
}

impl Seen {
    fn payload(&mut self, payload: &Payload<'_>, config: &HostConfig) -> Result<(), ModuleError> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => Err(invalid(
                "this is a WebAssembly component, not a core module: build for wasm32-wasip1, as `bivouac build` does",
            )),
            Payload::ImportSection(section) => {
                limit("imports", section.count(), MAX_IMPORTS)?;
                for import in section.clone().into_imports() {
                    let import = import.map_err(|error| malformed(&error))?;
                    check_import(import.module, import.name, import.ty)?;
                }
                Ok(())
            }
            Payload::FunctionSection(section) => limit("functions", section.count(), config.max_functions),
            Payload::ExportSection(section) => limit("exports", section.count(), MAX_EXPORTS),
            Payload::DataSection(section) => limit("data segments", section.count(), MAX_DATA_SEGMENTS),
            Payload::TableSection(section) => {
                limit("tables", section.count(), 1)?;
                for table in section.clone() {
                    check_table(&table.map_err(|error| malformed(&error))?.ty, config)?;
                }
                Ok(())
            }
            Payload::MemorySection(section) => {
                self.memories += section.count();
                limit("memories", section.count(), 1)?;
                for memory in section.clone() {
                    check_memory(&memory.map_err(|error| malformed(&error))?, config)?;
                }
                Ok(())
            }
            Payload::GlobalSection(section) => {
                limit("global variables", section.count(), MAX_GLOBALS)?;
                for global in section.clone() {
                    self.check_global(&global.map_err(|error| malformed(&error))?.ty)?;
                }
                Ok(())
            }
            Payload::StartSection { .. } => Err(invalid(
                "the module has a start function, which would run before it could be limited: export `_initialize` \
                 instead, as `bivouac build` does",
            )),
            Payload::CodeSectionEntry(body) => check_function(body, config),
            Payload::TagSection(_) => Err(invalid("the module uses exceptions: build with panic = \"abort\"")),
            _ => Ok(()),
        }
    }

    fn check_global(&mut self, ty: &GlobalType) -> Result<(), ModuleError> {
        if ty.shared {
            return Err(invalid("the module has a shared global: threads are not supported, build without them"));
        }
        if ty.mutable {
            self.mutable_globals += 1;
            if ty.content_type != ValType::I32 {
                return Err(invalid(
                    "the module's mutable global is not an i32: the only one allowed is the stack pointer",
                ));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ModuleError> {
        if self.memories == 0 {
            return Err(invalid("the module has no memory of its own"));
        }
        if self.mutable_globals != 1 {
            return Err(invalid(format!(
                "the module has {} mutable globals instead of one, the stack pointer: a guest's state must lie in its \
                 memory, so build it with rustc for wasm32-wasip1 and without threads",
                self.mutable_globals
            )));
        }
        Ok(())
    }
}

fn check_import(module: &str, name: &str, ty: TypeRef) -> Result<(), ModuleError> {
    let refused = |why: &str| {
        Err(ModuleError::new(
            Code::MODULE_IMPORT_REFUSED,
            format!("the module imports `{}.{}`, {why}", shown(module), shown(name)),
        ))
    };
    match ty {
        _ if module != wasi::MODULE => refused(
            "but a guest is given functions of `wasi_snapshot_preview1` only: a dependency expects a browser or \
             another host; do without it or switch off the feature that needs it",
        ),
        TypeRef::Func(_) => Ok(()),
        TypeRef::Memory(_) => refused("a memory: it must have its own, so build it without threads"),
        TypeRef::Table(_) => refused("a table: it must have its own"),
        _ => refused("which is not a function"),
    }
}

fn check_table(ty: &TableType, config: &HostConfig) -> Result<(), ModuleError> {
    if ty.shared || ty.table64 {
        return Err(invalid("the module's table is shared or 64-bit: build for wasm32-wasip1"));
    }
    if ty.initial > u64::from(config.max_table_elements) {
        return Err(too_large("table's elements", ty.initial, u64::from(config.max_table_elements)));
    }
    Ok(())
}

fn check_memory(ty: &MemoryType, config: &HostConfig) -> Result<(), ModuleError> {
    if ty.shared {
        return Err(invalid("the module's memory is shared: threads are not supported, build without them"));
    }
    if ty.memory64 || ty.page_size_log2.is_some() {
        return Err(invalid("the module's memory is 64-bit or has pages of its own size: build for wasm32-wasip1"));
    }
    let bytes = ty.initial.saturating_mul(WASM_PAGE as u64);
    if bytes > config.max_memory_bytes as u64 {
        return Err(ModuleError::new(
            Code::MEMORY_LIMIT,
            format!(
                "the module starts with {bytes} bytes of memory, the limit is {}: make its statics smaller",
                config.max_memory_bytes
            ),
        ));
    }
    Ok(())
}

fn check_function(body: &FunctionBody<'_>, config: &HostConfig) -> Result<(), ModuleError> {
    let bytes = body.range().len();
    if bytes > config.max_function_bytes {
        return Err(too_large("largest function's bytes", bytes as u64, config.max_function_bytes as u64));
    }
    let mut operators = body.get_operators_reader().map_err(|error| malformed(&error))?;
    while !operators.eof() {
        let name = match operators.read().map_err(|error| malformed(&error))? {
            Operator::TableSet { .. } => "table.set",
            Operator::TableGrow { .. } => "table.grow",
            Operator::TableFill { .. } => "table.fill",
            Operator::TableCopy { .. } => "table.copy",
            Operator::TableInit { .. } => "table.init",
            Operator::ElemDrop { .. } => "elem.drop",
            _ => continue,
        };
        return Err(invalid(format!(
            "the module changes its function table (`{name}`): a guest's state must lie in its memory, so build it \
             with rustc for wasm32-wasip1 and without dynamic linking"
        )));
    }
    Ok(())
}

fn limit(what: &str, count: u32, limit: u32) -> Result<(), ModuleError> {
    if count > limit { Err(too_large(what, u64::from(count), u64::from(limit))) } else { Ok(()) }
}

fn too_large(what: &str, is: u64, limit: u64) -> ModuleError {
    ModuleError::new(
        Code::MODULE_TOO_LARGE,
        format!(
            "too large: the {what} are {is}, the limit is {limit}; build with the release profile, stripped, and \
                 leave out what is not needed"
        ),
    )
}

fn invalid(message: impl Into<String>) -> ModuleError {
    ModuleError::new(Code::MODULE_INVALID, message)
}

fn malformed(error: &BinaryReaderError) -> ModuleError {
    invalid(format!("the module is damaged: {error}; build and upload it again"))
}

/// A name from a module, made fit for a message.
pub(crate) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    if name.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}
