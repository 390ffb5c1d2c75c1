//! What is looked at after a death.

use super::{Broken, Order, STEPS};
use crate::shop::Call;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The two steps that are under way at once.
const PAIR: [&str; 2] = ["charge", "notify_warehouse"];
/// Events that tell of a failure, which a death is not.
const UNWANTED: [&str; 4] = ["attempt.failed", "run.slice_lost", "run.paused", "effect.failed"];

/// A death, and what the shop had heard by then.
pub(crate) struct Death {
    pub(crate) log: Vec<Call>,
}

/// Looks at the calls of a run, and gives the steps that were repeated. Every step was heard, under one key with one
/// body; from one death to the next at most one step, or the concurrent pair, came again, and nothing before the first.
pub(crate) fn calls(order: &Order, log: &[Call], deaths: &[Death]) -> Result<Vec<String>, Broken> {
    let Some(run) = &order.run else { return Ok(Vec::new()) };
    let broken = |what: String| Err(Broken::Promise(format!("{run}: {what}; {}", in_flight(run, log))));
    let mut first: BTreeMap<&str, &Call> = BTreeMap::new();
    let mut repeats: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for call in of_run(run, log) {
        let step = step_of(call);
        match first.get(step) {
            None => drop(first.insert(step, call)),
            Some(known) if (&known.key, &known.body) == (&call.key, &call.body) => {
                let window = deaths.iter().filter(|death| death.log.len() < number(call)).count();
                repeats.entry(window).or_default().push(step);
            }
            Some(known) => return broken(format!("{step} came as {:?} and as {:?}", known.key, call.key)),
        }
    }
    if let Some(missing) = STEPS.iter().find(|step| !first.contains_key(*step)) {
        return broken(format!("{missing} never reached the shop"));
    }
    for (window, steps) in &repeats {
        let distinct: BTreeSet<&str> = steps.iter().copied().collect();
        let pair = distinct.iter().all(|step| PAIR.contains(step));
        if *window == 0 || distinct.len() < steps.len() || (distinct.len() > 1 && !pair) {
            return broken(format!("after death {window} came again {steps:?}"));
        }
    }
    Ok(repeats.into_values().flatten().map(str::to_owned).collect())
}

/// Looks at the events of a finished run: numbered without a gap, each step ended once, one end, and what a client saw
/// before is still there.
pub(crate) fn events(run: &str, events: &[Value], seen: &[Value]) -> Result<(), Broken> {
    let broken = |what: String| Err(Broken::Promise(format!("the events of {run}: {what}: {events:#?}")));
    let kind = |event: &Value| event["event_type"].as_str().unwrap_or_default().to_owned();
    for (event, expected) in events.iter().zip(1_u64..) {
        if event["sequence"].as_u64() != Some(expected) {
            return broken(format!("{} stands where {expected} should", event["sequence"]));
        }
        if UNWANTED.contains(&kind(event).as_str()) {
            return broken(format!("{} is among them", kind(event)));
        }
    }
    let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    if ids.len() != events.len() {
        return broken("two have one id".to_owned());
    }
    let mut steps: Vec<&str> = events
        .iter()
        .filter(|event| kind(event) == "step.completed")
        .filter_map(|event| event["step_key"].as_str())
        .collect();
    steps.sort_unstable();
    let mut expected = STEPS;
    expected.sort_unstable();
    // The concurrent steps' keys bear the scope of their branch.
    if steps.iter().map(|key| key.rsplit('/').next().unwrap_or(key)).collect::<BTreeSet<_>>()
        != BTreeSet::from(expected)
        || steps.len() != STEPS.len()
    {
        return broken(format!("the steps that ended are {steps:?}"));
    }
    let ends =
        events.iter().filter(|event| matches!(kind(event).as_str(), "run.completed" | "run.failed" | "run.cancelled"));
    if ends.count() != 1 || events.last().map(kind).as_deref() != Some("run.completed") {
        return broken("they do not end with one end".to_owned());
    }
    if events.len() < seen.len() || events[..seen.len()] != *seen {
        return broken(format!("before the death a client saw others: {seen:#?}"));
    }
    Ok(())
}

/// Where an order was when its server died, in words. The first `before` calls were an earlier server's: what they left
/// unanswered stays so.
pub(crate) fn moment(order: &Order, log: &[Call], before: usize) -> String {
    let Some(run) = order.run.as_deref().filter(|run| order.acknowledged || of_run(run, log).next().is_some()) else {
        return "before it was acknowledged".to_owned();
    };
    let open = of_run(run, log).filter(|call| call.status.is_none() && number(call) > before);
    let open: BTreeSet<&str> = open.map(step_of).collect();
    let heard: BTreeSet<&str> = of_run(run, log).map(step_of).collect();
    let among = |steps: &BTreeSet<&str>| STEPS.iter().copied().filter(|step| steps.contains(step)).collect::<Vec<_>>();
    match (among(&open).as_slice(), among(&heard).last()) {
        ([], None) => "before reserve".to_owned(),
        ([], Some(last)) => format!("after {last}"),
        (open, _) => format!("in {}", open.join(" and ")),
    }
}

/// The calls of a run, in words.
pub(crate) fn in_flight(run: &str, log: &[Call]) -> String {
    let calls: Vec<String> =
        of_run(run, log).map(|call| format!("{} {} -> {:?}", call.number, call.path, call.status)).collect();
    format!("the shop heard {calls:?}")
}

fn of_run<'a>(run: &'a str, log: &'a [Call]) -> impl Iterator<Item = &'a Call> {
    log.iter().filter(move |call| {
        call.key.as_deref().and_then(|key| key.strip_prefix(run)).is_some_and(|rest| rest.starts_with('.'))
    })
}

fn step_of(call: &Call) -> &str {
    call.path.trim_start_matches('/')
}

fn number(call: &Call) -> usize {
    usize::try_from(call.number).unwrap_or(usize::MAX)
}
