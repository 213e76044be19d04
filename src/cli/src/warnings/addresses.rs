//! Addresses that the client chooses.

use serde_json::Value;

use super::kind::Kind;
use super::surroundings::Surroundings;
use super::warning::Warning;

pub(super) fn find(raw: &Value, surroundings: &Surroundings, found: &mut Vec<Warning>) {
    let managers = &surroundings.managers;
    if managers.iter().any(|manager| !manager.uses_remote_address) {
        addresses(raw, "", found);
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
                    let message = "the connection manager in this file does not set \
                                   use_remote_address: true, so clients choose the address with \
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
