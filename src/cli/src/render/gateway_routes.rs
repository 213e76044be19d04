//! The HTTPRoutes of a configuration: a rule for each target, and stable for all other requests.
//!
//! The most specific match decides, not the order of the rules. So a rule for a target repeats each condition that a
//! rule without a decision has: with one header more it is more specific.

use anyhow::{Result, bail};
use divvy::policy::HeaderRole;

use super::gateway::{BackendKind, EnvoyGatewayArgs};
use super::input::Input;
use super::routed::{self, PathOperand, RouteScope, Routed, escaped};
use super::services::resource_name;
use crate::manifest::istio::{TIMEOUT, resource};
use crate::manifest::{ManifestNode, list, object, texts, yaml};

const COMMENT: &str = "# The routes from which divvy chooses: it writes a target into the route header. Each rule removes that header\n\
     # after the choice. All other requests, and every request if divvy is not running, get stable. A version that\n\
     # hangs fails after the timeout.\n";
/// The methods that the Gateway API can compare.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
/// Maximum number of rules of an HTTPRoute, and of matches of all its rules.
const MAX_RULES: usize = 16;
const MAX_MATCHES: usize = 128;
const MAX_MATCHES_OF_RULE: usize = 64;

/// A match without headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RuleMatch {
    /// Type and value.
    path: Option<(&'static str, String)>,
    method: Option<String>,
}

/// The rules for some hosts; no host: for all that no other HTTPRoute names.
struct HostRules {
    /// Name of the first rollout.
    name: String,
    hosts: Vec<String>,
    rules: Vec<ManifestNode>,
}

/// The HTTPRoutes, with comments.
pub(super) fn documents(args: &EnvoyGatewayArgs, input: &Input) -> Result<Vec<String>> {
    let rollouts = routed::rollouts(&input.policy, &input.raw);
    let targets: Vec<&String> = rollouts.iter().flat_map(|one| &one.targets).collect();
    let mut given = args.backends.iter();
    if let Some((unknown, _)) = given.find(|(name, _)| !targets.contains(&name)) {
        let mut names: Vec<&str> = targets.iter().map(|target| &***target).collect();
        names.sort_unstable();
        names.dedup();
        bail!(
            "--backend {unknown}: is not a target of this configuration; it has {}",
            names.join(", ")
        );
    }
    let writer = RuleWriter {
        args,
        route_header: input.header_or_default(HeaderRole::Route),
        mirror_header: input.header(HeaderRole::Mirror),
    };
    let mut all: Vec<HostRules> = Vec::new();
    for host in hosts(&rollouts) {
        let one = writer.host(&rollouts, host.as_deref())?;
        match all.iter_mut().find(|known| known.rules == one.rules) {
            // Rules for all hosts include this one.
            Some(known) if known.hosts.is_empty() => {}
            Some(known) => known.hosts.extend(one.hosts),
            None => all.push(one),
        }
    }
    let mut taken: Vec<String> = Vec::new();
    let mut documents = Vec::new();
    for one in all {
        let mut name = one.name.clone();
        let mut number = 1_usize;
        while taken.contains(&name) {
            number += 1;
            name = format!("{}-{number}", one.name);
        }
        taken.push(name.clone());
        documents.push(format!(
            "{COMMENT}{}",
            yaml::document(&writer.route(&name, one)?)
        ));
    }
    Ok(documents)
}

/// The hosts that need rules of their own, `None` for all others first.
fn hosts(rollouts: &[Routed]) -> Vec<Option<String>> {
    let mut all = Vec::new();
    let is_open = |rollout: &Routed| {
        rollout.scopes.is_empty() || rollout.scopes.iter().any(|scope| scope.hosts.is_empty())
    };
    if rollouts.iter().any(is_open) {
        all.push(None);
    }
    let scopes = rollouts.iter().flat_map(|rollout| &rollout.scopes);
    for host in scopes.flat_map(|scope| &scope.hosts) {
        if !all.contains(&Some(host.clone())) {
            all.push(Some(host.clone()));
        }
    }
    all
}

/// Whether requests for a host may match an entry of `match`.
fn includes(scope: &RouteScope, host: Option<&str>) -> bool {
    let covers = |pattern: &String| match (pattern.strip_prefix('*'), host) {
        (Some(below), Some(host)) => host.ends_with(below),
        (None, Some(host)) => pattern == host,
        (_, None) => false,
    };
    scope.hosts.is_empty() || scope.hosts.iter().any(covers)
}

struct RuleWriter<'a> {
    args: &'a EnvoyGatewayArgs,
    route_header: String,
    mirror_header: Option<String>,
}

impl RuleWriter<'_> {
    /// The rules for a host.
    fn host(&self, rollouts: &[Routed], host: Option<&str>) -> Result<HostRules> {
        // Rollouts with their conditions. No condition: every request.
        let here = rollouts.iter().filter_map(|rollout| {
            let mut scopes = rollout
                .scopes
                .iter()
                .filter(|scope| includes(scope, host))
                .peekable();
            let is_here = rollout.scopes.is_empty() || scopes.peek().is_some();
            let matches: Vec<RuleMatch> = scopes.flat_map(matches).collect();
            let is_open = matches.contains(&RuleMatch::default());
            is_here.then(|| (rollout, if is_open { Vec::new() } else { matches }))
        });
        let here: Vec<(&Routed, Vec<RuleMatch>)> = here.collect();
        let open = here.iter().find(|(_, matches)| matches.is_empty());
        let Some((last, _)) = open.or(here.first()) else {
            bail!("no rollout matches {}", host.unwrap_or("all hosts"));
        };
        let mut conditions: Vec<RuleMatch> = Vec::new();
        if here
            .iter()
            .any(|(rollout, _)| rollout.stable != last.stable)
        {
            for condition in here.iter().flat_map(|(_, matches)| matches) {
                if !conditions.contains(condition) {
                    conditions.push(condition.clone());
                }
            }
        }
        let has_others = !conditions.is_empty();
        conditions.push(RuleMatch::default());

        let mut rules = Vec::new();
        let mut taken: Vec<(&str, Option<&str>)> = Vec::new();
        for (rollout, _) in &here {
            let mirror = rollout.mirror.as_deref().zip(self.mirror_header.as_deref());
            for target in &rollout.targets {
                let copied = mirror.filter(|(mirror, _)| mirror != target);
                if let Some((mirror, header)) = copied
                    && !taken.contains(&(target, Some(mirror)))
                {
                    taken.push((target, Some(mirror)));
                    let headers = [(&*self.route_header, &**target), (header, mirror)];
                    rules.push(self.rule(&conditions, &headers, target, Some(mirror))?);
                }
            }
            for target in &rollout.targets {
                // The last rule has the same effect.
                let is_last = *target == last.stable && !has_others;
                if !is_last && !taken.contains(&(target, None)) {
                    taken.push((target, None));
                    let headers = [(&*self.route_header, &**target)];
                    rules.push(self.rule(&conditions, &headers, target, None)?);
                }
            }
        }
        if has_others {
            let mut taken: Vec<&RuleMatch> = Vec::new();
            for (rollout, matches) in &here {
                let new = matches.iter().filter(|one| !taken.contains(one));
                let new: Vec<RuleMatch> = new.cloned().collect();
                taken.extend(matches);
                if !new.is_empty() {
                    rules.push(self.rule(&new, &[], &rollout.stable, None)?);
                }
            }
        }
        rules.push(self.rule(&[], &[], &last.stable, None)?);
        let first = here.first().map_or("", |(rollout, _)| &rollout.name);
        Ok(HostRules {
            name: resource_name(first),
            hosts: host.into_iter().map(str::to_owned).collect(),
            rules,
        })
    }

    /// A rule with these headers added to each match, for this target and with a copy for `mirror`.
    fn rule(
        &self,
        matches: &[RuleMatch],
        headers: &[(&str, &str)],
        target: &str,
        mirror: Option<&str>,
    ) -> Result<ManifestNode> {
        let matches = matches.iter().map(|one| {
            let headers = headers.iter().map(|(name, value)| {
                let kind = ("type", "Exact".into());
                object([kind, ("name", (*name).into()), ("value", (*value).into())])
            });
            let path = one.path.as_ref().map(|(kind, value)| {
                object([("type", (*kind).into()), ("value", (&**value).into())])
            });
            let headers = list(headers);
            object([])
                .with_some("path", path)
                .with_some("method", one.method.as_deref().map(Into::into))
                .with_some("headers", (!headers.is_empty()).then_some(headers))
        });
        let matches = list(matches);
        let removed = object([("remove", texts([&*self.route_header]))]);
        let mut filters = vec![object([
            ("type", "RequestHeaderModifier".into()),
            ("requestHeaderModifier", removed),
        ])];
        if let Some(mirror) = mirror {
            let copy = object([("backendRef", self.backend(mirror)?)]);
            filters.push(object([
                ("type", "RequestMirror".into()),
                ("requestMirror", copy),
            ]));
        }
        Ok(object([])
            .with_some("matches", (!matches.is_empty()).then_some(matches))
            .with("filters", list(filters))
            .with("timeouts", object([("request", TIMEOUT.into())]))
            .with("backendRefs", list([self.backend(target)?])))
    }

    /// The reference to the object of a target.
    fn backend(&self, target: &str) -> Result<ManifestNode> {
        let mut given = self.args.backends.iter().rev();
        let given = given.find(|(name, _)| name == target);
        let name = given.map_or_else(|| object_name(target), |(_, place)| place.name.clone());
        if name.is_empty() || name.len() > 63 {
            bail!(
                "the target {target:?} is not the name of a {:?}: name it with --backend '{target}=NAME'",
                self.args.backend_kind
            );
        }
        let port = given.and_then(|(_, place)| place.port);
        let port = u64::from(port.unwrap_or(self.args.port));
        Ok(match self.args.backend_kind {
            BackendKind::Service => object([("name", name.into()), ("port", port.into())]),
            BackendKind::Backend => object([
                ("group", "gateway.envoyproxy.io".into()),
                ("kind", "Backend".into()),
                ("name", name.into()),
            ]),
        })
    }

    fn route(&self, name: &str, one: HostRules) -> Result<ManifestNode> {
        let counts = one.rules.iter().map(|rule| match rule.get("matches") {
            Some(ManifestNode::List(matches)) => matches.len(),
            _ => 1,
        });
        let counts: Vec<usize> = counts.collect();
        let all: usize = counts.iter().sum();
        let most = counts.iter().max().copied().unwrap_or_default();
        if counts.len() > MAX_RULES || all > MAX_MATCHES || most > MAX_MATCHES_OF_RULE {
            bail!(
                "the HTTPRoute {name} would have {} rules with {all} matches: the Gateway API has at most {MAX_RULES} \
                 rules, {MAX_MATCHES_OF_RULE} matches of a rule and {MAX_MATCHES} of all; render the rollouts in several configurations",
                counts.len()
            );
        }
        let (namespace, gateway) = self.args.gateway();
        let other = (namespace != self.args.namespace).then(|| namespace.into());
        let parent = object([("name", gateway.into())]).with_some("namespace", other);
        let mut spec = object([("parentRefs", list([parent]))]);
        if !one.hosts.is_empty() {
            spec = spec.with("hostnames", texts(&one.hosts));
        }
        let kind = ("gateway.networking.k8s.io/v1", "HTTPRoute");
        let route = resource(kind.0, kind.1, name, &self.args.namespace);
        Ok(route.with("spec", spec.with("rules", list(one.rules))))
    }
}

/// A target as the name of an object of Kubernetes.
fn object_name(target: &str) -> String {
    let lower = target.to_ascii_lowercase();
    let name = lower.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    name.trim_matches('-').to_owned()
}

/// The matches for an entry of `match`; several if it has several paths or methods.
fn matches(scope: &RouteScope) -> Vec<RuleMatch> {
    let mut methods: Vec<Option<String>> = scope.methods.iter().cloned().map(Some).collect();
    // An entry with another method compares none.
    let is_known = |method: &Option<String>| {
        METHODS
            .iter()
            .any(|known| Some(*known) == method.as_deref())
    };
    if methods.is_empty() || !methods.iter().all(is_known) {
        methods = vec![None];
    }
    let paths = paths(scope);
    let all = paths.iter().flat_map(|path| {
        methods.iter().map(|method| RuleMatch {
            path: path.clone(),
            method: method.clone(),
        })
    });
    all.collect()
}

fn paths(scope: &RouteScope) -> Vec<Option<(&'static str, String)>> {
    const REGEX: &str = "RegularExpression";
    let Some(path) = &scope.path else {
        return vec![None];
    };
    let ignoring_case = |pattern: String| Some((REGEX, format!("(?i){pattern}")));
    match &path.operand {
        PathOperand::Exact(paths) => {
            let paths = paths.iter().map(|path_text| match path.ignores_case {
                true => ignoring_case(escaped(path_text)),
                false => Some(("Exact", path_text.clone())),
            });
            paths.collect()
        }
        // Both end at a segment.
        PathOperand::Prefix(prefix) if !path.ignores_case => {
            vec![Some(("PathPrefix", prefix.clone()))]
        }
        PathOperand::Prefix(prefix) => {
            let start = escaped(prefix.trim_end_matches('/'));
            vec![ignoring_case(format!("{start}(/.*)?"))]
        }
        PathOperand::Regex(pattern) if path.ignores_case => vec![ignoring_case(pattern.clone())],
        PathOperand::Regex(pattern) => vec![Some((REGEX, pattern.clone()))],
    }
}
