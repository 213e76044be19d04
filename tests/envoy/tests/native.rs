//! The list of tests that do not run with the native module: `wasm-only.txt`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

const LIST: &str = include_str!("../wasm-only.txt");

/// Otherwise a renamed test would run with the module, or a wrong name would skip nothing.
#[test]
fn every_test_that_is_skipped_for_the_module_exists_and_has_a_reason() -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--list")
        .output()?;
    let all = String::from_utf8(output.stdout)?;
    for line in LIST.lines() {
        let (name, reason) = line.split_once(": ").with_context(|| line.to_owned())?;
        ensure!(
            all.contains(&format!("{name}: test\n")),
            "there is no test {name}"
        );
        ensure!(reason.len() > 10, "{name} has no reason");
    }
    Ok(())
}
