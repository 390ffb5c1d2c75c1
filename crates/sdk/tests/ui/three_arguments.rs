use bivouac::prelude::*;

#[bivouac::function]
async fn hello(_ctx: &Context, _a: u32, _b: u32) -> Result<(), Error> {
    Ok(())
}

fn main() {}
