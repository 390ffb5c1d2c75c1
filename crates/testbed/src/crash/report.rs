//! What a drill saw, in numbers.

use super::{Order, STEPS, check, check::Death};
use crate::node::Mode;
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

/// What a drill saw.
#[derive(Clone, Debug)]
pub struct Report {
    /// How the components got into the server.
    pub mode: Mode,
    /// How often the server was killed.
    pub kills: u32,
    /// How often its power was cut.
    pub images: u32,
    /// How many orders were in flight at a death; each counts once per death.
    pub moments: BTreeMap<String, u32>,
    /// How often a call of a step came again.
    pub repeats: BTreeMap<String, u32>,
    /// Orders that finished, all of them as they should.
    pub orders: u32,
    /// Orders whose acknowledgement the client never saw, and that were there when it sent them again.
    pub unacknowledged_found: u32,
    /// Orders whose acknowledgement the client never saw, and that started when it sent them again.
    pub unacknowledged_new: u32,
}

impl Report {
    pub(crate) const fn new(mode: Mode) -> Self {
        Self {
            mode,
            kills: 0,
            images: 0,
            moments: BTreeMap::new(),
            repeats: BTreeMap::new(),
            orders: 0,
            unacknowledged_found: 0,
            unacknowledged_new: 0,
        }
    }

    pub(crate) fn note(&mut self, order: &Order, deaths: &[Death], repeats: &[String]) {
        self.orders += 1;
        let mut before = 0;
        for death in deaths {
            *self.moments.entry(check::moment(order, &death.log, before)).or_default() += 1;
            before = death.log.len();
        }
        for step in repeats {
            *self.repeats.entry(step.clone()).or_default() += 1;
        }
    }
}

impl fmt::Display for Report {
    /// As a section of a Markdown page.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeated: u32 = self.repeats.values().sum();
        writeln!(f, "### {}\n", self.mode.name())?;
        writeln!(
            f,
            "{} kills, {} power cuts, {} orders, all finished as undisturbed ones do; {repeated} of {} calls came again. \
             Of the orders whose acknowledgement was lost, {} were found under their key and {} were new.\n",
            self.kills,
            self.images,
            self.orders,
            self.orders as usize * STEPS.len() + repeated as usize,
            self.unacknowledged_found,
            self.unacknowledged_new,
        )?;
        let mut table = String::from("| at the death the order was | times |\n|---|---:|\n");
        for (moment, times) in &self.moments {
            writeln!(table, "| {moment} | {times} |")?;
        }
        table.push_str("\n| step | came again |\n|---|---:|\n");
        for step in STEPS {
            writeln!(table, "| {step} | {} |", self.repeats.get(step).copied().unwrap_or(0))?;
        }
        f.write_str(&table)
    }
}
