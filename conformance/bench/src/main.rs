//! The measured components in one native program.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), bivouac::runtime::RuntimeError> {
    bivouac::runtime::serve(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), bench_guest::guest)
}
