//! `make run-istio`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::processes_in;
use divvy_istio_tests::{PATIENCE, namespace};
use divvy_lab::process::Process;
use divvy_lab::workspace_root;
use tokio::time::timeout;

pub async fn the_demo_serves_the_shop_and_ends_all_its_processes(_: &Lab) -> Result<()> {
    if let Err(error) = namespace::available() {
        eprintln!("skipped: {error:#}");
        return Ok(());
    }
    let demo = Process::start(Command::new(env!("CARGO_BIN_EXE_divvy-istio-demo")))?;
    let ready = demo.wait_for_line(0, |line| line.starts_with("Ctrl-C"));
    let ready = timeout(2 * PATIENCE, ready).await?;
    let output = demo.lines(0, |_| true).join("\n");
    ready.with_context(|| output.clone())?;

    // The commands that it shows, in the shell that it shows.
    let line = |start: &str| {
        let found = output.lines().find(|line| line.trim().starts_with(start));
        found.with_context(|| format!("no {start} in:\n{output}"))
    };
    let shell = line("nsenter")?;
    let enter = |script: &str| -> Result<String> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("script");
        fs::write(&file, format!("set -e\n{script}\n"))?;
        let output = Command::new("sh")
            .args(["-c", shell])
            .stdin(fs::File::open(file)?)
            .output()?;
        ensure!(output.status.success(), "{script}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let tester = enter(line("curl -s -H 'x-canary")?)?;
    assert_eq!(tester.trim(), "shop v2: checkout");
    let users = enter(line("for i in")?)?;
    ensure!(
        users.lines().count() == 2 && users.contains("shop v1") && users.contains("shop v2"),
        "{users}"
    );
    enter(line("kubectl -n shop scale")?)?;
    enter("kubectl -n shop rollout status deployment/checkout-v2 --timeout=40s")?;
    let pods = enter(line("kubectl -n shop get")?)?;
    ensure!(pods.matches("pod/checkout-v2").count() == 3, "{pods}");
    let metrics = enter(line("curl -s http")?)?;
    ensure!(metrics.contains("divvy_requests_total"), "{metrics}");
    let patch = line("kubectl -n istio-system patch")?;
    enter(patch)?;

    // The gateway's log of a refused push is printed.
    enter(&patch.replace("\"value\": 60", "\"value\": 600"))?;
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
