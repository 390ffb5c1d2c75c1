//! Reading what a client sends: how much, how deep, and whether it is JSON.

use crate::http::ApiError;
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bivouac_protocol::Code;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Duration;

/// How deep arrays and objects may lie in each other; deeper ones are parsed nowhere.
pub(crate) const MAX_DEPTH: usize = 128;
/// The largest body of a control request other than a module: 64 KiB.
pub(crate) const MAX_CONTROL_BODY: usize = 64 << 10;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a too large body is read and thrown away, so that its sender can read the answer: 128 MiB.
const MAX_DRAIN: usize = 128 << 20;
/// How long that may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body up to a limit; `what` names it for a person.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    what: &'static str,
    advice: &'static str,
) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        // Whoever asks first has not sent anything yet.
        if !headers.contains_key(header::EXPECT) {
            drain(body, 0).await;
        }
        return Err(too_large(what, limit, advice));
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, collect(body, limit)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Unread::TooLarge)) => Err(too_large(what, limit, advice)),
        Ok(Err(Unread::Broken(error))) => {
            Err(ApiError::bad_request(format!("{what} ended before it was complete: {error}")))
        }
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::BAD_REQUEST,
            format!("{what} did not arrive within {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}

enum Unread {
    TooLarge,
    Broken(axum::Error),
}

/// Collects a body; one that arrives in a single piece is not copied.
async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Unread> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else { continue };
        if first.len().max(whole.len()) + data.len() > limit {
            drain(body, limit).await;
            return Err(Unread::TooLarge);
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Reads on and throws away, within limits: a connection that is closed while the client still sends loses the answer.
async fn drain(mut body: Body, already: usize) {
    let rest = async {
        let mut seen = already;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > MAX_DRAIN {
                return;
            }
        }
    };
    // Whether the client finished or ran into a limit, the answer is the same.
    let _finished = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
}

fn too_large(what: &str, limit: usize, advice: &str) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::BODY_TOO_LARGE,
        format!("{what} is larger than the limit of {limit} bytes: {advice}"),
    )
}

/// A body as one JSON value: the bytes as they came, without the whitespace around them. An empty body is `null`.
pub(crate) fn json(body: &Bytes) -> Result<Bytes, ApiError> {
    if body.is_empty() {
        return Ok(Bytes::from_static(b"null"));
    }
    check_depth(body)?;
    let value: &RawValue = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!(
            "the body is not JSON: {error}; send the component's input as one JSON value in UTF-8"
        ))
    })?;
    Ok(body.slice_ref(value.get().as_bytes()))
}

/// A control request's body as a type. Where `secret`, a parser's message is not shown: it may quote what was sent.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8], form: &str, secret: bool) -> Result<T, ApiError> {
    check_depth(body)?;
    serde_json::from_slice(body).map_err(|error| {
        let why = if secret {
            format!("it does not fit at line {} column {}", error.line(), error.column())
        } else {
            error.to_string()
        };
        ApiError::bad_request(format!("the body cannot be read: {why}; it should look like {form}"))
    })
}

/// Counts brackets outside texts; what is not JSON is found by the parser.
fn check_depth(text: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(ApiError::bad_request(format!(
                "the body nests arrays and objects deeper than {MAX_DEPTH} levels: flatten it"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_text_and_loses_the_whitespace_around_it() {
        let body = Bytes::from_static(b" \n{\"n\": 9007199254740993}\n");
        assert_eq!(json(&body).unwrap(), "{\"n\": 9007199254740993}");
        assert_eq!(json(&Bytes::new()).unwrap(), "null");
    }

    #[test]
    fn what_is_not_one_json_value_in_utf8_is_refused() {
        for body in [&b"{"[..], b"{} {}", b"nope", b"\"\xff\"", b"   "] {
            assert_eq!(json(&Bytes::copy_from_slice(body)).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn brackets_count_only_outside_texts() {
        let deep = |depth: usize| Bytes::from(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(json(&deep(MAX_DEPTH)).is_ok());
        assert!(json(&deep(MAX_DEPTH + 1)).is_err());
        assert!(json(&Bytes::from(format!("\"\\\"{}\"", "[".repeat(1_000)))).is_ok());
    }
}
