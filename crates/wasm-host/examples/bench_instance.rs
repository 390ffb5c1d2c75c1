//! Measures what an instance costs: its whole life, one drive, and how lives scale from one thread to two.
//!
//! `bench_instance MODULE.wasm [COMPONENT [ROUNDS]]` prints one line of JSON. The component (`function/hello` where none
//! is named) is started with a text as its input; a life is instantiation, `_initialize`, the start frame, and the end
//! of the instance. Lives on one and on two threads alternate; what is printed is the median of the rounds, and the
//! spread. The drive of 1 KB is the delivery of an outcome that nobody waits for, so it is the frame's way in and out.

#![expect(clippy::print_stdout, reason = "the result is for a program to read")]

use bivouac_protocol::{
    Json, Path, RunId,
    frame::{Auth, InFrame, Limits, Memo, Outcome, Start},
    manifest::{ComponentKind, ComponentRef},
};
use bivouac_wasm_host::{Host, HostConfig, Module};
use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

/// The time of every turn; it only has to be one.
const NOW: u64 = 1_700_000_000_000;
/// Lives before anything is measured.
const WARM_UP: usize = 2_000;
/// Lives and drives whose duration is taken one by one.
const SAMPLES: usize = 20_000;
/// How long one round of lives takes on each number of threads.
const ROUND: Duration = Duration::from_millis(1_000);
/// The size of the frame that is driven again and again, in bytes.
const FRAME_BYTES: usize = 1_024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: bench_instance MODULE.wasm [COMPONENT [ROUNDS]]")?;
    let component = args.next().unwrap_or_else(|| "function/hello".to_owned());
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse())?;
    let host = Host::new(HostConfig::default())?;
    let bytes = std::fs::read(&path)?;
    let begun = Instant::now();
    let module = host.load(&bytes)?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let frame = start_frame(&component)?;

    lives(&module, &frame, WARM_UP);
    let life = percentiles((0..SAMPLES).map(|_| timed(|| lives(&module, &frame, 1))).collect());
    let drive = drive_percentiles(&module, &frame)?;
    let mut single = Vec::new();
    let mut double = Vec::new();
    for _ in 0..rounds {
        single.push(lives_per_second(&module, &frame, 1));
        double.push(lives_per_second(&module, &frame, 2));
    }
    let (one, two) = (median(&mut single), median(&mut double));
    println!(
        "{}",
        serde_json::json!({
            "module": path, "module_bytes": bytes.len(), "load_ms": round(load_ms), "rounds": rounds,
            "life_us": { "p50": round(life.0), "p99": round(life.1) },
            "drive_1k_us": { "p50": round(drive.0), "p99": round(drive.1) },
            "lives_per_s": { "one_thread": one.round(), "two_threads": two.round(), "ratio": round(two / one),
                "one_thread_rounds": single.iter().map(|n| n.round()).collect::<Vec<_>>(),
                "two_threads_rounds": double.iter().map(|n| n.round()).collect::<Vec<_>>() },
        })
    );
    Ok(())
}

/// The first frame of a run of the component.
fn start_frame(component: &str) -> Result<Vec<u8>, String> {
    let (kind, name) = component.split_once('/').ok_or("a component is named KIND/NAME")?;
    let kind = ComponentKind::parse(kind).ok_or("the kind is `function` or `workflow`")?;
    let frame = InFrame {
        start: Some(Start {
            run_id: RunId::new(NOW, 0, 1),
            generation: 0,
            component: ComponentRef { kind, name: name.to_owned() },
            attempt: 1,
            input: Json::of("world").map_err(|error| error.to_string())?,
            metadata: std::collections::BTreeMap::new(),
            auth: Auth::default(),
            memo: Memo::default(),
            patches: Vec::new(),
            limits: Limits::default(),
            seed: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        }),
        ..InFrame::new(1, NOW)
    };
    Ok(frame.encode().to_vec())
}

/// Whole lives, one after another.
fn lives(module: &Module, frame: &[u8], count: usize) {
    for _ in 0..count {
        let mut instance = module.instantiate([7; 32], NOW).expect("the pool is larger than the number of threads");
        black_box(instance.drive(frame, NOW)).expect("the component answers its first frame");
    }
}

fn drive_percentiles(module: &Module, start: &[u8]) -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let mut instance = module.instantiate([7; 32], NOW)?;
    instance.drive(start, NOW)?;
    let frame = |turn| {
        let deliver = vec![(Path::from("999"), Outcome::Ok(Json::of(&"x".repeat(FRAME_BYTES - 90))?))];
        Ok::<_, serde_json::Error>(InFrame { deliver, ..InFrame::new(turn, NOW) }.encode())
    };
    let mut samples = Vec::with_capacity(SAMPLES);
    for turn in 2..SAMPLES as u64 + 2 {
        let frame = frame(turn)?;
        let begun = Instant::now();
        black_box(instance.drive(&frame, NOW))?;
        samples.push(begun.elapsed());
    }
    Ok(percentiles(samples))
}

fn lives_per_second(module: &Module, frame: &[u8], threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let count = |_| {
        barrier.wait();
        let begun = Instant::now();
        let mut count = 0_u32;
        while begun.elapsed() < ROUND {
            lives(module, frame, 50);
            count += 50;
        }
        f64::from(count) / begun.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let count = &count;
                scope.spawn(move || count(thread))
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("the component goes on answering")).sum()
    })
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// The 50th and the 99th percentile, in microseconds.
fn percentiles(mut samples: Vec<Duration>) -> (f64, f64) {
    samples.sort_unstable();
    let at = |part: usize| samples[(samples.len() - 1) * part / 100].as_secs_f64() * 1e6;
    (at(50), at(99))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
