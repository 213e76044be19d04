//! VirtualServices before and after.

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::Shop;
use serde_json::json;

use super::{Change, Gateway, OF_ISTIO, Row, documents};

const REVIEWS: &str = "reviews.shop.svc.cluster.local";
const SHOP: &str = "shop.example.com";
const PAYMENTS: &str = "payments.shop.svc.cluster.local";
const CATALOG: &str = "catalog.example.com";

const VIRTUAL_SERVICES: &[(&str, &[Row])] = &[
    (
        "two-weights",
        &[
            ("GET", REVIEWS, "/", &[], true),
            ("POST", REVIEWS, "/a?b=c", &[], true),
        ],
    ),
    (
        "header-rule",
        &[
            ("GET", SHOP, "/checkout", &[], true),
            ("GET", SHOP, "/checkouts", &[], true),
            ("GET", SHOP, "/checkout", &[("x-canary", "true")], false),
            (
                "GET",
                SHOP,
                "/checkout",
                &[("cookie", "a=b; ring=beta")],
                false,
            ),
            ("GET", SHOP, "/checkout", &[("cookie", "ring=beta2")], true),
            ("GET", SHOP, "/static/a", &[("x-canary", "true")], false),
        ],
    ),
    (
        "weights-behind-match",
        &[
            (
                "GET",
                PAYMENTS,
                "/?preview=1",
                &[("x-tenant", "acme-1")],
                true,
            ),
            (
                "GET",
                PAYMENTS,
                "/?preview=1",
                &[("x-tenant", "acme-1"), ("x-debug", "off")],
                false,
            ),
            (
                "GET",
                PAYMENTS,
                "/?preview=1",
                &[("x-tenant", "acme-1"), ("x-debug", "on")],
                true,
            ),
            ("GET", PAYMENTS, "/", &[("x-tenant", "acme-1")], false),
            ("GET", PAYMENTS, "/?preview=1", &[], false),
        ],
    ),
    (
        "other-sums",
        &[
            ("GET", CATALOG, "/find", &[], true),
            ("GET", CATALOG, "/FINDER", &[], true),
            ("GET", CATALOG, "/v12/find", &[], true),
            ("GET", CATALOG, "/v12/find/a", &[], false),
            ("GET", CATALOG, "/", &[], false),
        ],
    ),
    (
        "three-weights",
        &[
            ("GET", "ratings.example.com", "/ratings", &[], true),
            ("POST", "ratings.example.com", "/ratings", &[], false),
            ("GET", "ratings.example.com", "/ratings/1", &[], false),
        ],
    ),
    (
        "without-headers",
        &[
            ("GET", "audit.example.com", "/", &[], false),
            ("GET", "audit.example.com", "/", &[("x-opt", "in")], true),
            ("GET", "audit.example.com", "/", &[("x-opt", "out")], false),
            ("GET", "internal.example.com", "/", &[], true),
            (
                "GET",
                "internal.example.com",
                "/",
                &[("x-internal", "1")],
                false,
            ),
        ],
    ),
];

pub async fn virtual_services_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let gateway = Gateway::new(lab, shop.client()).await?;
    for (source, rows) in VIRTUAL_SERVICES {
        gateway.clear(OF_ISTIO).await?;
        let mut routes = Vec::new();
        for mut document in documents("istio", source)? {
            if document["kind"] == "VirtualService" {
                document["metadata"]["namespace"] = json!("shop");
                document["spec"]["gateways"] = json!(["shop"]);
                routes.push(document);
            }
        }
        gateway.destinations(&routes).await?;
        let change = Change::of_routes(source, &routes, rows);
        gateway.compare(&change).await?;
    }
    Ok(())
}
