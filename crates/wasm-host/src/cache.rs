//! Compiled modules on disk, so that a restart does not compile again.
//!
//! One file per module, named by the module's digest. It begins with the key of the engine that compiled it (release,
//! settings, processor) and a checksum over all that follows; an entry that is foreign, cut short or altered is
//! compiled anew and replaced. A file appears whole or not at all: it is written beside, synced, and renamed.
//!
//! What is in the cache is executed, so the directory belongs to the host's user alone. The checksum finds accidents,
//! not attackers. A cache that fails costs time, never a module: it is logged and gone around.

use crate::error::HostError;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash as _, Hasher},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use wasmtime::Engine;

/// What an entry begins with; the number is the revision of this layout.
const MAGIC: &[u8; 8] = b"bvcache1";
/// Magic, key, checksum.
const HEADER_BYTES: usize = 8 + 32 + 32;
/// The permission bits that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// The cache's directory, and the key of this engine.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    temporary: AtomicU64,
}

impl Cache {
    /// Makes the directory, or checks that nobody else can write to it.
    pub(crate) fn open(dir: PathBuf, engine: &Engine) -> Result<Self, HostError> {
        let refused = |cause: String| HostError::Cache { path: dir.clone(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| refused(error.to_string()))?;
        private(&dir).map_err(refused)?;
        Ok(Self { dir, key: engine_key(engine), temporary: AtomicU64::new(0) })
    }

    /// A module's compiled code, if there is an intact entry of this engine.
    pub(crate) fn get(&self, digest: &[u8; 32]) -> Option<Vec<u8>> {
        let path = self.entry(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled module cannot be read, compiling again");
                return None;
            }
        };
        let code = self.intact(&bytes).map(<[u8]>::to_vec);
        if code.is_none() {
            tracing::info!(path = %path.display(), "compiled module is foreign or damaged, compiling again");
        }
        code
    }

    /// Keeps a module's compiled code. A failure is logged: the module is there all the same.
    pub(crate) fn put(&self, digest: &[u8; 32], code: &[u8]) {
        if let Err(error) = self.write(digest, code) {
            tracing::warn!(dir = %self.dir.display(), %error, "compiled module cannot be kept, it is compiled at the next start");
        }
    }

    fn write(&self, digest: &[u8; 32], code: &[u8]) -> io::Result<()> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{}.{}.{number}.tmp", hex::encode(digest), std::process::id()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
                file.write_all(MAGIC)?;
                file.write_all(&self.key)?;
                file.write_all(&Sha256::digest(code))?;
                file.write_all(code)?;
                file.sync_all()
            });
        let placed = written
            .and_then(|()| fs::rename(&temporary, self.entry(digest)))
            .and_then(|()| File::open(&self.dir)?.sync_all());
        if placed.is_err() {
            // Whatever failed is the error to tell; a left-over file is only a waste.
            drop(fs::remove_file(&temporary));
        }
        placed
    }

    /// The compiled code of an entry that is whole and of this engine.
    fn intact<'a>(&self, entry: &'a [u8]) -> Option<&'a [u8]> {
        let (header, code) = entry.split_at_checked(HEADER_BYTES)?;
        let rest = header.strip_prefix(MAGIC)?;
        let checksum = rest.strip_prefix(&self.key)?;
        (checksum == Sha256::digest(code).as_slice()).then_some(code)
    }

    fn entry(&self, digest: &[u8; 32]) -> PathBuf {
        self.dir.join(format!("{}.compiled", hex::encode(digest)))
    }
}

/// Whether the directory belongs to this process's user and nobody else can write to it.
fn private(dir: &Path) -> Result<(), String> {
    let probe = dir.join(format!("probe.{}.tmp", std::process::id()));
    let cannot_write = |error: io::Error| format!("it cannot be written to: {error}");
    let user = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&probe)
        .and_then(|file| file.metadata())
        .and_then(|metadata| fs::remove_file(&probe).map(|()| metadata.uid()))
        .map_err(cannot_write)?;
    let metadata = fs::metadata(dir).map_err(cannot_write)?;
    if metadata.uid() != user {
        return Err(
            "it belongs to another user, who could put code into it; use a directory of the server's user".into()
        );
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(format!(
            "others can write to it (mode {:o}) and could put code into it; empty it, then `chmod 700` it",
            metadata.mode() & 0o777
        ));
    }
    Ok(())
}

/// What two engines must agree on to use each other's code.
fn engine_key(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().into()
}
