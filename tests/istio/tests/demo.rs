//! `make run-istio`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::processes_in;
use divvy_istio_tests::shop::served_by;
use divvy_lab::client::Http1;
use divvy_lab::process::Process;
use divvy_lab::workspace_root;
use tokio::time::timeout;

pub async fn the_demo_serves_the_shop_and_ends_all_its_processes(_: &Lab) -> Result<()> {
    let demo = Process::start(Command::new(env!("CARGO_BIN_EXE_divvy-istio-demo")))?;
    let ready = demo.wait_for_line(0, |line| line.starts_with("Ctrl-C"));
    let ready = timeout(2 * PATIENCE, ready).await?;
    let output = demo.lines(0, |_| true).join("\n");
    ready.with_context(|| output.clone())?;
    let at = output.split("http://").nth(1).context("an address")?;
    let (at, _) = at.split_once(',').context("an address")?;
    let shop = Http1::new(at.parse().with_context(|| output.clone())?);
    let answer = shop.get_with("/checkout", &[("x-canary", "true")]).await?;
    assert_eq!(served_by(&answer), "v2");

    // The shown command works.
    let line = |start: &str| {
        let found = output.lines().find(|line| line.trim().starts_with(start));
        found.with_context(|| format!("no {start} in:\n{output}"))
    };
    let script = format!("{}\n{}", line("export")?, line("kubectl -n istio-system")?);
    let command = Command::new("sh").args(["-c", &script]).output()?;
    ensure!(command.status.success(), "{command:?}");

    // The gateway's log of a refused push is printed.
    let script = format!("{}\n{}", line("export")?, line("kubectl -n istio-system")?);
    let script = script.replace("\"value\": 60", "\"value\": 600");
    let command = Command::new("sh").args(["-c", &script]).output()?;
    ensure!(command.status.success(), "{command:?}");
    let refusal = |line: &str| line.contains("weight: 600 is not a percentage");
    let logged = timeout(PATIENCE, demo.wait_for_line(0, refusal)).await?;
    ensure!(logged.is_some_and(|line| line.starts_with("log of the gateway: ")));

    let folder = workspace_root().join(format!("target/istio/run/{}", demo.pid()));
    ensure!(processes_in(&folder).len() >= 6, "{output}");
    demo.terminate();
    timeout(PATIENCE, demo.wait_for_exit()).await?;
    ensure!(demo.exit().as_deref() == Some("exit code 0"));
    assert_eq!(processes_in(&folder), [""; 0]);
    ensure!(!folder.exists(), "{} is still there", folder.display());
    Ok(())
}
