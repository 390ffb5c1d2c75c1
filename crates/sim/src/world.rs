//! A world: machines, clients, a disk and a clock, and whose turn it is.
//!
//! First the weather is bad; then it clears, and whatever was accepted has to end.

use crate::{
    clients::Clients,
    dice::Dice,
    executor::Said,
    faults::{Counts, Fault, Weather},
    model::{Check, Model, Violation},
    outside::Outside,
    owner::Owner,
    store::Disk,
};
use bivouac_engine::{Accepted, Event, Shard, ShardLimits, Timestamp};
use bivouac_protocol::RunId;
use serde_json::Value;

/// The instant at which every world begins.
const GENESIS: u64 = 1_700_000_000_000;
/// How many steps a world has, after the faults are over, to come to its end.
const MOST_CALM_STEPS: u64 = 60_000;

/// What everything in a world stands in: time, chance, the disk, the target of effects, and who watches.
#[derive(Debug)]
pub struct Surroundings {
    /// The time.
    pub now: Timestamp,
    /// Chance.
    pub dice: Dice,
    /// What goes wrong.
    pub weather: Weather,
    /// What went wrong.
    pub counts: Counts,
    /// The disk.
    pub disk: Disk,
    /// The target of effects.
    pub outside: Outside,
    /// Who watches.
    pub model: Model,
    /// Whether guests derive keys from the attempt: a planted bug.
    pub keys_shift: bool,
    trace: Option<Vec<String>>,
    tickets: u64,
}

impl Surroundings {
    /// Whether a fault happens now; counted if so.
    pub fn happens(&mut self, fault: Fault) -> bool {
        let happens = self.happens_silently(fault);
        if happens {
            self.counts.fault(fault);
            self.tell(|| format!("! {fault:?}"));
        }
        happens
    }

    /// Whether a fault would happen now; whoever asks counts it where it has an effect.
    pub fn happens_silently(&mut self, fault: Fault) -> bool {
        let rate = self.weather.rate(fault);
        self.dice.chance(rate)
    }

    /// Adds a line to the trace.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>7} {}", self.now.0 - GENESIS, line()));
        }
    }

    /// A number that no other ticket has.
    pub fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// A slice is dispatched: its run is on disk, and what comes along is what is there.
    pub fn check_dispatch(&mut self, run: RunId, accepted: Option<&Accepted>) {
        let first = self.disk.events(run).ok().and_then(|events| events.into_iter().next());
        let fits = match (&first, accepted) {
            (Some(Event::Accepted(on_disk)), Some(accepted)) => **on_disk == *accepted,
            (first, None) => first.is_some(),
            _ => false,
        };
        if !fits {
            self.model
                .blame(Check::OutputCommit, format!("{run}: it was dispatched, but it is not on disk as it began"));
        }
    }

    /// A signal's or an answer's payload, from the loop's memory or the disk.
    pub fn payload(&mut self, run: RunId, seq: u64, shard: &Shard) -> Value {
        let payload = shard.uncommitted_payload(run, seq).cloned().or_else(|| {
            let events = self.disk.events(run).ok()?;
            match events.get(usize::try_from(seq - 1).ok()?)? {
                Event::SignalReceived { payload, .. } | Event::Answered { payload, .. } => Some(payload.clone()),
                _ => None,
            }
        });
        let value = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        value.unwrap_or_else(|| {
            self.model.blame(Check::Signals, format!("{run}: event {seq} carries nothing"));
            Value::Null
        })
    }
}

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What happened, line by line, where it was to be told.
    pub trace: Vec<String>,
    /// How often what happened.
    pub counts: Counts,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
}

/// Lets the world of a seed run to its end.
#[must_use]
pub fn run(seed: u64, keys_shift: bool, traced: bool) -> Report {
    let mut dice = Dice::new(seed);
    let weather = Weather::drawn(&mut dice);
    let limits = ShardLimits { slices: dice.index(6) + 1, queue: dice.index(24) + 2 };
    let mut world = World {
        owners: Vec::new(),
        clients: Clients::default(),
        limits,
        most_runs: dice.between(2, 9),
        around: Surroundings {
            now: Timestamp(GENESIS),
            dice,
            weather,
            counts: Counts::default(),
            disk: Disk::default(),
            outside: Outside::default(),
            model: Model::default(),
            keys_shift,
            trace: traced.then(Vec::new),
            tickets: 0,
        },
    };
    world.storm();
    world.calm();
    let around = world.around;
    Report {
        seed,
        trace: around.trace.unwrap_or_default(),
        counts: around.counts,
        violation: around.model.violation().cloned(),
    }
}

struct World {
    owners: Vec<Owner>,
    clients: Clients,
    limits: ShardLimits,
    most_runs: u64,
    around: Surroundings,
}

impl World {
    /// Everything may go wrong.
    fn storm(&mut self) {
        let steps = self.around.dice.between(400, 2_500);
        for _ in 0..steps {
            if self.around.model.violation().is_some() {
                return;
            }
            self.keep_a_machine();
            let index = self.around.dice.index(self.owners.len());
            match self.around.dice.below(100) {
                0..=57 => self.owners[index].step(&mut self.around),
                58..=85 => self.owners[index].execute(&mut self.around),
                86..=93 => {
                    if let Some(sent) = self.clients.act(self.most_runs, &mut self.around) {
                        self.owners[index].receive(sent);
                    }
                }
                _ => self.pass_time(index),
            }
            self.hear(index);
            if self.owners.len() == 1 && self.around.happens(Fault::SecondOwner) {
                self.owners.push(Owner::start(self.limits, &mut self.around));
            }
        }
    }

    /// Nothing goes wrong any more, and everything has to end.
    fn calm(&mut self) {
        self.around.weather = Weather::calm();
        self.around.tell(|| "the weather clears".to_owned());
        let around = &self.around;
        self.owners.retain(|owner| owner.is_current(around));
        for _ in 0..MOST_CALM_STEPS {
            if self.around.model.violation().is_some() {
                return;
            }
            self.keep_a_machine();
            if !self.owners[0].is_idle() {
                if self.around.dice.chance(600) {
                    self.owners[0].step(&mut self.around);
                } else {
                    self.owners[0].execute(&mut self.around);
                }
            } else if let Some(sent) = self.clients.help(&mut self.around) {
                self.owners[0].receive(sent);
            } else if self.around.model.all_ended() {
                break;
            } else if let Some(due) = self.owners[0].next_wake() {
                self.around.now = Timestamp(self.around.now.0.max(due));
                self.owners[0].step(&mut self.around);
            } else {
                break;
            }
            self.hear(0);
        }
        self.around.model.finally();
    }

    fn keep_a_machine(&mut self) {
        let mut said: Vec<Said> = Vec::new();
        for owner in self.owners.iter_mut().filter(|owner| owner.is_dead()) {
            said.extend(owner.last_words());
        }
        self.owners.retain(|owner| !owner.is_dead());
        if self.owners.is_empty() {
            self.owners.push(Owner::start(self.limits, &mut self.around));
        }
        if !said.is_empty() && self.around.happens(Fault::StaleMachine) {
            self.owners[0].overhear(said);
        }
    }

    fn pass_time(&mut self, index: usize) {
        let now = self.around.now.0;
        if self.around.happens(Fault::ClockBack) {
            self.around.now = Timestamp(now.saturating_sub(self.around.dice.between(1, 80)).max(GENESIS));
            return;
        }
        let ahead = if self.around.happens(Fault::ClockJump) {
            self.around.dice.between(1_000, 100_000)
        } else if self.owners[index].is_idle() {
            self.owners[index].next_wake().map_or(5, |due| due.saturating_sub(now).clamp(1, 100))
        } else {
            self.around.dice.between(1, 10)
        };
        self.around.now = Timestamp(now + ahead);
    }

    fn hear(&mut self, index: usize) {
        for (client, answer) in self.owners[index].take_answers() {
            self.clients.hear(client, answer, &mut self.around);
        }
    }
}
