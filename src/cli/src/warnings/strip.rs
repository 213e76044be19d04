//! Headers that only divvy writes and that clients can send nevertheless, because they are not removed early.

use divvy::output;
use divvy::policy::{HeaderRole, Policy};
use divvy::request::HeaderId;
use serde_json::Value;

use super::Examined;
use super::bootstrap::managers_of;
use super::kind::Kind;
use super::surroundings::{Strip, Surroundings};
use super::warning::{Warning, each};
use crate::source::{Carrier, Workload};

/// A header that divvy writes: its role if it has one, the path of its name, and its name.
type WrittenHeader = (Option<HeaderRole>, String, String);

pub(super) fn find(one: &Examined, surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let headers = written(&one.policy, &one.raw);
    let inputs = inputs(&one.policy, &one.raw);
    match &one.found.carrier {
        Carrier::Plain => {}
        Carrier::Envoy(plugin) => {
            for manager in managers_of(one, plugin, surroundings) {
                let place = "early_header_mutation_extensions";
                // A peer with a verified certificate is another proxy, whose assignment divvy keeps or removes.
                let headers = headers.iter().filter(|(role, ..)| {
                    !manager.verifies_peer || *role != Some(HeaderRole::Assignment)
                });
                let mut headers = headers.peekable();
                if manager.removes.is_empty() && headers.peek().is_some() {
                    let names: Vec<_> = headers.map(|(_, _, name)| &**name).collect();
                    let message = format!(
                        "clients can send {}, which filters in front of divvy and routes believe: add {place} that \
                         remove them, as in envoy/edge.yaml",
                        names.join(", ")
                    );
                    found.push(Warning::in_file(
                        Kind::NotStripped,
                        manager.place,
                        place,
                        message,
                    ));
                } else {
                    missing(headers, &manager.removes, place, found);
                }
                unwanted(&inputs, &manager.removes, place, found);
            }
        }
        Carrier::Workload(workload) => {
            let strips = surroundings.strips.iter();
            let strips: Vec<&Strip> = strips.filter(|strip| applies(strip, workload)).collect();
            // Without any, it may be in another file.
            if strips.is_empty() {
                return;
            }
            let removes = strips.iter().flat_map(|strip| &strip.removes);
            let removes: Vec<String> = removes.cloned().collect();
            let place = match workload.is_envoy_gateway {
                true => "earlyRequestHeaders of the ClientTrafficPolicy",
                false => "early_header_mutation_extensions of the EnvoyFilter",
            };
            missing(headers.iter(), &removes, place, found);
            unwanted(&inputs, &removes, place, found);
        }
    }
}

fn missing<'h>(
    headers: impl Iterator<Item = &'h WrittenHeader>,
    removes: &[String],
    place: &str,
    found: &mut Vec<Warning>,
) {
    for (_, path, header) in headers {
        if !removes.iter().any(|removed| removed == header) {
            let message = format!(
                "clients can send {header}, which filters in front of divvy and routes believe: add `remove: {header}` \
                 to {place}"
            );
            let warning = Warning::new(Kind::NotStripped, path, message);
            if !found.contains(&warning) {
                found.push(warning);
            }
        }
    }
}

/// Warns of headers that divvy reads and that are removed before.
fn unwanted(
    inputs: &[(String, String)],
    removes: &[String],
    place: &str,
    found: &mut Vec<Warning>,
) {
    for (path, header) in inputs {
        if removes.contains(header) {
            let message = format!(
                "{header} never arrives with what others wrote: remove the line `remove: {header}` from {place}"
            );
            let warning = Warning::new(Kind::InputRemoved, path, message);
            if !found.contains(&warning) {
                found.push(warning);
            }
        }
    }
}

/// The headers of others that divvy reads and changes, with the paths of their names.
fn inputs(policy: &Policy, raw: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let identity = policy
        .identity_input
        .and_then(|id| policy.reserved_header(id));
    all.extend(identity.map(|header| ("headers.identity".to_owned(), header.name.to_string())));
    let overrides = policy.overrides.as_ref();
    let overrides = overrides.and_then(|overrides| overrides.header.as_ref());
    all.extend(overrides.map(|(_, name)| ("overrides.header".to_owned(), name.to_string())));
    if policy.inheritance.is_some() && !reads_assignment(policy) {
        all.push(("trust.from".to_owned(), "baggage".to_owned()));
    }
    for ((path, _), rollout) in each(raw, "", "rollouts").iter().zip(&policy.rollouts) {
        let label = rollout
            .expose
            .as_ref()
            .and_then(|expose| expose.label.as_deref());
        let header = label.and_then(|label| label.split(';').next());
        let path = format!("{path}.expose.label.header");
        all.extend(header.map(|header| (path, header.to_owned())));
    }
    all
}

/// Whether decisions of other proxies are read from the assignment header.
fn reads_assignment(policy: &Policy) -> bool {
    let inheritance = policy.inheritance.as_ref();
    inheritance.is_some_and(|inheritance| inheritance.member.is_none())
}

/// Whether an EnvoyFilter or ClientTrafficPolicy is for workloads of a plugin.
fn applies(strip: &Strip, plugin: &Workload) -> bool {
    let filter = &strip.workload;
    // A policy on routes: their Gateway is not known here, and may be in another namespace.
    let is_of_routes = plugin.targets.iter().all(|(_, kind)| kind != "Gateway");
    let same_namespace = filter.namespace == plugin.namespace
        || (filter.is_envoy_gateway && is_of_routes)
        || filter.namespace.is_empty()
        || plugin.namespace.is_empty()
        || (filter.namespace == "istio-system" && filter.labels.is_empty());
    let selects = |labels: &[(String, String)], of: &[(String, String)]| {
        labels.iter().all(|label| of.contains(label))
    };
    let same_targets = filter.targets.is_empty()
        || (filter.is_envoy_gateway && is_of_routes)
        || plugin.targets.is_empty()
        || filter
            .targets
            .iter()
            .any(|target| plugin.targets.contains(target));
    filter.is_envoy_gateway == plugin.is_envoy_gateway
        && same_namespace
        && same_targets
        && (selects(&filter.labels, &plugin.labels) || selects(&plugin.labels, &filter.labels))
}

/// The headers that have to be removed from requests of clients before a filter or route reads them. With `trust` from
/// the assignment it may come from another proxy: divvy itself keeps or removes it. A header of the identity that
/// clients may send stays too.
pub fn stripped_early(policy: &Policy) -> Vec<String> {
    let is_kept = |id: HeaderId| {
        reads_assignment(policy)
            && policy
                .written_headers
                .contains(&(HeaderRole::Assignment, id))
    };
    let headers = output::stripped(policy).filter(|header| !is_kept(header.id));
    headers.map(|header| header.name.to_string()).collect()
}

/// The headers that this configuration writes, with the path of their name. With `trust` the assignment may come from
/// another proxy.
fn written(policy: &Policy, raw: &Value) -> Vec<WrittenHeader> {
    let name = |id: HeaderId| Some(policy.reserved_header(id)?.name.to_string());
    let mut all = Vec::new();
    for (role, id) in &policy.written_headers {
        let field = match role {
            HeaderRole::Route => "route",
            // It is read there.
            HeaderRole::Assignment if reads_assignment(policy) => continue,
            HeaderRole::Assignment => "assignment",
            HeaderRole::Mirror => "mirror",
            HeaderRole::Identity if policy.identity_input.is_some() => continue,
            HeaderRole::Identity => "identity",
            HeaderRole::Unit => "unit",
        };
        let is_written = raw.pointer(&format!("/headers/{field}")).is_some();
        let path = match is_written {
            true => format!("headers.{field}"),
            false => String::new(),
        };
        let is_input = policy
            .reserved_header(*id)
            .is_some_and(|header| header.is_input);
        let name = name(*id).filter(|_| !is_input);
        all.extend(name.map(|name| (Some(*role), path, name)));
    }
    for ((path, _), rollout) in each(raw, "", "rollouts").iter().zip(&policy.rollouts) {
        let Some(expose) = &rollout.expose else {
            continue;
        };
        for (field, id) in [("group", expose.group), ("id", expose.id)] {
            let header = id.and_then(name);
            all.extend(header.map(|name| (None, format!("{path}.expose.{field}"), name)));
        }
    }
    all
}
