//! Writes JSON objects whose payloads are already JSON text: those are copied, never parsed and re-written.

use crate::http::time::rfc3339;
use bivouac_engine::Timestamp;
use serde::Serialize;

/// A JSON object being written.
pub(crate) struct Object(Vec<u8>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::with_capacity(256)
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes);
        text.push(b'{');
        Self(text)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A member whose value is JSON text. Names are constants that need no escapes.
    pub(crate) fn raw(&mut self, name: &'static str, json: &[u8]) -> &mut Self {
        self.name(name);
        self.0.extend_from_slice(json);
        self
    }

    /// A member with any value.
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> &mut Self {
        self.name(name);
        serde_json::to_writer(&mut self.0, value).expect("plain data is written to memory");
        self
    }

    /// A member that displays as text which needs no escapes, such as an id.
    pub(crate) fn id(&mut self, name: &'static str, id: impl std::fmt::Display) -> &mut Self {
        use std::io::Write as _;
        self.name(name);
        write!(self.0, "\"{id}\"").expect("memory takes bytes");
        self
    }

    /// An instant, as text.
    pub(crate) fn time(&mut self, name: &'static str, at: Timestamp) -> &mut Self {
        self.id(name, rfc3339(at))
    }

    /// A member where there is a value.
    pub(crate) fn maybe<T: Serialize + ?Sized>(&mut self, name: &'static str, value: Option<&T>) -> &mut Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    /// The object's text.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.0.push(b'}');
        std::mem::take(&mut self.0)
    }
}

/// A JSON array of texts that are JSON.
pub(crate) fn array(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut text = vec![b'['];
    for item in items {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(&item);
    }
    text.push(b']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_keep_their_text_and_names_their_order() {
        let text = Object::new().put("b", "q\"uote").raw("a", b"9007199254740993").maybe::<str>("c", None).finish();
        assert_eq!(text, br#"{"b":"q\"uote","a":9007199254740993}"#);
        assert_eq!(array([b"1".to_vec(), b"{}".to_vec()]), b"[1,{}]");
        assert_eq!(Object::new().finish(), b"{}");
    }
}
