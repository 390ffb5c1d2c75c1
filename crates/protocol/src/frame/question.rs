//! What a guest asks a person: the operation `ask`.
//!
//! A question is a wait: its run is parked until somebody answers, for as long as that takes. What the answer may be is
//! told to whoever shows the question; the guest checks what it gets. The outcome's `ok` is an object with one member:
//! `answer` (any JSON, given through the runs API) or `message` (an A2A message, given through A2A).

use crate::Json;
use serde::{Deserialize, Serialize};

/// The most options that a question may offer.
pub const MAX_OPTIONS: usize = 256;
/// The largest question in bytes, as its JSON.
pub const MAX_QUESTION_BYTES: usize = 64 << 10;
/// The longest name of a question, in bytes.
pub const MAX_QUESTION_NAME_BYTES: usize = 128;

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked, in plain words.
    pub text: String,
    /// What kind of answer fits.
    #[serde(default)]
    pub input_type: InputType,
    /// What there is to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<AnswerOption>,
    /// The author's name for it, by which an answer may say what it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to show where it is richer than the text: `{"parts":[..]}`, parts as A2A writes them.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::present")]
    pub content: Option<Json>,
}

/// What kind of answer fits a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum InputType {
    /// Words of one's own.
    #[default]
    Text,
    /// Yes or no.
    Approval,
    /// One of the options, by its id.
    Select,
    /// Any of the options, by their ids.
    Multiselect,
}

impl InputType {
    /// The kind as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Approval => "approval",
            Self::Select => "select",
            Self::Multiselect => "multiselect",
        }
    }
}

/// One thing to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerOption {
    /// What an answer names it by.
    pub id: String,
    /// What a person reads.
    pub label: String,
}

impl Question {
    /// A question in plain words.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), input_type: InputType::Text, options: Vec::new(), name: None, content: None }
    }

    /// The question as JSON, the form in which it is journaled and shown.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::of(self).expect("a question has text keys")
    }

    /// What is wrong with it, with what to do; nothing where it can be asked.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let chooses = matches!(self.input_type, InputType::Select | InputType::Multiselect);
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.len() > MAX_QUESTION_NAME_BYTES) {
            return Some(format!("a question is named with 1 to {MAX_QUESTION_NAME_BYTES} bytes: choose another name"));
        }
        if chooses && self.options.is_empty() {
            return Some(format!(
                "a question of the type `{}` offers no option: give it some",
                self.input_type.as_str()
            ));
        }
        if self.options.len() > MAX_OPTIONS {
            return Some(format!(
                "a question offers {} options, {MAX_OPTIONS} are allowed: ask for a text, or in several questions",
                self.options.len()
            ));
        }
        let bytes = self.to_json().text().len();
        (bytes > MAX_QUESTION_BYTES).then(|| {
            format!("a question has {bytes} bytes, {MAX_QUESTION_BYTES} are allowed: send what is large as an artifact")
        })
    }
}
