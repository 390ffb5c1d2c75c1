//! The module's boundary: the one function that it is called by, and the one that it calls.
#![expect(unsafe_code, reason = "buffers cross the boundary as addresses")]

use crate::wire::Message;
use bivouac::{
    AgentResult, Error, HttpService, async_trait,
    services::{HttpRequest, HttpResponse},
};
use std::sync::Arc;

/// Where this host keeps its key-value server.
const ETCD: &str = "http://etcd.example";

#[link(wasm_import_module = "foreign")]
unsafe extern "C" {
    /// Fetches: takes an encoded request, gives an encoded response in a buffer from [`alloc`]; 0 where nothing answers.
    fn fetch(pointer: *const u8, length: usize) -> u64;
}

/// A buffer for the host to write into; whoever is given it gives it up.
#[unsafe(no_mangle)]
extern "C" fn alloc(length: usize) -> *mut u8 {
    Box::into_raw(vec![0; length].into_boxed_slice()).cast()
}

/// Answers a request in a buffer from [`alloc`]; the response lies at `result >> 32`, as long as `result` says below.
///
/// # Safety
/// The buffer comes from [`alloc`] with this length.
#[unsafe(no_mangle)]
unsafe extern "C" fn handle_request(pointer: *mut u8, length: usize) -> u64 {
    // SAFETY: by this function's contract.
    let request = unsafe { take(pointer, length) };
    let response = Message::decode(&request)
        .and_then(answer)
        .unwrap_or_else(|| Message { line: "400".to_owned(), ..Message::default() });
    let bytes = response.encode().into_boxed_slice();
    let packed = ((bytes.as_ptr() as u64) << 32) | bytes.len() as u64;
    // The instance does not outlive the host's reading of it.
    Box::leak(bytes);
    packed
}

/// # Safety
/// The buffer comes from [`alloc`] with this length, and nobody else has it.
unsafe fn take(pointer: *mut u8, length: usize) -> Box<[u8]> {
    // SAFETY: `alloc` made the box of these.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(pointer, length)) }
}

fn answer(message: Message) -> Option<Message> {
    let (method, target) = message.line.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(target);
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    let response = crate::handle_request(Arc::new(Fetch), ETCD, request.body(message.body).ok()?);
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    Some(Message {
        line: response.status().as_str().to_owned(),
        headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: response.into_body(),
    })
}

/// Requests through the host's function.
struct Fetch;

#[async_trait]
impl HttpService for Fetch {
    async fn perform(&self, request: HttpRequest) -> AgentResult<HttpResponse> {
        let line = format!("{} {}", request.method, request.url);
        let bytes = Message { line, headers: request.headers, body: request.body }.encode();
        // SAFETY: the host reads as many bytes as it is told, and has done so when it returns.
        let packed = unsafe { fetch(bytes.as_ptr(), bytes.len()) };
        if packed == 0 {
            return Err(Error::retryable("CONNECTION_FAILED", format!("`{}` does not answer", request.url)));
        }
        let (pointer, length) = ((packed >> 32) as usize, (packed & 0xffff_ffff) as usize);
        // SAFETY: the host wrote into a buffer that it got from `alloc` with this length.
        let reply = unsafe { take(pointer as *mut u8, length) };
        let reply = Message::decode(&reply);
        let status = reply.as_ref().and_then(|reply| reply.line.parse().ok());
        match (reply, status) {
            (Some(Message { headers, body, .. }), Some(status)) => Ok(HttpResponse { status, headers, body }),
            _ => Err(Error::terminal("FRAME_INVALID", "what the host gave is no response")),
        }
    }
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Its presence keeps the linker from wrapping every export as a command.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the linker makes this function; the host calls `_initialize` once on a fresh instance.
    unsafe { __wasm_call_ctors() }
}
