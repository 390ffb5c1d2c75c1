//! The same components in one native program, for a debugger: `cargo run --features runtime`.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), bivouac::runtime::RuntimeError> {
    bivouac::runtime::serve(
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        my_project::guest,
    )
}

/// A module is a library: there is nothing to start.
#[cfg(target_arch = "wasm32")]
fn main() {}
