//! `bivouac doctor`: looks at everything that has to be right, and says what is not.
//!
//! It changes nothing: no server, no data directory, no toolchain.

use super::json;
use crate::{
    cli::Globals,
    client::Client,
    connection::Connection,
    failure::{Failure, Result},
    module,
    output::{self, Style},
    project::Project,
    time,
};
use bivouac_store::sqlite;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

/// A clock that differs by more is worth a word, in milliseconds. The Date header counts whole seconds.
const MAX_SKEW_MS: u64 = 5_000;
/// Less free space than this is worth a word, in bytes.
const LOW_SPACE: u64 = 1 << 30;
/// Permission bits that let others than the owner at the master key.
const OTHERS: u32 = 0o077;

/// Check the server, the key, the toolchain and a data directory
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac doctor
  bivouac doctor --data /var/lib/bivouac    also a data directory on this machine, whether or not a server runs")]
pub(crate) struct DoctorArgs {
    /// A server's data directory on this machine
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { check, verdict, found: found.into(), hint: None }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found)
    }

    fn failure(check: &'static str, verdict: Verdict, failure: &Failure) -> Self {
        let hint = failure.hint_text().map(str::to_owned);
        Self { check, verdict, found: failure.line(), hint }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn line(&self, style: Style) -> String {
        let mark = match self.verdict {
            Verdict::Ok => style.green("ok  "),
            Verdict::Warn => style.yellow("warn"),
            Verdict::Fail => style.red("FAIL"),
        };
        let indent = format!("\n{:19}", "");
        let mut line = format!("{mark} {:13} {}", self.check, output::plain(&self.found).replace('\n', &indent));
        if let Some(hint) = &self.hint {
            line.push_str(&format!("{indent}{} {}", style.dim("try:"), output::plain(hint).replace('\n', &indent)));
        }
        line
    }
}

pub(crate) async fn run(args: &DoctorArgs, globals: &Globals) -> Result {
    let mut findings = vec![Finding::ok("bivouac", env!("CARGO_PKG_VERSION"))];
    findings.extend(toolchain());
    let project = match Project::here() {
        Ok(project) => project,
        Err(failure) => {
            findings.push(Finding::failure("bivouac.toml", Verdict::Fail, &failure));
            Project::default()
        }
    };
    if project.path.is_file() {
        findings.push(Finding::ok("bivouac.toml", project.path.display().to_string()));
    }
    // Who looks at a data directory may well do so because no server runs.
    let absent = if args.data.is_some() { Verdict::Warn } else { Verdict::Fail };
    match Connection::resolve(globals, &project).and_then(Client::new) {
        Ok(client) => findings.extend(server(&client, absent).await),
        Err(failure) => findings.push(Finding::failure("server", Verdict::Fail, &failure)),
    }
    if let Some(data) = &args.data {
        findings.extend(data_directory(data));
    }
    report(&findings, globals)
}

fn report(findings: &[Finding], globals: &Globals) -> Result {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    if json(globals) {
        output::say_json(&serde_json::json!({"ok": failed == 0, "findings": findings}))?;
    } else {
        for finding in findings {
            output::say(&finding.line(Style::stdout()))?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("one check failed")),
        n => Err(Failure::failed(format!("{n} checks failed"))),
    }
}

/// What `build` needs. Without it everything else still works, so nothing here is more than a warning.
fn toolchain() -> Vec<Finding> {
    let version = Command::new(module::cargo()).arg("--version").output();
    let cargo = match version {
        Ok(output) if output.status.success() => {
            Finding::ok("cargo", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Finding::new("cargo", Verdict::Warn, String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Finding::new("cargo", Verdict::Warn, format!("cannot be started: {error}"))
            .hint("`build` needs it: install Rust from https://rustup.rs"),
    };
    let target = match module::has_target(Path::new(".")) {
        Ok(true) => Finding::ok("wasm target", format!("{} is installed", module::TARGET)),
        Ok(false) => Finding::new("wasm target", Verdict::Warn, format!("{} is not installed", module::TARGET))
            .hint(format!("rustup target add {} (`bivouac build` does it where it can)", module::TARGET)),
        Err(failure) => Finding::failure("wasm target", Verdict::Warn, &failure),
    };
    vec![cargo, target]
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ready {
    reasons: Vec<String>,
}

async fn server(client: &Client, absent: Verdict) -> Vec<Finding> {
    let from = &client.connection().server_from;
    let health = match client.send(client.get(&["health"]), "it cannot be examined").await {
        Ok(response) => response,
        Err(failure) => return vec![Finding::failure("server", absent, &failure)],
    };
    let date = health.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let health: Health = match health.text().await.map(|text| client.read(&text, "it cannot be examined")) {
        Ok(Ok(health)) => health,
        Ok(Err(failure)) => return vec![Finding::failure("server", Verdict::Fail, &failure)],
        Err(error) => {
            return vec![Finding::failure(
                "server",
                Verdict::Fail,
                &client.unreachable(&error, "it cannot be examined"),
            )];
        }
    };
    let version = health.version.as_deref();
    let found = format!(
        "{} ({from}), {}",
        client.server(),
        version.map_or_else(|| "alive".to_owned(), |v| format!("version {v}"))
    );
    let mut findings = vec![match version {
        Some(version) if version != env!("CARGO_PKG_VERSION") => {
            Finding::new("server", Verdict::Warn, found).hint("use the command and the server of the same release")
        }
        _ => Finding::ok("server", found),
    }];
    findings.push(ready(client).await);
    findings.extend(date.as_deref().and_then(clock));
    findings.push(key(client).await);
    findings
}

async fn ready(client: &Client) -> Finding {
    match client.any_status(client.get(&["ready"]), "whether it is ready cannot be seen").await {
        Ok((status, _)) if status.is_success() => Finding::ok("ready", "takes work"),
        Ok((status, body)) => {
            let reasons = serde_json::from_slice::<Ready>(&body).unwrap_or_default().reasons;
            let found = if reasons.is_empty() { format!("it answers {status}") } else { reasons.join("; ") };
            Finding::new("ready", Verdict::Fail, found).hint("wait a little and look again; the server's log says more")
        }
        Err(failure) => Finding::failure("ready", Verdict::Fail, &failure),
    }
}

/// How far this machine's clock is from the server's: signatures and retries compare them.
fn clock(date: &str) -> Option<Finding> {
    let theirs = httpdate::parse_http_date(date).ok()?;
    let theirs = u64::try_from(theirs.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    let skew = theirs.abs_diff(time::now_ms());
    let found = format!("{} apart from the server's", time::duration(skew));
    Some(if skew <= MAX_SKEW_MS {
        Finding::ok("clock", "agrees with the server's")
    } else {
        Finding::new("clock", Verdict::Warn, found).hint("set the clocks, such as with NTP")
    })
}

/// What the key opens, found out by asking for what each scope may see.
async fn key(client: &Client) -> Finding {
    let Connection { key, key_from, .. } = client.connection();
    let whose = if key.is_some() { format!("from {key_from}") } else { "none is set".to_owned() };
    let questions = [
        ("see runs (run, read)", client.get(&["v1", "runs"]).query(&[("limit", "1")])),
        ("deploy (deploy)", client.get(&["api", "secrets"])),
        ("administrate (admin)", client.get(&["api", "keys"])),
    ];
    let mut may = Vec::new();
    for (what, request) in questions {
        match client.send(request, "the key does not open the server").await {
            Ok(_) => may.push(what),
            Err(failure) if failure.code_text() == Some("INSUFFICIENT_SCOPES") => {}
            Err(failure) => return Finding::failure("key", Verdict::Fail, &failure),
        }
    }
    if may.is_empty() {
        return Finding::new(
            "key",
            Verdict::Warn,
            format!("{whose}: it is valid and opens nothing that is asked here"),
        );
    }
    Finding::ok("key", format!("{whose}: may {}", may.join(", ")))
}

fn data_directory(path: &Path) -> Vec<Finding> {
    let Ok(metadata) = fs::metadata(path) else {
        return vec![
            Finding::new("data", Verdict::Fail, format!("{} is not there", path.display()))
                .hint("`bivouac serve --data DIR` makes it at its first start"),
        ];
    };
    if !metadata.is_dir() {
        return vec![Finding::new("data", Verdict::Fail, format!("{} is not a folder", path.display()))];
    }
    let mut findings = Vec::new();
    match sqlite::inspect(path) {
        Ok(look) => {
            let owner = match &look.owner {
                Some(owner) => format!("in use by process {owner}"),
                None => "free".to_owned(),
            };
            findings.push(Finding::ok("data", format!("{}: {owner}", path.display())));
            findings.push(match look.format {
                None => Finding::ok("format", "empty: a server makes its database at its first start"),
                Some(format) if format > look.known => Finding::new(
                    "format",
                    Verdict::Fail,
                    format!("{format}: newer than this build, which reads up to {}", look.known),
                )
                .hint("start the newer build that wrote it"),
                Some(format) if format < look.known => {
                    Finding::ok("format", format!("{format}: the next start brings it to {}", look.known))
                }
                Some(format) => Finding::ok("format", format.to_string()),
            });
        }
        Err(error) => {
            findings.push(Finding::new("data", Verdict::Fail, format!("{}: {error}", path.display())));
        }
    }
    findings.extend(master_key(&path.join("master.key")));
    findings.push(free_space(path));
    findings
}

fn master_key(path: &Path) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.mode() & 0o777;
    Some(if mode & OTHERS == 0 {
        Finding::ok("master key", "only its owner can read it; keep a copy of it elsewhere")
    } else {
        Finding::new("master key", Verdict::Warn, format!("others can read {} (mode {mode:o})", path.display()))
            .hint(format!("chmod 600 {}", path.display()))
    })
}

fn free_space(path: &Path) -> Finding {
    match rustix::fs::statvfs(path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} free", output::size(free));
            if free < LOW_SPACE {
                Finding::new("disk", Verdict::Warn, found).hint("make room: a full disk refuses new runs with 507")
            } else {
                Finding::ok("disk", found)
            }
        }
        Err(error) => Finding::new("disk", Verdict::Warn, format!("free space cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_finding_shows_its_verdict_and_what_to_do() {
        let finding = Finding::new("ready", Verdict::Fail, "8192 runs wait").hint("wait");
        insta::assert_snapshot!(finding.line(Style::off()), @r"
        FAIL ready         8192 runs wait
                           try: wait
        ");
    }

    #[test]
    fn a_clock_that_differs_is_noticed() {
        let now = httpdate::fmt_http_date(SystemTime::now());
        assert_eq!(clock(&now).unwrap().verdict, Verdict::Ok);
        assert_eq!(clock("Thu, 01 Jan 1970 00:00:10 GMT").unwrap().verdict, Verdict::Warn);
        assert!(clock("yesterday").is_none());
    }
}
