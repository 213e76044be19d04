//! The lab with a real Envoy, and the shipped edge without the filter; only pushes need the filter's
//! build.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use divvy_lab::bootstrap::{Bootstrap, Position};
use divvy_lab::build::Build;
use divvy_lab::client::{Http1, Http2, raw, websocket_handshake};
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::{Upstream, start_versions};
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// The shipped edge in front of three upstreams.
struct Edge {
    envoy: Envoy,
    client: Http1,
    upstreams: BTreeMap<&'static str, Upstream>,
}

async fn start(bootstrap: Bootstrap) -> Result<Edge> {
    let (bootstrap, upstreams) = start_versions(bootstrap).await?;
    let envoy = Envoy::start(&Binary::find()?, &bootstrap, &Options::default()).await?;
    let client = Http1::new(envoy.listener("edge").await?);
    Ok(Edge {
        envoy,
        client,
        upstreams,
    })
}

fn edge() -> Result<Bootstrap> {
    Bootstrap::load("envoy/edge.yaml")
}

fn edge_without_filter() -> Result<Bootstrap> {
    edge()?.without_http_filter("divvy")
}

/// What Envoy says about [`plugin_without_file`].
fn missing_file() -> &'static str {
    match Build::default() {
        Build::Wasm => "Invalid path: /no/such/divvy.wasm",
        Build::Module => "Failed to load dynamic module",
    }
}

/// The shipped plugin with a path without a file, which Envoy refuses.
fn plugin_without_file() -> Result<Plugin> {
    Ok(Plugin::load("envoy/plugin.yaml")?.with_wasm("/no/such/divvy.wasm"))
}

#[tokio::test]
async fn without_the_filter_requests_take_the_stable_route() -> Result<()> {
    let edge = start(edge_without_filter()?).await?;
    let response = edge.client.get("/checkout").await?;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("x-shop-version"), Some("v1"));
    assert_eq!(edge.upstreams["v1"].requests(), 1);
    Ok(())
}

#[tokio::test]
async fn forged_headers_are_removed_before_filters_and_routing() -> Result<()> {
    // The first filter answers 403 to requests with one of them.
    let forged = ["x-divvy-route", "x-divvy-assignment", "x-divvy-mirror"];
    let principals = forged.map(|name| json!({"header": {"name": name, "present_match": true}}));
    let rbac = json!({
        "name": "rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "DENY", "policies": {
                "forged": {"permissions": [{"any": true}], "principals": principals},
            }},
        },
    });
    let plain = edge()?.with_http_filter(&rbac, Position::Before("divvy"))?;
    let edge = start(plain.without_http_filter("divvy")?).await?;
    let addr = edge.envoy.listener("edge").await?;
    for forged in [
        "x-divvy-route: v3",
        "X-DIVVY-ROUTE: v3",
        "x-divvy-route: v3\r\nx-divvy-route: v2",
        "x_divvy_route: v3",
        "x-divvy_route: v3",
        "x-divvy-assignment: checkout=v3;reason=rule",
        "x_divvy_assignment: checkout=v3",
        "x-divvy-mirror: v3",
    ] {
        let request = format!("GET /echo HTTP/1.1\r\nhost: shop\r\n{forged}\r\n\r\n");
        let response = raw(addr, request.as_bytes()).await?;
        assert_eq!(response.status, 200, "{forged}");
        assert_eq!(response.header("x-shop-version"), Some("v1"), "{forged}");
        let text = response.text();
        assert!(!text.contains("divvy"), "{forged}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn paths_are_normalised_before_the_filter() -> Result<()> {
    let edge = start(edge_without_filter()?).await?;
    for (sent, seen) in [
        ("/a/../echo", "/echo"),
        ("//echo", "/echo"),
        ("/./echo?a=..", "/echo?a=.."),
    ] {
        let response = edge.client.get(sent).await?.json()?;
        assert_eq!(response["path"], seen, "{sent}");
    }
    let response = edge.client.get("/a%2Fb").await?;
    let redirect = (response.status, response.header("location"));
    assert_eq!(redirect, (307, Some("/a/b")));
    Ok(())
}

#[tokio::test]
async fn grpc_trailers_pass_with_the_downstream_protocol() -> Result<()> {
    let edge = start(edge_without_filter()?.with_downstream_protocol()).await?;
    let client = Http2::connect(edge.envoy.listener("edge").await?).await?;
    let knob = [("x-test-grpc-status", "14")];
    let response = client.grpc("/shop.Checkout/Pay", &knob, b"").await?;
    assert_eq!(response.status, 200);
    assert_eq!(response.trailers["grpc-status"], "14");
    Ok(())
}

#[tokio::test]
async fn websockets_large_headers_and_large_bodies_are_forwarded() -> Result<()> {
    let edge = start(edge_without_filter()?).await?;
    let addr = edge.envoy.listener("edge").await?;
    let handshake = websocket_handshake("/feed", "u");
    assert_eq!(raw(addr, handshake.as_bytes()).await?.status, 101);
    let long = "x".repeat(60_000);
    let headers = [("x-user-id", &long)];
    let response = edge.client.get_with("/checkout", &headers).await?;
    assert_eq!(response.status, 200);
    let response = edge.client.get("/checkout?size=300000").await?;
    assert_eq!(response.body.len(), 300_000);
    Ok(())
}

#[tokio::test]
async fn without_a_loaded_filter_every_request_fails() -> Result<()> {
    let edge = start(edge()?.with_plugin(plugin_without_file()?)).await?;
    let Push::Refused { reasons } = edge.envoy.verdict("divvy").await? else {
        panic!("a missing filter was accepted");
    };
    let [reason] = &reasons[..] else {
        panic!("{reasons:?}");
    };
    assert!(reason.starts_with(missing_file()), "{reason}");
    assert_eq!(edge.client.get("/checkout").await?.status, 500);
    let requests: u64 = edge.upstreams.values().map(Upstream::requests).sum();
    assert_eq!(requests, 0);
    Ok(())
}

#[tokio::test]
async fn a_push_is_accepted_unchanged_or_refused_with_reasons() -> Result<()> {
    let file = workspace_root().join(Build::default().file());
    ensure!(file.exists(), "the filter is not built: run `make build`");
    let shipped = Plugin::load("envoy/plugin.yaml")?;
    let edge = start(edge()?.with_plugin(shipped.clone())).await?;
    let envoy = &edge.envoy;
    assert_eq!(envoy.verdict("divvy").await?, Push::Accepted);
    assert_eq!(envoy.push(&shipped).await?, Push::Unchanged);

    let invalid = shipped.clone().with_configuration("{\"rollouts\": 1}");
    let refused = envoy.push(&invalid).await?;
    let Push::Refused { reasons } = &refused else {
        panic!("an invalid configuration was accepted");
    };
    let names_field = reasons.iter().any(|reason| reason.contains("rollouts"));
    assert!(names_field, "{reasons:?}");
    // Envoy does not validate an equal plugin and counts a success.
    assert_eq!(envoy.push(&invalid).await?, refused);
    // The shipped one is still active, but for Envoy it is a new one.
    assert_eq!(edge.client.get("/checkout").await?.status, 200);
    assert_eq!(envoy.push(&shipped).await?, Push::Accepted);

    let missing = envoy.push(&plugin_without_file()?).await?;
    let said = missing_file();
    assert!(matches!(missing, Push::Refused { reasons } if reasons[0].contains(said)));
    Ok(())
}

#[tokio::test]
async fn the_access_log_contains_version_and_status() -> Result<()> {
    let edge = start(edge_without_filter()?).await?;
    edge.client.get("/checkout?status=418").await?;
    let limit = Duration::from_secs(5);
    let is_access_log = |line: &str| line.starts_with('{');
    let line = edge.envoy.wait_for_log(is_access_log, limit).await?;
    assert_eq!(edge.envoy.access_log(), [line.as_str()]);
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!(line["path"], "/checkout", "without the query");
    assert_eq!(line["code"], 418);
    assert_eq!(line["cluster"], "v1");
    assert_eq!(line["assignment"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn histograms_are_merged_on_each_admin_request() -> Result<()> {
    let edge = start(edge_without_filter()?).await?;
    edge.client.get("/checkout").await?;
    // Envoy counts a request at the end of its stream, after the response.
    let counted = async || {
        let metrics = edge.envoy.prometheus().await.ok()?;
        let labels = [("envoy_http_conn_manager_prefix", "edge")];
        let count = metrics.get("envoy_http_downstream_rq_time_count", &labels);
        (count == Some(1.0)).then_some(())
    };
    let timeout = Duration::from_secs(2);
    eventually("the request in the histogram", timeout, counted).await
}

#[tokio::test]
async fn concurrent_envoys_are_independent() -> Result<()> {
    let plain = edge_without_filter()?;
    let (one, two) = tokio::try_join!(start(plain.clone()), start(plain))?;
    one.client.get("/").await?;
    assert_eq!(one.upstreams["v1"].requests(), 1);
    assert_eq!(two.upstreams["v1"].requests(), 0);
    let counted = one.envoy.stats("http.edge.downstream_rq_2xx").await?;
    assert_eq!(counted["http.edge.downstream_rq_2xx"], 1);
    let metrics = two.envoy.prometheus().await?;
    let labels = [("envoy_http_conn_manager_prefix", "edge")];
    assert_eq!(metrics.sum("envoy_http_downstream_rq_xx", &labels), 0.0);
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _holder = TcpListener::bind(taken)?;
    let edge = edge_without_filter()?.with_listener_port("edge", taken.port())?;
    let error = start(edge).await.err().expect("the port is in use");
    let error = format!("{error:#}");
    let expected = format!("cannot listen on {taken}: Address already in use");
    assert!(error.starts_with(&expected), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_failed_start_is_a_one_line_error_with_the_reason() -> Result<()> {
    let mut edge = edge_without_filter()?;
    edge.json()["no_such_field"] = json!(1);
    let error = start(edge).await.err().expect("the field is unknown");
    let error = format!("{error:#}");
    assert!(error.contains("no_such_field"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_panic_stops_envoy_and_keeps_its_directory() -> Result<()> {
    let edge = start(edge_without_filter()?).await?;
    let admin = edge.envoy.admin();
    let dir = edge.envoy.dir().to_owned();
    let panicked = tokio::spawn(async move {
        let _edge = edge;
        panic!("on purpose");
    });
    assert!(panicked.await.is_err());
    let timeout = Duration::from_secs(5);
    let free = async || TcpListener::bind(admin).ok();
    eventually("the admin port to be free", timeout, free).await?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
