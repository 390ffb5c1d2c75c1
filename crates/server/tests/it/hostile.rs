//! Modules that are wrong or do wrong: each ends in its own error, and the server goes on.

use crate::local::{Local, SOON};
use serde_json::{Value, json};

/// The largest module that the server of these tests takes.
const MAX_MODULE: usize = 2 << 20;
/// A module's memory that the server of these tests gives.
const MEMORY: usize = 48 << 20;

#[test]
fn a_module_that_cannot_be_used_is_refused_with_its_reason_and_the_next_one_is_taken() {
    let local = small();
    for (what, module, status, code, says) in refused() {
        let path = "/api/deployments?service=hostile&immutable_ref=v1";
        let answer = local.api().post(path, &[("content-type", "application/wasm")], &module).unwrap();
        let error = answer.json();
        assert_eq!((answer.status, error["error_code"].as_str()), (status, Some(code)), "{what}: {}", answer.text());
        let text = error["error"].as_str().unwrap();
        assert!(text.contains(says), "{what}: `{text}` does not say `{says}`");
        assert_eq!(local.api().get("/ready").unwrap().status, 200, "{what}");
    }
    local.deploy("hello", &[]);
    let answer = local.api().run("functions/hello", &json!({ "name": "Ada" })).unwrap();
    assert_eq!(answer.json()["output"], json!({ "message": "Hello, Ada!" }), "{}", answer.text());
}

#[test]
fn a_component_that_does_wrong_fails_its_run_alone() {
    let local = small();
    local.deploy("programs", &["memory", "host=127.0.0.1:*"]);
    for (how, code) in [
        ("panic", "GUEST_TRAPPED"),
        ("late_panic", "GUEST_TRAPPED"),
        ("endless_loop", "CPU_LIMIT"),
        ("memory_bomb", "MEMORY_LIMIT"),
        ("deep_recursion", "STACK_OVERFLOW"),
        ("foreign_future", "FOREIGN_FUTURE"),
        ("concurrent_scope", "CONCURRENT_SCOPE"),
        ("endless_wake", "CPU_LIMIT"),
        ("huge_step", "STEP_TOO_LARGE"),
        ("many_effects", "TOO_MANY_EFFECTS"),
        ("many_notes", "TOO_MANY_NOTES"),
        ("ungranted_host", "HOST_NOT_GRANTED"),
    ] {
        let answer = local.api().run("functions/misbehave", &json!(how)).unwrap();
        let run = answer.json();
        assert_eq!((&run["status"], &run["error_code"]), (&json!("failed"), &json!(code)), "{how}: {}", answer.text());
        let fine = local.api().run("workflows/program", &json!({ "service": "", "body": ["now"] })).unwrap();
        assert_eq!(fine.json()["output"], json!([true]), "after {how}: {}", fine.text());
    }
}

#[test]
fn runs_that_do_wrong_at_once_keep_nobody_else_from_finishing() {
    let local = small();
    local.deploy("programs", &["memory"]);
    let submit = |component: &str, input: &Value| {
        let answer = local.api().submit(component, &[], input).unwrap();
        answer.json()["run_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
    };
    let mut runs = Vec::new();
    for how in ["endless_loop", "memory_bomb", "panic", "deep_recursion"] {
        runs.push((submit("functions/misbehave", &json!(how)), "failed"));
        runs.push((submit("workflows/program", &json!({ "service": "", "body": ["uuid"] })), "completed"));
    }
    for (run, status) in runs {
        assert_eq!(local.api().result(&run, SOON).unwrap()["status"], status);
    }
}

/// A server whose limits are quickly reached.
fn small() -> Local {
    Local::with(Vec::new(), |config| {
        config.max_module = MAX_MODULE;
        config.guest_memory = MEMORY;
        config.turn_cpu_ms = 200;
    })
}

/// A name, the module, and the status, code and a part of the text that it is refused with.
fn refused() -> Vec<(&'static str, Vec<u8>, u16, &'static str, &'static str)> {
    vec![
        ("no module", b"#!/bin/sh\nexit 0\n".to_vec(), 422, "MODULE_INVALID", "not a WebAssembly module"),
        ("nothing", Vec::new(), 400, "BAD_REQUEST", "empty"),
        ("foreign import", wat(r#"(import "env" "f" (func))"#, 1, "[]"), 422, "MODULE_IMPORT_REFUSED", "env.f"),
        ("other revision", wat("", 2, "[]"), 422, "ABI_UNSUPPORTED", "revision 2"),
        ("unknown operation", wat("", 1, r#"["teleport"]"#), 422, "OP_UNSUPPORTED", "teleport"),
        (
            "no exports",
            wat::parse_str("(module (memory 1) (global (mut i32) (i32.const 8)))").unwrap(),
            422,
            "MODULE_EXPORT_MISSING",
            "bivouac_abi",
        ),
        ("too large", vec![0; MAX_MODULE + 1], 413, "BODY_TOO_LARGE", "max_module"),
    ]
}

/// A module of the contract's form, written by hand.
fn wat(imports: &str, abi: u32, ops: &str) -> Vec<u8> {
    const MANIFEST_AT: usize = 1024;
    let manifest =
        format!(r#"{{"abi":{abi},"sdk":"by-hand/1","components":[{{"type":"function","name":"hello"}}],"ops":{ops}}}"#);
    let data: String = manifest.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let packed = (MANIFEST_AT << 32) | manifest.len();
    let text = format!(
        r#"(module {imports} (memory (export "memory") 2) (global (mut i32) (i32.const 1024))
            (data (i32.const {MANIFEST_AT}) "{data}")
            (func (export "_initialize"))
            (func (export "bivouac_abi") (result i32) (i32.const {abi}))
            (func (export "bivouac_alloc") (param i32) (result i32) (i32.const 65536))
            (func (export "bivouac_free") (param i32 i32))
            (func (export "bivouac_configure") (result i64) (i64.const {packed}))
            (func (export "bivouac_drive") (param i32 i32) (result i64) (i64.const 0)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
