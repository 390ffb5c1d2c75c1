//! A server's HTTP API, asked over one plain connection that is kept open.
//!
//! It sends what it is told to and judges nothing: a refusal is an [`Answer`] like any other. It repeats no request by
//! itself, so that what arrives at the server is what the test sent. Bodies are read by their `content-length`; event
//! streams are not for it.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The longest line of an answer's head, and the most lines.
const MAX_LINE: u64 = 16 << 10;
const MAX_HEADERS: usize = 100;
/// The largest body of an answer.
const MAX_BODY: u64 = 64 << 20;
/// How often a run is asked whether it has ended, at first and at most.
const FIRST_ASK: Duration = Duration::from_millis(1);
const LAST_ASK: Duration = Duration::from_millis(20);

/// A server's API.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Api {
    /// The API at an address; nothing is connected yet.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, connection: Mutex::new(None) }
    }

    /// Where the server is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks.
    ///
    /// # Errors
    /// Where nobody answers, or not in HTTP.
    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[], b"")
    }

    /// Sends a body.
    ///
    /// # Errors
    /// Where nobody answers, or not in HTTP; whether the body was taken is not known then.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.send("POST", path, headers, body)
    }

    /// Sends an input to a component (`workflows/order`) and does not wait for the run's end.
    ///
    /// # Errors
    /// Where nobody answers; whether the run was started is not known then.
    pub fn submit(&self, component: &str, headers: &[(&str, &str)], input: &Value) -> io::Result<Answer> {
        self.post(&format!("/v1/{component}/submit"), headers, input.to_string().as_bytes())
    }

    /// Sends an input to a component and waits for the run's end.
    ///
    /// # Errors
    /// Where nobody answers; whether the run was started is not known then.
    pub fn run(&self, component: &str, input: &Value) -> io::Result<Answer> {
        self.post(&format!("/v1/{component}/run"), &[], input.to_string().as_bytes())
    }

    /// A run's result, as soon as it has one.
    ///
    /// # Errors
    /// Where nobody answers, there is no such run, or it has not ended in time: then its status is told.
    pub fn result(&self, run: &str, within: Duration) -> io::Result<Value> {
        let deadline = Instant::now() + within;
        let mut pause = FIRST_ASK;
        loop {
            let answer = self.get(&format!("/v1/result/{run}"))?;
            if answer.status == 200 {
                return Ok(answer.json());
            }
            if answer.json()["error_code"] != "RUN_NOT_FINISHED" {
                return Err(invalid(&format!("{run}: {} {}", answer.status, answer.text())));
            }
            if Instant::now() >= deadline {
                let status = answer.text();
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{run} after {within:?}: {status}")));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LAST_ASK);
        }
    }

    /// All events of a run.
    ///
    /// # Errors
    /// Where nobody answers, or not with events.
    pub fn events(&self, run: &str) -> io::Result<Vec<Value>> {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let answer = self.get(&format!("/v1/runs/{run}/events{after}"))?;
            let mut page = answer.json();
            let Some(items) = page["items"].as_array_mut().filter(|_| answer.status == 200) else {
                return Err(invalid(&format!("the events of {run}: {} {}", answer.status, answer.text())));
            };
            events.append(items);
            match page["next"].as_str() {
                Some(next) => after = format!("?after={next}"),
                None => return Ok(events),
            }
        }
    }

    /// A counter or gauge of `/metrics`, by the end of its name.
    ///
    /// # Errors
    /// Where nobody answers, or there is no such metric.
    pub fn metric(&self, name: &str) -> io::Result<u64> {
        let text = self.get("/metrics")?.text();
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let found = lines.find_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let key = key.strip_suffix("_total").unwrap_or(key);
            key.strip_suffix(name).filter(|rest| rest.is_empty() || rest.ends_with("bivouac_"))?;
            value.parse().ok()
        });
        found.ok_or_else(|| invalid(&format!("no metric {name} in:\n{text}")))
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.address, body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            head.push_str("content-type: application/json\r\n");
        }
        let sent = connection.get_mut().write_all(format!("{head}\r\n").as_bytes());
        let sent = sent.and_then(|()| connection.get_mut().write_all(body));
        // A server may refuse a body before it has read all of it; its answer says more than the broken pipe.
        let answer = receive(&mut connection).map_err(|error| sent.as_ref().err().map_or(error, copy))?;
        if sent.is_ok() && answer.headers.get("connection").is_none_or(|value| value != "close") {
            *kept = Some(connection);
        }
        Ok(answer)
    }
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(BufReader::new(stream))
}

fn receive(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let status_line = line(connection)?;
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid(&format!("`{status_line}` is not HTTP")))?;
    let mut headers = BTreeMap::new();
    for _ in 0..MAX_HEADERS {
        let header = line(connection)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if length > MAX_BODY {
        return Err(invalid(&format!("a body of {length} bytes")));
    }
    let mut body = Vec::new();
    connection.by_ref().take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Answer { status, headers, body })
}

fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.by_ref().take(MAX_LINE).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
