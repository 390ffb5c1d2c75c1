//! HTTP/1.1 by hand: one connection per request, bodies in every framing that a server may choose, event streams.
//!
//! A [`Stream`] that is dropped closes its connection, which is what a cut looks like to the server.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// How long a server may stay silent, in an answer and in a stream. Its signs of life come more often.
pub const SILENT_AT_MOST: Duration = Duration::from_secs(45);
/// How long a stream may give signs of life and say nothing.
pub const EVENT_WITHIN: Duration = Duration::from_secs(60);
/// The longest line of a head or an event, and the most lines of a head.
const MAX_LINE: u64 = 8 << 20;
const MAX_HEADERS: usize = 100;
/// The largest body.
const MAX_BODY: u64 = 64 << 20;

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, ..
    pub method: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// Headers besides host and length.
    pub headers: Vec<(&'a str, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
}

/// An answer's head; its body is not read yet.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    body: Body,
}

impl Head {
    /// Whether an event stream follows.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.headers.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// Where the connection breaks before the end, or the body is too large.
    pub fn text(mut self) -> io::Result<String> {
        let mut body = Vec::new();
        self.body.by_ref().take(MAX_BODY).read_to_end(&mut body)?;
        String::from_utf8(body).map_err(|error| invalid(&error.to_string()))
    }

    /// Reads the body as events.
    #[must_use]
    pub fn events(self) -> Stream {
        Stream { lines: BufReader::new(self.body), silent: 0 }
    }
}

/// Sends a request and reads the answer's head.
///
/// # Errors
/// Where nobody answers, or not in HTTP.
pub fn send(address: SocketAddr, request: &Request<'_>) -> io::Result<Head> {
    let mut stream = TcpStream::connect_timeout(&address, SILENT_AT_MOST)?;
    stream.set_read_timeout(Some(SILENT_AT_MOST))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = &request.body {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(request.body.as_deref().unwrap_or_default());
    stream.write_all(&bytes)?;
    let mut reader = BufReader::new(stream);
    let status_line = line(&mut reader)?;
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid(&format!("`{status_line}` is not HTTP")))?;
    let mut headers = BTreeMap::new();
    for _ in 0..MAX_HEADERS {
        let header = line(&mut reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let left = match (chunked, length) {
        (true, _) => Left::Chunked { chunk: 0, first: true },
        (false, Some(length)) => Left::Bytes(length),
        (false, None) => Left::UntilClosed,
    };
    Ok(Head { status, headers, body: Body { reader, left } })
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Where in the stream it is.
    pub id: Option<String>,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What it says.
    pub data: String,
}

impl Event {
    /// The data as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// The events of an answer.
#[derive(Debug)]
pub struct Stream {
    lines: BufReader<Body>,
    silent: u32,
}

impl Stream {
    /// The next event; `None` once the server has ended the stream properly.
    ///
    /// # Errors
    /// Where the connection breaks, nothing comes for [`SILENT_AT_MOST`], or no event for [`EVENT_WITHIN`].
    pub fn event(&mut self) -> io::Result<Option<Event>> {
        let began = Instant::now();
        let mut event = Event::default();
        let mut data: Option<String> = None;
        loop {
            let mut line = String::new();
            if self.lines.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if let Some(data) = data {
                    return Ok(Some(Event { data, ..event }));
                }
                if began.elapsed() > EVENT_WITHIN {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                event = Event::default();
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" => self.silent += 1,
                "id" => event.id = Some(value.to_owned()),
                "event" => event.name = Some(value.to_owned()),
                "data" => match &mut data {
                    Some(data) => data.extend(["\n", value]),
                    None => data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
    }

    /// How many signs of life came that say nothing.
    #[must_use]
    pub const fn signs_of_life(&self) -> u32 {
        self.silent
    }
}

#[derive(Debug)]
struct Body {
    reader: BufReader<TcpStream>,
    left: Left,
}

#[derive(Debug)]
enum Left {
    Bytes(u64),
    Chunked { chunk: u64, first: bool },
    UntilClosed,
    Nothing,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (limit, framed) = match &mut self.left {
            Left::Nothing | Left::Bytes(0) => return Ok(0),
            Left::UntilClosed => (MAX_BODY, false),
            Left::Bytes(left) => (*left, true),
            Left::Chunked { chunk, first } => {
                if *chunk == 0 {
                    if !std::mem::take(first) {
                        line(&mut self.reader)?;
                    }
                    let size = line(&mut self.reader)?;
                    let digits = size.split(';').next().unwrap_or_default().trim();
                    *chunk = u64::from_str_radix(digits, 16).map_err(|_| invalid(&format!("`{size}` is no chunk")))?;
                    if *chunk == 0 {
                        self.left = Left::Nothing;
                        return Ok(0);
                    }
                }
                (*chunk, true)
            }
        };
        let read = self.reader.by_ref().take(limit).read(buffer)?;
        if read == 0 && framed && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.left {
            Left::Bytes(left) | Left::Chunked { chunk: left, .. } => *left -= read as u64,
            Left::UntilClosed | Left::Nothing => {}
        }
        Ok(read)
    }
}

fn line(reader: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    fn answered_with(answer: &'static [u8]) -> io::Result<Head> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        });
        let request = Request { method: "GET", path: "/", headers: Vec::new(), body: None };
        let head = send(address, &request);
        server.join().unwrap();
        head
    }

    #[test]
    fn bodies_are_read_in_every_framing() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            assert_eq!(answered_with(answer).unwrap().text().unwrap(), "hello");
        }
        let cut = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhe";
        assert!(answered_with(cut).unwrap().text().is_err(), "a body that is cut is not whole");
    }

    #[test]
    fn events_are_told_apart_and_signs_of_life_counted() {
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hi\n\nid: 1.0\ndata: {\"a\":\ndata: 1}\n\n:\n\nevent: error\ndata:x\n\n";
        let head = answered_with(answer).unwrap();
        assert!(head.is_stream());
        let mut stream = head.events();
        let first = stream.event().unwrap().unwrap();
        assert_eq!((first.id.as_deref(), first.json()["a"].as_i64()), (Some("1.0"), Some(1)));
        let second = stream.event().unwrap().unwrap();
        assert_eq!((second.id, second.name.as_deref(), &*second.data), (None, Some("error"), "x"));
        assert_eq!(stream.event().unwrap(), None);
        assert_eq!(stream.signs_of_life(), 2);
    }
}
