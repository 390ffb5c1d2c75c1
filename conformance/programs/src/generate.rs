//! Random programs.
#![cfg(not(target_arch = "wasm32"))]

use crate::{Answer, Instruction, Program};
use bivouac::Json;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use serde_json::{Value, json};

/// How deep instructions nest.
const MAX_DEPTH: u32 = 4;

/// How many instructions a program has at most, all levels together.
const MAX_INSTRUCTIONS: u32 = 60;

/// Names that steps and values share, so that namesakes and punctuation occur.
const NAMES: [&str; 6] = ["a", "b", "charge", "a/b", "x#2:1", "größe~%"];

/// The program of this number, whose requests go to `service`: `GET {service}/echo/N` and `POST {service}/echo/N`,
/// which answer with any text, and now and then `/status/409` and `/status/503`, which answer with that status.
///
/// # Examples
/// ```
/// let program = programs::generate(7, "http://127.0.0.1:9");
/// assert_eq!(program, programs::generate(7, "http://127.0.0.1:9"));
/// assert_ne!(program, programs::generate(8, "http://127.0.0.1:9"));
/// ```
///
/// # Panics
/// Never: a program can always be written as JSON.
#[must_use]
pub fn generate(seed: u64, service: &str) -> Json {
    whole(seed, service, false)
}

/// The program of this number that also asks: for texts, approvals and choices, which somebody has to answer.
///
/// # Panics
/// Never: a program can always be written as JSON.
#[must_use]
pub fn generate_asking(seed: u64, service: &str) -> Json {
    whole(seed, service, true)
}

fn whole(seed: u64, service: &str, asks: bool) -> Json {
    let mut generator = Generator { random: ChaCha20Rng::seed_from_u64(seed), left: MAX_INSTRUCTIONS, asks };
    let body = generator.body(0, 2, 8);
    let program = Program { service: service.to_owned(), body, show_chance: true };
    Json::of(&program).expect("a program has text keys")
}

struct Generator {
    random: ChaCha20Rng,
    left: u32,
    asks: bool,
}

impl Generator {
    fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    fn chance(&mut self, of_ten: u32) -> bool {
        self.below(10) < of_ten
    }

    fn name(&mut self) -> String {
        NAMES[self.below(6) as usize].to_owned()
    }

    fn value(&mut self) -> Value {
        match self.below(4) {
            0 => json!(self.random.next_u64()),
            1 => json!("text \u{1f30d} \"quoted\""),
            2 => json!({ "b": [1, null, true], "a": -3 }),
            _ => Value::Null,
        }
    }

    fn body(&mut self, depth: u32, least: u32, most: u32) -> Vec<Instruction> {
        let count = least + self.below(most - least + 1);
        let mut body = Vec::new();
        for _ in 0..count {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            body.push(if depth < MAX_DEPTH && self.chance(4) { self.group(depth + 1) } else { self.single() });
        }
        body
    }

    fn branches(&mut self, depth: u32) -> Vec<Vec<Instruction>> {
        (0..=self.below(4)).map(|_| self.body(depth, 0, 2)).collect()
    }

    fn group(&mut self, depth: u32) -> Instruction {
        match self.below(12) {
            0..=3 => Instruction::Step { name: self.name(), body: self.body(depth, 0, 4) },
            4 | 5 => Instruction::Join { a: self.body(depth, 0, 3), b: self.body(depth, 0, 3) },
            6 => Instruction::JoinAll { branches: self.branches(depth) },
            7 => Instruction::Select { a: self.body(depth, 0, 3), b: self.body(depth, 0, 3) },
            8 => Instruction::SelectAll { branches: self.branches(depth) },
            9 => Instruction::Spawn { body: self.body(depth, 0, 3), awaited: self.chance(6) },
            10 => Instruction::Timeout { ms: u64::from(self.below(20)), body: self.body(depth, 0, 2) },
            _ => Instruction::Try { body: self.body(depth, 1, 3) },
        }
    }

    fn single(&mut self) -> Instruction {
        if self.asks && self.chance(3) {
            return self.question();
        }
        match self.below(24) {
            0..=6 => self.request(),
            7 | 8 => Instruction::Sleep { ms: u64::from(self.below(10)) },
            9 | 10 => Instruction::MemorySave { name: self.name(), value: self.value(), detached: self.chance(4) },
            11 | 12 => Instruction::MemoryLoad { name: self.name() },
            13 => Instruction::MemoryDelete { name: self.name() },
            14 => Instruction::MemoryList { prefix: self.name() },
            15 | 16 => Instruction::Emit { name: self.name(), data: self.value() },
            17 => Instruction::Log { message: self.name() },
            18 => Instruction::Random,
            19 => Instruction::Uuid,
            20 => Instruction::Now,
            21 => Instruction::Patched,
            22 => self.failure(),
            _ => Instruction::Try { body: vec![self.failure()] },
        }
    }

    fn request(&mut self) -> Instruction {
        let post = self.chance(6);
        let path = match self.below(20) {
            0 => "/status/503".to_owned(),
            1 => "/status/409".to_owned(),
            _ => format!("/echo/{}", self.below(5)),
        };
        Instruction::Http {
            method: if post { "POST" } else { "GET" }.to_owned(),
            path,
            body: post.then(|| self.value()),
            key: self.chance(1).then(|| self.name()),
        }
    }

    fn question(&mut self) -> Instruction {
        let kind = match self.below(4) {
            0 => Answer::Text,
            1 => Answer::Approval,
            2 => Answer::Select,
            _ => Answer::Multiselect,
        };
        // Few texts, so that a scope asks the same twice.
        let text = ["Where?", "Go on?", "größe \u{1f30d} \"quoted\""][self.below(3) as usize].to_owned();
        let name = if self.chance(4) { Some(self.name()) } else { None };
        Instruction::Ask { text, kind, name }
    }

    fn failure(&mut self) -> Instruction {
        let retryable = self.chance(8);
        Instruction::Fail {
            code: if retryable { "TRY_AGAIN" } else { "FOR_GOOD" }.to_owned(),
            retryable,
            up_to_attempt: self.below(3),
        }
    }
}
