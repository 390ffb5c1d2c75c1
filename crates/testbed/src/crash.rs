//! The drill: orders are in flight, the server dies, and nothing is lost and nothing done twice.
//!
//! A server with the example `order` is killed (`kill -9`) in and after each step, then at random moments with several
//! orders in flight, sometimes again while it recovers; then its power is cut: it goes on from the image of what was
//! synced. After each death every order is looked at (`check`): it finished with the output of an undisturbed run, the
//! shop heard each step, per death at most one step was repeated and always under its key, and the event list that a
//! client saw before is the beginning of the one it sees now.
//!
//! The moments are drawn from a seed, but a machine's timing is its own: a seed repeats the plan, not the moment.

mod check;
mod report;

pub use report::Report;

use crate::{
    Node, PowerLoss, Shop,
    artifacts::BuildFailed,
    node::{Mode, NodeError, Programs},
    process::Failure,
    shop::TimedOut,
};
use check::{Death, in_flight};
use serde_json::{Value, json};
use std::{
    fs, io,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The steps of an order, in their order; the second and third are concurrent.
pub const STEPS: [&str; 6] = ["reserve", "charge", "notify_warehouse", "ship", "invoice", "confirm"];
/// How many different orders there are.
const KINDS: usize = 8;
/// How long the shop takes to answer, so that a good part of the moments falls into a call.
const SHOP_DELAY: Duration = Duration::from_millis(2);
/// How long an order may take to finish after a death.
const FINISH_WITHIN: Duration = Duration::from_secs(60);
/// One death in so many is followed by another while the server recovers.
const AGAIN_ONE_IN: u64 = 4;
/// The component.
const ORDER: &str = "workflows/order";

/// What is drilled.
#[derive(Clone, Debug)]
pub struct Drill {
    /// How the components get into the server.
    pub mode: Mode,
    /// The cargo profile of the server.
    pub profile: String,
    /// Where the moments come from.
    pub seed: u64,
    /// Whether the server is killed in and after each step.
    pub steps: bool,
    /// How many times it is killed at a random moment.
    pub kills: u32,
    /// How many times its power is cut at a random moment.
    pub powerloss: u32,
    /// How many orders are in flight at once.
    pub at_once: usize,
}

/// A drill that ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A promise was broken.
    #[error("{0}")]
    Promise(String),
    /// The server could not be built, started or asked.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Something was waited for and did not come.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// The operating system refused, or the server did not answer.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Node(failure.into())
    }
}

impl From<BuildFailed> for Broken {
    fn from(failed: BuildFailed) -> Self {
        Self::Node(failed.into())
    }
}

/// Drills, and says what it saw. `say` hears of the progress.
///
/// # Errors
/// [`Broken`], at the first promise that was.
pub fn drill(drill: &Drill, say: &mut dyn FnMut(&str)) -> Result<Report, Broken> {
    let mut yard = Yard::open(drill)?;
    say(&format!("{}: {} orders at once take {:?} undisturbed", drill.mode.name(), drill.at_once, yard.duration));
    if drill.steps || drill.kills > 0 {
        yard.kill(drill, say)?;
    }
    for cut in 1..=drill.powerloss {
        yard.cut_power(drill.at_once)?;
        say(&format!("{}: power cut {cut} of {}", drill.mode.name(), drill.powerloss));
    }
    Ok(yard.report)
}

/// Where the server lives: a data directory, and what watches it where the power is to be cut.
struct Site {
    data: PathBuf,
    watch: Option<PowerLoss>,
    _folder: TempDir,
}

impl Site {
    fn new(watched: bool) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        Self::over(folder, data, watched)
    }

    fn over(folder: TempDir, data: PathBuf, watched: bool) -> io::Result<Self> {
        let scratch = folder.path().join("scratch");
        fs::create_dir(&scratch)?;
        let watch = if watched { Some(PowerLoss::over(&data, &scratch)?) } else { None };
        Ok(Self { data, watch, _folder: folder })
    }

    /// What is there after the server died: the same directory, or what a power cut left of it.
    fn after_death(self) -> io::Result<Self> {
        let Some(watch) = &self.watch else { return Ok(self) };
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        watch.copy_image(&data)?;
        Self::over(folder, data, true)
    }
}

/// An order that was sent.
pub(crate) struct Order {
    kind: usize,
    /// The client's idempotency key, which names its user too.
    key: String,
    /// The run, once the client knows it.
    run: Option<String>,
    acknowledged: bool,
}

/// The moment at which the server dies.
enum Moment {
    /// While a call of the step is unanswered.
    In(&'static str),
    /// When a call of the step has just been answered.
    After(&'static str),
    /// So long after the first order was sent.
    Delay(Duration),
}

struct Yard {
    programs: Programs,
    shop: Shop,
    dice: Dice,
    /// The output of each kind of order, undisturbed.
    outputs: Vec<Value>,
    /// How long a batch takes undisturbed.
    duration: Duration,
    sent: usize,
    report: Report,
}

impl Yard {
    /// Runs every kind of order undisturbed.
    fn open(drill: &Drill) -> Result<Self, Broken> {
        let programs = Programs::build("order", drill.mode, &drill.profile)?;
        let shop = Shop::start()?;
        for step in STEPS {
            shop.slow(&format!("/{step}"), SHOP_DELAY);
        }
        let mut yard = Self {
            programs,
            shop,
            dice: Dice(drill.seed),
            outputs: Vec::new(),
            duration: Duration::ZERO,
            sent: 0,
            report: Report::new(drill.mode),
        };
        let site = Site::new(false)?;
        let node = yard.start(&site)?;
        node.deploy(&yard.programs)?;
        for kind in 0..KINDS {
            let order = yard.order(kind);
            let answer = send(&node, &order, &yard.input(kind))?;
            let result = node.api().result(&run_of(&answer)?, FINISH_WITHIN)?;
            if result["status"] != "completed" {
                return Err(Broken::Promise(format!("an undisturbed order ended so: {result}")));
            }
            yard.outputs.push(result["output"].clone());
        }
        let begun = Instant::now();
        let mut orders = yard.orders(drill.at_once);
        yard.send_again(&node, &mut orders)?;
        for run in orders.iter().filter_map(|order| order.run.as_deref()) {
            node.api().result(run, FINISH_WITHIN)?;
        }
        yard.duration = begun.elapsed();
        node.stop()?;
        Ok(yard)
    }

    /// Kills one server again and again on one data directory, and looks at everything once more at the end.
    fn kill(&mut self, drill: &Drill, say: &mut dyn FnMut(&str)) -> Result<(), Broken> {
        let mut site = Site::new(false)?;
        let mut node = self.start(&site)?;
        node.deploy(&self.programs)?;
        let mut all = Vec::new();
        for step in STEPS.iter().filter(|_| drill.steps) {
            for moment in [Moment::In(step), Moment::After(step)] {
                (site, node) = self.round(site, node, &moment, 1, &mut all)?;
            }
            say(&format!("{}: killed in and after {step}", drill.mode.name()));
        }
        for kill in 1..=drill.kills {
            let moment = Moment::Delay(self.dice.below(self.duration));
            (site, node) = self.round(site, node, &moment, drill.at_once, &mut all)?;
            if kill % 10 == 0 {
                say(&format!("{}: kill {kill} of {}", drill.mode.name(), drill.kills));
            }
        }
        for order in &all {
            self.check_output(&node, order)?;
        }
        node.stop()?;
        Ok(())
    }

    /// A server from its first start, deployment included, to the cut and beyond.
    fn cut_power(&mut self, at_once: usize) -> Result<(), Broken> {
        let site = Site::new(true)?;
        let node = self.start(&site)?;
        node.deploy(&self.programs)?;
        let moment = Moment::Delay(self.dice.below(self.duration));
        let (_site, node) = self.round(site, node, &moment, at_once, &mut Vec::new())?;
        node.stop()?;
        Ok(())
    }

    /// Sends orders, lets the server die, starts it again, and looks at what became of them.
    fn round(
        &mut self,
        site: Site,
        node: Node,
        moment: &Moment,
        at_once: usize,
        all: &mut Vec<Order>,
    ) -> Result<(Site, Node), Broken> {
        let mut orders = self.orders(at_once);
        let seen = self.die(node, moment, &mut orders)?;
        let mut deaths = vec![self.death(&site)];
        let mut site = site.after_death()?;
        if matches!(moment, Moment::Delay(_)) && self.dice.next().is_multiple_of(AGAIN_ONE_IN) {
            let mut process = Node::spawn(&self.programs, &site.data, |command| {
                if let Some(watch) = &site.watch {
                    watch.watch(command);
                }
            })?;
            thread::sleep(self.dice.below(self.duration));
            process.kill()?;
            deaths.push(self.death(&site));
            site = site.after_death()?;
        }
        let node = self.start(&site)?;
        // Nothing is sent before they have finished: they go on by themselves.
        for order in orders.iter().filter(|order| order.acknowledged) {
            self.check_output(&node, order)?;
        }
        self.send_again(&node, &mut orders)?;
        for order in &orders {
            self.check_output(&node, order)?;
            let Some(run) = &order.run else { continue };
            let seen = seen.iter().find(|(of, _)| of == run).map_or(&[][..], |(_, events)| events);
            check::events(run, &node.api().events(run)?, seen)?;
        }
        let log = self.shop.log();
        for order in &orders {
            let repeats = check::calls(order, &log, &deaths)?;
            if let Moment::In(step) = moment
                && !repeats.iter().any(|repeated| repeated == step)
            {
                return Err(Broken::Promise(format!("{step} was unanswered at the kill and was not repeated")));
            }
            self.report.note(order, &deaths, &repeats);
        }
        if !self.shop.conflicts().is_empty() {
            return Err(Broken::Promise(format!("one key came with two requests: {:?}", self.shop.conflicts())));
        }
        all.append(&mut orders);
        Ok((site, node))
    }

    /// Sends the orders and kills the server at the moment. Gives the events that a client saw just before.
    fn die(&self, node: Node, moment: &Moment, orders: &mut [Order]) -> Result<Vec<(String, Vec<Value>)>, Broken> {
        let held = if let Moment::In(step) = moment { Some(format!("/{step}")) } else { None };
        if let Some(path) = &held {
            self.shop.hold(path);
        }
        let waits = match moment {
            Moment::In(step) => self.shop.calls(&format!("/{step}")) + 1,
            // A call whose caller died is never answered.
            Moment::After(step) => self.shop.accepted(&format!("/{step}")) + 1,
            Moment::Delay(_) => 0,
        };
        let address = node.address();
        let inputs: Vec<Value> = orders.iter().map(|order| self.input(order.kind)).collect();
        let (acknowledge, acknowledged) = mpsc::channel();
        let seen = thread::scope(|scope| {
            for (index, (order, input)) in orders.iter().zip(&inputs).enumerate() {
                let acknowledge = acknowledge.clone();
                scope.spawn(move || {
                    let api = crate::Api::new(address);
                    // A server that died did not acknowledge.
                    if let Ok(answer) = send_to(&api, order, input)
                        && let Ok(run) = run_of(&answer)
                    {
                        acknowledge.send((index, run)).ok();
                    }
                });
            }
            match moment {
                Moment::In(step) => self.shop.wait_for(&format!("/{step}"), waits, FINISH_WITHIN)?,
                Moment::After(step) => self.shop.wait_for_answer(&format!("/{step}"), waits, FINISH_WITHIN)?,
                Moment::Delay(delay) => thread::sleep(*delay),
            }
            let mut known: Vec<(usize, String)> = acknowledged.try_iter().collect();
            let mut seen = Vec::new();
            if matches!(moment, Moment::Delay(_))
                && let Some((_, run)) = known.last()
            {
                seen.push((run.clone(), node.api().events(run)?));
            }
            node.kill()?;
            drop(acknowledge);
            known.extend(acknowledged.iter());
            Ok::<_, Broken>((known, seen))
        });
        if let Some(path) = &held {
            self.shop.release(path);
        }
        let (known, seen) = seen?;
        for (index, run) in known {
            orders[index].run = Some(run);
            orders[index].acknowledged = true;
        }
        Ok(seen)
    }

    fn death(&mut self, site: &Site) -> Death {
        if site.watch.is_some() {
            self.report.images += 1;
        } else {
            self.report.kills += 1;
        }
        Death { log: self.shop.log() }
    }

    /// Sends every order again under its key: an acknowledged one is the same run, the others are found or started.
    fn send_again(&mut self, node: &Node, orders: &mut [Order]) -> Result<(), Broken> {
        for order in orders {
            let answer = send(node, order, &self.input(order.kind))?;
            let run = run_of(&answer)?;
            let existing = answer.json()["existing"] == json!(true);
            if order.acknowledged && (!existing || order.run.as_ref() != Some(&run)) {
                return Err(Broken::Promise(format!(
                    "the order {} was acknowledged as {:?}; sent again it is {}",
                    order.key,
                    order.run,
                    answer.text()
                )));
            }
            self.report.unacknowledged_found += u32::from(!order.acknowledged && existing);
            self.report.unacknowledged_new += u32::from(!order.acknowledged && !existing);
            order.run = Some(run);
        }
        Ok(())
    }

    fn check_output(&self, node: &Node, order: &Order) -> Result<(), Broken> {
        let Some(run) = &order.run else { return Ok(()) };
        let result = node.api().result(run, FINISH_WITHIN)?;
        if result["status"] == "completed" && result["output"] == self.outputs[order.kind] {
            return Ok(());
        }
        let expected = &self.outputs[order.kind];
        let calls = in_flight(run, &self.shop.log());
        Err(Broken::Promise(format!("{run} ended with {result}, expected was {expected}; {calls}")))
    }

    fn start(&self, site: &Site) -> Result<Node, Broken> {
        Ok(Node::start(&self.programs, &site.data, site.watch.as_ref())?)
    }

    fn orders(&mut self, count: usize) -> Vec<Order> {
        (0..count).map(|kind| self.order(kind % KINDS)).collect()
    }

    fn order(&mut self, kind: usize) -> Order {
        self.sent += 1;
        Order { kind, key: format!("order-{}", self.sent), run: None, acknowledged: false }
    }

    fn input(&self, kind: usize) -> Value {
        // Some sleep between their steps, so that runs die parked, too.
        let pause_ms = if kind.is_multiple_of(2) { 0 } else { 3 };
        json!({
            "service": self.shop.origin(),
            "order_id": format!("o-{kind}"),
            "items": [{ "sku": format!("sku-{kind}"), "quantity": kind + 1 }],
            "pause_ms": pause_ms,
        })
    }
}

fn send(node: &Node, order: &Order, input: &Value) -> io::Result<crate::api::Answer> {
    send_to(node.api(), order, input)
}

fn send_to(api: &crate::Api, order: &Order, input: &Value) -> io::Result<crate::api::Answer> {
    // Each is its own customer's, so that no order is another's last one.
    api.submit(ORDER, &[("idempotency-key", &order.key), ("x-user-id", &order.key)], input)
}

fn run_of(answer: &crate::api::Answer) -> Result<String, Broken> {
    let run = answer.json()["run_id"].as_str().filter(|_| answer.status == 202).map(str::to_owned);
    run.ok_or_else(|| Broken::Promise(format!("an order was answered with {}: {}", answer.status, answer.text())))
}

/// SplitMix64: what a drill needs of chance.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.next() % nanos)
    }
}
