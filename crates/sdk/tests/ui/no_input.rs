use bivouac::prelude::*;

#[bivouac::workflow]
async fn hello(_ctx: &Context) -> Result<(), Error> {
    Ok(())
}

fn main() {}
