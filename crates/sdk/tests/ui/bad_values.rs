use bivouac::prelude::*;

#[bivouac::function(name = "two words")]
async fn spaced(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

#[bivouac::function(retries(max_attempts = 0))]
async fn never(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

#[bivouac::function(retries(backoff = "random"))]
async fn random(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

#[bivouac::function(name = "a", name = "b")]
async fn twice(_ctx: &Context, _input: ()) -> Result<(), Error> {
    Ok(())
}

fn main() {}
