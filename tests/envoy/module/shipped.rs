//! The shipped files of the module as a user runs them.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use divvy_lab::client::Http1;
use divvy_lab::envoy::Binary;
use divvy_lab::process::Process;
use divvy_lab::{eventually, workspace_root};
use tokio::time::timeout;

use crate::PATIENCE;

/// The last port is that of the admin interface.
const PORTS: [&str; 2] = ["port_value: 10000", "port_value: 9901"];

#[tokio::test]
async fn the_shipped_files_run_in_every_envoy_that_loads_modules() -> Result<()> {
    let binary = Binary::find()?;
    // In a folder of its own, with free ports in place of the shipped ones.
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("envoy"))?;
    let mut bootstrap = fs::read_to_string(workspace_root().join("envoy/module.yaml"))?;
    let free = PORTS.map(|_| TcpListener::bind("127.0.0.1:0"));
    let mut addresses = Vec::new();
    for (port, free) in PORTS.iter().zip(free) {
        let address = free?.local_addr()?;
        ensure!(bootstrap.contains(port), "{port}");
        bootstrap = bootstrap.replacen(port, &format!("port_value: {}", address.port()), 1);
        addresses.push(address);
    }
    fs::write(dir.path().join("envoy/module.yaml"), bootstrap)?;
    fs::copy(
        workspace_root().join("envoy/module-plugin.yaml"),
        dir.path().join("envoy/module-plugin.yaml"),
    )?;
    let mut command = Command::new(&binary.path);
    command
        .args(["-c", "envoy/module.yaml", "--use-dynamic-base-id"])
        .args(["--concurrency", "1"])
        .current_dir(dir.path())
        .env(
            "ENVOY_DYNAMIC_MODULES_SEARCH_PATH",
            workspace_root().join("target"),
        );
    let envoy = Process::start(command)?;
    // Earlier versions refuse the plugin, with this reason.
    let mut old = ["1.36.", "1.37."].iter();
    let before_1_38 = old.any(|old| binary.version.starts_with(old));
    let expected = match before_1_38 {
        true => "no such field: 'metrics_namespace'",
        false => "divvy: configuration \"1\" is in force: rollouts: 1",
    };
    let said = envoy.wait_for_line(0, |line| line.contains(expected));
    let said = timeout(PATIENCE, said).await.with_context(|| expected)?;
    ensure!(said.is_some(), "Envoy ended");
    if !before_1_38 {
        let answer = eventually("a decision", PATIENCE, async || {
            let client = Http1::new(addresses[0]);
            let answer = client.get_with("/checkout", &[("x-canary", "true")]).await;
            answer.ok()?.header("x-divvy-version").map(str::to_owned)
        });
        assert_eq!(answer.await?, "checkout=v2;reason=rule");
        let metrics = Http1::new(addresses[1]).get("/stats/prometheus").await?;
        let counted = "divvy_requests_total{divvy_rollout=\"checkout\",divvy_version=\"v2\",\
                       divvy_reason=\"rule\"} ";
        ensure!(metrics.text().contains(counted), "{}", metrics.text());
    }
    envoy.terminate();
    envoy.wait_for_exit().await;
    Ok(())
}
