//! Envoy's own splits and what `divvy convert` makes of them, side by side: the sources of the command line's tests
//! get the same requests before and after.

use std::fs;

use crate::setup::Setup;
use anyhow::{Context, Result, ensure};
use divvy_cli::convert::choice::Choices;
use divvy_cli::convert::{self};
use divvy_cli::manifest::json;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{Http1, request};
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::tally::Tally;
use divvy_lab::upstream::start_versions;
use divvy_lab::workspace_root;
use serde_json::Value;

/// Requests per source, divided among its rows.
const REQUESTS: usize = 1200;
/// Minimum per row, so that the tolerance of two shares is at most 16 points.
const MIN_REQUESTS: usize = 500;

/// A request: method, host, path, headers, and whether the source divides it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    bool,
);

const TWO_CLUSTERS: &[Row] = &[
    ("GET", "a.example", "/checkout", &[], true),
    ("GET", "a.example", "/checkout/pay?x=1", &[], true),
    ("GET", "a.example", "/checkout2", &[], true),
    (
        "GET",
        "a.example",
        "/checkout",
        &[("x-canary", "true")],
        false,
    ),
    (
        "GET",
        "a.example",
        "/checkout",
        &[("x-canary", "True")],
        true,
    ),
    ("GET", "a.example", "/", &[("x-canary", "true")], false),
];
const SUM_OF_TEN: &[Row] = &[
    ("GET", "shop.example.com", "/pay", &[], true),
    ("GET", "shop.example.com", "/pay/", &[], false),
    ("POST", "shop.example.com", "/cart", &[], true),
    ("POST", "a.shop.example.com", "/cart/1", &[], true),
    ("POST", "shop.example.com", "/cart2", &[], false),
    ("GET", "shop.example.com", "/cart", &[], false),
    ("GET", "other.example.com", "/pay", &[], false),
];
const RUNTIME_FRACTION: &[Row] = &[
    ("GET", "a.example", "/search", &[], true),
    ("GET", "a.example", "/searching?q=a", &[], true),
    ("GET", "a.example", "/", &[("x-a", "1")], true),
];
const THREE_CLUSTERS: &[Row] = &[
    ("GET", "a.example", "/", &[], true),
    // Envoy fails an inverted test without the header.
    ("GET", "a.example", "/", &[("x-age", "20")], true),
    (
        "GET",
        "a.example",
        "/",
        &[("x-age", "20"), ("user-agent", "b")],
        false,
    ),
    (
        "GET",
        "a.example",
        "/",
        &[("x-age", "30"), ("user-agent", "b")],
        true,
    ),
    (
        "GET",
        "a.example",
        "/a",
        &[("x-age", "20"), ("user-agent", "a MOBILE b")],
        true,
    ),
    ("GET", "a.example", "/?preview=1", &[], false),
    ("GET", "a.example", "/?preview=2", &[], true),
    (
        "GET",
        "a.example",
        "/?preview=1",
        &[("x-age", "18"), ("user-agent", "b")],
        false,
    ),
];
const BEHIND_HEADERS: &[Row] = &[
    (
        "GET",
        "a.example",
        "/api/v1/a",
        &[("x-tenant", "acme-7")],
        true,
    ),
    (
        "GET",
        "a.example",
        "/api/v2/a",
        &[("x-tenant", "acme")],
        false,
    ),
    ("GET", "a.example", "/api/v2/a", &[], false),
    (
        "GET",
        "a.example",
        "/api/v3/a",
        &[("x-tenant", "acme-7")],
        false,
    ),
    ("GET", "a.example", "/", &[], false),
];
const LEFT_IN_PLACE: &[Row] = &[
    ("GET", "a.example", "/old", &[], false),
    ("GET", "a.example", "/hash", &[], true),
    ("GET", "a.example", "/meta", &[], false),
    ("GET", "a.example", "/", &[], false),
];

/// The virtual hosts of a document.
fn virtual_hosts(document: &Value) -> Result<Value> {
    let hosts = document.get("virtual_hosts").context("virtual_hosts")?;
    Ok(hosts.clone())
}

/// The shipped edge with other virtual hosts.
fn with_hosts(mut bootstrap: Bootstrap, hosts: &Value) -> Result<Bootstrap> {
    for manager in bootstrap.connection_managers()? {
        manager["route_config"]["virtual_hosts"] = hosts.clone();
    }
    Ok(bootstrap)
}

/// The answers to each row.
async fn answers(client: &Http1, rows: &[Row]) -> Result<Vec<Tally>> {
    let mut tallies = Vec::new();
    for (method, host, path, headers, _) in rows {
        let mut tally = Tally::default();
        for user in 0..REQUESTS.div_ceil(rows.len()).max(MIN_REQUESTS) {
            let user = format!("user-{user}");
            let mut all = vec![("host", *host), ("x-user-id", user.as_str())];
            all.extend_from_slice(headers);
            tally.add(&client.send(request(method, path, &all, "")?).await?);
        }
        tallies.push(tally);
    }
    Ok(tallies)
}

async fn compare(file: &str, rows: &[Row]) -> Result<()> {
    let path = format!("src/cli/tests/convert/envoy/{file}");
    let path = workspace_root().join(path);
    let source: Value = serde_json::from_str(&from_yaml_or_json(&fs::read_to_string(&path)?)?)?;

    // Before: no divvy.
    let bootstrap = Bootstrap::load("envoy/edge.yaml")?.without_http_filter("divvy")?;
    let bootstrap = with_hosts(bootstrap, &virtual_hosts(&source)?)?;
    let (bootstrap, _upstreams) = start_versions(bootstrap).await?;
    let envoy = Envoy::start(&Binary::find()?, &bootstrap, &Options::default()).await?;
    let before = Http1::new(envoy.listener("edge").await?);

    let choices = Choices {
        identity: vec!["header:x-user-id".parse().map_err(anyhow::Error::msg)?],
        ..Choices::default()
    };
    let report = convert::convert(&[path], &choices)?;
    let [routes] = report.routes.as_slice() else {
        anyhow::bail!("{} documents of routes", report.routes.len());
    };
    let routes: Value = serde_json::from_str(&json::write(routes))?;
    let configuration: Value = serde_json::from_str(&json::write(&report.configuration))?;
    let hosts = virtual_hosts(&routes)?;
    let edge = Setup::new(&configuration)?
        .bootstrap(|bootstrap| with_hosts(bootstrap, &hosts))?
        .start()
        .await?;

    let old = answers(&before, rows).await?;
    let new = answers(&edge.client, rows).await?;
    for ((row, old), new) in rows.iter().zip(&old).zip(&new) {
        let context = || format!("{file}: {row:?}");
        ensure!(old.is_divided() == row.4, "{}: {old:?}", context());
        let Err(difference) = old.same_as(new) else {
            continue;
        };
        // Envoy draws at random: a difference has to be seen twice.
        ensure!(row.4, "{}: {difference}", context());
        let again = answers(&before, &[*row]).await?;
        again[0].same_as(new).with_context(context)?;
    }
    Ok(())
}

#[tokio::test]
async fn two_clusters_and_testers_by_header() -> Result<()> {
    compare("two-clusters.yaml", TWO_CLUSTERS).await
}

#[tokio::test]
async fn weights_with_another_sum_and_headers_of_one_cluster() -> Result<()> {
    compare("sum-of-ten.yaml", SUM_OF_TEN).await
}

#[tokio::test]
async fn a_runtime_fraction() -> Result<()> {
    compare("runtime-fraction.yaml", RUNTIME_FRACTION).await
}

#[tokio::test]
async fn three_clusters_behind_rules() -> Result<()> {
    compare("three-clusters.yaml", THREE_CLUSTERS).await
}

#[tokio::test]
async fn weights_behind_a_header_with_settings_of_their_own() -> Result<()> {
    compare("behind-headers.yaml", BEHIND_HEADERS).await
}

#[tokio::test]
async fn what_is_not_converted_stays_as_it_was() -> Result<()> {
    compare("left-in-place.yaml", LEFT_IN_PLACE).await
}
