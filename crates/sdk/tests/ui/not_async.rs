use bivouac::prelude::*;

#[bivouac::function]
fn hello(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

fn main() {}
