//! New projects: what is written builds, passes its tests, and is as rustfmt would have it.

use crate::bin::{bivouac, end};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A project that was just made.
pub(crate) struct Project {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Project {
    pub(crate) fn make(name: &str, template: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = end(bivouac(folder.path()).args(["new", name, "--template", template])).json();
        assert_eq!((&made["name"], &made["template"]), (&name.into(), &template.into()));
        let path = folder.path().join(name);
        Self { _folder: folder, path }
    }

    /// The command in the project's folder.
    pub(crate) fn bivouac(&self, args: &[&str]) -> Command {
        let mut command = bivouac(&self.path);
        build_where_others_do(&mut command);
        command.args(args);
        command
    }

    fn cargo(&self, args: &[&str]) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        build_where_others_do(&mut cargo);
        cargo.current_dir(&self.path).args(args).output().unwrap()
    }
}

/// Dependencies are built once for all tests, of the versions that are there already.
fn build_where_others_do(command: &mut Command) {
    let target = Path::new(env!("CARGO_BIN_EXE_bivouac")).ancestors().nth(2).unwrap();
    command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_new_project_of_each_template_builds_and_passes_its_tests() {
    for (template, component) in [("workflow", "workflow/first_try"), ("agent", "agent/first-try")] {
        let project = Project::make("first-try", template);
        let tested = succeeded(&project.cargo(&["test"]));
        assert!(tested.contains("test tests::"), "its tests have run: {tested}");
        succeeded(&project.cargo(&["fmt", "--check"]));
        let built = end(&mut project.bivouac(&["build"])).json();
        assert_eq!(built["components"], serde_json::json!([component]));
        // The native program, but for what it links: that is the server, which other tests build.
        let metadata = succeeded(&project.cargo(&["metadata", "--no-deps", "--format-version", "1"]));
        let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        let targets = metadata["packages"][0]["targets"].as_array().unwrap();
        assert!(
            targets.iter().any(|target| target["kind"][0] == "bin" && target["name"] == "first-try"),
            "{targets:?}"
        );
    }
}

#[test]
fn nothing_of_anybodys_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/notes.txt"), "mine").unwrap();
    let said = end(bivouac(folder.path()).args(["new", "mine"])).failed(4);
    assert!(said.contains("the folder is not empty"), "{said}");
    assert_eq!(fs::read_dir(folder.path().join("mine")).unwrap().count(), 1);
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(end(bivouac(folder.path()).args(["new", "file"])).failed(4).contains("it is a file"));
}

#[test]
fn what_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let new = |args: &[&str]| end(bivouac(folder.path()).arg("new").args(args));
    let said = new(&["MyAgent"]).failed(2);
    assert!(said.contains("lower-case letters") && said.contains("bivouac new my-agent"), "{said}");
    let said = new(&["x", "--template", "serverless-ts"]).failed(2);
    assert!(said.contains("not built yet; the templates are agent and workflow"), "{said}");
    let said = new(&["x", "--sdk-path", "/no/such/checkout"]).failed(3);
    assert!(said.contains("the SDK is not at /no/such/checkout"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of what was not made");
}
