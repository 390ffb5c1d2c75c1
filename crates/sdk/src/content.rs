//! What people and agents say to each other: text, data and files, as the parts of A2A.
//!
//! [`Content`] is what a skill is given and what it answers with; [`Artifact`] is what it makes. A part's data is JSON
//! text that is carried as it came, so that a large integer arrives as it left.

use crate::error::Error;
use bivouac_a2a::{Object, types::PartContent};
use bivouac_protocol::{Code, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What was said, part by part.
///
/// # Examples
/// ```
/// use bivouac::{Content, Part};
///
/// let content = Content::from("Lisbon, please").with(Part::data(&[4, 2]).unwrap());
/// assert_eq!(content.text(), "Lisbon, please");
/// assert_eq!(content.data::<Vec<u32>>().unwrap(), Some(vec![4, 2]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

/// A text, a JSON value, or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Part(bivouac_a2a::types::Part);

impl Part {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self(bivouac_a2a::types::Part::text(text))
    }

    /// A JSON value.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses.
    pub fn data<T: Serialize + ?Sized>(data: &T) -> Result<Self, Error> {
        let data = Json::of(data).map_err(|error| {
            Error::refused(Code::INVALID_INPUT, format!("the data of a part cannot be written as JSON: {error}"))
        })?;
        Ok(Self(bivouac_a2a::types::Part::data(data)))
    }

    /// A file in itself.
    pub fn bytes(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self(bivouac_a2a::types::Part::raw(bytes, media_type))
    }

    /// A file elsewhere.
    pub fn url(media_type: impl Into<String>, url: impl Into<String>) -> Self {
        Self(bivouac_a2a::types::Part::url(url)).with_media_type(media_type)
    }

    /// The same part, of this media type.
    #[must_use]
    pub fn with_media_type(mut self, media_type: impl Into<String>) -> Self {
        self.0.media_type = Some(media_type.into());
        self
    }

    /// The same part, as a file of this name.
    #[must_use]
    pub fn with_filename(mut self, filename: impl Into<String>) -> Self {
        self.0.filename = Some(filename.into());
        self
    }

    /// The words, where it is a text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.0.as_text()
    }

    /// The value, where it is data.
    #[must_use]
    pub const fn as_data(&self) -> Option<&Json> {
        match &self.0.content {
            PartContent::Data(data) => Some(data),
            _ => None,
        }
    }

    /// The file, where it came along.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0.content {
            PartContent::Raw(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Where the file is, where it did not come along.
    #[must_use]
    pub fn as_url(&self) -> Option<&str> {
        match &self.0.content {
            PartContent::Url(url) => Some(url),
            _ => None,
        }
    }

    /// Its media type, where it is said.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.0.media_type.as_deref()
    }

    /// Its file's name, where it is said.
    #[must_use]
    pub fn filename(&self) -> Option<&str> {
        self.0.filename.as_deref()
    }
}

impl Content {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Words.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::text(text)] }
    }

    /// A JSON value.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses.
    pub fn from_data<T: Serialize + ?Sized>(data: &T) -> Result<Self, Error> {
        Ok(Self { parts: vec![Part::data(data)?] })
    }

    /// The same, and this part.
    #[must_use]
    pub fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The words: the texts, a line each; empty where there are none.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.parts.iter().filter_map(Part::as_text).collect();
        texts.join("\n")
    }

    /// The first part that is data; nothing where there is none.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the data is not what the type says.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let Some(data) = self.parts.iter().find_map(Part::as_data) else { return Ok(None) };
        data.parse().map(Some).map_err(|error| {
            Error::refused(Code::INVALID_INPUT, format!("the message's data is not what was expected: {error}"))
        })
    }

    /// The parts as A2A's types.
    #[cfg(feature = "testing")]
    pub(crate) fn to_a2a(&self) -> Vec<bivouac_a2a::types::Part> {
        self.parts.iter().map(|part| part.0.clone()).collect()
    }

    /// Whether it is more than words.
    pub(crate) fn is_rich(&self) -> bool {
        self.parts.len() != 1 || self.parts[0].as_text().is_none()
    }

    /// The content as a run's frames carry it: `{"parts":[..]}`.
    pub(crate) fn to_json(&self) -> Json {
        Json::of(self).expect("parts have text keys")
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::from_text(text)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::from_text(text)
    }
}

impl From<Part> for Content {
    fn from(part: Part) -> Self {
        Self { parts: vec![part] }
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self { parts }
    }
}

/// Something that an agent makes: a document, a table, a picture.
///
/// # Examples
/// ```
/// use bivouac::{Artifact, Part};
///
/// let plan = Artifact::json("plan.json", &["pack", "go"]).unwrap().with(Part::text("1. pack\n2. go"));
/// assert_eq!((plan.id(), plan.parts().len()), ("plan.json", 2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Artifact(bivouac_a2a::types::Artifact);

impl Artifact {
    /// An artifact without parts. The id tells it from the task's other artifacts.
    pub fn new(id: impl Into<String>) -> Self {
        Self(bivouac_a2a::types::Artifact { artifact_id: id.into(), ..Default::default() })
    }

    /// A text of this name, which is its id too.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(name.clone()).named(name.clone()).with(Part::text(text).with_filename(name))
    }

    /// A JSON value of this name, which is its id too.
    ///
    /// # Errors
    /// What the value's `Serialize` refuses.
    pub fn json<T: Serialize + ?Sized>(name: impl Into<String>, value: &T) -> Result<Self, Error> {
        let name = name.into();
        let part = Part::data(value)?.with_media_type("application/json").with_filename(name.clone());
        Ok(Self::new(name.clone()).named(name).with(part))
    }

    /// The same, with a name for a person.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// The same, with a sentence on what it is.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.0.description = Some(description.into());
        self
    }

    /// The same, and this part.
    #[must_use]
    pub fn with(mut self, part: Part) -> Self {
        self.0.parts.push(part.0);
        self
    }

    /// What tells it from the task's other artifacts.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.artifact_id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        self.0.parts.iter().cloned().map(Part).collect()
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::of(self).expect("an artifact has text keys")
    }
}

/// What a run of an agent is given, and what an answer through A2A is: a message, of which only this much matters here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) content: Content,
    pub(crate) context_id: Option<String>,
    pub(crate) metadata: Option<Object>,
}

impl Message {
    /// Reads a message, or a bare text.
    ///
    /// # Errors
    /// `INVALID_INPUT`.
    pub(crate) fn read(json: &Json) -> Result<Self, Error> {
        if let Ok(text) = json.parse::<String>() {
            return Ok(Self { content: Content::from_text(text), ..Self::default() });
        }
        let read: Result<bivouac_a2a::types::Message, _> = json.parse();
        let message = read.map_err(|error| {
            let form = r#"{"parts":[{"text":".."}]}"#;
            let message = format!("this is neither a message of A2A (`{form}`) nor a text: {error}");
            Error::refused(Code::INVALID_INPUT, message)
        })?;
        let content = Content { parts: message.parts.into_iter().map(Part).collect() };
        Ok(Self { content, context_id: message.context_id, metadata: message.metadata })
    }

    /// A member of the metadata.
    pub(crate) fn member(&self, name: &str) -> Option<Json> {
        self.metadata.as_ref()?.get(name).filter(|member| member.text() != "null")
    }
}

/// Reads a member that is there, so that the answer `null` is one.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Result<Part, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_part_is_written_as_it_was_read() {
        for text in [
            r#"{"text":"hi"}"#,
            r#"{"data":{"n":9007199254740993},"mediaType":"application/json"}"#,
            r#"{"data":null}"#,
            r#"{"raw":"/+8=","filename":"a.png","mediaType":"image/png"}"#,
            r#"{"url":"https://a.example/","metadata":{"a":1}}"#,
        ] {
            assert_eq!(serde_json::to_string(&part(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_message_is_an_object_or_a_text() {
        let text = Message::read(&Json::of("hi").unwrap()).unwrap();
        assert_eq!(text.content.text(), "hi");
        let object = r#"{"messageId":"m","role":"ROLE_USER","contextId":"c","parts":[{"text":"a"},{"text":"b"}],
            "metadata":{"skill":"plan","gone":null}}"#;
        let message = Message::read(&Json::parse_text(object).unwrap()).unwrap();
        assert_eq!(message.content.text(), "a\nb");
        assert_eq!(message.context_id.as_deref(), Some("c"));
        assert_eq!(message.member("skill").unwrap().text(), "\"plan\"");
        assert!(message.member("gone").is_none());
        assert_eq!(Message::read(&Json::of(&7).unwrap()).unwrap_err().code(), "INVALID_INPUT");
    }
}
