use bivouac::prelude::*;

#[bivouac::function(nam = "hello")]
async fn hello(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

#[bivouac::function(retries(max = 3))]
async fn again(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

fn main() {}
