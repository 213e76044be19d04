//! Tests of what a release brings to a cluster: the chart, and the signed image. They run Helm and cosign.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use anyhow::{Context as _, Result, ensure};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::{command, harness, trials};
use divvy_lab::workspace_root;

mod chart;
mod signed;

/// A program that `make helm` or `make cosign` builds.
pub fn tool(name: &str) -> Result<Command> {
    let path = workspace_root().join("target/release-tools/bin").join(name);
    ensure!(
        path.exists(),
        "{} is missing: run `make {name}`",
        path.display()
    );
    let mut command = Command::new(path);
    command.current_dir(workspace_root());
    Ok(command)
}

/// Helm with access to the cluster of the lab.
pub fn helm(lab: &Lab) -> Result<Command> {
    let mut command = tool("helm")?;
    command.env("KUBECONFIG", lab.cluster.kubeconfig());
    for (name, folder) in [
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
    ] {
        command.env(name, lab.dir().join("helm").join(folder));
    }
    Ok(command)
}

/// The output of a command that has to succeed.
pub async fn run(command: Command) -> Result<String> {
    let output = finished(command).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The end of a command.
pub async fn finished(mut command: Command) -> Result<Output> {
    let name = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    output.context(name)
}

/// Runs the command line of divvy.
pub async fn divvy(words: &[&str]) -> Result<Output> {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    let mut command = command::divvy(&words)?;
    command.current_dir(workspace_root());
    finished(command).await
}

/// A path as text.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn main() -> ExitCode {
    if command::is_meant() {
        return divvy_cli::main();
    }
    harness::run::<Lab>(|shared| {
        trials!(
            shared,
            [
                chart::helm_lint_and_the_strict_check_find_nothing,
                chart::keys_of_signatures_come_from_the_environment_alone,
                chart::values_that_divvy_refuses_are_refused,
                chart::the_chart_has_what_render_istio_writes,
                chart::an_installed_chart_splits_changes_and_goes,
                signed::a_signed_image_is_verified_and_pulled_by_digest,
            ]
        )
    })
}
