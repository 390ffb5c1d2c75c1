//! The `http` effect: one request to a granted host, at an address that may be connected to.
//!
//! The address is checked where it is connected to, so that a name that changes its mind between check and connect gains
//! nothing. Redirects are not followed: the guest sees them and asks again, under its grants. Secrets are put in here,
//! and taken out of whatever comes back.

use super::address::{AddressRules, is_granted};
use crate::{metrics::Metrics, secrets::Opened};
use bivouac_protocol::{
    Code, ErrorInfo, Json,
    frame::{Body, HeaderValue, HttpRequest, HttpResponse, Outcome, Part},
    manifest::Capabilities,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue as WireValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// How long an exchange may take where the guest does not say, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 30_000;
/// How long an exchange may take at most, in milliseconds.
pub const MAX_TIMEOUT_MS: u64 = 600_000;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// Headers that the host itself sets or that belong to one connection.
const REFUSED_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-authorization",
];

/// Performs `http` effects for all deployments.
#[derive(Clone)]
pub struct HttpEffects {
    client: Client<HttpsConnector<HttpConnector<GuardedResolver>>, Full<Bytes>>,
    rules: Arc<AddressRules>,
    max_response: usize,
    metrics: Arc<Metrics>,
}

/// What a request is performed with.
pub struct Exchange {
    /// The request as the guest wrote it.
    pub request: HttpRequest,
    /// Offered to the target where the request is not `safe`.
    pub idempotency_key: String,
    /// What the deployment was granted.
    pub grants: Capabilities,
    /// The secrets that it was granted.
    pub secrets: BTreeMap<String, Opened>,
}

impl HttpEffects {
    /// A client that connects only where the rules permit.
    #[must_use]
    pub fn new(rules: AddressRules, max_response: usize, metrics: Arc<Metrics>) -> Self {
        let rules = Arc::new(rules);
        let mut connector = HttpConnector::new_with_resolver(GuardedResolver { rules: rules.clone() });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_TIMEOUT).build(https);
        Self { client, rules, max_response, metrics }
    }

    /// Performs one exchange; whatever becomes of it is an outcome.
    pub async fn perform(&self, exchange: Exchange) -> Outcome {
        Metrics::count(&self.metrics.http_requests);
        let limit = exchange.request.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS).min(MAX_TIMEOUT_MS);
        let request = match self.build(&exchange) {
            Ok(request) => request,
            Err(refusal) => {
                Metrics::count(&self.metrics.effects_refused);
                return Outcome::Err(refusal);
            }
        };
        match tokio::time::timeout(Duration::from_millis(limit), self.send(request, &exchange)).await {
            Ok(Ok(response)) => Outcome::Http(response),
            Ok(Err(error)) => Outcome::Err(error),
            Err(_) => Outcome::Err(ErrorInfo::retryable(
                Code::TIMEOUT,
                format!("no complete answer within {limit} ms: raise the request's timeout, or try again"),
            )),
        }
    }

    fn build(&self, exchange: &Exchange) -> Result<Request<Full<Bytes>>, ErrorInfo> {
        let asked = &exchange.request;
        let uri: Uri = asked.url.parse().map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        let target = Target::of(&uri)?;
        let granted = is_granted(&exchange.grants, target.host, target.port, target.default_port);
        let own_machine = self.rules.loopback && target.is_loopback();
        if !granted && !own_machine {
            // As a module asks for it: without the port that is understood anyway.
            let host = if target.port == target.default_port {
                target.host.to_owned()
            } else {
                format!("{}:{}", target.host, target.port)
            };
            return Err(ErrorInfo::terminal(
                Code::HOST_NOT_GRANTED,
                format!(
                    "the deployment was not granted `{host}`: let the module ask for it with `.host(\"{host}\")`, and grant \
                     it with --grant host={host} or under [grants] in bivouac.toml"
                ),
            ));
        }
        if let Some(address) = target.address().filter(|address| !self.rules.permit(*address)) {
            return Err(address_refused(target.host, &[address]));
        }
        let method = Method::from_bytes(asked.method.as_bytes())
            .map_err(|_| invalid(format!("`{}` is not a method", asked.method.escape_debug())))?;
        let safe = matches!(method, Method::GET | Method::HEAD);
        let mut request = Request::builder().method(method).uri(&uri);
        let headers = request.headers_mut().ok_or_else(|| invalid("the request cannot be built".to_owned()))?;
        fill_headers(headers, exchange, target.host)?;
        if !safe && !headers.contains_key("idempotency-key") {
            let key = WireValue::from_str(&exchange.idempotency_key)
                .map_err(|_| invalid("the effect's key holds characters that a header may not".to_owned()))?;
            headers.insert("idempotency-key", key);
        }
        let body = match &asked.body {
            None => Bytes::new(),
            Some(Body::Bytes(bytes)) => bytes.clone(),
            Some(body) => Bytes::copy_from_slice(body.as_bytes()),
        };
        if matches!(asked.body, Some(Body::Json(_))) && !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, WireValue::from_static("application/json"));
        }
        request.body(Full::new(body)).map_err(|error| invalid(format!("the request cannot be built: {error}")))
    }

    async fn send(&self, request: Request<Full<Bytes>>, exchange: &Exchange) -> Result<HttpResponse, ErrorInfo> {
        let response = self.client.request(request).await.map_err(|error| connection_error(&error))?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, self.max_response).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(ErrorInfo::terminal(
                    Code::BODY_TOO_LARGE,
                    format!("the answer has more than {} bytes: ask for less at once", self.max_response),
                ));
            }
            Err(error) => {
                return Err(ErrorInfo::retryable(
                    Code::CONNECTION_FAILED,
                    format!("the connection broke within the answer: {error}"),
                ));
            }
        };
        let is_json = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("json"));
        let headers = head
            .headers
            .iter()
            .filter(|(name, _)| {
                !matches!(**name, header::CONNECTION | header::TRANSFER_ENCODING | header::CONTENT_LENGTH)
            })
            .map(|(name, value)| {
                let value = redact(&String::from_utf8_lossy(value.as_bytes()), &exchange.secrets);
                (name.as_str().to_owned(), value)
            })
            .collect();
        Ok(HttpResponse { status: head.status.as_u16(), headers, body: neutral_body(body, is_json, &exchange.secrets) })
    }
}

/// JSON where it says so and is, else text where it is UTF-8, else bytes.
fn neutral_body(body: Bytes, is_json: bool, secrets: &BTreeMap<String, Opened>) -> Body {
    let Ok(text) = std::str::from_utf8(&body) else {
        return Body::Bytes(body);
    };
    let text = redact(text, secrets);
    if is_json && let Ok(json) = Json::parse_text(text.clone()) {
        return Body::Json(json);
    }
    Body::Text(text)
}

/// Replaces exact echoes of secrets, before anything is recorded.
fn redact(text: &str, secrets: &BTreeMap<String, Opened>) -> String {
    secrets.iter().filter(|(_, secret)| !secret.value.reveal().is_empty()).fold(
        text.to_owned(),
        |text, (name, secret)| {
            let value = secret.value.reveal();
            if text.contains(value) { text.replace(value, &format!("[secret {name}]")) } else { text }
        },
    )
}

fn fill_headers(headers: &mut http::HeaderMap, exchange: &Exchange, host: &str) -> Result<(), ErrorInfo> {
    if exchange.request.headers.len() > MAX_HEADERS {
        return Err(invalid(format!("a request may have {MAX_HEADERS} headers")));
    }
    for (name, value) in &exchange.request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid(format!("`{}` is not a header's name", name.escape_debug())))?;
        if REFUSED_HEADERS.contains(&name.as_str()) {
            return Err(invalid(format!("the header `{name}` is set by the host: leave it out")));
        }
        let text = match value {
            HeaderValue::Text(text) => text.clone(),
            HeaderValue::Parts(parts) => fill_parts(parts, exchange, host)?,
        };
        let mut value = WireValue::from_str(&text)
            .map_err(|_| invalid(format!("the value of the header `{name}` holds characters that a header may not")))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(())
}

fn fill_parts(parts: &[Part], exchange: &Exchange, host: &str) -> Result<String, ErrorInfo> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(plain) => text.push_str(plain),
            Part::Secret { secret: name } => {
                let refused =
                    |why: &str| ErrorInfo::terminal(Code::SECRET_NOT_GRANTED, format!("the secret `{name}` {why}"));
                if !exchange.grants.secrets.contains(name) {
                    return Err(refused(&format!(
                        "was not granted to the deployment: deploy with --grant secret={name}"
                    )));
                }
                let secret = exchange.secrets.get(name).ok_or_else(|| {
                    refused(&format!("is not set in this environment: bivouac secrets set {name} --host {host}"))
                })?;
                // A secret is bound to hosts by name; which port a service listens on says nothing about whose it is.
                let bound = secret.hosts.iter().any(|pattern| {
                    super::address::matches(&format!("{}:*", pattern.trim_end_matches(":*")), host, 0, 0)
                });
                if !bound {
                    return Err(refused(&format!(
                        "may not be sent to `{host}`: it is bound to {}",
                        secret.hosts.join(", ")
                    )));
                }
                text.push_str(secret.value.reveal());
            }
        }
    }
    Ok(text)
}

fn invalid(message: String) -> ErrorInfo {
    ErrorInfo::terminal(Code::REQUEST_INVALID, message)
}

fn address_refused(host: &str, addresses: &[IpAddr]) -> ErrorInfo {
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    ErrorInfo::terminal(
        Code::ADDRESS_REFUSED,
        format!(
            "`{host}` leads to {}, which is not a public address: the operator may allow it with --allow-address",
            list.join(", ")
        ),
    )
}

fn connection_error(error: &hyper_util::client::legacy::Error) -> ErrorInfo {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = error.to_string();
    while let Some(inner) = source {
        if let Some(Refused(refusal)) = inner.downcast_ref::<Refused>() {
            return refusal.clone();
        }
        last = inner.to_string();
        source = inner.source();
    }
    let what = if error.is_connect() { "the host could not be connected to" } else { "the connection broke" };
    ErrorInfo::retryable(Code::CONNECTION_FAILED, format!("{what}: {last}"))
}

/// Where a URL leads.
struct Target<'a> {
    host: &'a str,
    port: u16,
    default_port: u16,
}

impl<'a> Target<'a> {
    fn of(uri: &'a Uri) -> Result<Self, ErrorInfo> {
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(invalid("the URL must begin with http:// or https://".to_owned())),
        };
        let authority = uri.authority().ok_or_else(|| invalid("the URL names no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(invalid("the URL holds a user or password: send them in a header, as a secret".to_owned()));
        }
        Ok(Self { host: authority.host(), port: authority.port_u16().unwrap_or(default_port), default_port })
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.address().is_some_and(|address| address.is_loopback())
    }
}

/// Resolves names, and gives only addresses that may be connected to.
#[derive(Clone)]
struct GuardedResolver {
    rules: Arc<AddressRules>,
}

/// A refusal on its way through the connector.
#[derive(Debug)]
struct Refused(ErrorInfo);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Refused {}

impl tower_service::Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let rules = self.rules.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (permitted, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|a| rules.permit(a.ip()));
            if permitted.is_empty() && !refused.is_empty() {
                let addresses: Vec<IpAddr> = refused.iter().map(SocketAddr::ip).collect();
                return Err(Refused(address_refused(name.as_str(), &addresses)).into());
            }
            Ok(permitted.into_iter())
        })
    }
}
