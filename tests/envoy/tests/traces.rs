//! Trace spans with the version, as envoy/tracing.yaml exports them, to a collector in the test.

use crate::setup::{Edge, PATIENCE, Setup, canary, configuration, rollout, served_by};
use anyhow::{Context as _, Result};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::otlp::{Collector, Span};
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// Adds the shipped tracing, of all requests, with a second tag from a header that the route removes.
fn trace(mut bootstrap: Bootstrap, collector: &Collector) -> Result<Bootstrap> {
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
    bootstrap.with_upstream("collector", collector.addr())
}

#[tokio::test]
async fn an_exported_span_has_the_version() -> Result<()> {
    let collector = Collector::start().await?;
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
        let spans = collector.spans();
        (spans.len() >= expected.len()).then_some(spans)
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
