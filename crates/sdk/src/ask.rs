//! Questions to a person: the run waits, for days if need be, and goes on with the answer.
//!
//! An answer comes through A2A as a message or through the runs API as JSON; both are read the same way. One that does
//! not fit the question is asked for again, saying why. What was answered stays with its question: a later attempt gets
//! it without asking.

use crate::{
    content::{Content, Message, Part},
    context::Context,
    error::Error,
    exec::{
        Boxed,
        core::Core,
        effect::{EffectFuture, Kind},
    },
};
use bivouac_protocol::{
    Code, Json,
    frame::{AnswerOption, InputType, Op, Question},
};
use serde::Deserialize;
use serde_json::Value;
use std::{fmt, future::IntoFuture, marker::PhantomData, sync::Arc};

/// How often one question is asked while its answers do not fit.
pub const MAX_ASKS: u32 = 16;

/// How many options are named to whoever gave an unfit answer.
const MAX_SHOWN_LABELS: usize = 20;

/// The longest part of an unfit answer that is repeated to its author, in characters.
const MAX_SHOWN_CHARS: usize = 60;

/// A question being put; awaiting it gives the answer. See [`Context::ask`].
#[must_use = "a question is asked when it is awaited"]
pub struct Ask<A = Words> {
    core: Arc<Core>,
    question: Question,
    content: Option<Content>,
    answer: PhantomData<fn() -> A>,
}

/// The answer is words: a `String`.
#[derive(Debug)]
pub enum Words {}
/// The answer is yes or no: a `bool`.
#[derive(Debug)]
pub enum Approval {}
/// The answer is the id of one option: a `String`.
#[derive(Debug)]
pub enum One {}
/// The answer is the ids of any options, in the order in which they were offered: a `Vec<String>`.
#[derive(Debug)]
pub enum Many {}
/// The answer is whatever was said: a [`Content`].
#[derive(Debug)]
pub enum Anything {}

/// A kind of answer: [`Words`], [`Approval`], [`One`], [`Many`] or [`Anything`].
pub trait Answer: 'static {
    /// What the author gets.
    type Output: Send + 'static;

    /// Reads an answer.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    #[doc(hidden)]
    fn read(question: &Question, said: Content) -> Result<Self::Output, String>;
}

impl Context {
    /// Asks a person, and waits for the answer, which is words unless said otherwise.
    ///
    /// A run holds nothing while it waits: it is parked, and goes on when somebody answers, also on another machine.
    ///
    /// # Errors
    /// `INVALID_INPUT` where the question cannot be asked (no option, too large), or was answered [`MAX_ASKS`] times
    /// with what does not fit; `CANCELLED` where the run is cancelled.
    ///
    /// # Examples
    /// ```
    /// # use bivouac::prelude::*;
    /// # async fn example(ctx: &Context) -> Result<(), Error> {
    /// let city: String = ctx.ask("Where do you want to go?").await?;
    /// let class = ctx.ask("Which class?").select([("1", "First"), ("2", "Second")]).await?;
    /// if ctx.ask(format!("Book {city}, class {class}?")).approval().named("booking").await? {
    ///     ctx.info("booked");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn ask(&self, text: impl Into<String>) -> Ask {
        Ask { core: self.core_arc(), question: Question::new(text), content: None, answer: PhantomData }
    }
}

impl Ask {
    /// The answer is yes or no.
    pub fn approval(self) -> Ask<Approval> {
        self.of(InputType::Approval, Vec::new())
    }

    /// The answer is one of these: ids and what a person reads. An answer may say the id, the label or the option's
    /// place from 1; the id is what is given.
    pub fn select<I, L>(self, options: impl IntoIterator<Item = (I, L)>) -> Ask<One>
    where
        I: Into<String>,
        L: Into<String>,
    {
        self.of(InputType::Select, answer_options(options))
    }

    /// The answer is any of these, also none.
    pub fn multiselect<I, L>(self, options: impl IntoIterator<Item = (I, L)>) -> Ask<Many>
    where
        I: Into<String>,
        L: Into<String>,
    {
        self.of(InputType::Multiselect, answer_options(options))
    }

    /// The answer is whatever is said, with files and data.
    pub fn anything(self) -> Ask<Anything> {
        self.of(InputType::Text, Vec::new())
    }

    fn of<A>(self, input_type: InputType, options: Vec<AnswerOption>) -> Ask<A> {
        let question = Question { input_type, options, ..self.question };
        Ask { core: self.core, question, content: self.content, answer: PhantomData }
    }
}

impl<A> Ask<A> {
    /// Names the question, so that an answer can say what it answers where several are open.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.question.name = Some(name.into());
        self
    }

    /// Shows this where more than text can be shown.
    pub fn content(mut self, content: impl Into<Content>) -> Self {
        self.content = Some(content.into());
        self
    }
}

fn answer_options<I: Into<String>, L: Into<String>>(options: impl IntoIterator<Item = (I, L)>) -> Vec<AnswerOption> {
    options.into_iter().map(|(id, label)| AnswerOption { id: id.into(), label: label.into() }).collect()
}

impl<A: Answer> IntoFuture for Ask<A> {
    type Output = Result<A::Output, Error>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { core, question, content, .. } = self;
        Box::pin(async move {
            let mut given = None;
            put(&core, question, content, &mut |question, said| match A::read(question, said) {
                Ok(output) => {
                    given = Some(output);
                    Ok(())
                }
                Err(why) => Err(why),
            })
            .await?;
            given.ok_or_else(|| Error::refused(Code::INTERNAL, "an answer was read and is not there"))
        })
    }
}

/// Says whether an answer fits, and keeps it if so.
type Reader<'a> = dyn FnMut(&Question, Content) -> Result<(), String> + Send + 'a;

/// Asks until an answer fits. One function for all kinds of answers, since each copy of it costs a module kilobytes.
async fn put(
    core: &Arc<Core>,
    question: Question,
    content: Option<Content>,
    reader: &mut Reader<'_>,
) -> Result<(), Error> {
    let mut unfit = None;
    for _ in 0..MAX_ASKS {
        let asked = worded(&question, content.as_ref(), unfit.as_deref());
        if let Some(fault) = asked.fault() {
            return Err(Error::refused(Code::INVALID_INPUT, fault));
        }
        let outcome = EffectFuture::new(core, Op::Ask(asked), Kind::Wait).await.value()?;
        match said(&outcome).and_then(|said| reader(&question, said)) {
            Ok(()) => return Ok(()),
            Err(why) => unfit = Some(why),
        }
    }
    let why = unfit.unwrap_or_default();
    let text = &question.text;
    let message = format!("the question `{text}` was answered {MAX_ASKS} times with what does not fit: {why}");
    Err(Error::refused(Code::INVALID_INPUT, message))
}

/// The question as it is asked, with what was wrong with the last answer in front.
fn worded(question: &Question, content: Option<&Content>, unfit: Option<&str>) -> Question {
    let mut asked = question.clone();
    let Some(why) = unfit else {
        asked.content = content.map(Content::to_json);
        return asked;
    };
    asked.text = format!("{why}\n{}", question.text);
    asked.content = content.map(|content| {
        let mut parts = vec![Part::text(why)];
        parts.extend_from_slice(content.parts());
        Content::from(parts).to_json()
    });
    asked
}

#[derive(Deserialize)]
struct OutcomeWire {
    #[serde(default, deserialize_with = "crate::content::present")]
    answer: Option<Json>,
    #[serde(default)]
    message: Option<Json>,
}

/// The answer that an outcome carries.
fn said(outcome: &Json) -> Result<Content, String> {
    let unreadable = |why: &dyn fmt::Display| format!("The answer cannot be read: {why}.");
    let wire: OutcomeWire = outcome.parse().map_err(|error| unreadable(&error))?;
    match (wire.message, wire.answer) {
        (Some(message), _) => Ok(Message::read(&message).map_err(|error| unreadable(&error.message()))?.content),
        (None, Some(answer)) => match answer.parse::<String>() {
            Ok(text) => Ok(Content::from_text(text)),
            Err(_) => Part::data(&answer).map(Content::from).map_err(|error| unreadable(&error.message())),
        },
        (None, None) => Err("The answer is empty.".to_owned()),
    }
}

/// The words of an answer, or its data where there are none; `{"answer": ..}` stands for what it holds.
fn value_of(said: &Content) -> Value {
    let text = said.text();
    if !text.trim().is_empty() {
        return Value::String(text.trim().to_owned());
    }
    let data = said.parts().iter().find_map(Part::as_data);
    match data.and_then(|data| data.parse().ok()).unwrap_or_default() {
        Value::Object(mut members) if members.len() == 1 && members.contains_key("answer") => {
            members.remove("answer").unwrap_or_default()
        }
        value => value,
    }
}

impl Answer for Words {
    type Output = String;

    fn read(_: &Question, said: Content) -> Result<String, String> {
        match value_of(&said) {
            Value::String(text) => Ok(text),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(value.to_string()),
            Value::Null => Err("Please answer in words.".to_owned()),
            other => Err(format!("Please answer in words; {} is none.", shown(&other))),
        }
    }
}

/// Words for yes and for no, in lower case.
const YES: [&str; 7] = ["yes", "y", "true", "ok", "okay", "approve", "approved"];
const NO: [&str; 7] = ["no", "n", "false", "reject", "rejected", "deny", "denied"];

impl Answer for Approval {
    type Output = bool;

    fn read(_: &Question, said: Content) -> Result<bool, String> {
        let value = value_of(&said);
        let word = match &value {
            Value::Bool(given) => return Ok(*given),
            Value::String(text) => text.trim_end_matches(['.', '!']).to_lowercase(),
            _ => String::new(),
        };
        if YES.contains(&&*word) {
            Ok(true)
        } else if NO.contains(&&*word) {
            Ok(false)
        } else {
            Err(format!("Please answer yes or no; {} is neither.", shown(&value)))
        }
    }
}

impl Answer for One {
    type Output = String;

    fn read(question: &Question, said: Content) -> Result<String, String> {
        let value = value_of(&said);
        let option = match &value {
            Value::String(text) => option(question, text),
            Value::Number(number) => option(question, &number.to_string()),
            Value::Array(values) => match &values[..] {
                [Value::String(text)] => option(question, text),
                _ => None,
            },
            _ => None,
        };
        option
            .map(|option| option.id.clone())
            .ok_or_else(|| format!("Please choose one of {}; {} is none of them.", labels(question), shown(&value)))
    }
}

impl Answer for Many {
    type Output = Vec<String>;

    fn read(question: &Question, said: Content) -> Result<Vec<String>, String> {
        let value = value_of(&said);
        let wanted: Vec<String> = match &value {
            Value::Array(values) => values.iter().map(word).collect(),
            Value::String(text) if option(question, text).is_some() => vec![text.clone()],
            Value::String(text) if text.eq_ignore_ascii_case("none") => Vec::new(),
            Value::String(text) => text.split([',', '\n']).map(|word| word.trim().to_owned()).collect(),
            other => vec![word(other)],
        };
        let mut chosen = Vec::new();
        for wanted in &wanted {
            let Some(option) = option(question, wanted) else {
                let shown = shown(&Value::String(wanted.clone()));
                return Err(format!("Please choose any of {}, or none; {shown} is not one of them.", labels(question)));
            };
            chosen.push(option.id.as_str());
        }
        let ids = question.options.iter().filter(|option| chosen.contains(&&*option.id));
        Ok(ids.map(|option| option.id.clone()).collect())
    }
}

impl Answer for Anything {
    type Output = Content;

    fn read(_: &Question, said: Content) -> Result<Content, String> {
        if said.parts().is_empty() { Err("The answer is empty.".to_owned()) } else { Ok(said) }
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned())
}

/// The option that a text names: by its id, its label, or its place from 1.
fn option<'a>(question: &'a Question, text: &str) -> Option<&'a AnswerOption> {
    let options = &question.options;
    let by_id = options.iter().find(|option| option.id == text);
    let by_label = || {
        let wanted = text.to_lowercase();
        options.iter().find(|option| option.label.to_lowercase() == wanted || option.id.to_lowercase() == wanted)
    };
    let by_place = || text.parse::<usize>().ok().and_then(|place| options.get(place.checked_sub(1)?));
    by_id.or_else(by_label).or_else(by_place)
}

fn labels(question: &Question) -> String {
    let labels: Vec<_> = question.options.iter().take(MAX_SHOWN_LABELS).map(|option| option.label.as_str()).collect();
    let more = question.options.len().saturating_sub(MAX_SHOWN_LABELS);
    let list: String = labels.join(", ").chars().take(MAX_SHOWN_LABELS * MAX_SHOWN_CHARS).collect();
    if more == 0 { list } else { format!("{list} and {more} more") }
}

fn shown(value: &Value) -> String {
    let text = word(value);
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("`{}...`", &text[..end]),
        None if text.is_empty() => "an empty answer".to_owned(),
        None => format!("`{text}`"),
    }
}

impl<A> fmt::Debug for Ask<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("question", &self.question).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<A: Answer>(options: &[(&str, &str)], outcome: &str) -> Result<A::Output, String> {
        let options = answer_options(options.iter().copied());
        let question = Question { options, ..Question::new("?") };
        said(&Json::parse_text(outcome).unwrap()).and_then(|said| A::read(&question, said))
    }

    const CLASSES: &[(&str, &str)] = &[("first", "First class"), ("second", "Second class")];

    #[test]
    fn words_come_as_json_or_as_a_message() {
        for outcome in [
            r#"{"answer":"Lisbon"}"#,
            r#"{"message":{"parts":[{"text":" Lisbon "}]}}"#,
            r#"{"message":{"parts":[{"data":{"answer":"Lisbon"}}]}}"#,
            r#"{"message":"Lisbon"}"#,
        ] {
            assert_eq!(read::<Words>(&[], outcome).as_deref(), Ok("Lisbon"), "{outcome}");
        }
        assert_eq!(read::<Words>(&[], r#"{"answer":3}"#).as_deref(), Ok("3"));
        for outcome in [r#"{"answer":null}"#, r#"{"answer":{"a":1}}"#, r#"{"message":{"parts":[]}}"#, "{}", "7"] {
            assert!(read::<Words>(&[], outcome).is_err(), "{outcome}");
        }
    }

    #[test]
    fn yes_and_no_have_many_words() {
        for (outcome, approved) in [
            (r#"{"answer":true}"#, true),
            (r#"{"answer":"no"}"#, false),
            (r#"{"message":{"parts":[{"text":"Yes!"}]}}"#, true),
            (r#"{"message":{"parts":[{"data":false}]}}"#, false),
        ] {
            assert_eq!(read::<Approval>(&[], outcome), Ok(approved), "{outcome}");
        }
        let error = read::<Approval>(&[], r#"{"answer":"perhaps"}"#).unwrap_err();
        assert_eq!(error, "Please answer yes or no; `perhaps` is neither.");
    }

    #[test]
    fn an_option_is_chosen_by_id_label_or_place() {
        for answer in [r#""second""#, r#""second class""#, "2", r#""2""#, r#"["second"]"#] {
            let chosen = read::<One>(CLASSES, &format!(r#"{{"answer":{answer}}}"#));
            assert_eq!(chosen.as_deref(), Ok("second"), "{answer}");
        }
        let error = read::<One>(CLASSES, r#"{"answer":"third"}"#).unwrap_err();
        assert_eq!(error, "Please choose one of First class, Second class; `third` is none of them.");
        assert!(read::<One>(CLASSES, r#"{"answer":0}"#).is_err());
    }

    #[test]
    fn an_option_whose_id_is_a_number_is_chosen_by_it_and_not_by_place() {
        assert_eq!(read::<One>(&[("3", "Three"), ("1", "One")], r#"{"answer":"1"}"#).as_deref(), Ok("1"));
    }

    #[test]
    fn many_options_are_given_in_their_own_order_once_each() {
        for answer in [r#"["second","first","second"]"#, r#""Second class, first""#, "[2,1]"] {
            let chosen = read::<Many>(CLASSES, &format!(r#"{{"answer":{answer}}}"#)).unwrap();
            assert_eq!(chosen, ["first", "second"], "{answer}");
        }
        assert_eq!(read::<Many>(CLASSES, r#"{"answer":[]}"#), Ok(Vec::new()));
        assert_eq!(read::<Many>(CLASSES, r#"{"answer":"none"}"#), Ok(Vec::new()));
        assert!(read::<Many>(CLASSES, r#"{"answer":["third"]}"#).is_err());
        assert!(read::<Many>(CLASSES, r#"{"answer":{}}"#).is_err());
    }

    #[test]
    fn a_long_unfit_answer_is_not_repeated_whole() {
        let error = read::<Approval>(&[], &format!(r#"{{"answer":"{}"}}"#, "é".repeat(500))).unwrap_err();
        assert!(error.chars().count() < 120, "{error}");
    }
}
