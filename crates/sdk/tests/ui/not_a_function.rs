#[bivouac::workflow]
struct Hello;

fn main() {}
