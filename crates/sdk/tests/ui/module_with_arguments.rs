use bivouac::prelude::*;

#[bivouac::module]
pub fn configure(_name: String) -> Module {
    Module::new()
}

#[bivouac::module]
pub async fn waits() -> Module {
    Module::new()
}

fn main() {}
