//! HTTPRoutes and GRPCRoutes before and after.

use std::collections::BTreeSet;

use anyhow::Result;
use divvy_istio_tests::lab::Lab;

use super::gateway_api::GatewayOfApi;
use super::{Change, Row, documents, texts};

const SHOP: &str = "shop.example.com";
const HTTP_ROUTES: &[(&str, &[Row])] = &[
    (
        "two-backends",
        &[
            ("GET", SHOP, "/checkout", &[], true),
            ("GET", SHOP, "/checkout/1", &[], true),
            ("GET", SHOP, "/checkout", &[("x-canary", "true")], false),
        ],
    ),
    (
        "different-settings",
        &[
            ("GET", "pay.example.com", "/pay?preview=1", &[], false),
            ("GET", "pay.example.com", "/pay", &[], true),
            ("GET", "pay.example.com", "/pay/1?preview=2", &[], true),
        ],
    ),
    (
        "three-backends",
        &[
            ("GET", "a.example.com", "/ratings", &[], true),
            ("POST", "a.example.com", "/ratings", &[], false),
            ("GET", "a.example.com", "/v2/ratings/7", &[], true),
            ("GET", "a.example.com", "/v2", &[], false),
        ],
    ),
    (
        "without-weights",
        &[
            ("GET", "search.example.com", "/", &[], true),
            ("PUT", "search.example.com", "/a", &[], true),
        ],
    ),
    (
        "grpc",
        &[
            (
                "POST",
                "greeter.example.com",
                "/demo.Greeter/SayHello",
                &[("content-type", "application/grpc")],
                true,
            ),
            (
                "POST",
                "greeter.example.com",
                "/demo.Greeter/SayHello",
                &[("content-type", "application/grpc"), ("x-beta", "1")],
                false,
            ),
            (
                "POST",
                "greeter.example.com",
                "/demo.Third/Call",
                &[("content-type", "application/grpc")],
                false,
            ),
        ],
    ),
    (
        "query-only",
        &[
            ("GET", "docs.example.com", "/docs", &[], true),
            ("GET", "docs.example.com", "/docs/a?old=1", &[], false),
            ("GET", "docs.example.com", "/docs?old=2", &[], true),
        ],
    ),
];

pub async fn http_routes_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    let mut names = BTreeSet::new();
    for (source, _) in HTTP_ROUTES {
        for document in documents("gateway-api", source)? {
            // The headers of tests have names too.
            let mut found = BTreeSet::new();
            texts(&document["spec"]["rules"], "name", &mut found);
            names.extend(found.into_iter().filter(|name| name.contains("-v")));
        }
    }
    let mut api = GatewayOfApi::start(lab, names).await?;
    for (source, rows) in HTTP_ROUTES {
        let routes = documents("gateway-api", source)?;
        api.compare(&Change::of_routes(source, &routes, rows))
            .await?;
    }
    api.end().await
}
