//! Rollouts of Argo: the VirtualServices that Argo writes at a step, and what the release is converted to.

use std::time::Duration;

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::Shop;
use serde_json::json;

use super::{Change, Gateway, OF_ISTIO, Row, documents, old_routes};

/// A step of a release: its source and file of old routes, how long ago the release began, and the gates passed.
type Step = (
    &'static str,
    &'static str,
    Duration,
    &'static [&'static str],
    &'static [Row],
);

const CHECKOUT: &str = "checkout.shop.svc.cluster.local";
const ORDERS: &str = "orders.example.com";
const CATALOG: &str = "catalog.example.com";

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

const ON_SUBSETS: &[Row] = &[
    ("GET", CHECKOUT, "/", &[], true),
    ("POST", CHECKOUT, "/a", &[], true),
];
const BEHIND_GATES: &[Row] = &[("GET", "search.example.com", "/search", &[], true)];
const OF_TWO_SERVICES: &[Row] = &[
    ("GET", "pay.example.com", "/", &[], true),
    ("GET", "refunds.example.com", "/a", &[], true),
];

const STEPS: &[Step] = &[
    ("subsets", "subsets-25", minutes(30), &[], ON_SUBSETS),
    ("subsets", "subsets-50", minutes(80), &[], ON_SUBSETS),
    ("gates", "gates-10", minutes(30), &[], BEHIND_GATES),
    ("gates", "gates-40", minutes(30), &["pause-1"], BEHIND_GATES),
    (
        "managed-routes",
        "managed-routes-15",
        minutes(10),
        &[],
        &[
            ("GET", ORDERS, "/", &[], true),
            ("GET", ORDERS, "/", &[("x-tester", "yes")], false),
            ("GET", ORDERS, "/", &[("x-tester", "no")], true),
            ("GET", ORDERS, "/", &[("user-agent", "Tester/1")], false),
            ("GET", ORDERS, "/", &[("user-agent", "a Tester/1")], true),
        ],
    ),
    (
        "named-routes",
        "named-routes-60",
        minutes(10),
        &[],
        &[
            ("GET", CATALOG, "/find", &[], true),
            ("GET", CATALOG, "/finder", &[], true),
            ("POST", CATALOG, "/find", &[], false),
            ("POST", CATALOG, "/items/1", &[], true),
            ("GET", CATALOG, "/items", &[], false),
        ],
    ),
    (
        "two-services",
        "two-services-30",
        minutes(10),
        &[],
        OF_TWO_SERVICES,
    ),
    (
        "two-services",
        "two-services-70",
        minutes(90),
        &[],
        OF_TWO_SERVICES,
    ),
];

pub async fn steps_of_argo_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let gateway = Gateway::new(lab, shop.client()).await?;
    for (source, step, age, passed, rows) in STEPS {
        gateway.clear(OF_ISTIO).await?;
        let before = old_routes("argo", step)?;
        gateway.destinations(&before).await?;
        let mut documents = documents("argo", source)?;
        for document in &mut documents {
            if document["kind"] == "VirtualService" {
                document["spec"]["gateways"] = json!(["shop"]);
            }
        }
        let change = Change {
            source: step,
            before: &before,
            converted: &documents,
            age: *age,
            passed,
            rows,
        };
        gateway.compare(&change).await?;
    }
    Ok(())
}
