//! What a program may end with, said without turns, attempts, journals or crashes.
//!
//! It walks the program beside the output and asks of each value whether the program could have had it. What only the
//! world decides - which branch was first, which signal came, what memory held - it takes from the output.

use crate::{
    guest::FAILED,
    outside::reply,
    program::{Fails, Node, Program},
};
use serde_json::Value;

/// Checks a completed run's output.
///
/// # Errors
/// What the program could not have done.
pub fn check_output(program: &Program, output: &Value, attempt: u32) -> Result<(), String> {
    let log = output.as_array().ok_or("the output is no list")?;
    let rest = walk(&program.nodes, log, attempt, false)?;
    if rest.is_empty() { Ok(()) } else { Err(format!("the output goes on after the program: {rest:?}")) }
}

/// Whether the program may fail in this attempt with this code, and whether a retry might have mended it.
#[must_use]
pub fn may_fail(nodes: &[Node], attempt: u32, retryable: bool) -> bool {
    nodes.iter().any(|node| match node {
        Node::Fail(fails) => fails.in_attempt(attempt) == Some(retryable),
        Node::Step { fails, caught: false, .. } => fails.in_attempt(attempt) == Some(retryable),
        Node::Join(first, second) | Node::Select(first, second) => {
            may_fail(first, attempt, retryable) || may_fail(second, attempt, retryable)
        }
        _ => false,
    })
}

/// Every signal that an output says was taken.
#[must_use]
pub fn signals_taken(output: &Value) -> Vec<String> {
    let mut taken = Vec::new();
    collect(output, "signal", &mut taken);
    taken
}

/// Every answer that an output says was given.
#[must_use]
pub fn answers_given(output: &Value) -> Vec<String> {
    let mut given = Vec::new();
    collect(output, "answer", &mut given);
    given
}

fn collect(value: &Value, member: &str, taken: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, member, taken)),
        Value::Object(fields) => {
            if let Some(Value::String(id)) = fields.get(member) {
                taken.push(id.clone());
            }
            fields.values().for_each(|value| collect(value, member, taken));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Walks the nodes along the log and gives what the log holds beyond them. `partial` allows the nodes to go on.
fn walk<'a>(nodes: &[Node], mut log: &'a [Value], attempt: u32, partial: bool) -> Result<&'a [Value], String> {
    for node in nodes {
        match node {
            Node::Note { .. } | Node::Broken(_) => continue,
            Node::Fail(fails) if fails.in_attempt(attempt).is_some() => {
                return Err(format!("the program went on although it fails in attempt {attempt}"));
            }
            Node::Fail(_) => continue,
            _ => {}
        }
        let Some((value, rest)) = log.split_first() else {
            return if partial { Ok(log) } else { Err(format!("the output ends before {node:?}")) };
        };
        check_value(node, value, attempt).map_err(|why| format!("{why}: {value} at {node:?}"))?;
        log = rest;
    }
    Ok(log)
}

fn check_value(node: &Node, value: &Value, attempt: u32) -> Result<(), String> {
    let expected = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    match node {
        Node::Call { payload, .. } => expected(value == &reply(*payload), "not what the target replies"),
        Node::Sleep { .. } => expected(value == "slept", "a sleep gives nothing else"),
        Node::Signal { name, .. } => expected(value.get("name").is_some_and(|n| n == name), "not such a signal"),
        Node::Question { .. } => expected(value.get("answer").is_some_and(Value::is_string), "not an answer"),
        Node::Save { .. } => expected(value == "kept", "a write gives nothing else"),
        Node::Load { name, .. } => {
            expected(value.is_null() || value.get("loaded").is_some_and(|n| n == name), "not of this name")
        }
        Node::Step { body, fails, caught, .. } => check_step(body, *fails, *caught, value, attempt),
        Node::Join(first, second) => {
            let logs = value.get("both").and_then(Value::as_array).ok_or("not of a join")?;
            let [one, two] = logs.as_slice() else { return Err("a join has two branches".to_owned()) };
            check_whole(first, one, attempt)?;
            check_whole(second, two, attempt)
        }
        Node::Select(first, second) => {
            let winner = match value.get("won").and_then(Value::as_u64) {
                Some(0) => first,
                Some(1) => second,
                _ => return Err("not of a select".to_owned()),
            };
            check_whole(winner, value.get("log").unwrap_or(&Value::Null), attempt)
        }
        Node::Note { .. } | Node::Fail(_) | Node::Broken(_) => Err("gives no value".to_owned()),
    }
}

fn check_whole(nodes: &[Node], log: &Value, attempt: u32) -> Result<(), String> {
    let log = log.as_array().ok_or("a branch gives a list")?;
    let rest = walk(nodes, log, attempt, false)?;
    if rest.is_empty() { Ok(()) } else { Err("a branch gives more than it has".to_owned()) }
}

fn check_step(body: &[Node], fails: Fails, caught: bool, value: &Value, attempt: u32) -> Result<(), String> {
    if let Some(log) = value.get("step") {
        // A step that succeeded in an earlier attempt is not tried again, and later attempts do not fail either.
        return match fails.in_attempt(attempt) {
            Some(_) => Err(format!("the step succeeded although it fails in attempt {attempt}")),
            None => check_whole(body, log, attempt),
        };
    }
    if !caught {
        return Err("a failure that nobody caught".to_owned());
    }
    match value.get("caught").and_then(Value::as_str) {
        Some(FAILED) if fails.in_attempt(attempt).is_some() => {
            check_whole(body, value.get("log").unwrap_or(&Value::Null), attempt)
        }
        Some(FAILED) => Err(format!("the step failed although it succeeds in attempt {attempt}")),
        Some(_) => Ok(()),
        None => Err("neither a step's value nor its failure".to_owned()),
    }
}
