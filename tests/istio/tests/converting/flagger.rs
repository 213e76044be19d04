//! Canaries of Flagger: the VirtualServices that Flagger writes at a step, and what they are converted to.

use std::time::Duration;

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::Shop;
use serde_json::json;

use super::{Change, Gateway, OF_ISTIO, Row, documents, old_routes};

const API: &str = "api.shop.svc.cluster.local";
const BACKEND: &str = "backend.shop.svc.cluster.local";
const FRONTEND: &str = "frontend.example.com";
const QUOTES: &str = "quotes.example.com";

/// Source, file of old routes, number of intervals that have passed, and requests.
const STEPS: &[(&str, &str, u32, &[Row])] = &[
    (
        "step-weight",
        "step-weight-20",
        1,
        &[
            ("GET", "app.example.com", "/", &[], true),
            ("POST", "podinfo.shop.svc.cluster.local", "/a", &[], true),
        ],
    ),
    (
        "step-weights",
        "step-weights-10",
        2,
        &[("GET", API, "/api/a", &[], true)],
    ),
    (
        "step-weights",
        "step-weights-80",
        3,
        &[("GET", API, "/api/a", &[], true)],
    ),
    (
        "old-fields",
        "old-fields-50",
        1,
        &[("GET", BACKEND, "/", &[], true)],
    ),
    (
        "ab-test",
        "ab-test",
        0,
        &[
            ("GET", FRONTEND, "/", &[], false),
            (
                "GET",
                FRONTEND,
                "/",
                &[("user-agent", "a Firefox b")],
                false,
            ),
            ("GET", FRONTEND, "/", &[("user-agent", "firefox")], false),
            ("GET", FRONTEND, "/", &[("cookie", "type=insider")], false),
            ("GET", FRONTEND, "/", &[("cookie", "type=insiders")], false),
        ],
    ),
    (
        "ab-test-of-paths",
        "ab-test-of-paths",
        0,
        &[
            ("GET", QUOTES, "/quotes", &[], false),
            ("GET", QUOTES, "/quotes/a", &[("x-group", "beta")], false),
            (
                "GET",
                QUOTES,
                "/quotes2",
                &[("x-user-type", "staff-1")],
                false,
            ),
            ("GET", QUOTES, "/daily", &[("x-group", "beta")], false),
            ("GET", QUOTES, "/daily", &[("x-group", "alpha")], false),
        ],
    ),
];

pub async fn steps_of_flagger_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let gateway = Gateway::new(lab, shop.client()).await?;
    for (source, step, intervals, rows) in STEPS {
        gateway.clear(OF_ISTIO).await?;
        let before = old_routes("flagger", step)?;
        gateway.destinations(&before).await?;
        let mut canaries = documents("flagger", source)?;
        for canary in &mut canaries {
            canary["metadata"]["namespace"] = json!("shop");
            let spec = &mut canary["spec"];
            spec["service"]["gateways"] = json!(["shop"]);
            spec["service"]["port"] = json!(8080);
            // Long enough for the requests.
            for field in ["analysis", "canaryAnalysis"] {
                if spec.get(field).is_some() {
                    spec[field]["interval"] = json!("1h");
                }
            }
        }
        let change = Change {
            source: step,
            before: &before,
            converted: &canaries,
            age: Duration::from_secs(60) + Duration::from_secs(3600) * *intervals,
            passed: &[],
            rows,
        };
        gateway.compare(&change).await?;
    }
    Ok(())
}
