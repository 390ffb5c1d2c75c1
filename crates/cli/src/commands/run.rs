//! `bivouac run`: starts a run, follows it, prints its output.

use super::{client, json, runs};
use crate::{
    cli::Globals,
    client::Client,
    failure::{Exit, Failure, Result},
    follow::follow,
    output::{self, Style},
    progress::Spinner,
    time,
};
use bivouac_protocol::manifest::ComponentKind;
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    ops::ControlFlow,
    time::Duration,
};

/// How often a start whose answer got lost is sent again, under the same idempotency key.
pub(super) const RESENDS: u32 = 5;
/// The wait before the first of them; it grows with each.
pub(super) const RESEND_WAIT: Duration = Duration::from_millis(300);

/// Start a run, follow it, print its output
///
/// What happens is told on stderr while it happens, the output is printed to stdout as JSON. The run belongs to the
/// server: a connection that breaks is taken up again, and Ctrl-C leaves the run running.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac run function/hello --input '{\"name\":\"Ada\"}'
  bivouac run workflow/order --input @order.json --idempotency-key order-17
  echo '{\"name\":\"Ada\"}' | bivouac run function/hello --input - | jq .
  bivouac run workflow/order --input @order.json --detach")]
pub(crate) struct RunArgs {
    /// What to run, such as function/hello or workflow/order
    #[arg(value_name = "TYPE/NAME")]
    component: String,
    /// What was typed where --input is missing
    #[arg(hide = true, value_name = "JSON")]
    stray: Option<String>,
    /// The input: JSON, @FILE, or - for stdin [default: null]
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    input: Option<String>,
    /// Start it and return; prints the run's id
    #[arg(long, short)]
    detach: bool,
    /// Start it at most once under this key; the same again shows the same run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How long to follow it, such as 30s or 5m; the run goes on after that
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration, conflicts_with = "detach")]
    timeout: Option<Duration>,
}

/// What the server says of a run.
#[derive(Debug, Deserialize)]
struct Started {
    run_id: String,
}

/// How a run ended.
#[derive(Debug, Deserialize)]
struct Ended {
    status: String,
    #[serde(default)]
    output: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

pub(crate) async fn run(args: &RunArgs, globals: &Globals) -> Result {
    if let Some(stray) = &args.stray {
        return Err(Failure::usage("the run was not started: the input is given with --input")
            .why(format!("`{}` stands there without it", output::short(stray, 60)))
            .hint(format!("bivouac run {} --input '{}'", output::plain(&args.component), output::plain(stray))));
    }
    let (types, name) = component(&args.component)?;
    let input = args.input.as_deref().map(input).transpose()?;
    let client = client(globals)?;
    let (answer, run) = start(&client, types, &name, input.as_deref(), args.idempotency_key.as_deref()).await?;
    let shown = output::plain(&run);
    if args.detach {
        output::note(&format!("Follow it: bivouac runs events {shown} --follow"));
        return if json(globals) { output::say_raw_json(&answer) } else { output::say(&shown) };
    }
    output::note(&format!("{} {shown}", Style::stderr().dim("run")));
    let spinner = Spinner::start(format!("{shown} goes on"));
    let followed = follow(&client, &run, move |event| {
        spinner.aside(|| runs::tell(event));
        Ok(ControlFlow::Continue(()))
    });
    tokio::select! {
        followed = followed => followed?,
        _ = tokio::signal::ctrl_c() => {
            output::note(&format!("\nDetached: {shown} goes on.\n{}", ways_on(&shown)));
            return Err(Failure::silent(Exit::Interrupted));
        }
        () = sleep(args.timeout) => {
            return Err(Failure::failed(format!("{shown} has not ended within the time that was given"))
                .why("it goes on; only the following ended")
                .hint(ways_on(&shown)));
        }
    }
    finish(&client, &run).await
}

/// How to go on with a run that nobody follows any more.
fn ways_on(run: &str) -> String {
    format!(
        "bivouac runs events {run} --follow   follow it again\n\
         bivouac runs show {run}              see what became of it\n\
         bivouac runs cancel {run}            end it"
    )
}

async fn sleep(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Reads `TYPE/NAME`; gives the type as the routes write it.
fn component(text: &str) -> Result<(&'static str, String)> {
    let wrong = |why: String| Failure::usage(format!("`{text}` does not name a component")).why(why);
    let Some((kind, name)) = text.split_once('/') else {
        return Err(wrong("its type is missing".to_owned()).hint(format!("function/{text} or workflow/{text}")));
    };
    let Some(types) = ComponentKind::parse(kind).map(ComponentKind::plural) else {
        return Err(wrong(format!("`{kind}` is not a type of component"))
            .hint(format!("function/{name}, workflow/{name}, agent/{name} or tool/{name}")));
    };
    if name.is_empty() || name.contains('/') {
        return Err(wrong("a name is one word without a slash".to_owned()).hint(format!("{kind}/NAME")));
    }
    Ok((types, name.to_owned()))
}

/// Reads the input and makes sure that it is JSON, so that a slip of the shell's quotes shows here.
fn input(argument: &str) -> Result<String> {
    let unreadable = |from: &str, error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Usage };
        Failure::new(exit, format!("the input cannot be read from {from}")).why(error.to_string())
    };
    let text = if argument == "-" {
        if io::stdin().is_terminal() {
            output::note("Reading the input from the terminal; Ctrl-D ends it.");
        }
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|error| unreadable("stdin", error))?;
        text
    } else if let Some(file) = argument.strip_prefix('@') {
        fs::read_to_string(file).map_err(|error| unreadable(file, error))?
    } else {
        argument.to_owned()
    };
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage("the run was not started: the input is not JSON")
            .why(format!("{error} in `{}`", output::short(&text, 60)))
            .hint("--input '{\"name\":\"Ada\"}' in single quotes, --input @FILE, or --input - for stdin")),
    }
}

/// Starts the run. Every start has an idempotency key, so that sending it again after a lost answer starts nothing twice.
async fn start(
    client: &Client,
    types: &str,
    name: &str,
    input: Option<&str>,
    key: Option<&str>,
) -> Result<(String, String)> {
    let undone = "the run was not started";
    let key = key.map_or_else(random_key, |key| Ok(key.to_owned()))?;
    // Wrapped, so that an input which itself looks like this form arrives as it is.
    let body = format!("{{\"input\":{},\"metadata\":{{}}}}", input.unwrap_or("null"));
    if reqwest::header::HeaderValue::from_str(&key).is_err() {
        return Err(Failure::usage(undone).why("the idempotency key holds characters that cannot be sent"));
    }
    let mut sent = 0;
    loop {
        let request = client
            .post(&["v1", types, name, "submit"])
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &key)
            .body(body.clone());
        match client.text(request, undone).await {
            Ok(answer) => {
                let started: Started = client.read(&answer, undone)?;
                return Ok((answer, started.run_id));
            }
            // What never reached a server needs no second try; what may have reached it does.
            Err(failure) if failure.may_have_arrived() && sent < RESENDS => {
                sent += 1;
                tokio::time::sleep(RESEND_WAIT * sent).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

pub(super) fn random_key() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::failed("the run was not started").why(format!("no randomness: {error}")))?;
    Ok(format!("cli-{}", hex::encode(random)))
}

/// Prints what became of it.
async fn finish(client: &Client, run: &str) -> Result {
    let ended: Ended =
        client.json(client.get(&["v1", "runs", run]), &format!("the output of {run} is not shown")).await?;
    let shown = output::plain(run);
    if ended.status == "completed" {
        return output::say_raw_json(ended.output.as_deref().map_or("null", RawValue::get));
    }
    let (message, code) = runs::error_of(ended.error.as_ref());
    let mut failure = Failure::failed(format!("{shown} {}", output::plain(&ended.status)))
        .hint(format!("bivouac runs events {shown}"));
    if let Some(message) = message {
        failure = failure.why(message);
    }
    if let Some(code) = code {
        failure = failure.code(code);
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_a_type_and_a_name() {
        assert_eq!(component("function/hello").unwrap(), ("functions", "hello".to_owned()));
        assert_eq!(component("workflows/order").unwrap(), ("workflows", "order".to_owned()));
        assert_eq!(component("hello").unwrap_err().hint_text(), Some("function/hello or workflow/hello"));
        for text in ["model/x", "function/", "function/a/b", ""] {
            assert_eq!(component(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }

    #[test]
    fn input_that_lost_its_quotes_is_noticed_before_anything_is_sent() {
        assert_eq!(input("{\"n\": 12345678901234567890123}").unwrap(), "{\"n\": 12345678901234567890123}");
        assert!(input("{name:Ada}").unwrap_err().hint_text().unwrap().contains("single quotes"));
        assert_eq!(input("@/no/such/file").unwrap_err().exit, Exit::NotFound);
    }
}
