//! A JSON object carried as the text it came in: metadata, extension parameters and the like.

use crate::proto;
use bivouac_protocol::Json;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{collections::BTreeMap, fmt};

/// A JSON object, kept as it was written.
///
/// # Examples
/// ```
/// use bivouac_a2a::Object;
/// let metadata = Object::parse(r#"{"skill":"plan","n":9007199254740993}"#).unwrap();
/// assert_eq!(metadata.text_of("skill").as_deref(), Some("plan"));
/// assert_eq!(metadata.get("n").unwrap().text(), "9007199254740993");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Object(Json);

impl Object {
    /// Checks that a text is one JSON object and keeps it.
    ///
    /// # Errors
    /// What the parser says of the text, or that it is no object.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Json::parse_text(text).and_then(|json| Self::of_json(&json))
    }

    /// The object that a JSON value is.
    ///
    /// # Errors
    /// That it is none.
    pub fn of_json(json: &Json) -> Result<Self, serde_json::Error> {
        if !json.text().trim_start().starts_with('{') {
            return Err(serde_json::Error::custom("this is not a JSON object"));
        }
        proto::check_value(json.text())?;
        Ok(Self(json.clone()))
    }

    /// An object of these members, in this order.
    #[must_use]
    pub fn of_members<'a>(members: impl IntoIterator<Item = (&'a str, Json)>) -> Self {
        let mut text = String::from("{");
        for (name, value) in members {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(Json::of(name).expect("a text is JSON").text());
            text.push(':');
            text.push_str(value.text());
        }
        text.push('}');
        Self(Json::parse_text(text).expect("members that are JSON make an object"))
    }

    /// A member, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Json> {
        let mut members: BTreeMap<String, Json> = self.0.parse().ok()?;
        members.remove(name)
    }

    /// A member that is a text.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<String> {
        self.get(name)?.parse().ok()
    }

    /// The object as JSON.
    #[must_use]
    pub const fn json(&self) -> &Json {
        &self.0
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::of_json(&json).map_err(D::Error::custom)
    }
}
