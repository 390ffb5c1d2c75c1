//! HTTP requests, performed by the host under the deployment's grants.
//!
//! A secret is named, never seen: [`secret`] puts a mark into a header that the host replaces when the request leaves.
//! Requests other than GET and HEAD carry an `Idempotency-Key` that is the same in every attempt.

use crate::{
    context::Context,
    error::Error,
    exec::{
        core::{Core, unreadable},
        effect::{EffectFuture, Kind},
        millis,
    },
};
use bivouac_protocol::{
    Code, Json,
    frame::{Body, HeaderValue, HttpRequest, HttpResponse, Op, Part},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc, time::Duration};

/// How much of a refused reply's body goes into the error's message, in bytes.
const BODY_IN_MESSAGE: usize = 256;

/// A secret by its name. The host puts its value in; a component never sees it.
///
/// # Examples
/// ```
/// use bivouac::{bearer, secret};
/// # fn example(ctx: &bivouac::Context) {
/// ctx.http().get("https://api.example").header("authorization", bearer(secret("API_KEY")));
/// ctx.http().get("https://api.example").header("x-api-key", secret("API_KEY"));
/// # }
/// ```
pub fn secret(name: impl Into<String>) -> Header {
    Header(HeaderValue::Parts(vec![Part::Secret { secret: name.into() }]))
}

/// `Bearer ` and a token, which is usually a [`secret`].
pub fn bearer(token: impl Into<Header>) -> Header {
    let mut parts = vec![Part::Text("Bearer ".to_owned())];
    match token.into().0 {
        HeaderValue::Text(text) => return Header(HeaderValue::Text(format!("Bearer {text}"))),
        HeaderValue::Parts(more) => parts.extend(more),
    }
    Header(HeaderValue::Parts(parts))
}

/// A header's value: a text, or one with secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(HeaderValue);

impl From<&str> for Header {
    fn from(text: &str) -> Self {
        Self(HeaderValue::Text(text.to_owned()))
    }
}

impl From<String> for Header {
    fn from(text: String) -> Self {
        Self(HeaderValue::Text(text))
    }
}

impl From<&String> for Header {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// Makes requests; see [`Context::http`].
pub struct Http {
    core: Arc<Core>,
}

impl Context {
    /// Makes HTTP requests to hosts that the deployment is granted.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context, order: serde_json::Value) -> Result<(), Error> {
    /// let reply = ctx
    ///     .http()
    ///     .post("https://shop.example/orders")
    ///     .header("authorization", bearer(secret("SHOP_KEY")))
    ///     .timeout(Duration::from_secs(10))
    ///     .json(&order)
    ///     .send()
    ///     .await?
    ///     .error_for_status()?;
    /// let id: String = reply.json()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn http(&self) -> Http {
        Http { core: self.core_arc() }
    }
}

impl Http {
    /// A GET request.
    pub fn get(&self, url: impl Into<String>) -> Request {
        self.request("GET", url)
    }

    /// A HEAD request.
    pub fn head(&self, url: impl Into<String>) -> Request {
        self.request("HEAD", url)
    }

    /// A POST request.
    pub fn post(&self, url: impl Into<String>) -> Request {
        self.request("POST", url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl Into<String>) -> Request {
        self.request("PUT", url)
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl Into<String>) -> Request {
        self.request("PATCH", url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl Into<String>) -> Request {
        self.request("DELETE", url)
    }

    /// A request with any method.
    pub fn request(&self, method: impl Into<String>, url: impl Into<String>) -> Request {
        let mut method = method.into();
        method.make_ascii_uppercase();
        let request = HttpRequest { method, url: url.into(), headers: Vec::new(), body: None, timeout_ms: None };
        Request { core: Arc::clone(&self.core), request, key: None, refused: None }
    }
}

/// A request being written; [`Request::send`] sends it.
#[must_use = "a request does nothing unless sent"]
pub struct Request {
    core: Arc<Core>,
    request: HttpRequest,
    key: Option<String>,
    refused: Option<Error>,
}

impl Request {
    /// Adds a header; names are written in lower case.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Header>) -> Self {
        let mut name = name.into();
        name.make_ascii_lowercase();
        self.request.headers.push((name, value.into().0));
        self
    }

    /// Sends a value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match Json::of(value) {
            Ok(json) => self.request.body = Some(Body::Json(json)),
            Err(error) => self.refused = Some(unreadable("the request's body cannot be written as JSON", &error)),
        }
        self.default_header("content-type", "application/json")
    }

    /// Sends a text.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.request.body = Some(Body::Text(text.into()));
        self.default_header("content-type", "text/plain; charset=utf-8")
    }

    /// Sends bytes.
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.request.body = Some(Body::Bytes(bytes.into()));
        self.default_header("content-type", "application/octet-stream")
    }

    /// Limits how long the exchange may take, from connecting to the last byte.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout_ms = Some(millis(timeout));
        self
    }

    /// Names the request: its `Idempotency-Key` is made of this instead of its content, so that requests of this name in
    /// this scope are one request to the target, whatever they say.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    fn default_header(self, name: &str, value: &str) -> Self {
        if self.request.headers.iter().any(|(given, _)| given == name) { self } else { self.header(name, value) }
    }

    /// Sends the request and waits for the reply. Every status is a reply; see [`Response::error_for_status`].
    ///
    /// # Errors
    /// Why there is no reply: `HOST_NOT_GRANTED`, `SECRET_NOT_GRANTED`, `CONNECTION_FAILED`, `TIMEOUT`, ...
    pub async fn send(self) -> Result<Response, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let Self { core, request, key, .. } = self;
        let effect = EffectFuture::new(&core, Op::Http(request), Kind::Plain).with_key(key);
        drop(core);
        effect.await.reply().map(Response)
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response(HttpResponse);

impl Response {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.0.status
    }

    /// Whether the status is one of 200 to 299.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.0.status, 200..300)
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The reply, unless its status says that the request did not succeed.
    ///
    /// # Errors
    /// The code is `HTTP_` and the status, such as `HTTP_409`. 408, 425, 429 and 500 to 599 are retryable (with the wait
    /// that `Retry-After` asks for in seconds), all others are not.
    pub fn error_for_status(self) -> Result<Self, Error> {
        if self.is_success() {
            return Ok(self);
        }
        let status = self.0.status;
        let code = format!("HTTP_{status}");
        let body = String::from_utf8_lossy(self.0.body.as_bytes());
        let shown = &body[..body.floor_char_boundary(BODY_IN_MESSAGE)];
        let message = if shown.is_empty() {
            format!("the service answered with status {status}")
        } else {
            format!("the service answered with status {status}: {shown}")
        };
        if !matches!(status, 408 | 425 | 429 | 500..600) {
            return Err(Error::terminal(code, message));
        }
        let wait = self.header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let error = Error::retryable(code, message);
        Err(match wait {
            Some(wait) => error.retry_after(wait),
            None => error,
        })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the body is not what the type says.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.0.body.as_bytes()).map_err(|error| {
            Error::refused(
                Code::INVALID_INPUT,
                format!("the reply (status {}) is not the JSON that was expected: {error}", self.0.status),
            )
        })
    }

    /// The body as text.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the body is not UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(self.0.body.as_bytes())
            .map_err(|error| Error::refused(Code::INVALID_INPUT, format!("the reply is not text: {error}")))
    }

    /// The body as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.body.as_bytes()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.request, f)
    }
}
