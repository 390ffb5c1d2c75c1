use bivouac::prelude::*;

#[bivouac::function]
async fn hello(ctx: &Context, _input: ()) -> Result<(), Error> {
    let shared = std::rc::Rc::new(1);
    ctx.sleep(Duration::from_secs(1)).await?;
    drop(shared);
    Ok(())
}

fn main() {}
