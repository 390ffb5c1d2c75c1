//! What effects become in a test.

use super::duration_ms;
use crate::Error;
use bivouac_protocol::{
    Json,
    frame::{Body, HttpResponse, Op, Outcome, op_names},
};
use serde::Serialize;
use std::time::Duration;

/// A rule of the script: which effects, and what they become.
///
/// Outcomes are used up in the order in which they were added; the last one stays.
#[derive(Clone, Debug)]
#[must_use = "a rule is given to `Test::on`"]
pub struct Rule {
    matcher: Matcher,
    latency: Duration,
    outcomes: Vec<Scripted>,
    used: usize,
}

#[derive(Clone, Debug)]
enum Matcher {
    Http { method: String, url: String },
    Op { op: String, name: Option<String> },
}

#[derive(Clone, Debug)]
pub(super) enum Scripted {
    Outcome(Outcome),
    Never,
}

/// Fits requests with this method and URL. A URL that begins with `/` fits every one that ends with it; `*` fits all.
pub fn http(method: &str, url: &str) -> Rule {
    Rule::new(Matcher::Http { method: method.to_owned(), url: url.to_owned() })
}

/// Fits effects of this operation, such as `memory.load`.
pub fn op(op: &str) -> Rule {
    Rule::new(Matcher::Op { op: op.to_owned(), name: None })
}

impl Rule {
    const fn new(matcher: Matcher) -> Self {
        Self { matcher, latency: Duration::ZERO, outcomes: Vec::new(), used: 0 }
    }

    /// Fits operations on memory, or questions, with this name only.
    pub fn named(mut self, wanted: &str) -> Self {
        if let Matcher::Op { name, .. } = &mut self.matcher {
            *name = Some(wanted.to_owned());
        }
        self
    }

    /// The target answers so.
    ///
    /// # Panics
    /// Where the body cannot be written as JSON.
    pub fn reply<T: Serialize + ?Sized>(self, status: u16, body: &T) -> Self {
        let body = Body::Json(Json::of(body).expect("the test's reply can be written as JSON"));
        self.respond(HttpResponse { status, headers: Vec::new(), body })
    }

    /// The target answers with this status and nothing else.
    pub fn status(self, status: u16) -> Self {
        self.text(status, "")
    }

    /// The target answers with a text.
    pub fn text(self, status: u16, body: &str) -> Self {
        self.respond(HttpResponse { status, headers: Vec::new(), body: Body::Text(body.to_owned()) })
    }

    /// The target answers so.
    pub fn respond(self, response: HttpResponse) -> Self {
        self.then(Scripted::Outcome(Outcome::Http(response)))
    }

    /// The operation gives this value.
    ///
    /// # Panics
    /// Where the value cannot be written as JSON.
    pub fn gives<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let value = Json::of(value).expect("the test's value can be written as JSON");
        self.then(Scripted::Outcome(Outcome::Ok(value)))
    }

    /// The operation fails: there is no reply.
    pub fn fails(self, error: Error) -> Self {
        self.then(Scripted::Outcome(Outcome::Err(error.into_info())))
    }

    /// The operation never ends.
    pub fn never(self) -> Self {
        self.then(Scripted::Never)
    }

    /// The operation takes so long, in virtual time.
    pub const fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    fn then(mut self, scripted: Scripted) -> Self {
        self.outcomes.push(scripted);
        self
    }

    pub(super) fn fits(&self, op: &Op) -> bool {
        match (&self.matcher, op) {
            (Matcher::Http { method, url }, Op::Http(request)) => {
                let same = url == "*" || request.url == *url || (url.starts_with('/') && request.url.ends_with(url));
                same && (method == "*" || request.method.eq_ignore_ascii_case(method))
            }
            (Matcher::Op { op: wanted, name }, op) => {
                op.name() == wanted && name.as_ref().is_none_or(|name| name_of(op) == Some(name))
            }
            (Matcher::Http { .. }, _) => false,
        }
    }

    /// The next outcome, and how long it takes.
    pub(super) fn next(&mut self) -> (Scripted, u64) {
        let outcome = self.outcomes.get(self.used).or_else(|| self.outcomes.last());
        let scripted = outcome.cloned().unwrap_or(Scripted::Never);
        self.used += 1;
        (scripted, duration_ms(self.latency))
    }

    pub(super) fn describe(&self) -> String {
        match &self.matcher {
            Matcher::Http { method, url } => format!("{method} {url}"),
            Matcher::Op { op, name: Some(name) } => format!("{op} {name}"),
            Matcher::Op { op, name: None } => op.clone(),
        }
    }
}

fn name_of(op: &Op) -> Option<&str> {
    match op {
        Op::MemoryLoad { name } | Op::MemorySave { name, .. } | Op::MemoryDelete { name } => Some(name),
        Op::MemoryList { prefix } => Some(prefix),
        Op::Ask(question) => question.name.as_deref(),
        _ => None,
    }
}

/// An effect as a person reads it.
pub(super) fn describe_op(op: &Op) -> String {
    match op {
        Op::Http(request) => format!("{} {}", request.method, request.url),
        Op::Sleep { ms, .. } => format!("{} for {ms} ms", op_names::SLEEP),
        other => format!("{} {}", other.name(), name_of(other).unwrap_or_default()),
    }
}
