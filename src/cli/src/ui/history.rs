//! What the proxies did in the last minutes: a series for each version, and events. Must not depend on where the views
//! come from, nor on the server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Serialize, Serializer};

use crate::top::{FleetView, ProxyView, VersionView, names};

/// How long values are kept, in milliseconds.
pub const HORIZON: u64 = 15 * 60_000;
/// Maximum number of values of a version.
const MAX_POINTS: usize = 1_800;
/// Maximum number of values of all versions: 24 bytes each.
const MAX_VALUES: usize = 1_000_000;
/// Maximum number of versions with values. Further ones have none.
const MAX_SERIES: usize = 20_000;
/// Maximum number of events.
const MAX_EVENTS: usize = 500;
/// Maximum number of versions and proxies whose state is compared with the one before.
const MAX_STATES: usize = 300_000;

/// The values of a version at one time. NaN: no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VersionPoint {
    /// Milliseconds since 1970.
    pub time: u64,
    /// Share in force in percent.
    pub weight: f32,
    /// Requests per second.
    pub rate: f32,
    /// Failed responses in percent.
    pub errors: f32,
    /// 95th percentile of the time until the response headers, in milliseconds.
    pub p95: f32,
}

impl VersionPoint {
    fn new(time: u64, version: &VersionView) -> Self {
        let value = |value: Option<f64>| value.map_or(f32::NAN, |value| value as f32);
        // Counts since the proxies started are not those of this time.
        let of_now = |given: Option<f64>| value(version.rate.and(given));
        Self {
            time,
            weight: value(version.weight),
            rate: value(version.rate),
            errors: of_now(version.error_percent()),
            p95: of_now(version.p95),
        }
    }
}

/// As a list, to be short: time, share, requests per second, errors, p95. JSON has `null` for NaN.
impl Serialize for VersionPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.time, self.weight, self.rate, self.errors, self.p95).serialize(serializer)
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveEvent {
    /// Milliseconds since 1970.
    pub time: u64,
    /// `healthy`, `frozen`, `rolled back` or `unreachable` for a version; `waits` or `goes on` for a step;
    /// `configuration`, `silent`, `answers`, `inert` or `valid` for a proxy.
    pub kind: &'static str,
    /// The rollout of a version or step.
    pub rollout: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The change as a sentence.
    pub text: String,
    /// Whether it was so at the first look: it can be older.
    pub first: bool,
}

/// The numbers of proxies in which a version is frozen, rolled back and unreachable.
type HeldCounts = [u32; 3];

/// What is compared with the next look at a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ProxyStanding {
    is_silent: bool,
    is_inert: bool,
    hash: Option<String>,
}

/// Series and events in bounded memory.
#[derive(Debug, Default)]
pub struct LiveHistory {
    series: BTreeMap<String, BTreeMap<String, VecDeque<VersionPoint>>>,
    events: VecDeque<LiveEvent>,
    versions: BTreeMap<(String, String), HeldCounts>,
    waiting: BTreeSet<String>,
    proxies: BTreeMap<String, ProxyStanding>,
    looked: bool,
}

impl LiveHistory {
    /// Adds what the proxies do at this time.
    pub fn add(&mut self, time: u64, view: &FleetView) {
        self.compare_proxies(time, view);
        self.compare_rollouts(time, view);
        self.extend_series(time, view);
        self.looked = true;
    }

    /// The values of a rollout's versions.
    pub fn series(&self, rollout: &str) -> Option<&BTreeMap<String, VecDeque<VersionPoint>>> {
        self.series.get(rollout)
    }

    /// The events, the newest last.
    pub fn events(&self) -> &VecDeque<LiveEvent> {
        &self.events
    }

    fn extend_series(&mut self, time: u64, view: &FleetView) {
        let mut count: usize = self.series.values().map(BTreeMap::len).sum();
        for (name, rollout) in &view.rollouts {
            for (version, shown) in &rollout.versions {
                let known = self.series.get(name).and_then(|all| all.get(version));
                if known.is_none() {
                    if count >= MAX_SERIES {
                        continue;
                    }
                    count += 1;
                }
                let versions = self.series.entry(name.clone()).or_default();
                let points = versions.entry(version.clone()).or_default();
                points.push_back(VersionPoint::new(time, shown));
            }
        }
        let most = (MAX_VALUES / count.max(1)).clamp(2, MAX_POINTS);
        let oldest = time.saturating_sub(HORIZON);
        for versions in self.series.values_mut() {
            for points in versions.values_mut() {
                let late = points
                    .iter()
                    .take_while(|point| point.time < oldest)
                    .count();
                points.drain(..late.max(points.len().saturating_sub(most)));
            }
            versions.retain(|_, points| !points.is_empty());
        }
        self.series.retain(|_, versions| !versions.is_empty());
    }

    fn compare_rollouts(&mut self, time: u64, view: &FleetView) {
        let proxies = view.proxies.len();
        let place = |count: u32, which: &[String]| {
            format!("in {count} of {proxies} proxies: {}", names(which))
        };
        for (name, rollout) in &view.rollouts {
            for (version, shown) in &rollout.versions {
                let held = [shown.frozen, shown.rolled_back, shown.unreachable];
                let key = (name.clone(), version.clone());
                let known = self.versions.get(&key).copied();
                if known == Some(held) || (known.is_none() && self.versions.len() >= MAX_STATES) {
                    continue;
                }
                self.versions.insert(key, held);
                if held == HeldCounts::default() && known.is_none() {
                    continue;
                }
                let (kind, which) = strongest(shown);
                let text = match which {
                    Some((count, which)) => {
                        format!("{name} {version} is {kind} {}", place(count, which))
                    }
                    None => format!("{name} {version} is healthy in all proxies"),
                };
                self.push(time, kind, Some((name, Some(version))), text);
            }
            let (waits, waited) = (rollout.waiting > 0, self.waiting.contains(name));
            if waits && !waited && self.waiting.len() < MAX_STATES {
                self.waiting.insert(name.clone());
                let place = place(rollout.waiting, &rollout.waiting_in);
                let text = format!("{name} waits for evidence {place}");
                self.push(time, "waits", Some((name, None)), text);
            } else if waited && !waits {
                self.waiting.remove(name);
                let text = format!("{name} has its evidence in all proxies");
                self.push(time, "goes on", Some((name, None)), text);
            }
        }
    }

    fn compare_proxies(&mut self, time: u64, view: &FleetView) {
        for proxy in &view.proxies {
            let url = &proxy.url;
            let known = self.proxies.get(url).cloned();
            if known.is_none() && self.proxies.len() >= MAX_STATES {
                continue;
            }
            let is_new = known.is_none();
            let before = known.unwrap_or_default();
            let now = standing(proxy, &before);
            if now.is_silent != before.is_silent {
                let (kind, text) = match &proxy.error {
                    Some(error) => ("silent", format!("{url} does not answer: {error}")),
                    None => ("answers", format!("{url} answers")),
                };
                self.push(time, kind, None, text);
            }
            if now.is_inert != before.is_inert {
                let (kind, text) = match now.is_inert {
                    true => (
                        "inert",
                        format!("{url} has no valid configuration and serves stable"),
                    ),
                    false => ("valid", format!("{url} has a valid configuration")),
                };
                self.push(time, kind, None, text);
            }
            if let (Some(old), Some(hash)) = (&before.hash, &now.hash)
                && old != hash
            {
                let text = format!("{url} has configuration {hash}, before {old}");
                self.push(time, "configuration", None, text);
            }
            if is_new || now != before {
                self.proxies.insert(url.clone(), now);
            }
        }
        // Proxies of a Prometheus come and go with new names.
        let all = view.proxies.len();
        if self.proxies.len() > all {
            let names: BTreeSet<_> = view.proxies.iter().map(|proxy| &proxy.url).collect();
            self.proxies.retain(|url, _| names.contains(url));
        }
    }

    fn push(
        &mut self,
        time: u64,
        kind: &'static str,
        place: Option<(&String, Option<&String>)>,
        text: String,
    ) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(LiveEvent {
            time,
            kind,
            rollout: place.map(|(rollout, _)| rollout.clone()),
            version: place.and_then(|(_, version)| version.cloned()),
            text,
            first: !self.looked,
        });
    }
}

/// A proxy that is silent keeps what was known about it; in a hot restart, its hash is a sum of two.
fn standing(proxy: &ProxyView, before: &ProxyStanding) -> ProxyStanding {
    let is_known = proxy.error.is_none() && !proxy.hot_restart && proxy.hash.is_some();
    match is_known {
        true => ProxyStanding {
            is_silent: false,
            is_inert: proxy.inert,
            hash: proxy.hash.clone(),
        },
        false => ProxyStanding {
            is_silent: proxy.error.is_some(),
            ..before.clone()
        },
    }
}

/// The state of a version that says most, with its proxies.
fn strongest(version: &VersionView) -> (&'static str, Option<(u32, &[String])>) {
    let states = [
        (version.rolled_back, "rolled back"),
        (version.unreachable, "unreachable"),
        (version.frozen, "frozen"),
    ];
    let found = states.into_iter().find(|(count, _)| *count > 0);
    found.map_or(("healthy", None), |(count, kind)| {
        let which = version.held_in.get(kind).map_or(&[][..], Vec::as_slice);
        (kind, Some((count, which)))
    })
}

#[cfg(test)]
mod tests;
