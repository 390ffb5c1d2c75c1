//! The world beyond the machine: the target of effects. It remembers every arrival and outlives every crash.

use bivouac_protocol::{EffectKey, RunId, key::Digest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What arrived.
#[derive(Debug, Default)]
pub struct Outside {
    arrivals: BTreeMap<(RunId, EffectKey), Arrival>,
}

/// What arrived under one key.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The digest of what was sent.
    pub digest: Digest,
    /// How often.
    pub times: u64,
}

impl Outside {
    /// Takes an effect and says what came under its key before.
    pub fn arrive(&mut self, run: RunId, key: &EffectKey, digest: Digest) -> Option<Arrival> {
        let earlier = self.arrivals.get(&(run, key.clone())).copied();
        let entry = self.arrivals.entry((run, key.clone())).or_insert(Arrival { digest, times: 0 });
        entry.times += 1;
        earlier
    }
}

/// What the target replies: the same for the same request.
#[must_use]
pub fn reply(payload: u32) -> Value {
    json!({"reply": u64::from(payload) * 31 + 7})
}
