//! Memory writes: once per key, seen by nobody else before the commit.

use crate::help::{Owner, delivery, effect, fence, retryable, run_id, scope, turn, twice, write};
use bivouac_engine::{Effect, EffectKind, Input, MemoryWrite, Timestamp};
use bivouac_protocol::RunId;
use bytes::Bytes;

fn keyed_write(path: &str, key: &str) -> Effect {
    Effect { key: key.into(), ..effect(path, EffectKind::Write) }
}

fn values(writes: &[MemoryWrite]) -> Vec<&[u8]> {
    writes.iter().filter_map(|write| write.value.as_deref()).collect()
}

#[test]
fn the_run_itself_sees_its_uncommitted_write_and_another_does_not() {
    let mut owner = Owner::with_run(None);
    owner.turn_with(turn(1, vec![keyed_write("1", "0/a#1")]), None, vec![write("color", "\"red\"")]).unwrap();
    assert_eq!(owner.shard.uncommitted(run_id(), &scope(), "color"), Some(Some(Bytes::from_static(b"\"red\""))));
    assert_eq!(owner.shard.uncommitted(run_id(), &scope(), "size"), None);
    assert_eq!(owner.shard.uncommitted(RunId::new(1, 3, 1), &scope(), "color"), None);
    let scope = scope();
    let names: Vec<(&str, bool)> = owner.shard.uncommitted_names(run_id(), &scope, "co").collect();
    assert_eq!(names, [("color", true)]);
}

#[test]
fn the_last_write_of_a_name_is_the_one_that_is_seen() {
    let mut owner = Owner::with_run(None);
    let forgotten = MemoryWrite { value: None, ..write("color", "") };
    let writes = vec![write("color", "1"), forgotten];
    owner.turn_with(turn(1, vec![keyed_write("1", "0/a#1"), keyed_write("2", "0/b#1")]), None, writes).unwrap();
    assert_eq!(owner.shard.uncommitted(run_id(), &scope(), "color"), Some(None));
}

#[test]
fn writes_go_with_the_commit_of_their_turn_in_their_order() {
    let mut owner = Owner::with_run(None);
    let writes = vec![write("a", "1"), write("a", "2")];
    let effects = vec![keyed_write("1", "0/a#1"), effect("2", EffectKind::Keyed), keyed_write("3", "0/b#1")];
    owner.turn_with(turn(1, effects), None, writes).unwrap();
    let batch = owner.shard.batch().unwrap();
    assert_eq!(values(&batch.transitions[0].writes), [b"1", b"2"]);
    owner.commit();
    assert_eq!(owner.shard.uncommitted(run_id(), &scope(), "a"), None, "now the store knows it");
}

#[test]
fn a_write_happens_once_per_key_within_a_turn() {
    let mut owner = Owner::with_run(None);
    let effects = vec![keyed_write("1", "0/mine"), keyed_write("2", "0/mine"), keyed_write("3", "0/other")];
    owner.turn_with(turn(1, effects), None, vec![write("a", "1"), write("a", "2"), write("b", "3")]).unwrap();
    owner.turn(turn(2, vec![effect("4", EffectKind::Keyed)])).unwrap();
    assert_eq!(values(&owner.shard.batch().unwrap().transitions[0].writes), [b"1", b"3"]);
}

#[test]
fn a_write_happens_once_per_key_across_attempts() {
    let mut owner = Owner::with_run(twice());
    owner.turn_with(turn(1, vec![keyed_write("1", "0/a#1")]), None, vec![write("a", "1")]).unwrap();
    let failed = Input::Failed { fence: fence(owner.run()), error: retryable() };
    owner.handle(failed).unwrap();
    let backing_off = owner.run().clone();
    owner.commit();
    let later = Timestamp(u64::MAX / 2);
    owner.shard.restore(backing_off, later);
    owner.commit();
    let mut again = turn(2, vec![keyed_write("1", "0/a#1"), keyed_write("2", "0/c#1")]);
    again.now = later;
    owner.turn_with(again, None, vec![write("a", "1"), write("c", "3")]).unwrap();
    let mut last = turn(3, vec![effect("3", EffectKind::Keyed)]);
    last.now = later;
    last.delivered = vec![delivery("1", None)];
    owner.turn(last).unwrap();
    assert_eq!(values(&owner.shard.batch().unwrap().transitions[0].writes), [b"3"]);
}

#[test]
fn a_refused_turn_writes_nothing() {
    let mut owner = Owner::with_run(twice());
    let same_path = vec![keyed_write("1", "0/a#1"), keyed_write("1", "0/b#1")];
    owner.turn_with(turn(1, same_path), None, vec![write("a", "1"), write("b", "2")]).unwrap();
    assert!(owner.shard.batch().unwrap().transitions[0].writes.is_empty());
}
