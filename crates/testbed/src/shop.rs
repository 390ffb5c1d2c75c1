//! A local HTTP service that an order buys from: it counts, remembers and misbehaves as told.
//!
//! Every call is recorded when its body has arrived, so a test that waits for the nth call of a path ([`Shop::wait_for`])
//! can kill the caller before it has its answer ([`Shop::hold`]) or after. The reply to a key is always the same, as that
//! of a careful service; two different bodies under one key are answered with 422 and remembered ([`Shop::conflicts`]).
//! Nothing here sleeps to find out what happened: waits are woken by what they wait for.

use bivouac_protocol::key::Digest;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

/// Calls that are remembered one by one; later ones are only counted.
pub const MAX_RECORDED_CALLS: usize = 200_000;

/// The largest body that is read.
pub const MAX_BODY_BYTES: usize = 16 << 20;

/// Below this path the reply to equal requests is equal, whatever their keys.
pub const ECHO: &str = "/echo/";

/// A call as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its place in the order of arrival, from 1.
    pub number: u64,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// The digest of its body.
    pub body: String,
    /// The status it was answered with, once it was.
    pub status: Option<u16>,
}

/// What a test waited for and did not come.
#[derive(Debug, thiserror::Error)]
#[error("waited {waited:?} for call {wanted} of {path}, and {seen} came; calls so far: {calls:?}")]
pub struct TimedOut {
    waited: Duration,
    path: String,
    wanted: u64,
    seen: u64,
    calls: BTreeMap<String, u64>,
}

/// A running shop; it ends when it is dropped.
#[derive(Debug)]
pub struct Shop {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    /// Opens a shop on a free port of the loopback address, with a thread and a runtime of its own.
    ///
    /// # Errors
    /// What the operating system refuses: a port, a thread.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("shop".to_owned()).spawn(move || {
            runtime.block_on(serve(listener, serving, stopped));
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The shop's origin: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of a path that begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many calls of a path arrived.
    #[must_use]
    pub fn calls(&self, path: &str) -> u64 {
        self.shared.lock().paths.get(path).map_or(0, |counts| counts.arrived)
    }

    /// How many calls of a path were answered with success.
    #[must_use]
    pub fn accepted(&self, path: &str) -> u64 {
        self.shared.lock().paths.get(path).map_or(0, |counts| counts.accepted)
    }

    /// How many calls of each path arrived.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.lock().counts()
    }

    /// The calls in the order in which they arrived, the first [`MAX_RECORDED_CALLS`].
    #[must_use]
    pub fn log(&self) -> Vec<Call> {
        self.shared.lock().log.clone()
    }

    /// How often each `Idempotency-Key` arrived at a path, by (path, key).
    #[must_use]
    pub fn keys(&self) -> BTreeMap<(String, String), u64> {
        let mut keys = BTreeMap::new();
        for call in &self.shared.lock().log {
            if let Some(key) = &call.key {
                *keys.entry((call.path.clone(), key.clone())).or_default() += 1;
            }
        }
        keys
    }

    /// Keys that arrived with two different requests; a correct caller leaves this empty.
    #[must_use]
    pub fn conflicts(&self) -> Vec<String> {
        self.shared.lock().conflicts.clone()
    }

    /// Answers every later call of a path that succeeds with this JSON, whatever it says.
    pub fn offer(&self, path: &str, reply: &serde_json::Value) {
        self.shared.lock().offers.insert(path.to_owned(), reply.to_string());
    }

    /// Lets every later call of a path wait so long before it is answered.
    pub fn slow(&self, path: &str, delay: Duration) {
        self.shared.lock().rule(path).delay = delay;
    }

    /// Answers the next `calls` calls of a path with a status, such as 503.
    pub fn fail_next(&self, path: &str, calls: u32, status: u16) {
        let mut state = self.shared.lock();
        let rule = state.rule(path);
        rule.failures = calls;
        rule.failure = status;
    }

    /// Answers every later call of a path with 409.
    pub fn refuse(&self, path: &str) {
        self.shared.lock().rule(path).refused = true;
    }

    /// Lets every later call of a path arrive and wait unanswered until [`Self::release`].
    pub fn hold(&self, path: &str) {
        self.shared.lock().rule(path).held = true;
    }

    /// Answers the calls of a path that are held, and holds no more.
    pub fn release(&self, path: &str) {
        self.shared.lock().rule(path).held = false;
        self.shared.released.send_modify(|version| *version += 1);
    }

    /// Forgets every rule and everything recorded; held calls are answered. What is offered stays.
    pub fn reset(&self) {
        let mut state = self.shared.lock();
        let offers = std::mem::take(&mut state.offers);
        *state = State { offers, ..State::default() };
        drop(state);
        self.shared.released.send_modify(|version| *version += 1);
    }

    /// Waits until the `wanted`th call of a path has arrived; it need not be answered yet.
    ///
    /// # Errors
    /// [`TimedOut`], with the calls that did arrive.
    pub fn wait_for(&self, path: &str, wanted: u64, within: Duration) -> Result<(), TimedOut> {
        self.wait(path, wanted, within, |counts| counts.arrived)
    }

    /// Waits until the `wanted`th call of a path has been answered, with whatever status.
    ///
    /// # Errors
    /// [`TimedOut`], with the calls that did arrive.
    pub fn wait_for_answer(&self, path: &str, wanted: u64, within: Duration) -> Result<(), TimedOut> {
        self.wait(path, wanted, within, |counts| counts.answered)
    }

    fn wait(&self, path: &str, wanted: u64, within: Duration, of: fn(&Counts) -> u64) -> Result<(), TimedOut> {
        let deadline = Instant::now() + within;
        let mut state = self.shared.lock();
        loop {
            let seen = state.paths.get(path).map_or(0, of);
            if seen >= wanted {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TimedOut { waited: within, path: path.to_owned(), wanted, seen, calls: state.counts() });
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself; there is nothing left to tell it then.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Woken at each arrival and each answer.
    changed: Condvar,
    /// Counts what may let a held call go.
    released: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    paths: BTreeMap<String, Counts>,
    rules: HashMap<String, Rule>,
    /// Fixed replies by path.
    offers: BTreeMap<String, String>,
    log: Vec<Call>,
    arrived: u64,
    /// The request that each key came with first.
    first: HashMap<String, Digest>,
    conflicts: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    arrived: u64,
    answered: u64,
    accepted: u64,
}

/// How a path misbehaves.
#[derive(Debug, Default)]
struct Rule {
    delay: Duration,
    failures: u32,
    failure: u16,
    refused: bool,
    held: bool,
}

/// What a call is to be answered with, and when.
struct Verdict {
    number: u64,
    status: StatusCode,
    delay: Duration,
    reply: String,
}

impl State {
    fn rule(&mut self, path: &str) -> &mut Rule {
        self.rules.entry(path.to_owned()).or_default()
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        self.paths.iter().map(|(path, counts)| (path.clone(), counts.arrived)).collect()
    }

    fn arrive(&mut self, method: &str, path: &str, key: Option<&str>, body: &[u8]) -> Verdict {
        self.arrived += 1;
        let number = self.arrived;
        self.paths.entry(path.to_owned()).or_default().arrived += 1;
        let request = Digest::of([method.as_bytes(), path.as_bytes(), body]);
        if self.log.len() < MAX_RECORDED_CALLS {
            let body = Digest::of([body]).text();
            let (method, path, key) = (method.to_owned(), path.to_owned(), key.map(str::to_owned));
            self.log.push(Call { number, method, path, key, body, status: None });
        }
        let (status, delay) = self.judge(path, key, request);
        let reply = if let Some(offer) = self.offers.get(path).filter(|_| status.is_success()) {
            offer.clone()
        } else if status.is_success() {
            // The same for the same key, so that a caller who repeats himself learns nothing new.
            // The same for the same request, so that two runs with one input have one output.
            let reference = request.text();
            let id = match key {
                Some(key) if !path.starts_with(ECHO) => Digest::of([key.as_bytes()]).text(),
                _ => reference.clone(),
            };
            json!({ "id": id, "reference": reference, "path": path }).to_string()
        } else {
            json!({ "error": format!("the shop answers {path} with {status}"), "path": path }).to_string()
        };
        Verdict { number, status, delay, reply }
    }

    fn judge(&mut self, path: &str, key: Option<&str>, request: Digest) -> (StatusCode, Duration) {
        if let Some(key) = key {
            if self.first.get(key).is_some_and(|first| *first != request) {
                self.conflicts.push(key.to_owned());
                return (StatusCode::UNPROCESSABLE_ENTITY, Duration::ZERO);
            }
            if self.first.len() < MAX_RECORDED_CALLS {
                self.first.insert(key.to_owned(), request);
            }
        }
        let Some(rule) = self.rules.get_mut(path) else { return (StatusCode::OK, Duration::ZERO) };
        let status = if rule.refused {
            StatusCode::CONFLICT
        } else if rule.failures > 0 {
            rule.failures -= 1;
            StatusCode::from_u16(rule.failure).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        } else {
            StatusCode::OK
        };
        (status, rule.delay)
    }

    fn answer(&mut self, path: &str, verdict: &Verdict) {
        if let Some(counts) = self.paths.get_mut(path) {
            counts.answered += 1;
            counts.accepted += u64::from(verdict.status.is_success());
        }
        let call = usize::try_from(verdict.number).ok().and_then(|number| self.log.get_mut(number - 1));
        if let Some(call) = call {
            call.status = Some(verdict.status.as_u16());
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime has a reactor");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                // A caller that is gone before it was accepted is no concern of the shop's.
                let Ok((stream, _)) = accepted else { continue };
                stream.set_nodelay(true).ok();
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, &shared));
                    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                    // Callers are killed in the middle of their calls: that is what the shop is for.
                    connection.await.ok();
                });
            }
        }
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return Ok(response(StatusCode::PAYLOAD_TOO_LARGE, json!({ "error": "the body cannot be read" }).to_string()));
    };
    let key = head.headers.get("idempotency-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let path = head.uri.path();
    let mut released = shared.released.subscribe();
    let verdict = shared.lock().arrive(head.method.as_str(), path, key.as_deref(), &body.to_bytes());
    shared.changed.notify_all();
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    while shared.lock().rules.get(path).is_some_and(|rule| rule.held) {
        // The sender lives in `shared`, so this ends only because something was released.
        released.changed().await.ok();
    }
    shared.lock().answer(path, &verdict);
    shared.changed.notify_all();
    Ok(response(verdict.status, verdict.reply))
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
