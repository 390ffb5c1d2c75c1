//! The command against the real server, which the command itself starts.

use crate::bin::{Ended, bivouac, end, end_with_stdin};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// A program that sleeps for ten minutes.
const LONG: &str = r#"{"service":"http://127.0.0.1:9","body":[{"sleep":{"ms":600000}}]}"#;

/// A server, and the folder that it and the commands work in.
struct Server {
    child: Child,
    folder: TempDir,
    url: String,
    key: String,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more)
    }

    fn start_in(folder: TempDir, more: &[&str]) -> Self {
        let mut child = bivouac(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the server did not start: {said}");
        }
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let key = told["admin_key"].as_str().unwrap_or_default().to_owned();
        Self { child, folder, url: told["url"].as_str().unwrap().to_owned(), key }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = bivouac(self.folder.path());
        command.args(args).env("BIVOUAC_SERVER", &self.url).env("BIVOUAC_KEY", &self.key);
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        end(&mut self.command(args))
    }

    fn deploy(&self, module: &Path, more: &[&str]) -> Ended {
        self.run(&[&["deploy", module.to_str().unwrap()], more].concat())
    }

    /// Stops it as a service manager does, and gives its folder back.
    fn stop(mut self) -> TempDir {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was stopped already is no longer there to be killed.
        let _stopped = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Builds an example with the command itself, once per test run.
fn module(package: &'static str, built: &'static OnceLock<PathBuf>) -> &'static Path {
    built.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let told = end(bivouac(&root).args(["build", ".", "-p", package])).json();
        assert!(told["size"].as_u64().unwrap() > 0);
        PathBuf::from(told["path"].as_str().unwrap())
    })
}

fn hello() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    module("hello", &BUILT)
}

fn programs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    module("programs", &BUILT)
}

#[test]
fn a_module_is_deployed_run_and_looked_at() {
    let server = Server::start(&[]);
    let deployed = server.deploy(hello(), &[]).json();
    assert_eq!((&deployed["service"], &deployed["existing"]), (&"hello".into(), &false.into()));
    assert_eq!(server.deploy(hello(), &[]).json()["existing"], true);

    let input = ["run", "function/hello", "--input", r#"{"name":"Ada"}"#, "--idempotency-key", "k"];
    assert_eq!(server.run(&input).ok(), "{\"message\":\"Hello, Ada!\"}\n");
    assert_eq!(server.run(&input).json()["message"], "Hello, Ada!");
    let runs = server.run(&["runs", "ls", "--component", "function/hello", "--status", "completed"]).json();
    assert_eq!(runs["count"], 1, "the same key starts the same run");
    let id = runs["runs"][0]["run_id"].as_str().unwrap().to_owned();

    let shown = server.run(&["runs", "show", &id, "-o", "text"]).ok();
    assert!(shown.contains("status       completed") && shown.contains("\"message\": \"Hello, Ada!\""), "{shown}");
    let events = server.run(&["runs", "events", &id]).ok();
    let followed = server.run(&["runs", "events", &id, "--follow"]).ok();
    assert_eq!(events, followed);
    assert!(events.lines().last().unwrap().contains("run.completed"), "{events}");
    assert!(server.run(&["runs", "logs", &id, "-o", "text"]).ok().contains("DEBUG greeting Ada"));
    let listed = server.run(&["deployments", "ls", "-o", "text"]).ok();
    assert!(listed.contains("function/hello"), "{listed}");
    let deployment = deployed["deployment_id"].as_str().unwrap();
    assert!(server.run(&["deployments", "show", deployment, "-o", "text"]).ok().contains("Greets somebody by name."));
}

#[test]
fn a_run_that_fails_ends_with_1_and_an_unknown_one_with_3() {
    let server = Server::start(&[]);
    let said = server.run(&["run", "function/hello"]).failed(3);
    assert!(said.contains("nothing is deployed") && said.contains("COMPONENT_NOT_FOUND"), "{said}");
    server.deploy(hello(), &[]).ok();
    let said = server.run(&["run", "function/hello", "--input", r#"{"name":""}"#]).failed(1);
    assert!(said.contains("say who is to be greeted (NO_NAME)"), "{said}");
    assert!(server.run(&["run", "function/helo"]).failed(3).contains("did you mean function/hello"));
    assert!(server.run(&["runs", "show", "run_1"]).failed(3).contains("there is no such run"));
}

#[test]
fn a_sleeping_run_is_cancelled_and_survives_a_restart_before() {
    let server = Server::start(&[]);
    server.deploy(programs(), &["--grant-all"]).ok();
    let started = server.run(&["run", "workflow/program", "--input", LONG, "--detach"]).json();
    let id = started["run_id"].as_str().unwrap().to_owned();
    let key = server.key.clone();

    let mut server = Server::start_in(server.stop(), &[]);
    assert_eq!(server.key, "", "the admin key is shown once");
    server.key = key;
    server.run(&["runs", "cancel", &id, "--reason", "enough"]).ok();
    let events = server.run(&["runs", "events", &id, "--follow"]).ok();
    assert!(events.contains("run.cancel_requested") && events.lines().last().unwrap().contains("run.cancelled"));
    assert_eq!(server.run(&["runs", "show", &id]).json()["status"], "cancelled");
    assert!(server.run(&["runs", "cancel", &id]).failed(4).contains("RUN_FINISHED"));
}

#[test]
fn nothing_is_granted_unasked() {
    let server = Server::start(&[]);
    let said = server.deploy(programs(), &[]).failed(2);
    assert!(said.contains("--grant 'host=127.0.0.1:*' --grant 'host=localhost:*' --grant memory"), "{said}");
    let said = server.deploy(programs(), &["--grant", "host=elsewhere"]).failed(2);
    assert!(said.contains("`host=elsewhere` is not asked for"), "{said}");
    let planned = server.deploy(programs(), &["--partial", "--grant", "memory", "--dry-run"]).json();
    assert_eq!(planned["granted"], serde_json::json!(["memory"]));
    assert_eq!(server.run(&["deployments", "ls"]).json()["count"], 0);
    let partial = server.deploy(programs(), &["--partial"]);
    assert!(partial.stderr.contains("memory operations will fail with MEMORY_NOT_GRANTED"), "{}", partial.stderr);
    partial.ok();
    server.deploy(programs(), &["--grant-all"]).ok();
    let said = server.deploy(hello(), &["--immutable-ref", "v1", "--service", "programs"]);
    assert_eq!(said.json()["dropped"], serde_json::json!(["function/misbehave", "workflow/program"]));
    let said = server.deploy(programs(), &["--partial", "--immutable-ref", "v1"]).failed(4);
    assert!(said.contains("IMMUTABLE_REF_CONFLICT"), "{said}");
    let said = server.deploy(hello(), &["--service", "another"]).failed(4);
    assert!(said.contains("--replace-route-owners"), "{said}");
    server.deploy(hello(), &["--service", "another", "--replace-route-owners"]).ok();
}

#[test]
fn keys_open_what_their_scopes_say() {
    let server = Server::start(&[]);
    let made = server.run(&["keys", "create", "--name", "ci", "--scope", "read", "--user", "robot"]).json();
    let key = made["key"].as_str().unwrap();
    assert!(server.run(&["keys", "ls", "-o", "text"]).ok().contains("robot"));
    let with = |args: &[&str], key: &str| end(server.command(args).env("BIVOUAC_KEY", key));
    with(&["runs", "ls"], key).ok();
    assert!(with(&["secrets", "ls"], key).failed(4).contains("INSUFFICIENT_SCOPES"));
    server.run(&["keys", "revoke", key]).ok();
    assert!(with(&["runs", "ls"], key).failed(4).contains("revoked"));
    assert!(with(&["runs", "ls"], "").failed(4).contains("export BIVOUAC_KEY="));
    assert!(server.run(&["keys", "create", "--name", "x", "--scope", "everything"]).failed(2).contains("is no scope"));
}

#[test]
fn a_secret_is_listed_without_its_value() {
    let server = Server::start(&[]);
    let set = server.command(&["secrets", "set", "TOKEN", "--host", "api.example.com"]);
    end_with_stdin(&mut { set }, "very-hidden\n").ok();
    let listed = server.run(&["secrets", "ls"]).ok();
    assert!(listed.contains("TOKEN") && listed.contains("api.example.com") && !listed.contains("hidden"), "{listed}");
    server.run(&["secrets", "rm", "TOKEN"]).ok();
    server.run(&["secrets", "rm", "TOKEN"]).failed(3);
}

#[test]
fn a_second_server_is_told_who_holds_the_directory_or_the_port() {
    let server = Server::start(&[]);
    let said = end(bivouac(server.folder.path()).args(["serve", "--listen", "127.0.0.1:0"])).failed(1);
    assert!(said.contains(&format!("in use by process {}", server.child.id())), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let said = end(bivouac(folder.path()).args(["serve", "--listen", &held])).failed(1);
    assert!(said.contains(&format!("{held} is in use")) && said.contains("--listen"), "{said}");
}

#[test]
fn data_of_a_newer_build_is_refused_by_serve_and_noticed_by_doctor() {
    let folder = Server::start(&[]).stop();
    let data = folder.path().join(".bivouac");
    let database = rusqlite::Connection::open(data.join("bivouac.db")).unwrap();
    database.execute("UPDATE meta SET format = 99", []).unwrap();
    drop(database);
    let said = end(bivouac(folder.path()).args(["serve", "--listen", "127.0.0.1:0"])).failed(1);
    assert!(said.contains("format 99") && said.contains("newer build"), "{said}");
    let ended =
        end(bivouac(folder.path()).args(["doctor", "--data", ".bivouac", "-o", "text", "--server", "127.0.0.1:1"]));
    assert!(ended.stdout.contains("FAIL format"), "{}", ended.stdout);
    ended.failed(1);
}

#[test]
fn doctor_finds_all_well_and_says_what_is_not() {
    let server = Server::start(&[]);
    let told = server.run(&["doctor", "--data", ".bivouac"]).json();
    assert_eq!(told["ok"], true, "{told}");
    let ended = end(server.command(&["doctor", "-o", "text"]).env("BIVOUAC_KEY", "wrong"));
    assert!(ended.stdout.contains("FAIL key"), "{}", ended.stdout);
    ended.failed(1);
    let url = server.url.clone();
    let folder = server.stop();
    let ended = end(bivouac(folder.path()).args(["doctor", "-o", "text", "--server", &url]));
    assert!(ended.stdout.contains("FAIL server"), "{}", ended.stdout);
    ended.failed(1);
}

#[test]
fn development_needs_no_key_from_this_machine() {
    let server = Server::start(&["--dev"]);
    assert_eq!(server.key, "");
    let folder = server.folder.path();
    end(bivouac(folder).args(["runs", "ls", "--server", &server.url])).ok();
}
