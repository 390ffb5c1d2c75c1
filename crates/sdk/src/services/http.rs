//! Requests as a host sends them: secrets filled in, bodies as bytes.

use crate::{error::Error, memory::AgentResult};
use async_trait::async_trait;
use bivouac_protocol::Code;
use bytes::Bytes;
use std::{fmt, time::Duration};

/// A request to another service.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, in upper case.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// Names, in lower case, and values of the headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: Bytes,
    /// How long the exchange may take, where the component said so.
    pub timeout: Option<Duration>,
}

/// A reply of another service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Names and values of the headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl HttpRequest {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), ..Self::default() }
    }

    /// Adds a header; its name is written in lower case.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// Sends a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl HttpResponse {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Performs requests.
#[async_trait]
pub trait HttpService: Send + Sync {
    /// Sends a request and waits for the whole reply; every status is a reply.
    ///
    /// A request other than GET and HEAD carries an `Idempotency-Key` that is the same whenever it is sent again.
    ///
    /// # Errors
    /// Why there is no reply. A retryable error lets the component try again.
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse>;
}

/// Sends nothing: what a runtime has that names no HTTP service.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHttpService;

impl NoHttpService {
    /// Refuses every request.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl HttpService for NoHttpService {
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse> {
        Err(Error::refused(
            Code::OP_UNSUPPORTED,
            format!("this runtime sends no requests, so not to `{}` either: give it an `http_service`", request.url),
        ))
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold keys.
        f.debug_struct("HttpRequest").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}
