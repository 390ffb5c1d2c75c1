//! The server as the commands see it: requests, answers, and what a refusal means to whoever typed.
//!
//! The only place that maps HTTP to exit codes. It knows no rule of the server; it repeats nothing by itself.

use crate::{
    connection::Connection,
    failure::{Exit, Failure, Result},
    output, progress,
};
use bivouac_protocol::Code;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::{error::Error as _, time::Duration};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 128 << 20;
/// How much of an answer that is not ours is shown.
const SHOWN: usize = 120;
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may stay silent; a server compiles a large module in less.
const SILENCE: Duration = Duration::from_secs(120);

/// A server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    connection: Connection,
}

/// What a server says when it refuses.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Refusal {
    error: Option<Said>,
    error_code: Option<String>,
    hint: Option<String>,
}

/// What went wrong: words, or an object as A2A writes it.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Said {
    Words(String),
    Status {
        message: String,
        #[serde(default)]
        details: Vec<Detail>,
    },
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Detail {
    reason: Option<String>,
}

impl Refusal {
    /// What went wrong and its code.
    fn read(body: &[u8]) -> Option<(String, Option<String>, Option<String>)> {
        let Self { error, error_code, hint } = serde_json::from_slice(body).ok()?;
        Some(match error? {
            Said::Words(words) => (words, error_code, hint),
            Said::Status { message, details } => (message, details.into_iter().find_map(|detail| detail.reason), hint),
        })
    }
}

/// What a server may or may not know, by the names that its `/health` lists.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Capability {
    /// Agents, over A2A.
    Agents,
}

impl Capability {
    const fn name(self) -> &'static str {
        match self {
            Self::Agents => "a2a",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Agents => "agents",
        }
    }
}

/// What `/health` says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Health {
    status: String,
    version: String,
    capabilities: Vec<String>,
}

/// The header that every answer of a server has.
const VERSION_HEADER: &str = "bivouac-version";

impl Client {
    /// Prepares to talk to a server; nothing is sent yet.
    pub(crate) fn new(connection: Connection) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("bivouac/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&connection.server) {
            // A proxy set for the internet does not lead to this machine.
            builder = builder.no_proxy();
        }
        let http =
            builder.build().map_err(|error| Failure::failed("the HTTP client cannot be set up").why(chain(&error)))?;
        if let Some(key) = &connection.key
            && reqwest::header::HeaderValue::from_str(key).is_err()
        {
            return Err(Failure::usage(format!("the key ({}) cannot be sent", connection.key_from))
                .why("it holds characters that no key has, such as a line break")
                .hint("copy it again, without quotes around it"));
        }
        Ok(Self { http, connection })
    }

    /// The server's address.
    pub(crate) fn server(&self) -> &Url {
        &self.connection.server
    }

    /// The connection that it was made from.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A request, path segments escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.connection.server.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        let request = self.http.request(method, url);
        match &self.connection.key {
            Some(key) => request.header("X-API-KEY", key),
            None => request,
        }
    }

    pub(crate) fn get(&self, segments: &[&str]) -> RequestBuilder {
        self.request(Method::GET, segments)
    }

    pub(crate) fn post(&self, segments: &[&str]) -> RequestBuilder {
        self.request(Method::POST, segments)
    }

    /// Sends a request; any answer but a success is a failure. `undone` says what did not happen: "the run was not
    /// started".
    pub(crate) async fn send(&self, request: RequestBuilder, undone: &str) -> Result<Response> {
        progress::spin(format!("waiting for {}", self.connection.server), self.send_unwatched(request, undone)).await
    }

    /// Sends a request that shows by itself how far it is.
    async fn send_unwatched(&self, request: RequestBuilder, undone: &str) -> Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error, undone))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let version =
            response.headers().get(VERSION_HEADER).and_then(|version| version.to_str().ok().map(str::to_owned));
        let body = self.body(response, undone).await?;
        let mut failure = self.refused(status, &body, undone);
        // What it does not know may be what it does not know yet.
        if matches!(status.as_u16(), 404 | 405 | 501)
            && let Some(version) = version.filter(|version| is_older(version))
        {
            let before = failure.hint_text().map(|hint| format!("{hint}\n")).unwrap_or_default();
            failure = failure.hint(format!("{before}{}", self.update(&version)));
        }
        Err(failure)
    }

    /// Makes sure that the server knows what a command needs, before anything is sent.
    pub(crate) async fn require(&self, capability: Capability, undone: &str) -> Result {
        let health: Health = self.json(self.get(&["health"]), undone).await?;
        if health.status != "ok" || health.version.is_empty() {
            return Err(self.foreign(undone, "its /health is not one of ours"));
        }
        if health.capabilities.iter().any(|name| name == capability.name()) {
            return Ok(());
        }
        let Connection { server, server_from, .. } = &self.connection;
        Err(Failure::new(Exit::Refused, undone)
            .why(format!(
                "{server} ({server_from}) is a Bivouac server of version {} that does not know {} yet",
                output::short(&health.version, SHOWN),
                capability.meaning()
            ))
            .hint(self.update(&health.version)))
    }

    /// How a server that is too old is brought up to date.
    fn update(&self, version: &str) -> String {
        format!(
            "update the server: stop it, and start `bivouac serve` of {} on the same data (it is {} now)",
            env!("CARGO_PKG_VERSION"),
            output::short(version, SHOWN)
        )
    }

    /// What an error in the middle of an event stream means.
    pub(crate) fn refused_in_stream(&self, data: &str, undone: &str) -> Failure {
        match Refusal::read(data.as_bytes()) {
            Some((why, code, _)) => {
                let failure = Failure::failed(undone).why(why);
                code.into_iter().fold(failure, Failure::code)
            }
            None => self.foreign(undone, &format!("its stream has an error: {}", output::short(data, SHOWN))),
        }
    }

    /// Sends a request and takes any answer.
    pub(crate) async fn any_status(&self, request: RequestBuilder, undone: &str) -> Result<(StatusCode, Vec<u8>)> {
        let response = request.send().await.map_err(|error| self.unreachable(&error, undone))?;
        let status = response.status();
        Ok((status, self.body(response, undone).await?))
    }

    /// Sends a request and reads the answer's JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder, undone: &str) -> Result<T> {
        let text = self.text(request, undone).await?;
        self.read(&text, undone)
    }

    /// Sends a request and reads the answer's text.
    pub(crate) async fn text(&self, request: RequestBuilder, undone: &str) -> Result<String> {
        let response = self.send(request, undone).await?;
        let body = self.body(response, undone).await?;
        String::from_utf8(body).map_err(|_| self.foreign(undone, "its answer is not text"))
    }

    /// Uploads something and reads the answer's text; how far it is shows in a terminal.
    pub(crate) async fn upload(&self, request: RequestBuilder, body: &[u8], undone: &str) -> Result<String> {
        let (body, _bar) = progress::upload(body, format!("waiting for {}", self.connection.server));
        let response = self.send_unwatched(request.body(body), undone).await?;
        let body = self.body(response, undone).await?;
        String::from_utf8(body).map_err(|_| self.foreign(undone, "its answer is not text"))
    }

    /// Reads JSON that the server sent.
    pub(crate) fn read<T: DeserializeOwned>(&self, text: &str, undone: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| {
            self.foreign(
                undone,
                &format!("its answer is not what is expected ({error}): {}", output::short(text, SHOWN)),
            )
        })
    }

    async fn body(&self, mut response: Response, undone: &str) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error, undone))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.foreign(undone, &format!("its answer has more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What an answer other than a success means.
    fn refused(&self, status: StatusCode, body: &[u8], undone: &str) -> Failure {
        let exit = match status.as_u16() {
            400 | 405 => Exit::Usage,
            404 => Exit::NotFound,
            502..=504 => Exit::Unreachable,
            500.. => Exit::Failed,
            _ => Exit::Refused,
        };
        let Some((why, error_code, hint)) = Refusal::read(body) else {
            let said = output::short(&String::from_utf8_lossy(body), SHOWN);
            let mut failure = self.foreign(undone, &format!("it answers {status}: {said}"));
            failure.exit = exit;
            return failure;
        };
        let mut failure = Failure::new(exit, undone).why(why);
        if exit == Exit::Unreachable {
            failure = failure.sent();
        }
        if let Some(hint) = hint.or_else(|| self.hint(status, error_code.as_deref())) {
            failure = failure.hint(hint);
        }
        match error_code {
            Some(code) => failure.code(code),
            None => failure.code(status.as_str()),
        }
    }

    /// What helps, where the server does not say it itself.
    fn hint(&self, status: StatusCode, code: Option<&str>) -> Option<String> {
        let is = |known: Code| code == Some(known.as_str());
        Some(match status.as_u16() {
            401 if self.connection.key.is_none() => {
                "export BIVOUAC_KEY=... with a key of this server; `bivouac serve` prints one at its first start"
                    .to_owned()
            }
            401 => format!("check the key ({}): it may be of another server, or revoked", self.connection.key_from),
            403 => "use a key with that scope: `bivouac keys create --name NAME --scope SCOPE` makes one".to_owned(),
            404 if is(Code::COMPONENT_NOT_FOUND) => {
                "`bivouac deployments ls` shows what is deployed, `bivouac deploy` deploys more".to_owned()
            }
            429 => "wait a little, then try the same again".to_owned(),
            507 => "make room on the server's disk; runs go on by themselves".to_owned(),
            _ => return None,
        })
    }

    /// A request without an answer.
    pub(crate) fn unreachable(&self, error: &reqwest::Error, undone: &str) -> Failure {
        let Connection { server, server_from, .. } = &self.connection;
        let why = if error.is_timeout() {
            format!("{server} ({server_from}) did not answer in time")
        } else if error.is_connect() {
            format!("{server} ({server_from}) cannot be reached: {}", deepest(error))
        } else {
            format!("the connection to {server} ({server_from}) broke: {}", deepest(error))
        };
        let hint = if is_loopback(server) {
            "start one with `bivouac dev` in a project or with `bivouac serve`, or name another with --server or BIVOUAC_SERVER"
        } else {
            "check the address (--server, BIVOUAC_SERVER) and the network; `bivouac doctor` looks closer"
        };
        let failure = Failure::new(Exit::Unreachable, undone).why(why).hint(hint);
        if error.is_connect() { failure } else { failure.sent() }
    }

    /// An answer that no Bivouac server gives.
    fn foreign(&self, undone: &str, why: &str) -> Failure {
        let Connection { server, server_from, .. } = &self.connection;
        Failure::new(Exit::Unreachable, undone)
            .why(format!("{server} ({server_from}) does not seem to be a Bivouac server of this release: {why}"))
            .hint("check the address; `bivouac doctor` looks closer")
    }
}

/// Whether an address leads to this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// Whether a version is of an earlier release than this command; one that cannot be read is not.
fn is_older(version: &str) -> bool {
    let numbers = |text: &str| {
        let release = text.split(['-', '+']).next().unwrap_or_default();
        release.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()
    };
    match (numbers(version), numbers(env!("CARGO_PKG_VERSION"))) {
        (Some(theirs), Some(ours)) => theirs < ours,
        _ => false,
    }
}

/// The innermost reason: what the operating system said.
fn deepest(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// An error with its reasons.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text.push_str(&format!(": {reason}"));
        source = reason.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_release_is_older_and_what_is_no_version_is_not() {
        assert!(is_older("0.0.9") && is_older("0.0.9-rc.1"));
        for version in [env!("CARGO_PKG_VERSION"), "99.0.0", "", "nginx/1.2", "0.x"] {
            assert!(!is_older(version), "{version}");
        }
    }

    #[test]
    fn errors_of_the_runs_api_and_of_a2a_are_both_read() {
        let ours = Refusal::read(br#"{"error":"no","error_code":"X"}"#).unwrap();
        assert_eq!((ours.0.as_str(), ours.1.as_deref()), ("no", Some("X")));
        let a2a = br#"{"error":{"code":404,"status":"NOT_FOUND","message":"no","details":[{"@type":"t"},{"reason":"TASK_NOT_FOUND"}]}}"#;
        let a2a = Refusal::read(a2a).unwrap();
        assert_eq!((a2a.0.as_str(), a2a.1.as_deref()), ("no", Some("TASK_NOT_FOUND")));
        assert!(Refusal::read(b"{}").is_none() && Refusal::read(b"<html>").is_none());
    }
}
