//! Modules on disk.

use bivouac_store::blobs::{BlobError, Blobs};
use std::{fs, path::PathBuf};

fn path(directory: &tempfile::TempDir, digest: &[u8; 32]) -> PathBuf {
    let name = hex::encode(digest);
    directory.path().join("blobs").join(&name[..2]).join(name)
}

#[test]
fn a_blob_lies_under_its_digest_and_keeping_it_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::new(directory.path());
    assert_eq!(blobs.get(&[0; 32]).unwrap(), None);
    let digest = blobs.put(b"module").unwrap();
    assert_eq!(hex::encode(digest), "120970d812836f19888625587a4606a5ad23cef31c8684e601771552548fc6b9");
    let written = fs::metadata(path(&directory, &digest)).unwrap().modified().unwrap();
    assert_eq!(blobs.put(b"module").unwrap(), digest);
    assert_eq!(fs::metadata(path(&directory, &digest)).unwrap().modified().unwrap(), written);
    assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"module");
    let folder = path(&directory, &digest).parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_damaged_blob_is_noticed_and_repaired_by_keeping_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::new(directory.path());
    let digest = blobs.put(b"module").unwrap();
    fs::write(path(&directory, &digest), b"modulf").unwrap();
    assert!(matches!(blobs.get(&digest), Err(BlobError::Damaged(damaged)) if damaged == digest));
    blobs.put(b"module").unwrap();
    assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"module");
}

#[test]
fn a_removed_blob_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::new(directory.path());
    let digest = blobs.put(b"").unwrap();
    assert!(blobs.remove(&digest).unwrap());
    assert!(!blobs.remove(&digest).unwrap());
    assert_eq!(blobs.get(&digest).unwrap(), None);
}

#[test]
fn blobs_can_be_kept_from_several_threads_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::new(directory.path());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| blobs.put(b"the same module").unwrap());
        }
    });
    assert_eq!(blobs.get(&blobs.put(b"the same module").unwrap()).unwrap().unwrap(), b"the same module");
}
