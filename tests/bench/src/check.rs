//! Check that a variant works; one that does nothing would be cheap.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::probes::hash::position;
use anyhow::{Context, Result, bail, ensure};
use divvy_lab::eventually;
use divvy_lab::metrics::Metrics;

use crate::requests;
use crate::stage::Stage;
use crate::traffic::Connection;
use crate::upstream::VERSION;
use crate::variants::Variant;

const GATHERED: Duration = Duration::from_secs(10);
/// Longer than a tick of divvy, which is 5 seconds.
const STABLE: Duration = Duration::from_secs(6);
/// All counters of all filters.
const COUNTED: [&str; 5] = [
    "divvy_requests_total",
    "divvy_responses_total",
    "divvy_request_duration_ms_count",
    "naive_requests_total",
    "naive_request_duration_ms_count",
];

type Counts = [f64; COUNTED.len()];

/// Expected versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Versions {
    /// Stable for all users.
    #[default]
    Stable,
    /// The canary for positions below 25 %, computed independently of the filters.
    ByPosition,
    /// For all users the version of this user's position.
    AllAs(usize),
    /// This version for all users.
    All(&'static str),
    /// Both versions; each user always gets the same one.
    Both,
    /// Both versions.
    Either,
}

/// Expected results of a variant.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    versions: Versions,
    /// Texts in requests to this version; the empty name means any version.
    received: Vec<(&'static str, &'static str)>,
    /// Texts in the response head.
    answered: Vec<&'static str>,
    /// Increments of metrics per request; all others stay unchanged.
    counted: Vec<(&'static str, u32)>,
}

impl Expect {
    /// Expects these versions.
    pub(crate) fn from(mut self, versions: Versions) -> Expect {
        self.versions = versions;
        self
    }

    /// Expects this text in requests to this version.
    pub(crate) fn receiving(mut self, part: &'static str, version: &'static str) -> Expect {
        self.received.push((part, version));
        self
    }

    /// Expects this text in each response head.
    pub(crate) fn answering(mut self, part: &'static str) -> Expect {
        self.answered.push(part);
        self
    }

    /// Expects this increment of a metric per request.
    pub(crate) fn counting(mut self, metric: &'static str, by: u32) -> Expect {
        self.counted.push((metric, by));
        self
    }
}

/// Sends two requests of each user to each variant and checks the results.
pub async fn check(stage: &Stage, variants: &[Variant]) -> Result<()> {
    let mut counts = settled(stage).await?;
    for variant in variants {
        counts = look(stage, variant, counts)
            .await
            .with_context(|| format!("{} does not do its job", variant.id))?;
    }
    Ok(())
}

async fn look(stage: &Stage, variant: &Variant, before: Counts) -> Result<Counts> {
    let expect = &variant.expect;
    let mut connection = Connection::open(&stage.socket(variant)).await?;
    let mut versions = Vec::new();
    for request in variant.requests.iter().chain(variant.requests.iter()) {
        let answer = connection.ask(request).await?;
        let answer = String::from_utf8_lossy(answer).into_owned();
        let version = version(&answer)?;
        let upstream = stage.upstream(&version).context("no such version")?;
        let request = upstream.take_last();
        ensure!(!request.is_empty(), "{version} got nothing");
        ensure!(
            !request.contains("x-divvy-route"),
            "the route leaks:\n{request}"
        );
        for (part, at) in &expect.received {
            let there = request.contains(part);
            ensure!(
                there || !(at.is_empty() || *at == version),
                "{version} misses {part:?}:\n{request}"
            );
        }
        if expect.received.is_empty() {
            ensure!(
                !request.contains("x-divvy-"),
                "more than expected:\n{request}"
            );
        }
        for part in &expect.answered {
            ensure!(answer.contains(part), "no {part:?} in\n{answer}");
        }
        versions.push(version);
    }
    check_versions(expect.versions, &versions)?;

    let requests = versions.len() as f64;
    let expected = COUNTED.map(|metric| {
        let mut counted = expect.counted.iter();
        let each = counted.find_map(|(name, each)| (*name == metric).then_some(*each));
        f64::from(each.unwrap_or(0)) * requests
    });
    let grown = |after: Counts| -> Counts { std::array::from_fn(|nth| after[nth] - before[nth]) };
    let _ = eventually("the metrics", GATHERED, async || {
        (grown(counts(stage).await.ok()?) == expected).then_some(())
    })
    .await;
    let after = counts(stage).await?;
    let grown = grown(after);
    ensure!(
        grown == expected,
        "{COUNTED:?} grew by {grown:?}, not {expected:?}"
    );
    Ok(after)
}

/// Metrics of filters, without Envoy's own.
async fn counts(stage: &Stage) -> Result<Counts> {
    let page = "/stats/prometheus?usedonly&filter=(divvy|naive)_";
    let metrics = Metrics::parse(&stage.envoy.get_admin(page).await?)?;
    Ok(COUNTED.map(|metric| metrics.sum(metric, &[])))
}

/// The same once it is stable: Envoy merges histograms of its threads periodically, and the native
/// module counts for rollouts beyond the fiftieth at its ticks.
async fn settled(stage: &Stage) -> Result<Counts> {
    let last = Cell::new((Instant::now(), counts(stage).await?));
    eventually("the metrics to settle", 2 * GATHERED, async || {
        let now = counts(stage).await.ok()?;
        let (since, before) = last.get();
        if now != before {
            last.set((Instant::now(), now));
            return None;
        }
        let is_unused = now == Counts::default();
        (is_unused || since.elapsed() >= STABLE).then_some(now)
    })
    .await
}

fn version(answer: &str) -> Result<String> {
    let line = answer.lines().find_map(|line| line.strip_prefix(VERSION));
    let version = line.with_context(|| format!("who answered?\n{answer}"))?;
    Ok(version.trim_start_matches([':', ' ']).to_owned())
}

fn by_position(user: usize) -> &'static str {
    match position(b"t:checkout:", requests::user(user).as_bytes()) {
        ..250_000 => "v2",
        _ => "v1",
    }
}

/// Two rounds of responses by user.
fn check_versions(expected: Versions, versions: &[String]) -> Result<()> {
    let (first, second) = versions.split_at(versions.len() / 2);
    let distinct: BTreeSet<_> = versions.iter().map(String::as_str).collect();
    let all = |version: &str| -> Result<()> {
        match versions.iter().find(|other| *other != version) {
            Some(other) => bail!("{other} answered instead of {version}"),
            None => Ok(()),
        }
    };
    match expected {
        Versions::Stable => return all("v1"),
        Versions::All(version) => return all(version),
        Versions::AllAs(user) => return all(by_position(user)),
        Versions::Either | Versions::Both => {}
        Versions::ByPosition => {
            for (user, version) in first.iter().enumerate() {
                let right = by_position(user);
                ensure!(version == right, "user {user} got {version}, not {right}");
            }
        }
    }
    ensure!(distinct.len() == 2, "all users got {distinct:?}");
    ensure!(
        expected == Versions::Either || first == second,
        "a user got another version the second time"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(of: impl Fn(usize) -> &'static str) -> Vec<String> {
        let users = (0..requests::USERS).chain(0..requests::USERS);
        users.map(|user| of(user).to_owned()).collect()
    }

    #[test]
    fn a_filter_that_is_not_there_is_found_out() {
        let all_stable = answers(|_| "v1");
        check_versions(Versions::Stable, &all_stable).unwrap();
        for expected in [
            Versions::ByPosition,
            Versions::Both,
            Versions::Either,
            Versions::All("v2"),
        ] {
            check_versions(expected, &all_stable).unwrap_err();
        }
    }

    #[test]
    fn a_filter_that_sends_a_user_elsewhere_is_found_out() {
        check_versions(Versions::ByPosition, &answers(by_position)).unwrap();
        check_versions(Versions::Both, &answers(by_position)).unwrap();
        let odd = |user| if user == 7 { "v3" } else { by_position(user) };
        check_versions(Versions::ByPosition, &answers(odd)).unwrap_err();
        let mut fickle = answers(by_position);
        fickle[requests::USERS..].reverse();
        check_versions(Versions::Both, &fickle).unwrap_err();
        check_versions(Versions::Either, &fickle).unwrap();
    }

    #[test]
    fn the_version_is_read_from_the_answer() {
        assert_eq!(
            version("HTTP/1.1 200 OK\r\nx-shop-version: v2\r\n").unwrap(),
            "v2"
        );
        version("HTTP/1.1 200 OK\r\n").unwrap_err();
    }
}
