//! `divvy ui` with real Envoys: a canary that is rolled back while a client asks.

use std::net::SocketAddr;

use crate::setup::{Edge, PATIENCE, Setup, canary, configuration, rollout, rollout_with};
use anyhow::{Context, Result, ensure};
use divvy_cli::{Verb, read_words, ui};
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A server in this process. Dropping it ends it.
struct Ui {
    client: Http1,
    task: tokio::task::JoinHandle<()>,
    folder: TempDir,
}

impl Ui {
    /// Observes these proxies and follows `canary.yaml` in its folder.
    async fn start(admins: &[SocketAddr]) -> Result<Ui> {
        let folder = TempDir::new()?;
        std::fs::write(
            folder.path().join("index.html"),
            "<html><head></head></html>",
        )?;
        let path = folder.path().to_str().context("a path")?.to_owned();
        let file = format!("{path}/canary.yaml");
        let mut words = vec!["ui", "--every", "200ms", "--page", &path, &file];
        let admins: Vec<_> = admins.iter().map(SocketAddr::to_string).collect();
        for admin in &admins {
            words.extend(["--admin", admin]);
        }
        let Verb::Ui(args) = read_words(&words)?.verb else {
            anyhow::bail!("another verb");
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = Http1::new(listener.local_addr()?);
        let task = tokio::spawn(ui::server(&args)?.run(listener));
        Ok(Ui {
            client,
            task,
            folder,
        })
    }

    async fn live(&self) -> Result<Value> {
        let headers = [("host", "localhost")];
        let answer = self.client.get_with("/api/live?rollout=checkout", &headers);
        let answer = answer.await?;
        ensure!(answer.status == 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the data fulfil the condition.
    async fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = async || self.live().await.ok().filter(|live| fits(live));
        let outcome = eventually(what, PATIENCE, found).await;
        if outcome.is_err() {
            eprintln!("{:#}", self.live().await?);
        }
        outcome
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn version<'l>(live: &'l Value, field: &str) -> &'l Value {
    &live["rollout"]["now"]["versions"]["v2"][field]
}

/// A canary of 40 % that three failures in a row roll back.
fn guarded() -> Value {
    let fields = json!({"guardrail": {"consecutiveErrors": 3}});
    configuration(&[rollout_with("checkout", canary(40.0), fields)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_is_in_the_live_data_with_its_history() -> Result<()> {
    let configuration = guarded();
    let edge = Edge::start(&configuration).await?;
    let ui = Ui::start(&[edge.envoy.admin()]).await?;
    std::fs::write(
        ui.folder.path().join("canary.yaml"),
        configuration.to_string(),
    )?;
    for user in 0..100 {
        edge.get_as(user.to_string(), "/").await?;
    }
    let healthy = ui
        .until("values of v2", |live| {
            let series = live["rollout"]["series"]["v2"].as_array();
            let points = series.map_or(&[][..], Vec::as_slice);
            points.iter().any(|point| point[2].as_f64() > Some(0.0))
                && points.iter().any(|point| point[4].is_number())
        })
        .await?;
    assert_eq!(healthy["findings"], json!([]));
    assert_eq!(healthy["events"], json!([]));
    assert_eq!(healthy["rollouts"][0]["state"], "healthy");
    assert_eq!(
        healthy["rollout"]["configured"],
        json!({"v1": 60.0, "v2": 40.0, "v3": 0.0})
    );
    assert_eq!(version(&healthy, "weight"), 40.0);
    // The proxy has the configuration of the file.
    ensure!(healthy["file"]["hash"].is_string());
    assert_eq!(healthy["file"]["hash"], healthy["proxies"][0]["hash"]);

    for user in 0..100 {
        edge.get_as(user.to_string(), "/?status=503").await?;
    }
    let held = ui
        .until("the rollback", |live| {
            live["rollouts"][0]["state"] == "rolled back"
        })
        .await?;
    // What the file says and what is in force differ now.
    assert_eq!(held["rollout"]["configured"]["v2"], 40.0);
    assert_eq!(version(&held, "weight"), 0.0);
    let event = &held["events"][0];
    let proxy = held["proxies"][0]["url"].as_str().context("a name")?;
    let text = format!("checkout v2 is rolled back in 1 of 1 proxies: {proxy}");
    assert_eq!(event["text"], text);
    assert_eq!(
        (&event["kind"], &event["first"]),
        (&json!("rolled back"), &json!(false))
    );
    ensure!(event["time"].as_u64() <= held["time"].as_u64(), "{event}");
    let series = held["rollout"]["series"]["v2"]
        .as_array()
        .context("series")?;
    ensure!(
        series.iter().any(|point| point[3].as_f64() > Some(0.0)),
        "errors: {series:?}"
    );
    let weights: Vec<_> = series.iter().map(|point| point[1].as_f64()).collect();
    ensure!(
        weights.contains(&Some(40.0)) && weights.ends_with(&[Some(0.0)]),
        "{weights:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_disagree_are_inert_or_end_are_told_apart() -> Result<()> {
    let one = Edge::start(&guarded()).await?;
    let other = Edge::start(&configuration(&[rollout("checkout", canary(10.0))])).await?;
    let bad = configuration(&[rollout("checkout", canary(500.0))]).to_string();
    let inert = Setup::of_anything(&bad)?.start().await?;
    let ui = Ui::start(&[&one, &other, &inert].map(|edge| edge.envoy.admin())).await?;
    std::fs::write(ui.folder.path().join("canary.yaml"), guarded().to_string())?;
    let live = ui
        .until("three proxies", |live| live["proxies"][2]["inert"] == true)
        .await?;
    assert_eq!(live["agree"], false);
    let file = &live["file"]["hash"];
    let has_it = [0, 1].map(|index| live["proxies"][index]["hash"] == *file);
    assert_eq!(has_it, [true, false]);
    let has = |live: &Value, list: &str, text: &str| {
        let texts = live[list].as_array().into_iter().flatten();
        let mut texts = texts.filter_map(|one| one["text"].as_str().or(one.as_str()));
        texts.any(|one| one.contains(text))
    };
    ensure!(
        has(&live, "findings", "proxies have different configurations"),
        "{live}"
    );
    ensure!(
        has(&live, "findings", "checkout v2 has different shares"),
        "{live}"
    );
    ensure!(has(&live, "events", "has no valid configuration"), "{live}");

    // The second gets the configuration of the first; the first ends.
    other.put(&guarded()).await?;
    other.get_as("1", "/").await?;
    let live = ui
        .until("the new configuration", |live| {
            live["proxies"][1]["hash"] == live["file"]["hash"]
        })
        .await?;
    let hash = live["file"]["hash"].as_str().context("a hash")?;
    ensure!(
        has(
            &live,
            "events",
            &format!("has configuration {hash}, before ")
        ),
        "{live}"
    );
    one.envoy.stop().await;
    ui.until("the end of a proxy", |live| {
        live["proxies"][0]["error"].is_string() && has(live, "events", "does not answer: ")
    })
    .await?;
    Ok(())
}
