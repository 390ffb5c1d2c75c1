use bivouac::prelude::*;

struct Greeter;

impl Greeter {
    #[bivouac::function]
    async fn hello(&self, _ctx: &Context, _input: ()) -> Result<(), Error> {
        Ok(())
    }
}

fn main() {}
