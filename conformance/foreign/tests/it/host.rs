//! A host of somebody else's: plain Wasmtime, a synchronous fetch, an instance for each request. It knows nothing of
//! Bivouac but the form in which messages cross the boundary.

use bivouac_testbed::artifacts;
use bytes::Bytes;
use foreign::wire::Message;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Handle;
use wasmtime::{Caller, Engine, Linker, Memory, Module, Store, TypedFunc};

const WASI: &str = "wasi_snapshot_preview1";

/// A host, with what its names stand for.
#[derive(Clone)]
pub(crate) struct Host {
    /// Which address a name leads to.
    names: BTreeMap<String, String>,
    client: reqwest::Client,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) ahead_ms: Arc<AtomicU64>,
    runtime: Handle,
}

struct Instance {
    host: Host,
    /// Where the instance is killed: after a request whose line contains this has been answered.
    kill_after: Option<String>,
}

fn module() -> &'static (Engine, Module) {
    static MODULE: OnceLock<(Engine, Module)> = OnceLock::new();
    MODULE.get_or_init(|| {
        let engine = Engine::default();
        let path = artifacts::module("foreign").unwrap();
        let module = Module::from_file(&engine, path).unwrap();
        (engine, module)
    })
}

impl Host {
    pub(crate) fn new(names: &[(&str, &str)]) -> Self {
        Self {
            names: names.iter().map(|(name, url)| (format!("http://{name}"), (*url).to_owned())).collect(),
            client: reqwest::Client::new(),
            ahead_ms: Arc::default(),
            runtime: Handle::current(),
        }
    }

    /// Answers a request with a fresh instance, which ends with it. Nothing where it was killed before.
    pub(crate) async fn handle(&self, request: Message, kill_after: Option<&str>) -> Option<Message> {
        let instance = Instance { host: self.clone(), kill_after: kill_after.map(str::to_owned) };
        tokio::task::spawn_blocking(move || instance.answer(&request.encode())).await.unwrap()
    }

    fn fetch(&self, bytes: &[u8]) -> Option<Message> {
        let message = Message::decode(bytes)?;
        let (method, url) = message.line.split_once(' ')?;
        let (name, to) = self.names.iter().find(|(name, _)| url.starts_with(name.as_str()))?;
        let mut request = self.client.request(method.parse().ok()?, url.replacen(name, to, 1)).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        self.runtime.block_on(async {
            let response = request.send().await.ok()?;
            let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
            Some(Message {
                line: response.status().as_str().to_owned(),
                headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: response.bytes().await.ok()?,
            })
        })
    }
}

impl Instance {
    fn answer(self, request: &[u8]) -> Option<Message> {
        let (engine, module) = module();
        let mut store = Store::new(engine, self);
        let mut linker = Linker::new(engine);
        wasi(&mut linker);
        linker.func_wrap("foreign", "fetch", fetch).unwrap();
        linker.define_unknown_imports_as_traps(module).unwrap();
        let instance = linker.instantiate(&mut store, module).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "_initialize").unwrap().call(&mut store, ()).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let alloc: TypedFunc<u32, u32> = instance.get_typed_func(&mut store, "alloc").unwrap();
        let handle: TypedFunc<(u32, u32), u64> = instance.get_typed_func(&mut store, "handle_request").unwrap();
        let length = u32::try_from(request.len()).unwrap();
        let pointer = alloc.call(&mut store, length).unwrap();
        memory.write(&mut store, pointer as usize, request).unwrap();
        let packed = match handle.call(&mut store, (pointer, length)) {
            Ok(packed) => packed,
            Err(error) if error.is::<Killed>() => return None,
            Err(error) => panic!("the module broke down: {error:?}"),
        };
        Some(Message::decode(&read(&memory, &store, packed)).unwrap())
    }
}

/// The host ended an instance.
#[derive(Debug)]
struct Killed;

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("killed")
    }
}

impl std::error::Error for Killed {}

fn read(memory: &Memory, store: impl wasmtime::AsContext, packed: u64) -> Bytes {
    let mut bytes = vec![0; usize::try_from(packed & 0xffff_ffff).unwrap()];
    memory.read(store, usize::try_from(packed >> 32).unwrap(), &mut bytes).unwrap();
    bytes.into()
}

fn memory_of(caller: &mut Caller<'_, Instance>) -> Memory {
    caller.get_export("memory").unwrap().into_memory().unwrap()
}

fn fetch(mut caller: Caller<'_, Instance>, pointer: u32, length: u32) -> wasmtime::Result<u64> {
    let memory = memory_of(&mut caller);
    let request = read(&memory, &caller, (u64::from(pointer) << 32) | u64::from(length));
    let reply = caller.data().host.fetch(&request);
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    if caller.data().kill_after.as_ref().is_some_and(|at| line.contains(at)) {
        return Err(wasmtime::Error::new(Killed));
    }
    let Some(reply) = reply else { return Ok(0) };
    let reply = reply.encode();
    let alloc = caller.get_export("alloc").unwrap().into_func().unwrap().typed::<u32, u32>(&caller)?;
    let length = u32::try_from(reply.len())?;
    let pointer = alloc.call(&mut caller, length)?;
    memory.write(&mut caller, pointer as usize, &reply)?;
    Ok((u64::from(pointer) << 32) | u64::from(length))
}

/// The few functions of WASI that the standard library asks for: the clock, chance, output.
fn wasi(linker: &mut Linker<Instance>) {
    linker
        .func_wrap(WASI, "clock_time_get", |mut caller: Caller<'_, Instance>, _: i32, _: i64, out: u32| {
            let ahead = Duration::from_millis(caller.data().host.ahead_ms.load(Ordering::Relaxed));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead;
            let nanos = u64::try_from(now.as_nanos()).unwrap();
            let memory = memory_of(&mut caller);
            memory.write(&mut caller, out as usize, &nanos.to_le_bytes()).map_or(21, |()| 0)
        })
        .unwrap();
    linker
        .func_wrap(WASI, "random_get", |mut caller: Caller<'_, Instance>, out: u32, length: u32| {
            // Anything that differs from call to call serves a test.
            static CALLS: AtomicU64 = AtomicU64::new(1);
            let call = CALLS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bytes: Vec<u8> = call.to_le_bytes().into_iter().cycle().take(length as usize).collect();
            let memory = memory_of(&mut caller);
            memory.write(&mut caller, out as usize, &bytes).map_or(21, |()| 0)
        })
        .unwrap();
    linker
        .func_wrap(
            WASI,
            "fd_write",
            |mut caller: Caller<'_, Instance>, _: i32, buffers: u32, count: u32, written: u32| {
                let memory = memory_of(&mut caller);
                let number = |caller: &Caller<'_, Instance>, at: u32| {
                    let mut bytes = [0; 4];
                    memory.read(caller, at as usize, &mut bytes).unwrap();
                    u32::from_le_bytes(bytes)
                };
                let mut total = 0;
                for buffer in 0..count {
                    let (at, length) =
                        (number(&caller, buffers + buffer * 8), number(&caller, buffers + buffer * 8 + 4));
                    let text = read(&memory, &caller, (u64::from(at) << 32) | u64::from(length));
                    eprint!("{}", String::from_utf8_lossy(&text));
                    total += length;
                }
                memory.write(&mut caller, written as usize, &total.to_le_bytes()).map_or(21, |()| 0)
            },
        )
        .unwrap();
    for name in ["environ_sizes_get", "environ_get"] {
        linker
            .func_wrap(WASI, name, |mut caller: Caller<'_, Instance>, one: u32, two: u32| {
                let memory = memory_of(&mut caller);
                for at in [one, two] {
                    memory.write(&mut caller, at as usize, &0_u32.to_le_bytes()).unwrap();
                }
                0
            })
            .unwrap();
    }
}
