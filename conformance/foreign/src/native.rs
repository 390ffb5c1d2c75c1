//! Services of a program that is no module: requests through reqwest, waits through tokio.

use bivouac::{
    AgentResult, Error, HttpService, TimerService, async_trait,
    services::{HttpRequest, HttpResponse},
};
use std::time::Duration;

/// How long a request may take that does not say so.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests.
#[derive(Clone, Debug, Default)]
pub struct Reqwest {
    client: reqwest::Client,
}

#[async_trait]
impl HttpService for Reqwest {
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse> {
        let mut sent = self.client.request(request.method.parse()?, &request.url).body(request.body);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let failed = |error: reqwest::Error| {
            Error::retryable("CONNECTION_FAILED", "the service does not answer").context(Error::from(error).message())
        };
        let reply = sent.timeout(request.timeout.unwrap_or(TIMEOUT)).send().await.map_err(failed)?;
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(HttpResponse {
            status: reply.status().as_u16(),
            headers: reply.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: reply.bytes().await.map_err(failed)?,
        })
    }
}

/// Waits on tokio's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

#[async_trait]
impl TimerService for Tokio {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
