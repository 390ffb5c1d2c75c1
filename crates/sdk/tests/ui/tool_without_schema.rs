use bivouac::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Sum {
    numbers: Vec<i64>,
}

/// Adds numbers.
#[tool]
async fn add(_ctx: &Context, args: Sum) -> Result<i64, Error> {
    Ok(args.numbers.iter().sum())
}

fn main() {}
