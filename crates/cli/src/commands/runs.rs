//! `bivouac runs`: what runs there are, what became of them, what they did, answering and ending them.

use super::{
    answer::{self, AnswerArgs, Asked},
    client, json,
};
use crate::{
    cli::Globals,
    client::Client,
    failure::Result,
    follow::follow,
    output::{self, Style},
    sse, time,
};
use bivouac_protocol::RunId;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{ops::ControlFlow, time::Duration};

/// How many runs are listed unless told otherwise.
const DEFAULT_LIMIT: u32 = 20;
/// How much of an event's data is shown in one line.
const SHOWN: usize = 160;

/// List, show, follow, answer and cancel runs
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    Ls(LsArgs),
    Show(ShowArgs),
    Events(EventsArgs),
    Logs(LogsArgs),
    Answer(AnswerArgs),
    Cancel(CancelArgs),
}

/// List runs, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac runs ls
  bivouac runs ls --component workflow/order --status failed --limit 100")]
pub(crate) struct LsArgs {
    /// Only runs of this component, as TYPE/NAME or NAME
    #[arg(long, short, value_name = "COMPONENT")]
    component: Option<String>,
    /// Only runs with this status, queued, running, retry_delayed, paused, completed, failed or cancelled
    #[arg(long, short, value_name = "STATUS")]
    status: Option<String>,
    /// Only runs of this deployment
    #[arg(long, short, value_name = "ID")]
    deployment: Option<String>,
    /// The most runs
    #[arg(long, short = 'n', value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Show a run: its status, and its output or error
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac runs show run_01JD4Z0F9YB3T5V7X9ZBDFHKMN")]
pub(crate) struct ShowArgs {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
}

/// Show what happened in a run, event by event
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac runs events run_01JD4Z0F9YB3T5V7X9ZBDFHKMN
  bivouac runs events run_01JD4Z0F9YB3T5V7X9ZBDFHKMN --follow")]
pub(crate) struct EventsArgs {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
    /// Go on until the run ends
    #[arg(long, short)]
    follow: bool,
}

/// Show what a run's code logged
#[derive(Debug, Args)]
#[command(after_help = "Example:
  bivouac runs logs run_01JD4Z0F9YB3T5V7X9ZBDFHKMN --follow")]
pub(crate) struct LogsArgs {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
    /// Go on until the run ends
    #[arg(long, short)]
    follow: bool,
}

/// Cancel a run: it may clean up, then it ends
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac runs cancel run_01JD4Z0F9YB3T5V7X9ZBDFHKMN --reason 'ordered twice'
  bivouac runs cancel run_01JD4Z0F9YB3T5V7X9ZBDFHKMN --now")]
pub(crate) struct CancelArgs {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
    /// Why, for whoever looks at the run later
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    /// How long it may clean up, such as 30s [default: the server's]
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration, conflicts_with = "now")]
    grace: Option<Duration>,
    /// End it at once, without cleaning up
    #[arg(long)]
    now: bool,
}

pub(crate) async fn run(command: &RunsCommand, globals: &Globals) -> Result {
    let client = client(globals)?;
    match command {
        RunsCommand::Ls(args) => ls(&client, args, globals).await,
        RunsCommand::Show(args) => show(&client, args, globals).await,
        RunsCommand::Events(args) => events(&client, &args.id, args.follow, globals, Only::All).await,
        RunsCommand::Logs(args) => events(&client, &args.id, args.follow, globals, Only::Logs).await,
        RunsCommand::Answer(args) => answer::run(&client, args, globals).await,
        RunsCommand::Cancel(args) => cancel(&client, args, globals).await,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    runs: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Run {
    run_id: String,
    component: String,
    component_type: String,
    status: String,
    deployment_id: String,
    service: String,
    environment: String,
    created_at: String,
    completed_at: Option<String>,
    failed_at: Option<String>,
    duration_ms: Option<u64>,
    waits_for: Option<String>,
    waits_until: Option<String>,
    questions: Vec<Asked>,
    input: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl Run {
    fn full_component(&self) -> String {
        if self.component_type.is_empty() {
            return self.component.clone();
        }
        format!("{}/{}", self.component_type, self.component)
    }

    /// The status, and what a waiting run waits for.
    fn full_status(&self) -> String {
        let waits = self.waits_for.as_ref().map(|what| match &self.waits_until {
            Some(until) => format!(" ({what} until {until})"),
            None => format!(" ({what})"),
        });
        format!("{}{}", self.status, waits.unwrap_or_default())
    }
}

async fn ls(client: &Client, args: &LsArgs, globals: &Globals) -> Result {
    let undone = "the runs are not shown";
    let page = list(client, args, undone).await?;
    if json(globals) {
        return output::say_json(&json!({"count": page.runs.len(), "next": page.next, "runs": page.runs}));
    }
    if page.runs.is_empty() {
        output::note("No such runs. `bivouac run TYPE/NAME` starts one.");
        return Ok(());
    }
    let runs: Result<Vec<Run>> = page.runs.iter().map(|run| client.read(run.get(), undone)).collect();
    let now = time::now_ms();
    let rows = runs?.into_iter().map(|run| {
        let age =
            run.run_id.parse::<RunId>().map_or_else(|_| run.created_at.clone(), |id| time::ago(id.accepted_ms(), now));
        let took = run.duration_ms.map(time::duration).unwrap_or_default();
        vec![run.run_id.clone(), run.full_component(), run.full_status(), age, took]
    });
    output::say(&output::table(&["RUN", "COMPONENT", "STATUS", "STARTED", "TOOK"], rows.collect()))?;
    if page.next.is_some() {
        output::note(&format!("There may be more: -n {}", args.limit.saturating_mul(5)));
    }
    Ok(())
}

/// Reads pages until there are as many runs as asked for.
async fn list(client: &Client, args: &LsArgs, undone: &str) -> Result<Page> {
    let mut query = vec![];
    query.extend(args.component.clone().map(|component| ("component", component)));
    query.extend(args.status.clone().map(|status| ("status", status)));
    query.extend(args.deployment.clone().map(|deployment| ("deployment_id", deployment)));
    let limit = args.limit as usize;
    let mut found = Page::default();
    loop {
        let rest = (limit - found.runs.len()).to_string();
        let request = client.get(&["v1", "runs"]).query(&query).query(&[("limit", rest)]);
        let request = if let Some(next) = &found.next { request.query(&[("after", next)]) } else { request };
        let page: Page = client.json(request, undone).await?;
        // A server that gives the same place twice would keep us here for ever.
        let ended = page.next.is_none() || page.next == found.next;
        found.runs.extend(page.runs);
        found.runs.truncate(limit);
        found.next = page.next;
        if ended || found.runs.len() >= limit {
            return Ok(found);
        }
    }
}

async fn show(client: &Client, args: &ShowArgs, globals: &Globals) -> Result {
    let undone = format!("{} is not shown", args.id);
    let answer = client.text(client.get(&["v1", "runs", &args.id]), &undone).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    let run: Run = client.read(&answer, &undone)?;
    let payload = |payload: &Option<Box<RawValue>>| payload.as_ref().map(|json| output::pretty(json.get()));
    output::say(&output::fields(&[
        ("run", run.run_id.clone()),
        ("component", run.full_component()),
        ("status", run.full_status()),
        ("service", run.service.clone()),
        ("deployment", run.deployment_id.clone()),
        ("environment", run.environment.clone()),
        ("started", run.created_at.clone()),
        ("ended", run.completed_at.clone().or_else(|| run.failed_at.clone()).unwrap_or_default()),
        ("took", run.duration_ms.map(time::duration).unwrap_or_default()),
        ("asks", run.questions.iter().map(Asked::line).collect::<Vec<_>>().join("\n")),
        ("input", payload(&run.input).unwrap_or_default()),
        ("error", run.error_message.map(|why| with_code(&why, run.error_code.as_deref())).unwrap_or_default()),
        (
            "output",
            payload(&run.output).unwrap_or_else(|| if run.status == "completed" { "null" } else { "" }.to_owned()),
        ),
    ]))
}

/// The text and the code of a run's error, whether it is an object or a text.
pub(crate) fn error_of(error: Option<&Value>) -> (Option<String>, Option<String>) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    match error {
        Some(Value::String(message)) => (Some(message.clone()), None),
        Some(object @ Value::Object(_)) => (text(object, "message"), text(object, "code")),
        _ => (None, None),
    }
}

fn with_code(message: &str, code: Option<&str>) -> String {
    code.map_or_else(|| message.to_owned(), |code| format!("{message} ({code})"))
}

async fn cancel(client: &Client, args: &CancelArgs, globals: &Globals) -> Result {
    let mut body = json!({});
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    if args.now {
        body["mode"] = json!("now");
    }
    if let Some(grace) = args.grace {
        body["grace_ms"] = json!(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    }
    let undone = format!("{} was not cancelled", args.id);
    let answer = client.text(client.post(&["v1", "runs", &args.id, "cancel"]).json(&body), &undone).await?;
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    output::say(&format!("{} is asked to end", output::plain(&args.id)))?;
    output::note(&format!("See how it ends: bivouac runs show {}", output::plain(&args.id)));
    Ok(())
}

/// Which events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    All,
    Logs,
}

/// An event as the server sends it, in a page and in a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    event_type: String,
    data: Value,
    step_key: Option<String>,
    timestamp_ns: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EventPage {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

async fn events(client: &Client, id: &str, follow_on: bool, globals: &Globals, only: Only) -> Result {
    let json = json(globals);
    let mut shown = 0_usize;
    let mut show = |text: &str| -> Result {
        let event: Event = client.read(text, "an event is not shown")?;
        if only == Only::Logs && event.event_type != LOG {
            return Ok(());
        }
        shown += 1;
        match (json, only) {
            (true, _) => output::say(text),
            (false, Only::All) => output::say(&event.line(Style::stdout())),
            (false, Only::Logs) => output::say(&event.log_line(Style::stdout())),
        }
    };
    if follow_on {
        follow(client, id, |event| show(&event.data).map(|()| ControlFlow::Continue(()))).await?;
    } else {
        page_through(client, id, &mut show).await?;
    }
    if shown == 0 && only == Only::Logs && !json {
        output::note("The run has logged nothing.");
    }
    Ok(())
}

/// Reads all events there are, page by page.
async fn page_through(client: &Client, id: &str, show: &mut impl FnMut(&str) -> Result) -> Result {
    let undone = format!("the events of {id} are not shown");
    let mut after: Option<String> = None;
    loop {
        let mut request = client.get(&["v1", "runs", id, "events"]);
        if let Some(after) = &after {
            request = request.query(&[("after", after)]);
        }
        let page: EventPage = client.json(request, &undone).await?;
        for item in &page.items {
            show(item.get())?;
        }
        match page.next {
            // A server that gives the same place twice would keep us here for ever.
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => return Ok(()),
        }
    }
}

/// The type of what a component logs.
const LOG: &str = "log";

/// What the server itself tells of a run, and only `runs events` shows.
const QUIET: [&str; 7] =
    ["effect.", "function.", "workflow.", "run.queued", "run.started", "run.completed", "run.failed"];

/// Tells a person who follows a run of one event: steps, what the component emits and logs, what goes wrong.
pub(crate) fn tell(event: &sse::Event) {
    // An event that cannot be read is a newer server's: the run's end and output are still understood.
    let Ok(read) = serde_json::from_str::<Event>(&event.data) else { return };
    let name = read.event_type.as_str();
    let wait = name.ends_with(".paused");
    if wait || !QUIET.iter().any(|quiet| name.starts_with(quiet)) {
        output::note(&format!("  {}", read.line(Style::stderr())));
    }
}

impl Event {
    /// The event in one line.
    fn line(&self, style: Style) -> String {
        if self.event_type == LOG {
            return self.log_line(style);
        }
        let name = output::plain(&self.event_type);
        let name = match name.rsplit('.').next() {
            Some("failed" | "slice_lost") => style.red(&name),
            Some("completed") => style.green(&name),
            _ => style.bold(&name),
        };
        let step = self.step_key.as_deref().map(|step| format!(" {}", output::plain(step))).unwrap_or_default();
        format!("{} {name}{step}{}", style.dim(&self.time()), self.details())
    }

    /// What a component logged, in one line.
    fn log_line(&self, style: Style) -> String {
        let text = |name: &str| self.data.get(name).and_then(Value::as_str).unwrap_or_default();
        let level = format!("{:5}", output::plain(text("level")).to_uppercase());
        let level = match level.trim_end() {
            "ERROR" => style.red(&level),
            "WARN" => style.yellow(&level),
            _ => style.dim(&level),
        };
        format!("{} {level} {}", style.dim(&self.time()), output::plain(text("message")))
    }

    fn time(&self) -> String {
        self.timestamp_ns.map_or_else(String::new, |ns| time::clock(ns / 1_000_000))
    }

    /// What is worth a look in the event's data: an error's text, else the data itself, shortened.
    fn details(&self) -> String {
        let text = |name: &str| self.data.get(name).and_then(Value::as_str);
        if let Some(message) = text("error_message") {
            return format!(": {}", output::plain(&with_code(message, text("error_code"))));
        }
        match &self.data {
            Value::Null => String::new(),
            Value::Object(members) if members.is_empty() => String::new(),
            data => format!(" {}", output::short(&data.to_string(), SHOWN)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> String {
        serde_json::from_str::<Event>(json).unwrap().line(Style::off())
    }

    #[test]
    fn events_are_told_in_one_line_each() {
        let lines = [
            line(
                r#"{"event_type":"step.completed","step_key":"charge","data":{"output":1},"timestamp_ns":1795226796007000000}"#,
            ),
            line(
                r#"{"event_type":"step.failed","step_key":"ship","data":{"error_code":"TIMEOUT","error_message":"too slow","retryable":true}}"#,
            ),
            line(r#"{"event_type":"log","data":{"level":"warn","message":"low \u001b[31mstock"}}"#),
            line(r#"{"event_type":"progress","data":50}"#),
            line(r#"{"event_type":"workflow.resumed","data":{}}"#),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        02:06:36.007 step.completed charge {"output":1}
         step.failed ship: too slow (TIMEOUT)
         WARN  low \u{1b}[31mstock
         progress 50
         workflow.resumed
        "#);
    }

    #[test]
    fn an_error_is_read_as_text_and_as_object() {
        assert_eq!(error_of(Some(&json!("no"))), (Some("no".into()), None));
        assert_eq!(error_of(Some(&json!({"code": "X", "message": "no"}))), (Some("no".into()), Some("X".into())));
        assert_eq!(error_of(None), (None, None));
    }
}
