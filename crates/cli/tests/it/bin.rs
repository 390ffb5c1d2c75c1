//! Runs the binary, cut off from whatever the surroundings have set.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The output where the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The output, read as JSON, where the command succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What was said on stderr, where the command ended with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The binary in a folder, without any of our variables.
pub(crate) fn bivouac(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bivouac"));
    command.current_dir(folder).stdin(Stdio::null());
    let ours = |name: &str| name.starts_with("BIVOUAC_") || name.starts_with("AGNT5_") || name.ends_with("_PROXY");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name) || matches!(name.as_str(), "RUST_LOG" | "CARGO")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    command.output().unwrap().into()
}

/// Runs a command to its end with this on stdin.
pub(crate) fn end_with_stdin(command: &mut Command, stdin: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}
