//! Looks at the proxies again and again, and answers `/api/live`. Must not depend on the server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::FORMAT;
use super::file::{FileConfiguration, FollowedFile};
use super::history::{LiveEvent, LiveHistory, VersionPoint};
use crate::top::{FleetView, LastScrapes, MetricsSource, ProxyView, RolloutView};

/// The answer of `/api/live`. `envoy/docs/UI.md` describes it; a change of its meaning needs another `format`.
#[derive(Serialize)]
struct LiveAnswer<'l> {
    /// Version of this format.
    format: u32,
    /// Time of the last look, in milliseconds since 1970; `None` before the first one.
    time: Option<u64>,
    /// Milliseconds between two looks.
    every: u64,
    /// Where the data come from.
    source: &'l str,
    /// Why the source does not answer.
    error: Option<&'l str>,
    /// Seconds over which requests, errors and durations are counted.
    seconds: Option<f64>,
    agree: bool,
    proxies: &'l [ProxyView],
    alerts: &'l [String],
    findings: Vec<String>,
    /// The newest last.
    events: &'l VecDeque<LiveEvent>,
    /// The configuration of FILE.
    file: FileConfiguration,
    /// All rollouts, by name.
    rollouts: Vec<RolloutSummary<'l>>,
    /// The one that was asked for, else the first.
    rollout: Option<RolloutDetail<'l>>,
}

/// A rollout in the list of all.
#[derive(Serialize)]
struct RolloutSummary<'l> {
    name: &'l str,
    configured: bool,
    /// Number of proxies in which a step waits for evidence.
    waiting: u32,
    /// The most severe state of its versions.
    state: &'static str,
    /// Requests per second.
    rate: Option<f64>,
}

/// A rollout with the values of the last minutes.
#[derive(Serialize)]
struct RolloutDetail<'l> {
    name: &'l str,
    /// As `divvy top --output json` prints it.
    now: &'l RolloutView,
    /// Failed responses in percent, by version.
    errors: BTreeMap<&'l str, Option<f64>>,
    /// Shares in percent by FILE, by version; empty if it has no such rollout.
    configured: BTreeMap<String, f64>,
    /// By version: lists of time, share in force, requests per second, errors in percent, p95.
    series: Option<&'l BTreeMap<String, VecDeque<VersionPoint>>>,
}

/// What is known about the proxies.
#[derive(Default)]
struct LiveState {
    time: Option<u64>,
    view: FleetView,
    error: Option<String>,
    history: LiveHistory,
}

/// The proxies, observed in a thread of its own.
pub struct LiveFeed {
    source: String,
    every: Duration,
    state: Mutex<LiveState>,
}

impl LiveFeed {
    /// Observes this source until the feed is dropped.
    pub fn start(source: MetricsSource, name: String, every: Duration) -> Arc<Self> {
        let feed = Arc::new(Self {
            source: name,
            every,
            state: Mutex::default(),
        });
        let observer = Arc::downgrade(&feed);
        thread::spawn(move || {
            let mut before = LastScrapes::default();
            loop {
                let view = source.view(&mut before);
                let Some(feed) = observer.upgrade() else {
                    return;
                };
                feed.add(now(), view);
                drop(feed);
                thread::sleep(every);
            }
        });
        feed
    }

    fn add(&self, now: u64, view: Result<FleetView>) {
        let mut state = self.lock();
        match view {
            Ok(view) => {
                state.history.add(now, &view);
                state.view = view;
                state.time = Some(now);
                state.error = None;
            }
            Err(error) => state.error = Some(format!("{error:#}")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer as JSON, with the details of this rollout.
    pub fn answer(&self, file: &FollowedFile, rollout: Option<&str>) -> Vec<u8> {
        let asked = shown(&self.lock().view, rollout).map(str::to_owned);
        // Reads the file, without the lock.
        let (file, configured) = file.configured(asked.as_deref(), now());
        let state = self.lock();
        let answer = LiveAnswer {
            format: FORMAT,
            time: state.time,
            every: u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX),
            source: &self.source,
            error: state.error.as_deref(),
            seconds: state.view.seconds,
            agree: state.view.agree,
            proxies: &state.view.proxies,
            alerts: &state.view.alerts,
            findings: state.view.findings(),
            events: state.history.events(),
            file,
            rollouts: state.view.rollouts.iter().map(summary).collect(),
            rollout: asked.and_then(|name| state.detail(&name, configured)),
        };
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

impl LiveState {
    fn detail(&self, name: &str, configured: BTreeMap<String, f64>) -> Option<RolloutDetail<'_>> {
        let (name, now) = self.view.rollouts.get_key_value(name)?;
        let errors = now.versions.iter();
        let errors = errors.map(|(version, shown)| (version.as_str(), shown.error_percent()));
        Some(RolloutDetail {
            name,
            now,
            errors: errors.collect(),
            configured,
            series: self.history.series(name),
        })
    }
}

/// The rollout that was asked for, else the first.
fn shown<'v>(view: &'v FleetView, asked: Option<&str>) -> Option<&'v str> {
    let asked = asked.and_then(|name| view.rollouts.get_key_value(name));
    let shown = asked.or_else(|| view.rollouts.first_key_value());
    shown.map(|(name, _)| name.as_str())
}

fn summary<'v>((name, rollout): (&'v String, &'v RolloutView)) -> RolloutSummary<'v> {
    let versions = || rollout.versions.values();
    let states = ["rolled back", "unreachable", "frozen"];
    let state = states
        .into_iter()
        .find(|state| versions().any(|version| version.held_in.contains_key(state)));
    RolloutSummary {
        name,
        configured: rollout.configured,
        waiting: rollout.waiting,
        state: state.unwrap_or("healthy"),
        rate: versions().map(|version| version.rate).sum(),
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX)
}
