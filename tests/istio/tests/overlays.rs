//! The overlays `blue-green`, `ab-test`, `outlier-detection` and `steps`.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::command;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::users::expected;
use divvy_lab::client::Response;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::upstream::Behaviour;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

pub async fn changing_the_active_version_moves_all_users(lab: &Lab) -> Result<()> {
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
    shop.until_version("v2", &[]).await?;
    configuration["rollouts"][0]["strategy"]["blueGreen"]["active"] = json!("blue");
    shop.configure(&configuration).await?;
    shop.until_version("v1", &[]).await?;
    Ok(())
}

pub async fn an_ab_test_gives_each_user_an_arm_and_each_visitor_an_identity(
    lab: &Lab,
) -> Result<()> {
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
        let received = |name: &str| {
            let headers = answer.json().ok()?["headers"].clone();
            let mut headers = headers.as_array()?.iter();
            let header = headers.find(|header| header[0] == name)?;
            Some(header[1].as_str()?.to_owned())
        };
        assert_eq!(received("x-divvy-assignment"), assignment, "{user}");
        let v2 = served_by(&answer) == "v2";
        let arm = if v2 { "green-button" } else { "control" };
        assert_eq!(received("x-abtest-group").as_deref(), Some(arm));
        assert_eq!(
            received("x-divvy-route"),
            None,
            "the service does not receive the route header"
        );
        on_v2 += u32::from(v2);
    }
    // Half of the half that takes part, plus or minus four standard errors.
    assert!((64..=134).contains(&on_v2), "{on_v2}");

    let page = client.get_with("/", &[("accept", "text/html")]).await?;
    let cookie = page.header("set-cookie").unwrap_or_default();
    assert!(cookie.starts_with("__Host-shop_user="), "{cookie}");
    let again = [("accept", "text/html"), ("cookie", cookie)];
    let again = client.get_with("/", &again).await?;
    assert_eq!(
        again.header("set-cookie"),
        None,
        "the identity is permanent"
    );
    assert_eq!(served_by(&again), served_by(&page));
    Ok(())
}

pub async fn stable_serves_the_users_of_a_version_without_healthy_hosts(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/outlier-detection").await?;
    let configuration = shop.configuration().await?;
    let of_v2 = |user: &String| {
        let route = expected(&configuration, user).ok();
        route.is_some_and(|(_, route)| route.as_deref() == Some("v2"))
    };
    let user = (0..100).map(|user| format!("user-{user}")).find(of_v2);
    let user = user.context("a user of v2")?;
    let headers = [("x-user-id", user.as_str())];
    shop.until_version("v2", &headers).await?;

    let v2 = &shop.checkout.versions[1];
    v2.behave(Behaviour {
        error_percent: 100.0,
        ..Behaviour::default()
    });
    let is_unreachable = |answer: &Response| {
        let assignment = answer.header("x-divvy-version");
        assignment == Some("checkout=v1;reason=unreachable") && answer.status == 200
    };
    shop.until("stable for v2", &headers, is_unreachable)
        .await?;
    let share = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    // The gauges are set with the next tick.
    eventually("the gauges", PATIENCE, async || {
        let metrics = shop.proxy.prometheus().await.ok()?;
        let state = metrics.get("divvy_guardrail_state", &share);
        let weight = metrics.get("divvy_weight_ppm", &share);
        ((state, weight) == (Some(3.0), Some(0.0))).then_some(())
    })
    .await?;

    v2.behave(Behaviour::default());
    shop.until_version("v2", &headers).await?;
    Ok(())
}

/// The versions of these users, with the reason.
async fn versions(shop: &Shop<'_>, users: u32) -> Result<Vec<String>> {
    let client = shop.client();
    let mut versions = Vec::new();
    for user in 0..users {
        let user = format!("user-{user}");
        let answer = client
            .get_with("/checkout", &[("x-user-id", &user)])
            .await?;
        let decision = answer.header("x-divvy-version").unwrap_or_default();
        versions.push(decision.to_owned());
    }
    Ok(versions)
}

pub async fn a_step_with_a_gate_lasts_until_divvy_promote_passes_it(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/steps").await?;
    let before = versions(&shop, 200).await?;
    let v2 = "checkout=v2;reason=split";
    let count = before.iter().filter(|version| *version == v2).count();
    // 20 % of 200, plus or minus four standard errors.
    ensure!((18..=62).contains(&count), "{count} of 200 users on v2");
    let share = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    eventually("the share", PATIENCE, async || {
        let metrics = shop.proxy.prometheus().await.ok()?;
        (metrics.get("divvy_weight_ppm", &share) == Some(200_000.0)).then_some(())
    })
    .await?;

    // As a pipeline does it: promote the file, and apply it.
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("divvy.yaml");
    fs::copy(
        workspace_root().join("istio/overlays/steps/divvy.yaml"),
        &file,
    )?;
    // In a working hour, since no step begins in a pause.
    let words = ["--gate", "qa", "--at", "2026-01-07T12:00:00Z"];
    let mut arguments = vec![OsString::from("promote"), file.clone().into()];
    arguments.extend(words.map(OsString::from));
    let status = command::divvy(&arguments)?.status()?;
    ensure!(status.success(), "divvy promote: {status}");
    let text = fs::read_to_string(&file)?;
    let plugin: Value = serde_json::from_str(&from_yaml_or_json(&text)?)?;
    shop.configure(&plugin["spec"]["pluginConfig"]).await?;
    eventually("v2 for all users", PATIENCE, async || {
        let after = versions(&shop, 200).await.ok()?;
        after.iter().all(|version| version == v2).then_some(())
    })
    .await?;
    Ok(())
}
