//! Conversations made comparable: what must differ between two of them is replaced by when it first appeared.
//!
//! Ids of tasks, contexts and messages become `task-1`, `context-1`, `message-1`, in the order of appearance; timestamps
//! become `at`. Everything else stays as it is, so that two conversations are equal only where every event is, member by
//! member and in order.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Members that hold an id, and what it is an id of.
const IDS: [(&str, &str); 3] = [("taskId", "task"), ("contextId", "context"), ("messageId", "message")];

/// Replaces in events (`StreamResponse`) or tasks what differs between equal conversations.
#[must_use]
pub fn normal(events: &[Value]) -> Vec<Value> {
    let mut names = Names::default();
    for event in events {
        names.collect(event);
    }
    events.iter().map(|event| names.replace(event)).collect()
}

/// Where two conversations differ first, in words; `None` where they do not.
#[must_use]
pub fn difference(left: &[Value], right: &[Value]) -> Option<String> {
    let (left, right) = (normal(left), normal(right));
    let at = (0..left.len().max(right.len())).find(|index| left.get(*index) != right.get(*index))?;
    let show = |events: &[Value]| {
        events
            .get(at)
            .map_or_else(|| "nothing".to_owned(), |event| serde_json::to_string_pretty(event).unwrap_or_default())
    };
    Some(format!(
        "event {at} of {} and {} differs:\n{}\n--- against ---\n{}",
        left.len(),
        right.len(),
        show(&left),
        show(&right)
    ))
}

#[derive(Debug, Default)]
struct Names {
    found: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, u32>,
}

impl Names {
    fn collect(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                if members.contains_key("status")
                    && let Some(id) = members.get("id")
                {
                    self.name("task", id);
                }
                for (kind, id) in IDS.iter().filter_map(|(member, kind)| Some((*kind, members.get(*member)?))) {
                    self.name(kind, id);
                }
                members.values().for_each(|value| self.collect(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            _ => {}
        }
    }

    fn name(&mut self, kind: &'static str, id: &Value) {
        let Some(id) = id.as_str().filter(|id| !id.is_empty()) else { return };
        if self.found.contains_key(id) {
            return;
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        self.found.insert(id.to_owned(), format!("{kind}-{count}"));
    }

    fn replace(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let replaced = members.iter().map(|(name, value)| match name.as_str() {
                    "timestamp" if value.is_string() => (name.clone(), Value::from("at")),
                    _ => (name.clone(), self.replace(value)),
                });
                Value::Object(replaced.collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(|item| self.replace(item)).collect(),
            Value::String(text) => Value::String(self.replaced(text)),
            other => other.clone(),
        }
    }

    /// An id may stand inside another one: an artifact's may begin with its task's. The longest goes first.
    fn replaced(&self, text: &str) -> String {
        if let Some(name) = self.found.get(text) {
            return name.clone();
        }
        let mut ids: Vec<_> = self.found.iter().filter(|(id, _)| text.contains(id.as_str())).collect();
        ids.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
        ids.into_iter().fold(text.to_owned(), |text, (id, name)| text.replace(id.as_str(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conversation(task: &str, message: &str, text: &str, at: &str) -> Vec<Value> {
        vec![
            json!({"task": {"id": task, "contextId": format!("c{task}"), "status": {"state": "TASK_STATE_WORKING", "timestamp": at}}}),
            json!({"artifactUpdate": {"taskId": task, "artifact": {"artifactId": format!("{task}/plan")}}}),
            json!({"statusUpdate": {"taskId": task, "status": {"message": {"messageId": message, "parts": [{"text": text}]}}}}),
        ]
    }

    #[test]
    fn ids_and_times_may_differ_and_nothing_else() {
        let one = conversation("0192-a", "m1", "hello", "2026-01-01T00:00:00Z");
        let two = conversation("77", "xyz", "hello", "2026-02-02T00:00:00Z");
        assert_eq!(difference(&one, &two), None);
        let other = conversation("77", "xyz", "hello!", "2026-02-02T00:00:00Z");
        assert!(difference(&one, &other).unwrap().starts_with("event 2 of 3 and 3 differs"));
        assert!(difference(&one, &two[..2]).unwrap().contains("nothing"));
    }

    #[test]
    fn an_id_that_is_another_one_than_before_is_seen() {
        let one = conversation("a", "m", "t", "x");
        let mut two = one.clone();
        two[1]["artifactUpdate"]["taskId"] = json!("b");
        assert!(difference(&one, &two).is_some());
    }
}
