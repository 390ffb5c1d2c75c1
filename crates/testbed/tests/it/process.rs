//! Processes, with the shell as the program under test.

use bivouac_testbed::{
    Process, Shop,
    process::{folder_bytes, free_address, get},
};
use std::{net::SocketAddr, os::unix::process::ExitStatusExt as _, process::Command, time::Duration};

const SOON: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_millis(1);

#[test]
fn a_line_is_waited_for_on_either_stream() {
    let mut process = shell("echo one; echo listening on 7420 >&2; read line < /dev/null; echo two");
    assert_eq!(process.wait_for_line("listening", SOON).unwrap(), "listening on 7420");
    assert!(process.wait(SOON).unwrap().success());
    let output = process.output();
    assert!(output.contains("one\n") && output.contains("two\n"), "{output}");
}

#[test]
fn a_wait_ends_with_the_program_and_says_what_it_printed() {
    let mut process = shell("echo the port is taken >&2; exit 3");
    let failure = process.wait_for_line("ready", SOON).unwrap_err().to_string();
    assert!(failure.contains("it ended and never print `ready`"), "{failure}");
    assert!(failure.contains("the port is taken"), "{failure}");

    let mut process = shell("exit 3");
    let failure = process.wait_ready(free_address().unwrap(), SOON).unwrap_err().to_string();
    assert!(failure.contains("ended with exit status: 3 before it was ready"), "{failure}");
}

#[test]
fn a_program_is_ready_when_its_address_says_so() {
    let shop = Shop::start().unwrap();
    let address: SocketAddr = shop.origin().trim_start_matches("http://").parse().unwrap();
    let mut process = shell("exec tail -f /dev/null");
    process.wait_ready(address, SOON).unwrap();
    shop.refuse("/ready");
    assert_eq!(get(address, "/ready").unwrap(), 409);
    let failure = process.wait_ready(address, NEVER).unwrap_err().to_string();
    assert!(failure.contains("/ready does not answer 200"), "{failure}");
}

#[test]
fn a_program_is_killed_at_once_or_asked_to_end() {
    let endless = "trap 'echo bye; exit 0' TERM; echo up; while :; do read -t 1 line < /dev/zero; done";
    let mut process = shell(endless);
    process.wait_for_line("up", SOON).unwrap();
    assert!(process.terminate(SOON).unwrap().success());
    assert!(process.output().contains("bye"));

    let mut process = shell(endless);
    process.wait_for_line("up", SOON).unwrap();
    assert_eq!(process.kill().unwrap().signal(), Some(9));
    assert!(!process.output().contains("bye"));
}

#[test]
fn a_dropped_process_is_gone() {
    let process = shell("exec tail -f /dev/null");
    let folder = format!("/proc/{}", process.id());
    assert!(process.peak_memory().unwrap() > 0);
    drop(process);
    assert!(!std::path::Path::new(&folder).exists());
}

#[test]
fn a_folder_is_measured_with_what_lies_below() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    std::fs::write(folder.path().join("a"), [0; 10]).unwrap();
    std::fs::write(folder.path().join("below/b"), [0; 5]).unwrap();
    assert_eq!(folder_bytes(folder.path()).unwrap(), 15);
}

fn shell(script: &str) -> Process {
    Process::spawn(Command::new("bash").args(["-c", script])).unwrap()
}
