//! Mistakes in projects and files, found before anything is built or sent.

use crate::{
    bin::{bivouac, end},
    fake::Fake,
};
use std::{fs, path::Path};

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_path_without_a_project_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let said = end(bivouac(folder.path()).arg("build")).failed(3);
    assert!(said.contains("the folder has no Cargo.toml"), "{said}");
    let said = end(bivouac(folder.path()).args(["deploy", "--dry-run", "no/such/thing"])).failed(3);
    assert!(said.contains("there is no such file or folder"), "{said}");
    write(folder.path(), "main.rs", "");
    let said = end(bivouac(folder.path()).args(["build", "main.rs"])).failed(2);
    assert!(said.contains("neither a folder with a Cargo.toml nor a .wasm"), "{said}");
    let said = end(bivouac(folder.path()).args(["deploy", "--dry-run", "missing.wasm"])).failed(3);
    assert!(said.contains("missing.wasm cannot be read"), "{said}");
}

#[test]
fn a_package_that_makes_no_module_is_told_what_to_add() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "Cargo.toml", "[package]\nname = \"plain\"\nversion = \"0.1.0\"\n[workspace]\n");
    write(folder.path(), "src/lib.rs", "");
    let said = end(bivouac(folder.path()).arg("build")).failed(2);
    assert!(said.contains("crate-type = [\"cdylib\", \"rlib\"]"), "{said}");
    let said = end(bivouac(folder.path()).args(["build", "-p", "other"])).failed(3);
    assert!(said.contains("`other` is not in this workspace"), "{said}");
}

#[test]
fn errors_of_the_compiler_are_shown_as_it_prints_them() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    write(folder.path(), "Cargo.toml", manifest);
    write(folder.path(), "src/lib.rs", "fn f() -> u8 { \"text\" }\n");
    let said = end(bivouac(folder.path()).arg("build").env_remove("CARGO_TARGET_DIR")).failed(1);
    assert!(said.contains("error[E0308]: mismatched types") && said.contains("src/lib.rs:1:16"), "{said}");
    assert!(said.contains("error: broken was not built"), "{said}");
}

#[test]
fn a_module_that_no_server_takes_is_refused_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "text.wasm", "not a module");
    let server = Fake::always(200, r#"{"status":"ok"}"#);
    let said = end(bivouac(folder.path()).args(["deploy", "text.wasm", "--server", &server.url])).failed(1);
    assert!(said.contains("not a module that a server accepts") && said.contains("MODULE_INVALID"), "{said}");
    assert_eq!(server.requests().len(), 1, "only whether the server is there was asked");
}

#[test]
fn a_server_that_is_not_there_is_noticed_before_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let said = end(bivouac(folder.path()).args(["deploy", "--server", "127.0.0.1:1"])).failed(5);
    assert!(said.contains("nothing was deployed") && said.contains("bivouac serve"), "{said}");
}

#[test]
fn a_slip_in_bivouac_toml_names_the_key_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "bivouac.toml", "sever = \"http://127.0.0.1:1\"\n");
    let said = end(bivouac(folder.path()).args(["runs", "ls"])).failed(2);
    assert!(said.contains("unknown key `sever`") && said.contains("did you mean `server`?"), "{said}");
}

#[test]
fn a_slip_in_the_servers_configuration_names_the_key_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "bivouac-server.toml", "max_queu = 3\n");
    let said = end(bivouac(folder.path()).arg("serve")).failed(2);
    assert!(said.contains("bivouac-server.toml has an unknown key `max_queu`"), "{said}");
    assert!(said.contains("did you mean `max_queue`?"), "{said}");
    write(folder.path(), "bivouac-server.toml", "max_queue = \"many\"\n");
    let said = end(bivouac(folder.path()).arg("serve")).failed(2);
    assert!(said.contains("line 1") && said.contains("usize"), "{said}");
    let said = end(bivouac(folder.path()).args(["serve", "--config", "other.toml"])).failed(3);
    assert!(said.contains("other.toml cannot be read"), "{said}");
}
