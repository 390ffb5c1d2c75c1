//! `bivouac runs answer`: gives a run the answer that it waits for.

use super::{
    json,
    run::{RESEND_WAIT, RESENDS, random_key},
};
use crate::{
    cli::Globals,
    client::Client,
    failure::{Failure, Result},
    output,
};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::{self, IsTerminal as _, Read as _};

/// How much of a question is shown in one line.
const SHOWN: usize = 160;

/// Answer what a run asks; it goes on with the answer
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bivouac runs answer run_01JD4Z0F9YB3T5V7X9ZBDFHKMN 'the lake'
  bivouac runs answer run_01JD4Z0F9YB3T5V7X9ZBDFHKMN true --question approve
  bivouac runs answer run_01JD4Z0F9YB3T5V7X9ZBDFHKMN '{\"nights\":2}'")]
pub(crate) struct AnswerArgs {
    /// The run
    #[arg(value_name = "ID")]
    id: String,
    /// The answer: JSON where it is JSON, else a text; - reads it from stdin
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
    /// Which question, by its name or key; needed where the run asks several
    #[arg(long, short, value_name = "NAME")]
    question: Option<String>,
    /// Take the answer as a text, whatever it looks like
    #[arg(long)]
    text: bool,
    /// An id of the answer's own, under which it counts once [default: a random one]
    #[arg(long, value_name = "ID")]
    answer_id: Option<String>,
}

/// A question that a run waits for, as the server shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    key: String,
    name: Option<String>,
    question: Question,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Question {
    text: String,
    options: Vec<Choice>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    id: String,
}

impl Asked {
    /// The question in one line: what it is called, what it asks, and what there is to choose.
    pub(crate) fn line(&self) -> String {
        let options: Vec<&str> = self.question.options.iter().map(|option| option.id.as_str()).collect();
        let options = if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
        let name = self.name.as_deref().unwrap_or(&self.key);
        output::short(&output::plain(&format!("{name}: {}{options}", self.question.text)), SHOWN)
    }
}

pub(super) async fn run(client: &Client, args: &AnswerArgs, globals: &Globals) -> Result {
    let undone = format!("{} was not answered", args.id);
    let id = args.answer_id.clone().map_or_else(random_key, Ok)?;
    let quote = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut body = format!("{{\"answer\":{},\"id\":{}", value(args, &undone)?, quote(&id));
    if let Some(question) = &args.question {
        body.push_str(&format!(",\"question\":{}", quote(question)));
    }
    body.push('}');
    let mut sent = 0;
    let answer = loop {
        let request = client
            .post(&["v1", "runs", &args.id, "answer"])
            .header("Content-Type", "application/json")
            .body(body.clone());
        match client.text(request, &undone).await {
            Ok(answer) => break answer,
            // Under one id it counts once, so it may be sent again where it may have arrived.
            Err(failure) if failure.may_have_arrived() && sent < RESENDS => {
                sent += 1;
                tokio::time::sleep(RESEND_WAIT * sent).await;
            }
            Err(failure) => return Err(failure),
        }
    };
    if json(globals) {
        return output::say_raw_json(&answer);
    }
    let run = output::plain(&args.id);
    output::say(&format!("{run} has its answer and goes on"))?;
    output::note(&format!("See what it does: bivouac runs events {run} --follow"));
    Ok(())
}

/// The answer as JSON text.
fn value(args: &AnswerArgs, undone: &str) -> Result<String> {
    let text = if args.value == "-" {
        if io::stdin().is_terminal() {
            output::note("Reading the answer from the terminal; Ctrl-D ends it.");
        }
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::usage(undone).why(format!("stdin cannot be read: {error}")))?;
        text
    } else {
        args.value.clone()
    };
    if !args.text && serde_json::from_str::<&RawValue>(&text).is_ok() {
        return Ok(text);
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    serde_json::to_string(text).map_err(|error| Failure::usage(undone).why(error.to_string()))
}
