//! An agent that answers A2A in a module of its own, for a host that knows nothing of Bivouac.
//!
//! The host hands a request to [`handle_request`] and takes a response; all that it offers is one function that fetches.
//! [`etcd`] keeps tasks and memory over it, in a key-value server that speaks HTTP. Nothing is kept in the module: it may
//! be thrown away after every request, and in the middle of one.
//!
//! Where to go next: [`wire`] for what crosses the boundary, `tests/` for the host.

pub mod etcd;
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod trips;
pub mod wire;

use bivouac::{
    AuthContext, AuthService, HttpService, KeyAuthService, MemoryService, Runtime, TaskManager, standalone::Standalone,
};
use bytes::Bytes;
use std::{
    fmt,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Who may ask: two users, each with a key. A real host would read its keys from where it keeps secrets.
#[must_use]
pub fn users() -> KeyAuthService {
    KeyAuthService::new()
        .key("key-of-ada", AuthContext::new("trips", "ada"))
        .key("key-of-bob", AuthContext::new("trips", "bob"))
}

/// Everything that the agent stands on: the author's own, put together for this host.
pub struct ServerlessRuntime {
    auth_service: Arc<dyn AuthService>,
    memory_service: Arc<dyn MemoryService>,
    task_manager: Arc<dyn TaskManager>,
    http_service: Arc<dyn HttpService>,
}

impl ServerlessRuntime {
    /// State in the key-value server at this address; everything goes through `http`.
    pub fn new(http: Arc<dyn HttpService>, etcd: &str) -> Self {
        let store = etcd::Etcd::new(Arc::clone(&http), etcd);
        Self {
            auth_service: Arc::new(users()),
            memory_service: Arc::new(store.clone()),
            task_manager: Arc::new(store),
            http_service: http,
        }
    }
}

impl fmt::Debug for ServerlessRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerlessRuntime").finish_non_exhaustive()
    }
}

impl Runtime for ServerlessRuntime {
    fn auth_service(&self) -> Arc<dyn AuthService> {
        Arc::clone(&self.auth_service)
    }

    fn memory_service(&self) -> Arc<dyn MemoryService> {
        Arc::clone(&self.memory_service)
    }

    fn task_manager(&self) -> Arc<dyn TaskManager> {
        Arc::clone(&self.task_manager)
    }

    fn http_service(&self) -> Arc<dyn HttpService> {
        Arc::clone(&self.http_service)
    }
}

/// Answers a request on a host whose `fetch` is synchronous: nothing ever waits for anything else.
#[must_use]
pub fn handle_request(http: Arc<dyn HttpService>, etcd: &str, request: http::Request<Bytes>) -> http::Response<Bytes> {
    let agents = Standalone::new(trips::configure_agents(), Arc::new(ServerlessRuntime::new(http, etcd)));
    let answered = pin!(agents.handle_request(request)).poll(&mut Context::from_waker(Waker::noop()));
    match answered {
        Poll::Ready(response) => response,
        Poll::Pending => {
            let mut response = http::Response::new(Bytes::from_static(b"the agent waits for what this host has not\n"));
            *response.status_mut() = http::StatusCode::GATEWAY_TIMEOUT;
            response
        }
    }
}
