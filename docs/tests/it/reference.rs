//! The reference pages, held against what they are about: the commands' own help, the error codes, the limits in the source.

use crate::page::{Page, docs};
use bivouac_a2a::error::ErrorKind;
use bivouac_protocol::Code;
use bivouac_testbed::artifacts;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

/// The page of commands, which is written by its own test.
const COMMANDS: &str = "pages/cli.md";

/// Where in that page the part begins that is generated.
const GENERATED: &str = "<!-- From here on: `UPDATE_BOOK=1 cargo test -p bivouac-book --all-features help`. -->\n";

/// The most commands there may be, so that a help that names itself does not go on for ever.
const MAX_COMMANDS: usize = 200;

#[test]
fn the_page_of_commands_is_what_help_says() {
    let bin = artifacts::bivouac_bin().unwrap();
    let mut generated = String::new();
    let mut open = vec![Vec::new()];
    let mut count = 0;
    while let Some(command) = open.pop() {
        count += 1;
        assert!(count < MAX_COMMANDS, "help lists commands without end");
        let help = help(&bin, &command);
        let name = ["bivouac".to_owned()].iter().chain(&command).cloned().collect::<Vec<_>>().join(" ");
        let mark = "#".repeat(command.len().min(1) + 2);
        generated.push_str(&format!("\n{mark} `{name}`\n\n```text\n{}\n```\n", without_globals(&help, &command)));
        let mut below = subcommands(&help);
        below.reverse();
        open.extend(below.into_iter().map(|sub| command.iter().cloned().chain([sub]).collect()));
    }
    let file = docs().join(COMMANDS);
    let page = fs::read_to_string(&file).unwrap();
    let (kept, now) = page.split_once(GENERATED).expect("the page has the mark of what is generated");
    if env::var_os("UPDATE_BOOK").is_some() {
        fs::write(&file, format!("{kept}{GENERATED}{generated}")).unwrap();
    } else {
        assert!(
            now == generated,
            "{COMMANDS} differs from what `--help` says: UPDATE_BOOK=1 cargo test -p bivouac-book"
        );
    }
}

fn help(bin: &Path, command: &[String]) -> String {
    let output = Command::new(bin)
        .args(command)
        .arg("--help")
        .env("COLUMNS", "110")
        .output()
        .expect("the command can be started");
    assert!(output.status.success(), "bivouac {} --help", command.join(" "));
    let help = String::from_utf8(output.stdout).expect("help is text");
    help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// What every command has is shown once, at the top.
fn without_globals(help: &str, command: &[String]) -> String {
    if command.is_empty() {
        return help.to_owned();
    }
    let mut shown = Vec::new();
    let mut within = false;
    for line in help.lines() {
        if line.starts_with("Global options:") {
            within = true;
        } else if within && !line.is_empty() && !line.starts_with(' ') {
            within = false;
        }
        if !within {
            shown.push(line);
        }
    }
    shown.join("\n").trim_end().to_owned()
}

/// The names under `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let named = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        // A name stands two columns from the edge; further in, a description goes on.
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?.split_whitespace().next()?;
        (name != "help").then(|| name.to_owned())
    });
    named.collect()
}

#[test]
fn every_error_code_has_an_entry() {
    let page = Page::read("pages/errors.md");
    let entries: BTreeSet<&str> =
        page.headings.iter().map(|heading| heading.text.as_str()).filter(|text| is_code(text)).collect();
    let known = Code::ALL.iter().map(Code::as_str).chain(SDK_CODES.iter().copied());
    let known: BTreeSet<&str> = known.collect();
    assert_eq!(entries, known, "left: entries of pages/errors.md, right: codes");
}

#[test]
fn every_error_of_a2a_is_in_its_table() {
    let text = fs::read_to_string(docs().join("pages/a2a.md")).unwrap();
    let rows: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, reason, code, status, what, _] = cells.as_slice() else { return None };
            (code.starts_with('-') && !code.starts_with("--") && !what.is_empty())
                .then(|| format!("{reason} {code} {status}"))
        })
        .collect();
    let known = ErrorKind::ALL.iter().map(|kind| format!("`{}` {} {}", kind.reason(), kind.code(), kind.http_status()));
    assert_eq!(rows, known.collect(), "left: rows of pages/a2a.md, right: the kinds of errors");
}

/// Codes that the SDK gives and the protocol does not know.
const SDK_CODES: &[&str] = &["INPUT_NOT_HANDLED"];

fn is_code(text: &str) -> bool {
    text.len() > 3 && text.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
}

#[test]
fn every_limit_is_what_the_source_says() {
    let text = fs::read_to_string(docs().join("pages/limits.md")).unwrap();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut checked = 0;
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, value, _, source, _] = cells.as_slice() else { panic!("a row has four cells: {row}") };
        let (name, source) = (name.trim_matches('`'), source.trim_matches('`'));
        let file = docs().join("../crates").join(source);
        let code = files
            .entry(source.to_owned())
            .or_insert_with(|| fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
        let said = number(value).unwrap_or_else(|| panic!("what number is `{value}`? {row}"));
        let real = constant(code, name).unwrap_or_else(|| panic!("{source} has no number `{name}`"));
        assert_eq!(said, real, "{row}");
        checked += 1;
    }
    assert!(checked > 20, "only {checked} limits were found on the page");
}

/// `1,000`, `16 MiB`, `30 s`, `7 d`: in bytes or milliseconds.
fn number(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_once(' ').unwrap_or((text, ""));
    let digits: u64 = digits.replace(',', "").parse().ok()?;
    let factor = match unit {
        "" | "bytes" | "ms" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "s" => 1_000,
        "min" => 60_000,
        "d" => 24 * 3_600_000,
        _ => return None,
    };
    digits.checked_mul(factor)
}

/// The value of a constant `NAME: T = EXPRESSION;`, or of a field `name: EXPRESSION,` of the defaults.
fn constant(code: &str, name: &str) -> Option<u64> {
    let at = |mark: String| code.split(&mark).skip(1).find_map(|rest| value(rest.split([';', ',']).next()?));
    at(format!("const {name}: u64 =")).or_else(|| {
        let typed = ["usize", "u32", "i32", "Duration"].iter().find_map(|kind| at(format!("const {name}: {kind} =")));
        typed.or_else(|| at(format!(" {name}:")))
    })
}

fn value(expression: &str) -> Option<u64> {
    let expression = expression.trim();
    let within = |start: &str| expression.strip_prefix(start)?.strip_suffix(')');
    if let Some(inner) = within("Duration::from_secs(") {
        return value(inner)?.checked_mul(1_000);
    }
    if let Some(inner) = within("Duration::from_millis(") {
        return value(inner);
    }
    if let Some((left, right)) = expression.split_once("<<") {
        return Some(value(left)? << value(right)?);
    }
    expression.split('*').map(|part| part.trim().replace('_', "").parse::<u64>().ok()).product()
}

#[test]
fn constants_are_read() {
    let code = "pub const A: usize = 16 << 10;\nconst B: Duration = Duration::from_secs(30);\n x: 4 << 20,\n pub const C: u64 = 30 * 24 * 3_600_000;";
    assert_eq!(
        ["A", "B", "x", "C"].map(|name| constant(code, name)),
        [Some(16_384), Some(30_000), Some(4_194_304), number("30 d")]
    );
    assert_eq!(constant(code, "D"), None);
}
