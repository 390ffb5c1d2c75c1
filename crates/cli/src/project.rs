//! `bivouac.toml`: what a project says of itself, so that nobody has to type it again.
//!
//! The nearest one counts: in the project's folder, or in one above it. Flags and environment variables win over it.

use crate::{
    failure::{Exit, Failure, Result},
    nearest::nearest,
};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file's name.
pub(crate) const FILE: &str = "bivouac.toml";
/// The largest such file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

const KEYS: &[&str] = &["name", "package", "server", "key", "environment", "grants"];
const GRANT_KEYS: &[&str] = &["hosts", "secrets", "memory"];

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Project {
    /// The service's name: who owns the routes.
    pub(crate) name: Option<String>,
    /// The cargo package that is built, where the folder holds several.
    pub(crate) package: Option<String>,
    /// The server's URL.
    pub(crate) server: Option<String>,
    /// The API key. Better kept in `BIVOUAC_KEY`, out of version control.
    pub(crate) key: Option<String>,
    /// The environment that is deployed to.
    pub(crate) environment: Option<String>,
    /// What deployments of this project are granted, where they ask for it.
    pub(crate) grants: Grants,
    /// Where it lies.
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

/// What deployments are granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Grants {
    pub(crate) hosts: Vec<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) memory: bool,
}

impl Project {
    /// The nearest file in `folder` or above; the default where there is none.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let start = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        for folder in start.ancestors() {
            let path = folder.join(FILE);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => return Self::read(path, metadata.len()),
                _ => {}
            }
        }
        Ok(Self::default())
    }

    /// The nearest file to the working directory.
    pub(crate) fn here() -> Result<Self> {
        Self::find(Path::new("."))
    }

    fn read(path: PathBuf, bytes: u64) -> Result<Self> {
        let unreadable =
            |why: String| Failure::new(Exit::Usage, format!("{} cannot be read", path.display())).why(why.trim_end());
        if bytes > MAX_BYTES {
            return Err(unreadable(format!("it has {bytes} bytes, {MAX_BYTES} are allowed")));
        }
        let text = fs::read_to_string(&path).map_err(|error: io::Error| unreadable(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| unreadable(error.to_string()))?;
        check_keys(&path, "", &table, KEYS)?;
        if let Some(grants) = table.get("grants").and_then(toml::Value::as_table) {
            check_keys(&path, "grants.", grants, GRANT_KEYS)?;
        }
        let mut project: Self = toml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        project.path = path;
        Ok(project)
    }
}

/// Refuses a key that means nothing, and names the one that was probably meant.
pub(crate) fn check_keys(path: &Path, prefix: &str, table: &toml::Table, known: &[&str]) -> Result {
    let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let hint = match nearest(key, known.iter().copied()) {
        Some(meant) => format!("did you mean `{prefix}{meant}`?"),
        None => format!("the keys are {}", known.join(", ")),
    };
    Err(Failure::usage(format!("{} has an unknown key `{prefix}{key}`", path.display()))
        .why("a key that is not known would do nothing, and nobody would notice")
        .hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Project> {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("src/deep");
        fs::create_dir_all(&inner).unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        Project::find(&inner)
    }

    #[test]
    fn the_nearest_file_above_counts() {
        let project =
            read("name = \"order\"\nserver = \"http://h\"\n[grants]\nhosts = [\"a.b\"]\nmemory = true").unwrap();
        assert_eq!(project.name.as_deref(), Some("order"));
        assert_eq!(project.grants, Grants { hosts: vec!["a.b".into()], secrets: vec![], memory: true });
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        assert_eq!(read("nmae = \"x\"").unwrap_err().hint_text(), Some("did you mean `name`?"));
        assert_eq!(read("[grants]\nhost = []").unwrap_err().hint_text(), Some("did you mean `grants.hosts`?"));
        assert!(read("something_else = 1").unwrap_err().hint_text().unwrap().contains("environment"));
    }

    #[test]
    fn a_wrong_type_says_where() {
        assert!(read("name = 3").unwrap_err().line().contains("line 1"));
    }
}
