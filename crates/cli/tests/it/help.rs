//! The help of every command, word by word: read each change.

use crate::bin::{bivouac, end};

#[test]
fn help_reads_well() {
    let commands: &[&[&str]] = &[
        &[],
        &["new"],
        &["dev"],
        &["chat"],
        &["build"],
        &["deploy"],
        &["serve"],
        &["run"],
        &["runs"],
        &["runs", "ls"],
        &["runs", "show"],
        &["runs", "events"],
        &["runs", "logs"],
        &["runs", "answer"],
        &["runs", "answer"],
        &["runs", "cancel"],
        &["deployments"],
        &["deployments", "ls"],
        &["deployments", "show"],
        &["secrets"],
        &["secrets", "set"],
        &["secrets", "ls"],
        &["secrets", "rm"],
        &["keys"],
        &["keys", "create"],
        &["keys", "ls"],
        &["keys", "revoke"],
        &["doctor"],
        &["completions"],
    ];
    let folder = tempfile::tempdir().unwrap();
    for command in commands {
        let help = end(bivouac(folder.path()).args(*command).arg("--help").env("COLUMNS", "100")).ok();
        insta::assert_snapshot!(format!("help-{}", [&["bivouac"], *command].concat().join("-")), help);
    }
}

#[test]
fn a_slip_names_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    assert!(end(bivouac(folder.path()).arg("depoly")).failed(2).contains("'deploy'"));
    assert!(end(bivouac(folder.path()).args(["runs", "ls", "--staus", "x"])).failed(2).contains("'--status'"));
    assert!(end(bivouac(folder.path()).args(["completions", "bash"])).ok().contains("bivouac"));
}
