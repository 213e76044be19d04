//! A VM that traps and restarts. The filter never traps, so the built module gets a trap at the
//! beginning of one callback.

use std::fs;
use std::path::Path;

use crate::setup::{Edge, PATIENCE, Setup, assignment_of, canary};
use anyhow::{Context, Result, bail, ensure};
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};
use tempfile::TempDir;
use walrus::ir::BinaryOp;
use walrus::{ExportItem, FunctionBuilder, Module, ValType};

use super::lasting::{three_in_a_row, vms_made};
use super::{
    CANARY, TAKEN_BACK, assert_rolled_back, canary_user, changed, fail_three_times, guarded,
    transition, transitions, wait_until_all_workers_respond,
};

/// Requests with this number of headers trap. Others have about ten; Envoy accepts up to 100.
const TOO_MANY: i32 = 60;

/// The built filter, which traps on such a request.
fn trapping(path: &Path) -> Result<()> {
    let mut module = Module::from_file(workspace_root().join("target/divvy.wasm"))?;
    let callback = module
        .exports
        .iter()
        .find(|export| export.name == "proxy_on_request_headers")
        .map(|export| (export.id(), export.item));
    let Some((export, ExportItem::Function(original))) = callback else {
        bail!("the filter has no such callback");
    };
    // Parameters: stream id, number of headers, end of stream.
    let i32 = ValType::I32;
    let mut builder = FunctionBuilder::new(&mut module.types, &[i32; 3], &[i32]);
    let arguments = [0; 3].map(|_| module.locals.add(i32));
    let mut body = builder.func_body();
    body.local_get(arguments[1])
        .i32_const(TOO_MANY)
        .binop(BinaryOp::I32GeU)
        .if_else(
            None,
            |trap| {
                trap.unreachable();
            },
            |_| {},
        );
    for argument in arguments {
        body.local_get(argument);
    }
    body.call(original);
    let wrapper = builder.finish(arguments.to_vec(), &mut module.funcs);
    module.exports.get_mut(export).item = ExportItem::Function(wrapper);
    fs::write(path, module.emit_wasm())?;
    Ok(())
}

/// The shipped edge with this filter and `failure_policy: FAIL_RELOAD`.
async fn start(configuration: &Value) -> Result<(Edge, TempDir)> {
    let dir = TempDir::new()?;
    let wasm = dir.path().join("trapping.wasm");
    trapping(&wasm)?;
    let edge = Setup::new(configuration)?
        .workers(2)
        .plugin(|plugin| plugin.with_wasm(&wasm))
        .bootstrap(|edge| edge.without_access_log())?
        .start()
        .await?;
    Ok((edge, dir))
}

/// Makes the VM of the edge's client trap, and waits until a new one serves it.
async fn trap(edge: &Edge) -> Result<()> {
    let before = vms_made(edge).await?;
    let mark = edge.envoy.log_mark();
    let names: Vec<_> = (0..TOO_MANY).map(|n| format!("x-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let answer = edge.client.get_with("/", &headers).await?;
    ensure!(answer.status == 503, "{answer:?}");
    let trapped = |line: &str| line.contains("unreachable");
    edge.envoy
        .wait_for_log_since(mark, trapped, PATIENCE)
        .await?;
    eventually("a new VM", PATIENCE, async || {
        // By the first request after about a second.
        let answer = edge.client.get("/").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await?;
    let after = vms_made(edge).await?;
    ensure!(after > before, "{before} VMs before, {after} after");
    Ok(())
}

#[tokio::test]
async fn a_verdict_survives_a_vm_that_traps_and_restarts() -> Result<()> {
    let user = canary_user()?;
    let configuration = three_in_a_row(50.0);
    let (edge, _dir) = start(&configuration).await?;
    fail_three_times(&edge, &user).await?;
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await?;
    for when in ["after a trap", "after another one"] {
        trap(&edge).await?;
        let answer = edge.get_as(&user, "/").await?;
        assert_eq!(assignment_of(&answer), Some(TAKEN_BACK), "{when}");
        assert_rolled_back(&edge, &user, when).await?;
    }
    assert_eq!(transitions(&edge, 0).len(), 1);
    // It judges the next revision as before.
    let next = changed(configuration, json!({"revision": "2"}));
    edge.put(&next).await?;
    trap(&edge).await?;
    fail_three_times(&edge, &user).await?;
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await
}

#[tokio::test]
async fn samples_from_before_a_trap_are_kept() -> Result<()> {
    let user = canary_user()?;
    let limits = |min: u32, on_breach: &str| {
        let errors = json!({"max": 0.0001, "window": "1h"});
        let fields = json!({"errors": errors, "minRequests": min, "onBreach": on_breach});
        guarded(canary(50.0), fields)
    };
    let (edge, _dir) = start(&limits(2, "observe")).await?;
    for path in ["/", "/?status=503"] {
        let answer = edge.get_as(&user, path).await?;
        assert_eq!(assignment_of(&answer), Some(CANARY));
    }
    // A limit of two requests is reached: they were counted.
    let line = transition(&edge, 0).await?;
    assert!(line.contains("1 of 2 requests failed"), "{line}");
    trap(&edge).await?;
    for path in ["/", "/", "/?status=503"] {
        let answer = edge.get_as(&user, path).await?;
        assert_eq!(assignment_of(&answer), Some(CANARY));
    }
    let mark = edge.envoy.log_mark();
    edge.put(&limits(5, "rollback")).await?;
    edge.client.get("/").await?;
    let line = transition(&edge, mark).await.context("no verdict")?;
    assert!(line.contains("2 of 5 requests failed"), "{line}");
    wait_until_all_workers_respond(&edge, &user, TAKEN_BACK).await
}
