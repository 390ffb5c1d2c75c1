//! Server-sent events: one event is one `data:` line, whatever a client takes for the end of a line.

use std::fmt::Write as _;

/// What keeps a silent stream alive: a comment, which no client shows.
pub const HEARTBEAT: &str = ":\n\n";

/// A JSON text without anything that some client takes for the end of a line.
///
/// Line feeds and returns of a JSON text lie between its tokens only, so they may become blanks. U+0085, U+2028 and
/// U+2029 lie in its strings only, so they may be escaped; the Python client cuts lines there.
#[must_use]
pub fn line_safe(json: String) -> String {
    let ends_line = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    if !json.contains(ends_line) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            '\u{85}' | '\u{2028}' | '\u{2029}' => {
                write!(safe, "\\u{:04x}", u32::from(c)).expect("a text takes what is written to it");
            }
            c if ends_line(c) => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// One event as it goes over the wire: its id and its name, if it has them, and its data, which is [`line_safe`].
#[must_use]
pub fn event_text(id: Option<&str>, name: Option<&str>, data: &str) -> String {
    let mut text = String::with_capacity(data.len() + 48);
    for (field, value) in [("id", id), ("event", name), ("data", Some(data))] {
        if let Some(value) = value {
            writeln!(text, "{field}: {value}").expect("a text takes what is written to it");
        }
    }
    text.push('\n');
    text
}
