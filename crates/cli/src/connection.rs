//! Which server, with which key: flags first, then the environment, then `bivouac.toml`, then this machine.

use crate::{
    cli::Globals,
    failure::{Failure, Result},
    project::Project,
};
use reqwest::Url;
use std::env;

/// Where a server listens unless told otherwise.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:7420";
/// Names of the server's variable, the second for clients of other tools.
const SERVER_VARIABLES: [&str; 2] = ["BIVOUAC_SERVER", "AGNT5_GATEWAY_URL"];
/// Names of the key's variable, the second for clients of other tools.
const KEY_VARIABLES: [&str; 2] = ["BIVOUAC_KEY", "AGNT5_API_KEY"];

/// A server, and what opens it.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) server: Url,
    /// Where the address came from, for error texts.
    pub(crate) server_from: String,
    pub(crate) key: Option<String>,
    /// Where the key came from, for error texts.
    pub(crate) key_from: String,
}

impl Connection {
    /// Finds the server and the key.
    pub(crate) fn resolve(globals: &Globals, project: &Project) -> Result<Self> {
        let file = project.path.display().to_string();
        let (server, server_from) =
            first(globals.server.as_deref(), "--server", SERVER_VARIABLES, project.server.as_deref(), &file)
                .unwrap_or_else(|| (DEFAULT_SERVER.to_owned(), "the default".to_owned()));
        let (key, key_from) =
            first(globals.key.as_deref(), "--key", KEY_VARIABLES, project.key.as_deref(), &file).unzip();
        Ok(Self { server: parse(&server, &server_from)?, server_from, key, key_from: key_from.unwrap_or_default() })
    }
}

/// The first of flag, variables, file that says something, with its name.
fn first(
    flag: Option<&str>,
    flag_name: &str,
    variables: [&str; 2],
    in_file: Option<&str>,
    file: &str,
) -> Option<(String, String)> {
    let from_variable = || {
        let set = |name: &&str| env::var(name).ok().map(|value| (value, (*name).to_owned()));
        variables.iter().find_map(|name| set(name).filter(|(value, _)| !value.trim().is_empty()))
    };
    flag.map(|value| (value.to_owned(), flag_name.to_owned()))
        .or_else(from_variable)
        .or_else(|| in_file.map(|value| (value.to_owned(), file.to_owned())))
        .map(|(value, from)| (value.trim().to_owned(), from))
}

/// Reads an address; `host:port` alone means plain HTTP.
fn parse(text: &str, from: &str) -> Result<Url> {
    let wrong = |why: String| {
        Failure::usage(format!("the server's address `{text}` ({from}) cannot be used"))
            .why(why)
            .hint(format!("an address looks like {DEFAULT_SERVER}"))
    };
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&full).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("only http and https lead to a server".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment".to_owned()));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_may_lack_its_scheme_and_have_a_trailing_slash() {
        assert_eq!(parse("127.0.0.1:7420", "").unwrap().as_str(), "http://127.0.0.1:7420/");
        assert_eq!(parse("localhost:1/", "").unwrap().as_str(), "http://localhost:1/");
        assert_eq!(parse("https://x.example/base/", "").unwrap().as_str(), "https://x.example/base");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["", "ftp://x", "http://", "http://x?y=1", "not an address"] {
            assert!(parse(text, "--server").unwrap_err().hint_text().unwrap().contains("7420"), "{text}");
        }
    }
}
