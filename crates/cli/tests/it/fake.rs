//! A server whose answers the test decides.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What is written to the connection before it is closed; nothing of HTTP is added.
pub(crate) type Answer = String;

/// Listens until the test ends.
pub(crate) struct Fake {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// Answers each request with what `answer` gives for it; the number counts requests from 0.
    pub(crate) fn new(answer: impl Fn(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                // A client that has seen enough may be gone.
                let _gone = stream.write_all(answer(number, &request).as_bytes());
            }
        });
        Self { url, requests }
    }

    /// Answers every request alike.
    pub(crate) fn always(status: u16, body: &str) -> Self {
        let answer = json(status, body);
        Self::new(move |_, _| answer.clone())
    }

    /// What arrived so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    (!line.is_empty()).then(|| Request {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// A whole answer with a JSON body.
pub(crate) fn json(status: u16, body: &str) -> Answer {
    format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An event stream that ends with the connection.
pub(crate) fn stream(events: &[(&str, &str, &str)]) -> Answer {
    let mut text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_owned();
    for (id, name, data) in events {
        let data = format!("{{\"event_type\":\"{name}\",\"run_id\":\"run_1\",\"data\":{data},\"timestamp_ns\":0}}");
        text.push_str(&format!("id: {id}\nevent: {name}\ndata: {data}\n\n"));
    }
    text
}

/// An event stream of A2A that ends with the connection: numbers and JSON.
pub(crate) fn told(events: &[(&str, &str)]) -> Answer {
    let mut text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_owned();
    for (id, data) in events {
        text.push_str(&format!("id: {id}\ndata: {data}\n\n"));
    }
    text
}
