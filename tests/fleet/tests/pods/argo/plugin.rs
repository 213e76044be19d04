//! The tests of the plugin that need an API server, which are those of its Go package.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_lab::workspace_root;

pub async fn the_plugin_edits_each_kind_of_object_and_survives_conflicts(
    pods: &Pods,
) -> Result<()> {
    let cluster = &pods.lab().cluster;
    let folder = workspace_root().join("target/argo");
    let kinds = folder.join("gateway-crds.yaml").display().to_string();
    cluster
        .run(&["apply", "--server-side", "-f", &kinds])
        .await?;
    cluster
        .run(&["wait", "--for=condition=Established", "crd", "--all"])
        .await?;
    let mut command = Command::new(folder.join("divvy-argo.test"));
    command
        .args(["-test.v", "-test.count=1", "-test.run=OnServer"])
        .env("DIVVY_TEST_KUBECONFIG", cluster.kubeconfig())
        .current_dir(workspace_root().join("istio/argo"));
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.context("target/argo/divvy-argo.test: run `make argo-plugin`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}");
    ensure!(!text.contains("--- SKIP"), "{text}");
    for kind in [
        "WasmPlugin",
        "TrafficExtension",
        "EnvoyExtensionPolicy",
        "ConfigMap",
    ] {
        let line = format!("--- PASS: TestReleaseOnServer/{kind}");
        ensure!(text.contains(&line), "{kind}: {text}");
    }
    for test in ["TestConflictOnServer", "TestEndlessConflictOnServer"] {
        ensure!(text.contains(&format!("--- PASS: {test}")), "{text}");
    }
    Ok(())
}
