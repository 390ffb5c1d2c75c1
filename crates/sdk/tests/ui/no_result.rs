use bivouac::prelude::*;

#[bivouac::function]
async fn hello(_ctx: &Context, _input: ()) -> String {
    String::new()
}

#[bivouac::function]
async fn nothing(_ctx: &Context, _input: ()) {}

fn main() {}
