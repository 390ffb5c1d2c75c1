//! Server-sent events, as they arrive in pieces.
//!
//! Source: WHATWG HTML, "Parsing an event stream". Only what a stream of events needs: `retry` is not read.

/// The most bytes of one event.
pub(crate) const MAX_EVENT: usize = 32 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its number, by which a broken stream is taken up again.
    pub(crate) id: Option<String>,
    /// What kind it is.
    pub(crate) name: String,
    /// What it carries.
    pub(crate) data: String,
}

/// An event that is larger than allowed.
#[derive(Debug, thiserror::Error)]
#[error("an event has more than {MAX_EVENT} bytes")]
pub(crate) struct TooLarge;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
}

impl Parser {
    /// Takes the next bytes and returns the events that they complete.
    ///
    /// # Errors
    /// [`TooLarge`]; the stream is of no more use.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    complete.extend(self.end_line());
                }
                byte => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > MAX_EVENT {
                return Err(TooLarge);
            }
        }
        Ok(complete)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment (an empty field's name) keeps the connection alive; other fields mean nothing.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": alive\n\nid: 1\nevent: run.started\ndata: {\"a\":1}\n\nid:2\r\nevent:x\r\ndata:one\r\ndata: two\r\n\r\nevent: none\n\n";

    fn expected() -> Vec<Event> {
        vec![
            Event { id: Some("1".into()), name: "run.started".into(), data: "{\"a\":1}".into() },
            Event { id: Some("2".into()), name: "x".into(), data: "one\ntwo".into() },
        ]
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let events: Vec<_> = STREAM.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk).unwrap()).collect();
            assert_eq!(events, expected(), "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_cut_off_by_the_end_is_not_one() {
        assert_eq!(Parser::default().push(b"data: half\n").unwrap(), []);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        let chunk = vec![b'x'; MAX_EVENT / 4];
        assert!((0..5).any(|_| parser.push(&chunk).is_err()));
    }
}
