//! Each bug put in on purpose is found within a thousand worlds.

use bivouac_engine::sabotage::Defect;
use bivouac_sim::{Planted, simulate};

/// Within how many worlds.
const SEEDS: u64 = 1_000;

fn is_found(planted: Planted) {
    let (seed, violation) = (0..SEEDS)
        .find_map(|seed| simulate(seed, Some(planted)).violation.map(|violation| (seed, violation)))
        .unwrap_or_else(|| panic!("{planted:?} was not found in {SEEDS} worlds"));
    let text: String = violation.to_string().chars().take(200).collect();
    println!("{planted:?}: seed {seed}, {text}");
}

#[test]
fn a_fence_that_is_off_is_found() {
    is_found(Planted::Engine(Defect::FenceOff));
}

#[test]
fn an_answer_before_the_commit_is_found() {
    is_found(Planted::Engine(Defect::AnswerBeforeCommit));
}

#[test]
fn an_output_before_the_commit_is_found() {
    is_found(Planted::Engine(Defect::OutputBeforeCommit));
}

#[test]
fn a_lost_wake_up_is_found() {
    is_found(Planted::Engine(Defect::LostWakeUp));
}

#[test]
fn a_forgotten_memo_is_found() {
    is_found(Planted::Engine(Defect::MemoForgotten));
}

#[test]
fn a_signal_lost_in_a_select_is_found() {
    is_found(Planted::Engine(Defect::SignalLostInSelect));
}

#[test]
fn an_answer_that_counts_twice_is_found() {
    is_found(Planted::Engine(Defect::AnswerCountsTwice));
}

#[test]
fn an_answer_that_is_lost_is_found() {
    is_found(Planted::Engine(Defect::AnswerLost));
}

#[test]
fn memory_read_before_its_commit_is_found() {
    is_found(Planted::Engine(Defect::DirtyMemoryRead));
}

#[test]
fn keys_that_shift_between_attempts_are_found() {
    is_found(Planted::KeysShift);
}
