//! Programs under test: started, listened to, waited for and killed.
//!
//! What a program prints is kept, so that a failed wait can show it. A [`Process`] that is dropped is killed and reaped:
//! a test that fails leaves nothing running. Waits end as soon as the program does.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What is kept of a program's output; the oldest lines go first.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// A program's output and its errors.
const STREAMS: usize = 2;

/// How often a program is asked again whether it is ready, or has ended.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// How long one question to a program may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What was waited for and did not come.
#[derive(Debug, thiserror::Error)]
#[error("{program}: {what} (waited {waited:?}); it printed:\n{output}")]
pub struct Failure {
    program: String,
    what: String,
    waited: Duration,
    output: String,
}

/// A program that runs, or ran.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a command; its output is captured, its input is empty.
    ///
    /// # Errors
    /// What the operating system refuses: the program, its output's pipes, a thread.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let program = PathBuf::from(command.get_program());
        let program = program.file_name().unwrap_or_else(|| OsStr::new("program")).to_string_lossy().into_owned();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = Arc::new(Output::default());
        let pipes: [Option<Box<dyn Read + Send>>; STREAMS] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        let mut process = Self { program, child, output, readers: Vec::new() };
        for pipe in pipes.into_iter().flatten() {
            let output = Arc::clone(&process.output);
            process.readers.push(thread::Builder::new().name("output".to_owned()).spawn(move || output.read(pipe))?);
        }
        Ok(process)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far, both streams in the order of arrival.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().text.clone()
    }

    /// The most memory that it held, in bytes; `None` once it is reaped, and where the system does not tell.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Waits for a line that contains a text, and gives the line. Lines printed before count too.
    ///
    /// # Errors
    /// [`Failure`], when the time is over or the program ended without printing it.
    pub fn wait_for_line(&mut self, text: &str, within: Duration) -> Result<String, Failure> {
        let deadline = Instant::now() + within;
        let output = Arc::clone(&self.output);
        let mut state = output.lock();
        loop {
            if let Some(line) = state.text.lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = state.ended == STREAMS;
            if left.is_zero() || ended {
                drop(state);
                let why = if ended { "it ended and never" } else { "it did not" };
                return Err(self.failure(format!("{why} print `{text}`"), within));
            }
            state = output.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `GET /ready` at an address answers 200.
    ///
    /// # Errors
    /// [`Failure`], when the time is over or the program ended.
    pub fn wait_ready(&mut self, address: SocketAddr, within: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(status) = get(address, "/ready")
                && status == 200
            {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failure(format!("it ended with {status} before it was ready"), within));
            }
            if Instant::now() >= deadline {
                return Err(self.failure(format!("http://{address}/ready does not answer 200"), within));
            }
            self.pause();
        }
    }

    /// Kills it at once (`kill -9`) and waits until it is gone. Nothing of it runs after this returns.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.reap()
    }

    /// Asks it to end (`SIGTERM`) and waits until it has.
    ///
    /// # Errors
    /// [`Failure`], when it did not end in time; it goes on then.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        let pid = Pid::from_child(&self.child);
        if let Err(error) = kill_process(pid, Signal::TERM) {
            return Err(self.failure(format!("it could not be signalled: {error}"), within));
        }
        self.wait(within)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// [`Failure`], when it did not end in time; it goes on then.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.join_readers();
                    return Ok(status);
                }
                Ok(None) if Instant::now() < deadline => self.pause(),
                Ok(None) => return Err(self.failure("it did not end".to_owned(), within)),
                Err(error) => return Err(self.failure(format!("it cannot be waited for: {error}"), within)),
            }
        }
    }

    /// Until it prints something, or a moment has passed.
    fn pause(&self) {
        drop(self.output.changed.wait_timeout(self.output.lock(), ASK_EVERY));
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.join_readers();
        Ok(status)
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().ok();
        }
    }

    fn failure(&self, what: String, waited: Duration) -> Failure {
        Failure { program: self.program.clone(), what, waited, output: self.output() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to kill and nothing to reap.
        self.kill().ok();
    }
}

/// A port of the loopback address that nobody listens on. Somebody may take it before it is used: start again then.
///
/// # Errors
/// What the operating system refuses.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The status that a GET of a path is answered with.
///
/// # Errors
/// Where nobody answers, or not in HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).take(1024).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is not HTTP", line.trim())))
}

/// The size of everything below a folder, in bytes; what vanishes meanwhile does not count.
///
/// # Errors
/// Where the folder cannot be read.
pub fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += folder_bytes(&entry.path())?,
            Ok(metadata) => bytes += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[derive(Debug, Default)]
struct Output {
    state: Mutex<Lines>,
    /// Woken at each line, and when a stream ends.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    text: String,
    /// Streams that ended.
    ended: usize,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        // A pipe that cannot be read any more ends like one that is closed.
        while pipe.by_ref().take(MAX_OUTPUT_BYTES as u64 / 4).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let mut state = self.lock();
            state.text.push_str(&String::from_utf8_lossy(&line));
            if state.text.len() > MAX_OUTPUT_BYTES {
                let cut = state.text[state.text.len() / 2..].find('\n').map_or(0, |at| state.text.len() / 2 + at + 1);
                state.text.drain(..cut);
            }
            drop(state);
            self.changed.notify_all();
            line.clear();
        }
        self.lock().ended += 1;
        self.changed.notify_all();
    }
}
