//! One page's shell blocks, run one after the other in one bash that stops at the first failure.
//!
//! The session begins in an empty folder with a home of its own. `127.0.0.1:PORT` in a page stands for a port that is free
//! now, and is put back into what the blocks printed before that is compared. In a terminal `bivouac` prints text, so here
//! it is told to, unless its output goes into a pipe. Whatever still runs at the end is ended with its process group.

use crate::{
    expect,
    page::{Block, Page},
};
use bivouac_testbed::artifacts;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs::{self, File, Permissions},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a page may take: one that builds a project builds what it depends on as well, the first time.
const PAGE_WITHIN: Duration = Duration::from_secs(600);

/// How long what runs in the background may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(15);

/// How often is asked whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The variable that lets a page's author see what the blocks print.
const SHOW: &str = "BOOK_SHOW";

/// Where a server listens in the pages.
const SERVER: &str = "127.0.0.1:7420";

/// The command as a session finds it: a terminal gets text, a pipe what the command itself decides.
const COMMAND: &str = r#"#!/bin/bash
[ -p /dev/stdout ] || set -- --output text "$@"
exec BIVOUAC "$@"
"#;

/// Where free ports are looked for: below those that systems give to whoever asks for any, since a port must stay free from
/// when it is chosen until the page's server takes it.
const FREE_PORTS: Range<u16> = 20_000..32_000;

/// What every session begins with.
const PRELUDE: &str = r#"
set -euo pipefail
# Waits until a URL answers with success.
answers() {
    for _ in $(seq 600); do
        if curl --silent --fail --output /dev/null "$1"; then return 0; fi
        sleep 0.1
    done
    echo "$1 does not answer" >&2
    return 1
}
"#;

/// Runs a page's shell blocks and compares what they print.
///
/// # Panics
/// Where a block fails, or prints something else than its page says.
pub(crate) fn run(page: &Page) {
    let bin = artifacts::bivouac_bin().unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = folder.path().join("state");
    let (home, work) = (folder.path().join("home"), folder.path().join("work"));
    for path in [&state, &home, &work] {
        fs::create_dir_all(path).expect("a folder for the session");
    }
    let command = state.join("bin/bivouac");
    fs::create_dir(state.join("bin")).expect("a folder for the command");
    fs::write(&command, COMMAND.replace("BIVOUAC", &bin.display().to_string())).expect("the command");
    fs::set_permissions(&command, Permissions::from_mode(0o755)).expect("the command can be executed");

    // Sessions share what cargo has built of the dependencies, and this machine's cores: one at a time.
    let cache = artifacts::target_dir().expect("the target directory").join("book");
    fs::create_dir_all(&cache).expect("a folder for what sessions build");
    let turn = File::create(cache.join("lock")).expect("the sessions' lock");
    turn.lock().expect("the sessions' lock can be waited for");

    let ports = ports(page);
    let script = script(page, &state, &ports);
    fs::write(state.join("script"), &script).expect("the session's script");

    let mut command = Command::new("bash");
    command.arg(state.join("script")).current_dir(&work).process_group(0).stdin(Stdio::null());
    command
        .stdout(File::create(state.join("out")).expect("a file for what bash says"))
        .stderr(File::options().append(true).create(true).open(state.join("err")).expect("a file for what bash says"));
    surroundings(&mut command, &state.join("bin"), &home, &cache, &ports);
    let child = command.spawn().unwrap_or_else(|error| panic!("bash cannot be started: {error}"));
    let group = Pid::from_child(&child);
    let ended = within(child, PAGE_WITHIN);
    end(group);

    let at = fs::read_to_string(state.join("at")).unwrap_or_default();
    if ended != Some(true) {
        let why = if ended.is_none() { format!("did not end within {PAGE_WITHIN:?}") } else { "failed".to_owned() };
        let block = at.trim().parse::<usize>().ok().and_then(|index| page.blocks.get(index));
        let (line, text) = block.map_or((0, "(before the first block)"), |block| (block.line, &block.text));
        panic!("{}:{line}: this block {why}:\n{text}\n{}", page.name, outputs(page, &state));
    }
    if env::var_os(SHOW).is_some() {
        println!("{}", outputs(page, &state));
    }
    compare(page, &state, &ports);
}

/// What the blocks must have printed, where the page says it.
fn compare(page: &Page, state: &Path, ports: &BTreeMap<u16, u16>) {
    for (index, pair) in page.blocks.windows(2).enumerate() {
        let [run, said] = pair else { continue };
        if said.language != "console" {
            continue;
        }
        let printed = fs::read_to_string(state.join(format!("{index}.out"))).unwrap_or_default();
        let printed = with_ports(&printed, ports.iter().map(|(page, real)| (*real, *page)));
        if let Err(line) = expect::matches(&said.text, &printed) {
            panic!(
                "{}:{}: `{}` printed something else than the page says.\nThe page's line: {line}\nPrinted:\n{printed}",
                page.name,
                said.line,
                run.text.trim_end()
            );
        }
    }
}

/// Everything that was printed, for a failure.
fn outputs(page: &Page, state: &Path) -> String {
    let mut all = fs::read_to_string(state.join("err")).unwrap_or_default();
    for (index, block) in page.blocks.iter().enumerate() {
        let printed = fs::read_to_string(state.join(format!("{index}.out"))).unwrap_or_default();
        if !printed.is_empty() {
            writeln!(all, "--- line {} printed:\n{printed}", block.line).expect("a string takes everything");
        }
    }
    all
}

/// The script: each block with its own file for what it prints.
fn script(page: &Page, state: &Path, ports: &BTreeMap<u16, u16>) -> String {
    let mut script = PRELUDE.to_owned();
    let state = state.display();
    for (index, block) in page.blocks.iter().enumerate() {
        let text = with_ports(&block.source(), ports.iter().map(|(page, real)| (*page, *real)));
        let body = match (block.value("file"), block.language.as_str()) {
            (Some(path), _) => {
                format!("mkdir -p \"$(dirname {path})\"\ncat > {path} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n")
            }
            (None, "sh") if block.is("not-run") => continue,
            (None, "sh") if block.is("background") => format!("{{ {text} }} &\n"),
            (None, "sh") => match block.value("fails") {
                Some(code) => format!(
                    "set +e\n{text}code=$?\nset -e\n[ $code = {code} ] || {{ echo \"it ended with $code, not {code}\"; exit 1; }}\n"
                ),
                None => text,
            },
            _ => continue,
        };
        let (before, said) = (format!("\necho {index} > {state}/at"), format!("{state}/{index}.out"));
        write!(script, "{before}\nexec > {said} 2>&1\n{body}said={said}\n").expect("a string takes everything");
    }
    script
}

/// A free port for each that the page names.
fn ports(page: &Page) -> BTreeMap<u16, u16> {
    let mut named = vec![SERVER.to_owned()];
    named.extend(page.blocks.iter().map(|block| block.text.clone()));
    let mut ports = BTreeMap::new();
    let mut taken = Vec::new();
    for text in &named {
        for rest in ["127.0.0.1:", "localhost:"].iter().flat_map(|host| text.split(host).skip(1)) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let Ok(port) = digits.parse::<u16>() else { continue };
            ports.entry(port).or_insert_with(|| {
                let start = FREE_PORTS.start + u16::try_from(std::process::id() % 10_000).unwrap_or_default();
                let mut bound =
                    (start..FREE_PORTS.end).filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
                let listener = bound.next().expect("a free port");
                let free = listener.local_addr().expect("a port").port();
                // Kept until all are chosen, so that no two are the same.
                taken.push(listener);
                free
            });
        }
    }
    ports
}

fn with_ports(text: &str, ports: impl Iterator<Item = (u16, u16)>) -> String {
    ports.fold(text.to_owned(), |text, (from, to)| {
        text.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"))
            .replace(&format!("localhost:{from}"), &format!("localhost:{to}"))
    })
}

/// What the session's programs find around them.
fn surroundings(command: &mut Command, bin: &Path, home: &Path, cache: &Path, ports: &BTreeMap<u16, u16>) {
    let old_home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        command.env(variable, env::var_os(variable).map_or_else(|| old_home.join(folder), PathBuf::from));
    }
    for (name, _) in env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            let cargo = name.starts_with("CARGO_") && name != "CARGO_HOME" && !name.starts_with("CARGO_NET_");
            name.starts_with("BIVOUAC_") || cargo || name.starts_with("NEXTEST") || name.starts_with("RUST_")
        });
        if ours {
            command.env_remove(name);
        }
    }
    let mut path = vec![bin.to_owned()];
    path.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    let server = format!("127.0.0.1:{}", ports[&7420]);
    command
        .env("PATH", env::join_paths(path).expect("PATH can be joined"))
        .env("HOME", home)
        .env("CARGO_TARGET_DIR", cache.join("target"))
        .env("BIVOUAC_LISTEN", &server)
        .env("BIVOUAC_SERVER", format!("http://{server}"))
        .env("NO_COLOR", "1");
}

/// Whether it ended with success; nothing where it did not end in time.
fn within(mut child: Child, limit: Duration) -> Option<bool> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more when the time is over.
        let _late = tell.send(child.wait().is_ok_and(|status| status.success()));
    });
    told.recv_timeout(limit).ok()
}

/// Ends what the session has left running.
fn end(group: Pid) {
    let deadline = Instant::now() + END_WITHIN;
    let mut signal = Signal::TERM;
    while test_kill_process_group(group).is_ok() {
        // It may have ended in between, which is what is wanted.
        let _gone = kill_process_group(group, signal);
        thread::sleep(ASK_EVERY);
        if Instant::now() > deadline {
            signal = Signal::KILL;
        }
    }
}

/// Whether a block is run.
pub(crate) fn is_run(block: &Block) -> bool {
    block.language == "sh" && !block.is("not-run")
}
