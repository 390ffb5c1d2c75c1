//! Payloads as raw JSON text: carried, compared and stored, never parsed and re-written on the way.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value as the text it arrived in, so that an integer beyond 2^53 leaves as it came.
///
/// Two values are equal when their texts are.
///
/// # Examples
/// ```
/// use bivouac_protocol::Json;
/// let json = Json::parse_text(r#"{"n":9007199254740993}"#).unwrap();
/// assert_eq!(json.text(), r#"{"n":9007199254740993}"#);
/// assert_eq!(Json::of(&1).unwrap().text(), "1");
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The value `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Encodes a value.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses, such as a map with keys that are not text.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// Checks that a text is one JSON value and keeps it as it is.
    ///
    /// # Errors
    /// The parser's error, with its line and column.
    pub fn parse_text(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text.into()).map(Self)
    }

    /// Checks that bytes are one JSON value in UTF-8 and keeps their text.
    ///
    /// # Errors
    /// The parser's error, with its line and column.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Box<RawValue>>(bytes).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Decodes into a type.
    ///
    /// # Errors
    /// The parser's error, which names the field that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

/// Reads a field that is there, so that an explicit `null` is a value and not an absence.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}
impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}
