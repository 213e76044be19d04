//! Rollouts that never own the route, because an earlier one does.

use divvy::policy::Policy;
use serde_json::Value;

use super::cover::covers as condition_covers;
use super::kind::Kind;
use super::paths::path_covers;
use super::warning::{Warning, each};
use crate::raw::{list, text};

pub(super) fn find(policy: &Policy, raw: &Value, found: &mut Vec<Warning>) {
    for (index, (path, rollout)) in each(raw, "", "rollouts").iter().enumerate() {
        if let Some(owner) = covering_owner(policy, raw, index) {
            let mut fields = ["target", "versions"].into_iter();
            let field = fields.find(|field| rollout.get(field).is_some());
            let owner = text(&list(raw, "rollouts")[owner], "name");
            let message = format!(
                "never decides the route: {owner}, earlier in the list, has targets and decides about all requests of \
                 this rollout; only the first one routes. Give {owner} a match that leaves them out, put this rollout \
                 first, or remove its targets"
            );
            let place = format!("{path}.{}", field.unwrap_or("name"));
            found.push(Warning::new(Kind::RouteNeverOwned, place, message));
        }
    }
}

/// The earlier rollout that owns the route of every request of this one.
pub fn covering_owner(policy: &Policy, raw: &Value, index: usize) -> Option<usize> {
    if !policy.rollouts.get(index)?.routes {
        return None;
    }
    let rollouts = list(raw, "rollouts");
    (0..index).find(|earlier| {
        policy.rollouts[*earlier].routes && covers(&rollouts[*earlier], &rollouts[index])
    })
}

/// Whether every request of `narrow` is one of `wide`.
fn covers(wide: &Value, narrow: &Value) -> bool {
    let Some(wide) = wide.get("match").and_then(Value::as_array) else {
        return true;
    };
    let entries = narrow.get("match").and_then(Value::as_array);
    entries.is_some_and(|entries| {
        entries
            .iter()
            .all(|entry| wide.iter().any(|wide| entry_covers(wide, entry)))
    })
}

fn entry_covers(wide: &Value, narrow: &Value) -> bool {
    let listed = |field: &str, covers: fn(&str, &str) -> bool| {
        let Some(wide) = wide.get(field).and_then(Value::as_array) else {
            return true;
        };
        let narrow = narrow.get(field).and_then(Value::as_array);
        narrow.is_some_and(|narrow| {
            narrow.iter().filter_map(Value::as_str).all(|narrow| {
                let mut wide = wide.iter().filter_map(Value::as_str);
                wide.any(|wide| covers(wide, narrow))
            })
        })
    };
    let path = match (wide.get("path"), narrow.get("path")) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => path_covers(wide, narrow),
        (Some(_), None) => false,
    };
    path && listed("hosts", host_covers) && listed("methods", |wide, narrow| wide == narrow)
        // Other fields of an entry may exclude requests.
        && wide.as_object().is_some_and(|wide| {
            wide.iter().all(|(field, value)| {
                match &**field {
                    "hosts" | "path" | "methods" => true,
                    "when" => narrow.get(field).is_some_and(|narrow| condition_covers(value, narrow)),
                    _ => narrow.get(field) == Some(value),
                }
            })
        })
}

fn host_covers(wide: &str, narrow: &str) -> bool {
    let [wide, narrow] = [wide, narrow].map(str::to_ascii_lowercase);
    let [wide, narrow] = [&wide, &narrow].map(|host| host.trim_end_matches('.'));
    wide == narrow
        || wide
            .strip_prefix('*')
            .is_some_and(|below| narrow.trim_start_matches('*').ends_with(below) && narrow != below)
}
