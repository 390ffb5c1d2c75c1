//! Without a bug nothing is broken, and everything that can go wrong went wrong.

use bivouac_sim::{Counts, Fault, simulate, trace};

/// How many worlds.
const SEEDS: u64 = 1_000;
/// How many of them at once; each is single-threaded, and none knows of the others.
const THREADS: u64 = 4;
/// Every kind of event that a run can have.
const EVENTS: [&str; 12] = [
    "accepted",
    "answered",
    "attempt_failed",
    "attempt_started",
    "cancel_requested",
    "ended",
    "parked",
    "paused",
    "signal_received",
    "slice_lost",
    "turn",
    "woken",
];

#[test]
fn a_thousand_worlds_break_no_rule_and_meet_every_fault_and_every_event() {
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || worlds(first))).collect();
        for thread in threads {
            counts.add(&thread.join().expect("a rule was broken; the thread said which"));
        }
    });
    println!("{counts}");
    for fault in Fault::ALL {
        assert!(counts.faults.contains_key(fault), "{fault:?} never happened");
    }
    for event in EVENTS {
        assert!(counts.events.contains_key(event), "no run had the event {event}");
    }
}

/// Every so many worlds from the first, and what happened in them.
fn worlds(first: u64) -> Counts {
    let mut counts = Counts::default();
    for seed in (first..SEEDS).step_by(usize::try_from(THREADS).expect("a few")) {
        let report = simulate(seed, None);
        if let Some(violation) = &report.violation {
            let report = trace(seed, None);
            let from = report.trace.len().saturating_sub(60);
            panic!("{}\nseed {seed}: {violation}", report.trace[from..].join("\n"));
        }
        counts.add(&report.counts);
    }
    counts
}

#[test]
fn the_same_seed_gives_the_same_world_to_the_byte() {
    for seed in 0..40 {
        assert_eq!(trace(seed, None).trace, trace(seed, None).trace, "seed {seed}");
    }
}
