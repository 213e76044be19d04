//! The module in a host of our own (`stub.c`) under Valgrind: hooks in random order on three threads,
//! hostile values, refusals. No invalid read or write, no leak, no broken rule of the ABI.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use divvy_lab::build::Build;
use divvy_lab::workspace_root;

use crate::number;

const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
/// Growth of allocated memory in the second half of the rounds, in bytes per hook.
const GROWTH: f64 = 0.5;

/// The host, compiled to a file of its own for each test: no test may write what another one runs.
fn host(name: &str) -> Result<PathBuf> {
    let root = workspace_root();
    let program = root.join("target/module-tests").join(name);
    fs::create_dir_all(program.with_file_name(""))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-O1", "-g", "-rdynamic", "-o"]);
    compiler.arg(&program);
    compiler.arg(root.join("tests/envoy/module/stub.c"));
    compiler.args(["-ldl", "-lpthread"]);
    let output = compiler
        .output()
        .context("a C compiler, `cc`, is missing")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(program)
}

/// Runs the host with this number of hooks, and returns what it prints.
fn run(mut command: Command, hooks: usize) -> Result<String> {
    let root = workspace_root();
    command
        .arg(root.join(Build::Module.file()))
        .args([&hooks.to_string(), "7"])
        .args(["rich", "valid"].map(|name| root.join(format!("tests/cases/{name}.json"))))
        .env("DIVVY_KEYS", KEYS);
    let output = command.output()?;
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        output.status.success(),
        "{}: {text}\n{errors}",
        output.status
    );
    Ok(text)
}

/// `STUB_CALLS=1000000`
#[test]
fn hostile_values_cause_no_invalid_access_and_no_leak() -> Result<()> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--quiet",
        "--error-exitcode=9",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
        "--show-leak-kinds=definite,indirect",
        "--num-callers=25",
    ]);
    valgrind.arg(host("stub-valgrind")?);
    let text = run(valgrind, number("STUB_CALLS", 20_000)?).context("Valgrind")?;
    println!("{text}");
    Ok(())
}

/// Memory that is still reachable, in statics of the module, does not grow either.
#[test]
fn allocated_memory_stays_flat() -> Result<()> {
    let text = run(
        Command::new(host("stub")?),
        number("STUB_NATIVE_CALLS", 1_000_000)?,
    )?;
    println!("{text}");
    let rounds: Vec<(f64, f64)> = text.lines().filter_map(round).collect();
    let [.., middle, _, _, _, _, last] = rounds[..] else {
        anyhow::bail!("no rounds: {text}");
    };
    let growth = (last.1 - middle.1) / (last.0 - middle.0);
    ensure!(growth <= GROWTH, "{growth} bytes per hook: {text}");
    Ok(())
}

/// Hooks and bytes of `round 3: 5 hooks, 7 callbacks, 9 bytes allocated`.
fn round(line: &str) -> Option<(f64, f64)> {
    let mut words = line.strip_prefix("round ")?.split(' ');
    Some((words.nth(1)?.parse().ok()?, words.nth(3)?.parse().ok()?))
}
