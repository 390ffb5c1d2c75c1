//! Identities: short texts with a prefix that says what they name.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};
use ulid::Ulid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} id: it should look like `{prefix}_` and 26 letters and digits")]
pub struct InvalidId {
    text: String,
    what: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with this number.
            #[must_use]
            pub const fn from_u128(number: u128) -> Self {
                Self(number)
            }

            /// The id's number.
            #[must_use]
            pub const fn to_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), Ulid(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    // 26 letters hold 130 bits: above `7` the first one would overflow, and two texts name one id.
                    .filter(|rest| rest.as_bytes().first().is_some_and(|first| (b'0'..=b'7').contains(first)))
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(|ulid| Self(ulid.0))
                    .ok_or_else(|| InvalidId {
                        text: text.chars().take(64).collect(),
                        what: $what,
                        prefix: $prefix,
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

id!(
    /// One durable execution.
    ///
    /// Its upper 48 bits are the milliseconds of its acceptance, the next 16 its shard, the lower 64 random: ids sort by
    /// age, and whoever holds one knows where its run lives.
    ///
    /// # Examples
    /// ```
    /// use bivouac_protocol::RunId;
    /// let id = RunId::new(1_700_000_000_000, 3, 42);
    /// assert_eq!(id.shard(), 3);
    /// assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
    /// ```
    RunId,
    "run",
    "run"
);

id!(
    /// One immutable deployment: a module or an endpoint at one immutable ref.
    DeploymentId,
    "dep",
    "deployment"
);

impl RunId {
    /// The id of a run accepted at `now_ms` by `shard`, made distinct by `random`.
    #[must_use]
    pub const fn new(now_ms: u64, shard: u16, random: u64) -> Self {
        Self((((now_ms & 0xffff_ffff_ffff) as u128) << 80) | ((shard as u128) << 64) | random as u128)
    }

    /// The shard that owns the run.
    #[must_use]
    pub const fn shard(self) -> u16 {
        ((self.0 >> 64) & 0xffff) as u16
    }

    /// When the run was accepted, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn accepted_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}
