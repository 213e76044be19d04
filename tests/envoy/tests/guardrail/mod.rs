//! The guardrail and the ramp in a real Envoy: time to a rollback, samples, lifetime of verdicts,
//! and exact counts.

mod beside;
mod calls;
mod counted;
mod detected;
mod ending;
mod exact;
mod hanging;
mod lasting;
mod load;
mod ramps;
mod steps;
mod trapped;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::setup::{
    Edge, PATIENCE, Setup, WEIGHTS, assignment_of, configuration, counts, log_mark, rollout_with,
    served_by, with,
};
use anyhow::{Context, Result, anyhow, ensure};
use divvy::decide::decide;
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use divvy::{config, output};
use divvy_lab::client::Response;
use divvy_lab::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The values of `divvy_guardrail_state`.
const HEALTHY: u64 = 0;
const FROZEN: u64 = 1;
const ROLLED_BACK: u64 = 2;

/// The response header of the assignment.
const STABLE: &str = "checkout=v1;reason=split";
const CANARY: &str = "checkout=v2;reason=split";
const TAKEN_BACK: &str = "checkout=v1;reason=rolled_back";

/// The rollout `checkout` with this strategy, in its first revision, and this guardrail.
fn guarded(strategy: Value, guardrail: Value) -> Value {
    let fields = json!({"revision": "1", "guardrail": guardrail});
    configuration(&[rollout_with("checkout", strategy, fields)])
}

/// The configuration with fields of its first rollout added or replaced.
fn changed(mut configuration: Value, fields: Value) -> Value {
    let rollout = configuration["rollouts"][0].take();
    configuration["rollouts"][0] = with(rollout, fields);
    configuration
}

/// An edge without access logs, whose clusters use the protocol of the client.
async fn start(configuration: &Value, workers: u32) -> Result<Edge> {
    Setup::new(configuration)?
        .workers(workers)
        .bootstrap(|edge| edge.with_downstream_protocol().without_access_log())?
        .start()
        .await
}

fn policy(configuration: &Value) -> Result<Policy> {
    let policy = config::parse(configuration.to_string().as_bytes());
    policy.map_err(|errors| anyhow!("{errors}"))
}

/// The library's assignment for this user.
fn decided(policy: &Policy, user: &str, environment: &dyn Environment) -> String {
    let headers: [(&[u8], &[u8]); 3] = [
        (b":path", b"/"),
        (b":method", b"GET"),
        (b"x-user-id", user.as_bytes()),
    ];
    let request = Request::from_headers(&policy.names, headers).with_environment(environment);
    let assignment = output::assignment(policy, &decide(policy, &request).decisions);
    assignment.unwrap_or_default()
}

/// A user who gets v2 at any share.
fn canary_user() -> Result<String> {
    let policy = policy(&guarded(
        json!({"canary": {"version": "v2", "weight": 1}}),
        json!({"consecutiveErrors": 1}),
    ))?;
    let mut users = (0..).map(|number| format!("user-{number}"));
    let is_canary = |user: &String| decided(&policy, user, &divvy::request::Empty) == CANARY;
    users.find(is_canary).context("no user has v2")
}

/// Milliseconds since 1970.
fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

/// A time in the format of the configuration.
fn instant(millis: u64) -> String {
    let since = Duration::from_millis(millis);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// The guardrail state of v2, from the gauge.
async fn standing(edge: &Edge) -> Result<u64> {
    let of = [("divvy_rollout", "checkout"), ("divvy_version", "v2")];
    let standing = edge.metrics().await?.get("divvy_guardrail_state", &of);
    Ok(standing.context("no divvy_guardrail_state of v2")? as u64)
}

/// The shares of v1 and v2, by the gauges.
async fn weights(edge: &Edge) -> Result<[u64; 2]> {
    let weights = counts(&edge.metrics().await?, WEIGHTS)?;
    let of = |version: &str| {
        let labels = ["checkout", version].map(str::to_owned).to_vec();
        weights.get(&labels).copied().unwrap_or_default()
    };
    Ok(["v1", "v2"].map(of))
}

/// The log lines about the guardrail of `checkout`, without their prefix.
fn transitions(edge: &Edge, from: usize) -> Vec<String> {
    let text = |line: &String| {
        let (_, text) = line.split_once(&log_mark())?;
        let (_, text) = text.split_once("rollout checkout: ")?;
        Some(text.to_owned())
    };
    edge.envoy.log_since(from).iter().filter_map(text).collect()
}

/// Waits for the next line about the guardrail after those at `from`.
async fn transition(edge: &Edge, from: usize) -> Result<String> {
    eventually("a transition in the log", PATIENCE, async || {
        transitions(edge, from).into_iter().next()
    })
    .await
}

/// Fails v2 for this user three times in a row on one connection, which trips
/// `consecutiveErrors: 3`. Returns the log line of the transition.
async fn fail_three_times(edge: &Edge, user: &str) -> Result<String> {
    let mark = edge.envoy.log_mark();
    for _ in 0..3 {
        let answer = edge.get_as(user, "/?status=503").await?;
        ensure!(
            answer.status == 503 && assignment_of(&answer) == Some(CANARY),
            "{answer:?}"
        );
    }
    transition(edge, mark).await
}

/// The assignments of this user on new connections, so that all workers respond.
async fn assignments_of_all_workers(edge: &Edge, user: &str) -> Result<Vec<Response>> {
    let mut answers = Vec::new();
    for _ in 0..24 {
        let line = format!("x-user-id: {user}");
        answers.push(edge.raw_get("/", &[line]).await?);
    }
    Ok(answers)
}

/// Whether all workers respond with this assignment.
async fn all_workers_respond(edge: &Edge, user: &str, what: &str) -> Result<bool> {
    let answers = assignments_of_all_workers(edge, user).await?;
    Ok(answers
        .iter()
        .all(|answer| assignment_of(answer) == Some(what)))
}

/// Waits until all workers respond with this assignment: each reads the shared state with its next
/// tick.
async fn wait_until_all_workers_respond(edge: &Edge, user: &str, what: &str) -> Result<()> {
    eventually(what, PATIENCE, async || {
        let all = all_workers_respond(edge, user, what).await.ok()?;
        all.then_some(())
    })
    .await
}

/// Asserts that v2 is rolled back in every worker and gauge.
async fn assert_rolled_back(edge: &Edge, user: &str, when: &str) -> Result<()> {
    for answer in assignments_of_all_workers(edge, user).await? {
        assert_eq!(assignment_of(&answer), Some(TAKEN_BACK), "{when}");
        assert_eq!(served_by(&answer), Some("v1"), "{when}");
    }
    assert_eq!(standing(edge).await?, ROLLED_BACK, "{when}");
    assert_eq!(weights(edge).await?, [1_000_000, 0], "{when}");
    Ok(())
}

/// Waits until this time.
async fn wait_until(millis: u64) -> Result<()> {
    let patience = Duration::from_millis(millis.saturating_sub(now()?)) + PATIENCE;
    eventually("the clock", patience, async || {
        (now().ok()? >= millis).then_some(())
    })
    .await
}

/// A request with an unfinished body, which lasts as long as the test needs.
struct Upload(TcpStream);

impl Upload {
    /// Begins it, and waits until this version has received it.
    async fn begin(edge: &Edge, user: &str, path: &str, version: &str) -> Result<Upload> {
        let upstream = edge.upstreams.get(version).context("no such version")?;
        let before = upstream.requests();
        let mut stream = TcpStream::connect(edge.addr).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: shop\r\nx-user-id: {user}\r\n\
            connection: close\r\ncontent-length: 4\r\n\r\nbe"
        );
        stream.write_all(head.as_bytes()).await?;
        eventually("the upload to arrive", PATIENCE, async || {
            (upstream.requests() > before).then_some(())
        })
        .await?;
        Ok(Upload(stream))
    }

    /// Sends the rest, and returns the raw response.
    async fn end(mut self) -> Result<String> {
        self.0.write_all(b"an").await?;
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
