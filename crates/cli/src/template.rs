//! What new projects are made of: the files under `templates/`, with a few words replaced.
//!
//! The templates are real Rust, named `my-project`; a test makes a project of each, builds it and runs its tests.

use std::str::FromStr;

/// What stands in the templates for the project's name, as a package, as Rust, and as a person writes it, and for the
/// dependency.
const NAME: &str = "my-project";
const IDENTIFIER: &str = "my_project";
const TITLE: &str = "My Project";
const DEPENDENCY: &str = "SDK";

/// A kind of project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// An agent with a skill that asks back.
    Agent,
    /// A workflow with a step and a sleep.
    Workflow,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "agent" => Ok(Self::Agent),
            "workflow" => Ok(Self::Workflow),
            "serverless-ts" => {
                Err("serverless endpoints in TypeScript are not built yet; the templates are agent and workflow".into())
            }
            _ => Err("the templates are agent and workflow".to_owned()),
        }
    }
}

impl Template {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Workflow => "workflow",
        }
    }

    /// The files of a project of this name, with what its `Cargo.toml` says of the SDK (such as `path = "/sdk"`).
    pub(crate) fn files(self, name: &str, sdk: &str) -> Vec<(&'static str, String)> {
        let (library, readme) = match self {
            Self::Agent => (include_str!("../templates/agent/lib.rs"), include_str!("../templates/agent/README.md")),
            Self::Workflow => {
                (include_str!("../templates/workflow/lib.rs"), include_str!("../templates/workflow/README.md"))
            }
        };
        let named =
            |text: &str| text.replace(NAME, name).replace(IDENTIFIER, &identifier(name)).replace(TITLE, &title(name));
        vec![
            ("Cargo.toml", named(&include_str!("../templates/common/Cargo.toml.in").replace(DEPENDENCY, sdk))),
            ("src/lib.rs", named(library)),
            ("src/main.rs", named(include_str!("../templates/common/main.rs"))),
            ("bivouac.toml", named(include_str!("../templates/common/bivouac.toml"))),
            (".gitignore", include_str!("../templates/common/gitignore.in").to_owned()),
            ("README.md", named(readme)),
        ]
    }
}

/// The name as Rust writes it.
pub(crate) fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

/// The name as a person writes it: `My Agent` for `my-agent`.
fn title(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    };
    name.split(['-', '_']).filter(|part| !part.is_empty()).map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_templates_own_names_is_left() {
        for template in [Template::Agent, Template::Workflow] {
            for (file, text) in template.files("tea-time", "path = \"/sdk\"") {
                assert!(![NAME, IDENTIFIER, TITLE, "{ SDK"].iter().any(|own| text.contains(own)), "{file}: {text}");
            }
        }
    }
}
