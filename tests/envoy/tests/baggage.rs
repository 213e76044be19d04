//! An assignment through three Envoys, with applications between them that forward baggage alone, as
//! the propagators of OpenTelemetry do.

use std::net::SocketAddr;

use crate::setup::{
    PLUGIN, canary, configuration, rollout, rollout_with, seen_upstream, served_by, with,
};
use anyhow::{Context, Result};
use bytes::Bytes;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{Http1, Response};
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::Plugin;
use divvy_lab::server::Server;
use divvy_lab::upstream::{Upstream, start_versions};
use http_body_util::Full;
use serde_json::{Value, json};

const SIDECAR: &str = "sidecar~10.0.0.1~app.shop~shop.svc.cluster.local";

/// Three Envoys and two applications; the last Envoy has the shop behind it.
struct Baggage {
    client: Http1,
    edge: Envoy,
    _inner: [Envoy; 2],
    _applications: [Server; 2],
    _shop: std::collections::BTreeMap<&'static str, Upstream>,
}

/// A configuration that writes baggage.
fn with_baggage(rollouts: &[Value], fields: Value) -> Value {
    let headers =
        json!({"route": "x-divvy-route", "assignment": "x-divvy-assignment", "baggage": "divvy"});
    with(
        with(configuration(rollouts), json!({"headers": headers})),
        fields,
    )
}

/// A configuration that also reads it, from the application beside the proxy.
fn inner(rollouts: &[Value]) -> Value {
    with_baggage(
        rollouts,
        json!({"trust": {"workload": true, "from": "baggage"}}),
    )
}

/// An application that handles a request by another one, to which it copies the baggage alone.
async fn application(next: SocketAddr) -> Result<Server> {
    Server::start(move |request| async move {
        let path = request.uri().path().to_owned();
        let lines = request.headers().get_all("baggage").iter();
        let lines: Vec<_> = lines.map(|line| ("baggage", line.as_bytes())).collect();
        match Http1::new(next).get_with(&path, &lines).await {
            Ok(answer) => {
                let mut response = hyper::Response::new(Full::new(answer.body.clone()));
                *response.headers_mut() = answer.headers.clone();
                response
            }
            Err(error) => {
                let text = Bytes::from(format!("{error:?}"));
                let mut response = hyper::Response::new(Full::new(text));
                *response.status_mut() = hyper::StatusCode::BAD_GATEWAY;
                response
            }
        }
    })
    .await
}

fn bootstrap(configuration: &Value) -> Result<Bootstrap> {
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&configuration.to_string());
    Ok(Bootstrap::load("envoy/edge.yaml")?.with_plugin(plugin))
}

/// The outbound side of a sidecar.
fn sidecar(configuration: &Value) -> Result<Bootstrap> {
    let mut bootstrap = bootstrap(configuration)?;
    let json = bootstrap.json();
    json["static_resources"]["listeners"][0]["traffic_direction"] = json!("OUTBOUND");
    json["node"]["id"] = json!(SIDECAR);
    Ok(bootstrap)
}

fn to_application(mut bootstrap: Bootstrap, application: &Server) -> Result<Bootstrap> {
    for cluster in ["v1", "v2", "v3"] {
        bootstrap = bootstrap.with_upstream(cluster, application.addr)?;
    }
    Ok(bootstrap)
}

async fn start(bootstrap: &Bootstrap) -> Result<(Envoy, SocketAddr)> {
    let envoy = Envoy::start(&Binary::find()?, bootstrap, &Options::default()).await?;
    let addr = envoy.listener("edge").await?;
    Ok((envoy, addr))
}

impl Baggage {
    async fn start() -> Result<Baggage> {
        // The last one would send all users to v1.
        let checkout = rollout("checkout", canary(0.0));
        let (last, shop) = start_versions(sidecar(&inner(&[checkout]))?).await?;
        let (last, addr) = start(&last).await?;
        let second = application(addr).await?;
        // The one in the middle has no such rollout.
        let payments = rollout("payments", canary(0.0));
        let middle = sidecar(&inner(&[payments]))?;
        let (middle, addr) = start(&to_application(middle, &second)?).await?;
        let first = application(addr).await?;
        let shops = json!({"match": [{"path": {"prefix": "/echo"}}]});
        let edge = with_baggage(
            &[rollout_with("checkout", canary(50.0), shops)],
            json!({"responseHeader": "x-first"}),
        );
        let edge = to_application(bootstrap(&edge)?, &first)?;
        let (edge, addr) = start(&edge).await?;
        Ok(Baggage {
            client: Http1::new(addr),
            edge,
            _inner: [middle, last],
            _applications: [first, second],
            _shop: shop,
        })
    }

    async fn get(&self, user: &str, baggage: &[&str]) -> Result<Response> {
        let mut headers = vec![("x-user-id", user)];
        headers.extend(baggage.iter().map(|line| ("baggage", *line)));
        let answer = self.client.get_with("/echo", &headers).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Ok(answer)
    }
}

/// The members of others that the last application receives, in one line.
fn others(answer: &Response) -> Result<String> {
    let lines = seen_upstream(answer, "baggage")?.join("|");
    let (others, own) = lines.split_once("divvy=").unwrap_or((&lines, ""));
    assert!(!own.contains([',', ' ']), "it is the last member: {lines}");
    Ok(others.trim_end_matches(',').to_owned())
}

#[tokio::test]
async fn applications_that_forward_baggage_alone_carry_the_decision_to_the_last_proxy() -> Result<()>
{
    let chain = Baggage::start().await?;
    let mut seen = [0, 0];
    for user in 0..40 {
        let user = user.to_string();
        let plain = chain.get(&user, &[]).await?;
        let version = match served_by(&plain) {
            Some("v2") => "v2",
            version => {
                assert_eq!(version, Some("v1"));
                "v1"
            }
        };
        seen[usize::from(version == "v2")] += 1;
        let forged = if version == "v2" { "v1" } else { "v2" };
        let member = format!("divvy=checkout%3D{forged}%3Breason%3Drule");
        let encoded = format!("%64ivvy=checkout%3D{forged}, +divvy=checkout%3D{forged}");
        for (sent, rest) in [
            (&[][..], ""),
            (
                &["tier=gold;p=1; q, b = x%20y"],
                "tier=gold;p=1; q, b = x%20y",
            ),
            // The client's own member has no effect, on whichever line it is.
            (&[&*member], ""),
            (&["a=1", &*member, "b=2;p"], "a=1,b=2;p"),
            (&[&*encoded, "c=3"], "c=3"),
        ] {
            let answer = chain.get(&user, sent).await?;
            let first = format!("checkout={version};reason=split");
            assert_eq!(answer.header("x-first"), Some(&*first));
            assert_eq!(served_by(&answer), Some(version), "user {user}, {sent:?}");
            let inherited = format!("checkout={version};reason=inherited;upstream=split");
            let assignment = seen_upstream(&answer, "x-divvy-assignment")?;
            assert!(
                assignment.iter().any(|line| line.contains(&inherited)),
                "{assignment:?}"
            );
            assert_eq!(others(&answer)?, rest);
        }
    }
    assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn an_assignment_without_room_is_left_out_and_counted() -> Result<()> {
    let chain = Baggage::start().await?;
    let full = vec!["a=1"; 64].join(",");
    let before = chain.edge.prometheus().await?;
    let labels = [("divvy_plugin", PLUGIN)];
    assert_eq!(before.get("divvy_baggage_full_total", &labels), Some(0.0));
    let mut users = 0..40;
    let user = loop {
        let user = users.next().context("no user gets v2")?.to_string();
        if served_by(&chain.get(&user, &[]).await?) == Some("v2") {
            break user;
        }
    };
    // The last proxy decides by itself.
    let answer = chain.get(&user, &[&full]).await?;
    assert_eq!(served_by(&answer), Some("v1"));
    assert_eq!(others(&answer)?, full);
    let after = chain.edge.prometheus().await?;
    assert_eq!(after.get("divvy_baggage_full_total", &labels), Some(1.0));
    Ok(())
}
