//! Each kind of bad guest ends in an error of its own, within its limit, and the next request is served.

use crate::guest::{Guest, MANIFEST, small_host};
use bivouac_protocol::{Code, frame::InFrame};
use bivouac_wasm_host::{DriveError, Host};
use std::time::{Duration, Instant};

const NOW: u64 = 1_700_000_000_000;

/// Far more than any limit of the small host, far less than a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// `(iovec at 4096) -> "…"` for `fd_write`, with the text's length as the second word.
const WRITE: &str =
    r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;

/// Loads and expects a refusal.
fn refused(host: &Host, wasm: &[u8], code: Code, says: &str) {
    let Err(error) = host.load(wasm) else { panic!("it was loaded, {code} expected") };
    assert_eq!(error.info().code, code, "{error}");
    assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
}

/// Loads, drives and expects an error, then the same instance to stay poisoned.
fn ends(host: &Host, guest: &Guest, code: Code, says: &str) -> DriveError {
    let mut instance = host.load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    let error = instance.drive(&InFrame::new(1, NOW).encode(), NOW).unwrap_err();
    assert_eq!(error.info.code, code, "{error}");
    assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
    let again = instance.drive(b"", NOW).unwrap_err();
    assert_eq!(again.info.code, code);
    assert!(again.to_string().contains("cannot be driven again"), "{again}");
    error
}

/// The same host serves a good guest, and as many of them as ever.
fn serves(host: &Host) {
    let module = host.load(&Guest::default().wasm()).unwrap();
    let mut live: Vec<_> = (0..4).map(|_| module.instantiate([0; 32], NOW).unwrap()).collect();
    for instance in &mut live {
        instance.drive(&InFrame::new(1, NOW).encode(), NOW).unwrap();
    }
}

fn in_time(host: &Host, what: &str, case: impl FnOnce()) {
    let started = Instant::now();
    case();
    serves(host);
    assert!(started.elapsed() < PATIENCE, "{what} took {:?}", started.elapsed());
}

/// What is refused when it is loaded: a name, the bytes, the code, a part of the text.
fn modules() -> Vec<(&'static str, Vec<u8>, Code, &'static str)> {
    let guest = |guest: Guest| guest.wasm();
    let imports = |imports| Guest { imports, ..Guest::default() }.wasm();
    let extra = |extra| Guest { extra, ..Guest::default() }.wasm();
    let globals = |globals| Guest { globals, ..Guest::default() }.wasm();
    let configure = |configure| Guest { configure, ..Guest::default() }.wasm();
    let manifest = |manifest: &str| Guest { manifest: manifest.into(), ..Guest::default() }.wasm();
    let table = |body: &str| {
        let extra: &'static str = format!("(table 2 funcref) (elem $e func 0) (func {body})").leak();
        Guest { extra, ..Guest::default() }.wasm()
    };
    let mut cut = Guest::default().wasm();
    cut.truncate(cut.len() - 10);
    vec![
        ("not wasm", b"#!/bin/sh".to_vec(), Code::MODULE_INVALID, "not a WebAssembly module"),
        ("nothing", Vec::new(), Code::MODULE_INVALID, "not a WebAssembly module"),
        ("cut short", cut, Code::MODULE_INVALID, "damaged"),
        ("a component", b"\0asm\x0d\0\x01\0".to_vec(), Code::MODULE_INVALID, "component"),
        ("too large", extra(format!("(data \"{}\")", "x".repeat(65 << 10)).leak()), Code::MODULE_TOO_LARGE, "65536"),
        ("does not validate", extra("(func (result i32) (i64.const 1))"), Code::MODULE_INVALID, "cannot be compiled"),
        ("foreign import", imports(r#"(import "env" "f" (func))"#), Code::MODULE_IMPORT_REFUSED, "`env.f`"),
        ("foreign global", imports(r#"(import "env" "g" (global i32))"#), Code::MODULE_IMPORT_REFUSED, "`env.g`"),
        (
            "imported global of WASI's",
            imports(r#"(import "wasi_snapshot_preview1" "g" (global i32))"#),
            Code::MODULE_IMPORT_REFUSED,
            "not a function",
        ),
        (
            "imported memory",
            guest(Guest {
                imports: r#"(import "wasi_snapshot_preview1" "memory" (memory 1))"#,
                memory: "",
                ..Guest::default()
            }),
            Code::MODULE_IMPORT_REFUSED,
            "memory",
        ),
        (
            "imported table",
            imports(r#"(import "wasi_snapshot_preview1" "t" (table 1 funcref))"#),
            Code::MODULE_IMPORT_REFUSED,
            "table",
        ),
        (
            "import of the wrong type",
            imports(r#"(import "wasi_snapshot_preview1" "fd_write" (func (param f64) (result i32)))"#),
            Code::MODULE_IMPORT_REFUSED,
            "fd_write",
        ),
        (
            "unknown function that gives no error code",
            imports(r#"(import "wasi_snapshot_preview1" "surprise" (func (result f64)))"#),
            Code::MODULE_IMPORT_REFUSED,
            "surprise",
        ),
        ("no memory", guest(Guest { memory: "", ..Guest::default() }), Code::MODULE_INVALID, "no memory"),
        ("two memories", extra("(memory 1)"), Code::MODULE_TOO_LARGE, "memories"),
        (
            "shared memory",
            guest(Guest { memory: r#"(memory (export "memory") 2 2 shared)"#, ..Guest::default() }),
            Code::MODULE_INVALID,
            "shared",
        ),
        (
            "64-bit memory",
            guest(Guest { memory: r#"(memory (export "memory") i64 2)"#, ..Guest::default() }),
            Code::MODULE_INVALID,
            "64-bit",
        ),
        (
            "memory beyond the limit from the start",
            guest(Guest { memory: r#"(memory (export "memory") 33)"#, ..Guest::default() }),
            Code::MEMORY_LIMIT,
            "starts with",
        ),
        (
            "memory that is not exported",
            guest(Guest { memory: "(memory 2)", ..Guest::default() }),
            Code::MODULE_EXPORT_MISSING,
            "memory",
        ),
        ("data outside the memory", extra(r#"(data (i32.const 131071) "xx")"#), Code::MODULE_INVALID, "instance"),
        ("no mutable global", globals(""), Code::MODULE_INVALID, "0 mutable globals"),
        (
            "a second mutable global",
            globals("(global (mut i32) (i32.const 1)) (global (mut i32) (i32.const 1))"),
            Code::MODULE_INVALID,
            "2 mutable globals",
        ),
        ("another kind of global", globals("(global (mut i64) (i64.const 1))"), Code::MODULE_INVALID, "i32"),
        ("table.set", table("(table.set 0 (i32.const 0) (ref.func 0))"), Code::MODULE_INVALID, "table.set"),
        ("table.grow", table("(drop (table.grow 0 (ref.func 0) (i32.const 9)))"), Code::MODULE_INVALID, "table.grow"),
        (
            "table.fill",
            table("(table.fill 0 (i32.const 0) (ref.func 0) (i32.const 1))"),
            Code::MODULE_INVALID,
            "table.fill",
        ),
        (
            "table.copy",
            table("(table.copy (i32.const 0) (i32.const 1) (i32.const 1))"),
            Code::MODULE_INVALID,
            "table.copy",
        ),
        (
            "table.init",
            table("(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))"),
            Code::MODULE_INVALID,
            "table.init",
        ),
        ("elem.drop", table("(elem.drop $e)"), Code::MODULE_INVALID, "elem.drop"),
        ("giant table", extra("(table 20001 funcref)"), Code::MODULE_TOO_LARGE, "20001"),
        ("two tables", extra("(table 1 funcref) (table 1 funcref)"), Code::MODULE_TOO_LARGE, "tables"),
        (
            "relaxed SIMD",
            extra("(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))"),
            Code::MODULE_INVALID,
            "relaxed",
        ),
        ("start function", extra("(func $s (loop $l (br $l))) (start $s)"), Code::MODULE_INVALID, "start function"),
        (
            "an export is missing",
            guest(Guest { free: "", ..Guest::default() }),
            Code::MODULE_EXPORT_MISSING,
            "`bivouac_free`",
        ),
        (
            "an export of the wrong type",
            guest(Guest {
                alloc: r#"(func (export "bivouac_alloc") (param i64) (result i32) (i32.const 65536))"#,
                ..Guest::default()
            }),
            Code::MODULE_EXPORT_MISSING,
            "`bivouac_alloc` of type (i32) -> (i32)",
        ),
        (
            "an export of the wrong kind",
            guest(Guest { initialize: r#"(global (export "_initialize") i32 (i32.const 1))"#, ..Guest::default() }),
            Code::MODULE_EXPORT_MISSING,
            "`_initialize`",
        ),
        (
            "another ABI",
            guest(Guest { abi: r#"(func (export "bivouac_abi") (result i32) (i32.const 2))"#, ..Guest::default() }),
            Code::ABI_UNSUPPORTED,
            "revision 2",
        ),
        ("another ABI in the manifest", manifest(r#"{"abi":7,"components":[]}"#), Code::ABI_UNSUPPORTED, "revision 7"),
        (
            "endless loop in _initialize",
            guest(Guest { initialize: r#"(func (export "_initialize") (loop $l (br $l)))"#, ..Guest::default() }),
            Code::CPU_LIMIT,
            "100 ms",
        ),
        ("endless loop in configure", configure("(loop $l (br $l)) (i64.const 0)"), Code::CPU_LIMIT, "100 ms"),
        ("trap in configure", configure("unreachable"), Code::GUEST_TRAPPED, "asked for its manifest"),
        (
            "manifest outside the memory",
            configure("(i64.const 0x7fffffff_00000010)"),
            Code::MANIFEST_INVALID,
            "not in its",
        ),
        ("giant manifest", configure("(i64.const 0x00000400_7fffffff)"), Code::FRAME_TOO_LARGE, "manifest"),
        ("manifest that is no JSON", manifest("hello"), Code::MANIFEST_INVALID, "cannot be read"),
        ("manifest that lacks a field", manifest(r#"{"abi":1}"#), Code::MANIFEST_INVALID, "components"),
        (
            "manifest without a component",
            manifest(r#"{"abi":1,"components":[]}"#),
            Code::MANIFEST_INVALID,
            "no component",
        ),
        (
            "deeply nested manifest",
            manifest(&format!("{{\"abi\":1,\"x\":{}", "[".repeat(20_000))),
            Code::MANIFEST_INVALID,
            "cannot be read",
        ),
        (
            "an operation that the host does not know",
            manifest(&MANIFEST.replace("}]", r#"}],"ops":["http","teleport"]"#)),
            Code::OP_UNSUPPORTED,
            "`teleport`",
        ),
    ]
}

#[test]
fn a_module_that_breaks_a_rule_is_refused_with_the_rule_and_the_host_goes_on() {
    let host = small_host();
    let modules = modules();
    assert!(modules.len() >= 15);
    for (what, wasm, code, says) in modules {
        in_time(&host, what, || {
            println!("{what}");
            refused(&host, &wasm, code, says);
        });
    }
}

/// What is accepted and goes wrong in its first turn.
fn guests() -> Vec<(&'static str, Guest, Code, &'static str)> {
    let before = |before| Guest { before, ..Guest::default() };
    let answer = |answer| Guest { answer, ..Guest::default() };
    let alloc = |alloc| Guest { alloc, ..Guest::default() };
    let frame = |frame: &[u8]| Guest { frame: frame.to_vec(), ..Guest::default() };
    vec![
        ("endless loop", before("(loop $l (br $l))"), Code::CPU_LIMIT, "100 ms"),
        (
            "waits for its own clock",
            Guest {
                imports: r#"(import "wasi_snapshot_preview1" "clock_time_get"
                    (func $clock (param i32 i64 i32) (result i32)))"#,
                before: "(loop $l (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 70000))) (br $l))",
                ..Guest::default()
            },
            Code::CPU_LIMIT,
            "100 ms",
        ),
        (
            "floods with random bytes",
            Guest {
                imports: r#"(import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))"#,
                before: "(loop $l (drop (call $r (i32.const 0) (i32.const 131072))) (br $l))",
                ..Guest::default()
            },
            Code::CPU_LIMIT,
            "100 ms",
        ),
        (
            "wakes itself without end",
            Guest {
                extra: "(func $poll (param i32) (result i32) (i32.const 1))",
                before: "(loop $l (br_if $l (call $poll (i32.const 0))))",
                ..Guest::default()
            },
            Code::CPU_LIMIT,
            "100 ms",
        ),
        (
            "memory bomb",
            before("(loop $l (if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then unreachable)) (br $l))"),
            Code::MEMORY_LIMIT,
            "the limit is 2097152",
        ),
        (
            "more memory than the module itself allows",
            Guest {
                memory: r#"(memory (export "memory") 2 3)"#,
                ..before("(if (i32.eq (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))")
            },
            Code::MEMORY_LIMIT,
            "asked for 262144 bytes",
        ),
        (
            "endless recursion",
            Guest { extra: "(func $f (call $f) (call $f))", ..before("(call $f)") },
            Code::STACK_OVERFLOW,
            "recursion",
        ),
        (
            "overflow of its own stack",
            before("(i32.store (i32.const -64) (i32.const 1))"),
            Code::STACK_OVERFLOW,
            "recursion",
        ),
        ("unreachable", before("unreachable"), Code::GUEST_TRAPPED, "unreachable"),
        ("wild pointer", before("(drop (i32.load (i32.const 0x7fffffff)))"), Code::GUEST_TRAPPED, "out of bounds"),
        (
            "division by zero",
            before("(drop (i32.div_s (i32.const 1) (i32.const 0)))"),
            Code::GUEST_TRAPPED,
            "divide by zero",
        ),
        (
            "proc_exit",
            Guest {
                imports: r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#,
                ..before("(call $exit (i32.const 3))")
            },
            Code::GUEST_TRAPPED,
            "exit code 3",
        ),
        (
            "panic",
            Guest {
                imports: WRITE,
                before: "(drop (call $write (i32.const 2) (i32.const 4096) (i32.const 1) (i32.const 4200))) unreachable",
                extra: r#"(data (i32.const 4096) "\08\10\00\00\42\00\00\00\0athread '<unnamed>' (1) panicked at src/lib.rs:3:5:\0ano stock\0anote: run")"#,
                ..Guest::default()
            },
            Code::GUEST_TRAPPED,
            "panicked at src/lib.rs:3:5:\nno stock",
        ),
        (
            "flood of the log",
            Guest {
                imports: WRITE,
                before: "(loop $l (drop (call $write (i32.const 2) (i32.const 4096) (i32.const 1) (i32.const 4200))) (br $l))",
                extra: r#"(data (i32.const 4096) "\00\00\00\00\00\00\02\00")"#,
                ..Guest::default()
            },
            Code::CPU_LIMIT,
            "100 ms",
        ),
        (
            "buffers of the log without end",
            Guest {
                imports: WRITE,
                before: "(loop $l (br_if $l (call $write (i32.const 2) (i32.const 0) (i32.const -1) (i32.const 4200)))) ",
                answer: "(i64.const 0)",
                ..Guest::default()
            },
            Code::CPU_LIMIT,
            "100 ms",
        ),
        (
            "answer outside the memory",
            answer("(i64.const 0x00020000_00000008)"),
            Code::FRAME_INVALID,
            "not in its 131072",
        ),
        (
            "answer that runs over the end",
            answer("(i64.const 0x0001fffe_00000008)"),
            Code::FRAME_INVALID,
            "not in its 131072",
        ),
        (
            "answer whose end overflows",
            answer("(i64.const 0xffffffff_0000ffff)"),
            Code::FRAME_INVALID,
            "not in its 131072",
        ),
        ("giant answer", answer("(i64.const 0x00002000_ffffffff)"), Code::FRAME_TOO_LARGE, "4294967295"),
        ("answer of no bytes", answer("(i64.const 0x00002000_00000000)"), Code::FRAME_INVALID, "not a frame"),
        ("answer that promises more than it has", frame(&[9, 0, 0, 0, b'{', b'}']), Code::FRAME_INVALID, "not a frame"),
        (
            "buffer outside the memory",
            alloc(r#"(func (export "bivouac_alloc") (param i32) (result i32) (i32.const 131070))"#),
            Code::FRAME_INVALID,
            "`bivouac_alloc` is broken",
        ),
        (
            "buffer at the end of the address space",
            alloc(r#"(func (export "bivouac_alloc") (param i32) (result i32) (i32.const -1))"#),
            Code::FRAME_INVALID,
            "`bivouac_alloc` is broken",
        ),
        (
            "no buffer",
            alloc(r#"(func (export "bivouac_alloc") (param i32) (result i32) (i32.const 0))"#),
            Code::FRAME_INVALID,
            "`bivouac_alloc` is broken",
        ),
        (
            "trap in alloc",
            alloc(r#"(func (export "bivouac_alloc") (param i32) (result i32) unreachable)"#),
            Code::GUEST_TRAPPED,
            "unreachable",
        ),
        (
            "endless loop in alloc",
            alloc(r#"(func (export "bivouac_alloc") (param i32) (result i32) (loop $l (br $l)) unreachable)"#),
            Code::CPU_LIMIT,
            "100 ms",
        ),
        (
            "stack left behind",
            Guest {
                globals: r#"(global $stack_pointer (export "__stack_pointer") (mut i32) (i32.const 1024))"#,
                ..before("(global.set $stack_pointer (i32.const 1008))")
            },
            Code::FRAME_INVALID,
            "1008",
        ),
    ]
}

#[test]
fn a_guest_that_goes_wrong_ends_in_an_error_of_its_own_and_the_host_goes_on() {
    let host = small_host();
    for (what, guest, code, says) in guests() {
        in_time(&host, what, || {
            println!("{what}");
            let only_time_comes_from_load = code == Code::CPU_LIMIT;
            let error = ends(&host, &guest, code, says);
            assert_eq!(error.may_be_load, only_time_comes_from_load);
        });
    }
}

#[test]
fn an_answer_whose_json_is_malformed_is_found_by_its_reader() {
    use bivouac_protocol::frame::{FrameError, OutFrame};
    let host = small_host();
    let frame = [&[2, 0, 0, 0][..], b"]["].concat();
    let guest = Guest { frame, ..Guest::default() };
    let out = host.load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap().drive(b"", NOW).unwrap();
    assert!(matches!(OutFrame::decode(&out), Err(FrameError::Header(_))));
    serves(&host);
}

#[test]
fn a_flood_of_the_log_is_kept_to_its_limit() {
    let host = small_host();
    let guest = Guest {
        imports: WRITE,
        before: "(drop (call $write (i32.const 2) (i32.const 4096) (i32.const 2) (i32.const 4200)))",
        extra: r#"(data (i32.const 4096) "\00\20\00\00\00\00\01\00\00\20\00\00\00\00\01\00")"#,
        frame: vec![b'x'; 60_000],
        answer: "(i64.const 0x00001000_00000004)",
        ..Guest::default()
    };
    let mut instance = host.load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    drop(instance.drive(b"", NOW));
    let lines = instance.take_log();
    assert_eq!(lines[0].len(), 1 << 10);
    assert_eq!(lines.last().unwrap(), "(130048 bytes of log dropped: the limit is 1024 bytes)");
    drop(instance);
    serves(&host);
}

#[test]
fn a_guest_that_copes_with_too_little_memory_goes_on() {
    let host = small_host();
    let guest = Guest { before: "(drop (memory.grow (i32.const 1000)))", ..Guest::default() };
    let mut instance = host.load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    instance.drive(b"", NOW).unwrap();
    instance.drive(b"", NOW).unwrap();
}

#[test]
fn a_refusal_of_memory_in_an_earlier_turn_does_not_colour_a_later_trap() {
    let host = small_host();
    let guest = Guest {
        before: "(if (i32.load (i32.const 70000)) (then unreachable))
                 (drop (memory.grow (i32.const 1000)))
                 (i32.store (i32.const 70000) (i32.const 1))",
        ..Guest::default()
    };
    let mut instance = host.load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    instance.drive(b"", NOW).unwrap();
    assert_eq!(instance.drive(b"", NOW).unwrap_err().info.code, Code::GUEST_TRAPPED);
}

#[test]
fn every_fault_of_a_manifest_is_in_one_answer() {
    let host = small_host();
    let manifest = r#"{"abi":1,"ops":["teleport"],
        "components":[
            {"type":"function","name":"a b"},
            {"type":"function","name":"twice","input_schema":"text"},
            {"type":"function","name":"twice","flow_control":{"retries":{"max_attempts":0,"initial_interval_ms":9,"max_interval_ms":3}}}],
        "patches":["-"],
        "capabilities":{"hosts":["http://x.example","*","a.*.example"],"secrets":["A B"]}}"#;
    let guest = Guest { manifest: manifest.into(), ..Guest::default() };
    let error = host.load(&guest.wasm()).unwrap_err();
    assert_eq!(error.info().code, Code::OP_UNSUPPORTED);
    for part in [
        "`teleport`",
        "`a b` is not a valid name",
        "`twice` is there twice",
        "input schema",
        "0 attempts",
        "shorter than its first",
        "`-` is not a valid name",
        "`http://x.example` is a URL",
        "the host `*`",
        "`a.*.example` has a `*` elsewhere",
        "the secret `A B`",
    ] {
        assert!(error.to_string().contains(part), "`{error}` does not say `{part}`");
    }
    serves(&host);
}
