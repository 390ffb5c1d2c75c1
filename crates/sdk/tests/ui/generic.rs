use bivouac::prelude::*;

#[bivouac::function]
async fn hello<T>(_ctx: &Context, _input: T) -> Result<(), Error> {
    Ok(())
}

fn main() {}
