//! Where modules lie: files named by their SHA-256, in `blobs/ab/<digest>` of the data directory.
//!
//! A blob is on disk, with its directory entries, before [`Blobs::put`] returns, so that a commit may refer to it. What
//! is read is compared with its name. It never overwrites and keeps no count of who refers to what.
//!
//! Plain files and no object store client: a single machine needs one directory and an fsync in the right places, which
//! the standard library has; a client for remote stores can take this module's place without the store noticing.

use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The largest blob, in bytes.
pub const MAX_BLOB: u64 = 256 << 20;

/// A blob that cannot be kept or had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// More than a blob may have.
    #[error("the blob is larger than {MAX_BLOB} bytes")]
    TooLarge,
    /// The bytes are not those that the name promises.
    #[error("the blob {} is damaged: deploy its module again", hex::encode(.0))]
    Damaged([u8; 32]),
    /// No space is left.
    #[error("the disk is full")]
    Full,
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A directory of blobs.
#[derive(Debug)]
pub struct Blobs {
    root: PathBuf,
    drafts: AtomicU64,
}

impl Blobs {
    /// The blobs of a data directory; the folder is made when there is a first one.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { root: directory.join("blobs"), drafts: AtomicU64::new(0) }
    }

    /// Keeps bytes and returns their name. Keeping them again changes nothing, except that it repairs a damaged blob.
    ///
    /// # Errors
    /// [`BlobError`] where they are too many or the system refuses.
    ///
    /// # Examples
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// let blobs = bivouac_store::blobs::Blobs::new(directory.path());
    /// let digest = blobs.put(b"module").unwrap();
    /// assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"module");
    /// ```
    pub fn put(&self, bytes: &[u8]) -> Result<[u8; 32], BlobError> {
        if bytes.len() as u64 > MAX_BLOB {
            return Err(BlobError::TooLarge);
        }
        let digest = digest(bytes);
        if matches!(self.get(&digest), Ok(Some(_))) {
            return Ok(digest);
        }
        let path = self.path(&digest);
        let folder = self.folder(&digest);
        let refused = |source| refused(format!("cannot write {}", path.display()), source);
        create_synced(&folder).map_err(refused)?;
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = folder.join(format!("draft-{}-{number}", std::process::id()));
        let written = write_synced(&draft, bytes).and_then(|()| fs::rename(&draft, &path));
        if written.is_err() {
            // What is left of the draft is of no use; the error that matters is the first.
            drop(fs::remove_file(&draft));
        }
        written.and_then(|()| sync_directory(&folder)).map_err(refused)?;
        Ok(digest)
    }

    /// The bytes with this name.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] where they are not what was kept; [`BlobError::Io`] where they cannot be read.
    pub fn get(&self, digest: &[u8; 32]) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        let refused = |source| refused(format!("cannot read {}", path.display()), source);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(refused)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_BLOB + 1).read_to_end(&mut bytes).map_err(refused)?;
        if self::digest(&bytes) == *digest { Ok(Some(bytes)) } else { Err(BlobError::Damaged(*digest)) }
    }

    /// Forgets the bytes with this name; returns whether they were there.
    ///
    /// # Errors
    /// [`BlobError::Io`] where the system refuses.
    pub fn remove(&self, digest: &[u8; 32]) -> Result<bool, BlobError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            removed => removed
                .and_then(|()| sync_directory(&self.folder(digest)))
                .map(|()| true)
                .map_err(|source| refused(format!("cannot remove {}", path.display()), source)),
        }
    }

    fn folder(&self, digest: &[u8; 32]) -> PathBuf {
        self.root.join(hex::encode(&digest[..1]))
    }

    fn path(&self, digest: &[u8; 32]) -> PathBuf {
        self.folder(digest).join(hex::encode(digest))
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn refused(doing: String, source: io::Error) -> BlobError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => BlobError::Full,
        _ => BlobError::Io { doing, source },
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A draft of the same name is a dead process's.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory with its parents; each new entry is on disk when it returns.
pub(crate) fn create_synced(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_synced(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => created?,
    }
    parent.map_or_else(|| sync_directory(Path::new(".")), sync_directory)
}

/// Brings a directory's entries to disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
