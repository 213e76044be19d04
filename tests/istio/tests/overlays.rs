//! The other overlays: blue and green, the A/B test.

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::users::expected;
use serde_json::json;

pub async fn blue_and_green_change_places_with_one_word(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/blue-green").await?;
    let client = shop.client();
    for user in ["alice", "bob", "carol"] {
        let answer = client.get_with("/checkout", &[("x-user-id", user)]).await?;
        assert_eq!(served_by(&answer), "v1", "{user}");
    }
    let preview = client.get_with("/", &[("x-preview", "green")]).await?;
    assert_eq!(served_by(&preview), "v2");

    let mut configuration = shop.configuration().await?;
    configuration["rollouts"][0]["strategy"]["blueGreen"]["active"] = json!("green");
    shop.configure(&configuration).await?;
    shop.until("green", &[], |answer| served_by(answer) == "v2")
        .await?;
    configuration["rollouts"][0]["strategy"]["blueGreen"]["active"] = json!("blue");
    shop.configure(&configuration).await?;
    shop.until("the way back", &[], |answer| served_by(answer) == "v1")
        .await?;
    Ok(())
}

pub async fn an_ab_test_gives_each_user_an_arm_and_visitors_a_name(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/ab-test").await?;
    let configuration = shop.configuration().await?;
    let client = shop.client();
    let mut on_v2 = 0;
    for user in 0..400 {
        let user = format!("user-{user}");
        let answer = client
            .get_with("/checkout?echo", &[("x-user-id", &user)])
            .await?;
        let (assignment, route) = expected(&configuration, &user)?;
        assert_eq!(Some(served_by(&answer)), route.as_deref(), "{user}");
        let seen = |name: &str| {
            let headers = answer.json().ok()?["headers"].clone();
            let mut headers = headers.as_array()?.iter();
            let header = headers.find(|header| header[0] == name)?;
            Some(header[1].as_str()?.to_owned())
        };
        assert_eq!(seen("x-divvy-assignment"), assignment, "{user}");
        let v2 = served_by(&answer) == "v2";
        let arm = if v2 { "green-button" } else { "control" };
        assert_eq!(seen("x-abtest-group").as_deref(), Some(arm));
        assert_eq!(seen("x-divvy-route"), None, "nobody's business upstream");
        on_v2 += u32::from(v2);
    }
    // Half of those who take part, who are half: four standard errors around a quarter.
    assert!((64..=134).contains(&on_v2), "{on_v2}");

    let page = client.get_with("/", &[("accept", "text/html")]).await?;
    let cookie = page.header("set-cookie").unwrap_or_default();
    assert!(cookie.starts_with("shop_user="), "{cookie}");
    let again = [("accept", "text/html"), ("cookie", cookie)];
    let again = client.get_with("/", &again).await?;
    assert_eq!(again.header("set-cookie"), None, "a name for good");
    assert_eq!(served_by(&again), served_by(&page));
    Ok(())
}
