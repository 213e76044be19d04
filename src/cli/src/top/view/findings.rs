//! What is wrong in a fleet, as sentences.

use super::FleetView;
use super::differences::names;

impl FleetView {
    /// Problems that need attention.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for proxy in &self.proxies {
            if let Some(error) = &proxy.error {
                findings.push(format!("{} does not answer: {error}", proxy.url));
            } else if proxy.untagged {
                findings.push(format!(
                    "{} has labels inside the names of divvy's metrics: its Envoy needs the stats_tags of \
                     envoy/edge.yaml",
                    proxy.url
                ));
            } else if proxy.hash.is_none() {
                findings.push(format!("{} has no divvy metrics", proxy.url));
            } else if proxy.inert {
                findings.push(format!(
                    "{} has no valid configuration and serves stable",
                    proxy.url
                ));
            }
            if proxy.hot_restart {
                findings.push(format!(
                    "{} is in a hot restart: its gauges are sums of two processes",
                    proxy.url
                ));
            }
        }
        findings.extend(self.differences());
        for (name, rollout) in &self.rollouts {
            if rollout.waiting > 0 {
                let (count, proxies) = (rollout.waiting, self.proxies.len());
                let place = format!("in {count} of {proxies} proxies");
                let which = names(&rollout.waiting_in);
                findings.push(format!("{name} waits for evidence {place}: {which}"));
            }
            for (version, state_of) in &rollout.versions {
                let states = [
                    (state_of.frozen, "frozen"),
                    (state_of.rolled_back, "rolled back"),
                    (state_of.unreachable, "unreachable"),
                ];
                for (count, state) in states.into_iter().filter(|(count, _)| *count > 0) {
                    let proxies = self.proxies.len();
                    let place = format!("in {count} of {proxies} proxies");
                    let which = state_of.held_in.get(state);
                    let which = names(which.map_or(&[], Vec::as_slice));
                    findings.push(format!("{name} {version} is {state} {place}: {which}"));
                }
            }
        }
        findings.extend(self.alerts.iter().cloned());
        findings
    }
}
