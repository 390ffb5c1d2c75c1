//! Which checks a client must have made, and what it printed about them.
//!
//! A check that did not run is a failure like one that failed: a script that ends early must not pass.

use bivouac_conformance_a2a::Scenario;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

/// What every client checks, on both transports.
const COMMON: [&str; 25] = [
    "card",
    "send: input required",
    "send: answered",
    "send: the task alone names the context",
    "send: a message sent twice counts once",
    "send: at once",
    "send: what was said survives",
    "send: a context goes on",
    "stream: input required",
    "stream: answered",
    "get",
    "get: history",
    "list: context",
    "list: pages",
    "list: filters",
    "list: what is shown",
    "cancel",
    "subscribe: after a cut",
    "extended card",
    "error: task not found",
    "error: task not cancelable",
    "error: push not supported",
    "error: unsupported operation",
    "error: content type not supported",
    "error: version not supported",
];

/// An official client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    JavaScript,
    Python,
    Rust,
}

impl Client {
    pub(crate) const ALL: [Self; 3] = [Self::JavaScript, Self::Python, Self::Rust];

    /// Beyond [`COMMON`], `live` where streams tell what happens when it happens. Only the JavaScript client can call a method that does not exist; only the Python client gives
    /// up on a stream that is silent.
    fn own(self, live: bool) -> Vec<&'static str> {
        let mut own = vec!["error: invalid parameters"];
        own.extend(live.then_some("subscribe: until the end"));
        match self {
            Self::JavaScript => own.push("error: method not found"),
            Self::Python => own.extend(live.then_some("subscribe: a silent stream stays open")),
            Self::Rust => {}
        }
        own
    }
}

/// What a client says about one check.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) check: String,
    pub(crate) ok: bool,
    /// What it saw, where that can be compared between clients.
    #[serde(default)]
    pub(crate) seen: Value,
    #[serde(default)]
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) stack: String,
}

/// What a client saw, by check.
pub(crate) type Seen = BTreeMap<String, Value>;

/// Runs a client's script and gives what it saw, once every check has run and passed.
pub(crate) fn run(client: Client, mut script: Command, scenario: &Scenario) -> Result<Seen, String> {
    let argument = serde_json::to_string(scenario).map_err(|error| error.to_string())?;
    let output = script.arg(argument).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Result<Vec<Line>, _> = printed.lines().map(serde_json::from_str).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines = lines.map_err(|error| format!("{error} in\n{printed}\n{errors}"))?;
    let seen = judge(client, scenario.live, &lines).map_err(|why| format!("{why}\n{errors}"))?;
    if output.status.success() { Ok(seen) } else { Err(format!("{client:?} ended with {}\n{errors}", output.status)) }
}

/// What a client saw, where every expected check has run once and passed.
pub(crate) fn judge(client: Client, live: bool, lines: &[Line]) -> Result<Seen, String> {
    let failed: Vec<String> = lines
        .iter()
        .filter(|line| !line.ok && line.check != "done")
        .map(|line| format!("{}: {}\n{}", line.check, line.why, line.stack))
        .collect();
    if !failed.is_empty() {
        return Err(format!("{client:?}: {} checks failed:\n{}", failed.len(), failed.join("\n")));
    }
    let mut expected: Vec<&str> = COMMON.into_iter().chain(client.own(live)).chain(["done"]).collect();
    let mut ran: Vec<&str> = lines.iter().map(|line| line.check.as_str()).collect();
    expected.sort_unstable();
    ran.sort_unstable();
    if ran != expected {
        let missing: Vec<_> = expected.iter().filter(|name| !ran.contains(name)).collect();
        let extra: Vec<_> = ran.iter().filter(|name| !expected.contains(name)).collect();
        return Err(format!("{client:?}: checks that did not run: {missing:?}; that nobody expects: {extra:?}"));
    }
    Ok(lines.iter().map(|line| (line.check.clone(), line.seen.clone())).collect())
}

#[test]
fn a_check_that_fails_or_does_not_run_is_told() {
    let line = |check: &str, ok| Line {
        check: check.to_owned(),
        ok,
        seen: Value::Null,
        why: "because".to_owned(),
        stack: String::new(),
    };
    for (client, live) in Client::ALL.into_iter().flat_map(|client| [(client, true), (client, false)]) {
        let names = COMMON.into_iter().chain(client.own(live)).chain(["done"]);
        let mut lines: Vec<Line> = names.map(|name| line(name, true)).collect();
        judge(client, live, &lines).unwrap();
        lines[3].ok = false;
        assert!(judge(client, live, &lines).unwrap_err().contains("because"));
        lines.remove(3);
        assert!(judge(client, live, &lines).unwrap_err().contains("did not run"));
        lines.push(line("unheard of", true));
        assert!(judge(client, live, &lines).unwrap_err().contains("unheard of"));
    }
}
