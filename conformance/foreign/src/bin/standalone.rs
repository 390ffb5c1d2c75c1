//! The trip planner without the platform, under axum: `standalone [ADDRESS]`, by default `127.0.0.1:0`.
//!
//! It keeps everything in the process; its users are those of [`foreign::users`], or the one local user where
//! `STANDALONE_OPEN` is set.

use axum::{Router, body::Body, extract::Request, response::Response};
use bivouac::{InMemoryRuntime, standalone::Standalone};
use foreign::native::{Reqwest, Tokio};
use std::{error::Error, sync::Arc};

/// The largest body that is read, in bytes; the agents refuse smaller ones themselves.
const MAX_BODY: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut runtime =
        InMemoryRuntime::new().with_http_service(Arc::new(Reqwest::default())).with_timer_service(Arc::new(Tokio));
    if std::env::var_os("STANDALONE_OPEN").is_none() {
        runtime = runtime.with_auth_service(Arc::new(foreign::users()));
    }
    let agents = Standalone::new(trip_planner::configure_agent(), Arc::new(runtime)).at(&url);
    let app = Router::new().fallback(move |request: Request| {
        let agents = agents.clone();
        async move { answer(&agents, request).await }
    });
    announce(&url);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn answer(agents: &Standalone, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => agents.handle_request(http::Request::from_parts(head, body)).await.map(Body::from),
        Err(error) => {
            let mut response = Response::new(Body::from(format!("the body cannot be read: {error}\n")));
            *response.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            response
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program tells its user where it listens")]
fn announce(url: &str) {
    println!("listening on {url}");
}
