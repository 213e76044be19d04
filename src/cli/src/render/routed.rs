//! The rollouts that route, as far as routes need to know them: targets, stable, copies, and which requests they match.

use divvy::policy::{Policy, Rollout};
use serde_json::Value;

use crate::raw::list;

/// A rollout whose versions have targets.
#[derive(Clone, Debug)]
pub(super) struct Routed {
    pub name: String,
    /// Different targets, in the order of the versions.
    pub targets: Vec<String>,
    /// The target of stable.
    pub stable: String,
    /// The target that gets copies.
    pub mirror: Option<String>,
    /// The entries of `match`; empty: requests of every kind that a route can tell apart.
    pub scopes: Vec<RouteScope>,
}

/// What a route can compare of an entry of `match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RouteScope {
    /// Hosts; `*.` stands for one or more labels. Empty: all.
    pub hosts: Vec<String>,
    pub path: Option<PathTest>,
    /// Empty: all.
    pub methods: Vec<String>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathTest {
    pub operand: PathOperand,
    pub ignores_case: bool,
}

/// What a path is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathOperand {
    Exact(Vec<String>),
    /// Ends at a segment.
    Prefix(String),
    /// Matches the whole path.
    Regex(String),
}

/// The rollouts with targets, in their order.
pub(super) fn rollouts(policy: &Policy, raw: &Value) -> Vec<Routed> {
    let all = policy.rollouts.iter().zip(list(raw, "rollouts"));
    all.filter_map(|(rollout, raw)| routed(rollout, raw))
        .collect()
}

fn routed(rollout: &Rollout, raw: &Value) -> Option<Routed> {
    let target = |id| Some(rollout.version(id)?.target.as_deref()?.to_owned());
    let mut targets: Vec<String> = Vec::new();
    for version in &rollout.versions {
        let target = version.target.as_deref()?;
        if !targets.iter().any(|known| known == target) {
            targets.push(target.to_owned());
        }
    }
    let mirror = rollout.mirror.as_ref();
    let scopes: Vec<_> = list(raw, "match").iter().map(RouteScope::of).collect();
    // One entry that a route cannot compare stands for every request.
    let is_open = scopes.iter().any(RouteScope::is_open);
    Some(Routed {
        name: rollout.name.to_string(),
        stable: target(rollout.stable)?,
        mirror: mirror.and_then(|mirror| target(mirror.version)),
        targets,
        scopes: if is_open { Vec::new() } else { scopes },
    })
}

impl RouteScope {
    fn of(entry: &Value) -> Self {
        let texts = |field: &str| {
            let texts = list(entry, field).iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        let hosts = texts("hosts");
        let hosts = hosts.iter().map(|host| {
            let host = host.to_ascii_lowercase();
            host.strip_suffix('.').unwrap_or(&host).to_owned()
        });
        Self {
            hosts: hosts.collect(),
            path: entry.get("path").and_then(PathTest::of),
            methods: texts("methods"),
        }
    }

    /// Whether it says nothing that a route can compare.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

impl PathTest {
    fn of(operator: &Value) -> Option<Self> {
        let text = |key: &str| operator.get(key)?.as_str().map(str::to_owned);
        let anywhere = |text: String, before: &str, after: &str| {
            PathOperand::Regex(format!("{before}{}{after}", escaped(&text)))
        };
        let operand = if let Some(path) = text("exact") {
            PathOperand::Exact(vec![path])
        } else if let Some(prefix) = text("prefix") {
            PathOperand::Prefix(prefix)
        } else if let Some(pattern) = text("regex") {
            PathOperand::Regex(pattern)
        } else if let Some(end) = text("suffix") {
            anywhere(end, ".*", "")
        } else if let Some(part) = text("contains") {
            anywhere(part, ".*", ".*")
        } else {
            let paths = operator.get("in")?.as_array()?.iter();
            PathOperand::Exact(paths.filter_map(Value::as_str).map(str::to_owned).collect())
        };
        Some(Self {
            operand,
            ignores_case: operator.get("ignoreCase") == Some(&Value::Bool(true)),
        })
    }
}

/// The text as an expression that matches it.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() && !"-_/=,:;@~%&'\"!<> ".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
