//! A module that passed: its manifest, and everything that is looked up once so that instances are cheap.

use crate::{
    error::{DriveError, InstanceError, ModuleError},
    instance::Instance,
    manifest,
    pool::{Pool, thread_number},
    scan::shown,
    wasi::{self, State},
};
use bivouac_protocol::{ABI_VERSION, Code, manifest::Manifest};
use bytes::Bytes;
use std::sync::Arc;
use wasmtime::{ExternType, FuncType, InstancePre, ModuleExport, ValType};

/// The functions that a guest exports, with their parameters and results. `memory` comes on top.
const FUNCTIONS: &[(&str, &[ValType], &[ValType])] = &[
    ("_initialize", &[], &[]),
    ("bivouac_abi", &[], &[ValType::I32]),
    ("bivouac_alloc", &[ValType::I32], &[ValType::I32]),
    ("bivouac_free", &[ValType::I32, ValType::I32], &[]),
    ("bivouac_configure", &[], &[ValType::I64]),
    ("bivouac_drive", &[ValType::I32, ValType::I32], &[ValType::I64]),
];

/// A module that can be run. Cheap to clone.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

struct Inner {
    /// One for each of the host's pools, in their order.
    prepared: Vec<Prepared>,
    manifest: Manifest,
    manifest_bytes: Bytes,
    digest: [u8; 32],
}

/// What an instance is made from.
pub(crate) struct Prepared {
    pub(crate) pool: Arc<Pool>,
    pub(crate) template: InstancePre<State>,
    pub(crate) exports: Exports,
}

/// Where a module's exports are, so that no instance looks for a name.
pub(crate) struct Exports {
    pub(crate) memory: ModuleExport,
    pub(crate) initialize: ModuleExport,
    pub(crate) abi: ModuleExport,
    pub(crate) alloc: ModuleExport,
    pub(crate) configure: ModuleExport,
    pub(crate) drive: ModuleExport,
    /// The stack pointer, where the module exports it.
    pub(crate) stack_pointer: Option<ModuleExport>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("digest", &hex::encode(self.0.digest)).finish_non_exhaustive()
    }
}

impl Module {
    /// Takes the module's compiled form of each pool.
    pub(crate) fn new(
        compiled: impl IntoIterator<Item = (Arc<Pool>, wasmtime::Module)>,
        digest: [u8; 32],
    ) -> Result<Self, ModuleError> {
        let prepared = compiled
            .into_iter()
            .map(|(pool, compiled)| Prepared::new(pool, &compiled))
            .collect::<Result<Vec<_>, _>>()?;
        let manifest_bytes = ask_for_manifest(&prepared)?;
        let manifest = manifest::read(&manifest_bytes)?;
        Ok(Self(Arc::new(Inner { prepared, manifest, manifest_bytes, digest })))
    }

    /// What the module offers and asks for.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The manifest as the module gave it.
    #[must_use]
    pub fn manifest_bytes(&self) -> &Bytes {
        &self.0.manifest_bytes
    }

    /// The SHA-256 of the module's bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// Makes a fresh instance. `nonce` is what its `random_get` derives from: the same for the same generation and
    /// attempt of a run, so that a replay sees the same. `now_ms` is the time of the first turn.
    ///
    /// # Errors
    /// [`InstanceError::PoolExhausted`] where the host's limit of live instances is reached, and others.
    pub fn instantiate(&self, nonce: [u8; 32], now_ms: u64) -> Result<Instance, InstanceError> {
        instantiate(&self.0.prepared, nonce, now_ms)
    }
}

/// Makes an instance in this thread's pool, or where that is used up, in another.
fn instantiate(prepared: &[Prepared], nonce: [u8; 32], now_ms: u64) -> Result<Instance, InstanceError> {
    let mut limit = 0;
    let own = thread_number() % prepared.len();
    for pool in prepared[own..].iter().chain(&prepared[..own]) {
        match Instance::new(pool, nonce, now_ms) {
            Err(InstanceError::PoolExhausted { limit: of_all }) => limit = of_all,
            made => return made,
        }
    }
    Err(InstanceError::PoolExhausted { limit })
}

impl Prepared {
    fn new(pool: Arc<Pool>, compiled: &wasmtime::Module) -> Result<Self, ModuleError> {
        let exports = Exports::find(compiled)?;
        let template = wasi::linker(&pool.engine, compiled)
            .and_then(|linker| linker.instantiate_pre(compiled))
            .map_err(|error| ModuleError::new(Code::MODULE_IMPORT_REFUSED, import_refused(&error)))?;
        Ok(Self { pool, template, exports })
    }
}

impl Exports {
    fn find(compiled: &wasmtime::Module) -> Result<Self, ModuleError> {
        let mut faults = Vec::new();
        if !matches!(compiled.get_export("memory"), Some(ExternType::Memory(_))) {
            faults.push("a memory `memory`".to_owned());
        }
        for (name, params, results) in FUNCTIONS {
            let ty = FuncType::new(compiled.engine(), params.iter().cloned(), results.iter().cloned());
            let fits = matches!(compiled.get_export(name), Some(ExternType::Func(found)) if FuncType::eq(&found, &ty));
            if !fits {
                faults.push(format!("a function `{name}` of type {}", signature(params, results)));
            }
        }
        let find = |name: &str| compiled.get_export_index(name);
        match (
            find("memory"),
            find("_initialize"),
            find("bivouac_abi"),
            find("bivouac_alloc"),
            find("bivouac_configure"),
            find("bivouac_drive"),
        ) {
            (Some(memory), Some(initialize), Some(abi), Some(alloc), Some(configure), Some(drive))
                if faults.is_empty() =>
            {
                let stack_pointer = match compiled.get_export("__stack_pointer") {
                    Some(ExternType::Global(_)) => find("__stack_pointer"),
                    _ => None,
                };
                Ok(Self { memory, initialize, abi, alloc, configure, drive, stack_pointer })
            }
            _ => Err(ModuleError::new(
                Code::MODULE_EXPORT_MISSING,
                format!(
                    "the module does not export {}: build the library as a cdylib with `bivouac build`, and register \
                     the components with the SDK",
                    faults.join(", nor ")
                ),
            )),
        }
    }
}

/// Asks a fresh instance for its manifest, within the limits of a drive.
fn ask_for_manifest(prepared: &[Prepared]) -> Result<Bytes, ModuleError> {
    let mut instance = instantiate(prepared, [0; 32], 0).map_err(|error| match error {
        InstanceError::PoolExhausted { .. } => ModuleError::for_now(
            Code::OVERLOADED,
            format!("{error}, so the module cannot be asked for its manifest: try again in a moment"),
        ),
        InstanceError::Guest(error) => while_configuring(error),
        InstanceError::Machine(cause) => {
            ModuleError::new(Code::MODULE_INVALID, format!("no instance of the module can be made: {cause}"))
        }
    })?;
    let abi = instance.abi().map_err(while_configuring)?;
    if abi != ABI_VERSION {
        return Err(ModuleError::new(
            Code::ABI_UNSUPPORTED,
            format!(
                "the module speaks revision {abi} of the guest contract, this host speaks {ABI_VERSION}: build it with \
                 an SDK of the server's release"
            ),
        ));
    }
    instance.configure().map_err(while_configuring)
}

fn while_configuring(error: DriveError) -> ModuleError {
    let message = format!("while the module was asked for its manifest: {}", error.info.message);
    if error.may_be_load {
        ModuleError::for_now(error.info.code, message)
    } else {
        ModuleError::new(error.info.code, message)
    }
}

fn import_refused(error: &wasmtime::Error) -> String {
    format!("the module imports a function that is not as WASI has it: {}", shown_long(&format!("{error:#}")))
}

fn shown_long(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("; ")
}

fn signature(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(params), list(results))
}
