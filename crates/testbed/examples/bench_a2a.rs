//! Measures A2A: messages to a durable agent, and a thousand streams. Prints JSON; `cargo xtask bench a2a` shows it.
//!
//! The server is a release build in a process of its own, the agent a module in it that greets or asks first. The load is
//! in this process, on the same cores, so absolute figures are the machine's as much as the server's. What they are held
//! against is measured in the same round: the same number of connections asking the same server for `/health`, the
//! disk's bare `fdatasync`, and connections that only exist.
//!
//! `bench_a2a [--rounds N] [--seconds S] [--streams N] [--only send,streams]`

use bivouac_testbed::{
    artifacts::{bin, module},
    process::{Process, free_address},
};
use serde_json::{Value, json};
use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream as StdStream},
    os::unix::fs::FileExt as _,
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
    net::TcpStream,
    sync::Semaphore,
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const READY: Duration = Duration::from_secs(20);
const AGENT: &str = "greeter";
/// How many messages may be under way while tasks for the streams are begun and answered.
const AT_ONCE: usize = 32;
/// What a database's log writes at least.
const PAGE: usize = 4096;
const PAGES: usize = 256;
/// Into how many turns a round is cut: the disk's speed and the machine's load change from one second to the next.
const SLICES: u32 = 8;
/// How long an event may take to reach its stream.
const EVENT_WITHIN: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let programs = Programs::build()?;
    let mut report = json!({"rounds": options.rounds, "seconds_per_round": options.seconds.as_secs_f64()});
    if options.wants("send") {
        report["send"] = runtime.block_on(send(&programs, &options))?;
    }
    if options.wants("streams") {
        report["streams"] = runtime.block_on(streams(&programs, &options))?;
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
    streams: usize,
    only: Option<String>,
}

impl Options {
    fn from_arguments() -> Result<Self> {
        let mut options = Self { rounds: 5, seconds: Duration::from_secs(3), streams: 1_000, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            match argument.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = Duration::from_secs_f64(value.parse()?),
                "--streams" => options.streams = value.parse()?,
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
    module: PathBuf,
}

impl Programs {
    fn build() -> Result<Self> {
        Ok(Self { server: bin("bivouac-cli", "bivouac", "release")?, module: module("hello")? })
    }
}

/// A server that is measured.
struct Measured {
    process: Process,
    address: SocketAddr,
    folder: PathBuf,
}

impl Measured {
    fn start(programs: &Programs) -> Result<Self> {
        let (address, folder) = (free_address()?, scratch()?);
        let mut command = Command::new(&programs.server);
        command
            .arg("serve")
            .current_dir(&folder)
            .env("BIVOUAC_LISTEN", address.to_string())
            .env("BIVOUAC_DATA", folder.join("data"))
            .env("BIVOUAC_DEV", "true")
            .env("RUST_LOG", "warn");
        let mut process = Process::spawn(&mut command)?;
        process.wait_ready(address, READY)?;
        let path = "/api/deployments?service=bench&immutable_ref=1";
        exchange(address, "POST", path, "application/wasm", &fs::read(&programs.module)?)?;
        Ok(Self { process, address, folder })
    }

    /// CPU time of the process so far.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| rest.split_whitespace().collect());
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    /// Memory that the process holds, in bytes.
    fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
        Ok(f64::from(kib.ok_or("the process has no memory")?) * 1024.0)
    }

    fn counter(&self, name: &str) -> Result<f64> {
        let text = exchange(self.address, "GET", "/metrics", "text/plain", b"")?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| !line.starts_with('#') && line.contains(name));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // A killed server writes no more; a folder that stays is only litter.
        self.process.kill().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn scratch() -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder =
        std::env::temp_dir().join(format!("bivouac-a2a-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    fs::create_dir_all(&folder)?;
    Ok(folder)
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

/// What is asked for, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Health,
    JsonRpc,
    Rest,
}

impl Question {
    /// The bytes of a request, and what the answer must hold.
    fn request(self, address: SocketAddr, id: &str) -> (Vec<u8>, &'static str) {
        let message = json!({
            "message": {"messageId": id, "role": "ROLE_USER", "parts": [{"text": "you"}]}
        });
        let (path, body) = match self {
            Self::Health => return (format!("GET /health HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(), ""),
            Self::JsonRpc => {
                let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message});
                ("jsonrpc", body)
            }
            Self::Rest => ("rest/message:send", message),
        };
        (post(address, path, &body, ""), "TASK_STATE_COMPLETED")
    }
}

fn post(address: SocketAddr, path: &str, body: &Value, header: &str) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /agents/{AGENT}/a2a/{path} HTTP/1.1\r\nhost: {address}\r\na2a-version: 1.0\r\n{header}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a load came to.
#[derive(Default)]
struct Load {
    /// How long each request took, in microseconds.
    latencies: Vec<u32>,
    seconds: f64,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.seconds += other.seconds;
    }

    fn count(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn per_second(&self) -> f64 {
        self.count() / self.seconds
    }

    /// The latency that so many percent of the requests did not exceed, in milliseconds.
    fn at(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let index = self.latencies.len().saturating_sub(1) * percent / 100;
        self.latencies.get(index).map_or(0.0, |latency| f64::from(*latency) / 1e3)
    }
}

/// Asks over `connections` connections for a time; every answer must be good.
async fn load(address: SocketAddr, question: Question, connections: usize, time: Duration) -> Result<Load> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (mut buffer, mut latencies) = (Vec::with_capacity(8192), Vec::new());
                while !stop.load(Relaxed) {
                    // A message id that is sent again would only be looked up.
                    let id = format!("m{}", NEXT.fetch_add(1, Relaxed));
                    let (request, expected) = question.request(address, &id);
                    let sent = Instant::now();
                    stream.write_all(&request).await?;
                    let answer = read_message(&mut stream, &mut buffer).await?;
                    latencies.push(u32::try_from(sent.elapsed().as_micros())?);
                    let text = String::from_utf8_lossy(&answer);
                    if !text.starts_with("HTTP/1.1 200") || !text.contains(expected) {
                        return Err(text.into_owned().into());
                    }
                }
                Result::<Vec<u32>>::Ok(latencies)
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(Load { latencies, seconds: began.elapsed().as_secs_f64() })
}

/// Reads one message with a `content-length` and gives it whole.
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Vec<u8>> {
    loop {
        if let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let whole = head + 4 + content_length(&buffer[..head])?;
            if buffer.len() >= whole {
                return Ok(buffer.drain(..whole).collect());
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err("the connection was closed".into());
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Ok(line.ok_or("an answer without a length")?.trim().parse()?)
}

/// A page written and brought to the disk, over and over, one after the other: how long each took.
fn syncs(folder: &Path, time: Duration) -> Result<Load> {
    let path = folder.join("sync");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    if file.metadata()?.len() == 0 {
        // Allocated beforehand, as a database's log is that is written again: else each sync writes the file's size too.
        file.write_all_at(&[0; PAGE * PAGES], 0)?;
        file.sync_all()?;
    }
    let (began, mut latencies) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let sync = Instant::now();
        file.write_all_at(&[1; PAGE], (latencies.len() % PAGES * PAGE) as u64)?;
        file.sync_data()?;
        latencies.push(u32::try_from(sync.elapsed().as_micros())?);
    }
    Ok(Load { latencies, seconds: began.elapsed().as_secs_f64() })
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
        .map(|key| (key.clone(), json!((of(key) * 1000.0).round() / 1000.0)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A message that is answered with a finished task, against `/health` over as many connections, and the disk.
async fn send(programs: &Programs, options: &Options) -> Result<Value> {
    let mut report = serde_json::Map::new();
    for (question, name) in [(Question::JsonRpc, "jsonrpc"), (Question::Rest, "rest")] {
        for connections in [1, 16, 128] {
            let mut rounds = Vec::new();
            for round in 0..options.rounds {
                let server = Measured::start(programs)?;
                load(server.address, question, connections, Duration::from_millis(500)).await?;
                let (mut disk, mut health, mut sent) = (Load::default(), Load::default(), Load::default());
                let (mut cpu, mut commits, slice) = (Duration::ZERO, 0.0, options.seconds / SLICES);
                for _ in 0..SLICES {
                    disk.add(syncs(&server.folder, slice / 2)?);
                    health.add(load(server.address, Question::Health, connections, slice / 2).await?);
                    let before = (server.cpu()?, server.counter("commits")?);
                    sent.add(load(server.address, question, connections, slice).await?);
                    cpu += server.cpu()? - before.0;
                    commits += server.counter("commits")? - before.1;
                }
                progress(&format!("send {name} x{connections} round {round}: {:.0}/s", sent.per_second()));
                rounds.push(json!({
                    "sends_per_s": sent.per_second(), "p50_ms": sent.at(50), "p99_ms": sent.at(99),
                    "health_per_s": health.per_second(), "health_p50_ms": health.at(50), "health_p99_ms": health.at(99),
                    "of_health": sent.per_second() / health.per_second(),
                    "syncs_per_s": disk.per_second(), "sync_p50_ms": disk.at(50),
                    "of_syncs": sent.per_second() / disk.per_second(),
                    "commits_per_send": commits / sent.count(),
                    "commits_of_syncs": commits / sent.seconds / disk.per_second(),
                    "server_cpu_us_per_send": cpu.as_micros() as f64 / sent.count(),
                }));
            }
            report.insert(format!("{name}_x{connections}"), medians(&rounds));
        }
    }
    Ok(report.into())
}

/// A stream of server-sent events, by hand.
struct Events {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Events {
    async fn open(address: SocketAddr, task: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task}});
        stream.write_all(&post(address, "jsonrpc", &body, "accept: text/event-stream\r\n")).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(2048) })
    }

    /// Reads until a text has come, and forgets everything up to it.
    async fn until(&mut self, text: &str) -> Result<()> {
        let read = async {
            loop {
                if let Some(at) = self.buffer.windows(text.len()).position(|window| window == text.as_bytes()) {
                    self.buffer.drain(..at + text.len());
                    return Ok(());
                }
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    let heard = String::from_utf8_lossy(&self.buffer).into_owned();
                    return Err(format!("the stream ended before `{text}`: {heard}").into());
                }
            }
        };
        tokio::time::timeout(EVENT_WITHIN, read).await.map_err(|_| format!("`{text}` did not come"))?
    }
}

/// One unary message; the task that comes back.
async fn say(address: SocketAddr, message: Value) -> Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}});
    stream.write_all(&post(address, "jsonrpc", &body, "")).await?;
    let answer = read_message(&mut stream, &mut Vec::new()).await?;
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or("an answer without a head")?;
    let mut answer: Value = serde_json::from_slice(&answer[at + 4..])?;
    match answer["result"]["task"].take() {
        Value::Null => Err(answer.to_string().into()),
        task => Ok(task),
    }
}

/// Says something for each of many, a few at a time.
async fn say_all(address: SocketAddr, messages: Vec<Value>) -> Result<Vec<Value>> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let tasks: Vec<_> = messages
        .into_iter()
        .map(|message| {
            let permits = permits.clone();
            tokio::spawn(async move {
                let _permit = permits.acquire().await?;
                say(address, message).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await??);
    }
    Ok(answers)
}

/// The memory of connections that were used once and are kept open, on a server of their own.
async fn idle_connections(programs: &Programs, count: usize) -> Result<f64> {
    let server = Measured::start(programs)?;
    let request = Question::Health.request(server.address, "").0;
    let mut connections = Vec::new();
    let mut before = 0.0;
    for index in 0..count + AT_ONCE {
        // The first ones pay for what is made once.
        if index == AT_ONCE {
            before = server.memory()?;
        }
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(&request).await?;
        read_message(&mut stream, &mut Vec::new()).await?;
        connections.push(stream);
    }
    Ok(server.memory()? - before)
}

/// Many streams at once, each of a task that asks and waits; then all are answered, and each stream tells its end.
async fn streams(programs: &Programs, options: &Options) -> Result<Value> {
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let connected = idle_connections(programs, options.streams).await?;
        let server = Measured::start(programs)?;
        let address = server.address;
        // The agent asks for a name where the message has none.
        let part = json!([{"text": " "}]);
        let ask = |n| json!({"messageId": format!("ask-{n}"), "role": "ROLE_USER", "parts": part});
        // Once through everything, so that what is made once is not counted.
        let warm = say_all(address, (0..AT_ONCE).map(|n| ask(format!("warm-{n}"))).collect()).await?;
        drop(warm);
        let began = say_all(address, (0..options.streams).map(|n| ask(n.to_string())).collect()).await?;
        let ids: Vec<String> =
            began.iter().map(|task| task["id"].as_str().map(str::to_owned).ok_or("no id")).collect::<Result<_, _>>()?;

        let before = server.memory()?;
        let opening = Instant::now();
        let mut streams = Vec::new();
        for id in &ids {
            streams.push(Events::open(address, id).await?);
        }
        for stream in &mut streams {
            stream.until("TASK_STATE_INPUT_REQUIRED").await?;
        }
        let opened = opening.elapsed();
        let open = server.memory()? - before;

        let answering = Instant::now();
        let readers: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                tokio::spawn(async move {
                    stream.until("TASK_STATE_WORKING").await?;
                    stream.until("TASK_STATE_COMPLETED").await?;
                    Result::<()>::Ok(())
                })
            })
            .collect();
        let answers = ids.iter().enumerate().map(|(n, id)| {
            json!({"messageId": format!("answer-{n}"), "taskId": id, "role": "ROLE_USER", "parts": [{"text": "Ada"}]})
        });
        say_all(address, answers.collect()).await?;
        let mut told = 0_u32;
        for reader in readers {
            reader.await??;
            told += 1;
        }
        let answered = answering.elapsed();
        let count = options.streams as f64;
        progress(&format!("streams round {round}: {:.1} KiB each", open / count / 1024.0));
        rounds.push(json!({
            "streams": options.streams, "told_their_end": told,
            "kib_per_stream": open / count / 1024.0, "kib_per_idle_connection": connected / count / 1024.0,
            "open_all_ms": opened.as_secs_f64() * 1e3, "answer_all_ms": answered.as_secs_f64() * 1e3,
            "answers_per_s": count / answered.as_secs_f64(),
        }));
    }
    Ok(medians(&rounds))
}
