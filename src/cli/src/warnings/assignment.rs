//! An assignment header that servers refuse because it is too long.

use divvy::decision::RolloutId;
use divvy::policy::{HeaderRole, Policy};
use divvy::request::Request;
use serde_json::Value;

use super::kind::Kind;
use super::warning::{Warning, each};
use crate::population::RequestTemplate;

/// Size of a header that most servers accept, in bytes.
const LIMIT: usize = 8_192;
/// The longest reason.
const REASON: &str = ";reason=not_enrolled";
/// Below this number of rollouts the header has never this size.
const FEW: usize = 64;

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    let mut written = policy.written_headers.iter();
    let is_written = written.any(|(role, _)| *role == HeaderRole::Assignment);
    if !is_written || (policy.rollouts.len() < FEW && raw.to_string().len() < LIMIT) {
        return;
    }
    let sizes: Vec<usize> = policy
        .rollouts
        .iter()
        .map(|rollout| {
            let versions = rollout.versions.iter().map(|version| version.name.len());
            // With `=` and with the `, ` behind it.
            rollout.name.len() + versions.max().unwrap_or_default() + REASON.len() + 3
        })
        .collect();
    let mut largest = (0, 0, String::new());
    // A request for each rollout, which others may match too.
    for (path, rollout) in each(raw, "", "rollouts") {
        let template = RequestTemplate::new(raw, &rollout.clone(), None);
        let headers = template.headers();
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::from_headers(&policy.names, headers);
        let matching = policy.scopes.find(&request);
        let size = matching.iter().map(|RolloutId(id)| sizes[usize::from(*id)]);
        let size: usize = size.sum();
        if size > largest.0 {
            largest = (size, matching.len(), path);
        }
    }
    let (size, number, path) = largest;
    if size > LIMIT {
        let message = format!(
            "requests that match this rollout match {number} rollouts: their assignment header has up to {size} bytes, \
             and most servers refuse a header above {LIMIT}; use more specific match entries, fewer rollouts, or \
             shorter names"
        );
        found.push(Warning::new(Kind::LongAssignment, path, message));
    }
}
