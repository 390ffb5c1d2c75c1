//! What makes a manifest valid: every rule in one place, every fault in one answer.
//!
//! The rules hold for a module's manifest and for a native deployment's alike; nothing here knows WASM. What a manifest
//! asks for is granted elsewhere: here it only has to make sense.

use crate::error::ModuleError;
use bivouac_protocol::{
    ABI_VERSION, Code, Json,
    frame::op_names,
    manifest::{Agent, Component, ComponentKind, Manifest, Retries, Skill},
};
use std::collections::BTreeSet;

/// The longest name of a component or change marker, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The longest name of a secret, in bytes.
pub const MAX_SECRET_NAME_BYTES: usize = 128;
/// The longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 4 << 10;
/// The largest schema, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// The most skills of one agent.
pub const MAX_SKILLS: usize = 256;
/// The most tags, examples or media types in one list of a skill or an agent.
pub const MAX_WORDS: usize = 64;
/// The longest id, name, tag, example, media type, version or URL in what an agent says of itself, in bytes.
pub const MAX_WORD_BYTES: usize = 1_024;
/// The most components in one module.
pub const MAX_COMPONENTS: usize = 1_000;
/// The most entries in each list of hosts, secrets and change markers.
pub const MAX_LIST: usize = 1_000;
/// The most attempts that a policy may ask for.
pub const MAX_ATTEMPTS: u32 = 1_000;
/// The longest wait between two attempts that a policy may ask for: 30 days, in milliseconds.
pub const MAX_INTERVAL_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// The longest name of a host, as DNS has it.
const MAX_HOST_BYTES: usize = 253;
/// The most faults that one answer lists.
const MAX_FAULTS: usize = 50;

/// Reads a manifest and checks all of it.
///
/// # Errors
/// [`ModuleError`] with code `ABI_UNSUPPORTED`, `OP_UNSUPPORTED` or `MANIFEST_INVALID`; its message lists every fault.
pub fn read(bytes: &[u8]) -> Result<Manifest, ModuleError> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| {
        ModuleError::new(
            Code::MANIFEST_INVALID,
            format!("the manifest cannot be read: {error}; build the module with an SDK of the server's release"),
        )
    })?;
    if manifest.abi != ABI_VERSION {
        return Err(ModuleError::new(
            Code::ABI_UNSUPPORTED,
            format!(
                "the manifest is of revision {} of the guest contract, this host speaks {ABI_VERSION}: build the module \
                 with an SDK of the server's release",
                manifest.abi
            ),
        ));
    }
    let unknown: Vec<&str> = manifest.ops.iter().map(String::as_str).filter(|op| !op_names::ALL.contains(op)).collect();
    let mut faults = faults(&manifest);
    if !unknown.is_empty() {
        faults.insert(0, format!("the module uses operations that this host does not perform: {}", list(&unknown)));
    }
    if faults.is_empty() {
        return Ok(manifest);
    }
    let code = if unknown.is_empty() { Code::MANIFEST_INVALID } else { Code::OP_UNSUPPORTED };
    let more = faults.len().saturating_sub(MAX_FAULTS);
    faults.truncate(MAX_FAULTS);
    let mut message = format!("the manifest is not valid: {}", faults.join("; "));
    if more > 0 {
        message.push_str(&format!("; and {more} more"));
    }
    Err(ModuleError::new(code, message))
}

/// What is wrong with a manifest, apart from its revision and its operations; nothing where it is valid.
#[must_use]
pub fn faults(manifest: &Manifest) -> Vec<String> {
    let mut faults = Vec::new();
    if manifest.components.is_empty() {
        faults.push("it offers no component: register at least one with the SDK".to_owned());
    }
    too_many(&mut faults, "components", manifest.components.len(), MAX_COMPONENTS);
    let mut names = BTreeSet::new();
    for component in &manifest.components {
        component_faults(&mut faults, component);
        if !names.insert((component.kind, component.name.as_str())) {
            faults.push(format!("the {} {} is there twice: rename one", component.kind, quoted(&component.name)));
        }
    }
    let capabilities = &manifest.capabilities;
    too_many(&mut faults, "hosts", capabilities.hosts.len(), MAX_LIST);
    for host in capabilities.hosts.iter().take(MAX_LIST) {
        if let Err(why) = host_pattern(host) {
            faults.push(format!("the host {} {why}", quoted(host)));
        }
    }
    too_many(&mut faults, "secrets", capabilities.secrets.len(), MAX_LIST);
    for secret in capabilities.secrets.iter().take(MAX_LIST) {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if secret.is_empty() || secret.len() > MAX_SECRET_NAME_BYTES || !secret.chars().all(valid) {
            faults.push(format!(
                "the secret {} is not named with 1 to {MAX_SECRET_NAME_BYTES} letters, digits and `_`",
                quoted(secret)
            ));
        }
    }
    too_many(&mut faults, "change markers", manifest.patches.len(), MAX_LIST);
    for patch in manifest.patches.iter().take(MAX_LIST) {
        if !valid_name(patch) {
            faults.push(format!("the change marker {} {}", quoted(patch), name_rule()));
        }
    }
    faults
}

fn component_faults(faults: &mut Vec<String>, component: &Component) {
    let called = format!("the {} {}", component.kind, quoted(&component.name));
    if !valid_name(&component.name) {
        faults.push(format!("{called} {}", name_rule()));
    }
    if component.description.as_ref().is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES) {
        faults.push(format!("{called} has a description longer than {MAX_DESCRIPTION_BYTES} bytes"));
    }
    for (which, schema) in [("input", &component.input_schema), ("output", &component.output_schema)] {
        if let Some(why) = schema.as_ref().and_then(schema_fault) {
            faults.push(format!("{called} has an {which} schema that {why}"));
        }
    }
    match (&component.agent, component.kind) {
        (Some(agent), ComponentKind::Agent) => {
            faults.extend(agent_faults(agent).into_iter().map(|fault| format!("{called} {fault}")));
        }
        (None, ComponentKind::Agent) => faults.push(format!("{called} lacks what an agent says of itself, `agent`")),
        (Some(_), _) => faults.push(format!("{called} has an `agent`, which only agents have")),
        (None, _) => {}
    }
    if let Some(retries) = &component.flow_control.retries {
        faults.extend(retries_faults(retries).into_iter().map(|fault| format!("{called} {fault}")));
    }
}

fn agent_faults(agent: &Agent) -> Vec<String> {
    let mut faults = Vec::new();
    let provider = agent.provider.iter().flat_map(|provider| [&provider.organization, &provider.url]);
    let urls = agent.documentation_url.iter().chain(&agent.icon_url);
    for (what, word) in [("title", &agent.title), ("version", &agent.version)] {
        if word.is_empty() {
            faults.push(format!("has no {what}: give it one"));
        }
    }
    if [&agent.title, &agent.version].into_iter().chain(provider).chain(urls).any(|word| word.len() > MAX_WORD_BYTES) {
        faults.push(format!("says something of itself in more than {MAX_WORD_BYTES} bytes: shorten it"));
    }
    words_faults(&mut faults, "media types that it takes", &agent.input_modes);
    words_faults(&mut faults, "media types that it gives", &agent.output_modes);
    too_many(&mut faults, "skills", agent.skills.len(), MAX_SKILLS);
    let mut ids = BTreeSet::new();
    for skill in agent.skills.iter().take(MAX_SKILLS) {
        skill_faults(&mut faults, skill);
        if !ids.insert(skill.id.as_str()) {
            faults.push(format!("has the skill {} twice: rename one", quoted(&skill.id)));
        }
    }
    if !agent.extended && agent.skills.iter().any(|skill| skill.extended) {
        faults.push("has a skill for its extended card, but declares none: set `extended`".to_owned());
    }
    faults
}

fn skill_faults(faults: &mut Vec<String>, skill: &Skill) {
    let called = format!("the skill {}", quoted(&skill.id));
    if skill.id.is_empty() || skill.name.is_empty() {
        faults.push(format!("has {called} without an id or a name: give it both"));
    }
    if skill.id.len() > MAX_WORD_BYTES || skill.name.len() > MAX_WORD_BYTES {
        faults.push(format!("has {called} with an id or a name longer than {MAX_WORD_BYTES} bytes"));
    }
    if skill.description.len() > MAX_DESCRIPTION_BYTES {
        faults.push(format!("has {called} with a description longer than {MAX_DESCRIPTION_BYTES} bytes"));
    }
    for (what, list) in [
        ("tags", &skill.tags),
        ("examples", &skill.examples),
        ("media types that it takes", &skill.input_modes),
        ("media types that it gives", &skill.output_modes),
    ] {
        words_faults(faults, &format!("{what} of {called}"), list);
    }
}

fn words_faults(faults: &mut Vec<String>, what: &str, words: &[String]) {
    if words.len() > MAX_WORDS {
        faults.push(format!("lists {} {what}: {MAX_WORDS} are allowed", words.len()));
    }
    if words.iter().any(|word| word.is_empty() || word.len() > MAX_WORD_BYTES) {
        faults.push(format!("has among the {what} one that is empty or longer than {MAX_WORD_BYTES} bytes"));
    }
}

fn schema_fault(schema: &Json) -> Option<String> {
    let text = schema.text().trim_start();
    if schema.text().len() > MAX_SCHEMA_BYTES {
        Some(format!("is larger than {MAX_SCHEMA_BYTES} bytes"))
    } else if !(text.starts_with('{') || text.starts_with("true") || text.starts_with("false")) {
        Some("is not a JSON Schema: that is an object or a boolean".to_owned())
    } else {
        None
    }
}

fn retries_faults(retries: &Retries) -> Vec<String> {
    let mut faults = Vec::new();
    if !(1..=MAX_ATTEMPTS).contains(&retries.max_attempts) {
        faults.push(format!("asks for {} attempts: 1 to {MAX_ATTEMPTS} are allowed", retries.max_attempts));
    }
    if retries.max_interval_ms < retries.initial_interval_ms {
        faults.push(format!(
            "has a longest wait between attempts ({} ms) that is shorter than its first ({} ms)",
            retries.max_interval_ms, retries.initial_interval_ms
        ));
    }
    if retries.max_interval_ms > MAX_INTERVAL_MS {
        faults.push(format!(
            "waits up to {} ms between attempts: {MAX_INTERVAL_MS} (30 days) are allowed",
            retries.max_interval_ms
        ));
    }
    faults
}

/// Whether a component or a change marker may be called so: a letter, digit or `_`, then also `.` and `-`.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= MAX_NAME_BYTES && name.starts_with(first) && name.chars().all(|c| first(c) || c == '.' || c == '-')
}

fn name_rule() -> String {
    format!(
        "is not a valid name: up to {MAX_NAME_BYTES} letters, digits, `_`, `-` and `.` are, beginning with a letter, \
         digit or `_`"
    )
}

/// Checks a pattern for hosts: `api.example.com`, `*.example.com`, `localhost:*`, `127.0.0.1:8080`, `[::1]:8080`.
///
/// # Errors
/// What is wrong with it.
pub fn host_pattern(pattern: &str) -> Result<(), &'static str> {
    let (host, port) = match pattern.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or("lacks the `]` of an IPv6 address")?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "is not an IPv6 address in brackets")?;
            match rest.strip_prefix(':') {
                Some(port) => return check_port(port),
                None if rest.is_empty() => return Ok(()),
                None => return Err("has something other than a port after its address"),
            }
        }
        None => pattern.split_once(':').map_or((pattern, None), |(host, port)| (host, Some(port))),
    };
    if pattern.contains("://") || pattern.contains('/') {
        return Err("is a URL: name the host alone, such as `api.example.com`");
    }
    port.map_or(Ok(()), check_port)?;
    let name = host.strip_prefix("*.").unwrap_or(host);
    if name.is_empty() || host.len() > MAX_HOST_BYTES {
        return Err("is empty or longer than a host's name can be");
    }
    if name.contains('*') {
        return Err("has a `*` elsewhere than in front, as in `*.example.com`");
    }
    if host.len() != name.len() && !name.contains('.') {
        return Err("would match a whole top-level domain: name at least `*.example.com`");
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.split('.').all(label) {
        Ok(())
    } else {
        Err("is not a host's name (an international one is written in its `xn--` form)")
    }
}

fn check_port(port: &str) -> Result<(), &'static str> {
    let number = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n != 0);
    if port == "*" || number(port) { Ok(()) } else { Err("has a port that is neither `*` nor 1 to 65535") }
}

fn too_many(faults: &mut Vec<String>, what: &str, count: usize, limit: usize) {
    if count > limit {
        faults.push(format!("it lists {count} {what}: {limit} are allowed"));
    }
}

fn list(names: &[&str]) -> String {
    names.iter().take(MAX_FAULTS).map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("`{}`", crate::scan::shown(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_name_hosts_are_taken() {
        for pattern in [
            "api.example.com",
            "*.example.com",
            "localhost",
            "localhost:*",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
            "xn--bcher-kva.example:443",
            "my_service:80",
        ] {
            assert_eq!(host_pattern(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_name_no_host_are_refused() {
        for pattern in [
            "",
            "*",
            "*.com",
            "*.",
            "a*.example.com",
            "https://example.com",
            "example.com/path",
            "example.com:0",
            "example.com:65536",
            "example.com:http",
            "example..com",
            "-a.example",
            "[::1",
            "[nonsense]",
            "::1",
            "bücher.example",
            "a b.example",
        ] {
            assert!(host_pattern(pattern).is_err(), "{pattern}");
        }
    }

    fn faults_of(component: &str) -> Vec<String> {
        let text = format!("{{\"abi\":1,\"components\":[{component}]}}");
        faults(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn an_agent_says_what_it_is_and_nobody_else_does() {
        let skill = r#"{"id":"plan","name":"Plan","description":"Plans."}"#;
        let agent = |of_itself: &str| {
            let skills = format!("{{\"title\":\"T\",\"version\":\"1\"{of_itself}}}");
            faults_of(&format!("{{\"type\":\"agent\",\"name\":\"a\",\"agent\":{skills}}}"))
        };
        assert_eq!(agent(&format!(",\"skills\":[{skill}]")), [""; 0]);
        assert_eq!(agent(""), [""; 0], "an agent may have no skill");
        let extended = skill.replace("Plans.\"", "Plans.\",\"extended\":true");
        for (faulty, why) in [
            (agent(&format!(",\"skills\":[{skill},{skill}]")), "twice"),
            (agent(&format!(",\"skills\":[{extended}]")), "extended card"),
            (agent(&format!(",\"skills\":[{}]", skill.replace("plan", ""))), "without an id"),
            (agent(&format!(",\"input_modes\":[{}]", vec!["\"a\""; MAX_WORDS + 1].join(","))), "64 are allowed"),
            (agent(&format!(",\"icon_url\":\"{}\"", "u".repeat(MAX_WORD_BYTES + 1))), "shorten it"),
            (faults_of(r#"{"type":"agent","name":"a"}"#), "lacks what an agent says"),
            (faults_of(r#"{"type":"agent","name":"a","agent":{"title":"","version":"1"}}"#), "has no title"),
            (faults_of(r#"{"type":"tool","name":"t","agent":{"title":"T","version":"1"}}"#), "only agents have"),
        ] {
            assert!(faulty.len() == 1 && faulty[0].contains(why), "{why}: {faulty:?}");
        }
    }

    #[test]
    fn names_begin_with_a_letter_a_digit_or_an_underscore() {
        for name in ["order", "Order-2", "_a", "9.b", &"x".repeat(MAX_NAME_BYTES)] {
            assert!(valid_name(name), "{name}");
        }
        for name in ["", "-a", ".a", "a b", "a/b", "ä", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(!valid_name(name), "{name}");
        }
    }
}
