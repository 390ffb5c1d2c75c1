//! How payloads lie on disk: one small header, then the payload, plain or compressed, open or sealed.
//!
//! [`pack`] and [`unpack`] are used for events, states, memory values, secrets and seeds alike. Whatever was packed
//! under one context is refused under another, so that a row cannot be taken for its neighbour. A flipped bit is always
//! noticed; bytes from disk never panic. What version 1 wrote is read for ever: there are golden bytes.
//!
//! It chooses no context and keeps no key: see [`MasterKey`] for the key, the store's tables for the contexts.
//!
//! | bytes | open | sealed |
//! |---|---|---|
//! | 1 | `0xB1`: magic and version 1 | the same |
//! | 1 | flags: 1 compressed, 2 sealed | the same |
//! | open 8 | XXH3-64 of the body, seeded with header and context | - |
//! | sealed 4 + 24 | - | key id, nonce |
//! | rest | body | body, encrypted, and its tag of 16 bytes |
//!
//! A compressed body is its length before compression (4 bytes, little end first) and an LZ4 block.

mod key;

pub use key::{KeyError, MasterKey};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Payloads from this size on are compressed, where that makes them smaller; in bytes.
pub const COMPRESS_FROM: usize = 256;
/// The largest payload, in bytes.
pub const MAX_PAYLOAD: usize = 256 << 20;
/// What the header of an open payload adds, in bytes.
pub const OPEN_OVERHEAD: usize = HEADER + DIGEST;
/// What header, nonce and tag of a sealed payload add, in bytes.
pub const SEALED_OVERHEAD: usize = HEADER + KEY_ID + NONCE + TAG;

const MAGIC_V1: u8 = 0xB1;
const COMPRESSED: u8 = 1;
const SEALED: u8 = 2;
const HEADER: usize = 2;
const DIGEST: usize = 8;
const KEY_ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
const LENGTH: usize = 4;
/// The most that an LZ4 block can grow, so that a lying length does not reserve memory.
const MAX_RATIO: usize = 256;

/// Bytes that cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not an envelope, or cut off.
    #[error("the payload has no valid header")]
    Header,
    /// Written by a newer build.
    #[error("the payload was written by a newer build: start that one")]
    Newer,
    /// Changed since it was written, or written for another place.
    #[error("the payload is not what was written here")]
    Digest,
    /// Sealed, and there is no key.
    #[error("the payload is sealed with key {}: start with the master key that it was written with", hex::encode(.0))]
    NoKey([u8; 4]),
    /// Sealed with another key.
    #[error(
        "the payload is sealed with key {}, not with this one ({}): start with the master key that it was written with",
        hex::encode(.sealed),
        hex::encode(.have)
    )]
    OtherKey {
        /// The id of the key that sealed it.
        sealed: [u8; 4],
        /// The id of the key at hand.
        have: [u8; 4],
    },
    /// Open, where only sealed bytes are taken.
    #[error("the payload is not sealed")]
    NotSealed,
    /// More than a payload may have.
    #[error("the payload is larger than {MAX_PAYLOAD} bytes")]
    TooLarge,
    /// The system's source of randomness failed.
    #[error("no random bytes could be had from the system")]
    NoRandomness,
}

/// Packs a payload for a place on disk; sealed, where there is a key.
///
/// # Errors
/// [`EnvelopeError::TooLarge`], and [`EnvelopeError::NoRandomness`] where a nonce cannot be had.
///
/// # Examples
/// ```
/// use bivouac_store::envelope::{pack, unpack};
/// let packed = pack(b"event 7", b"payload", None).unwrap();
/// assert_eq!(unpack(b"event 7", &packed, None).unwrap(), b"payload");
/// assert!(unpack(b"event 8", &packed, None).is_err());
/// ```
pub fn pack(context: &[u8], payload: &[u8], key: Option<&MasterKey>) -> Result<Vec<u8>, EnvelopeError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(EnvelopeError::TooLarge);
    }
    let compressed = compress(payload);
    let (flag, body) = compressed.as_deref().map_or((0, payload), |body| (COMPRESSED, body));
    let Some(key) = key else {
        let header = [MAGIC_V1, flag];
        let mut packed = Vec::with_capacity(OPEN_OVERHEAD + body.len());
        packed.extend_from_slice(&header);
        packed.extend_from_slice(&digest(header, context, body));
        packed.extend_from_slice(body);
        return Ok(packed);
    };
    let mut packed = Vec::with_capacity(SEALED_OVERHEAD + body.len());
    packed.extend_from_slice(&[MAGIC_V1, flag | SEALED]);
    packed.extend_from_slice(&key.id());
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| EnvelopeError::NoRandomness)?;
    let sealed = key.encrypt(&nonce, &bound(&packed, context), body).ok_or(EnvelopeError::TooLarge)?;
    packed.extend_from_slice(&nonce);
    packed.extend_from_slice(&sealed);
    Ok(packed)
}

/// Unpacks what [`pack`] packed under the same context.
///
/// # Errors
/// [`EnvelopeError`] where the bytes are not what was packed, or the key is not the one that sealed them.
pub fn unpack(context: &[u8], packed: &[u8], key: Option<&MasterKey>) -> Result<Vec<u8>, EnvelopeError> {
    let (&[magic, flags], rest) = packed.split_first_chunk::<HEADER>().ok_or(EnvelopeError::Header)?;
    match magic {
        MAGIC_V1 if flags & !(COMPRESSED | SEALED) == 0 => {}
        MAGIC_V1 => return Err(EnvelopeError::Header),
        0xB2..=0xBF => return Err(EnvelopeError::Newer),
        _ => return Err(EnvelopeError::Header),
    }
    if flags & SEALED != 0 {
        let body = unseal(context, packed, rest, key)?;
        return if flags & COMPRESSED != 0 { decompress(&body) } else { Ok(body) };
    }
    let (stored, body) = rest.split_first_chunk::<DIGEST>().ok_or(EnvelopeError::Header)?;
    if *stored != digest([magic, flags], context, body) {
        return Err(EnvelopeError::Digest);
    }
    if flags & COMPRESSED != 0 { decompress(body) } else { Ok(body.to_vec()) }
}

/// Whether packed bytes are sealed; `false` for what is no envelope.
#[must_use]
pub fn is_sealed(packed: &[u8]) -> bool {
    matches!(packed, [MAGIC_V1, flags, ..] if flags & SEALED != 0)
}

fn unseal(context: &[u8], packed: &[u8], rest: &[u8], key: Option<&MasterKey>) -> Result<Vec<u8>, EnvelopeError> {
    let (id, rest) = rest.split_first_chunk::<KEY_ID>().ok_or(EnvelopeError::Header)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(EnvelopeError::Header)?;
    let key = key.ok_or(EnvelopeError::NoKey(*id))?;
    if key.id() != *id {
        return Err(EnvelopeError::OtherKey { sealed: *id, have: key.id() });
    }
    let header = packed.get(..HEADER + KEY_ID).ok_or(EnvelopeError::Header)?;
    key.decrypt(nonce, &bound(header, context), body).ok_or(EnvelopeError::Digest)
}

/// What the seal covers besides the body.
fn bound(header: &[u8], context: &[u8]) -> Vec<u8> {
    [header, context].concat()
}

fn digest(header: [u8; HEADER], context: &[u8], body: &[u8]) -> [u8; DIGEST] {
    let seed = xxh3_64_with_seed(context, u64::from(u16::from_le_bytes(header)));
    xxh3_64_with_seed(body, seed).to_le_bytes()
}

/// The compressed body, where it is smaller than the payload.
fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < COMPRESS_FROM {
        return None;
    }
    let length = u32::try_from(payload.len()).ok()?;
    let mut body = vec![0; LENGTH + lz4_flex::block::get_maximum_output_size(payload.len())];
    let written = lz4_flex::block::compress_into(payload, &mut body[LENGTH..]).ok()?;
    body.truncate(LENGTH + written);
    body[..LENGTH].copy_from_slice(&length.to_le_bytes());
    (body.len() < payload.len()).then_some(body)
}

fn decompress(body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let (length, block) = body.split_first_chunk::<LENGTH>().ok_or(EnvelopeError::Digest)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| EnvelopeError::TooLarge)?;
    if length > MAX_PAYLOAD || length > block.len().saturating_mul(MAX_RATIO) {
        return Err(EnvelopeError::TooLarge);
    }
    let payload = lz4_flex::block::decompress(block, length).map_err(|_| EnvelopeError::Digest)?;
    if payload.len() == length { Ok(payload) } else { Err(EnvelopeError::Digest) }
}
