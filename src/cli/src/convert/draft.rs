//! Rollouts of the output. Must not depend on the sources.

use crate::manifest::{ManifestNode, list, object};

use super::route::some_list;

/// A rollout of the output.
#[derive(Clone, Debug)]
pub struct RolloutDraft {
    /// Where it comes from, for the comment above it.
    pub comment: String,
    /// Its name.
    pub name: String,
    /// Entries of its `match`.
    pub scopes: Vec<ManifestNode>,
    /// Names of its versions.
    pub versions: Vec<String>,
    /// The stable version.
    pub stable: String,
    /// Its rules.
    pub rules: Vec<ManifestNode>,
    /// Its strategy.
    pub strategy: ManifestNode,
    /// Its guardrail.
    pub guardrail: Option<ManifestNode>,
    /// Copies.
    pub mirror: Option<ManifestNode>,
    /// The routes that it was made of.
    pub link: RouteLink,
    /// File, line and name of its source.
    pub place: (String, usize, String),
}

/// The routes that a rollout was made of, for releases that change their weights.
#[derive(Clone, Debug, Default)]
pub struct RouteLink {
    /// Kind of the resource.
    pub kind: String,
    /// Namespace of the resource; empty if it names none.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// Name of the route with the weights; empty if it has none.
    pub route: String,
    /// Versions with their services and subsets.
    pub versions: Vec<(String, String, String)>,
}

impl Default for RolloutDraft {
    fn default() -> Self {
        Self {
            comment: String::new(),
            name: String::new(),
            scopes: Vec::new(),
            versions: Vec::new(),
            stable: String::new(),
            rules: Vec::new(),
            strategy: object([]),
            guardrail: None,
            mirror: None,
            link: RouteLink::default(),
            place: (String::new(), 0, String::new()),
        }
    }
}

impl RolloutDraft {
    /// Whether only the first of both chooses routes, since each request of this one is also of the other one.
    pub fn is_behind(&self, other: &Self) -> bool {
        other.scopes.is_empty() || self.scopes == other.scopes
    }

    /// Whether both decide in the same way.
    pub fn decides_as(&self, other: &Self) -> bool {
        let of = |draft: &Self| {
            let Self {
                versions,
                stable,
                rules,
                strategy,
                guardrail,
                mirror,
                ..
            } = draft;
            let parts = (
                versions.clone(),
                stable.clone(),
                rules.clone(),
                strategy.clone(),
            );
            (parts, guardrail.clone(), mirror.clone())
        };
        of(self) == of(other)
    }

    fn node(&self) -> ManifestNode {
        let versions = self.versions.iter();
        let versions = versions.map(|name| object([("name", (&**name).into())]));
        object([])
            .commented(&self.comment, "name", &*self.name)
            .with_some("match", some_list(self.scopes.clone()))
            .with("target", "{version}")
            .with("versions", list(versions))
            .with("stable", &*self.stable)
            .with_some("rules", some_list(self.rules.clone()))
            .with("strategy", self.strategy.clone())
            .with_some("guardrail", self.guardrail.clone())
            .with_some("mirror", self.mirror.clone())
    }
}

/// A configuration with these rollouts.
pub fn configuration(identity: ManifestNode, rollouts: &[RolloutDraft]) -> ManifestNode {
    object([("identity", identity)]).with("rollouts", list(rollouts.iter().map(RolloutDraft::node)))
}

/// A version with its weight.
pub fn arm(version: &str, weight: u64) -> ManifestNode {
    object([("version", version.into()), ("weight", weight.into())])
}

/// The strategy that gives each version its weight.
pub fn strategy(weights: &[(String, u64)], stable: &str) -> ManifestNode {
    let sum: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    match weights {
        [(version, _)] => object([("blueGreen", object([("active", (&**version).into())]))]),
        [one, two] if one.0 == stable || two.0 == stable => {
            let canary = if one.0 == stable { two } else { one };
            match percent(canary.1.into(), sum) {
                Some(weight) => object([(
                    "canary",
                    object([("version", (&*canary.0).into()), ("weight", weight)]),
                )]),
                None => weighted(weights),
            }
        }
        _ => weighted(weights),
    }
}

fn weighted(weights: &[(String, u64)]) -> ManifestNode {
    let arms = weights
        .iter()
        .map(|(version, weight)| arm(version, *weight));
    object([("weighted", list(arms))])
}

/// A share in percent; `None` if it needs more than four decimals.
pub fn percent(part: u128, sum: u128) -> Option<ManifestNode> {
    let scaled = part * 1_000_000;
    if sum == 0 || !scaled.is_multiple_of(sum) {
        return None;
    }
    let millionths = scaled / sum;
    let (whole, rest) = (millionths / 10_000, millionths % 10_000);
    let text = match rest {
        0 => whole.to_string(),
        rest => format!("{whole}.{rest:04}")
            .trim_end_matches('0')
            .to_owned(),
    };
    Some(ManifestNode::Literal(text))
}

/// A text as the name of a rollout: lower case, beginning with a letter.
pub fn rollout_name(text: &str) -> String {
    let mut name = alphabet(&text.to_ascii_lowercase());
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.insert_str(0, "r-");
    }
    name.truncate(64);
    name
}

/// A text as the name of a version or rule.
pub fn part_name(text: &str) -> String {
    let mut name = alphabet(text);
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        name.insert(0, 'x');
    }
    name.truncate(64);
    name
}

fn alphabet(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect()
}

/// The name, or the name with a number if it is taken.
pub fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = |number: u32| {
        let suffix = format!("-{number}");
        let mut candidate = name.to_owned();
        candidate.truncate(64 - suffix.len());
        candidate.push_str(&suffix);
        candidate
    };
    if !is_taken(name) {
        return name.to_owned();
    }
    // The first free number: names are given in order, so all below it are taken.
    let (mut free, mut step) = (2_u32, 1_u32);
    while is_taken(&numbered(free.saturating_add(step))) {
        free = free.saturating_add(step);
        step = step.saturating_mul(2);
    }
    let end = free.saturating_add(step);
    let first = (free..=end).find(|number| !is_taken(&numbered(*number)));
    numbered(first.unwrap_or(end))
}
