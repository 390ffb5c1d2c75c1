//! Generated programs come to an end, and say the same when driven again.

use bivouac::{
    protocol::frame::{CancelMode, Status},
    testing::{Report, Test, http},
};
use programs::{Instruction, Program, generate, program};
use std::collections::BTreeMap;

const SERVICE: &str = "http://service.test";
const PROGRAMS: u64 = 200;

fn arranged(seed: u64) -> Test {
    Test::of::<program>()
        .input(&generate(seed, SERVICE))
        .on(http("*", "/status/503").status(503))
        .on(http("*", "/status/409").status(409))
        .on(http("*", "*").text(200, "echo"))
}

#[test]
fn two_hundred_programs_end_and_are_replayable() {
    let mut endings = BTreeMap::<_, u32>::new();
    let mut attempts = 0;
    for seed in 0..PROGRAMS {
        let report = arranged(seed).run();
        *endings.entry(format!("{:?}", report.status())).or_default() += 1;
        attempts += report.attempts();
    }
    assert!(endings["Completed"] > 60 && endings["Failed"] > 20, "{endings:?}");
    assert_eq!(endings.values().sum::<u32>(), u32::try_from(PROGRAMS).unwrap(), "{endings:?}");
    assert_eq!(endings.len(), 2, "none stalls and none waits for ever: {endings:?}");
    assert!(attempts > 250, "{attempts}");
}

#[test]
fn it_does_not_matter_to_the_end_how_many_outcomes_come_at_once() {
    for seed in 0..PROGRAMS {
        let (one_by_one, together) = (arranged(seed).run(), arranged(seed).together().run());
        assert_eq!(one_by_one.status() == Status::Stalled, together.status() == Status::Stalled, "{seed}");
    }
}

#[test]
fn equal_requests_have_equal_keys_and_different_ones_never_share_one() {
    for seed in 0..PROGRAMS {
        let mut by_key = BTreeMap::new();
        for sent in arranged(seed).run().requests() {
            let author = sent.key.as_str().rsplit('/').next().is_some_and(|last| !last.contains('#'));
            if author {
                continue;
            }
            let before = by_key.insert(sent.key.clone(), sent.request.clone());
            assert!(before.is_none_or(|before| before == sent.request), "{seed}: {:?}", sent.key);
        }
    }
}

#[test]
fn generated_programs_contain_every_instruction() {
    let mut seen = BTreeMap::<String, u32>::new();
    for seed in 0..PROGRAMS {
        count(&generate(seed, SERVICE).parse::<Program>().unwrap().body, &mut seen);
    }
    assert_eq!(seen.len(), 21, "{seen:?}");
    assert!(seen.values().all(|count| *count > 10), "{seen:?}");
}

fn count(body: &[Instruction], seen: &mut BTreeMap<String, u32>) {
    use Instruction::{Join, JoinAll, Select, SelectAll, Spawn, Step, Timeout, Try};
    for instruction in body {
        let name = format!("{instruction:?}");
        let name = name.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        *seen.entry(name).or_default() += 1;
        match instruction {
            Step { body, .. } | Spawn { body, .. } | Timeout { body, .. } | Try { body } => count(body, seen),
            Join { a, b } | Select { a, b } => [a, b].into_iter().for_each(|body| count(body, seen)),
            JoinAll { branches } | SelectAll { branches } => branches.iter().for_each(|body| count(body, seen)),
            _ => {}
        }
    }
}

#[test]
fn a_cancelled_program_ends() {
    let waiting = Program {
        service: SERVICE.into(),
        show_chance: false,
        body: vec![
            Instruction::Step { name: "a".into(), body: vec![Instruction::Random] },
            Instruction::Sleep { ms: 1_000 },
        ],
    };
    let cancelled = |mode| -> Report { Test::of::<program>().input(&waiting).cancel_after("a", mode).run() };
    assert_eq!(cancelled(CancelMode::Grace).status(), Status::Cancelled);
    assert_eq!(cancelled(CancelMode::Now).status(), Status::Cancelled);
}
