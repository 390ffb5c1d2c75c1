//! A small run of the fuzzer in the suite; the large one is `cargo run --release -p bivouac-a2a --example fuzz_parser`.

use super::fuzz_parser::run;

#[test]
fn rubbish_ends_in_errors_and_never_in_a_panic() {
    let seen = run(20_000, 7);
    assert_eq!(seen.calls + seen.refusals, 10_000);
    assert_eq!(seen.values + seen.rubbish, 5_000);
    // A fuzzer that never gets past the first check would find nothing.
    assert!(
        seen.calls > 500 && seen.refusals > 500 && seen.values > 500 && seen.rubbish > 500 && seen.told > 5_000,
        "{seen:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_inputs() {
    assert_eq!(run(2_000, 3), run(2_000, 3));
    assert_ne!(run(2_000, 3), run(2_000, 4));
}
