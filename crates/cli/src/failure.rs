//! How a command fails: what happened, why, what to do, and the exit code.
//!
//! Every failure that a user can see is a [`Failure`]; the exit codes are a promise to scripts.

use crate::output::{self, Format, Style};
use std::process::ExitCode;

/// What a command's end means to a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done, or whoever reads our output has seen enough.
    Done = 0,
    /// It was tried and failed.
    Failed = 1,
    /// What was typed cannot be done.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// The server refuses it.
    Refused = 4,
    /// The server cannot be reached, or cannot work.
    Unreachable = 5,
    /// Ctrl-C, as shells know it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    why: Option<String>,
    hint: Option<String>,
    code: Option<String>,
    sent: bool,
}

/// What a command returns.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure; `what` is a lowercase sentence without a full stop.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, hint: None, code: None, sent: false }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// An end that needs no word, such as a closed pipe.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Says why it happened.
    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the stable code.
    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Says that the request may have reached the server all the same.
    pub(crate) fn sent(mut self) -> Self {
        self.sent = true;
        self
    }

    /// Whether the server may have done what was asked, although no answer says so.
    pub(crate) fn may_have_arrived(&self) -> bool {
        self.exit == Exit::Unreachable && self.sent
    }

    /// The stable code, where the server named one.
    pub(crate) fn code_text(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The failure in one line, for a list of findings.
    pub(crate) fn line(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {why}", self.what),
            None => self.what.clone(),
        }
    }

    /// What to do about it.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints it to stderr: for a person, unless JSON was asked for in so many words.
    pub(crate) fn show(&self, format: Option<Format>) {
        if self.what.is_empty() {
            return;
        }
        if format == Some(Format::Json) {
            let json = serde_json::json!({
                "error": self.what, "why": self.why, "hint": self.hint, "error_code": self.code, "exit": self.exit as u8,
            });
            output::note(&json.to_string());
        } else {
            output::note(&self.text(Style::stderr()));
        }
    }

    fn text(&self, style: Style) -> String {
        let mut text = format!("{} {}", style.red("error:"), output::plain(&self.what));
        let code = self.code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
        match &self.why {
            Some(why) => text.push_str(&format!("\n  {} {}{code}", style.dim("why:"), indented(why))),
            None => text.push_str(&code),
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n  {} {}", style.dim("try:"), indented(hint)));
        }
        text
    }
}

/// Keeps the lines of a longer text below its first.
fn indented(text: &str) -> String {
    output::plain(text).replace('\n', "\n       ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new(Exit::NotFound, "run run_1 is not shown")
            .why("there is no such run")
            .code("NOT_FOUND")
            .hint("bivouac runs ls");
        insta::assert_snapshot!(failure.text(Style::off()), @r"
        error: run run_1 is not shown
          why: there is no such run (NOT_FOUND)
          try: bivouac runs ls
        ");
    }

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let failure = Failure::failed("\u{1b}[2J").why("a\u{7}b");
        assert!(!failure.text(Style::off()).contains(['\u{1b}', '\u{7}']));
    }
}
