//! How fast the embedded store appends, against a bare log that is written and synced in the same groups.
//!
//! For each kind of transition and each number of writers, the log and the store take turns, round by round, in the
//! same process and directory. A commit takes one transition of each writer. Only the writing is timed: for the log one
//! `write` and one `fdatasync` of the bytes that the journal would hold, encoded beforehand; for the store its commit,
//! encoding included. Medians over the rounds; JSON on standard output.
//!
//! `cargo run --release -p bivouac-store --example bench_append -- [--seconds 1] [--rounds 5] [--page-size 4096]
//! [--run-length 100] [--directory DIR]`

#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

use bivouac_engine::{Batch, Event, Status, Transition, journal};
use bivouac_store::{
    Store as _,
    sqlite::{PAGE_SIZE, SqliteOptions, SqliteStore},
    suite::sample::{self, Owner},
};
use serde_json::{Value, json};
use std::{
    error::Error,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const WRITERS: [usize; 3] = [1, 16, 128];

/// What is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One small event per transition, of runs that are there already.
    Bare,
    /// One turn of about 600 bytes per transition, of runs that are there already.
    Turn,
    /// Whole runs: the acceptance with its head, ten turns, the end with its head; a transition each.
    Run,
}

struct Options {
    seconds: f64,
    rounds: usize,
    page_size: u32,
    run_length: u64,
    directory: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut results = Vec::new();
    for kind in [Kind::Bare, Kind::Turn, Kind::Run] {
        for writers in WRITERS {
            results.push(compare(&options, kind, writers)?);
        }
    }
    let report = json!({
        "page_size": options.page_size,
        "seconds_per_round": options.seconds,
        "rounds": options.rounds,
        "run_length": options.run_length,
        "results": results,
    });
    println!("{report:#}");
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        seconds: 1.0,
        rounds: 5,
        page_size: PAGE_SIZE,
        run_length: 100,
        directory: PathBuf::from("target/bench_append"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match &*name {
            "--seconds" => options.seconds = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--page-size" => options.page_size = value.parse()?,
            "--run-length" => options.run_length = value.parse()?,
            "--directory" => options.directory = value.into(),
            _ => return Err(format!("there is no option {name}").into()),
        }
    }
    Ok(options)
}

/// What one round came to.
#[derive(Clone, Copy, Debug)]
struct Round {
    events_per_second: f64,
    commits_per_second: f64,
    /// Bytes given to the system, whenever that writes them.
    given_per_event: f64,
    /// Bytes in blocks that the system writes to the device; 0 in memory.
    written_per_event: f64,
    cpu_us_per_event: f64,
}

fn compare(options: &Options, kind: Kind, writers: usize) -> Result<Value, Box<dyn Error>> {
    let directory = options.directory.join(format!("{kind:?}-{writers}"));
    drop(std::fs::remove_dir_all(&directory));
    let settings = SqliteOptions { page_size: options.page_size, ..SqliteOptions::default() };
    let mut store = SqliteStore::open(&directory, settings)?;
    let mut owner = Owner::open(&mut store, 0);
    let mut work = Work::new(kind, writers, options.run_length);
    let mut log = File::create(directory.join("log"))?;
    let mut rounds = (Vec::new(), Vec::new());
    let length = Duration::from_secs_f64(options.seconds);
    for _ in 0..options.rounds {
        rounds.0.push(measure(length, &mut || {
            let bytes = journal_bytes(&owner.batch(work.clone().next(&mut |_| Ok(()))?));
            let started = Instant::now();
            log.write_all(&bytes)?;
            log.sync_data()?;
            Ok((started.elapsed(), writers))
        })?);
        rounds.1.push(measure(length, &mut || {
            let transitions = work.next(&mut |new| Ok(owner.commit(&mut store, new)?))?;
            let batch = owner.batch(transitions);
            let started = Instant::now();
            store.commit(&batch)?;
            let took = started.elapsed();
            owner.lsn = batch.last_lsn();
            Ok((took, writers))
        })?);
    }
    drop(store);
    let kept = size(&directory.join("bivouac.db"))?;
    drop(std::fs::remove_dir_all(&directory));
    Ok(summary(kind, writers, &rounds.0, &rounds.1, kept as f64 / owner.lsn as f64))
}

fn summary(kind: Kind, writers: usize, log: &[Round], store: &[Round], kept: f64) -> Value {
    let of = |rounds: &[Round], field: fn(&Round) -> f64| median(rounds.iter().map(field).collect());
    let (log_rate, store_rate) = (of(log, |r| r.events_per_second), of(store, |r| r.events_per_second));
    json!({
        "kind": format!("{kind:?}").to_lowercase(),
        "writers": writers,
        "log_events_per_second": log_rate.round(),
        "store_events_per_second": store_rate.round(),
        "ratio": (store_rate / log_rate * 1000.0).round() / 1000.0,
        "store_commits_per_second": of(store, |r| r.commits_per_second).round(),
        "store_cpu_us_per_event": (of(store, |r| r.cpu_us_per_event) * 100.0).round() / 100.0,
        "log_bytes_given_per_event": of(log, |r| r.given_per_event).round(),
        "log_bytes_written_per_event": of(log, |r| r.written_per_event).round(),
        "store_bytes_given_per_event": of(store, |r| r.given_per_event).round(),
        "store_bytes_written_per_event": of(store, |r| r.written_per_event).round(),
        "store_bytes_kept_per_event": kept.round(),
    })
}

fn measure(
    length: Duration,
    commit: &mut dyn FnMut() -> Result<(Duration, usize), Box<dyn Error>>,
) -> Result<Round, Box<dyn Error>> {
    let (mut spent, mut events, mut commits) = (Duration::ZERO, 0_usize, 0_usize);
    let (given, written) = (io("wchar")?, io("write_bytes")?);
    let mut cpu = Duration::ZERO;
    while spent < length {
        let before = cpu_time()?;
        let (took, count) = commit()?;
        cpu += cpu_time()?.saturating_sub(before);
        spent += took;
        events += count;
        commits += 1;
    }
    let per_second = |count: usize| count as f64 / spent.as_secs_f64();
    Ok(Round {
        events_per_second: per_second(events),
        commits_per_second: per_second(commits),
        given_per_event: (io("wchar")? - given) as f64 / events as f64,
        written_per_event: (io("write_bytes")? - written) as f64 / events as f64,
        cpu_us_per_event: cpu.as_secs_f64() * 1e6 / events as f64,
    })
}

/// The writers and where their runs are.
#[derive(Clone, Debug)]
struct Work {
    kind: Kind,
    run_length: u64,
    /// For each writer its run and that run's next event.
    at: Vec<(u64, u64)>,
    next_run: u64,
}

impl Work {
    fn new(kind: Kind, writers: usize, run_length: u64) -> Self {
        // Whole runs begin at different moments, as they would.
        let at = (0..writers as u64).map(|_| (0, u64::MAX)).collect();
        Self { kind, run_length, at, next_run: 1 }
    }

    /// One transition of each writer; new runs are created by `create`, outside of what is timed.
    fn next(
        &mut self,
        create: &mut dyn FnMut(Vec<Transition>) -> Result<(), Box<dyn Error>>,
    ) -> Result<Vec<Transition>, Box<dyn Error>> {
        let last = if self.kind == Kind::Run { 12 } else { self.run_length };
        let mut created = Vec::new();
        for (run, next) in &mut self.at {
            if *next > last {
                (*run, *next) = (self.next_run, 1);
                self.next_run += 1;
                if self.kind != Kind::Run {
                    created.push(sample::start(sample::run_id(0, *run)));
                    *next = 2;
                }
            }
        }
        if !created.is_empty() {
            create(created)?;
        }
        let kind = self.kind;
        let transitions = self.at.iter_mut().map(|(run, next)| {
            let (id, seq) = (sample::run_id(0, *run), *next);
            *next += 1;
            match (kind, seq) {
                (Kind::Bare, _) => sample::transition(id, seq, vec![sample::small_event()]),
                (Kind::Run, 1) => sample::start(id),
                (Kind::Run, 12) => sample::end(id, seq, Status::Completed),
                _ => sample::transition(id, seq, vec![Event::Turn(std::sync::Arc::new(sample::turn(seq)))]),
            }
        });
        Ok(transitions.collect())
    }
}

/// What the journal would hold of a batch: its events, each with its length before it.
fn journal_bytes(batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::new();
    for recorded in batch.transitions.iter().flat_map(|transition| &transition.events) {
        let event = journal::encode(&recorded.event);
        bytes.extend_from_slice(&(event.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&event);
    }
    bytes
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn size(path: &Path) -> Result<u64, Box<dyn Error>> {
    Ok(std::fs::metadata(path)?.len())
}

/// A counter of what this process did so far, in bytes.
fn io(counter: &str) -> Result<u64, Box<dyn Error>> {
    let counters = std::fs::read_to_string("/proc/self/io")?;
    let value = counters.lines().find_map(|line| line.strip_prefix(counter)?.strip_prefix(": "));
    Ok(value.ok_or_else(|| format!("/proc/self/io has no {counter}"))?.parse()?)
}

/// The time that this thread has computed so far.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = stat.split(' ').next().ok_or("schedstat is empty")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}
