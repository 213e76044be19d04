//! Two divvy filters in one chain, as two WasmPlugins that select one workload: the second one keeps
//! what the first one wrote, and no client can write it.

use crate::setup::{
    Edge, REQUESTS, RESPONSES, Setup, all_users_get, assignment_of, canary, configuration, expect,
    rollout, rollout_with, seen_upstream, served_by, with, without,
};
use anyhow::Result;
use divvy_lab::bootstrap::Position;
use divvy_lab::client::{Http2, Response, request};
use divvy_lab::plugin::Plugin;
use serde_json::{Value, json};

/// The shipped edge with two filters, whose headers Envoy does not remove early: the filters alone
/// have to distinguish each other from a client.
async fn start(first: &Value, second: &Value) -> Result<Edge> {
    start_with(first, second, |_| {}).await
}

/// The same with changed connection managers.
async fn start_with(first: &Value, second: &Value, change: impl Fn(&mut Value)) -> Result<Edge> {
    let second = Plugin::load("envoy/plugin.yaml")?
        .with_name("second")
        .with_configuration(&second.to_string());
    Setup::new(first)?
        .bootstrap(|edge| {
            let mut edge = edge.with_second_plugin(second, Position::After("divvy"))?;
            for manager in edge.connection_managers()? {
                manager["early_header_mutation_extensions"] = json!([]);
                change(manager);
            }
            Ok(edge)
        })?
        .start()
        .await
}

/// The version that answered, what it received, and what the client received.
fn effects(answer: &Response) -> Result<[String; 4]> {
    let seen = |name| Ok::<_, anyhow::Error>(seen_upstream(answer, name)?.join("|"));
    Ok([
        served_by(answer).unwrap_or_default().to_owned(),
        seen("x-divvy-assignment")?,
        seen("x-group")?,
        assignment_of(answer).unwrap_or_default().to_owned(),
    ])
}

const FORGED: [&str; 4] = [
    "x-divvy-route: v3",
    "X-Divvy-Assignment: checkout=v3;reason=rule, other=v9",
    "x-divvy-mirror: v3",
    "x-group: v9",
];

#[tokio::test]
async fn route_headers_and_client_agree_in_both_orders() -> Result<()> {
    let checkout = configuration(&[rollout("checkout", all_users_get("v2"))]);
    let group = json!({"expose": {"group": "x-group"}});
    let search = configuration(&[rollout_with("search", all_users_get("v3"), group)]);
    let again = configuration(&[rollout("checkout", all_users_get("v3"))]);
    let nowhere = json!({"match": [{"hosts": ["elsewhere"]}]});
    let elsewhere = configuration(&[rollout_with("search", all_users_get("v3"), nowhere)]);
    let tagging = configuration(&[without(rollout("tag", all_users_get("v3")), "target")]);
    let active = "checkout=v2;reason=active";
    let inherited = "checkout=v2;reason=inherited;upstream=active";
    // The first one with a target routes, whatever the second one decides.
    for (what, first, second, expected) in [
        (
            "two services",
            &checkout,
            &search,
            [
                "v2",
                "search=v3;reason=active, checkout=v2;reason=active",
                "v3",
                "checkout=v2;reason=active, search=v3;reason=active",
            ],
        ),
        (
            "two services, the other order",
            &search,
            &checkout,
            [
                "v3",
                "checkout=v2;reason=active, search=v3;reason=active",
                "v3",
                "search=v3;reason=active, checkout=v2;reason=active",
            ],
        ),
        (
            "one rollout twice",
            &checkout,
            &again,
            ["v2", inherited, "", inherited],
        ),
        (
            "the second does not match",
            &checkout,
            &elsewhere,
            ["v2", active, "", active],
        ),
        (
            "the first does not match",
            &elsewhere,
            &checkout,
            ["v2", active, "", active],
        ),
        (
            "the second has no rollouts",
            &checkout,
            &json!({}),
            ["v2", active, "", active],
        ),
        (
            "the first has no rollouts",
            &json!({}),
            &checkout,
            ["v2", active, "", active],
        ),
        (
            "the first only tags",
            &tagging,
            &checkout,
            [
                "v2",
                "checkout=v2;reason=active, tag=v3;reason=active",
                "",
                "tag=v3;reason=active, checkout=v2;reason=active",
            ],
        ),
    ] {
        let edge = start(first, second).await?;
        // From the first request of each worker.
        for forged in [&FORGED[..], &[], &FORGED, &[]] {
            let path = "/echo?header=x-divvy-version:own";
            let answer = edge.raw_get(path, forged).await?;
            let mut effects = effects(&answer)?;
            if expected[2].is_empty() && effects[2] == "v9" {
                // Neither filter writes it.
                effects[2].clear();
            }
            assert_eq!(effects, expected, "{what}");
            assert_eq!(seen_upstream(&answer, "x-divvy-mirror")?, [""; 0], "{what}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_follower_follows_the_first_filter_and_each_counts_its_decisions() -> Result<()> {
    let checkout = configuration(&[rollout("checkout", all_users_get("v2"))]);
    let payments = rollout("payments", json!({"follow": {"rollout": "checkout"}}));
    let peer = json!({"trust": {"principals": ["spiffe://td/none"]}});
    let edge = start(&checkout, &with(configuration(&[payments]), peer)).await?;
    let client = Http2::connect(edge.addr).await?;
    for _ in 0..3 {
        let forged = [
            ("x-divvy-assignment", "checkout=v3"),
            ("x-divvy-route", "v3"),
        ];
        let answer = client.send(request("GET", "/echo", &forged, "")?).await?;
        assert_eq!(
            effects(&answer)?,
            [
                "v2",
                "payments=v2;reason=follow, checkout=v2;reason=active",
                "",
                "checkout=v2;reason=active, payments=v2;reason=follow",
            ]
        );
    }
    let requests = [
        (["checkout", "v2", "active"], 3),
        (["payments", "v2", "follow"], 3),
    ];
    edge.wait_for_counts(REQUESTS, &expect(requests)).await?;
    let responses = [
        (["checkout", "v2", "2xx"], 3),
        (["payments", "v2", "2xx"], 3),
    ];
    edge.wait_for_counts(RESPONSES, &expect(responses)).await
}

/// The first filter routes; a verdict of the second one would only contradict it.
#[tokio::test]
async fn the_second_filter_does_not_judge_what_the_first_one_routes() -> Result<()> {
    let guarded = json!({"guardrail": {"consecutiveErrors": 3}});
    let checkout = configuration(&[rollout("checkout", all_users_get("v2"))]);
    let again = configuration(&[rollout_with("checkout", all_users_get("v2"), guarded)]);
    let edge = start(&checkout, &again).await?;
    for _ in 0..10 {
        let answer = edge.client.get("/echo?status=503").await?;
        let inherited = "checkout=v2;reason=inherited;upstream=active";
        assert_eq!(effects(&answer)?, ["v2", inherited, "", inherited]);
    }
    // In the other order it is the first one that judges.
    let edge = start(&again, &checkout).await?;
    for _ in 0..3 {
        edge.client.get("/echo?status=503").await?;
    }
    let answer = edge.client.get("/echo").await?;
    let inherited = "checkout=v1;reason=inherited;upstream=rolled_back";
    assert_eq!(effects(&answer)?, ["v1", inherited, "", inherited]);
    Ok(())
}

#[tokio::test]
async fn a_filter_that_is_added_to_a_running_proxy_is_known_at_once() -> Result<()> {
    let checkout = configuration(&[rollout("checkout", all_users_get("v2"))]);
    let edge = start(&json!({}), &json!({})).await?;
    edge.put(&checkout).await?;
    for _ in 0..4 {
        let answer = edge.raw_get("/echo", &FORGED[..3]).await?;
        let active = "checkout=v2;reason=active";
        assert_eq!(effects(&answer)?, ["v2", active, "", active]);
    }
    Ok(())
}

/// What the first run of the chain wrote counts as a client's after a redirect that Envoy follows.
#[tokio::test]
async fn after_an_internal_redirect_the_headers_of_the_first_run_are_removed() -> Result<()> {
    let shop = json!({"match": [{"path": {"prefix": "/shop"}}], "expose": {"group": "x-group"}});
    let checkout = configuration(&[rollout_with("checkout", all_users_get("v2"), shop)]);
    let again = with(checkout.clone(), json!({"version": "2"}));
    for (first, second) in [(&checkout, &json!({})), (&checkout, &again)] {
        let edge = start_with(first, second, |manager| {
            let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
            for route in routes.as_array_mut().into_iter().flatten() {
                route["route"]["internal_redirect_policy"] = json!({"max_internal_redirects": 1});
            }
        })
        .await?;
        let to = "/shop?status=302&header=location:http://shop/echo";
        let answer = edge.client.get(to).await?;
        assert_eq!(
            (answer.status, &effects(&answer)?),
            (200, &["v1", "", "", ""].map(Into::into))
        );
        let answer = edge
            .client
            .get(&to.replace("/echo", "/shop/echo?echo=1"))
            .await?;
        let [version, _, group, _] = effects(&answer)?;
        assert_eq!((&*version, &*group), ("v2", "v2"));
    }
    Ok(())
}

#[tokio::test]
async fn two_filters_that_mint_give_a_visitor_one_cookie() -> Result<()> {
    let minting = |name: &str, salt: &str| {
        let half = rollout_with(name, canary(50.0), json!({"salt": salt}));
        let identity = json!({"identity": [{"cookie": "divvy_id", "mint": {}}]});
        with(configuration(&[half]), identity)
    };
    let edge = start(&minting("checkout", "a"), &minting("search", "b")).await?;
    for _ in 0..20 {
        let first = edge.client.get("/echo").await?;
        let cookies: Vec<_> = first.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        let cookie = cookies[0].to_str()?.split(';').next().unwrap_or_default();
        let next = edge.client.get_with("/echo", &[("cookie", cookie)]).await?;
        assert_eq!(next.headers.get("set-cookie"), None);
        assert_eq!(effects(&next)?, effects(&first)?);
    }
    Ok(())
}
