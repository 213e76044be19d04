//! Two revisions that get requests at the same time under one plugin name: in a draining listener
//! and its successor, and in two listeners.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::setup::{Edge, PATIENCE, Setup, canary, configuration};
use anyhow::{Context, Result, ensure};
use divvy_lab::build::Build;
use divvy_lab::client::{Http1, Response};
use divvy_lab::eventually;
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::lasting::three_in_a_row;
use super::{CANARY, TAKEN_BACK, canary_user, changed, guarded, now, transition, transitions};

const HTTP_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// A revision, with a response header of its own for the assignment.
fn revision(revision: &str) -> Value {
    let mut configuration = changed(three_in_a_row(50.0), json!({"revision": revision}));
    configuration["responseHeader"] = json!(format!("x-of-{revision}"));
    configuration
}

/// The assignment of a revision, if it made this response.
fn assignment_of<'a>(answer: &'a Response, revision: &str) -> Option<&'a str> {
    answer.header(&format!("x-of-{revision}"))
}

/// The shipped listener under another name, with the filter and its configuration in it.
fn listener(shipped: &Value, name: &str, configuration: &Value) -> Result<Value> {
    let mut plugin = Plugin::load("envoy/plugin.yaml")?
        .with_name("divvy-inline")
        .with_configuration(&configuration.to_string());
    let filter = json!({"name": "divvy-inline", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": plugin.config(),
    }});
    let mut listener = shipped.clone();
    listener["name"] = json!(name);
    let manager = &mut listener["filter_chains"][0]["filters"][0];
    ensure!(manager["name"] == HTTP_MANAGER);
    let filters = &mut manager["typed_config"]["http_filters"];
    let first = filters.get_mut(0).context("no filter")?;
    ensure!(first["name"] == "divvy");
    *first = filter;
    Ok(listener)
}

/// An edge with a changed bootstrap; `change` gets the shipped listener. The discovered plugin has no
/// rollouts.
async fn start(change: impl FnOnce(&mut Value, &Value) -> Result<()>) -> Result<Edge> {
    Setup::new(&configuration(&[]))?
        .workers(1)
        .bootstrap(|bootstrap| {
            let mut bootstrap = bootstrap.without_access_log()?;
            let shipped = bootstrap.json()["static_resources"]["listeners"][0].clone();
            change(bootstrap.json(), &shipped)?;
            Ok(bootstrap)
        })?
        .start()
        .await
}

async fn ask(client: &Http1, user: &str, path: &str) -> Result<Response> {
    client.get_with(path, &[("x-user-id", user)]).await
}

/// Failures of v2 in the first revision alternate with successes in the second: v2 stays rolled back
/// in the first, and the second keeps serving it.
async fn assert_apart(
    edge: &Edge,
    first: impl AsyncFn(&str) -> Result<Response>,
    second: impl AsyncFn(&str) -> Result<Response>,
) -> Result<()> {
    for _ in 0..3 {
        let failed = first("/?status=503").await?;
        ensure!(assignment_of(&failed, "1") == Some(CANARY), "{failed:?}");
        let good = second("/").await?;
        ensure!(assignment_of(&good, "2") == Some(CANARY), "{good:?}");
    }
    let line = transition(edge, 0).await?;
    ensure!(line.starts_with("v2 is rolled back"), "{line}");
    // For some ticks of both.
    let end = now()? + 3_000;
    // With pauses: Envoy 1.36 closes a draining connection after each response.
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    while now()? < end {
        turns.tick().await;
        let answer = first("/").await?;
        ensure!(
            assignment_of(&answer, "1") == Some(TAKEN_BACK),
            "{answer:?}"
        );
        let answer = second("/").await?;
        ensure!(assignment_of(&answer, "2") == Some(CANARY), "{answer:?}");
    }
    ensure!(transitions(edge, 0).len() == 1);
    // The second revision still counts and judges separately.
    let mark = edge.envoy.log_mark();
    for _ in 0..3 {
        ensure!(assignment_of(&second("/?status=503").await?, "2") == Some(CANARY));
        ensure!(assignment_of(&first("/").await?, "1") == Some(TAKEN_BACK));
    }
    transition(edge, mark).await?;
    eventually("the second revision's verdict", PATIENCE, async || {
        let answer = second("/").await.ok()?;
        (assignment_of(&answer, "2") == Some(TAKEN_BACK)).then_some(())
    })
    .await
}

#[tokio::test]
async fn two_listeners_with_one_plugin_name_keep_their_verdicts_apart() -> Result<()> {
    let edge = start(|bootstrap, shipped| {
        let [first, second] = ["1", "2"].map(|number| listener(shipped, number, &revision(number)));
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut();
        listeners.context("no listeners")?.extend([first?, second?]);
        Ok(())
    })
    .await?;
    let user = canary_user()?;
    let first = Http1::new(edge.envoy.listener("1").await?);
    let second = Http1::new(edge.envoy.listener("2").await?);
    assert_apart(
        &edge,
        async |path| ask(&first, &user, path).await,
        async |path| ask(&second, &user, path).await,
    )
    .await
}

#[tokio::test]
async fn two_listeners_of_one_revision_judge_the_versions_that_only_one_of_them_has() -> Result<()>
{
    let errors = guarded(canary(50.0), json!({"errors": {"max": 1}}));
    let telling = |mut configuration: Value, number: &str| {
        configuration["responseHeader"] = json!(format!("x-of-{number}"));
        configuration
    };
    let other = json!({
        "versions": [{"name": "v1"}, {"name": "v3"}],
        "strategy": {"canary": {"version": "v3", "weight": 50}},
    });
    let configurations = [
        telling(errors.clone(), "1"),
        telling(changed(errors, other), "2"),
    ];
    let edge = start(|bootstrap, shipped| {
        let numbered = ["1", "2"].into_iter().zip(&configurations);
        let both = numbered.map(|(number, of)| listener(shipped, number, of));
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut();
        listeners
            .context("no listeners")?
            .extend(both.collect::<Result<Vec<_>>>()?);
        Ok(())
    })
    .await?;
    let user = canary_user()?;
    let first = Http1::new(edge.envoy.listener("1").await?);
    let second = Http1::new(edge.envoy.listener("2").await?);
    // Fewer requests between two ticks than a verdict needs.
    let mut turns = tokio::time::interval(Duration::from_millis(100));
    let end = now()? + u64::try_from(PATIENCE.as_millis())?;
    loop {
        turns.tick().await;
        let answer = ask(&first, &user, "/?status=503").await?;
        if assignment_of(&answer, "1") == Some(TAKEN_BACK) {
            break;
        }
        ensure!(assignment_of(&answer, "1") == Some(CANARY), "{answer:?}");
        ensure!(now()? < end, "v2 fails all the time and is not rolled back");
        let answer = ask(&second, &user, "/").await?;
        ensure!(
            assignment_of(&answer, "2") == Some("checkout=v3;reason=split"),
            "{answer:?}"
        );
    }
    ensure!(transitions(&edge, 0).len() == 1);
    Ok(())
}

/// Moves a listener into the file that Envoy watches.
fn publish(dir: &Path, version: &str, mut listener: Value) -> Result<()> {
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    Build::default().put_into(&mut listener);
    let file = json!({"version_info": version, "resources": [listener]});
    let draft = dir.join("draft.json");
    fs::write(&draft, file.to_string())?;
    fs::rename(draft, dir.join("listeners.json"))?;
    Ok(())
}

/// Clients with persistent connections, which stay with a draining listener.
struct Kept(Mutex<Vec<Http1>>);

impl Kept {
    async fn open(addr: SocketAddr, user: &str) -> Result<Kept> {
        let kept = Kept(Mutex::default());
        for _ in 0..200 {
            let client = Http1::new(addr);
            let answer = ask(&client, user, "/").await?;
            ensure!(assignment_of(&answer, "1") == Some(CANARY), "{answer:?}");
            kept.0.lock().await.push(client);
        }
        Ok(kept)
    }

    /// Sends a request on a connection that is still open: a draining listener closes a few at a time,
    /// and announces it.
    async fn ask(&self, user: &str, path: &str) -> Result<Response> {
        let mut clients = self.0.lock().await;
        let client = clients.pop().context("Envoy closed all connections")?;
        let answer = ask(&client, user, path).await?;
        if answer.header("connection") != Some("close") {
            clients.push(client);
        }
        Ok(answer)
    }
}

#[tokio::test]
async fn a_draining_listener_and_its_successor_keep_their_verdicts_apart() -> Result<()> {
    let dir = TempDir::new()?;
    let mut shipped = Value::Null;
    let edge = start(|bootstrap, listener_as_shipped| {
        shipped = listener_as_shipped.clone();
        publish(
            dir.path(),
            "1",
            listener(&shipped, "inline", &revision("1"))?,
        )?;
        bootstrap["dynamic_resources"]["lds_config"] = json!({
            "resource_api_version": "V3",
            "path_config_source": {
                "path": dir.path().join("listeners.json"),
                "watched_directory": {"path": dir.path()},
            },
        });
        bootstrap["node"] = json!({"id": "edge", "cluster": "edge"});
        Ok(())
    })
    .await?;
    let user = canary_user()?;
    let addr = edge.envoy.listener("inline").await?;
    let draining = Kept::open(addr, &user).await?;
    publish(
        dir.path(),
        "2",
        listener(&shipped, "inline", &revision("2"))?,
    )?;
    let next = eventually("the next listener", PATIENCE, async || {
        let client = Http1::new(edge.envoy.listener("inline").await.ok()?);
        let answer = ask(&client, &user, "/").await.ok()?;
        assignment_of(&answer, "2").is_some().then_some(client)
    })
    .await?;
    assert_apart(
        &edge,
        async |path| draining.ask(&user, path).await,
        async |path| ask(&next, &user, path).await,
    )
    .await
}
