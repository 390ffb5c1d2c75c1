//! The drill, with few deaths; `cargo xtask crash` has many.

#![expect(clippy::print_stdout, reason = "the figures are for whoever runs the test")]

use bivouac_testbed::{
    crash::{Drill, drill},
    node::Mode,
};

const KILLS: u32 = 10;
const POWERLOSS: u32 = 2;

#[test]
fn modules_survive_every_death() {
    survives(Mode::Wasm);
}

#[test]
fn native_code_survives_every_death() {
    survives(Mode::Native);
}

fn survives(mode: Mode) {
    let plan =
        Drill { mode, profile: "dev".to_owned(), seed: 1, steps: true, kills: KILLS, powerloss: POWERLOSS, at_once: 4 };
    let report = drill(&plan, &mut |line| println!("{line}")).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{report}");
    // Each step dies twice, in its call and after; some random moments are followed by a second one.
    assert!(report.kills >= 12 + KILLS && report.images >= POWERLOSS, "{report}");
    // A call that was unanswered at the death came again.
    assert!(report.repeats.values().sum::<u32>() >= 6, "{report}");
}
