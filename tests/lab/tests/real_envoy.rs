//! The lab itself against a real Envoy, and what the shipped edge does before the filter runs.
//!
//! The filter's own behaviour is tested in tests/envoy; this needs it built only for pushes.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use divvy_lab::bootstrap::{Bootstrap, Position};
use divvy_lab::client::{Http1, Http2, raw};
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::Upstream;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// The shipped edge in front of three upstreams.
struct Edge {
    envoy: Envoy,
    client: Http1,
    upstreams: Vec<Upstream>,
}

async fn upstreams(mut bootstrap: Bootstrap) -> Result<(Bootstrap, Vec<Upstream>)> {
    let mut upstreams = Vec::new();
    for version in ["v1", "v2", "v3"] {
        let upstream = Upstream::start(version).await?;
        bootstrap = bootstrap.with_upstream(version, upstream.addr())?;
        upstreams.push(upstream);
    }
    Ok((bootstrap, upstreams))
}

async fn start(bootstrap: Bootstrap) -> Result<Edge> {
    let (bootstrap, upstreams) = upstreams(bootstrap).await?;
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

fn edge_without_the_filter() -> Result<Bootstrap> {
    edge()?.without_http_filter("divvy")
}

/// The shipped plugin without a filter file: Envoy refuses it.
fn plugin_that_cannot_load() -> Result<Plugin> {
    Ok(Plugin::load("envoy/plugin.yaml")?.with_wasm("/no/such/divvy.wasm"))
}

#[tokio::test]
async fn without_a_decision_every_request_goes_to_stable() -> Result<()> {
    let edge = start(edge_without_the_filter()?).await?;
    let answer = edge.client.get("/checkout").await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-shop-version"), Some("v1"));
    assert_eq!(edge.upstreams[0].requests(), 1);
    Ok(())
}

#[tokio::test]
async fn forged_headers_are_gone_before_any_filter_or_route_sees_them() -> Result<()> {
    // A filter in front that answers 403 to whatever still bears one of them.
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
        let answer = raw(addr, request.as_bytes()).await?;
        assert_eq!(answer.status, 200, "{forged}");
        assert_eq!(answer.header("x-shop-version"), Some("v1"), "{forged}");
        let text = answer.text();
        assert!(!text.contains("divvy"), "{forged} came through: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn paths_are_made_plain_before_the_filter_sees_them() -> Result<()> {
    let edge = start(edge_without_the_filter()?).await?;
    for (sent, seen) in [
        ("/a/../echo", "/echo"),
        ("//echo", "/echo"),
        ("/./echo?a=..", "/echo?a=.."),
    ] {
        let answer = edge.client.get(sent).await?.json()?;
        assert_eq!(answer["path"], seen, "{sent}");
    }
    let answer = edge.client.get("/a%2Fb").await?;
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, Some("/a/b"))
    );
    Ok(())
}

#[tokio::test]
async fn grpc_with_trailers_passes_when_upstreams_follow_the_client() -> Result<()> {
    let edge = start(edge_without_the_filter()?.with_downstream_protocol()).await?;
    let client = Http2::connect(edge.envoy.listener("edge").await?).await?;
    let knob = [("x-test-grpc-status", "14")];
    let answer = client.grpc("/shop.Checkout/Pay", &knob, b"").await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.trailers["grpc-status"], "14");
    Ok(())
}

#[tokio::test]
async fn websockets_large_headers_and_large_bodies_pass() -> Result<()> {
    let edge = start(edge_without_the_filter()?).await?;
    let addr = edge.envoy.listener("edge").await?;
    let upgrade =
        b"GET /feed HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(raw(addr, upgrade).await?.status, 101);
    let long = "x".repeat(60_000);
    let answer = edge
        .client
        .get_with("/checkout", &[("x-user-id", &long)])
        .await?;
    assert_eq!(answer.status, 200);
    let answer = edge.client.get("/checkout?size=300000").await?;
    assert_eq!(answer.body.len(), 300_000);
    Ok(())
}

#[tokio::test]
async fn no_request_passes_while_there_is_no_filter() -> Result<()> {
    let edge = start(edge()?.with_plugin(plugin_that_cannot_load()?)).await?;
    let Push::Refused { reasons } = edge.envoy.verdict("divvy").await? else {
        panic!("a filter that is not there was accepted");
    };
    assert_eq!(reasons, ["Invalid path: /no/such/divvy.wasm"]);
    assert_eq!(edge.client.get("/checkout").await?.status, 500);
    assert!(
        edge.upstreams
            .iter()
            .all(|upstream| upstream.requests() == 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_push_is_accepted_unchanged_or_refused_with_reasons() -> Result<()> {
    let wasm = workspace_root().join("target/divvy.wasm");
    ensure!(wasm.exists(), "the filter is not built: run `make build`");
    let shipped = Plugin::load("envoy/plugin.yaml")?;
    let edge = start(edge()?.with_plugin(shipped.clone())).await?;
    let envoy = &edge.envoy;
    assert_eq!(envoy.verdict("divvy").await?, Push::Accepted);
    assert_eq!(envoy.push(&shipped).await?, Push::Unchanged);

    let bad = shipped.clone().with_configuration("{\"rollouts\": 1}");
    let refused = envoy.push(&bad).await?;
    let Push::Refused { reasons } = &refused else {
        panic!("a bad configuration was accepted");
    };
    assert!(
        reasons.iter().any(|reason| reason.contains("rollouts")),
        "{reasons:?}"
    );
    // Envoy itself does not look at the same plugin twice and reports a success.
    assert_eq!(envoy.push(&bad).await?, refused);
    // The last good one was in force all the time, but Envoy takes it as a new one.
    assert_eq!(edge.client.get("/checkout").await?.status, 200);
    assert_eq!(envoy.push(&shipped).await?, Push::Accepted);

    let missing = envoy.push(&plugin_that_cannot_load()?).await?;
    assert!(matches!(missing, Push::Refused { reasons } if reasons[0].contains("Invalid path")));
    Ok(())
}

#[tokio::test]
async fn the_access_log_names_version_and_code() -> Result<()> {
    let edge = start(edge_without_the_filter()?).await?;
    edge.client.get("/checkout?status=418").await?;
    let limit = Duration::from_secs(5);
    let line = edge
        .envoy
        .wait_for_log(|line| line.starts_with('{'), limit)
        .await?;
    assert_eq!(edge.envoy.access_log(), [line.as_str()]);
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!(line["path"], "/checkout?status=418");
    assert_eq!(line["code"], 418);
    assert_eq!(line["upstream"], "v1");
    assert_eq!(line["assignment"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn histograms_are_up_to_date_when_asked() -> Result<()> {
    let edge = start(edge_without_the_filter()?).await?;
    edge.client.get("/checkout").await?;
    // Envoy counts a request when its stream is gone, a moment after the client has the answer.
    eventually(
        "the request in the histogram",
        Duration::from_secs(2),
        async || {
            let metrics = edge.envoy.prometheus().await.ok()?;
            let labels = [("envoy_http_conn_manager_prefix", "edge")];
            let count = metrics.get("envoy_http_downstream_rq_time_count", &labels);
            (count == Some(1.0)).then_some(())
        },
    )
    .await
}

#[tokio::test]
async fn envoys_side_by_side_do_not_meet() -> Result<()> {
    let (one, two) = tokio::try_join!(
        start(edge_without_the_filter()?),
        start(edge_without_the_filter()?)
    )?;
    one.client.get("/").await?;
    assert_eq!(one.upstreams[0].requests(), 1);
    assert_eq!(two.upstreams[0].requests(), 0);
    let counted = one.envoy.stats("http.edge.downstream_rq_2xx").await?;
    assert_eq!(counted["http.edge.downstream_rq_2xx"], 1);
    let metrics = two.envoy.prometheus().await?;
    assert_eq!(
        metrics.sum(
            "envoy_http_downstream_rq_xx",
            &[("envoy_http_conn_manager_prefix", "edge")]
        ),
        0.0
    );
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_one_line_that_names_it() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _holder = TcpListener::bind(taken)?;
    let edge = edge_without_the_filter()?.with_listener_port("edge", taken.port())?;
    let error = start(edge).await.err().expect("a port cannot be had twice");
    let error = format!("{error:#}");
    assert!(
        error.starts_with(&format!("cannot listen on {taken}: Address already in use")),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn an_envoy_that_does_not_start_says_why_at_once() -> Result<()> {
    let mut edge = edge_without_the_filter()?;
    edge.json()["no_such_field"] = json!(1);
    let error = start(edge)
        .await
        .err()
        .expect("Envoy takes no unknown fields");
    let error = format!("{error:#}");
    assert!(
        error.contains("no_such_field") && !error.contains('\n'),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn an_envoy_dies_with_the_test_that_panics() -> Result<()> {
    let edge = start(edge_without_the_filter()?).await?;
    let admin = edge.envoy.admin();
    let dir = edge.envoy.dir().to_owned();
    let panicked = tokio::spawn(async move {
        let _edge = edge;
        panic!("on purpose");
    });
    assert!(panicked.await.is_err());
    eventually(
        "the admin port to be free",
        Duration::from_secs(5),
        async || TcpListener::bind(admin).ok(),
    )
    .await?;
    // Kept for whoever looks into the failure.
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
