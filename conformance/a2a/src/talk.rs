//! A whole conversation by hand: what is said, and every event that comes back, with its id.
//!
//! Streams are cut and taken up again here too. What comes after a cut must be what would have come without it; the
//! tests compare the two.

use crate::{
    agent::{Agent, Operation, TaskEvent, Trouble, state},
    scenario::Scenario,
};
use serde_json::Value;

/// How often a stream is taken up again before that is an error of its own.
const MAX_RESUMES: usize = 100;

/// One message of the user's, and the stream that answers it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The task, as it was when the stream began.
    pub snapshot: TaskEvent,
    /// What happened afterwards.
    pub events: Vec<TaskEvent>,
}

/// A conversation with an agent.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Message by message.
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// The task as it was first seen.
    ///
    /// # Panics
    /// Before the first message.
    #[must_use]
    pub fn task(&self) -> &Value {
        &self.turns.first().expect("nothing was said yet").snapshot.payload["task"]
    }

    /// The task's id.
    #[must_use]
    pub fn task_id(&self) -> String {
        self.task()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// What happened, without the snapshots.
    #[must_use]
    pub fn events(&self) -> Vec<TaskEvent> {
        self.turns.iter().flat_map(|turn| &turn.events).cloned().collect()
    }

    /// Everything that came, snapshots too.
    #[must_use]
    pub fn payloads(&self) -> Vec<Value> {
        let turn = |turn: &Turn| {
            std::iter::once(&turn.snapshot).chain(&turn.events).map(|event| event.payload.clone()).collect()
        };
        self.turns.iter().flat_map(|it| -> Vec<Value> { turn(it) }).collect()
    }

    /// Sends a message and hears the answer to its end.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn say(&mut self, agent: &Agent, request: Value) -> Result<(), Trouble> {
        let mut events = agent.follow(&Operation::Stream(request), None)?;
        let snapshot = snapshot(events.event()?)?;
        self.turns.push(Turn { snapshot, events: events.rest()? });
        Ok(())
    }
}

/// Plays a scenario by streams. `name` makes the messages' ids.
///
/// # Errors
/// [`Trouble`], also when the agent asks less or more often than the scenario answers.
pub fn converse(agent: &Agent, scenario: &Scenario, name: &str) -> Result<Conversation, Trouble> {
    let mut conversation = Conversation::default();
    conversation.say(agent, scenario.opening(&format!("{name}-0")))?;
    let task = conversation.task().clone();
    for request in scenario.answers(name, &task) {
        conversation.say(agent, request)?;
    }
    let last = conversation.events().pop();
    match last {
        Some(event) if is_last(&event.payload) => Ok(conversation),
        last => Err(Trouble::Garbled(format!("the conversation ends with {last:?}"))),
    }
}

/// A stream's first event, which must be the task.
///
/// # Errors
/// [`Trouble`], where it is something else.
pub fn snapshot(event: Option<TaskEvent>) -> Result<TaskEvent, Trouble> {
    event
        .filter(|event| event.payload.get("task").is_some())
        .ok_or_else(|| Trouble::Garbled("a stream does not begin with the task".to_owned()))
}

/// Whether an event is a task's last one.
#[must_use]
pub fn is_last(payload: &Value) -> bool {
    ["COMPLETED", "FAILED", "CANCELED", "REJECTED"].contains(&state(&payload["statusUpdate"]))
}

/// Whether a server ends a stream after this event.
#[must_use]
pub fn ends_stream(payload: &Value) -> bool {
    is_last(payload) || state(&payload["statusUpdate"]) == "INPUT_REQUIRED"
}

/// Everything after an event, over as many streams as it takes: until `enough`, or until a stream brings nothing new.
/// Each stream's snapshot is given to `seen`, with the id of the event that the stream was asked to go on after.
///
/// # Errors
/// [`Trouble`].
pub fn resume(
    agent: &Agent,
    task: &str,
    after: &str,
    enough: impl Fn(&Value) -> bool,
    mut seen: impl FnMut(&str, &TaskEvent),
) -> Result<Vec<TaskEvent>, Trouble> {
    let (mut after, mut all) = (after.to_owned(), Vec::new());
    for _ in 0..MAX_RESUMES {
        let mut events = match agent.follow(&Operation::Subscribe(task.to_owned()), Some(&after)) {
            // Whoever has the last event of a task is not owed a stream.
            Err(trouble) if trouble.reason() == "UNSUPPORTED_OPERATION" => return Ok(all),
            events => events?,
        };
        seen(&after, &snapshot(events.event()?)?);
        let before = all.len();
        while let Some(event) = events.event()? {
            after = event.id.clone().ok_or_else(|| Trouble::Garbled(format!("no id: {}", event.payload)))?;
            let last = enough(&event.payload);
            all.push(event);
            if last {
                return Ok(all);
            }
        }
        if all.len() == before {
            return Ok(all);
        }
    }
    Err(Trouble::Garbled(format!("not over after {MAX_RESUMES} streams")))
}
