//! The server's configuration: flags and `BIVOUAC_...` variables over `bivouac-server.toml` over the defaults.
//!
//! One list of options serves all three: [`Options`] is what the flags are made of, its names are the file's keys. What
//! they mean and what they default to is the server's business.

use crate::{
    failure::{Exit, Failure, Result},
    nearest::nearest,
    output,
    project::check_keys,
};
use bivouac_server::Config;
use clap::{Args, Command};
use serde::Serialize;
use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The file's name.
pub(crate) const FILE: &str = "bivouac-server.toml";
/// The largest such file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Variables that are not options of the server's, and may be set where it starts.
const OTHER_VARIABLES: &[&str] =
    &["BIVOUAC_CONFIG", "BIVOUAC_SDK_PATH", "BIVOUAC_SERVER", "BIVOUAC_KEY", "BIVOUAC_ADMIN_KEY", "BIVOUAC_MASTER_KEY"];

/// What can be set, each as a flag, a variable and a key of the file.
#[derive(Clone, Debug, Default, Args, Serialize)]
pub(crate) struct Options {
    /// Where to listen [default: 127.0.0.1:7420]
    #[arg(long, env = "BIVOUAC_LISTEN", hide_env = true, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The data directory [default: .bivouac]
    #[arg(long, env = "BIVOUAC_DATA", hide_env = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Development: no key needed from loopback, and loopback granted to every deployment
    #[arg(long, env = "BIVOUAC_DEV", hide_env = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) dev: Option<bool>,
    /// Whether commits reach the disk; without, a crash loses everything. For measurements [default: true]
    #[arg(long, env = "BIVOUAC_DURABLE", hide_env = true, value_name = "BOOL")]
    durable: Option<bool>,
    /// Whether payloads are encrypted on disk; secrets always are [default: false]
    #[arg(long, env = "BIVOUAC_ENCRYPT_PAYLOADS", hide_env = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    encrypt_payloads: Option<bool>,
    /// Private addresses or networks that granted hosts may lead to, such as 10.1.0.0/16; comma-separated
    #[arg(long, env = "BIVOUAC_ALLOW_ADDRESSES", hide_env = true, value_name = "NETWORK", value_delimiter = ',')]
    allow_addresses: Option<Vec<String>>,
    /// The most slices that execute at once [default: 512]
    #[arg(long, env = "BIVOUAC_MAX_SLICES", hide_env = true, value_name = "N")]
    max_slices: Option<usize>,
    /// The most runs that wait before new ones are refused with 429 [default: 8192]
    #[arg(long, env = "BIVOUAC_MAX_QUEUE", hide_env = true, value_name = "N")]
    max_queue: Option<usize>,
    /// Executor threads; 0 is one per core [default: 0]
    #[arg(long, env = "BIVOUAC_EXECUTORS", hide_env = true, value_name = "N")]
    executors: Option<usize>,
    /// The most memory of one guest [default: 67108864]
    #[arg(long, env = "BIVOUAC_GUEST_MEMORY", hide_env = true, value_name = "BYTES")]
    guest_memory: Option<usize>,
    /// The most CPU time of one turn [default: 1000]
    #[arg(long, env = "BIVOUAC_TURN_CPU_MS", hide_env = true, value_name = "MS")]
    turn_cpu_ms: Option<u64>,
    /// The largest module [default: 16777216]
    #[arg(long, env = "BIVOUAC_MAX_MODULE", hide_env = true, value_name = "BYTES")]
    max_module: Option<usize>,
    /// The largest request body besides modules [default: 4194304]
    #[arg(long, env = "BIVOUAC_MAX_BODY", hide_env = true, value_name = "BYTES")]
    max_body: Option<usize>,
    /// The largest response that an `http` effect takes [default: 4194304]
    #[arg(long, env = "BIVOUAC_MAX_RESPONSE", hide_env = true, value_name = "BYTES")]
    max_response: Option<usize>,
    /// How long `run` requests wait for the end before they answer 202 [default: 30000]
    #[arg(long, env = "BIVOUAC_RUN_WAIT_MS", hide_env = true, value_name = "MS")]
    run_wait_ms: Option<u64>,
    /// How long a shutdown waits for requests in flight [default: 10000]
    #[arg(long, env = "BIVOUAC_SHUTDOWN_MS", hide_env = true, value_name = "MS")]
    shutdown_ms: Option<u64>,
    /// The environment whose agents are found without a key [default: default]
    #[arg(long, env = "BIVOUAC_PUBLIC_ENVIRONMENT", hide_env = true, value_name = "NAME")]
    public_environment: Option<String>,
    /// Whether the cards of that environment's agents need no key [default: true]
    #[arg(long, env = "BIVOUAC_PUBLIC_CARDS", hide_env = true, value_name = "BOOL")]
    public_cards: Option<bool>,
    /// Where the server is reached from outside, such as `https://agents.example.com`: what cards name
    #[arg(long, env = "BIVOUAC_PUBLIC_ORIGIN", hide_env = true, value_name = "URL")]
    public_origin: Option<String>,
    /// The agent whose card lies at the root, where there are several
    #[arg(long, env = "BIVOUAC_DEFAULT_AGENT", hide_env = true, value_name = "NAME")]
    default_agent: Option<String>,
    /// How logs are written [default: text]
    #[arg(long, env = "BIVOUAC_LOG_FORMAT", hide_env = true, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
}

impl Options {
    /// The names of all options, as the file writes them.
    fn names() -> Vec<String> {
        let command = Self::augment_args(Command::new("options"));
        command.get_arguments().map(|argument| argument.get_id().to_string()).collect()
    }
}

/// The configuration: flags and variables (clap has read both) over the file's keys over the defaults.
pub(crate) fn load(options: &Options, file: Option<&Path>) -> Result<Config> {
    let mut table = match file {
        Some(path) => read(path)?,
        None if Path::new(FILE).is_file() => read(Path::new(FILE))?,
        None => toml::Table::new(),
    };
    let set = toml::Table::try_from(options)
        .map_err(|error| Failure::usage("an option cannot be used").why(error.to_string()))?;
    table.extend(set);
    let from = file.unwrap_or_else(|| Path::new(FILE)).display().to_string();
    table.try_into().map_err(|error: toml::de::Error| {
        Failure::usage("the configuration cannot be used").why(format!("{from}: {}", error.message()))
    })
}

fn read(path: &Path) -> Result<toml::Table> {
    let unreadable =
        |exit, why: String| Failure::new(exit, format!("{} cannot be read", path.display())).why(why.trim_end());
    let bytes = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => unreadable(Exit::NotFound, error.to_string()),
        _ => unreadable(Exit::Failed, error.to_string()),
    })?;
    if bytes.len() > MAX_BYTES {
        return Err(unreadable(Exit::Usage, format!("it has {} bytes, {MAX_BYTES} are allowed", bytes.len())));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(Exit::Failed, error.to_string()))?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| unreadable(Exit::Usage, error.to_string()))?;
    let names = Options::names();
    check_keys(path, "", &table, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    // Said with the line where it stands, which the merged table no longer knows.
    toml::from_str::<Config>(&text).map_err(|error| unreadable(Exit::Usage, error.to_string()))?;
    Ok(table)
}

/// Warns of `BIVOUAC_...` variables that nothing reads: a slip there would do nothing, and nobody would notice.
pub(crate) fn warn_of_unknown_variables() {
    let known: Vec<String> = Options::names().iter().map(|name| format!("BIVOUAC_{}", name.to_uppercase())).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).chain(OTHER_VARIABLES.iter().copied()).collect();
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("BIVOUAC_") && !known.contains(name)) else {
            continue;
        };
        let meant =
            nearest(name, known.iter().copied()).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        output::warn(&format!("the variable {name} means nothing{meant}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, options: &Options) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, text).unwrap();
        load(options, Some(&path))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let options = Options { max_slices: Some(7), ..Options::default() };
        let config = load_text("max_slices = 3\nmax_queue = 5\nlisten = \"[::1]:99\"", &options).unwrap();
        assert_eq!((config.max_slices, config.max_queue, config.max_body), (7, 5, Config::default().max_body));
        assert_eq!(config.listen.to_string(), "[::1]:99");
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let failure = load_text("lisen = \"x\"", &Options::default()).unwrap_err();
        assert_eq!(failure.hint_text(), Some("did you mean `listen`?"));
    }

    #[test]
    fn a_wrong_value_says_where_it_stands() {
        let failure = load_text("dev = true\nmax_queue = \"many\"", &Options::default()).unwrap_err();
        assert!(failure.line().contains("line 2"), "{}", failure.line());
    }

    #[test]
    fn every_option_of_the_server_is_a_flag_and_the_other_way_round() {
        let error = toml::from_str::<Config>("no_such_option = 1").unwrap_err().to_string();
        let listed = error.split("expected one of").nth(1).expect("serde lists the fields");
        let mut keys: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        let mut names = Options::names();
        keys.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, keys);
    }
}
