//! gRPC calls and answers of Envoy's own: which of them count against a version.

use anyhow::{Context, Result};
use divvy_lab::bootstrap::{Bootstrap, Position};
use divvy_lab::client::{Http2, request};
use serde_json::{Value, json};

use super::{Edge, Setup, canary_user, changed, guarded, transition, transitions};
use crate::setup::all_users_get;

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.http";
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const WEB: (&str, &str) = ("content-type", "application/grpc-web+proto");
const CONNECT: (&str, &str) = ("content-type", "application/proto");
const JSON: (&str, &str) = ("content-type", "application/json");

/// The shipped edge with HTTP/2 upstreams, the filters that translate gRPC in their usual place, and
/// fault injection behind divvy.
fn bridged(edge: Bootstrap) -> Result<Bootstrap> {
    let filter = |name: &str, message: &str, mut config: Value| {
        config["@type"] = json!(format!("{FILTERS}.{message}"));
        json!({"name": name, "typed_config": config})
    };
    let faults = json!({"abort": {"header_abort": {}, "percentage": {"numerator": 100}}});
    let before = Position::Before("divvy");
    let mut edge = edge
        .without_access_log()?
        .with_http_filter(&filter("web", "grpc_web.v3.GrpcWeb", json!({})), before)?
        .with_http_filter(
            &filter("connect", "connect_grpc_bridge.v3.FilterConfig", json!({})),
            before,
        )?
        .with_http_filter(
            &filter("fault", "fault.v3.HTTPFault", faults),
            Position::After("divvy"),
        )?;
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let clusters = edge.json()["static_resources"]["clusters"].as_array_mut();
    for cluster in clusters.context("clusters")? {
        cluster["typed_extension_protocol_options"] = json!({OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }});
    }
    Ok(edge)
}

async fn start() -> Result<(Edge, Value)> {
    let guardrail = json!({"consecutiveErrors": 3});
    let configuration = guarded(all_users_get("v2"), guardrail);
    let setup = Setup::new(&configuration)?.workers(1).bootstrap(bridged)?;
    Ok((setup.start().await?, configuration))
}

/// Three times the same call.
async fn three(client: &Http2, user: &str, headers: &[(&str, &str)]) -> Result<()> {
    for _ in 0..3 {
        let mut all = vec![("x-user-id", user), ("te", "trailers")];
        all.extend(headers);
        let body = if headers[0] == CONNECT {
            &b""[..]
        } else {
            b"\0\0\0\0\0"
        };
        let path = "/shop.Checkout/Pay";
        client.send(request("POST", path, &all, body)?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn calls_that_a_version_did_not_fail_do_not_count_against_it() -> Result<()> {
    let user = canary_user()?;
    let (edge, _) = start().await?;
    let client = Http2::connect(edge.addr).await?;
    let protocol = ("connect-protocol-version", "1");
    for headers in [
        &[GRPC, ("x-test-grpc-status", "0")][..],
        &[WEB, ("x-test-grpc-status", "0")],
        &[CONNECT, protocol, ("x-test-grpc-status", "0")],
        // The client's errors.
        &[GRPC, ("x-test-grpc-status", "5")],
        &[WEB, ("x-test-grpc-status", "8")],
        // A client that names the type of gRPC to a plain service.
        &[("content-type", "application/grpcfoo")],
        &[JSON, ("x-test-header", "grpc-status:14")],
        // Answers of a filter behind divvy: the version did not get these.
        &[JSON, ("x-envoy-fault-abort-request", "503")],
        &[JSON, ("x-envoy-fault-abort-request", "429")],
        &[GRPC, ("x-envoy-fault-abort-request", "429")],
        &[GRPC, ("x-envoy-fault-abort-request", "503")],
        &[GRPC, ("x-envoy-fault-abort-grpc-request", "14")],
        &[WEB, ("x-envoy-fault-abort-grpc-request", "2")],
    ] {
        three(&client, &user, headers).await?;
        assert_eq!(transitions(&edge, 0), [""; 0], "{headers:?}");
    }
    // The guardrail does work.
    let mark = edge.envoy.log_mark();
    three(&client, &user, &[JSON, ("x-test-status", "500")]).await?;
    transition(&edge, mark).await?;
    Ok(())
}

#[tokio::test]
async fn calls_that_a_version_failed_count_behind_every_bridge() -> Result<()> {
    let user = canary_user()?;
    let (edge, configuration) = start().await?;
    let client = Http2::connect(edge.addr).await?;
    let protocol = ("connect-protocol-version", "1");
    let trailers_only = ("x-test-grpc-trailers-only", "");
    for (number, headers) in [
        &[GRPC, ("x-test-grpc-status", "14")][..],
        &[GRPC, ("x-test-grpc-status", "2"), trailers_only],
        &[WEB, ("x-test-grpc-status", "13")],
        &[WEB, ("x-test-grpc-status", "13"), trailers_only],
        &[CONNECT, protocol, ("x-test-grpc-status", "14")],
        &[GRPC, ("x-test-reset", "stream")],
        &[JSON, ("x-test-status", "503")],
        &[JSON, ("x-test-reset", "stream")],
    ]
    .into_iter()
    .enumerate()
    {
        let revision = json!({"revision": number.to_string()});
        edge.put(&changed(configuration.clone(), revision)).await?;
        let mark = edge.envoy.log_mark();
        three(&client, &user, headers).await?;
        let line = transition(&edge, mark).await;
        let line = line.with_context(|| format!("{headers:?}"))?;
        assert!(line.contains("3 requests in a row failed"), "{line}");
    }
    Ok(())
}
