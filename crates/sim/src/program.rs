//! What scripted components do: small random programs, each rebuilt from one number.
//!
//! The number is the run's input, so whoever reads the run's first event knows its program. What a program may end with
//! is in [`crate::reference`]; how it is executed, in [`crate::guest`].

use crate::dice::Dice;
use bivouac_protocol::manifest::{Backoff, Retries};
use std::sync::Arc;

/// The names that programs keep in memory; few, so that runs meet.
pub const MEMORY_NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// The signals that programs wait for.
pub const SIGNAL_NAMES: [&str; 2] = ["go", "stop"];
/// What programs call their questions.
pub const QUESTION_NAMES: [&str; 2] = ["where", "when"];

/// One thing that a component does. Every node that asks for an effect has an id, which tells nodes apart even where
/// their requests are equal.
#[derive(Clone, Debug)]
pub enum Node {
    /// Calls the outside world. Equal payloads in one scope are equal requests.
    Call {
        /// Which node.
        id: u32,
        /// Whether it is repeated only under its key.
        keyed: bool,
        /// What is sent.
        payload: u32,
    },
    /// A step.
    Step {
        /// Its name; steps of one scope may share one.
        name: &'static str,
        /// What it does; nothing for one that only computes.
        body: Arc<[Self]>,
        /// Whether it fails after its body.
        fails: Fails,
        /// Whether the component goes on after a failure of the step.
        caught: bool,
    },
    /// Waits for time.
    Sleep {
        /// Which node.
        id: u32,
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Waits for a signal.
    Signal {
        /// Which node.
        id: u32,
        /// Its name.
        name: &'static str,
    },
    /// Asks somebody.
    Question {
        /// Which node.
        id: u32,
        /// What the question is called.
        name: &'static str,
    },
    /// Whichever branch is done first; the other is dropped.
    Select(Arc<[Self]>, Arc<[Self]>),
    /// Both branches.
    Join(Arc<[Self]>, Arc<[Self]>),
    /// Keeps or forgets a value.
    Save {
        /// Which node.
        id: u32,
        /// Under which name.
        name: &'static str,
        /// Whether it forgets.
        forgets: bool,
    },
    /// Reads a value.
    Load {
        /// Which node.
        id: u32,
        /// Under which name.
        name: &'static str,
    },
    /// Tells something.
    Note {
        /// Whether clients see it.
        visible: bool,
    },
    /// Fails the attempt.
    Fail(Fails),
    /// Breaks the guest contract.
    Broken(Breach),
}

/// When something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// Never.
    Never,
    /// In all attempts before this one, and the same again may mend it.
    Before(u32),
    /// Always, for good.
    Always,
}

impl Fails {
    /// Whether it fails in this attempt, and if so whether a retry may mend it.
    #[must_use]
    pub const fn in_attempt(self, attempt: u32) -> Option<bool> {
        match self {
            Self::Before(first) if attempt < first => Some(true),
            Self::Always => Some(false),
            Self::Never | Self::Before(_) => None,
        }
    }
}

/// A way to break the guest contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Goes on and waits for nothing.
    Stalls,
    /// Asks for two effects under one path.
    SamePath,
    /// Asks for an effect with its end.
    EffectWithEnd,
}

/// A component.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it does.
    pub nodes: Arc<[Node]>,
    /// How often it is tried.
    pub retries: Option<Retries>,
    /// A value that it keeps with its end.
    pub last_words: Option<(u32, &'static str)>,
    /// Whether it cleans up with an effect when it is cancelled.
    pub cleans_up: bool,
    /// Whether it comes out differently in replay.
    pub fickle: bool,
}

struct Draft<'a> {
    dice: &'a mut Dice,
    ids: u32,
    left: u32,
}

impl Program {
    /// The program with this number.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        let mut dice = Dice::new(number);
        let left = u32::try_from(dice.between(2, 14)).unwrap_or(2);
        let mut draft = Draft { dice: &mut dice, ids: 0, left };
        let mut nodes = draft.sequence(0, 7);
        if draft.dice.chance(30) {
            nodes.push(Node::Broken(draft.dice.pick(&[Breach::Stalls, Breach::SamePath, Breach::EffectWithEnd])));
        }
        let id = draft.id();
        let name = draft.dice.pick(&MEMORY_NAMES);
        Self {
            nodes: nodes.into(),
            retries: draft.dice.chance(800).then(|| draft.retries()),
            last_words: dice.chance(250).then_some((id, name)),
            cleans_up: dice.chance(500),
            fickle: dice.chance(30),
        }
    }
}

impl Draft<'_> {
    fn id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn retries(&mut self) -> Retries {
        Retries {
            max_attempts: u32::try_from(self.dice.between(1, 4)).unwrap_or(1),
            initial_interval_ms: self.dice.between(1, 200),
            max_interval_ms: self.dice.between(50, 1_000),
            backoff: self.dice.pick(&[Backoff::Constant, Backoff::Linear, Backoff::Exponential]),
            multiplier_thousandths: u32::try_from(self.dice.between(1_000, 3_000)).unwrap_or(1_000),
        }
    }

    fn sequence(&mut self, depth: u32, most: u64) -> Vec<Node> {
        let length = self.dice.between(1, most);
        (0..length).map_while(|_| self.node(depth)).collect()
    }

    fn node(&mut self, depth: u32) -> Option<Node> {
        self.left = self.left.checked_sub(1)?;
        Some(match self.dice.below(if depth < 2 { 17 } else { 11 }) {
            0 | 1 => self.call(),
            2 | 3 => self.step(),
            4 => Node::Sleep { id: self.id(), ms: self.dice.between(1, 400) },
            5 => Node::Signal { id: self.id(), name: self.dice.pick(&SIGNAL_NAMES) },
            6 => Node::Save { id: self.id(), name: self.dice.pick(&MEMORY_NAMES), forgets: self.dice.chance(200) },
            7 => Node::Load { id: self.id(), name: self.dice.pick(&MEMORY_NAMES) },
            8 => Node::Note { visible: self.dice.chance(500) },
            9 => Node::Fail(self.fails(400)),
            10 => self.question(),
            11 => Node::Join(self.sequence(depth + 1, 3).into(), self.sequence(depth + 1, 3).into()),
            12 => Node::Select(self.contender(depth).into(), self.contender(depth).into()),
            13 => {
                // Two waits for one signal, of which the later may come first in the order of paths.
                let name = self.dice.pick(&SIGNAL_NAMES);
                let late = vec![self.call(), Node::Signal { id: self.id(), name }];
                let early = vec![Node::Signal { id: self.id(), name }, self.call()];
                Node::Join(late.into(), early.into())
            }
            14 => {
                // Two questions at once, which may have one name, and a third after one of them.
                let more = vec![self.question(), self.question()];
                Node::Join(vec![self.question()].into(), more.into())
            }
            15 => {
                let question = vec![self.question()];
                let timer = vec![Node::Sleep { id: self.id(), ms: self.dice.between(1, 120) }];
                Node::Select(question.into(), timer.into())
            }
            _ => {
                let signal = vec![Node::Signal { id: self.id(), name: self.dice.pick(&SIGNAL_NAMES) }];
                let timer = vec![Node::Sleep { id: self.id(), ms: self.dice.between(1, 120) }];
                Node::Select(signal.into(), timer.into())
            }
        })
    }

    fn contender(&mut self, depth: u32) -> Vec<Node> {
        match self.dice.below(4) {
            0 => vec![Node::Signal { id: self.id(), name: self.dice.pick(&SIGNAL_NAMES) }],
            1 => vec![Node::Sleep { id: self.id(), ms: self.dice.between(1, 120) }],
            2 => vec![Node::Signal { id: self.id(), name: self.dice.pick(&SIGNAL_NAMES) }, self.call()],
            _ => self.sequence(depth + 1, 2),
        }
    }

    fn question(&mut self) -> Node {
        Node::Question { id: self.id(), name: self.dice.pick(&QUESTION_NAMES) }
    }

    fn call(&mut self) -> Node {
        // Every third payload is one of two, so that some requests of a scope are equal.
        let payload = if self.dice.chance(330) { self.dice.below(2) } else { 100 + u64::from(self.ids) };
        Node::Call { id: self.id(), keyed: self.dice.chance(650), payload: u32::try_from(payload).unwrap_or(0) }
    }

    fn step(&mut self) -> Node {
        let length = self.dice.below(3);
        let body: Vec<Node> = (0..length)
            .map(|_| match self.dice.below(7) {
                0..=2 => self.call(),
                3 => Node::Signal { id: self.id(), name: self.dice.pick(&SIGNAL_NAMES) },
                4 => Node::Sleep { id: self.id(), ms: self.dice.between(1, 100) },
                5 => self.question(),
                _ => Node::Load { id: self.id(), name: self.dice.pick(&MEMORY_NAMES) },
            })
            .collect();
        Node::Step {
            name: self.dice.pick(&["charge", "ship", "mail"]),
            body: body.into(),
            fails: self.fails(400),
            caught: self.dice.chance(400),
        }
    }

    fn fails(&mut self, per_mille: u64) -> Fails {
        if !self.dice.chance(per_mille) {
            Fails::Never
        } else if self.dice.chance(750) {
            Fails::Before(u32::try_from(self.dice.between(2, 4)).unwrap_or(2))
        } else {
            Fails::Always
        }
    }
}
