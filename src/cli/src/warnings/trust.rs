//! `trust.workload` where it has no effect or trusts clients.

use super::Examined;
use super::bootstrap::managers_of;
use super::kind::Kind;
use super::surroundings::Surroundings;
use super::warning::Warning;
use crate::source::Carrier;

pub(super) fn find(one: &Examined, surroundings: &Surroundings, found: &mut Vec<Warning>) {
    if one.raw.pointer("/trust/workload").is_none() {
        return;
    }
    let message = match &one.found.carrier {
        Carrier::Plain => return,
        Carrier::Workload(workload) if workload.is_gateway || workload.is_envoy_gateway => {
            "the plugin is in a gateway, whose requests come from clients and not from an application beside it: \
             remove workload, and name the peers in trust.principals"
        }
        Carrier::Workload(workload) if workload.mode == "SERVER" => {
            "the plugin handles inbound requests only, for which workload has no effect: name the peers in \
             trust.principals"
        }
        Carrier::Workload(_) => return,
        Carrier::Envoy(plugin) => {
            let mut managers = managers_of(one, plugin, surroundings);
            if managers.all(|manager| manager.is_outbound) {
                return;
            }
            "has an effect only on a listener with traffic_direction: OUTBOUND, beside the application whose requests \
             it trusts"
        }
    };
    found.push(Warning::new(Kind::WorkloadTrust, "trust.workload", message));
}
