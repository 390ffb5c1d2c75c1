//! Measures what an instance costs: its whole life, one drive, and how lives scale from one thread to two.
//!
//! `bench_instance MODULE.wasm [COMPONENT [INPUT [ROUNDS]]]` prints one line of JSON. A life is instantiation,
//! `_initialize`, the start frame, and the end of the instance. `drive_1k_us` is the start frame padded to 1 KB, given
//! to a fresh instance; `drive_1k_warm_us` a delivery of 1 KB to an instance that still runs after its start (`null`
//! where the component has ended by then). Rounds on one and on two threads alternate, medians are printed.
//! `cpu_us_per_life` is the time on the processor, which other work on the machine changes less than it does the clock.

#![expect(clippy::print_stdout, reason = "the result is for a program to read")]

use bivouac_protocol::{
    Json, Path, RunId,
    frame::{Auth, InFrame, Limits, Memo, OutFrame, Outcome, Start, Status},
    manifest::{ComponentKind, ComponentRef},
};
use bivouac_wasm_host::{Host, HostConfig, Instance, Module};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    error::Error,
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
/// The size of the frame whose drive is measured, in bytes.
const FRAME_BYTES: usize = 1_024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: bench_instance MODULE.wasm [COMPONENT [INPUT [ROUNDS]]]")?;
    let component = args.next().unwrap_or_else(|| "function/hello".to_owned());
    let input = Json::parse_text(args.next().unwrap_or_else(|| r#"{"name":"world"}"#.to_owned()))?;
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse())?;

    let bytes = std::fs::read(&path)?;
    let host = Host::new(HostConfig::default())?;
    let begun = Instant::now();
    let module = host.load(&bytes)?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let frame = start_frame(&component, &input, 0)?;
    let empty = start_frame(&component, &input, 1)?.len() - 1;
    let frame_1k = start_frame(&component, &input, FRAME_BYTES.saturating_sub(empty))?;

    lives(&module, &frame, WARM_UP)?;
    let life = (0..SAMPLES).map(|_| timed(|| lives(&module, &frame, 1))).collect::<Result<_, _>>()?;
    let fresh = (0..SAMPLES)
        .map(|_| {
            let mut instance = module.instantiate([7; 32], NOW)?;
            timed(|| driven(&mut instance, &frame_1k))
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    let warm = warm_drives(&module, &frame)?;
    let (mut one, mut two) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        one.add(&run_round(&module, &frame, 1)?);
        two.add(&run_round(&module, &frame, 2)?);
    }
    println!(
        "{}",
        json!({
            "module": path, "module_bytes": bytes.len(), "component": component, "load_ms": rounded(load_ms),
            "rounds": rounds, "frame_bytes": frame.len(), "frame_1k_bytes": frame_1k.len(),
            "life_us": percentiles(life), "drive_1k_us": percentiles(fresh),
            "drive_1k_warm_us": warm.map_or(Value::Null, percentiles),
            "lives_per_s": { "one_thread": median(&one.per_second), "two_threads": median(&two.per_second),
                "ratio": rounded(median(&two.per_second) / median(&one.per_second)) },
            "cpu_us_per_life": { "one_thread": median(&one.cpu_us), "two_threads": median(&two.cpu_us) },
            "lives_per_s_rounds": { "one_thread": one.per_second, "two_threads": two.per_second },
        })
    );
    Ok(())
}

/// The first frame of a run of the component, with that much padding.
fn start_frame(component: &str, input: &Json, padding: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let (kind, name) = component.split_once('/').ok_or("a component is named KIND/NAME")?;
    let kind = ComponentKind::parse(kind).ok_or("the kind is `function` or `workflow`")?;
    let pad = (padding > 0).then(|| ("pad".to_owned(), "x".repeat(padding)));
    let frame = InFrame {
        start: Some(Start {
            run_id: RunId::new(NOW, 0, 1),
            generation: 0,
            component: ComponentRef { kind, name: name.to_owned() },
            attempt: 1,
            input: input.clone(),
            metadata: pad.into_iter().collect::<BTreeMap<_, _>>(),
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
fn lives(module: &Module, frame: &[u8], count: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        let mut instance = module.instantiate([7; 32], NOW)?;
        driven(&mut instance, frame)?;
    }
    Ok(())
}

/// One drive, whose answer is looked at by nobody.
fn driven(instance: &mut Instance, frame: &[u8]) -> Result<(), Box<dyn Error>> {
    black_box(instance.drive(frame, NOW)?);
    Ok(())
}

/// Deliveries of 1 KB, which nobody waits for, to one instance that still runs.
fn warm_drives(module: &Module, start: &[u8]) -> Result<Option<Vec<Duration>>, Box<dyn Error>> {
    let mut instance = module.instantiate([7; 32], NOW)?;
    let out = OutFrame::decode(&instance.drive(start, NOW)?)?;
    if out.status != Status::Running {
        return Ok(None);
    }
    let outcome = Outcome::Ok(Json::of(&"x".repeat(FRAME_BYTES - 90))?);
    let drive = |turn| {
        let deliver = vec![(Path::from("999"), outcome.clone())];
        let frame = InFrame { deliver, ..InFrame::new(turn, NOW) }.encode();
        timed(|| driven(&mut instance, &frame))
    };
    (2..SAMPLES as u64 + 2).map(drive).collect::<Result<_, _>>().map(Some)
}

/// What the rounds on one number of threads gave.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, threads: &[(f64, f64)]) {
        let sum = |part: fn(&(f64, f64)) -> f64| threads.iter().map(part).sum::<f64>();
        self.per_second.push(sum(|thread| thread.0).round());
        self.cpu_us.push(rounded(sum(|thread| thread.1) / threads.len() as f64));
    }
}

/// Lives on that many threads at once: lives per second and microseconds of processor per life, of each.
fn run_round(module: &Module, frame: &[u8], threads: usize) -> Result<Vec<(f64, f64)>, String> {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        let (begun, cpu) = (Instant::now(), cpu_us());
        let mut count = 0.0;
        while begun.elapsed() < ROUND {
            lives(module, frame, 50).map_err(|error| error.to_string())?;
            count += 50.0;
        }
        Ok::<_, String>((count / begun.elapsed().as_secs_f64(), (cpu_us() - cpu) / count))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?).collect()
    })
}

/// How long this thread has been on a processor; 0 where the system does not say.
fn cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

fn timed(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn percentiles(mut samples: Vec<Duration>) -> Value {
    samples.sort_unstable();
    let at = |part: usize| rounded(samples[(samples.len() - 1) * part / 100].as_secs_f64() * 1e6);
    json!({ "p50": at(50), "p99": at(99) })
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
