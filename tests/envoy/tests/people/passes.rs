//! A request that passes divvy twice before the client has its cookie: in two proxies, and in one
//! that follows a redirect by itself.

use crate::setup::{Edge, Setup, canary, seen_upstream, served_by, with};
use anyhow::{Context, Result};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};

use crate::people::{get, given, in_front_of, minting, value_of};

#[tokio::test]
async fn two_proxies_that_mint_give_a_visitor_one_identity() -> Result<()> {
    // Another salt: the second proxy splits the same users in another way.
    let ignored = json!({"ignoreIdentities": ["", "null"]});
    let inner = minting(canary(50.0), json!({"salt": "inner"}));
    let inner = Edge::start(&with(inner, ignored.clone())).await?;
    let outer = with(minting(canary(50.0), json!({})), ignored);
    let outer = with(outer, json!({"responseHeader": "x-outer"}));
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&outer.to_string());
    let outer = Bootstrap::load("envoy/edge.yaml")?.with_plugin(plugin);
    let (_envoy, client) = in_front_of(&inner, outer).await?;
    let mut versions = [0, 0];
    for visitor in 0..60 {
        let others = ["", "a=b", "divvy_id=; a=b", "divvy_id=null"][visitor % 4];
        let sent = [("cookie", others)];
        let headers = if others.is_empty() { &[][..] } else { &sent };
        let first = client.get_with("/echo", headers).await?;
        let lines = given(&first);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let cookie = format!(
            "divvy_id={}",
            value_of(&first, "divvy_id").context("a cookie")?
        );
        let upstream = seen_upstream(&first, "cookie")?.join("|");
        assert!(upstream.starts_with(&cookie), "{upstream}");
        assert!(upstream.ends_with(others), "{upstream}");
        for _ in 0..2 {
            let next = client.get_with("/echo", &[("cookie", &cookie)]).await?;
            assert_eq!(given(&next), [""; 0]);
            assert_eq!(served_by(&next), served_by(&first), "of the inner proxy");
            assert_eq!(next.header("x-outer"), first.header("x-outer"));
            assert_eq!(seen_upstream(&next, "cookie")?, [&*cookie]);
        }
        versions[usize::from(served_by(&first) == Some("v2"))] += 1;
    }
    assert!(versions.iter().all(|count| *count > 10), "{versions:?}");
    Ok(())
}

/// The shipped edge with a field added to each route.
async fn with_routes(configuration: &Value, field: &str, value: Value) -> Result<Edge> {
    let setup = Setup::new(configuration)?.bootstrap(|mut shipped| {
        for manager in shipped.connection_managers()? {
            let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
            for route in routes.as_array_mut().into_iter().flatten() {
                route["route"][field] = value.clone();
            }
        }
        Ok(shipped)
    })?;
    setup.start().await
}

#[tokio::test]
async fn a_redirect_that_envoy_follows_does_not_lose_a_minted_cookie() -> Result<()> {
    let shop = json!({"match": [{"path": {"prefix": "/shop"}}]});
    let further = with(shop, json!({"sticky": {"cookie": "divvy_checkout"}}));
    let configuration = minting(canary(50.0), further);
    let redirects = json!({"max_internal_redirects": 2});
    let edge = with_routes(&configuration, "internal_redirect_policy", redirects).await?;
    let mut versions = [0, 0];
    for visitor in 0..60 {
        // To a page of the rollout, to another page, and over two redirects.
        let to = [
            "/shop/page",
            "/other",
            "/shop?status=302%26header=location:http://shop/other",
        ];
        let path = format!(
            "/shop?status=302&header=location:http://shop{}",
            to[visitor % 3]
        );
        let first = edge.client.get(&path).await?;
        assert_eq!(first.status, 200, "{path}");
        let id = value_of(&first, "divvy_id").with_context(|| format!("a cookie: {path}"))?;
        let lines = given(&first);
        let minted = lines
            .iter()
            .filter(|line| line.starts_with("divvy_id="))
            .count();
        assert_eq!(minted, 1, "{lines:?}");
        let cookie = format!("divvy_id={id}");
        // The version of the page is that of all further requests.
        let [next, again] = [
            edge.client
                .get_with("/shop", &[("cookie", &*cookie)])
                .await?,
            edge.client.get_with(&path, &[("cookie", &*cookie)]).await?,
        ];
        if visitor % 3 == 0 {
            assert_eq!(served_by(&next), served_by(&first));
        }
        for known in [&next, &again] {
            assert_eq!(value_of(known, "divvy_id"), None, "it is not renewed");
        }
        versions[usize::from(served_by(&next) == Some("v2"))] += 1;
    }
    assert!(versions.iter().all(|count| *count > 10), "{versions:?}");
    // A client cannot have a cookie written by pretending a redirect.
    let forged = [
        ("x-envoy-original-url", "http://shop/"),
        ("cookie", "divvy_id=6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
    ];
    assert_eq!(
        given(&edge.client.get_with("/other", &forged).await?),
        [""; 0]
    );
    let kept = get(&edge, "42", "").await?;
    assert_eq!(value_of(&kept, "divvy_id"), None);
    Ok(())
}

#[tokio::test]
async fn a_request_that_envoy_repeats_gives_one_cookie() -> Result<()> {
    let retries = json!({"retry_on": "5xx", "num_retries": 2});
    let configuration = minting(canary(50.0), json!({}));
    let edge = with_routes(&configuration, "retry_policy", retries).await?;
    let answer = edge.client.get("/?status=503").await?;
    assert_eq!(given(&answer).len(), 1);
    assert_eq!(edge.upstream_requests(), 3);
    Ok(())
}
