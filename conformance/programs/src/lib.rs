//! A guest for conformance tests: one workflow that interprets programs, and one that misbehaves on purpose.
//!
//! The same program is executed as a WASM module and in process, over the same outcomes; the turns must come out equal.
//! [`generate`] makes programs of random nestings from a number. Nothing here is an example of how to write components:
//! see `examples/` for those.
//!
//! Where to go next: [`Program`] for what can be said, [`hostile`] for what a host must survive.

mod generate;
pub mod hostile;
mod interpreter;

#[cfg(not(target_arch = "wasm32"))]
pub use generate::{generate, generate_asking};
pub use hostile::misbehave;
pub use interpreter::{Answer, Instruction, OPTIONS, Program, program};

use bivouac::prelude::*;

/// What the module offers and asks for.
#[bivouac::module]
pub fn configure() -> Module {
    Module::new()
        .component::<program>()
        .component::<misbehave>()
        .host("127.0.0.1:*")
        .host("localhost:*")
        .memory()
        .patch("patched-program")
}
