//! `/stats/prometheus`: series, labels and values.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::setup::{
    Counts, DURATIONS, Edge, REQUESTS, RESPONSES, Setup, WEIGHTS, all_users_get, assignment_of,
    canary, configuration, counts, expect, rollout, rollout_with, soak, with, without,
};
use anyhow::{Context, Result, ensure};
use divvy::decide::decide;
use divvy::output::assignment;
use divvy::response::ResponseClass;
use divvy::{config, request::Request};
use divvy_lab::client::Http1;
use serde_json::{Value, json};

/// Rollouts that together give every reason.
fn every_reason() -> Value {
    let beta = json!({"header": "x-ring", "exact": "beta"});
    let rules = json!([{"name": "beta", "when": beta, "use": "v3"}]);
    let split = json!([{"version": "v2", "weight": 1}, {"version": "v3", "weight": 3}]);
    let layer = json!({"name": "page", "from": 10, "to": 70});
    let test = json!({"abTest": {"split": split, "traffic": 40, "layer": layer}});
    let tags = without(rollout("tags", canary(50.0)), "target");
    let all = configuration(&[
        rollout_with("checkout", canary(20.0), json!({"rules": rules})),
        rollout("search", test),
        rollout("basket", all_users_get("v2")),
        rollout_with("paused", canary(20.0), json!({"enabled": false})),
        rollout_with(
            "pay",
            canary(50.0),
            json!({"match": [{"path": {"prefix": "/pay"}}]}),
        ),
        tags,
        rollout("cart", json!({"follow": {"rollout": "checkout"}})),
    ]);
    with(all, json!({"holdout": {"name": "2026q4", "percent": 10}}))
}

/// The headers of request number `number`, and its path.
fn nth(number: usize) -> (&'static str, Vec<(&'static str, String)>) {
    let path = ["/", "/pay", "/secret-page?secret-query=1"][number % 3];
    let mut headers = vec![("user-agent", format!("secret-agent/{number}"))];
    if !number.is_multiple_of(7) {
        headers.push(("x-user-id", format!("secret-user-{number}")));
    }
    if number.is_multiple_of(5) {
        headers.push(("x-ring", "beta".to_owned()));
    }
    (path, headers)
}

/// Sends `clients` × `each` requests, one connection per client, to four workers, and compares every
/// counter with the library's decisions for the same requests.
async fn count_exactly(clients: usize, each: usize) -> Result<()> {
    let configuration = every_reason();
    let policy = config::parse(configuration.to_string().as_bytes())?;
    let setup = Setup::new(&configuration)?.workers(4);
    let edge = setup
        .bootstrap(|edge| edge.without_access_log())?
        .start()
        .await?;

    let mut decided = Counts::new();
    let mut by_version = Counts::new();
    let mut running = Vec::new();
    for client in 0..clients {
        let mut requests = Vec::new();
        for number in client * each..(client + 1) * each {
            let (path, headers) = nth(number);
            let pairs = headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let pseudo = [(&b":path"[..], path.as_bytes()), (b":method", b"GET")];
            let request = Request::from_headers(&policy.names, pseudo.into_iter().chain(pairs));
            let decisions = decide(&policy, &request).decisions;
            drop(request);
            for decision in &decisions {
                let rollout = policy.rollout(decision.rollout).context("a rollout")?;
                let version = &rollout.version(decision.version).context("a version")?.name;
                let labels = [&*rollout.name, &**version, decision.reason.name()];
                *decided
                    .entry(labels.map(str::to_owned).to_vec())
                    .or_default() += 1;
                let labels = [&*rollout.name, &**version];
                *by_version
                    .entry(labels.map(str::to_owned).to_vec())
                    .or_default() += 1;
            }
            requests.push((path, headers, assignment(&policy, &decisions)));
        }
        let client = Http1::new(edge.addr);
        running.push(tokio::spawn(async move {
            for (path, headers, expected) in requests {
                let answer = client.get_with(path, &headers).await?;
                ensure!(answer.status == 200 && assignment_of(&answer) == expected.as_deref());
            }
            Ok(())
        }));
    }
    for client in running {
        client.await??;
    }

    let reasons: BTreeSet<_> = decided.keys().map(|labels| labels[2].as_str()).collect();
    let all = [
        "active",
        "disabled",
        "excluded",
        "follow",
        "holdout",
        "no_identity",
        "not_enrolled",
        "rule",
        "split",
    ];
    assert_eq!(
        reasons,
        BTreeSet::from(all),
        "the requests are too much alike"
    );
    let metrics = edge.metrics().await?;
    assert_eq!(counts(&metrics, REQUESTS)?, decided);
    let answered = counts(&metrics, RESPONSES)?;
    let expected = by_version.iter().map(|(labels, count)| {
        let class = [ResponseClass::Success.name().to_owned()];
        ([&labels[..], &class].concat(), *count)
    });
    assert_eq!(answered, expected.collect::<Counts>());
    edge.wait_for_counts(DURATIONS, &by_version).await?;
    // Sums as on a dashboard.
    let requests = (clients * each) as f64;
    for rollout in ["checkout", "search", "basket", "paused", "tags"] {
        let of = [("divvy_rollout", rollout)];
        assert_eq!(
            metrics.sum("divvy_requests_total", &of),
            requests,
            "{rollout}"
        );
        assert_eq!(
            metrics.sum("divvy_responses_total", &of),
            requests,
            "{rollout}"
        );
    }
    assert_eq!(
        metrics.sum("divvy_requests_total", &[("divvy_rollout", "pay")]),
        requests / 3.0
    );
    // No label contains text of a request.
    assert!(!format!("{metrics:?}").contains("secret"));
    // Every worker served some requests.
    let workers = edge.envoy.stats("listener.").await?;
    let connections: Vec<_> = (workers.iter())
        .filter(|(name, _)| name.contains("worker_") && name.ends_with("downstream_cx_total"))
        .filter(|(name, _)| !name.contains("admin"))
        .map(|(_, connections)| *connections)
        .collect();
    assert_eq!(connections.len(), 4, "{workers:?}");
    assert!(
        connections.iter().all(|connections| *connections > 0),
        "{connections:?}"
    );
    Ok(())
}

#[tokio::test]
async fn four_workers_count_every_request_exactly_once() -> Result<()> {
    count_exactly(60, 42).await
}

#[tokio::test]
#[ignore = "long: DIVVY_SOAK=1"]
async fn four_workers_count_two_hundred_thousand_requests_exactly_once() -> Result<()> {
    if soak() {
        count_exactly(60, 3_600).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_series_of_a_rollout_exist_before_the_first_request() -> Result<()> {
    let beta = json!({"header": "x-ring", "exact": "beta"});
    let rules = json!({"rules": [{"name": "beta", "when": beta, "use": "v3"}]});
    let edge = Edge::start(&configuration(&[rollout_with(
        "checkout",
        canary(20.0),
        rules,
    )]))
    .await?;
    let metrics = edge.metrics().await?;
    let decisions: BTreeSet<_> = metrics
        .labels("divvy_requests_total")
        .iter()
        .map(|labels| [&*labels["divvy_version"], &*labels["divvy_reason"]])
        .collect();
    let expected = [
        ["v1", "error"],
        ["v1", "no_identity"],
        ["v1", "split"],
        ["v1", "unreachable"],
        ["v2", "split"],
        ["v3", "rule"],
    ];
    assert_eq!(decisions, BTreeSet::from(expected));
    for version in ["v1", "v2", "v3"] {
        let of = [("divvy_rollout", "checkout"), ("divvy_version", version)];
        for class in [
            "1xx",
            "2xx",
            "3xx",
            "4xx",
            "5xx",
            "grpc_error",
            "reset",
            "none",
        ] {
            let labels = [of[0], of[1], ("divvy_class", class)];
            assert_eq!(
                metrics.get("divvy_responses_total", &labels),
                Some(0.0),
                "{labels:?}"
            );
        }
        assert_eq!(
            metrics.get("divvy_request_duration_ms_count", &of),
            Some(0.0),
            "{of:?}"
        );
        assert!(metrics.get("divvy_weight_ppm", &of).is_some(), "{of:?}");
    }
    let names: Vec<_> = metrics
        .names()
        .into_iter()
        .filter(|name| name.starts_with("divvy_"))
        .collect();
    let expected = [
        "divvy_config_hash",
        "divvy_config_inert",
        "divvy_guardrail_state",
        "divvy_request_duration_ms_bucket",
        "divvy_request_duration_ms_count",
        "divvy_request_duration_ms_sum",
        "divvy_requests_total",
        "divvy_responses_total",
        "divvy_weight_ppm",
    ];
    assert_eq!(names, expected);
    Ok(())
}

#[tokio::test]
async fn the_duration_is_the_time_to_the_response_headers() -> Result<()> {
    let edge = Edge::start(&configuration(&[rollout("checkout", all_users_get("v2"))])).await?;
    let of = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    // Five requests: the increase of the sum, and the durations that the client measured.
    let time = async |path: &str, before: u64| -> Result<(f64, f64)> {
        let sum = async || -> Result<f64> {
            let metrics = edge.metrics().await?;
            Ok(metrics.sum("divvy_request_duration_ms_sum", &of))
        };
        let earlier = sum().await?;
        let started = Instant::now();
        for _ in 0..5 {
            edge.client.get(path).await?;
        }
        let elapsed = started.elapsed().as_secs_f64() * 1_000.0;
        let counted = expect([(["checkout", "v2"], before + 5)]);
        edge.wait_for_counts(DURATIONS, &counted).await?;
        Ok((sum().await? - earlier, elapsed))
    };
    // Envoy sums up buckets, which are 10 % wide at most, so a value is off by half of that.
    let (sum, elapsed) = time("/?delay=110ms", 0).await?;
    assert!(sum > 550.0 * 0.95, "{sum} ms");
    assert!(sum < elapsed * 1.05, "{sum} of {elapsed} ms");
    let (sum, elapsed) = time("/?body-delay=110ms", 5).await?;
    assert!(elapsed > 550.0, "{elapsed} ms");
    assert!(
        sum < (elapsed - 550.0) * 1.05 + 5.0,
        "{sum} of {elapsed} ms"
    );
    Ok(())
}

#[tokio::test]
async fn names_become_labels_unchanged() -> Result<()> {
    let names = [
        "a.b-c_d",
        "http.edge",
        "cluster.v1.upstream",
        "listener.x",
        "vhost.s.vcluster.t",
    ];
    let versions = ["1.0", "2.0-rc.1", "B_2"];
    let rollouts: Vec<_> = names
        .iter()
        .map(|name| {
            let versions = versions.map(|version| json!({"name": version, "target": "v1"}));
            let strategy = json!({"canary": {"version": versions[1]["name"], "weight": 30}});
            let versions = json!({"versions": versions, "stable": "1.0"});
            without(with(rollout(name, strategy), versions), "target")
        })
        .collect();
    let edge = Edge::start(&configuration(&rollouts)).await?;
    edge.client.get("/").await?;
    let requests = edge.counts(REQUESTS).await?;
    assert_eq!(
        requests,
        expect(names.map(|name| ([name, "1.0", "no_identity"], 1)))
    );
    let responses = edge.counts(RESPONSES).await?;
    assert_eq!(
        responses,
        expect(names.map(|name| ([name, "1.0", "2xx"], 1)))
    );
    let once = expect(names.map(|name| ([name, "1.0"], 1)));
    edge.wait_for_counts(DURATIONS, &once).await?;
    let weights = edge.counts(WEIGHTS).await?;
    let shares = names.map(|name| [([name, "1.0"], 700_000), ([name, "2.0-rc.1"], 300_000)]);
    assert_eq!(weights, expect(shares.into_iter().flatten()));
    Ok(())
}
