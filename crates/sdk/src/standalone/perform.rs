//! Effects, performed by the runtime's services. Whatever becomes of one is an outcome that the agent sees.

use crate::{
    AuthContext,
    error::Error,
    exec::{Boxed, core::unreadable},
    services::{self, HttpRequest, HttpResponse, Runtime, TASK_PREFIX},
};
use bivouac_protocol::{
    Code, EffectKey, ErrorInfo, Json, RunId,
    frame::{Body, HeaderValue, HttpRequest as AskedRequest, HttpResponse as GivenResponse, Op, Outcome, Part},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// The largest reply of another service that an agent is given, in bytes.
pub const MAX_REPLY_BYTES: usize = 512 << 10;
/// The longest that a request waits for a sleeping agent, in milliseconds.
pub const MAX_SLEEP_MS: u64 = 30_000;

/// Whether an effect does something to the world, so that what led to it must be kept before.
pub(super) fn acts(op: &Op) -> bool {
    match op {
        Op::Http(request) => !matches!(request.method.as_str(), "GET" | "HEAD"),
        Op::MemorySave { .. } | Op::MemoryDelete { .. } => true,
        _ => false,
    }
}

/// Whether an effect waits for a person.
pub(super) const fn asks(op: &Op) -> bool {
    matches!(op, Op::Ask(_))
}

/// Performs an effect that is no question. `due_ms` is when a sleep ends.
pub(super) fn perform(
    runtime: &Arc<dyn Runtime>,
    caller: &AuthContext,
    task: RunId,
    key: &EffectKey,
    op: Op,
    due_ms: Option<u64>,
) -> Boxed<Outcome> {
    let runtime = Arc::clone(runtime);
    let caller = caller.clone();
    let key = key.idempotency_key(task);
    Box::pin(async move {
        let done = match op {
            Op::Http(request) => http(&*runtime, request, key).await.map(Outcome::Http),
            Op::Sleep { .. } => sleep(&*runtime, due_ms.unwrap_or_default()).await.map(Outcome::Ok),
            Op::Ask(_) => Err(Error::refused(Code::INTERNAL, "a question is not performed")),
            Op::Unknown { op } => Err(Error::refused(
                Code::OP_UNSUPPORTED,
                format!("the operation `{op}` is not performed here: do without it, or use the platform"),
            )),
            op => memory(&*runtime, &caller, op, &key).await.map(Outcome::Ok),
        };
        done.unwrap_or_else(|error| Outcome::Err(error.into_info()))
    })
}

async fn memory(runtime: &dyn Runtime, caller: &AuthContext, op: Op, key: &str) -> Result<Json, Error> {
    match &op {
        Op::MemoryLoad { name } | Op::MemorySave { name, .. } | Op::MemoryDelete { name } => own(name)?,
        _ => {}
    }
    let listed = matches!(op, Op::MemoryList { .. });
    let outcome = services::memory::perform(&*runtime.memory_service(), caller, op, key).await?;
    if !listed {
        return Ok(outcome);
    }
    let mut names: Vec<String> = outcome.parse().map_err(|error| unreadable("the names in memory", &error))?;
    names.retain(|name| !name.starts_with(TASK_PREFIX));
    Ok(Json::of(&names).expect("names are text"))
}

/// Refuses a name under which tasks may lie.
fn own(name: &str) -> Result<(), Error> {
    if name.starts_with(TASK_PREFIX) {
        return Err(Error::refused(
            Code::REQUEST_INVALID,
            format!("names in memory that begin with `{TASK_PREFIX}` are the host's: choose another"),
        ));
    }
    Ok(())
}

/// Whether a request may wait so long here.
pub(super) fn can_wait(runtime: &dyn Runtime, wait_ms: u64) -> bool {
    wait_ms == 0 || (wait_ms <= MAX_SLEEP_MS && runtime.timer_service().is_some())
}

async fn sleep(runtime: &dyn Runtime, due_ms: u64) -> Result<Json, Error> {
    let wait = due_ms.saturating_sub(runtime.now_ms());
    if wait == 0 {
        return Ok(Json::null());
    }
    let refused =
        |why: &str| Error::refused(Code::OP_UNSUPPORTED, format!("the agent sleeps for {wait} ms more, and {why}"));
    let Some(timer) = runtime.timer_service() else {
        return Err(refused("this host has no `timer_service`: give the runtime one, or deploy to the platform"));
    };
    if wait > MAX_SLEEP_MS {
        return Err(refused(&format!(
            "a request waits for {MAX_SLEEP_MS} ms at most: ask the user to come back, or deploy to the platform"
        )));
    }
    timer.sleep(Duration::from_millis(wait)).await;
    Ok(Json::null())
}

async fn http(runtime: &dyn Runtime, asked: AskedRequest, key: String) -> Result<GivenResponse, Error> {
    let mut secrets = Vec::new();
    let request = build(runtime, asked, key, &mut secrets)?;
    let reply = runtime.http_service().perform(request).await?;
    if reply.body.len() > MAX_REPLY_BYTES {
        return Err(Error::refused(
            Code::BODY_TOO_LARGE,
            format!(
                "the reply has {} bytes, {MAX_REPLY_BYTES} are allowed here, since a task is kept whole: ask for less",
                reply.body.len()
            ),
        ));
    }
    Ok(given(reply, &secrets))
}

/// The request as it is sent, with secrets filled in.
fn build(
    runtime: &dyn Runtime,
    asked: AskedRequest,
    key: String,
    secrets: &mut Vec<(String, String)>,
) -> Result<HttpRequest, Error> {
    let host = host_of(&asked.url);
    let mut headers = Vec::with_capacity(asked.headers.len() + 2);
    for (name, value) in asked.headers {
        let value = match value {
            HeaderValue::Text(text) => text,
            HeaderValue::Parts(parts) => fill(runtime, parts, host.as_deref(), secrets)?,
        };
        headers.push((name.to_ascii_lowercase(), value));
    }
    let has = |headers: &[(String, String)], wanted: &str| headers.iter().any(|(name, _)| name == wanted);
    if !matches!(asked.method.as_str(), "GET" | "HEAD") && !has(&headers, "idempotency-key") {
        headers.push(("idempotency-key".to_owned(), key));
    }
    if matches!(asked.body, Some(Body::Json(_))) && !has(&headers, "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let body = match asked.body {
        None => Bytes::new(),
        Some(Body::Bytes(bytes)) => bytes,
        Some(body) => Bytes::copy_from_slice(body.as_bytes()),
    };
    let timeout = asked.timeout_ms.map(Duration::from_millis);
    Ok(HttpRequest { method: asked.method, url: asked.url, headers, body, timeout })
}

fn fill(
    runtime: &dyn Runtime,
    parts: Vec<Part>,
    host: Option<&str>,
    secrets: &mut Vec<(String, String)>,
) -> Result<String, Error> {
    let Some(host) = host else {
        return Err(Error::refused(
            Code::REQUEST_INVALID,
            "a request with a secret goes to `https://HOST[:PORT]/..` (or http), written plainly and without a user: this URL is not",
        ));
    };
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(plain) => text.push_str(&plain),
            Part::Secret { secret: name } => {
                let value = runtime.secret(&name, host).ok_or_else(|| {
                    Error::refused(
                        Code::SECRET_NOT_GRANTED,
                        format!("this runtime has no secret `{name}` for `{host}`: give it one in `Runtime::secret`"),
                    )
                })?;
                text.push_str(&value);
                secrets.push((name, value));
            }
        }
    }
    Ok(text)
}

/// The host that every client would speak to for this URL, in lower case; nothing where clients might disagree: a secret
/// goes to no such place.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let digits = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if digits(port) => host,
        _ => authority,
    };
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let is_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')));
    (!host.is_empty() && (is_name || is_address)).then(|| host.to_ascii_lowercase())
}

/// The reply as a component sees it: JSON where it says so and is, else text where it is UTF-8, else bytes; no secret in
/// it that was sent.
fn given(reply: HttpResponse, secrets: &[(String, String)]) -> GivenResponse {
    let hidden = ["connection", "transfer-encoding", "content-length"];
    let is_json = reply.header("content-type").is_some_and(|value| value.contains("json"));
    let HttpResponse { status, headers, body } = reply;
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), redact(value, secrets)))
        .filter(|(name, _)| !hidden.contains(&name.as_str()))
        .collect();
    let body = match String::from_utf8(body.to_vec()) {
        Err(_) => Body::Bytes(body),
        Ok(text) => {
            let text = redact(text, secrets);
            match is_json.then(|| Json::parse_text(text.clone())) {
                Some(Ok(json)) => Body::Json(json),
                _ => Body::Text(text),
            }
        }
    };
    GivenResponse { status, headers, body }
}

fn redact(text: String, secrets: &[(String, String)]) -> String {
    secrets.iter().filter(|(_, value)| !value.is_empty()).fold(text, |text, (name, value)| {
        if text.contains(value.as_str()) { text.replace(value.as_str(), &format!("[secret {name}]")) } else { text }
    })
}

/// The error of a task that its host gives up.
pub(super) fn given_up(message: String) -> ErrorInfo {
    ErrorInfo::terminal(Code::new("TASK_TOO_LARGE"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found_only_where_every_client_finds_the_same() {
        assert_eq!(host_of("https://API.example:8443/x?y#z").as_deref(), Some("api.example"));
        assert_eq!(host_of("http://[::1]:80/").as_deref(), Some("[::1]"));
        for other in [
            "https://evil.example\\@api.example/",
            "https:evil.example/x://api.example/",
            "https://me@api.example/",
            "https://api.example\t/",
            "https:///api.example",
            "api.example/x",
            " https://api.example",
        ] {
            assert_eq!(host_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_not_shown() {
        let reply = HttpResponse {
            status: 200,
            headers: vec![("X-Echo".to_owned(), "Bearer s3cr3t".to_owned())],
            body: Bytes::from_static(b"you said s3cr3t"),
        };
        let given = given(reply, &[("KEY".to_owned(), "s3cr3t".to_owned())]);
        assert_eq!(given.headers, [("x-echo".to_owned(), "Bearer [secret KEY]".to_owned())]);
        assert_eq!(given.body, Body::Text("you said [secret KEY]".to_owned()));
    }
}
