//! What `divvy init` and `divvy render envoy` write, in a real Envoy without any change.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use divvy_lab::client::{Http1, Response};
use divvy_lab::envoy::Binary;
use divvy_lab::process::Process;
use divvy_lab::upstream::Upstream;
use divvy_lab::{eventually, workspace_root};
use tempfile::TempDir;

use crate::setup::PATIENCE;

/// Runs the command line, which must succeed.
fn divvy(words: &[&str]) -> Result<()> {
    divvy_cli::run_words(words).with_context(|| words.join(" "))?;
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The rendered files in a running Envoy.
struct Rendered {
    _envoy: Process,
    folder: TempDir,
    client: Http1,
    _upstreams: Vec<Upstream>,
}

impl Rendered {
    /// Renders a configuration for these targets, each with the upstream of a version, and starts Envoy as the command
    /// says.
    async fn start(config: &str, targets: &[(&str, &str)]) -> Result<Rendered> {
        let folder = tempfile::tempdir()?;
        let place = folder.path().display().to_string();
        let (port, admin) = (free_port()?, free_port()?);
        let wasm = workspace_root()
            .join("target/divvy.wasm")
            .display()
            .to_string();
        let mut words: Vec<String> = ["render", "envoy", config, "--into", &place, "--wasm", &wasm]
            .map(str::to_owned)
            .into();
        words.extend([
            "--listen".to_owned(),
            port.to_string(),
            "--admin".to_owned(),
            format!("127.0.0.1:{admin}"),
        ]);
        let mut upstreams = Vec::new();
        for (target, version) in targets {
            let upstream = Upstream::start(version).await?;
            words.extend([
                "--upstream".to_owned(),
                format!("{target}={}", upstream.addr()),
            ]);
            upstreams.push(upstream);
        }
        divvy(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut command = Command::new(Binary::find()?.path);
        command.arg("-c").arg(folder.path().join("envoy.yaml"));
        // Others on this machine may use the default.
        command.args(["--disable-hot-restart", "--concurrency", "2"]);
        let envoy = Process::start(command)?;
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let ready = Http1::new(address(admin));
        let started = eventually("Envoy to be ready", PATIENCE, async || {
            if envoy.exit().is_some() {
                return Some(Err(anyhow::anyhow!(
                    "{}",
                    envoy.lines(0, |_| true).join("\n")
                )));
            }
            let workers = ready
                .get("/stats?filter=listener_manager.workers_started")
                .await;
            let answer = workers.ok()?;
            answer
                .text()
                .contains("workers_started: 1")
                .then_some(Ok(()))
        });
        started.await??;
        Ok(Rendered {
            _envoy: envoy,
            folder,
            client: Http1::new(address(port)),
            _upstreams: upstreams,
        })
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
        self.client.get_with(path, headers).await
    }
}

fn served(answer: &Response) -> &str {
    answer.header("x-shop-version").unwrap_or_default()
}

#[tokio::test]
async fn init_and_render_give_a_running_split_that_follows_changes_of_the_configuration()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("divvy.yaml");
    let config = path.display().to_string();
    let flags = [
        "--identity",
        "header:x-user-id",
        "--versions",
        "v1,v2",
        "--name",
        "checkout",
        "--weight",
        "20",
    ];
    divvy(
        &[
            &["init", "--platform", "envoy", "--into", &config][..],
            &flags,
        ]
        .concat(),
    )?;
    let edge = Rendered::start(&config, &[("v1", "v1"), ("v2", "v2")]).await?;

    let mut counts = BTreeMap::new();
    for user in 1..=1_000 {
        let user = user.to_string();
        // A forged route has no effect.
        let headers = [("x-user-id", user.as_str()), ("x-divvy-route", "v2")];
        let answer = edge.get("/", &headers).await?;
        let decision = format!("checkout={};reason=split", served(&answer));
        assert_eq!(answer.header("x-divvy-version"), Some(&*decision), "{user}");
        *counts.entry(served(&answer).to_owned()).or_insert(0) += 1;
    }
    // The salt is the name, so the users are always the same: 20 % plus or minus four standard errors.
    ensure!((149..=251).contains(&counts["v2"]), "{counts:?}");
    let tester = edge.get("/", &[("x-canary", "true")]).await?;
    assert_eq!(served(&tester), "v2");
    let anonymous = edge.get("/", &[]).await?;
    assert_eq!(served(&anonymous), "v1");

    // A change of the file takes effect without a restart, by a rename.
    let text = fs::read_to_string(&path)?;
    fs::write(&path, text.replace("weight: 20}", "weight: 100}"))?;
    let plugin = edge.folder.path().join("plugin.yaml").display().to_string();
    let wasm = workspace_root()
        .join("target/divvy.wasm")
        .display()
        .to_string();
    divvy(&[
        "render", "plugin", &config, "--wasm", &wasm, "--into", &plugin,
    ])?;
    eventually("the new weight", PATIENCE, async || {
        let answer = edge.get("/", &[]).await.ok()?;
        (served(&answer) == "v2").then_some(())
    })
    .await
}

#[tokio::test]
async fn requests_without_a_decision_get_stable_of_the_rollout_that_they_belong_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("divvy.json");
    let rollout = |name: &str, path: &str| {
        serde_json::json!({
            "name": name, "match": [{"path": {"prefix": path}, "methods": ["GET"]}], "target": format!("{name}-{{version}}"),
            "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1", "strategy": {"blueGreen": {"active": "v2"}},
        })
    };
    let config =
        serde_json::json!({"rollouts": [rollout("cart", "/cart"), rollout("pay", "/pay")]});
    fs::write(&path, config.to_string())?;
    let targets = [
        ("cart-v1", "v1"),
        ("cart-v2", "v2"),
        ("pay-v1", "v3"),
        ("pay-v2", "v4"),
    ];
    let edge = Rendered::start(&path.display().to_string(), &targets).await?;
    for (path, version) in [
        ("/cart/a", "v2"),
        ("/pay", "v4"),
        ("/payment", "v1"),
        ("/", "v1"),
    ] {
        let answer = edge.get(path, &[]).await?;
        assert_eq!(served(&answer), version, "{path}");
    }
    // Without divvy's decision: the same routes, by a configuration that is off.
    fs::write(&path, r#"{"rollouts": []}"#)?;
    let plugin = edge.folder.path().join("plugin.yaml").display().to_string();
    let wasm = workspace_root()
        .join("target/divvy.wasm")
        .display()
        .to_string();
    divvy(&[
        "render",
        "plugin",
        &path.display().to_string(),
        "--wasm",
        &wasm,
        "--into",
        &plugin,
    ])?;
    eventually("no decisions", PATIENCE, async || {
        let answer = edge.get("/pay", &[]).await.ok()?;
        (served(&answer) == "v3").then_some(())
    })
    .await?;
    assert_eq!(served(&edge.get("/cart/a", &[]).await?), "v1");
    Ok(())
}

/// What Envoy says about a bootstrap with its plugin file.
fn validated(bootstrap: &Path) -> Result<()> {
    let mut command = Command::new(Binary::find()?.path);
    command.args(["--mode", "validate", "-c"]).arg(bootstrap);
    let output = command.output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {log}", bootstrap.display());
    Ok(())
}

#[test]
fn envoy_validates_what_is_rendered_for_every_example_and_for_all_options() -> Result<()> {
    let root = workspace_root();
    let mut configs: Vec<String> = vec![
        root.join("tests/cases/rich.json").display().to_string(),
        root.join("tests/cases/valid.json").display().to_string(),
    ];
    for entry in fs::read_dir(root.join("envoy/examples"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            configs.push(path.display().to_string());
        }
    }
    ensure!(configs.len() > 15);
    for config in configs {
        let folder = tempfile::tempdir()?;
        let place = folder.path().display().to_string();
        let words = [
            "render",
            "envoy",
            &config,
            "--into",
            &place,
            "--http2",
            "--listen",
            "[::1]:8080",
            "--bootstrap",
            "b.yaml",
        ];
        divvy(&words)?;
        validated(&folder.path().join("b.yaml"))?;
    }
    let folder = tempfile::tempdir()?;
    let place = folder.path().display().to_string();
    let config = root.join("envoy/divvy.yaml").display().to_string();
    let words = [
        "render",
        "envoy",
        &config,
        "--into",
        &place,
        "--upstream",
        "v1=[::1]:80",
        "--upstream",
        "v2=shop.internal:80",
    ];
    divvy(&words)?;
    validated(&folder.path().join("envoy.yaml"))
}
