//! How things are printed: results to stdout, everything else to stderr, colour only where a person looks.
//!
//! Text that came from elsewhere - names, logs, errors of a guest - goes through [`plain`], so that it cannot steer the
//! terminal. JSON is printed as it came, never parsed and written again.

use crate::failure::{Exit, Failure, Result};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    // For a person. (Doc comments here would become half a page of help, at every command.)
    Text,
    // For a program.
    Json,
}

impl Format {
    /// What was asked for, else text in a terminal and JSON elsewhere.
    pub(crate) fn or_default(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(|| if io::stdout().is_terminal() { Self::Text } else { Self::Json })
    }
}

/// Prints a result.
///
/// # Errors
/// Silent where the reader has gone (`bivouac runs ls | head`).
pub(crate) fn say(text: &str) -> Result {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()).map_err(
        |error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(Exit::Done),
            _ => Failure::failed("the result cannot be printed").why(error.to_string()),
        },
    )
}

/// Prints a value as JSON, indented where a person looks.
pub(crate) fn say_json(value: &impl Serialize) -> Result {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::failed("the result cannot be printed").why(error.to_string()))?;
    say_raw_json(&text)
}

/// Prints JSON text as it came, its numbers untouched; indented where a person looks.
pub(crate) fn say_raw_json(text: &str) -> Result {
    if io::stdout().is_terminal() { say(&pretty(text)) } else { say(text) }
}

/// Tells something beside the result.
pub(crate) fn note(text: &str) {
    // Who closed stderr does not want to hear that it is closed.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// Warns of something that does not stop the command.
pub(crate) fn warn(text: &str) {
    note(&format!("{} {}", Style::stderr().yellow("warning:"), plain(text)));
}

/// The text with its control characters made visible; line breaks and tabs stay.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The text in one line of at most `limit` characters.
pub(crate) fn short(text: &str, limit: usize) -> String {
    let line = plain(text).replace(['\n', '\t'], " ");
    if line.chars().count() <= limit {
        return line;
    }
    line.chars().take(limit.saturating_sub(3)).chain("...".chars()).collect()
}

/// A table without lines, as `kubectl` prints them.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    let last = header.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Names and values below each other.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| {
        let value = plain(value).replace('\n', &format!("\n{:width$}  ", ""));
        format!("{name:width$}  {value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A size for a person.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let (mut whole, mut unit) = (bytes, 0);
    while whole >= 999_950 && unit + 1 < UNITS.len() {
        whole /= 1_000;
        unit += 1;
    }
    format!("{}.{} {}", (whole + 50) / 1_000, (whole + 50) % 1_000 / 100, UNITS[unit])
}

/// JSON text with its tokens untouched, one member per line.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_text = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// Colour, where it is wanted: in a terminal, unless `NO_COLOR` is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style(bool);

impl Style {
    #[cfg(test)]
    pub(crate) const fn off() -> Self {
        Self(false)
    }

    pub(crate) fn stderr() -> Self {
        Self(io::stderr().is_terminal() && wanted())
    }

    pub(crate) fn stdout() -> Self {
        Self(io::stdout().is_terminal() && wanted())
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Source: no-color.org; a dumb terminal cannot.
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_json_keeps_every_token() {
        let json = r#"{"n":123456789012345678901234567890,"t":"a,{\"b\"}","e":{},"l":[1, 2],"x":[ ]}"#;
        insta::assert_snapshot!(pretty(json), @r#"
        {
          "n": 123456789012345678901234567890,
          "t": "a,{\"b\"}",
          "e": {},
          "l": [
            1,
            2
          ],
          "x": []
        }
        "#);
    }

    #[test]
    fn sizes_are_rounded_for_a_person() {
        let shown: Vec<_> = [0, 999, 1_000, 216_049, 999_949, 999_950, 16_777_216].map(size).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 KB", "216.0 KB", "999.9 KB", "1.0 MB", "16.8 MB"]);
    }

    #[test]
    fn tables_have_no_lines_and_no_trailing_blanks() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["longer".into(), String::new()]];
        assert_eq!(table(&["X", "Y"], rows), "X       Y\na       b\nlonger");
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(plain("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\n");
        assert_eq!(short("one\ntwo three", 10), "one two...");
    }
}
