//! From routes to rollouts: routes that divide requests become strategies, routes by header in front of them become
//! rules. Must not depend on the sources.
//!
//! A rollout is made of a run of routes with the same scope, of which the last takes every request of it, or of one
//! route alone. Routes that no rollout needs stay as they are.

use std::collections::BTreeSet;

use super::choice::Choices;
use super::draft::{RolloutDraft, RouteLink, arm, part_name, rollout_name, strategy, unique};
use super::note::Loss;
use super::route::SplitRoute;
use super::versions::VersionNames;
use crate::manifest::{ManifestNode, list, object};

/// What becomes of the routes, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutePart {
    /// A route as it was.
    Unchanged(usize),
    /// A route with another destination.
    Variant(RouteVariant),
}

/// A route for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteVariant {
    /// The route whose matches and settings it has.
    pub route: usize,
    /// The value of the route header that it requires in addition.
    pub value: Option<String>,
    /// Route and index of its destination.
    pub destination: (usize, usize),
}

/// The routes of one host, and what is around them.
#[derive(Debug)]
pub struct RouteList<'r> {
    /// The routes in their order.
    pub routes: &'r [SplitRoute],
    /// Hosts of all routes; empty for all hosts.
    pub hosts: &'r [String],
    /// Kind of the resource.
    pub kind: &'r str,
    /// Its namespace; empty if it names none.
    pub namespace: &'r str,
    /// Name of the resource, from which rollouts get theirs.
    pub name: &'r str,
    /// Where they come from, for comments.
    pub origin: &'r str,
    /// File, line and name of the resource.
    pub place: (String, usize, String),
    /// Whether the most specific match counts, as in the Gateway API, and not the first.
    pub by_precedence: bool,
}

/// The rollouts of some routes, and the new routes.
#[derive(Clone, Debug, Default)]
pub struct Grouped {
    /// Each with the index of the route that decides its strategy.
    pub rollouts: Vec<(RolloutDraft, usize)>,
    /// The new routes.
    pub parts: Vec<RoutePart>,
    /// Routes that stay, with the reason; impossible if they divide requests.
    pub kept: Vec<(usize, Loss, String)>,
    /// Routes of which rollouts are made.
    pub used: BTreeSet<usize>,
    /// Names of the rollouts.
    names: BTreeSet<String>,
}

/// Makes rollouts of routes. `is_taken` says which names of rollouts exist.
pub fn group(given: &RouteList<'_>, choices: &Choices, is_taken: &dyn Fn(&str) -> bool) -> Grouped {
    let mut grouped = Grouped::default();
    let routes = given.routes;
    let mut index = 0;
    while index < routes.len() {
        let end = run_end(routes, index);
        let run = index..=end;
        index = end + 1;
        let members: Vec<usize> = run.collect();
        let is_split = |route: &usize| routes[*route].splits();
        let is_closed = is_open(&routes[end]);
        let keys: Vec<&str> = keys(routes, &members);
        if is_closed && keys.len() > 1 {
            grouped.add(given, choices, &members, is_taken);
            continue;
        }
        // Without a route for the other requests, each route is for itself.
        for member in members {
            match is_split(&member) && routes[member].stays.is_none() {
                true => grouped.add(given, choices, &[member], is_taken),
                false => grouped.keep(routes, member),
            }
        }
    }
    grouped
}

/// Whether a route forwards, and takes every request of its scopes.
fn is_open(route: &SplitRoute) -> bool {
    !route.destinations.is_empty() && route.stays.is_none() && route.condition() == Ok(None)
}

/// The last route of the run that begins here.
fn run_end(routes: &[SplitRoute], first: usize) -> usize {
    let mut end = first;
    while !is_open(&routes[end])
        && joins(&routes[end])
        && routes
            .get(end + 1)
            .is_some_and(|next| joins(next) && next.has_scopes_of(&routes[end]))
    {
        end += 1;
    }
    end
}

/// Whether a route can be a part of a rollout with others.
fn joins(route: &SplitRoute) -> bool {
    !route.destinations.is_empty() && route.stays.is_none() && route.condition().is_ok()
}

/// The destinations of these routes, each once.
fn keys<'r>(routes: &'r [SplitRoute], members: &[usize]) -> Vec<&'r str> {
    let mut keys: Vec<&str> = Vec::new();
    for member in members {
        for destination in &routes[*member].destinations {
            if !keys.contains(&&*destination.key) {
                keys.push(&destination.key);
            }
        }
    }
    keys
}

impl Grouped {
    fn keep(&mut self, routes: &[SplitRoute], index: usize) {
        let route = &routes[index];
        let (loss, reason) = match &route.stays {
            Some((loss, reason)) => (*loss, reason.clone()),
            None => (
                Loss::LeftInPlace,
                "has one destination, so nothing is divided".to_owned(),
            ),
        };
        self.kept.push((index, loss, reason));
        self.parts.push(RoutePart::Unchanged(index));
    }

    fn refuse(&mut self, members: &[usize], reason: &str) {
        for member in members {
            self.kept
                .push((*member, Loss::Impossible, reason.to_owned()));
            self.parts.push(RoutePart::Unchanged(*member));
        }
    }

    /// Adds a rollout of these routes, the last of which has its strategy.
    fn add(
        &mut self,
        given: &RouteList<'_>,
        choices: &Choices,
        members: &[usize],
        is_taken: &dyn Fn(&str) -> bool,
    ) {
        let routes = given.routes;
        let Some(last) = members.last().copied() else {
            return;
        };
        if let Some(reason) = Self::obstacle(given, members) {
            return self.refuse(members, &reason);
        }
        // Rules of earlier routes for every path, which stay in front.
        let earlier = self.earlier(given, members);
        let ruling: Vec<usize> = earlier.iter().chain(members).copied().collect();
        self.used.extend(ruling.iter().copied());
        let names = VersionNames::new(routes, &ruling);
        let weights = names.weights(&routes[last]);
        let stable = stable(&weights, &names, choices);
        let rules: Vec<_> = ruling
            .iter()
            .filter(|member| **member != last)
            .enumerate()
            .filter_map(|(number, member)| rule(&routes[*member], number, &names))
            .collect();
        let own_name = |name: &str| is_taken(name) || self.names.contains(name);
        let name = unique(&rollout_name(given.name), own_name);
        self.names.insert(name.clone());
        let draft = RolloutDraft {
            comment: given.origin.to_owned(),
            place: given.place.clone(),
            name,
            scopes: routes[last].match_entries(given.hosts),
            versions: names.all.iter().map(|(_, name)| name.clone()).collect(),
            stable: stable.clone(),
            rules: unique_rules(rules),
            strategy: strategy(&weights, &stable),
            link: RouteLink {
                kind: given.kind.to_owned(),
                namespace: given.namespace.to_owned(),
                name: given.name.to_owned(),
                route: routes[last].name.clone().unwrap_or_default(),
                versions: names.links(&routes[last]),
            },
            ..RolloutDraft::default()
        };
        self.add_parts(given, members, &names, &stable);
        self.rollouts.push((draft, last));
    }

    /// Why the routes cannot become a rollout.
    fn obstacle(given: &RouteList<'_>, members: &[usize]) -> Option<String> {
        let routes = given.routes;
        let last = &routes[*members.last()?];
        for member in members {
            let destinations = &routes[*member].destinations;
            if destinations.iter().all(|one| one.weight == 0) {
                return Some("has no weight above 0".to_owned());
            }
        }
        // divvy cannot tell the requests of two routes that differ by a test of the route only.
        let has_route_only = last
            .scopes()
            .iter()
            .any(|scope| !scope.route_only.is_empty());
        let others = routes.iter().enumerate();
        let mut others = others
            .filter(|(index, other)| !members.contains(index) && other.splits())
            .filter(|(_, other)| last.overlaps(other));
        if let Some((_, other)) = others.next().filter(|_| has_route_only) {
            return Some(format!(
                "only the route tells its requests from those of {}, which are divided too: divvy has no condition \
                 for that",
                other.path
            ));
        }
        None
    }

    /// Routes in front of these that take requests of every path to versions of the same service.
    fn earlier(&self, given: &RouteList<'_>, members: &[usize]) -> Vec<usize> {
        let routes = given.routes;
        let first = members.first().copied().unwrap_or_default();
        let families: Vec<&str> = members
            .iter()
            .flat_map(|member| &routes[*member].destinations)
            .map(|destination| &*destination.family)
            .collect();
        let is_for_all = |route: &SplitRoute| {
            route.scopes().iter().all(|scope| {
                scope.path.is_none()
                    && scope.methods.is_empty()
                    && scope.hosts.is_empty()
                    && scope.route_only.is_empty()
            })
        };
        let same_scope = |route: &SplitRoute| route.has_scopes_of(&routes[first]);
        let fits = |index: &usize| {
            let route = &routes[*index];
            self.parts.contains(&RoutePart::Unchanged(*index))
                && joins(route)
                && matches!(route.condition(), Ok(Some(_)))
                && !route.splits()
                && (is_for_all(route) || same_scope(route))
                && route
                    .destinations
                    .iter()
                    .all(|one| families.contains(&&*one.family))
        };
        (0..first).filter(fits).collect()
    }

    fn add_parts(
        &mut self,
        given: &RouteList<'_>,
        members: &[usize],
        names: &VersionNames,
        stable: &str,
    ) {
        let routes = given.routes;
        let Some(last) = members.last().copied() else {
            return;
        };
        let joined = members
            .iter()
            .all(|member| routes[*member].settings == routes[last].settings)
            && names.have_one_setting(routes, members);
        if joined {
            let all = names.destinations(routes, members);
            self.add_variants(last, &all, stable);
            return;
        }
        for member in members {
            let all = names.destinations(routes, &[*member]);
            match (routes[*member].splits(), all.first()) {
                (true, _) => self.add_variants(*member, &all, stable),
                // The header makes the other routes more specific, so this one needs it too.
                (false, Some((name, destination))) if given.by_precedence => {
                    self.parts.push(RoutePart::Variant(RouteVariant {
                        route: *member,
                        value: Some(name.clone()),
                        destination: *destination,
                    }));
                    self.parts.push(RoutePart::Unchanged(*member));
                }
                (false, _) => self.parts.push(RoutePart::Unchanged(*member)),
            }
        }
    }

    /// Routes by the route header for these destinations, and one to stable without the header.
    fn add_variants(&mut self, route: usize, all: &[(String, (usize, usize))], stable: &str) {
        let fallback = all.iter().find(|(name, _)| name == stable);
        let Some(fallback) = fallback.or(all.first()) else {
            return;
        };
        for (name, destination) in all {
            if name != &fallback.0 {
                self.parts.push(RoutePart::Variant(RouteVariant {
                    route,
                    value: Some(name.clone()),
                    destination: *destination,
                }));
            }
        }
        self.parts.push(RoutePart::Variant(RouteVariant {
            route,
            value: None,
            destination: fallback.1,
        }));
    }
}

/// The rule of a route in front of the strategy.
fn rule(route: &SplitRoute, number: usize, names: &VersionNames) -> Option<ManifestNode> {
    let when = route.condition().ok().flatten()?;
    let name = match &route.name {
        Some(name) => part_name(name),
        None => format!("match-{}", number + 1),
    };
    let rule = object([("name", name.into()), ("when", when)]);
    let weights = names.weights(route);
    Some(match weights.as_slice() {
        [(version, _)] => rule.with("use", &**version),
        weights => {
            let arms = weights
                .iter()
                .map(|(version, weight)| arm(version, *weight));
            rule.with("split", list(arms))
        }
    })
}

/// Rules with names that occur once.
fn unique_rules(rules: Vec<ManifestNode>) -> Vec<ManifestNode> {
    let mut names: Vec<String> = Vec::new();
    let renamed = rules.into_iter().map(|rule| {
        let ManifestNode::Map(mut entries) = rule else {
            return rule;
        };
        if let Some(entry) = entries.first_mut()
            && let ManifestNode::Text(name) = &entry.value
        {
            let name = unique(name, |other| names.iter().any(|known| known == other));
            names.push(name.clone());
            entry.value = name.into();
        }
        ManifestNode::Map(entries)
    });
    renamed.collect()
}

/// The version with the largest weight, the first of equal ones, unless the user names another.
fn stable(weights: &[(String, u64)], names: &VersionNames, choices: &Choices) -> String {
    let chosen = choices.stable.as_ref();
    let chosen = chosen.filter(|name| names.all.iter().any(|(_, known)| known == *name));
    if let Some(name) = chosen {
        return name.clone();
    }
    let largest = weights.iter().map(|(_, weight)| *weight).max();
    let first = weights.iter().find(|(_, weight)| Some(*weight) == largest);
    first.map(|(name, _)| name.clone()).unwrap_or_default()
}
