use bivouac::prelude::*;

struct Plain;

/// Says what it is, does nothing.
#[skill]
struct Idle;

pub fn configure_agent() -> AgentDefinition {
    AgentDefinition::builder("a").skill(Plain).skill(Idle).build()
}

fn main() {}
