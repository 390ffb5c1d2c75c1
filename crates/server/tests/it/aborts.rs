//! What a component gives up is not gone on with.

use crate::local::{Local, native};
use serde_json::json;
use std::{
    io::{ErrorKind, Read as _},
    net::TcpListener,
    thread,
    time::Duration,
};

/// Shorter than a request's own limit (30 s), so that it is not that limit which ends the exchange.
const BEFORE_ITS_OWN_LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_request_that_lost_against_its_timeout_is_aborted() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", service.local_addr().unwrap());
    // Takes a request, never answers, and sees how the connection ends.
    let ended = thread::spawn(move || {
        let (mut connection, _) = service.accept().unwrap();
        connection.set_read_timeout(Some(BEFORE_ITS_OWN_LIMIT)).unwrap();
        let mut buffer = [0; 4_096];
        loop {
            match connection.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    let local = Local::start(vec![native("programs", programs::guest)]);
    let request = json!({ "http": { "method": "GET", "path": "/never" } });
    let tried = json!({ "try": { "body": [{ "timeout": { "ms": 300, "body": [request] } }] } });
    let answer = local.api().run("workflows/program", &json!({ "service": origin, "body": [tried] })).unwrap();
    assert_eq!(answer.json()["status"], "completed", "{}", answer.text());
    let ended = ended.join().unwrap();
    assert!(ended.is_ok(), "the connection is open still: {ended:?}");
}
