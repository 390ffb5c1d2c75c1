//! What a deployment is granted of what its module asks for.
//!
//! A module gets nothing by asking. What is granted comes from `--grant`, from `bivouac.toml`, or from a person who is
//! asked; where none of them settles it, nothing is deployed, and the flags that would settle it are named.

use crate::{
    failure::{Failure, Result},
    nearest::nearest,
    output::{self, Style},
    project,
};
use bivouac_protocol::manifest::Capabilities;
use std::{
    collections::BTreeSet,
    fmt,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    str::FromStr,
};

/// One thing that can be asked for and granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// Requests to a host.
    Host(String),
    /// Use of a secret.
    Secret(String),
    /// Memory.
    Memory,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "host={host}"),
            Self::Secret(name) => write!(f, "secret={name}"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some(("host", host)) if !host.is_empty() => Ok(Self::Host(host.to_owned())),
            Some(("secret", name)) if !name.is_empty() => Ok(Self::Secret(name.to_owned())),
            None if text == "memory" => Ok(Self::Memory),
            _ => Err("a grant is host=HOST, secret=NAME or memory".to_owned()),
        }
    }
}

impl Grant {
    /// What it means to a person.
    fn meaning(&self) -> String {
        match self {
            Self::Host(host) => format!("send HTTP requests to {host}"),
            Self::Secret(name) => format!("use the secret {name} in requests"),
            Self::Memory => "keep memory between runs".to_owned(),
        }
    }

    /// What happens without it.
    pub(crate) fn without(&self) -> String {
        match self {
            Self::Host(host) => format!("requests to {host} will fail with HOST_NOT_GRANTED"),
            Self::Secret(name) => format!("requests that use the secret {name} will fail with SECRET_NOT_GRANTED"),
            Self::Memory => "memory operations will fail with MEMORY_NOT_GRANTED".to_owned(),
        }
    }
}

/// What a module asks for.
pub(crate) fn asked(capabilities: &Capabilities) -> BTreeSet<Grant> {
    let hosts = capabilities.hosts.iter().cloned().map(Grant::Host);
    let secrets = capabilities.secrets.iter().cloned().map(Grant::Secret);
    hosts.chain(secrets).chain(capabilities.memory.then_some(Grant::Memory)).collect()
}

/// What `bivouac.toml` grants.
fn in_file(grants: &project::Grants) -> BTreeSet<Grant> {
    asked(&Capabilities { hosts: grants.hosts.clone(), secrets: grants.secrets.clone(), memory: grants.memory })
}

/// What the flags say.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct GrantArgs {
    /// Grant something that the module asks for: host=HOST, secret=NAME or memory; repeatable
    #[arg(long, value_name = "GRANT")]
    pub(crate) grant: Vec<Grant>,
    /// Grant everything that the module asks for
    #[arg(long, conflicts_with = "partial")]
    pub(crate) grant_all: bool,
    /// Deploy although not everything asked for is granted; what is not granted fails when it is used
    #[arg(long)]
    pub(crate) partial: bool,
}

/// What is granted in the end, and what is left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) granted: BTreeSet<Grant>,
    pub(crate) refused: BTreeSet<Grant>,
}

/// Puts what is open to a person, who says what of it is granted.
pub(crate) type Ask<'a> = &'a dyn Fn(&BTreeSet<Grant>) -> Result<BTreeSet<Grant>>;

/// Settles what a module is granted. `ask` puts the open ones to a person, where there is one.
pub(crate) fn settle(
    asked: &BTreeSet<Grant>,
    args: &GrantArgs,
    file: &project::Grants,
    ask: Option<Ask<'_>>,
) -> Result<Settled> {
    for grant in &args.grant {
        if !asked.contains(grant) {
            return Err(not_asked_for(grant, asked));
        }
    }
    let mut granted: BTreeSet<Grant> = args.grant.iter().cloned().collect();
    // The file speaks for all versions of the project: what this one does not ask for is not needed now.
    granted.extend(in_file(file).intersection(asked).cloned());
    if args.grant_all {
        granted.extend(asked.iter().cloned());
    }
    let mut open: BTreeSet<Grant> = asked.difference(&granted).cloned().collect();
    if !open.is_empty() && !args.partial {
        let Some(ask) = ask else { return Err(undecided(&open)) };
        granted.extend(ask(&open)?);
        open = asked.difference(&granted).cloned().collect();
    }
    Ok(Settled { granted, refused: open })
}

fn not_asked_for(grant: &Grant, asked: &BTreeSet<Grant>) -> Failure {
    let names: Vec<String> = asked.iter().map(ToString::to_string).collect();
    let failure =
        Failure::usage(format!("the grant `{grant}` is not asked for by the module")).why(if names.is_empty() {
            "it asks for nothing".to_owned()
        } else {
            format!("it asks for {}", names.join(", "))
        });
    match nearest(&grant.to_string(), names.iter().map(String::as_str)) {
        Some(meant) => failure.hint(format!("did you mean `--grant {meant}`?")),
        None => failure.hint("leave it out, or ask for it in the project's `configure`"),
    }
}

fn undecided(open: &BTreeSet<Grant>) -> Failure {
    let flags: Vec<String> = open.iter().map(|grant| format!("--grant {}", quoted(&grant.to_string()))).collect();
    let asks: Vec<String> = open.iter().map(Grant::meaning).collect();
    Failure::usage("nothing was deployed: the module asks for more than is granted")
        .why(format!("it wants to {}; and nobody can be asked here", asks.join(", to ")))
        .hint(format!(
            "{}\n(or --grant-all; or --partial to deploy without; or [grants] in bivouac.toml)",
            flags.join(" ")
        ))
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    if word.contains(['*', '[', ']', '?', ' ', '\'']) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.to_owned()
    }
}

/// Whether somebody can be asked.
pub(crate) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Puts what is open to the person at the terminal.
pub(crate) fn ask_person(open: &BTreeSet<Grant>) -> Result<BTreeSet<Grant>> {
    let style = Style::stderr();
    output::note("The module asks for:");
    for grant in open {
        output::note(&format!(
            "  {:<32} {}",
            style.bold(&output::plain(&grant.to_string())),
            output::plain(&grant.meaning())
        ));
    }
    let quit = || Failure::usage("nothing was deployed").why("you chose to quit");
    loop {
        match question("Grant it? [a]ll, [o]ne by one, [n]one (it fails when used), [q]uit: ")?.as_str() {
            "a" | "all" | "y" | "yes" => return Ok(open.clone()),
            "n" | "none" | "no" => return Ok(BTreeSet::new()),
            "o" | "one" => break,
            "q" | "quit" => return Err(quit()),
            _ => {}
        }
    }
    let mut granted = BTreeSet::new();
    for grant in open {
        loop {
            match question(&format!("Grant {}? [y/n]: ", output::plain(&grant.to_string())))?.as_str() {
                "y" | "yes" => {
                    granted.insert(grant.clone());
                    break;
                }
                "n" | "no" => break,
                "q" | "quit" => return Err(quit()),
                _ => {}
            }
        }
    }
    Ok(granted)
}

fn question(text: &str) -> Result<String> {
    let unanswered = |why: String| Failure::usage("nothing was deployed: the question was not answered").why(why);
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).map_err(|error| unanswered(error.to_string()))?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(|error| unanswered(error.to_string()))?;
    if read == 0 {
        return Err(unanswered("the input ended".to_owned()));
    }
    Ok(line.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> BTreeSet<Grant> {
        [Grant::Host("*.example.com".into()), Grant::Secret("TOKEN".into()), Grant::Memory].into()
    }

    fn args(grants: &[&str]) -> GrantArgs {
        GrantArgs { grant: grants.iter().map(|grant| grant.parse().unwrap()).collect(), ..GrantArgs::default() }
    }

    #[test]
    fn flags_and_file_together_settle_it() {
        let file = project::Grants { hosts: vec!["*.example.com".into(), "other".into()], ..Default::default() };
        let settled = settle(&wanted(), &args(&["memory", "secret=TOKEN"]), &file, None).unwrap();
        assert_eq!(settled, Settled { granted: wanted(), refused: BTreeSet::new() });
    }

    #[test]
    fn what_is_open_without_a_person_names_the_exact_flags() {
        let failure = settle(&wanted(), &args(&["memory"]), &project::Grants::default(), None).unwrap_err();
        let hint = failure.hint_text().unwrap().to_owned();
        assert!(hint.starts_with("--grant 'host=*.example.com' --grant secret=TOKEN\n"), "{hint}");
    }

    #[test]
    fn a_person_is_asked_only_for_what_is_open() {
        let ask = |open: &BTreeSet<Grant>| {
            assert_eq!(
                open.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ["host=*.example.com", "secret=TOKEN"]
            );
            Ok([Grant::Secret("TOKEN".into())].into())
        };
        let settled = settle(&wanted(), &args(&["memory"]), &project::Grants::default(), Some(&ask)).unwrap();
        assert_eq!(settled.refused, [Grant::Host("*.example.com".into())].into());
    }

    #[test]
    fn partial_deploys_without_asking() {
        let args = GrantArgs { partial: true, ..GrantArgs::default() };
        assert_eq!(settle(&wanted(), &args, &project::Grants::default(), None).unwrap().refused, wanted());
    }

    #[test]
    fn a_grant_that_is_not_asked_for_names_the_nearest_one() {
        let failure = settle(&wanted(), &args(&["secret=TOKNE"]), &project::Grants::default(), None).unwrap_err();
        assert_eq!(failure.hint_text(), Some("did you mean `--grant secret=TOKEN`?"));
    }
}
