//! What a good guest gets.

use crate::guest::{Guest, MANIFEST, small, small_host};
use bivouac_protocol::{
    Code,
    frame::{InFrame, OutFrame, Status},
};
use bivouac_wasm_host::{Host, HostConfig, InstanceError};

const NOW: u64 = 1_700_000_000_000;

#[test]
fn a_module_gives_its_manifest_and_its_digest() {
    let wasm = Guest::default().wasm();
    let module = small_host().load(&wasm).unwrap();
    assert_eq!(module.manifest().components[0].name, "hello");
    assert_eq!(module.manifest_bytes(), MANIFEST.as_bytes());
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&wasm).into();
    assert_eq!(module.digest(), digest);
}

#[test]
fn an_instance_answers_frame_after_frame() {
    let mut instance = small_host().load(&Guest::default().wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    for turn in 1..4 {
        let out = instance.drive(&InFrame::new(turn, NOW).encode(), NOW).unwrap();
        assert_eq!(OutFrame::decode(&out).unwrap().status, Status::Running);
    }
}

#[test]
fn instances_of_one_module_do_not_see_each_other_nor_who_had_the_slot_before() {
    // Answers with the byte at 70,000 as the frame's length, after counting it up.
    let guest = Guest {
        before: "(i32.store8 (i32.const 70000) (i32.add (i32.load8_u (i32.const 70000)) (i32.const 1)))
                 (i32.store (i32.const 70004) (i32.load8_u (i32.const 70000)))",
        answer: "(i64.or (i64.shl (i64.const 70004) (i64.const 32)) (i64.const 100))",
        ..Guest::default()
    };
    let module = Host::new(HostConfig { max_instances: 1, ..small() }).unwrap().load(&guest.wasm()).unwrap();
    for _ in 0..3 {
        let mut instance = module.instantiate([0; 32], NOW).unwrap();
        assert_eq!(instance.drive(b"", NOW).unwrap()[0], 1);
        assert_eq!(instance.drive(b"", NOW).unwrap()[0], 2);
    }
}

#[test]
fn the_pool_refuses_one_more_and_serves_again_when_one_ends() {
    let module = small_host().load(&Guest::default().wasm()).unwrap();
    let mut live: Vec<_> = (0..4).map(|_| module.instantiate([0; 32], NOW).unwrap()).collect();
    let refused = module.instantiate([0; 32], NOW).unwrap_err();
    assert_eq!(refused, InstanceError::PoolExhausted { limit: 4 });
    assert_eq!(bivouac_protocol::ErrorInfo::from(refused).code, Code::OVERLOADED);
    live.pop();
    module.instantiate([0; 32], NOW).unwrap();
}

#[test]
fn a_frame_that_is_too_large_to_be_given_leaves_the_instance_usable() {
    let mut instance = small_host().load(&Guest::default().wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    let refused = instance.drive(&vec![0; 65 << 10], NOW).unwrap_err();
    assert_eq!(refused.info.code, Code::FRAME_TOO_LARGE);
    instance.drive(b"", NOW).unwrap();
}

#[test]
fn the_clock_is_the_turns_and_never_goes_back() {
    let guest = Guest {
        imports: r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#,
        before: "(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 70004)))",
        answer: "(i64.or (i64.shl (i64.const 70000) (i64.const 32)) (i64.const 12))",
        ..Guest::default()
    };
    let mut instance = small_host().load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    let mut nanos = |now| {
        let out = instance.drive(b"", now).unwrap();
        u64::from_le_bytes(out[4..12].try_into().unwrap())
    };
    assert_eq!(nanos(NOW), NOW * 1_000_000);
    assert_eq!(nanos(NOW + 5), (NOW + 5) * 1_000_000);
    assert_eq!(nanos(NOW - 5), (NOW + 5) * 1_000_000);
}

#[test]
fn chance_comes_from_the_nonce_alone() {
    let guest = Guest {
        imports: r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
        before: "(drop (call $random (i32.const 70004) (i32.const 40)))",
        answer: "(i64.or (i64.shl (i64.const 70000) (i64.const 32)) (i64.const 44))",
        ..Guest::default()
    };
    let module = small_host().load(&guest.wasm()).unwrap();
    let bytes = |nonce| module.instantiate(nonce, NOW).unwrap().drive(b"", NOW).unwrap();
    assert_eq!(bytes([1; 32]), bytes([1; 32]));
    assert_ne!(bytes([1; 32]), bytes([2; 32]));
    assert_ne!(bytes([1; 32])[4..24], [0; 20]);
}

#[test]
fn what_a_guest_writes_is_its_log() {
    let guest = Guest {
        imports: r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#,
        before: "(drop (call $write (i32.const 1) (i32.const 4096) (i32.const 1) (i32.const 4200)))",
        extra: r#"(data (i32.const 4096) "\08\10\00\00\0a\00\00\00one\0atwo\0a\0a\0a")"#,
        ..Guest::default()
    };
    let mut instance = small_host().load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    instance.drive(b"", NOW).unwrap();
    assert_eq!(instance.take_log(), ["one", "two"]);
    assert!(instance.take_log().is_empty());
}

#[test]
fn a_function_of_wasi_that_no_guest_needs_answers_enosys() {
    let guest = Guest {
        imports: r#"(import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#,
        before: "(i32.store (i32.const 70004) (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))",
        answer: "(i64.or (i64.shl (i64.const 70000) (i64.const 32)) (i64.const 8))",
        ..Guest::default()
    };
    let mut instance = small_host().load(&guest.wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    assert_eq!(instance.drive(b"", NOW).unwrap()[4], 52);
}

#[test]
fn an_instance_outlives_its_host_with_its_limits() {
    let guest = Guest { before: "(loop $forever (br $forever))", ..Guest::default() };
    let module = small_host().load(&guest.wasm()).unwrap();
    let mut instance = module.instantiate([0; 32], NOW).unwrap();
    drop(module);
    assert_eq!(instance.drive(b"", NOW).unwrap_err().info.code, Code::CPU_LIMIT);
}

#[test]
fn a_thread_whose_pool_is_used_up_takes_from_the_others() {
    let config = HostConfig { max_instances: 3, pools: 2, ..small() };
    let module = Host::new(config).unwrap().load(&Guest::default().wasm()).unwrap();
    let live: Vec<_> = (0..3).map(|_| module.instantiate([0; 32], NOW).unwrap()).collect();
    let refused = module.instantiate([0; 32], NOW).unwrap_err();
    assert_eq!(refused, InstanceError::PoolExhausted { limit: 3 });
    drop(live);
}

#[test]
fn an_instance_goes_from_thread_to_thread() {
    let mut instance = small_host().load(&Guest::default().wasm()).unwrap().instantiate([0; 32], NOW).unwrap();
    instance.drive(b"", NOW).unwrap();
    std::thread::spawn(move || instance.drive(b"", NOW).unwrap()).join().unwrap();
}

#[test]
fn a_host_that_the_machine_cannot_serve_is_refused() {
    let refused = Host::new(HostConfig { max_memory_bytes: 8 << 30, ..small() }).unwrap_err();
    assert!(refused.to_string().contains("allow fewer, or less memory"), "{refused}");
}
