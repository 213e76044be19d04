//! New configurations under load, and invalid ones after a valid one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::setup::{
    Edge, PATIENCE, REQUESTS, Setup, WEIGHTS, all_users_get, assignment_of, canary, configuration,
    expect, rollout, seen_upstream, served_by, soak, with,
};
use anyhow::{Context, Result, ensure};
use divvy::config;
use divvy_lab::build::Build;
use divvy_lab::client::Http1;
use divvy_lab::envoy::Push;
use divvy_lab::{eventually, process};
use serde_json::{Value, json};

/// The parts of the pushes after each of which the memory is read. The first one fills pools and caches.
const PARTS: usize = 5;
/// Growth of resident memory from the first part to the last, in KiB.
const GROWTH: u64 = 1_024;

/// Version and assignment of all users under each of the two configurations.
const ANSWERS: [(&str, &str); 2] = [
    ("v1", "checkout=v1;reason=active"),
    ("v2", "checkout=v2;reason=active, search=v3;reason=active"),
];

/// The two configurations, in the order of [`ANSWERS`].
fn two() -> [Value; 2] {
    let one = [rollout("checkout", all_users_get("v1"))];
    let other = [
        rollout("checkout", all_users_get("v2")),
        rollout("search", all_users_get("v3")),
    ];
    [configuration(&one), configuration(&other)]
}

/// Progress of the pushes. Even: a configuration is in force on every worker. Odd: a push is in
/// progress.
#[derive(Default)]
struct Progress {
    phase: AtomicUsize,
    done: AtomicBool,
}

impl Progress {
    fn phase(&self) -> usize {
        self.phase.load(Ordering::SeqCst)
    }

    fn next(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends requests without pause and checks every response. Returns the number per configuration.
async fn client(client: Http1, path: &str, progress: Arc<Progress>) -> Result<[u64; 2]> {
    let mut answers = [0; 2];
    while !progress.done.load(Ordering::SeqCst) {
        let before = progress.phase();
        let answer = client.get(path).await?;
        let after = progress.phase();
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let got = (served_by(&answer), assignment_of(&answer));
        let which = ANSWERS
            .iter()
            .position(|(by, assignment)| got == (Some(by), Some(assignment)));
        let which = which.with_context(|| format!("{got:?} is of no configuration"))?;
        let assignment = seen_upstream(&answer, "x-divvy-assignment")?;
        ensure!(
            assignment == [ANSWERS[which].1],
            "{assignment:?} upstream of {got:?}"
        );
        // No push happened during the request, so the last one decided it.
        if before == after && before.is_multiple_of(2) {
            ensure!(which == before / 2 % 2, "{got:?} after push {}", before / 2);
        }
        answers[which] += 1;
    }
    Ok(answers)
}

/// The number of configurations that Envoy has loaded.
async fn reloads(edge: &Edge) -> Result<u64> {
    let name = "extension_config_discovery.http_filter.divvy.config_reload";
    Ok(edge.envoy.stats(name).await?[name])
}

/// Each push differs from all before, and the next one follows when it is in force on every worker.
async fn push_under_load(pushes: usize, workers: u32, clients: usize) -> Result<()> {
    let configurations = two();
    let setup = Setup::new(&configurations[0])?.workers(workers);
    let edge = setup
        .bootstrap(|edge| edge.without_access_log())?
        .start()
        .await?;
    let progress = Arc::new(Progress::default());
    let running: Vec<_> = (0..clients)
        .map(|number| {
            // Some requests take longer than a push.
            let path = if number % 2 == 0 {
                "/echo"
            } else {
                "/echo?delay=40ms"
            };
            tokio::spawn(client(Http1::new(edge.addr), path, Arc::clone(&progress)))
        })
        .collect();

    let mut fresh: [u64; 2] = [0; 2];
    let mut memory = Vec::new();
    let loaded = reloads(&edge).await?;
    for push in 1..=pushes {
        let which = push % 2;
        progress.next();
        edge.put(&with(
            configurations[which].clone(),
            json!({"version": push.to_string()}),
        ))
        .await?;
        progress.next();
        // New connections, so that any worker may serve them.
        for _ in 0..4 {
            let answer = edge.raw_get("/", &[""; 0]).await?;
            let got = (served_by(&answer), assignment_of(&answer));
            assert_eq!(got, served(which), "after push {push}");
            fresh[which] += 1;
        }
        if (push * PARTS).is_multiple_of(pushes) {
            memory.push(process::memory(edge.envoy.pid())?);
        }
    }
    // Envoy merged none of them.
    assert_eq!(reloads(&edge).await? - loaded, pushes as u64);
    println!("{pushes} pushes, memory in KiB: {memory:?}");
    let growth = memory[PARTS - 1].saturating_sub(memory[0]);
    ensure!(growth <= GROWTH, "{memory:?}");
    progress.done.store(true, Ordering::SeqCst);
    let mut answers = fresh;
    for client in running {
        let of_client = client.await??;
        println!("a client had {of_client:?} answers");
        assert!(of_client.iter().all(|count| *count > 0), "{of_client:?}");
        for (sum, count) in answers.iter_mut().zip(of_client) {
            *sum += count;
        }
    }
    // The counters lost nothing either: the VMs were kept.
    let expected = expect([
        (["checkout", "v1", "active"], answers[0]),
        (["checkout", "v2", "active"], answers[1]),
        (["search", "v3", "active"], answers[1]),
    ]);
    edge.wait_for_counts(REQUESTS, &expected).await?;
    let failed = edge.envoy.stats("http.edge.downstream_rq_5xx").await?;
    assert_eq!(failed["http.edge.downstream_rq_5xx"], 0);
    Ok(())
}

#[tokio::test]
async fn pushes_under_load_fail_no_request_and_mix_no_responses() -> Result<()> {
    let (pushes, workers) = match Build::default() {
        Build::Wasm => (50, 2),
        Build::Module => (200, 4),
    };
    push_under_load(pushes, workers, 4).await
}

#[tokio::test]
#[ignore = "long: DIVVY_SOAK=1"]
async fn thousands_of_different_pushes_under_load_fail_no_request() -> Result<()> {
    if soak() {
        push_under_load(3_000, 2, 16).await?;
    }
    Ok(())
}

/// A configuration with errors in a name, a reference, a number and a type.
fn bad() -> Value {
    let rollouts = [
        rollout(
            "checkout",
            json!({"canary": {"version": "v9", "weight": 101}}),
        ),
        with(
            rollout("search", all_users_get("v1")),
            json!({"colour": "blue"}),
        ),
        rollout("Basket", all_users_get("v3")),
    ];
    with(
        configuration(&rollouts),
        json!({"responseHeader": "no header"}),
    )
}

#[tokio::test]
async fn an_invalid_push_keeps_the_last_valid_one_and_logs_every_error_with_its_path() -> Result<()>
{
    let [good, other] = two();
    let edge = Edge::start(&good).await?;
    let gauges = edge.gauges().await?;
    let refused = edge.push(&bad()).await?;
    let Push::Refused { reasons } = &refused else {
        panic!("{refused:?}");
    };
    let errors = config::parse(bad().to_string().as_bytes()).expect_err("it is bad");
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons[0],
        "the configuration is refused, the last good one stays in force: 5 errors"
    );
    assert_eq!(reasons[1..], errors);
    for (error, path) in errors.iter().zip([
        "responseHeader: ",
        "rollouts[0].strategy.canary.version: ",
        "rollouts[0].strategy.canary.weight: ",
        "rollouts[1]: ",
        "rollouts[2].name: ",
    ]) {
        assert!(error.starts_with(path), "{error}");
    }
    // The old configuration serves, the gauges describe it, and Envoy counts the refusal.
    let assert_as_before = async || -> Result<()> {
        let answer = edge.client.get("/").await?;
        assert_eq!((served_by(&answer), assignment_of(&answer)), served(0));
        assert_eq!(edge.gauges().await?, gauges);
        Ok(())
    };
    assert_as_before().await?;
    let failures = "extension_config_discovery.http_filter.divvy.config_fail";
    assert_eq!(edge.envoy.stats(failures).await?[failures], 1);

    for text in [
        "",
        "no JSON",
        "{\"rollouts\": [",
        "{\"rollouts\": [], \"rollouts\": []}",
        "[]",
        "\u{7f}",
    ] {
        let pushed = edge.push_text(text).await?;
        assert!(matches!(pushed, Push::Refused { .. }), "{text}: {pushed:?}");
        assert_as_before().await?;
    }
    // The same configuration is refused again, from Envoy's cache and without reasons in the log;
    // a valid one is accepted.
    let again = edge.push(&bad()).await?;
    assert!(matches!(again, Push::Refused { .. }), "{again:?}");
    edge.put(&other).await?;
    let answer = edge.client.get("/").await?;
    assert_eq!((served_by(&answer), assignment_of(&answer)), served(1));
    Ok(())
}

#[tokio::test]
async fn the_gauges_follow_each_push_and_removed_ones_are_zero() -> Result<()> {
    let split = json!([
        {"version": "v1", "weight": 1}, {"version": "v2", "weight": 1}, {"version": "v3", "weight": 2},
    ]);
    let test = json!({"abTest": {"split": split, "traffic": 50}});
    let off = json!({"enabled": false});
    let steps = [
        (
            vec![rollout("checkout", canary(20.0))],
            vec![(["checkout", "v1"], 800_000), (["checkout", "v2"], 200_000)],
        ),
        (
            vec![rollout("checkout", canary(0.0001)), rollout("search", test)],
            vec![
                (["checkout", "v1"], 999_999),
                (["checkout", "v2"], 1),
                (["search", "v1"], 625_000),
                (["search", "v2"], 125_000),
                (["search", "v3"], 250_000),
            ],
        ),
        (
            vec![
                rollout("basket", all_users_get("v3")),
                with(rollout("checkout", canary(50.0)), off),
            ],
            vec![
                (["basket", "v3"], 1_000_000),
                (["checkout", "v1"], 1_000_000),
            ],
        ),
        (vec![], vec![]),
        (
            vec![rollout("search", canary(100.0))],
            vec![(["search", "v2"], 1_000_000)],
        ),
    ];
    let edge = Edge::start(&json!({})).await?;
    let mut known = BTreeSet::new();
    for (rollouts, weights) in steps {
        let configuration = configuration(&rollouts);
        edge.put(&configuration).await?;
        edge.wait_for_counts(WEIGHTS, &expect(weights)).await?;
        assert_eq!(
            edge.gauge("divvy_config_hash").await?,
            Some(hash(&configuration)?)
        );
        assert_eq!(edge.gauge("divvy_config_inert").await?, Some(0.0));
        // A gauge never disappears; it becomes 0.
        let metrics = edge.metrics().await?;
        let names = rollouts
            .iter()
            .filter_map(|rollout| rollout["name"].as_str());
        known.extend(names.map(str::to_owned));
        for rollout in &known {
            for version in ["v1", "v2", "v3"] {
                let labels = [("divvy_rollout", &**rollout), ("divvy_version", version)];
                assert!(
                    metrics.get("divvy_weight_ppm", &labels).is_some(),
                    "{labels:?}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_configuration_hash_ignores_key_order_and_white_space() -> Result<()> {
    let edge = Edge::start(&json!({})).await?;
    let texts = [
        "{\"version\": \"1\", \"rollouts\": []}",
        "{\n  \"rollouts\": [],\n  \"version\": \"1\"\n}",
        "{\"version\": \"2\", \"rollouts\": []}",
    ];
    let mut hashes = Vec::new();
    for text in texts {
        assert_eq!(edge.push_text(text).await?, Push::Accepted);
        hashes.push(edge.gauge("divvy_config_hash").await?);
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[1], hashes[2]);
    Ok(())
}

/// A worker that still has a stream of the first configuration returns to its root context without
/// configuring it again.
#[tokio::test]
async fn after_a_return_to_an_earlier_configuration_the_gauges_follow_with_the_next_request()
-> Result<()> {
    let [first, second] = two();
    let edge = Edge::start(&first).await?;
    let gauges = edge.gauges().await?;
    // An open stream keeps the root context of the first configuration.
    let addr = edge.addr;
    let stream = tokio::spawn(async move {
        let path = "/events?count=10000&interval=20ms";
        Http1::new(addr).get(path).await
    });
    eventually("the stream to begin", PATIENCE, async || {
        (edge.upstreams["v1"].requests() == 1).then_some(())
    })
    .await?;
    for _ in 0..5 {
        edge.put(&second).await?;
        let others = edge.gauges().await?;
        assert_eq!(others["divvy_config_hash"], hash(&second)?);
        assert_ne!(others, gauges);
        edge.put(&first).await?;
        let answer = edge.client.get("/").await?;
        assert_eq!((served_by(&answer), assignment_of(&answer)), served(0));
        let mut now = edge.gauges().await?;
        // Gauges that only the second configuration has are 0.
        now.retain(|name, value| gauges.contains_key(name) || *value != 0.0);
        assert_eq!(now, gauges);
    }
    assert!(!stream.is_finished());
    stream.abort();
    Ok(())
}

fn hash(configuration: &Value) -> Result<f64> {
    let policy = config::parse(configuration.to_string().as_bytes())?;
    Ok(f64::from(policy.fingerprint))
}

fn served(which: usize) -> (Option<&'static str>, Option<&'static str>) {
    let (by, assignment) = ANSWERS[which];
    (Some(by), Some(assignment))
}
