//! What an agent's events look like to a person.
//!
//! What the agent says and makes goes to stdout; that it works, and how far it is, to stderr. Text of an agent cannot
//! steer the terminal. A question with options is numbered, and a number that is typed means the option.

use crate::{
    failure::Result,
    output::{self, Style},
    progress::Spinner,
};
use bivouac_a2a::task::METADATA_QUESTION;
use bivouac_a2a::types::{Artifact, Message, Part, PartContent, StreamResponse, Task, TaskState, TaskStatus};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What is shown of a conversation, and what was shown already.
pub(crate) struct Shown {
    /// Events as lines of JSON, and nothing else.
    json: bool,
    /// That the agent works.
    spinner: Option<Spinner>,
    /// Messages and artifacts that were shown: a snapshot holds them once more.
    seen: BTreeSet<String>,
    /// The artifact that is being shown, piece by piece.
    open: Option<String>,
    /// What the agent asks for, where it does.
    pub(crate) question: Option<Asked>,
    /// What was said last of the task's state.
    pub(crate) last: String,
}

/// What an agent asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    kind: String,
    options: Vec<Choice>,
    /// What an answer names, where several questions are open.
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Choice {
    id: String,
    #[serde(default)]
    label: String,
}

impl Shown {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, spinner: None, seen: BTreeSet::new(), open: None, question: None, last: String::new() }
    }

    /// Shows that something was sent and is being waited for.
    pub(crate) fn wait(&mut self, agent: &str) {
        self.question = None;
        self.last.clear();
        self.open = None;
        if !self.json {
            self.spinner = Some(Spinner::start(format!("{} works", output::plain(agent))));
        }
    }

    /// Nothing is waited for any more.
    pub(crate) fn rest(&mut self) {
        self.spinner = None;
    }

    /// Shows one event.
    pub(crate) fn event(&mut self, event: &StreamResponse, text: &str) -> Result {
        if let StreamResponse::StatusUpdate(update) = event {
            self.note_state(&update.status);
        }
        if let StreamResponse::Task(task) = event {
            self.note_state(&task.status);
        }
        if self.json {
            return output::say(text);
        }
        let spinner = self.spinner.take();
        let shown = match &spinner {
            Some(spinner) => spinner.aside(|| self.show(event)),
            None => self.show(event),
        };
        self.spinner = spinner;
        shown
    }

    fn note_state(&mut self, status: &TaskStatus) {
        let asks = status.state.is_interrupted();
        self.question = asks.then(|| status.message.as_ref().map(Asked::read).unwrap_or_default());
        self.last = status.message.as_ref().map(Message::text).unwrap_or_default();
    }

    fn show(&mut self, event: &StreamResponse) -> Result {
        match event {
            StreamResponse::Message(message) => self.message(message),
            StreamResponse::StatusUpdate(update) => self.status(&update.status),
            StreamResponse::ArtifactUpdate(update) => {
                self.seen.insert(seen_artifact(&update.task_id, &update.artifact));
                self.artifact(&update.artifact, update.append)
            }
            StreamResponse::Task(task) => self.snapshot(task),
        }
    }

    /// Shows what a snapshot holds that no event has told.
    fn snapshot(&mut self, task: &Task) -> Result {
        for artifact in task.artifacts.iter().flatten() {
            if self.seen.insert(seen_artifact(&task.id, artifact)) {
                self.artifact(artifact, false)?;
            }
        }
        let said = task.status.message.as_ref().is_none_or(|message| self.seen.contains(&message.message_id));
        if said { Ok(()) } else { self.status(&task.status) }
    }

    fn status(&mut self, status: &TaskStatus) -> Result {
        self.open = None;
        if let Some(message) = &status.message
            && !message.message_id.is_empty()
        {
            self.seen.insert(message.message_id.clone());
        }
        match (status.state, &status.message) {
            (TaskState::Submitted | TaskState::Working, Some(message)) => {
                let style = Style::stderr();
                words(message).lines().for_each(|line| output::note(&style.dim(&format!("  {line}"))));
                Ok(())
            }
            (TaskState::Submitted | TaskState::Working, None) => Ok(()),
            (TaskState::Completed, Some(message)) => self.message(message),
            (TaskState::Completed, None) => Ok(()),
            (TaskState::Failed | TaskState::Rejected | TaskState::Canceled, message) => {
                let style = Style::stderr();
                let what = match status.state {
                    TaskState::Failed => style.red("failed"),
                    TaskState::Rejected => style.yellow("rejected"),
                    _ => style.yellow("cancelled"),
                };
                let why = message.as_ref().map(|message| format!(": {}", words(message))).unwrap_or_default();
                output::note(&format!("{what}{why}"));
                Ok(())
            }
            (_, message) => {
                if let Some(message) = message {
                    self.message(message)?;
                    let options = Asked::read(message);
                    for (number, option) in options.options.iter().enumerate() {
                        output::say(&format!("  {}. {}", number + 1, output::plain(option.shown())))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// What the agent says.
    fn message(&mut self, message: &Message) -> Result {
        for part in message.parts.iter().filter(|part| !is_options(part)) {
            output::say(&shown(part))?;
        }
        Ok(())
    }

    /// What the agent makes, or more of it.
    fn artifact(&mut self, artifact: &Artifact, append: bool) -> Result {
        let goes_on = append && self.open.as_ref() == Some(&artifact.artifact_id);
        self.open = Some(artifact.artifact_id.clone());
        if !goes_on {
            let name = artifact.name.as_deref().unwrap_or(&artifact.artifact_id);
            output::say(&Style::stdout().bold(&format!("--- {}", output::plain(name))))?;
        }
        for part in &artifact.parts {
            output::say(&shown(part))?;
        }
        Ok(())
    }
}

fn seen_artifact(task: &str, artifact: &Artifact) -> String {
    format!("{task}/{}", artifact.artifact_id)
}

/// A message in words, with what is no words described.
fn words(message: &Message) -> String {
    message.parts.iter().map(shown).collect::<Vec<_>>().join("\n")
}

/// A part as it can be shown in a terminal.
fn shown(part: &Part) -> String {
    let about = |what: String| {
        let kind = part.media_type.as_deref().unwrap_or("of an unknown type");
        let name = part.filename.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        output::plain(&format!("[{name}{what}, {kind}]"))
    };
    match &part.content {
        PartContent::Text(text) => output::plain(text),
        PartContent::Data(data) => output::plain(&output::pretty(data.text())),
        PartContent::Raw(bytes) => about(output::size(bytes.len() as u64)),
        PartContent::Url(url) => about(url.clone()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedWire {
    input_type: String,
    #[serde(default)]
    options: Vec<Choice>,
}

/// What a part says of the answer that is wanted.
fn options(part: &Part) -> Option<AskedWire> {
    match &part.content {
        PartContent::Data(data) => data.parse().ok(),
        _ => None,
    }
}

fn is_options(part: &Part) -> bool {
    options(part).is_some()
}

impl Choice {
    fn shown(&self) -> &str {
        if self.label.is_empty() { &self.id } else { &self.label }
    }
}

impl Asked {
    fn read(message: &Message) -> Self {
        let asked = message.parts.iter().find_map(options);
        let name = message.metadata.as_ref().and_then(|metadata| metadata.text_of(METADATA_QUESTION));
        match asked {
            Some(asked) => Self { kind: asked.input_type, options: asked.options, name },
            None => Self { name, ..Self::default() },
        }
    }

    /// What stands before the answer that is typed.
    pub(crate) fn prompt(&self) -> &'static str {
        match self.kind.as_str() {
            "approval" => "answer (yes/no)> ",
            "select" => "answer (a number)> ",
            "multiselect" => "answer (numbers, with commas)> ",
            _ => "answer> ",
        }
    }

    /// The answer that is sent for what was typed: numbers stand for options.
    pub(crate) fn answer(&self, typed: &str) -> String {
        let option = |word: &str| {
            let number: usize = word.trim().parse().ok()?;
            self.options.get(number.checked_sub(1)?).map(|option| option.id.clone())
        };
        let words: Vec<&str> = match self.kind.as_str() {
            "select" => vec![typed],
            "multiselect" => typed.split(',').collect(),
            _ => return typed.to_owned(),
        };
        let chosen: Option<Vec<String>> = words.into_iter().map(option).collect();
        chosen.map_or_else(|| typed.to_owned(), |chosen| chosen.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str) -> Asked {
        let data = format!(
            r#"{{"role":"ROLE_AGENT","parts":[{{"text":"Which?"}},{{"data":{{"inputType":"{kind}","options":[{{"id":"2","label":"Second"}},{{"id":"1","label":"First"}}]}}}}]}}"#
        );
        Asked::read(&serde_json::from_str(&data).unwrap())
    }

    #[test]
    fn a_number_means_the_option_beside_it_and_words_are_words() {
        assert_eq!(asked("select").answer("1"), "2");
        assert_eq!(asked("select").answer("First"), "First");
        assert_eq!(asked("select").answer("3"), "3");
        assert_eq!(asked("multiselect").answer("2, 1"), "1, 2");
        assert_eq!(asked("multiselect").answer("2, Second"), "2, Second");
        assert_eq!(asked("approval").answer("1"), "1");
        assert_eq!(Asked::default().answer("1"), "1");
    }

    #[test]
    fn what_an_agent_says_cannot_steer_the_terminal() {
        assert_eq!(shown(&Part::text("\u{1b}[2Jhi")), "\\u{1b}[2Jhi");
        let file = Part { filename: Some("a\u{7}.png".into()), ..Part::raw(vec![0; 2_000], "image/png") };
        assert_eq!(shown(&file), "[a\\u{7}.png: 2.0 KB, image/png]");
    }
}
