//! CORS preflights.

use crate::setup::{Edge, REQUESTS, canary, expect, seen_upstream, served_by};
use anyhow::Result;
use divvy_lab::client::{Response, request};
use serde_json::json;

use crate::people::{decision, given, minting};

const HEADERS: [(&str, &str); 3] = [
    ("origin", "https://app.example.com"),
    ("access-control-request-method", "PATCH"),
    ("access-control-request-headers", "x-user-id"),
];

async fn options(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
    edge.client
        .send(request("OPTIONS", path, headers, "")?)
        .await
}

#[tokio::test]
async fn a_preflight_is_not_a_visit() -> Result<()> {
    let arms = json!([{"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}]);
    let further = json!({
        "sticky": {"cookie": "divvy_checkout"},
        "mirror": {"version": "v3", "percent": 100},
        "expose": {"group": "x-abtest-group", "id": "x-abtest-id", "response": true},
        "guardrail": {"consecutiveErrors": 3},
    });
    let edge = Edge::start(&minting(
        json!({"abTest": {"split": arms}}),
        further.clone(),
    ))
    .await?;
    for _ in 0..20 {
        let answer = options(&edge, "/echo", &HEADERS).await?;
        assert_eq!(decision(&answer)?, "checkout=v1;reason=no_identity");
        assert_eq!(given(&answer), [""; 0]);
        for header in ["x-abtest-group", "x-abtest-id", "x-divvy-mirror", "cookie"] {
            assert_eq!(seen_upstream(&answer, header)?, [""; 0], "{header}");
            assert_eq!(answer.header(header), None, "{header}");
        }
    }
    let counted = expect([(["checkout", "v1", "no_identity"], 20)]);
    edge.wait_for_counts(REQUESTS, &counted).await?;
    // Any other OPTIONS request is a visit.
    let answer = options(&edge, "/echo", &HEADERS[..1]).await?;
    assert!(decision(&answer)?.ends_with("reason=split"));
    assert_eq!(given(&answer).len(), 2);
    assert_eq!(edge.upstreams["v3"].requests(), 1, "its copy");

    // All users get v2, so the preflight does; failures are no samples.
    edge.put(&minting(canary(100.0), further)).await?;
    for _ in 0..10 {
        let answer = options(&edge, "/?status=503", &HEADERS).await?;
        assert_eq!(decision(&answer)?, "checkout=v2;reason=no_identity");
        assert_eq!(served_by(&answer), Some("v2"));
    }
    Ok(())
}
