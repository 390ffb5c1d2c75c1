use bivouac::prelude::*;

#[bivouac::module]
pub fn configure_agent() -> Result<AgentDefinition, Error> {
    Err(Error::new("no agent"))
}

fn main() {}
