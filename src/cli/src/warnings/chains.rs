//! Several divvy plugins that handle the same requests.

use super::Examined;
use super::bootstrap::managers_of;
use super::kind::Kind;
use super::surroundings::Surroundings;
use super::warning::{FilePlace, Warning, each};
use crate::raw::text;
use crate::source::{Carrier, Workload};

pub(super) fn find(all: &[Examined], surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let plugins = all.iter();
    let plugins = plugins.filter(|one| !matches!(one.found.carrier, Carrier::Plain));
    let plugins: Vec<_> = plugins.collect();
    for (nth, second) in plugins.iter().enumerate() {
        for first in &plugins[..nth] {
            if together(first, second, surroundings) {
                names(first, second, found);
                rollouts(first, second, found);
            }
        }
    }
}

/// Whether both handle the same requests. Plugins of Kubernetes in different files may replace each other.
fn together(first: &Examined, second: &Examined, surroundings: &Surroundings) -> bool {
    match (&first.found.carrier, &second.found.carrier) {
        (Carrier::Envoy(one), Carrier::Envoy(other)) => {
            let mut managers = managers_of(first, one, surroundings);
            managers.any(|manager| {
                let mut others = managers_of(second, other, surroundings);
                others.any(|other| other.place == manager.place)
            })
        }
        (Carrier::Workload(one), Carrier::Workload(other)) => {
            first.file == second.file && overlap(one, other)
        }
        _ => false,
    }
}

fn overlap(one: &Workload, other: &Workload) -> bool {
    let within = |labels: &[(String, String)], of: &[(String, String)]| {
        labels.iter().all(|label| of.contains(label))
    };
    one.namespace == other.namespace
        && one.targets == other.targets
        && (within(&one.labels, &other.labels) || within(&other.labels, &one.labels))
        && (one.mode.is_empty() || other.mode.is_empty() || one.mode == other.mode)
}

/// In Envoy, the name of the plugin is that of its state and gauges. Istio makes unique ones.
fn names(first: &Examined, second: &Examined, found: &mut Vec<Warning>) {
    let (Carrier::Envoy(_), Carrier::Envoy(plugin)) = (&first.found.carrier, &second.found.carrier)
    else {
        return;
    };
    let [one, other] = [first, second].map(|examined| examined.found.names.first());
    if let (Some(name), Some(same)) = (one, other)
        && name == same
    {
        let message = format!(
            "two plugins of one Envoy are named {name:?}: their states and gauges overwrite each other; give each its own \
             name"
        );
        let place = FilePlace {
            file: second.file,
            offset: plugin.name.unwrap_or_default(),
        };
        found.push(Warning::in_file(
            Kind::SeveralFilters,
            place,
            "name",
            message,
        ));
    }
}

/// The decision of the first filter about a rollout is the second one's too.
fn rollouts(first: &Examined, second: &Examined, found: &mut Vec<Warning>) {
    let earlier = each(&first.raw, "", "rollouts");
    for (path, rollout) in each(&second.raw, "", "rollouts") {
        let name = text(rollout, "name");
        let is_twice = earlier.iter().any(|(_, other)| text(other, "name") == name);
        if !is_twice {
            continue;
        }
        let of = first
            .found
            .names
            .first()
            .map_or("another plugin", String::as_str);
        let message = format!(
            "{name} is also a rollout of {of}, which handles the same requests: the filter that comes first decides, and \
             the other one takes its version over; keep the rollout in one of them"
        );
        let offset = second.found.offset_of(&format!("{path}.name"), None);
        let place = FilePlace {
            file: second.file,
            offset,
        };
        let path = format!("{path}.name");
        found.push(Warning::in_file(Kind::SeveralFilters, place, path, message));
    }
}
