//! A guest in WebAssembly text, whose parts a test replaces one by one.

use bivouac_protocol::frame::{OutFrame, Status};
use bivouac_wasm_host::{Host, HostConfig};
use std::time::Duration;

/// Where the guest's manifest and frame lie in its memory.
const MANIFEST_AT: usize = 1024;
const FRAME_AT: usize = 8192;

/// A guest that answers every frame with the same one.
pub(crate) struct Guest {
    pub(crate) imports: &'static str,
    pub(crate) memory: &'static str,
    pub(crate) globals: &'static str,
    pub(crate) manifest: Vec<u8>,
    pub(crate) frame: Vec<u8>,
    pub(crate) initialize: &'static str,
    pub(crate) abi: &'static str,
    pub(crate) alloc: &'static str,
    pub(crate) free: &'static str,
    /// The body of `bivouac_configure`; the manifest where it is empty.
    pub(crate) configure: &'static str,
    /// What `bivouac_drive` does before it answers with the frame.
    pub(crate) before: &'static str,
    /// What `bivouac_drive` answers; the frame where it is empty.
    pub(crate) answer: &'static str,
    pub(crate) extra: &'static str,
}

pub(crate) const MANIFEST: &str = r#"{"abi":1,"sdk":"by-hand/1","components":[{"type":"function","name":"hello"}]}"#;

impl Default for Guest {
    fn default() -> Self {
        Self {
            imports: "",
            memory: r#"(memory (export "memory") 2)"#,
            globals: "(global $stack_pointer (mut i32) (i32.const 1024))",
            manifest: MANIFEST.into(),
            frame: OutFrame::new(Status::Running).encode().to_vec(),
            initialize: r#"(func (export "_initialize"))"#,
            abi: r#"(func (export "bivouac_abi") (result i32) (i32.const 1))"#,
            alloc: r#"(func (export "bivouac_alloc") (param i32) (result i32) (i32.const 65536))"#,
            free: r#"(func (export "bivouac_free") (param i32 i32))"#,
            configure: "",
            before: "",
            answer: "",
            extra: "",
        }
    }
}

impl Guest {
    pub(crate) fn wat(&self) -> String {
        let Self { imports, memory, globals, initialize, abi, alloc, free, before, extra, .. } = self;
        let packed = |at: usize, bytes: &[u8]| format!("(i64.const {})", (at << 32) | bytes.len());
        let or = |text: &str, default: String| if text.is_empty() { default } else { text.to_owned() };
        let configure = or(self.configure, packed(MANIFEST_AT, &self.manifest));
        let answer = or(self.answer, packed(FRAME_AT, &self.frame));
        let data = if memory.is_empty() {
            String::new()
        } else {
            format!(
                "(data (i32.const {MANIFEST_AT}) \"{}\") (data (i32.const {FRAME_AT}) \"{}\")",
                escaped(&self.manifest),
                escaped(&self.frame)
            )
        };
        format!(
            "(module {imports} {memory} {globals} {data} {initialize} {abi} {alloc} {free}
               (func (export \"bivouac_configure\") (result i64) {configure})
               (func (export \"bivouac_drive\") (param $pointer i32) (param $length i32) (result i64) {before} {answer})
               {extra})"
        )
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let wat = self.wat();
        wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"))
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A host with small limits, so that running into them is quick.
pub(crate) fn small_host() -> Host {
    Host::new(small()).unwrap()
}

pub(crate) fn small() -> HostConfig {
    HostConfig {
        max_instances: 4,
        max_memory_bytes: 2 << 20,
        max_module_bytes: 64 << 10,
        drive_time: Duration::from_millis(100),
        max_out_frame_bytes: 64 << 10,
        max_in_frame_bytes: 64 << 10,
        max_log_bytes: 1 << 10,
        ..HostConfig::default()
    }
}
