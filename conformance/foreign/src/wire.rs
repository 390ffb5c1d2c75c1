//! What crosses the boundary: messages like HTTP's, with the whole body after an empty line.
//!
//! A request is `METHOD TARGET` and a line for each header, a response its status in place of that. Both ways are the
//! same for requests to the module and for those that the module makes.

use bytes::Bytes;

/// A request or a response: its first line, its headers, its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub line: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// Writes the message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.line.clone().into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("\r\n{name}: {value}").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads a message; nothing where it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
        let line = lines.next()?.to_owned();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = lines.map(header).collect::<Option<_>>()?;
        Some(Self { line, headers, body: Bytes::copy_from_slice(&bytes[end + 4..]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let message = Message {
            line: "POST /x".to_owned(),
            headers: vec![("a".to_owned(), "b: c".to_owned())],
            body: Bytes::from_static(b"\r\n\r\n\xff"),
        };
        assert_eq!(Message::decode(&message.encode()), Some(message));
        assert_eq!(Message::decode(b"no end"), None);
    }
}
