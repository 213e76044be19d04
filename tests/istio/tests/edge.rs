//! The overlay `edge`: users land on real subsets, where the library says.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::users::expected;

const USERS: u32 = 1_000;

/// Which version each user has, after a look at whether it is the one that the library says.
async fn land(shop: &Shop<'_>) -> Result<BTreeMap<String, String>> {
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

pub async fn a_thousand_users_land_where_the_library_says(lab: &Lab) -> Result<()> {
    let mut shop = Shop::open(lab, "overlays/edge").await?;
    let before = land(&shop).await?;
    let on_v2 = before.values().filter(|version| *version == "v2").count();
    // Four standard errors around a fifth.
    ensure!((150..=250).contains(&on_v2), "{on_v2} have v2");
    shop.restart().await?;
    assert_eq!(land(&shop).await?, before, "after a restart of the proxy");
    Ok(())
}
