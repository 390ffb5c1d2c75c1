//! Clock and chance: the same in every replay, because both come with the frames.
//!
//! Time is the turn's. Chance is ChaCha20 (RFC 8439) keyed with the run's secret seed; the 96-bit nonce is the first 12
//! bytes of SHA-256 over the generation (4 bytes, little-endian) and the scope's key, so each scope has a stream of its
//! own and every attempt of a run draws the same numbers. Nothing here asks the operating system, so a module needs no
//! imports for it. Source: the guest contract, "Carrier".

use crate::context::Context;
use crate::exec::{core::Core, scope::Scope};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bivouac_protocol::Code;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Numbers drawn by chance from the scope in which [`Context::random`] was called, equal in every attempt.
///
/// It is a `rand_core` generator, so `rand`'s distributions work with it.
pub struct Random {
    core: Arc<Core>,
    scope: Arc<Scope>,
}

impl Context {
    /// The time of the turn; it never goes backwards within a run, and is the same in every replay.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.now_ms())
    }

    /// The time of the turn, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.core().state().now_ms
    }

    /// Chance: unpredictable from outside, equal in every attempt of the run.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # fn example(ctx: &Context) {
    /// let die = ctx.random().below(6) + 1;
    /// let share = ctx.random().unit();
    /// # }
    /// ```
    #[must_use]
    pub fn random(&self) -> Random {
        Random { core: self.core_arc(), scope: Arc::clone(&self.core().state().current) }
    }

    /// A random UUID (version 4), equal in every attempt of the run.
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut bytes = [0; 16];
        self.random().fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex = format!("{:032x}", u128::from_be_bytes(bytes));
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

impl Random {
    /// A number of 64 random bits.
    #[must_use]
    pub fn number(&mut self) -> u64 {
        self.draw(RngCore::next_u64)
    }

    /// A number from 0 up to but without `end`, each equally likely; 0 where `end` is.
    #[must_use]
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 {
            return 0;
        }
        // The part of the range that would favour small numbers is drawn again.
        let limit = u64::MAX - u64::MAX % end;
        loop {
            let number = self.number();
            if number < limit {
                return number % end;
            }
        }
    }

    /// A number from 0 up to but without 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Fills bytes by chance.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.draw(|stream| stream.fill_bytes(bytes));
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        self.scope.with_random(|key| stream(&self.core, key), draw)
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        self.draw(RngCore::next_u32)
    }

    fn next_u64(&mut self) -> u64 {
        self.number()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.fill(bytes);
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

/// The stream of a scope.
fn stream(core: &Core, scope_key: &str) -> ChaCha20Rng {
    let seed = seed(&core.start.seed).unwrap_or_else(|| {
        core.fail(Code::FRAME_INVALID, "the host gave the attempt no seed of 32 bytes, so it has no random numbers");
        [0; 32]
    });
    keyed_stream(seed, core.start.generation, scope_key)
}

fn seed(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn keyed_stream(seed: [u8; 32], generation: u32, scope_key: &str) -> ChaCha20Rng {
    let hash = Sha256::new().chain_update(generation.to_le_bytes()).chain_update(scope_key).finalize();
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&hash[..12]);
    nonced_stream(seed, nonce)
}

/// The key stream of RFC 8439, from block 0.
///
/// The generator has a 64-bit block counter and a 64-bit stream where the RFC has 32 and 96 bits, in the same places: the
/// nonce's first word is the counter's upper half. A position counts words, 16 to a block.
fn nonced_stream(seed: [u8; 32], nonce: [u8; 12]) -> ChaCha20Rng {
    let word = |at: usize| u32::from_le_bytes([nonce[at], nonce[at + 1], nonce[at + 2], nonce[at + 3]]);
    let mut stream = ChaCha20Rng::from_seed(seed);
    stream.set_stream((u64::from(word(8)) << 32) | u64::from(word(4)));
    stream.set_word_pos(u128::from(word(0)) << (32 + 4));
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_and_generation_has_its_own_stream() {
        let draw = |generation, scope| keyed_stream([7; 32], generation, scope).next_u64();
        assert_eq!(draw(0, "a"), draw(0, "a"));
        assert_ne!(draw(0, "a"), draw(0, "b"));
        assert_ne!(draw(0, "a"), draw(1, "a"));
    }

    #[test]
    fn a_stream_is_that_of_rfc_8439() {
        // Section 2.3.2: block 1.
        let key = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mut stream = nonced_stream(key, [0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0]);
        let mut blocks = [0; 128];
        stream.fill_bytes(&mut blocks);
        assert_eq!(blocks[64..72], [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15]);
    }

    #[test]
    fn a_number_below_an_end_is_below_it() {
        let core = Core::new(start(), 1, 0);
        let mut random = Context::new(core).random();
        assert!((1..200).all(|end| random.below(end) < end));
        assert_eq!(random.below(0), 0);
        assert!((0..100).all(|_| (0.0..1.0).contains(&random.unit())));
    }

    fn start() -> bivouac_protocol::frame::Start {
        let start = r#"{"run_id":"run_00000000000000000000000000","generation":0,"attempt":1,"input":null,
            "component":{"type":"function","name":"f"},"auth":{"app":"a","user":"u"},
            "seed":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}"#;
        serde_json::from_str(start).unwrap()
    }
}
