//! Trace spans with the version, by `istio/examples/tracing.yaml`, to a collector in the test.

use std::collections::BTreeSet;

use anyhow::Result;
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::Options;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_lab::eventually;
use divvy_lab::otlp::Collector;
use serde_json::json;

pub async fn an_exported_span_of_the_gateway_has_the_version(lab: &Lab) -> Result<()> {
    let collector = Collector::start().await?;
    let addr = collector.addr();
    let all = Edit::replace(
        "randomSamplingPercentage: 1",
        "randomSamplingPercentage: 100",
    );
    let shop = Shop::open_with(lab, "overlays/edge", &[all], Options::gateway()).await?;
    let service = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "collector", "namespace": "shop"},
        "spec": {
            "hosts": ["opentelemetry-collector.observability.svc.cluster.local"],
            "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 4318, "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": addr.ip().to_string(), "ports": {"http": addr.port()}}],
        },
    });
    lab.cluster.apply(&[service]).await?;
    let file = shop.folder.join("examples/tracing.yaml");
    let file = file.display().to_string();
    lab.cluster.run(&["apply", "-f", &file]).await?;
    let client = shop.client();
    // Until both versions are on spans: the gateway learns of the file after a moment.
    let expected = ["checkout=v1;reason=split", "checkout=v2;reason=rule"];
    let expected: BTreeSet<_> = expected.map(str::to_owned).into();
    let seen = async || {
        for headers in [&[("x-user-id", "1")][..], &[("x-canary", "true")]] {
            // A client's own assignment is not what the span has.
            let forged = ("x-divvy-assignment", "checkout=v9");
            let headers = [headers, &[forged]].concat();
            client.get_with("/checkout", &headers).await.ok()?;
        }
        let spans = collector.spans();
        let tags: BTreeSet<_> = spans
            .iter()
            .filter_map(|span| span.tag("divvy.assignment"))
            .collect();
        expected.is_subset(&tags).then_some(tags)
    };
    let tags = eventually("spans of both versions", PATIENCE, seen).await?;
    assert!(tags.iter().all(|tag| !tag.contains("v9")), "{tags:?}");
    let answer = client
        .get_with("/checkout", &[("x-canary", "true")])
        .await?;
    assert_eq!(served_by(&answer), "v2");
    Ok(())
}
