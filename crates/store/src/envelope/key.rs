//! The master key: 32 bytes that everything sealed is sealed with.

use super::{EnvelopeError, KEY_ID, NONCE, is_sealed, pack, unpack};
use base64::{Engine as _, engine::general_purpose};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read as _, Write as _},
    path::Path,
};

/// The length of the key, in bytes.
const KEY_LENGTH: usize = 32;
/// The largest key file that is read, in bytes.
const MAX_KEY_FILE: u64 = 1024;

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no key.
    #[error("the master key is not 32 bytes in base64 or hex: give one, for example from `openssl rand -base64 32`")]
    Malformed,
    /// The file can be read by others.
    #[error(
        "the master key {0} can be read by other users: `chmod 600` it, and think about whether it is still secret"
    )]
    Exposed(String),
    /// The system's source of randomness failed.
    #[error("no random bytes could be had from the system")]
    NoRandomness,
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The key that secrets, seeds and, where asked for, all payloads are sealed with (XChaCha20-Poly1305).
///
/// It has no `Display`, and its `Debug` shows only its id.
///
/// # Examples
/// ```
/// use bivouac_store::envelope::MasterKey;
/// let key: MasterKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().unwrap();
/// let sealed = key.seal(b"secret default/TOKEN", b"value").unwrap();
/// assert_eq!(key.open(b"secret default/TOKEN", &sealed).unwrap(), b"value");
/// assert!(key.open(b"secret default/OTHER", &sealed).is_err());
/// ```
#[derive(Clone)]
pub struct MasterKey {
    id: [u8; KEY_ID],
    bytes: [u8; KEY_LENGTH],
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MasterKey").field(&hex::encode(self.id)).finish()
    }
}

impl std::str::FromStr for MasterKey {
    type Err = KeyError;

    /// Reads a key from base64 (either alphabet, padded or not) or hex.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let url = text.replace('+', "-").replace('/', "_");
        let from_hex = || hex::decode(text).ok();
        let from_base64 = || general_purpose::URL_SAFE_NO_PAD.decode(url.trim_end_matches('=')).ok();
        let bytes = from_hex().filter(|bytes| bytes.len() == KEY_LENGTH).or_else(from_base64);
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self::from_bytes).ok_or(KeyError::Malformed)
    }
}

impl MasterKey {
    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
        let digest = Sha256::new().chain_update(b"bivouac master key id").chain_update(bytes).finalize();
        let id = [digest[0], digest[1], digest[2], digest[3]];
        Self { id, bytes, cipher: XChaCha20Poly1305::new(&bytes.into()) }
    }

    /// A new random key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; KEY_LENGTH];
        getrandom::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Reads the key from a file; where there is none, makes one that only its owner may read.
    ///
    /// # Errors
    /// [`KeyError`] where the file is no key, others can read it, or the system refuses.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let key = Self::generate()?;
        match key.create(path) {
            // Another process was first: its key counts.
            Err(KeyError::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => Self::load(path),
            created => created.map(|()| key),
        }
    }

    fn load(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { doing: format!("cannot read the master key {}", path.display()), source };
        let file = std::fs::File::open(path).map_err(io)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
                return Err(KeyError::Exposed(path.display().to_string()));
            }
        }
        let mut text = String::new();
        file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(|source| match source.kind() {
            ErrorKind::InvalidData => KeyError::Malformed,
            _ => io(source),
        })?;
        text.parse()
    }

    /// Writes the key beside its place and links it there: it appears whole, or not at all.
    fn create(&self, path: &Path) -> Result<(), KeyError> {
        let io = |source| KeyError::Io { doing: format!("cannot create the master key {}", path.display()), source };
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = (|| {
            let mut file = options.open(&draft)?;
            file.write_all(general_purpose::STANDARD.encode(self.bytes).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::hard_link(&draft, path)?;
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), crate::blobs::sync_directory)
        })();
        // The draft is of no use any more, whichever way it went; an error here would hide the one that matters.
        drop(std::fs::remove_file(&draft));
        written.map_err(io)
    }

    /// The key's id: a short digest, which says nothing about the key.
    #[must_use]
    pub const fn id(&self) -> [u8; KEY_ID] {
        self.id
    }

    /// Seals bytes for one place; `context` names it.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`], [`EnvelopeError::NoRandomness`].
    pub fn seal(&self, context: &[u8], bytes: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        pack(context, bytes, Some(self))
    }

    /// Opens what [`MasterKey::seal`] sealed under the same context, and nothing that is not sealed.
    ///
    /// # Errors
    /// [`EnvelopeError`] where the bytes are not what was sealed with this key for this place.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        if !is_sealed(sealed) {
            return Err(EnvelopeError::NotSealed);
        }
        unpack(context, sealed, Some(self))
    }

    pub(super) fn encrypt(&self, nonce: &[u8; NONCE], bound: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        self.cipher.encrypt(nonce.into(), Payload { msg: body, aad: bound }).ok()
    }

    pub(super) fn decrypt(&self, nonce: &[u8; NONCE], bound: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        self.cipher.decrypt(nonce.into(), Payload { msg: body, aad: bound }).ok()
    }
}
