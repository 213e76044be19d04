//! Trace spans with the version, as envoy/tracing.yaml exports them, to a collector in the test.

use std::sync::{Arc, Mutex, PoisonError};

use crate::server::Server;
use crate::setup::{Edge, PATIENCE, Setup, canary, configuration, rollout, served_by};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::{eventually, workspace_root};
use http_body_util::Full;
use prost::Message;
use serde_json::{Value, json};

/// The part of an OTLP export that this test reads; numbers are those of the protocol.
#[derive(Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

/// One span.
#[derive(Clone, Message)]
struct Span {
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
}

impl Span {
    fn tag(&self, key: &str) -> Option<String> {
        let found = self.attributes.iter().find(|pair| pair.key == key)?;
        found.value.as_ref()?.text.clone()
    }
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// A collector of OTLP over HTTP.
async fn collector(spans: Spans) -> Result<Server> {
    Server::start(move |request| {
        let spans = Arc::clone(&spans);
        async move {
            if let Ok(export) = Export::decode(request.into_body()) {
                let scopes = export
                    .resources
                    .into_iter()
                    .flat_map(|resource| resource.scopes);
                let new = scopes.flat_map(|scope| scope.spans);
                let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
                spans.extend(new);
            }
            hyper::Response::new(Full::new(Bytes::new()))
        }
    })
    .await
}

/// Adds the shipped tracing, of all requests, with a second tag from a header that the route removes.
fn trace(mut bootstrap: Bootstrap, collector: &Server) -> Result<Bootstrap> {
    let shipped = std::fs::read_to_string(workspace_root().join("envoy/tracing.yaml"))?;
    let mut shipped: Value = serde_json::from_str(&from_yaml_or_json(&shipped)?)?;
    shipped["tracing"]["random_sampling"]["value"] = json!(100);
    let tags = shipped["tracing"]["custom_tags"].as_array_mut();
    tags.context("custom tags")?.push(json!({
        "tag": "route", "request_header": {"name": "x-divvy-route"},
    }));
    for manager in bootstrap.connection_managers()? {
        manager["tracing"] = shipped["tracing"].clone();
    }
    let json = bootstrap.json();
    json["layered_runtime"] = json!({"layers": [{"name": "static", "static_layer": {
        "tracing.opentelemetry.min_flush_spans": 1,
    }}]});
    let clusters = json["static_resources"]["clusters"].as_array_mut();
    let cluster = shipped["clusters"][0].clone();
    clusters.context("clusters")?.push(cluster);
    bootstrap.with_upstream("collector", collector.addr)
}

#[tokio::test]
async fn an_exported_span_has_the_version() -> Result<()> {
    let spans = Spans::default();
    let collector = collector(Arc::clone(&spans)).await?;
    let edge: Edge = Setup::new(&configuration(&[rollout("checkout", canary(50.0))]))?
        .bootstrap(|bootstrap| trace(bootstrap, &collector))?
        .start()
        .await?;
    let mut expected = Vec::new();
    for user in 0..20 {
        let user = user.to_string();
        // A client's own assignment is not what the span has.
        let headers = [("x-user-id", &*user), ("x-divvy-assignment", "checkout=v9")];
        let answer = edge.client.get_with(&format!("/{user}"), &headers).await?;
        let version = served_by(&answer).context("a version")?;
        expected.push((user, format!("checkout={version};reason=split")));
    }
    let [v1, v2] = ["v1", "v2"].map(|version| {
        let assignment = format!("checkout={version};reason=split");
        expected
            .iter()
            .filter(|(_, one)| *one == assignment)
            .count()
    });
    assert!(v1 > 0 && v2 > 0, "{v1} {v2}");
    let all = async || {
        let spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
        (spans.len() >= expected.len()).then(|| spans.clone())
    };
    let spans = eventually("a span of each request", PATIENCE, all).await?;
    for (user, assignment) in &expected {
        let path = format!("/{user}");
        let of_user = |span: &&Span| span.tag("http.url").is_some_and(|url| url.ends_with(&path));
        let span = spans.iter().find(of_user).context("a span of the user")?;
        assert_eq!(
            span.tag("divvy.assignment").as_ref(),
            Some(assignment),
            "{user}"
        );
        // Envoy reads tags at the end of a request: the route has removed this header by then.
        assert_eq!(span.tag("route"), None);
    }
    Ok(())
}
