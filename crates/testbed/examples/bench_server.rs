//! Measures the whole server: requests, durable runs, start, recovery. Prints JSON; `cargo xtask bench` shows it.
//!
//! The server is a release build in a process of its own; the load and the service that effects call are in this one, on
//! the same cores, so absolute figures are the machine's as much as the server's: compare ratios. Rounds alternate
//! between the variants, and each figure is the median of its rounds.
//!
//! `bench_server [--rounds N] [--seconds S] [--only requests,runs,start,recovery]`

use bivouac_testbed::{
    artifacts::{module, target_dir, workspace},
    process::{Process, folder_bytes, free_address},
};
use serde_json::{Value, json};
use std::{
    error::Error,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream as StdStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const READY: Duration = Duration::from_secs(20);
const STEPS: u32 = 10;

fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let programs = Programs::build()?;
    let mut report = json!({"rounds": options.rounds, "seconds_per_round": options.seconds.as_secs_f64()});
    if options.wants("start") {
        report["start"] = start(&programs, options.rounds)?;
    }
    if options.wants("requests") {
        report["requests"] = runtime.block_on(requests(&programs, &options))?;
    }
    if options.wants("runs") {
        report["runs"] = runtime.block_on(runs(&programs, &options))?;
    }
    if options.wants("recovery") {
        report["recovery"] = runtime.block_on(recovery(&programs, options.rounds))?;
    }
    print(&serde_json::to_string_pretty(&report)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a person sees how far it is")]
fn progress(text: &str) {
    eprintln!("{text}");
}

struct Options {
    rounds: usize,
    seconds: Duration,
    only: Option<String>,
}

impl Options {
    fn from_arguments() -> Result<Self> {
        let mut options = Self { rounds: 5, seconds: Duration::from_secs(3), only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = Duration::from_secs_f64(value.parse()?),
                "--only" => options.only = Some(value),
                other => return Err(format!("{other} is not an option").into()),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == part))
    }
}

/// What is measured.
struct Programs {
    server: PathBuf,
    native: PathBuf,
    module: PathBuf,
}

impl Programs {
    fn build() -> Result<Self> {
        let status = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
            .current_dir(workspace())
            .args(["build", "--quiet", "--release", "-p", "bivouac-cli", "-p", "bench-guest"])
            .args(["--features", "bench-guest/runtime"])
            .status()?;
        if !status.success() {
            return Err("the measured programs could not be built".into());
        }
        let programs = target_dir()?.join("release");
        let (server, native) = (programs.join("bivouac"), programs.join("bench-guest"));
        Ok(Self { server, native, module: module("bench-guest")? })
    }
}

/// Where the components execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Executor {
    Module,
    InProcess,
}

/// A server that is measured.
struct Measured {
    process: Process,
    address: SocketAddr,
    data: PathBuf,
    ready: Duration,
}

impl Measured {
    fn start(programs: &Programs, executor: Executor, durable: bool, data: &Path) -> Result<Self> {
        let address = free_address()?;
        let began = Instant::now();
        let program = match executor {
            Executor::Module => &programs.server,
            Executor::InProcess => &programs.native,
        };
        let mut command = Command::new(program);
        command
            .env("BIVOUAC_LISTEN", address.to_string())
            .env("BIVOUAC_DATA", data)
            .env("BIVOUAC_DEV", "true")
            .env("BIVOUAC_DURABLE", durable.to_string())
            .env("RUST_LOG", "warn");
        if executor == Executor::Module {
            command.arg("serve");
        }
        let mut process = Process::spawn(&mut command)?;
        process.wait_ready(address, READY)?;
        let ready = began.elapsed();
        if executor == Executor::Module {
            deploy(address, &fs::read(&programs.module)?)?;
        }
        Ok(Self { process, address, data: data.to_owned(), ready })
    }

    /// CPU time of the process so far.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    /// Bytes that the process had the disk write so far.
    fn written(&self) -> Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process.id()))?;
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(line.and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
        Ok(kib * 1024)
    }

    fn counter(&self, name: &str) -> Result<u64> {
        let text = exchange(self.address, "GET", "/metrics", "text/plain", b"")?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| !line.starts_with('#') && line.contains(name));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
    }
}

fn deploy(address: SocketAddr, module: &[u8]) -> Result<()> {
    let path = "/api/deployments?service=bench&immutable_ref=1&grant=host%3D127.0.0.1%3A*";
    exchange(address, "POST", path, "application/wasm", module).map(drop)
}

/// One blocking request; the body of a good answer.
fn exchange(address: SocketAddr, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream = StdStream::connect(address)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let split = reply.windows(4).position(|window| window == b"\r\n\r\n").ok_or("an answer without a head")?;
    if !reply.starts_with(b"HTTP/1.1 2") {
        return Err(String::from_utf8_lossy(&reply).into_owned().into());
    }
    Ok(reply.split_off(split + 4))
}

/// What a load came to.
struct Load {
    per_second: f64,
    p50_us: u64,
    p99_us: u64,
    count: u64,
}

/// Sends the same request over `connections` connections for a time; every answer must be good.
async fn load(address: SocketAddr, path: &str, body: &str, connections: usize, time: Duration) -> Result<Load> {
    let request: Arc<[u8]> = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into();
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (request, stop) = (request.clone(), stop.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (mut buffer, mut latencies) = (Vec::with_capacity(4096), Vec::new());
                while !stop.load(Relaxed) {
                    let sent = Instant::now();
                    stream.write_all(&request).await?;
                    let good = read_message(&mut stream, &mut buffer).await?;
                    if !good.starts_with(b"HTTP/1.1 200") {
                        return Err(String::from_utf8_lossy(&good).into_owned().into());
                    }
                    latencies.push(u64::try_from(sent.elapsed().as_micros())?);
                }
                Result::<Vec<u64>>::Ok(latencies)
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get(share_of(latencies.len(), share)).copied().unwrap_or(0);
    Ok(Load {
        per_second: latencies.len() as f64 / elapsed,
        p50_us: at(0.5),
        p99_us: at(0.99),
        count: latencies.len() as u64,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
fn share_of(length: usize, share: f64) -> usize {
    (length.saturating_sub(1) as f64 * share) as usize
}

/// Reads one message with a `content-length` and gives it whole.
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Vec<u8>> {
    loop {
        if let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let length = content_length(&buffer[..head]);
            let whole = head + 4 + length;
            if buffer.len() >= whole {
                return Ok(buffer.drain(..whole).collect());
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err("the connection was closed".into());
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// A service that answers every request alike, as cheaply as can be.
async fn service() -> Result<(SocketAddr, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let calls = Arc::new(AtomicU64::new(0));
    let counter = calls.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut buffer = Vec::with_capacity(4096);
                stream.set_nodelay(true)?;
                while read_message(&mut stream, &mut buffer).await.is_ok() {
                    counter.fetch_add(1, Relaxed);
                    let reply =
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
                    stream.write_all(reply).await?;
                }
                Result::<()>::Ok(())
            });
        }
    });
    Ok((address, calls))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn medians(rounds: &[Value]) -> Value {
    let Some(first) = rounds.first().and_then(Value::as_object) else { return Value::Null };
    let of = |key: &str| median(rounds.iter().filter_map(|round| round[key].as_f64()).collect());
    first
        .keys()
        .map(|key| (key.clone(), json!((of(key) * 100.0).round() / 100.0)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// `hello` over HTTP: a fresh instance each against in process, with and without durability.
async fn requests(programs: &Programs, options: &Options) -> Result<Value> {
    let mut report = serde_json::Map::new();
    for durable in [true, false] {
        let (mut module, mut native) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            for (executor, rounds) in [(Executor::Module, &mut module), (Executor::InProcess, &mut native)] {
                let folder = scratch()?;
                let server = Measured::start(programs, executor, durable, &folder)?;
                let path = "/v1/functions/hello/run";
                load(server.address, path, r#"{"name":"warm"}"#, 32, Duration::from_millis(500)).await?;
                let cpu = server.cpu()?;
                let load = load(server.address, path, r#"{"name":"you"}"#, 32, options.seconds).await?;
                let cpu = (server.cpu()? - cpu).as_micros() as f64 / load.count as f64;
                progress(&format!("requests durable={durable} round {round} {executor:?}: {:.0}/s", load.per_second));
                rounds.push(json!({
                    "requests_per_s": load.per_second, "p50_ms": load.p50_us as f64 / 1e3, "p99_ms": load.p99_us as f64 / 1e3,
                    "server_cpu_us_per_request": cpu,
                }));
                drop(server);
                fs::remove_dir_all(&folder)?;
            }
        }
        let (module, native) = (medians(&module), medians(&native));
        let ratio = module["requests_per_s"].as_f64().unwrap_or(0.0) / native["requests_per_s"].as_f64().unwrap_or(1.0);
        let name = if durable { "durable" } else { "in_memory" };
        report.insert(name.to_owned(), json!({"module": module, "in_process": native, "ratio": ratio}));
    }
    Ok(report.into())
}

/// Durable runs of ten steps, each with one request or none.
async fn runs(programs: &Programs, options: &Options) -> Result<Value> {
    let (target, _) = service().await?;
    let mut report = serde_json::Map::new();
    for (component, url) in [("calls", format!("http://{target}/step")), ("computes", String::new())] {
        for concurrency in [1, 16, 128] {
            for executor in [Executor::Module, Executor::InProcess] {
                let mut rounds = Vec::new();
                for round in 0..options.rounds {
                    let folder = scratch()?;
                    let server = Measured::start(programs, executor, true, &folder)?;
                    let path = format!("/v1/workflows/{component}/run");
                    let body = json!({"url": url, "steps": STEPS}).to_string();
                    load(server.address, &path, &body, concurrency, Duration::from_millis(500)).await?;
                    let before = (server.cpu()?, server.written()?, folder_bytes(&server.data)?);
                    let commits = server.counter("commits")?;
                    let load = load(server.address, &path, &body, concurrency, options.seconds).await?;
                    let count = load.count as f64;
                    progress(&format!(
                        "{component} x{concurrency} round {round} {executor:?}: {:.0} runs/s",
                        load.per_second
                    ));
                    rounds.push(json!({
                        "runs_per_s": load.per_second, "p50_ms": load.p50_us as f64 / 1e3, "p99_ms": load.p99_us as f64 / 1e3,
                        "server_cpu_us_per_run": (server.cpu()? - before.0).as_micros() as f64 / count,
                        "bytes_written_per_run": (server.written()? - before.1) as f64 / count,
                        "bytes_kept_per_run": (folder_bytes(&server.data)?.saturating_sub(before.2)) as f64 / count,
                        "commits_per_run": (server.counter("commits")? - commits) as f64 / count,
                    }));
                    drop(server);
                    fs::remove_dir_all(&folder)?;
                }
                let name = format!(
                    "{component}_x{concurrency}_{}",
                    if executor == Executor::Module { "module" } else { "in_process" }
                );
                report.insert(name, medians(&rounds));
            }
        }
    }
    Ok(report.into())
}

/// From the start of the process to ready, its memory then, and its size.
fn start(programs: &Programs, rounds: usize) -> Result<Value> {
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let folder = scratch()?;
        let server = Measured::start(programs, Executor::Module, true, &folder)?;
        measured.push(
            json!({"ready_ms": server.ready.as_secs_f64() * 1e3, "idle_mib": server.memory()? as f64 / 1048576.0}),
        );
        drop(server);
        fs::remove_dir_all(&folder)?;
    }
    let mut report = medians(&measured);
    report["binary_mib"] = json!(fs::metadata(&programs.server)?.len() as f64 / 1048576.0);
    report["module_kib"] = json!(fs::metadata(&programs.module)?.len() as f64 / 1024.0);
    Ok(report)
}

/// A run of 1,000 steps is killed near its end; from the new start to its result.
async fn recovery(programs: &Programs, rounds: usize) -> Result<Value> {
    let (target, calls) = service().await?;
    let mut measured = Vec::new();
    for round in 0..rounds {
        let folder = scratch()?;
        let mut server = Measured::start(programs, Executor::Module, true, &folder)?;
        let begin = calls.load(Relaxed);
        let body = json!({"url": format!("http://{target}/step"), "steps": 1_000}).to_string();
        let reply =
            exchange(server.address, "POST", "/v1/workflows/calls/submit", "application/json", body.as_bytes())?;
        let id = serde_json::from_slice::<Value>(&reply)?["run_id"].as_str().ok_or("no run_id")?.to_owned();
        while calls.load(Relaxed) - begin < 990 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let killed = Instant::now();
        server.process.kill()?;
        let restarted = Measured::start_again(programs, &folder)?;
        let ready = killed.elapsed();
        loop {
            let run = exchange(restarted.address, "GET", &format!("/v1/runs/{id}"), "application/json", b"")?;
            let run: Value = serde_json::from_slice(&run)?;
            if run["status"] == "completed" {
                break;
            }
            if run["status"] == "failed" {
                return Err(format!("the run failed: {run}").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        progress(&format!("recovery round {round}: {} ms", killed.elapsed().as_millis()));
        measured.push(json!({
            "kill_to_ready_ms": ready.as_secs_f64() * 1e3, "kill_to_result_ms": killed.elapsed().as_secs_f64() * 1e3,
        }));
        drop(restarted);
        fs::remove_dir_all(&folder)?;
    }
    Ok(medians(&measured))
}

impl Measured {
    /// Starts on data that already holds the deployment.
    fn start_again(programs: &Programs, data: &Path) -> Result<Self> {
        let address = free_address()?;
        let began = Instant::now();
        let mut command = Command::new(&programs.server);
        command
            .arg("serve")
            .env("BIVOUAC_LISTEN", address.to_string())
            .env("BIVOUAC_DATA", data)
            .env("BIVOUAC_DEV", "true")
            .env("RUST_LOG", "warn");
        let mut process = Process::spawn(&mut command)?;
        process.wait_ready(address, READY)?;
        Ok(Self { process, address, data: data.to_owned(), ready: began.elapsed() })
    }
}

fn scratch() -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder =
        std::env::temp_dir().join(format!("bivouac-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
