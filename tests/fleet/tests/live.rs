//! The rules and the dashboard on real proxies: an hour without an alert, then one cause for each alert.
//! An hour takes a minute.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use divvy_fleet_tests::compressed::HOUR;
use divvy_fleet_tests::dashboard::Dashboard;
use divvy_fleet_tests::picture::{Drawn, draw};
use divvy_fleet_tests::prometheus::{Prometheus, now};
use divvy_lab::client::Http1;
use divvy_lab::envoy::Push;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::alerts::fired;
use crate::proxies::{Proxy, configuration, rollout};
use crate::traffic::{Traffic, Users};

const PICTURE: &str = "envoy/docs/dashboard.svg";
/// Until all causes have their alerts. The longest one takes 60 s after its cause.
const ALERT_TIMEOUT: Duration = Duration::from_secs(120);

/// One cause each, and the requests per second and proxy.
const STREAMS: [(&str, u32); 7] = [
    ("/steady", 20),
    ("/skewed", 80),
    ("/lonely", 40),
    ("/anonymous", 10),
    ("/failing", 30),
    ("/tripped", 20),
    ("/frozen", 20),
];

/// The configuration of the edge, with this weight of `steady`.
fn edge(weight: u32) -> Value {
    let limits = json!({"minRequests": 10, "errors": {"max": 5, "window": "10s"}});
    let mut freeze = limits.clone();
    freeze["onBreach"] = json!("freeze");
    let ramp = json!({"start": "2026-01-01T00:00:00Z", "steps": [{"weight": 50}, {"weight": 100}]});
    let none = json!({});
    configuration(&[
        rollout(
            "steady",
            "v2",
            json!({"weight": weight}),
            &json!({"guardrail": limits}),
        ),
        rollout(
            "skewed",
            "v2",
            json!({"weight": 50}),
            &json!({"salt": "half"}),
        ),
        rollout(
            "lonely",
            "v2",
            json!({"weight": 50}),
            &json!({"salt": "half"}),
        ),
        rollout("anonymous", "v2", json!({"weight": 20}), &none),
        rollout("failing", "v3", json!({"weight": 50}), &none),
        rollout(
            "tripped",
            "v3",
            json!({"weight": 20}),
            &json!({"guardrail": limits}),
        ),
        rollout("frozen", "v3", ramp, &json!({"guardrail": freeze})),
    ])
}

/// A rollout that recovers from a rollback, and one that is slow.
fn other() -> Value {
    configuration(&blinking_and_slow())
}

/// The same with a version that has no cluster, and a ramp that began a moment ago and waits for requests.
fn other_with_lost_and_waiting() -> Value {
    let start = SystemTime::now() + Duration::from_secs(1);
    let start = humantime::format_rfc3339_millis(start).to_string();
    let steps = json!([{"weight": 50, "hold": "1s"}, {"weight": 100}]);
    let guardrail =
        json!({"guardrail": {"minRequests": 100_000, "errors": {"max": 5, "window": "10s"}}});
    let mut lost = rollout("lost", "v2", json!({"weight": 50}), &json!({}));
    lost["versions"][1]["target"] = json!("missing");
    lost["versions"][0]["target"] = json!("v1");
    if let Some(lost) = lost.as_object_mut() {
        lost.remove("target");
    }
    let [blinking, slow] = blinking_and_slow();
    let ramp = json!({"start": start, "steps": steps});
    let waiting = rollout("waiting", "v2", ramp, &guardrail);
    configuration(&[blinking, slow, lost, waiting])
}

fn blinking_and_slow() -> [Value; 2] {
    let guardrail = json!({"minRequests": 5, "consecutiveErrors": 5, "recoverAfter": "4s", "errors": {"max": 50, "window": "10s"}});
    [
        rollout("slow", "v2", json!({"weight": 50}), &json!({})),
        rollout(
            "blinking",
            "v3",
            json!({"weight": 50}),
            &json!({"guardrail": guardrail}),
        ),
    ]
}

fn small(path: &str) -> Value {
    configuration(&[rollout(path, "v2", json!({"weight": 20}), &json!({}))])
}

/// A user who gets stable at 50 %.
async fn a_user_of_stable(proxy: &Proxy) -> Result<u64> {
    let client = Http1::new(proxy.address);
    for user in 1..100_u64 {
        let answer = client
            .get_with("/skewed", &[("x-user-id", user.to_string())])
            .await?;
        if answer.header("x-shop-version") == Some("v1") {
            return Ok(user);
        }
    }
    anyhow::bail!("100 users got v2")
}

/// The alert of each cause.
const EXPECTED: [&str; 21] = [
    "DivvyConfigDisagreement",
    "DivvyConfigRefused b",
    "DivvyDecisionErrors limited i",
    "DivvyErrorBudgetBurn 1h failing v3",
    "DivvyErrorBudgetBurn 6h failing v3",
    "DivvyFrozen frozen v3",
    "DivvyInert g",
    "DivvyMissing h",
    "DivvyNoIdentity anonymous",
    "DivvyRolledBack blinking v3",
    "DivvyRolledBack tripped v3",
    "DivvyServedByStableInstead blinking",
    "DivvySilent f",
    "DivvySplitSkew skewed v1",
    "DivvySplitSkew skewed v2",
    "DivvyStepWaiting waiting",
    "DivvyUnreachable lost v2",
    "DivvyVersionFailsMore failing v3",
    "DivvyVersionSlower slow v2",
    "DivvyVersionWithoutUsers lonely v2",
    // The last one: its proxy ends after the others.
    "DivvyProxyNotScraped e",
];

/// Waits until each of these alerts has fired.
async fn all_fire(prometheus: &Prometheus, start: f64, expected: &[&str]) -> Result<()> {
    let missing = async || -> Result<Vec<String>> {
        let fired = fired(prometheus, start, now()).await?;
        let missing = expected.iter().filter(|alert| !fired.contains_key(**alert));
        Ok(missing.map(|alert| (*alert).to_owned()).collect())
    };
    let all = async || missing().await.ok()?.is_empty().then_some(());
    let outcome = eventually("the alert of each cause", ALERT_TIMEOUT, all).await;
    match missing().await? {
        none if none.is_empty() => Ok(()),
        some => outcome.with_context(|| format!("did not fire: {some:?}")),
    }
}

/// Alerts that may fire too: until a guardrail acts, the version fails, and a frozen one goes on failing;
/// if one user sends all requests and these are many, the shares differ.
fn is_a_consequence(alert: &str) -> bool {
    let failing = ["DivvyVersionFailsMore ", "DivvyErrorBudgetBurn "];
    let held = [" tripped v3", " frozen v3", " blinking v3"];
    alert.starts_with("DivvySplitSkew lonely")
        || failing.iter().any(|start| alert.starts_with(start))
            && held.iter().any(|end| alert.ends_with(end))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_silent_for_an_hour_and_each_fires_once_for_its_cause() -> Result<()> {
    let prometheus = Prometheus::start().await?;
    let edge_text = edge(20).to_string();
    let a = Proxy::start("divvy-edge", "a", &edge_text).await?;
    let b = Proxy::start("divvy-edge", "b", &edge_text).await?;
    let c = Proxy::start("divvy-c", "c", &other().to_string()).await?;
    let d = Proxy::start("divvy-small", "d", &small("d").to_string()).await?;
    let e = Proxy::start("divvy-small", "e", &small("d").to_string()).await?;
    let f = Proxy::start("divvy-f", "f", &small("f").to_string()).await?;
    let one = a_user_of_stable(&a).await?;
    let mut traffic = BTreeMap::new();
    for proxy in [&a, &b] {
        for (path, rate) in STREAMS {
            traffic.insert(
                (proxy.instance, path),
                Traffic::start(proxy.address, path, rate, one),
            );
        }
    }
    // Several clients, because each waits for the answer of a slow version.
    let _slow = [(); 12].map(|()| Traffic::start(c.address, "/slow", 20, one));
    let _others = [
        Traffic::start(c.address, "/blinking", 20, one),
        Traffic::start(f.address, "/f", 5, one),
    ];
    let mut targets: Vec<_> = [&a, &b, &c, &d, &e, &f].map(Proxy::target).into();

    // A healthy hour.
    let start = now();
    prometheus.scrape(&targets)?;
    let scraped = async || (prometheus.query("up == 1").await.ok()?.len() == 6).then_some(());
    eventually("six proxies to be scraped", ALERT_TIMEOUT, scraped).await?;
    // The duration is what is tested: nothing may fire in it.
    sleep(Duration::from_secs(HOUR)).await;
    assert_eq!(prometheus.broken_rules().await?, [] as [String; 0]);
    assert_eq!(fired(&prometheus, start, now()).await?, BTreeMap::new());
    let known = prometheus
        .query("count by (divvy_rollout) (divvy:share_observed:10m)")
        .await?;
    ensure!(known.len() >= 9, "{known:?}");

    // The causes.
    let changed = now();
    for proxy in [&a, &b] {
        proxy.put(&edge(30)).await?;
        proxy.behave("v3", 50.0, 0);
    }
    for ((_, path), stream) in &traffic {
        match *path {
            "/skewed" => stream.set_users(Users::OneOfMany),
            "/lonely" => stream.set_users(Users::One),
            "/anonymous" => stream.set_users(Users::Anonymous),
            _ => (),
        }
    }
    let refused = b.push(&json!({"rollouts": [{"name": "steady"}]})).await?;
    ensure!(matches!(refused, Push::Refused { .. }), "{refused:?}");
    c.put(&other_with_lost_and_waiting()).await?;
    let _lost = Traffic::start(c.address, "/lost", 20, one);
    let _waiting = Traffic::start(c.address, "/waiting", 20, one);
    c.behave("v2", 0.0, 80);
    c.behave("v3", 100.0, 0);
    d.put(&small("other")).await?;
    f.put(&small("nothing")).await?;
    let g = Proxy::start("divvy-g", "g", "{\"rollouts\": 1}").await?;
    let h = Proxy::start_without_divvy("divvy-h", "h").await?;
    let limited = rollout("limited", "v2", json!({"weight": 0}), &json!({}));
    let limited = configuration(&[limited]).to_string();
    let i = Proxy::start_without_header_writes("divvy-i", "i", &limited).await?;
    let _limited = Traffic::start(i.address, "/limited", 20, one);
    targets.extend([g.target(), h.target(), i.target()]);
    prometheus.scrape(&targets)?;
    let tripped = "divvy_guardrail_state{divvy_rollout=\"blinking\"} == 2";
    let rolled_back = async || prometheus.query(tripped).await.ok()?.first().cloned();
    eventually("the rollback of blinking", ALERT_TIMEOUT, rolled_back).await?;
    c.behave("v3", 0.0, 0);
    let others = &EXPECTED[..EXPECTED.len() - 1];
    all_fire(&prometheus, start, others).await?;
    e.envoy.stop().await;
    all_fire(&prometheus, start, &EXPECTED).await?;
    dashboard(&prometheus, start, changed).await?;

    let fired = fired(&prometheus, start, now()).await?;
    let wrong: Vec<_> = fired
        .iter()
        .filter(|(alert, times)| match EXPECTED.contains(&alert.as_str()) {
            true => **times != 1,
            false => !is_a_consequence(alert),
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "alerts without a cause, or more than once: {wrong:#?}"
    );
    Ok(())
}

/// Every query has finite values for a rollout that was rolled back, and every annotation an event.
async fn dashboard(prometheus: &Prometheus, start: f64, changed: f64) -> Result<()> {
    let dashboard = Dashboard::load("divvy-edge", "tripped")?;
    let end = now();
    let mut drawn = Vec::new();
    for panel in &dashboard.panels {
        let mut lines = Vec::new();
        for query in &panel.queries {
            let instant = prometheus
                .query(&query.expression)
                .await
                .with_context(|| panel.title.clone())?;
            let finite = instant
                .iter()
                .all(|series| series.samples.iter().all(|(_, value)| value.is_finite()));
            ensure!(
                !instant.is_empty() && finite,
                "{}: {} gives {instant:?}",
                panel.title,
                query.expression
            );
            let series = match panel.kind.as_str() {
                "table" => instant,
                _ => prometheus.range(&query.expression, start, end).await?,
            };
            lines.extend(
                series
                    .into_iter()
                    .map(|series| (query.name_of(&series), series)),
            );
        }
        drawn.push(Drawn { panel, lines });
    }
    let mut marks = Vec::new();
    for ((name, query), color) in dashboard
        .annotations
        .iter()
        .zip(["#3274d9", "#e02f44", "#ff9830"])
    {
        let events = prometheus
            .range(&query.expression, changed - 2.0, end)
            .await?;
        ensure!(
            !events.is_empty(),
            "no event of annotation {name}: {}",
            query.expression
        );
        let first = |series: &divvy_fleet_tests::prometheus::Series| {
            Some((series.samples.first()?.0, color))
        };
        marks.extend(events.iter().filter_map(first));
    }
    if std::env::var_os("DIVVY_BLESS").is_some_and(|value| value == "1") {
        fs::write(
            workspace_root().join(PICTURE),
            draw(&drawn, start, end, &marks),
        )?;
    }
    Ok(())
}
