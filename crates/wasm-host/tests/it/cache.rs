//! What is kept on disk, and what is done about an entry that cannot be trusted.

use crate::guest::{Guest, small};
use bivouac_wasm_host::{Host, HostConfig, HostError};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

fn host(dir: &Path) -> Host {
    Host::new(HostConfig { cache_dir: Some(dir.to_owned()), ..small() }).unwrap()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_compiled_module_is_kept_and_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("modules");
    let wasm = Guest::default().wasm();
    host(&dir).load(&wasm).unwrap();
    let [entry] = &entries(&dir)[..] else { panic!("one entry and nothing else") };
    let written = fs::metadata(entry).unwrap().modified().unwrap();
    let module = host(&dir).load(&wasm).unwrap();
    module.instantiate([0; 32], 0).unwrap().drive(b"", 0).unwrap();
    assert_eq!(fs::metadata(entry).unwrap().modified().unwrap(), written, "it was not compiled again");
}

#[test]
fn damaged_and_foreign_entries_are_compiled_again_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("modules");
    let wasm = Guest::default().wasm();
    host(&dir).load(&wasm).unwrap();
    let [entry] = &entries(&dir)[..] else { panic!("one entry and nothing else") };
    let intact = fs::read(entry).unwrap();
    let flipped = |at: usize| {
        let mut bytes = intact.clone();
        bytes[at] ^= 1;
        bytes
    };
    let of_other_settings = || {
        let other = tempfile::tempdir().unwrap();
        let other = other.path().join("modules");
        let config = HostConfig { cache_dir: Some(other.clone()), max_stack_bytes: 64 << 10, ..small() };
        Host::new(config).unwrap().load(&wasm).unwrap();
        fs::read(&entries(&other)[0]).unwrap()
    };
    let bad = [
        ("empty", Vec::new()),
        ("cut short", intact[..intact.len() - 1].to_vec()),
        ("no entry at all", b"hello".to_vec()),
        ("other revision", flipped(7)),
        ("other engine", flipped(8)),
        ("other checksum", flipped(40)),
        ("altered code", flipped(intact.len() / 2)),
        ("cut in the header", intact[..50].to_vec()),
    ];
    for (what, bytes) in bad {
        fs::write(entry, bytes).unwrap();
        let module = host(&dir).load(&wasm).unwrap();
        module.instantiate([0; 32], 0).unwrap().drive(b"", 0).unwrap();
        assert_eq!(fs::read(entry).unwrap().len(), intact.len(), "{what}");
    }
    fs::write(entry, of_other_settings()).unwrap();
    host(&dir).load(&wasm).unwrap().instantiate([0; 32], 0).unwrap().drive(b"", 0).unwrap();
    assert_eq!(entries(&dir).len(), 1, "nothing is left lying about");
}

#[test]
fn the_directory_belongs_to_the_host_alone() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made");
    host(&made);
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);

    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Host::new(HostConfig { cache_dir: Some(open), ..small() }).unwrap_err();
    assert!(matches!(refused, HostError::Cache { .. }));
    assert!(refused.to_string().contains("chmod 700"), "{refused}");
}

#[test]
fn a_cache_that_cannot_be_written_to_later_costs_no_module() {
    let dir = tempfile::tempdir().unwrap();
    let made = dir.path().join("made");
    let host = host(&made);
    fs::remove_dir_all(&made).unwrap();
    host.load(&Guest::default().wasm()).unwrap();
}
