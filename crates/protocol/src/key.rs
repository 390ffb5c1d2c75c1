//! Paths and keys: how an effect is known within an attempt, and how across attempts and towards the world.
//!
//! A *scope* is the root, a spawned task, a branch of a combinator, or a step body. A *path* counts what starts in a
//! scope (`3`, `2:1/4`, `charge/1`) and is valid within one attempt. A *key* is the same in every attempt: equal
//! requests in one scope have equal keys, different requests never share one. Source: the guest contract, "Scopes and
//! paths" and "Keys".

use crate::id::RunId;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes a text as it is.
            pub fn new(text: impl Into<Box<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

text!(
    /// Where an effect started, within one attempt: `3`, `2:1/4`, `charge/1`.
    Path
);
text!(
    /// What an effect is known by across attempts: `generation/scope/digest#k`, or `generation/scope/author's key`.
    ///
    /// The root scope is left out: `0/uVXl8Q#1`.
    EffectKey
);
text!(
    /// What a step's result is kept under: `scope/name`, then `scope/name#2`.
    StepKey
);

impl EffectKey {
    /// The `Idempotency-Key` offered to the effect's target: the run and this key.
    ///
    /// # Examples
    /// ```
    /// use bivouac_protocol::{EffectKey, RunId};
    /// let key = EffectKey::from("0/charge/kQ#1").idempotency_key(RunId::new(0, 0, 0));
    /// assert_eq!(key, "run_00000000000000000000000000.0/charge/kQ#1");
    /// ```
    #[must_use]
    pub fn idempotency_key(&self, run: RunId) -> String {
        format!("{run}.{self}")
    }
}

/// The digest of an effect's arguments: the first 16 bytes of SHA-256 over their canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Digests the parts, each preceded by its length, so that no two lists of parts run together.
    #[must_use]
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        Self(digest)
    }

    /// The digest as 22 characters that are safe in a URL and a header.
    #[must_use]
    pub fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Writes author's text so that it cannot be taken for a key's own punctuation (`% / # : . ~` become `%XX`).
///
/// # Examples
/// ```
/// assert_eq!(bivouac_protocol::key::escape("a/b#2"), "a%2Fb%232");
/// ```
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '/' | '#' | ':' | '.' | '~' => escaped.push_str(&format!("%{:02X}", u32::from(c))),
            _ if c.is_control() => escaped.extend(c.to_string().bytes().map(|b| format!("%{b:02X}"))),
            _ => escaped.push(c),
        }
    }
    escaped
}
