use bivouac::prelude::*;

struct Opaque;

#[bivouac::function]
async fn hello(_ctx: &Context, _input: Opaque) -> Result<(), Error> {
    Ok(())
}

fn main() {}
