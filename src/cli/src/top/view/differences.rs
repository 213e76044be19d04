//! Differences between proxies that should be equal, with their names.

use std::collections::{BTreeMap, BTreeSet};

use super::{FleetView, VersionView};

/// Maximum number of proxies in one list.
const LISTED: usize = 5;
/// Difference of two shares in percentage points up to which they are equal: proxies of a ramp are scraped one after
/// the other.
const TOLERANCE: f64 = 1.0;

impl FleetView {
    /// The proxies by scrape job and configuration. A sum of two hashes, in a hot restart, cannot be compared.
    pub(super) fn configurations(&self) -> BTreeMap<&str, BTreeMap<&str, Vec<String>>> {
        let mut jobs: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
        for proxy in self.proxies.iter().filter(|proxy| !proxy.hot_restart) {
            if let Some(hash) = &proxy.hash {
                let hashes = jobs.entry(proxy.job.as_str()).or_default();
                let same = hashes.entry(hash.as_str()).or_default();
                same.push(proxy.url.clone());
            }
        }
        jobs
    }

    /// Configurations and shares that differ.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for hashes in self.configurations().values().filter(|all| all.len() > 1) {
            let groups = hashes.iter();
            let groups = groups.map(|(hash, proxies)| format!("{hash} in {}", names(proxies)));
            let groups = groups.collect::<Vec<_>>().join("; ");
            found.push(format!("proxies have different configurations: {groups}"));
        }
        for (name, rollout) in &self.rollouts {
            for (version, view) in &rollout.versions {
                if let Some(groups) = shares(view) {
                    found.push(format!("{name} {version} has different shares: {groups}"));
                }
            }
        }
        found
    }
}

/// The shares and their proxies, if they differ. A version that is held back has another share for this reason.
fn shares(version: &VersionView) -> Option<String> {
    let held: BTreeSet<_> = version.held_in.values().flatten().collect();
    let mut weights: Vec<_> = version.weights.iter().collect();
    weights.retain(|(proxy, _)| !held.contains(proxy));
    weights.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let (least, most) = (weights.first()?.1, weights.last()?.1);
    if most - least <= TOLERANCE {
        return None;
    }
    let mut groups: Vec<(f64, Vec<String>)> = Vec::new();
    for (proxy, weight) in weights {
        match groups.last_mut() {
            Some((least, proxies)) if weight - *least <= TOLERANCE => proxies.push(proxy.clone()),
            _ => groups.push((*weight, vec![proxy.clone()])),
        }
    }
    let groups = groups.iter();
    let groups = groups.map(|(weight, proxies)| format!("{weight:.2} % in {}", names(proxies)));
    Some(groups.collect::<Vec<_>>().join("; "))
}

/// The first names of a list, and the number of the others.
pub fn names(proxies: &[String]) -> String {
    let mut text: String = proxies
        .iter()
        .take(LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if proxies.len() > LISTED {
        text += &format!(" and {} more", proxies.len() - LISTED);
    }
    text
}
