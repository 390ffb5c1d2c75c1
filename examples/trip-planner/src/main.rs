//! The same components in one native program: `cargo run -p trip-planner --features runtime`, then `bivouac run` against it.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), bivouac::runtime::RuntimeError> {
    bivouac::runtime::serve(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), trip_planner::guest)
}
