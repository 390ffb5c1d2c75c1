use bivouac::prelude::*;

#[skill(id = "greet", name = "Greet", description = "Greets.")]
fn greet() {}

fn main() {}
