//! What is said to an agent, and what its clients need to know of it.
//!
//! The clients' scripts get it as JSON; it holds nothing about how the agent is served, so that the same scenario is
//! played against every host.

use crate::agent::{Binding, answer, message};
use serde::Serialize;
use serde_json::{Value, json};

/// How long the streams of the scenario are silent, in seconds: longer than the Python client's own limit of five.
const SILENCE_SECONDS: u32 = 6;

/// A conversation with one agent.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// The agent's base URL, with a slash at its end: the JavaScript client takes the path up to the last slash.
    pub base: String,
    /// The transport, as a card names it.
    pub transport: &'static str,
    /// The agent's name on its card.
    pub name: String,
    /// Where the agent is told to look things up, in the metadata of the first message.
    pub service: String,
    /// What the user says first.
    pub start: String,
    /// What the user answers, question by question.
    pub answers: Vec<String>,
    /// A media type that the agent does not take.
    pub refused: &'static str,
    /// Whether the card promises an extended card.
    pub extended: bool,
    /// Whether a stream tells an event when it happens, and not all of them at its end.
    pub live: bool,
    /// How long a stream is left without events, in seconds.
    pub silence: u32,
    /// The key to ask with, where one is needed.
    pub key: Option<String>,
}

impl Scenario {
    /// The conversation with `trip-planner`: it asks where to, looks things up, asks which hotel, and plans.
    #[must_use]
    pub fn trip(base: &str, service: &str, binding: Binding) -> Self {
        Self {
            base: format!("{}/", base.trim_end_matches('/')),
            transport: binding.name(),
            name: "Trip planner".to_owned(),
            service: service.to_owned(),
            start: "I would like to travel".to_owned(),
            answers: vec!["Lisbon".to_owned(), "3".to_owned()],
            refused: "image/png",
            extended: false,
            live: true,
            silence: SILENCE_SECONDS,
            key: None,
        }
    }

    /// The request that begins the conversation; `id` is the message's.
    #[must_use]
    pub fn opening(&self, id: &str) -> Value {
        let mut request = message(id, &self.start);
        request["message"]["metadata"] = json!({"service": self.service});
        request
    }

    /// The requests that answer the agent's questions, one after the other; `name` makes the messages' ids, and `task` is what the
    /// first was answered with.
    pub fn answers<'a>(&'a self, name: &'a str, task: &'a Value) -> impl Iterator<Item = Value> + 'a {
        self.answers.iter().zip(1..).map(move |(text, turn)| answer(&format!("{name}-{turn}"), text, task))
    }
}
