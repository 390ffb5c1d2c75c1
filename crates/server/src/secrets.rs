//! Secrets: sealed with the master key, put into requests, never logged, journaled or returned.

use crate::driver::{Driver, now};
use bivouac_store::{
    CommitError, ControlChange, SecretRecord, StoreError,
    envelope::{EnvelopeError, MasterKey},
};
use std::{collections::BTreeMap, sync::Arc};

/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 16 << 10;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// The master key's uses: secrets and seeds.
#[derive(Clone)]
pub struct Secrets {
    key: Arc<MasterKey>,
}

/// A secret with where it may be sent.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its value.
    pub value: Secret,
    /// The hosts that it may be sent to.
    pub hosts: Vec<String>,
}

/// A secret that was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// Too long.
    #[error("a secret may have {MAX_SECRET} bytes, this one has {0}")]
    TooLong(usize),
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] EnvelopeError),
    /// It could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Secrets {
    /// Uses a master key.
    #[must_use]
    pub fn new(key: MasterKey) -> Self {
        Self { key: Arc::new(key) }
    }

    /// Sets a secret, bound to hosts.
    ///
    /// # Errors
    /// [`SetError`]; nothing is changed.
    pub async fn set(
        &self,
        driver: &Driver,
        environment: &str,
        name: &str,
        value: &Secret,
        hosts: Vec<String>,
    ) -> Result<(), SetError> {
        let value = value.reveal();
        if value.len() > MAX_SECRET {
            return Err(SetError::TooLong(value.len()));
        }
        let sealed = self.key.seal(&context(environment, name), value.as_bytes())?;
        let record =
            SecretRecord { environment: environment.to_owned(), name: name.to_owned(), hosts, sealed, set: now() };
        driver.control(ControlChange::SetSecret(record)).await?;
        Ok(())
    }

    /// An environment's secrets that a deployment was granted.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub fn granted(
        &self,
        driver: &Driver,
        environment: &str,
        names: &[String],
    ) -> Result<BTreeMap<String, Opened>, StoreError> {
        let mut opened = BTreeMap::new();
        for record in driver.reader().secrets(environment)? {
            if !names.contains(&record.name) {
                continue;
            }
            let value = self
                .key
                .open(&context(environment, &record.name), &record.sealed)
                .map_err(|error| StoreError::Corrupt(format!("secret {}: {error}", record.name)))?;
            let value = String::from_utf8(value)
                .map_err(|_| StoreError::Corrupt(format!("secret {} is not text", record.name)))?;
            opened.insert(record.name, Opened { value: Secret::new(value), hosts: record.hosts });
        }
        Ok(opened)
    }

    /// Makes a run's seed, sealed for the journal.
    ///
    /// # Errors
    /// [`EnvelopeError`] where the system gives no randomness.
    pub fn new_seed(&self) -> Result<Vec<u8>, EnvelopeError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| EnvelopeError::NoRandomness)?;
        self.key.seal(SEED, &seed)
    }

    /// Opens a run's seed.
    ///
    /// # Errors
    /// [`EnvelopeError`] where it was sealed with another key.
    pub fn open_seed(&self, sealed: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        self.key.open(SEED, sealed)
    }
}

const SEED: &[u8] = b"run seed";

fn context(environment: &str, name: &str) -> Vec<u8> {
    format!("secret\0{environment}\0{name}").into_bytes()
}
