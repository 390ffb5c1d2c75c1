use bivouac::prelude::*;

#[tool]
async fn undescribed(_ctx: &Context, _args: u32) -> Result<(), Error> {
    Ok(())
}

type Done = Result<(), Error>;
mod alias {
    pub type NothingResult = Result<(), bivouac::Error>;
}

/// Does nothing.
#[tool]
async fn unnamed(_ctx: &Context, _args: u32) -> alias::NothingResult {
    Ok(())
}

/// Does nothing.
#[tool]
fn blocking(_ctx: &Context, _args: u32) -> Done {
    Ok(())
}

fn main() {}
