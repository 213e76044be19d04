//! Addresses that the client chooses.

use serde_json::Value;

use super::Examined;
use super::bootstrap::managers_of;
use super::kind::Kind;
use super::surroundings::{Manager, Surroundings};
use super::warning::Warning;
use crate::source::Carrier;

pub(super) fn find(one: &Examined, surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let is_sent = |manager: &Manager| !manager.uses_remote_address;
    let is_chosen = match &one.found.carrier {
        Carrier::Plain => surroundings.managers.iter().any(is_sent),
        Carrier::Envoy(plugin) => managers_of(one, plugin, surroundings).any(is_sent),
        // Istio sets it for its gateways.
        Carrier::Workload(_) => false,
    };
    if is_chosen {
        addresses(&one.raw, "", found);
    }
}

/// All `sourceIp` in a configuration.
fn addresses(value: &Value, path: &str, found: &mut Vec<Warning>) {
    match value {
        Value::Array(list) => {
            for (nth, item) in list.iter().enumerate() {
                addresses(item, &format!("{path}[{nth}]"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let dot = if path.is_empty() { "" } else { "." };
                let below = format!("{path}{dot}{key}");
                if key == "sourceIp" {
                    let message = "the connection manager does not set use_remote_address: \
                                   true, so clients choose the address with \
                                   X-Forwarded-For";
                    found.push(Warning::new(Kind::ClientAddress, below, message));
                } else {
                    addresses(item, &below, found);
                }
            }
        }
        _ => {}
    }
}
