//! Canaries of ingress-nginx and what they are converted to.
//!
//! The canary is Lua code of the ingress controller, which is not available to these tests. The routes before are
//! written by hand after its documentation: header, then cookie, then weight; `always` and `never` are whole values; a
//! header with `canary-by-header-value` or `-pattern` has no such words; a pattern is searched in the value.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use serde_json::json;

use super::gateway_api::GatewayOfApi;
use super::{Change, Row, documents, old_routes};

const SHOP: &str = "shop.example.com";

const INGRESSES: &[(&str, &[Row])] = &[
    (
        "header-cookie-weight",
        &[
            ("GET", SHOP, "/", &[], true),
            ("GET", SHOP, "/a", &[("x-canary", "always")], false),
            ("GET", SHOP, "/a", &[("x-canary", "never")], false),
            ("GET", SHOP, "/a", &[("x-canary", "sometimes")], true),
            ("GET", SHOP, "/", &[("cookie", "a=b; canary=always")], false),
            ("GET", SHOP, "/", &[("cookie", "canary=never")], false),
            (
                "GET",
                SHOP,
                "/",
                &[("x-canary", "never"), ("cookie", "canary=always")],
                false,
            ),
        ],
    ),
    (
        "header-value",
        &[
            ("GET", SHOP, "/", &[("x-region", "eu-west")], false),
            ("GET", SHOP, "/", &[("x-region", "eu-west-1")], false),
            ("GET", SHOP, "/", &[("x-region", "always")], false),
            ("GET", SHOP, "/", &[], false),
        ],
    ),
    (
        "header-pattern",
        &[
            ("GET", SHOP, "/api", &[], true),
            ("GET", SHOP, "/api/a", &[("user-agent", "an iPhone")], false),
            ("GET", SHOP, "/api", &[("user-agent", "iPad 1")], false),
            ("GET", SHOP, "/api", &[("user-agent", "iphone")], true),
            ("GET", SHOP, "/api", &[("user-agent", "never")], true),
        ],
    ),
    (
        "weight-total",
        &[
            ("GET", SHOP, "/cart/", &[], true),
            ("POST", SHOP, "/cart/a", &[], true),
        ],
    ),
    (
        "settings",
        &[
            ("GET", SHOP, "/cart", &[], true),
            ("GET", SHOP, "/cart", &[("cookie", "beta=always")], false),
            (
                "GET",
                SHOP,
                "/cart",
                &[("cookie", "a=1; beta=never")],
                false,
            ),
            (
                "GET",
                SHOP,
                "/static/a",
                &[("cookie", "beta=always")],
                false,
            ),
            ("GET", "a.shop.example.com", "/cart", &[], false),
        ],
    ),
];

pub async fn canaries_of_ingress_nginx_answer_alike_before_and_after(lab: &Lab) -> Result<()> {
    let services = ["shop-v1", "shop-v2", "shop-v3"].map(str::to_owned);
    let mut api = GatewayOfApi::start(lab, BTreeSet::from(services)).await?;
    for (source, rows) in INGRESSES {
        let mut ingresses = documents("ingress-nginx", source)?;
        for ingress in &mut ingresses {
            // The class becomes the name of the gateway.
            ingress["spec"]["ingressClassName"] = json!("shop");
        }
        let change = Change {
            source,
            before: &old_routes("ingress-nginx", source)?,
            converted: &ingresses,
            age: Duration::ZERO,
            passed: &[],
            rows,
        };
        api.compare(&change).await?;
    }
    api.end().await
}
