//! Small WAT modules through the whole tool.

use std::fs;

use walrus::Module;

use crate::Args;
use crate::slim::{Refusal, slim};

const NO_LIMIT: usize = usize::MAX;

/// A filter in WAT that exports an empty function under each required name.
/// `lines` come first; lines of the skeleton that contain `without` are omitted.
fn wat_module(lines: &str, without: &str) -> Vec<u8> {
    let skeleton = r#"
        (memory (export "memory") 1)
        (func (export "_initialize") (call $init))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
        (func (export "proxy_on_context_create") (param i32 i32))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
        (func (export "proxy_on_tick") (param i32))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_response_trailers") (param i32 i32) (result i32) (i32.const 0))
        (func (export "proxy_on_log") (param i32))
        (func (export "proxy_on_delete") (param i32))
        (func $init)
    "#;
    let kept: Vec<_> = skeleton
        .lines()
        .filter(|line| without.is_empty() || !line.contains(without))
        .collect();
    // Imports have to come first in a module.
    wat::parse_str(format!("(module {lines} {})", kept.join("\n"))).expect("valid WAT")
}

fn exports(wasm: &[u8]) -> Vec<String> {
    let module = Module::from_buffer(wasm).expect("valid output");
    module.exports.iter().map(|e| e.name.clone()).collect()
}

fn imports(wasm: &[u8]) -> Vec<String> {
    let module = Module::from_buffer(wasm).expect("valid output");
    module.imports.iter().map(|i| i.name.clone()).collect()
}

fn refused(wasm: &[u8]) -> Vec<String> {
    match slim(wasm, NO_LIMIT) {
        Err(Refusal::Contract(reasons)) => reasons,
        other => panic!("expected a broken contract, got {other:?}"),
    }
}

#[test]
fn keeps_the_required_exports() {
    let output = slim(&wat_module("", ""), NO_LIMIT).unwrap();
    assert_eq!(exports(&output).len(), 14);
    // The function that `_initialize` calls stays, although it is not exported.
    assert_eq!(
        Module::from_buffer(&output).unwrap().funcs.iter().count(),
        14
    );
}

#[test]
fn removes_other_exports_and_code_that_only_they_use() {
    let wasm = wat_module(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           (import "env" "not_in_envoy" (func $foreign))
           (global (export "__heap_base") i32 (i32.const 1024))
           (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
             (call $foreign) (call $log (i32.const 0) (i32.const 0) (i32.const 0)))"#,
        "",
    );
    let output = slim(&wasm, NO_LIMIT).unwrap();
    assert_eq!(exports(&output).len(), 14);
    assert!(imports(&output).is_empty());
    assert!(output.len() < wasm.len());
}

#[test]
fn exports_a_guard_in_place_of_its_callback() {
    let wasm = wat_module(
        r#"(global $calls (mut i32) (i32.const 0))
           (func (export "guard_proxy_on_log") (param i32) (global.set $calls (i32.const 1)))"#,
        "",
    );
    let output = slim(&wasm, NO_LIMIT).unwrap();
    assert_eq!(exports(&output).len(), 14);
    // Only the guard uses the global, and the unguarded callback is gone.
    let module = Module::from_buffer(&output).unwrap();
    assert_eq!(module.globals.iter().count(), 1);
    assert_eq!(module.funcs.iter().count(), 14);
}

#[test]
fn an_element_segment_keeps_its_functions() {
    let wasm = wat_module(
        r#"(table 1 funcref) (elem (i32.const 0) $indirect) (type $t (func))
           (func $indirect)
           (func (export "malloc") (param i32) (result i32)
             (call_indirect (type $t) (i32.const 0)) (i32.const 0))"#,
        "",
    );
    let output = slim(&wasm, NO_LIMIT).unwrap();
    assert_eq!(
        Module::from_buffer(&output).unwrap().funcs.iter().count(),
        16
    );
}

#[test]
fn removes_custom_sections() {
    let wasm = wat_module(
        r#"(func $name_for_the_name_section)
           (@custom "producers" "\00") (@custom ".debug_info" "debug")
           (@custom "target_features" "\00")"#,
        "",
    );
    let output = slim(&wasm, NO_LIMIT).unwrap();
    for section in ["name", "producers", ".debug_info", "target_features"] {
        let found = output
            .windows(section.len())
            .any(|w| w == section.as_bytes());
        assert!(!found, "{section} was not removed");
    }
}

#[test]
fn is_idempotent() {
    let once = slim(&wat_module("", ""), NO_LIMIT).unwrap();
    assert_eq!(slim(&once, NO_LIMIT).unwrap(), once);
}

#[test]
fn reports_every_missing_export() {
    assert_eq!(
        refused(&wat_module("", "\"proxy_on_log\"")),
        ["the export proxy_on_log is missing"]
    );
    let all = refused(&wat::parse_str("(module)").unwrap());
    assert_eq!(all.len(), 14);
}

#[test]
fn an_export_of_the_wrong_kind_is_missing() {
    let wasm = wat_module(r#"(func (export "memory"))"#, "(memory");
    assert_eq!(refused(&wasm), ["the export memory is missing"]);
}

#[test]
fn malloc_replaces_the_allocator() {
    let malloc = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
    assert!(slim(&wat_module(malloc, "proxy_on_memory_allocate"), NO_LIMIT).is_ok());
    assert_eq!(
        refused(&wat_module("", "proxy_on_memory_allocate")),
        ["the export proxy_on_memory_allocate is missing"]
    );
}

#[test]
fn imports_that_envoy_does_not_offer_are_refused() {
    for (import, verdict) in [
        (r#""env" "proxy_log""#, None),
        (r#""wasi_snapshot_preview1" "fd_write""#, None),
        (r#""env" "abort""#, Some("env.abort")),
        (
            r#""wasi_snapshot_preview1" "path_open""#,
            Some("wasi_snapshot_preview1.path_open"),
        ),
        (r#""other" "proxy_log""#, Some("other.proxy_log")),
    ] {
        let wasm = wat_module(
            &format!(
                r#"(import {import} (func $used))
                   (func (export "malloc") (param i32) (result i32) (call $used) (i32.const 0))"#
            ),
            "",
        );
        match verdict {
            None => assert!(slim(&wasm, NO_LIMIT).is_ok(), "{import}"),
            Some(name) => assert_eq!(
                refused(&wasm),
                [format!("Envoy does not offer the import {name}")]
            ),
        }
    }
}

#[test]
fn the_limit_is_inclusive() {
    let wasm = wat_module("", "");
    let size = slim(&wasm, NO_LIMIT).unwrap().len();
    assert!(slim(&wasm, size).is_ok());
    assert_eq!(
        slim(&wasm, size - 1),
        Err(Refusal::TooLarge {
            size,
            limit: size - 1
        })
    );
}

#[test]
fn bytes_that_are_not_a_module_are_refused_in_one_line() {
    let refusal = slim(b"#!/bin/sh", NO_LIMIT).unwrap_err().to_string();
    assert!(
        refusal.starts_with("not a WebAssembly module: "),
        "{refusal}"
    );
    assert!(!refusal.contains('\n'), "{refusal}");
}

#[test]
fn a_refused_module_leaves_the_output_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in.wasm"), dir.path().join("out.wasm"));
    let args = Args {
        input: input.clone(),
        output: output.clone(),
        limit: NO_LIMIT,
    };
    let run = || crate::run(&args);

    fs::write(&input, wat_module("", "")).unwrap();
    let (before, after) = run().unwrap();
    assert!(after <= before);
    assert_eq!(fs::metadata(&output).unwrap().len(), after as u64);

    let good = fs::read(&output).unwrap();
    fs::write(&input, wat_module("", "proxy_on_tick")).unwrap();
    let reason = run().unwrap_err();
    assert!(
        reason.ends_with("the export proxy_on_tick is missing"),
        "{reason}"
    );
    assert_eq!(fs::read(&output).unwrap(), good);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);

    fs::remove_file(&input).unwrap();
    assert!(run().unwrap_err().starts_with("cannot read "));
}
