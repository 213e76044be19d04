//! Targets without a cluster or route, and routes that do not read the route header.

use std::collections::BTreeSet;

use divvy::policy::{HeaderRole, Policy, Rollout};
use serde_json::Value;

use super::Examined;
use super::kind::Kind;
use super::surroundings::{Route, Surroundings};
use super::warning::{Warning, each};
use crate::raw::list;
use crate::source::Carrier;

/// The name of the route header, if the configuration has one.
pub(super) fn route_header(policy: &Policy) -> Option<&str> {
    let mut written = policy.written_headers.iter();
    let (_, id) = written.find(|(role, _)| *role == HeaderRole::Route)?;
    Some(&policy.reserved_header(*id)?.name)
}

pub(super) fn find(one: &Examined, surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let (policy, raw) = (&one.policy, &one.raw);
    let Some(header) = route_header(policy) else {
        return;
    };
    // Routes of Kubernetes are for plugins of Kubernetes, and Envoy's for Envoy's.
    let is_workload = matches!(one.found.carrier, Carrier::Workload(_));
    let by_cluster = |route: &Route| route.cluster_header.as_deref() == Some(header);
    let reads_cluster = match is_workload {
        true => surroundings
            .patched_cluster_headers
            .iter()
            .any(|name| name == header),
        false => surroundings.routes.iter().any(by_cluster),
    };
    let mut unread = false;
    for ((path, raw), rollout) in each(raw, "", "rollouts").iter().zip(&policy.rollouts) {
        if !rollout.routes {
            continue;
        }
        if reads_cluster {
            // The clusters of Istio's proxies are in no file.
            if !is_workload {
                clusters(path, raw, rollout, surroundings, found);
            }
            continue;
        }
        let hosts: Vec<&str> = list(raw, "match")
            .iter()
            .flat_map(|entry| list(entry, "hosts"))
            .filter_map(Value::as_str)
            .collect();
        let routes = surroundings.routes.iter();
        let routes = routes.filter(|route| route.is_envoys != is_workload);
        let routes: Vec<&Route> = routes.filter(|route| is_for(route, &hosts)).collect();
        if routes.is_empty() {
            continue;
        }
        if routes.iter().any(|route| route.reads(header)) {
            targets(path, raw, rollout, header, &routes, found);
        } else if !std::mem::replace(&mut unread, true) {
            let field = ["target", "versions"].into_iter();
            let mut field = field.filter(|field| raw.get(field).is_some());
            let message = format!(
                "no route in the given files reads {header}, so the decision has no effect: write a route for each \
                 target that matches this header, in front of the route to stable"
            );
            let place = format!("{path}.{}", field.next().unwrap_or("name"));
            found.push(Warning::new(Kind::RouteNotRead, place, message));
        }
    }
}

/// Targets that are not names of clusters.
fn clusters(
    path: &str,
    raw: &Value,
    rollout: &Rollout,
    surroundings: &Surroundings,
    found: &mut Vec<Warning>,
) {
    // An Envoy that discovers clusters has some that no file names.
    if surroundings.clusters.is_empty() || surroundings.discovers_clusters {
        return;
    }
    for (place, target, _) in written_targets(path, raw, rollout) {
        if !surroundings.clusters.contains(target) {
            let message = format!(
                "target {target:?} has no cluster in the given files: Envoy answers 503 to the users of this version"
            );
            found.push(Warning::new(Kind::NoCluster, place, message));
        }
    }
}

/// Targets for which no route is.
fn targets(
    path: &str,
    raw: &Value,
    rollout: &Rollout,
    header: &str,
    routes: &[&Route],
    found: &mut Vec<Warning>,
) {
    let reading = || routes.iter().filter(|route| route.reads(header));
    let groups: BTreeSet<usize> = reading().map(|route| route.group).collect();
    // Routes for requests whose header no other route accepts.
    let open = || {
        let open = routes.iter().filter(|route| groups.contains(&route.group));
        open.filter(|route| route.accepts(header, None))
    };
    for (place, target, is_stable) in written_targets(path, raw, rollout) {
        let serves = |route: &&&Route| {
            let mut names = route.destinations.iter();
            is_stable || names.any(|name| names_target(name, target))
        };
        let is_served = reading().any(|route| route.accepts(header, Some(target)))
            || open().any(|route| serves(&route));
        if !is_served {
            let message = format!(
                "target {target:?} has no route in the given files: no route accepts {header}: {target}, so the users \
                 of this version get the route behind"
            );
            found.push(Warning::new(Kind::NoRoute, place, message));
        }
    }
}

/// Whether a destination is that of a target: `v2`, `checkout-v2`, `checkout-v2.shop.svc.cluster.local`.
fn names_target(destination: &str, target: &str) -> bool {
    let name = destination.split('.').next().unwrap_or_default();
    destination == target || name == target || name.ends_with(&format!("-{target}"))
}

/// Path, target, and whether the version is stable, of each version with a target.
fn written_targets<'r>(
    path: &str,
    raw: &Value,
    rollout: &'r Rollout,
) -> Vec<(String, &'r str, bool)> {
    let versions = each(raw, path, "versions");
    let versions = versions.iter().zip(&rollout.versions).enumerate();
    let targets = versions.filter_map(|(index, ((place, written), version))| {
        let target = version.target.as_deref()?;
        let place = match written.get("target") {
            Some(_) => format!("{place}.target"),
            None => place.clone(),
        };
        Some((place, target, usize::from(rollout.stable.0) == index))
    });
    targets.collect()
}

/// Whether a route may get requests of a rollout with these hosts; without hosts, every route.
fn is_for(route: &Route, hosts: &[&str]) -> bool {
    if hosts.is_empty() || route.hosts.is_empty() {
        return true;
    }
    let mut pairs = hosts
        .iter()
        .flat_map(|host| route.hosts.iter().map(move |other| (*host, &**other)));
    pairs.any(|(one, other)| may_overlap(one, other))
}

/// Whether two host patterns may have a host in common. A short name of a service stands for longer ones.
fn may_overlap(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|host| {
        let host = host.split(':').next().unwrap_or_default();
        host.trim_end_matches('.').to_ascii_lowercase()
    });
    if one.contains('*') || other.contains('*') {
        let [below, of] = [&one, &other].map(|host| host.trim_start_matches('*'));
        return below.ends_with(of) || of.ends_with(below);
    }
    one == other || one.starts_with(&format!("{other}.")) || other.starts_with(&format!("{one}."))
}
