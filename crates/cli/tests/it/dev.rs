//! `bivouac dev` as somebody meets it who writes an agent: it builds, talks, changes, breaks and is mended.

use crate::{
    bin::{Ended, bivouac, end, end_with_stdin},
    new::Project,
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
};

/// The command, and what it tells in lines of JSON.
struct Dev {
    child: Child,
    told: BufReader<ChildStdout>,
    /// Read all the time, so that the compiler never waits for us.
    said: Option<JoinHandle<String>>,
    url: String,
}

impl Dev {
    fn start(project: &Project) -> Self {
        let mut command = project.bivouac(&["dev", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let said = Some(drain(child.stderr.take().unwrap()));
        let mut dev = Self { child, told, said, url: String::new() };
        dev.url = dev.wait("listening")["url"].as_str().unwrap().to_owned();
        dev
    }

    /// Reads on to the next event of this name.
    #[track_caller]
    fn wait(&mut self, event: &str) -> Value {
        loop {
            let mut line = String::new();
            if self.told.read_line(&mut line).unwrap() == 0 {
                panic!("it ended before `{event}`: {}", self.said.take().unwrap().join().unwrap());
            }
            let told: Value = serde_json::from_str(&line).unwrap();
            if told["event"] == event {
                return told;
            }
        }
    }

    /// Ends it as Ctrl-C does; gives what it said.
    fn interrupt(&mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // One that was stopped already is no longer there to be killed.
        let _stopped = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn drain(mut stderr: ChildStderr) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    })
}

fn chat(project: &Project, dev: &Dev, args: &[&str], typed: &str) -> Ended {
    end_with_stdin(project.bivouac(&["chat", "--server", &dev.url]).args(args), typed)
}

#[test]
fn an_agent_is_written_while_it_is_talked_to() {
    let project = Project::make("tea-house", "agent");
    let mut dev = Dev::start(&project);
    let first = dev.wait("deployed");
    assert_eq!(first["components"], serde_json::json!(["agent/tea-house"]));

    let card = end(bivouac(&project.path).args(["chat", "tea-huose", "--server", &dev.url])).failed(3);
    assert!(card.contains("did you mean `bivouac chat tea-house`?"), "{card}");
    let talked = chat(&project, &dev, &["-o", "text"], "A cup of Assam\nmilk\n");
    assert!(talked.stderr.contains("The kettle is on."), "{}", talked.stderr);
    let talked = talked.ok();
    for part in ["Milk, lemon, or nothing?", "--- recipe.md", "# A cup of Assam", "3. Add: milk.", "Your tea is ready."]
    {
        assert!(talked.contains(part), "`{part}` is missing: {talked}");
    }

    // A conversation that is left is taken up again, here after the agent was changed: its task goes on as it began.
    let asked = chat(&project, &dev, &["--message", "Earl Grey", "-o", "text"], "").failed(1);
    let way = asked.lines().find(|line| line.contains("--context")).unwrap();
    let context = way.split_whitespace().skip_while(|word| *word != "--context").nth(1).unwrap();
    let library = project.path.join("src/lib.rs");
    let text = fs::read_to_string(&library).unwrap();
    fs::write(&library, text.replace("Your tea is ready.", "Enjoy your tea.")).unwrap();
    let again = dev.wait("deployed");
    assert_ne!(again["deployment_id"], first["deployment_id"]);
    let answered = chat(&project, &dev, &["--context", context, "--message", "lemon", "-o", "text"], "").ok();
    assert!(answered.contains("3. Add: lemon.") && answered.contains("Your tea is ready."), "{answered}");
    let talked = chat(&project, &dev, &["tea-house", "-o", "text"], "Earl Grey\nnothing\n").ok();
    assert!(talked.contains("Enjoy your tea."), "{talked}");

    fs::write(&library, "fn broken() -> u8 { \"text\" }\n").unwrap();
    assert!(dev.wait("failed")["error"].as_str().unwrap().contains("tea-house was not built"));
    let rejected = chat(&project, &dev, &["--message", "coffee", "-o", "text"], "").failed(1);
    assert!(rejected.contains("There is only tea here."), "the deployment before goes on: {rejected}");
    fs::write(&library, text).unwrap();
    let mended = dev.wait("deployed");
    assert_eq!((&mended["existing"], &mended["deployment_id"]), (&true.into(), &first["deployment_id"]));

    let said = dev.interrupt();
    assert!(said.contains("error[E0308]: mismatched types") && said.contains("src/lib.rs:1:21"), "{said}");
    eprintln!("first: {first}\nagain: {again}");
}

#[test]
fn a_port_that_is_taken_is_told_by_whom() {
    let project = Project::make("second", "workflow");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = listener.local_addr().unwrap().to_string();
    let other = thread::spawn(move || {
        // Whoever asks what this is gets no answer.
        drop(listener.accept());
    });
    let said = end(&mut project.bivouac(&["dev", "--listen", &held])).failed(1);
    assert!(said.contains(&format!("{held} is in use")) && said.contains("bivouac dev --listen 127.0.0.1:"), "{said}");
    other.join().unwrap();
}
