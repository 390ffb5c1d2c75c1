//! Payloads on disk: golden bytes, and what happens to bytes that were changed.

use bivouac_store::envelope::{
    COMPRESS_FROM, EnvelopeError, KeyError, MasterKey, OPEN_OVERHEAD, SEALED_OVERHEAD, is_sealed, pack, unpack,
};
use proptest::prelude::*;
use std::{fs, os::unix::fs::PermissionsExt as _};

const CONTEXT: &[u8] = b"event of a run";
const SMALL: &[u8] = b"a small payload";
// Written by version 1, kept for ever.
const OPEN_V1: &str = "b100bde49817419a1e986120736d616c6c207061796c6f6164";
const COMPRESSED_V1: &str =
    "b101b375c9bbfdcb0a0ca8020000ff0261206c61726765207061796c6f61642e201100ffff80606c6f61642e20";
const SEALED_V1: &str = "b102515f5dc894ae853c79291f4897dd9176fa14a95c12a5ca4656b4450e1e004c7d7a4d39a43c8d587848508fbfcc9dfcbdab2506de033bdbc8770d97";
const SEALED_COMPRESSED_V1: &str = "b103515f5dc8e6e1519eea781cc23290039bbed96a7467feff6908d6c136803877456d89625ac835313d18ffd269660e5df989411be0f0ab28e1cef71757dce04a631763ca4cab5e324a3507687b673004";

fn key() -> MasterKey {
    MasterKey::from_bytes(*b"0123456789abcdef0123456789abcdef")
}

fn large() -> Vec<u8> {
    b"a large payload. ".repeat(40)
}

#[test]
fn what_version_1_wrote_is_read_for_ever() {
    let cases = [
        (OPEN_V1, SMALL.to_vec()),
        (COMPRESSED_V1, large()),
        (SEALED_V1, SMALL.to_vec()),
        (SEALED_COMPRESSED_V1, large()),
    ];
    for (golden, payload) in cases {
        let packed = hex::decode(golden).unwrap();
        assert_eq!(unpack(CONTEXT, &packed, Some(&key())).unwrap(), payload, "{golden}");
    }
    assert_eq!(hex::encode(pack(CONTEXT, SMALL, None).unwrap()), OPEN_V1);
    assert_eq!(hex::encode(key().id()), "515f5dc8");
}

#[test]
fn the_overhead_of_a_small_payload_is_at_most_twelve_bytes() {
    const { assert!(OPEN_OVERHEAD <= 12) };
    assert_eq!(pack(CONTEXT, SMALL, None).unwrap().len(), SMALL.len() + OPEN_OVERHEAD);
    assert_eq!(pack(CONTEXT, SMALL, Some(&key())).unwrap().len(), SMALL.len() + SEALED_OVERHEAD);
}

#[test]
fn only_what_shrinks_is_compressed() {
    let noise: Vec<u8> =
        (0..COMPRESS_FROM as u64 * 2).flat_map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_be_bytes()).collect();
    assert_eq!(pack(CONTEXT, &noise, None).unwrap().len(), noise.len() + OPEN_OVERHEAD);
    assert!(pack(CONTEXT, &large(), None).unwrap().len() < large().len() / 4);
}

#[test]
fn sealed_payloads_hide_what_they_hold_and_never_look_alike() {
    let (first, second) = (key().seal(CONTEXT, SMALL).unwrap(), key().seal(CONTEXT, SMALL).unwrap());
    assert_ne!(first, second);
    assert!(!first.windows(SMALL.len()).any(|window| window == SMALL));
    assert!(is_sealed(&first) && !is_sealed(&pack(CONTEXT, SMALL, None).unwrap()));
}

#[test]
fn the_wrong_key_is_named() {
    let sealed = key().seal(CONTEXT, SMALL).unwrap();
    let other = MasterKey::from_bytes([1; 32]);
    assert_eq!(unpack(CONTEXT, &sealed, None), Err(EnvelopeError::NoKey(key().id())));
    let expected = EnvelopeError::OtherKey { sealed: key().id(), have: other.id() };
    assert_eq!(other.open(CONTEXT, &sealed), Err(expected.clone()));
    assert!(expected.to_string().contains(&hex::encode(key().id())));
}

#[test]
fn a_key_opens_only_what_is_sealed() {
    let open = pack(CONTEXT, SMALL, None).unwrap();
    assert_eq!(key().open(CONTEXT, &open), Err(EnvelopeError::NotSealed));
    assert_eq!(unpack(CONTEXT, &open, Some(&key())).unwrap(), SMALL);
}

#[test]
fn bytes_of_a_newer_version_are_told_apart() {
    let mut packed = pack(CONTEXT, SMALL, None).unwrap();
    packed[0] = 0xB2;
    assert_eq!(unpack(CONTEXT, &packed, None), Err(EnvelopeError::Newer));
}

#[test]
fn a_lying_length_reserves_no_memory() {
    // A compressed payload that claims 200 MiB; its digest is right, since an attacker could compute it as well.
    let body = [&(200_u32 << 20).to_le_bytes()[..], &[0x10, b'x']].concat();
    let seed = xxhash_rust::xxh3::xxh3_64_with_seed(CONTEXT, u64::from(u16::from_le_bytes([0xB1, 1])));
    let digest = xxhash_rust::xxh3::xxh3_64_with_seed(&body, seed).to_le_bytes();
    let packed = [&[0xB1, 1][..], &digest, &body].concat();
    assert_eq!(unpack(CONTEXT, &packed, None), Err(EnvelopeError::TooLarge));
}

#[test]
fn a_master_key_is_made_once_and_only_its_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    let made = MasterKey::load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(MasterKey::load_or_create(&path).unwrap().id(), made.id());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(MasterKey::load_or_create(&path), Err(KeyError::Exposed(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in [&b"too short"[..], b"", &[0xFF; 32]] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(KeyError::Malformed)));
    }
}

#[test]
fn a_master_key_is_read_from_hex_and_every_base64() {
    let bytes = [0xFB; 32];
    let id = MasterKey::from_bytes(bytes).id();
    let texts = [
        hex::encode(bytes),
        hex::encode_upper(bytes),
        "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=".to_owned(),
        "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s".to_owned(),
        format!("  {}\n", hex::encode(bytes)),
    ];
    for text in texts {
        assert_eq!(text.parse::<MasterKey>().unwrap().id(), id, "{text}");
    }
    for wrong in ["", "abc", &hex::encode([1; 31]), &hex::encode([1; 33]), "????"] {
        assert!(wrong.parse::<MasterKey>().is_err(), "{wrong}");
    }
    assert!(!format!("{:?}", MasterKey::from_bytes(bytes)).contains("fbfb"));
}

proptest! {
    #[test]
    fn what_was_packed_is_unpacked(
        context in prop::collection::vec(any::<u8>(), 0..40),
        payload in prop::collection::vec(0..4_u8, 0..2_000),
        sealed: bool,
    ) {
        let key = sealed.then(key);
        let packed = pack(&context, &payload, key.as_ref()).unwrap();
        prop_assert_eq!(unpack(&context, &packed, key.as_ref()).unwrap(), payload);
    }

    #[test]
    fn any_flipped_bit_is_noticed(
        payload in prop::collection::vec(0..4_u8, 0..600),
        sealed: bool,
        at: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let key = sealed.then(key);
        let mut packed = pack(CONTEXT, &payload, key.as_ref()).unwrap();
        let at = at.index(packed.len());
        packed[at] ^= 1 << bit;
        prop_assert!(unpack(CONTEXT, &packed, key.as_ref()).is_err());
    }

    #[test]
    fn another_context_is_noticed(
        payload in prop::collection::vec(any::<u8>(), 0..600),
        sealed: bool,
        other in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        prop_assume!(other != CONTEXT);
        let key = sealed.then(key);
        let packed = pack(CONTEXT, &payload, key.as_ref()).unwrap();
        prop_assert!(unpack(&other, &packed, key.as_ref()).is_err());
    }

    #[test]
    fn cut_off_bytes_are_refused(
        payload in prop::collection::vec(0..4_u8, 0..600),
        sealed: bool,
        length: prop::sample::Index,
    ) {
        let key = sealed.then(key);
        let packed = pack(CONTEXT, &payload, key.as_ref()).unwrap();
        let length = length.index(packed.len());
        prop_assert!(unpack(CONTEXT, &packed[..length], key.as_ref()).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        flags in 0..8_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let packed = [&[0xB1, flags][..], &bytes].concat();
        drop(unpack(CONTEXT, &packed, Some(&key())));
        drop(unpack(CONTEXT, &bytes, Some(&key())));
    }
}
