//! The overlay `edge`: users get the subset that the library computes.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::users::expected;

const USERS: u32 = 1_000;

/// The version of each user; an error if it is not the one that the library computes.
async fn versions_of_users(shop: &Shop<'_>) -> Result<BTreeMap<String, String>> {
    let configuration = shop.configuration().await?;
    let client = shop.client();
    let mut versions = BTreeMap::new();
    for user in 0..USERS {
        let user = format!("user-{user}");
        let answer = client
            .get_with("/checkout", &[("x-user-id", &user)])
            .await?;
        let (assignment, route) = expected(&configuration, &user)?;
        assert_eq!(Some(served_by(&answer)), route.as_deref(), "{user}");
        assert_eq!(answer.header("x-divvy-version"), assignment.as_deref());
        versions.insert(user, served_by(&answer).to_owned());
    }
    Ok(versions)
}

pub async fn a_thousand_users_get_the_version_that_the_library_computes(lab: &Lab) -> Result<()> {
    let mut shop = Shop::open(lab, "overlays/edge").await?;
    let before = versions_of_users(&shop).await?;
    let on_v2 = before.values().filter(|version| *version == "v2").count();
    // 20 % of the users, plus or minus four standard errors.
    ensure!((150..=250).contains(&on_v2), "{on_v2} users of v2");
    shop.restart().await?;
    assert_eq!(
        versions_of_users(&shop).await?,
        before,
        "after a restart of the gateway"
    );
    Ok(())
}

pub async fn a_forged_route_header_has_no_effect(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let client = shop.client();
    let before = shop.checkout.versions[1].requests();
    for name in ["x-divvy-route", "x_divvy_route", "X-Divvy-Route"] {
        for value in ["v2", "outbound|8080|v2|checkout.shop.svc.cluster.local"] {
            let answer = client.get_with("/checkout", &[(name, value)]).await?;
            assert_eq!(served_by(&answer), "v1", "{name}: {value}");
        }
    }
    assert_eq!(shop.checkout.versions[1].requests(), before);
    Ok(())
}

pub async fn the_mesh_configuration_gives_metrics_their_labels(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let client = shop.client();
    for _ in 0..7 {
        client
            .get_with("/checkout", &[("x-canary", "true")])
            .await?;
    }
    let metrics = shop.proxy.prometheus().await?;
    let labels = [
        ("divvy_rollout", "checkout"),
        ("divvy_version", "v2"),
        ("divvy_reason", "rule"),
    ];
    assert_eq!(metrics.get("divvy_requests_total", &labels), Some(7.0));
    let labels = [
        ("divvy_rollout", "checkout"),
        ("divvy_version", "v2"),
        ("divvy_class", "2xx"),
    ];
    assert_eq!(metrics.get("divvy_responses_total", &labels), Some(7.0));
    let share = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    assert_eq!(metrics.get("divvy_weight_ppm", &share), Some(200_000.0));
    let unlabelled = (metrics.names().into_iter()).find(|name| name.contains("divvy_rollout"));
    assert_eq!(unlabelled, None, "a label in the name of a metric");
    // The Telemetry object adds the decision to the access log.
    shop.proxy
        .logs(&["\"assignment\":\"checkout=v2;reason=rule\""])
        .await?;
    Ok(())
}
