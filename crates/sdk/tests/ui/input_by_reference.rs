use bivouac::prelude::*;

#[bivouac::function]
async fn hello(_ctx: &Context, _input: &str) -> Result<(), Error> {
    Ok(())
}

fn main() {}
