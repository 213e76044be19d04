//! Cookies behind Envoy's cache filter, which stores `set-cookie` with a response.

use crate::setup::{Edge, canary};
use anyhow::Result;
use divvy_lab::bootstrap::{Bootstrap, Position};
use serde_json::json;

use crate::people::{given, in_front_of, minting};

const FUTURE: &str = "expires:Wed,%2021%20Oct%202099%2007:28:00%20GMT";
const PAST: &str = "expires:Thu,%2001%20Jan%201970%2000:00:00%20GMT";

#[tokio::test]
async fn no_visitor_gets_the_cookie_of_another_from_a_cache() -> Result<()> {
    const CACHE: &str = "type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig";
    const STORE: &str = "type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig";
    let cache = json!({"name": "cache", "typed_config": {
        "@type": CACHE, "typed_config": {"@type": STORE},
    }});
    let sticky = json!({"sticky": {"cookie": "divvy_checkout"}});
    for further in [json!({}), sticky] {
        let edge = Edge::start(&minting(canary(50.0), further.clone())).await?;
        let front = Bootstrap::load("envoy/edge.yaml")?
            .with_http_filter(&cache, Position::After("divvy"))?
            .without_http_filter("divvy")?;
        let (_front, client) = in_front_of(&edge, front).await?;
        let cookies = 1 + further.as_object().map_or(0, serde_json::Map::len);
        for (headers, stored) in [
            (&["cache-control:max-age=60"][..], true),
            (&["cache-control:public,%20max-age=60"], true),
            (&["cache-control:s-maxage=60"], true),
            (
                &["cache-control:no-transform", "cache-control:max-age=60"],
                true,
            ),
            (&[FUTURE], true),
            (&["cache-control:private=%22x-a%22,%20max-age=60"], true),
            (&["cache-control:private,%20max-age=60"], false),
            (&["cache-control:no-store,%20max-age=60"], false),
            (&[PAST, "cache-control:no-store"], false),
            (&["cache-control:x=%22public,%20max-age=60%22"], false),
            (&[], false),
        ] {
            let headers = headers.iter().map(|header| format!("&header={header}"));
            let path = format!("/?header=etag:%22a%22{}", headers.collect::<String>());
            let mut seen = Vec::new();
            for visitor in 0..3 {
                let answer = client.get(&path).await?;
                let lines = given(&answer);
                assert_eq!(lines.len(), if stored { 0 } else { cookies }, "{path}");
                let repeated = lines.iter().any(|line| seen.contains(line));
                assert!(!repeated, "{path}: {lines:?} was given to another visitor");
                seen.extend(lines);
                // The cache does store, so a cookie would have come from there.
                let private = path.contains("private=");
                let hit = answer.header("age").is_some();
                assert_eq!(hit, stored && visitor > 0 && !private, "{path}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn responses_that_end_no_visit_carry_no_cookie() -> Result<()> {
    let sticky = json!({"sticky": {"cookie": "divvy_checkout"}});
    let edge = Edge::start(&minting(canary(50.0), sticky)).await?;
    for (path, cookies) in [
        ("/", 2),
        ("/?status=204", 2),
        ("/?status=302&header=location:/x", 2),
        ("/?status=404", 2),
        ("/?status=503", 2),
        ("/?status=304", 0),
        ("/?header=cdn-cache-control:max-age=60", 0),
        ("/?header=surrogate-control:max-age=60", 0),
        (
            "/?header=cache-control:no-store&header=surrogate-control:max-age=60",
            0,
        ),
        (
            "/?header=cache-control:private&header=surrogate-control:no-store",
            2,
        ),
    ] {
        let answer = edge.client.get(path).await?;
        assert_eq!(given(&answer).len(), cookies, "{path}");
    }
    let head = divvy_lab::client::request("HEAD", "/", &[("accept", "*/*")], "")?;
    assert_eq!(
        given(&edge.client.send(head).await?).len(),
        2,
        "HEAD is a visit"
    );
    // A response of Envoy itself.
    let targets = json!({"target": "missing-{version}"});
    edge.put(&minting(canary(50.0), targets)).await?;
    let answer = edge.client.get("/").await?;
    assert_eq!((answer.status, given(&answer).len()), (503, 1));
    Ok(())
}
