//! Names of versions, from the destinations of routes.

use super::draft::{part_name, unique};
use super::route::{RouteDestination, SplitRoute};

/// The name of each destination as a version.
#[derive(Clone, Debug)]
pub struct VersionNames {
    /// Keys of destinations with names, in the order of the routes.
    pub all: Vec<(String, String)>,
    /// Whether destinations differ by their settings too: a route has the same one twice.
    by_settings: bool,
}

impl VersionNames {
    /// Names for the destinations of these routes, those of the last one first.
    pub fn new(routes: &[SplitRoute], members: &[usize]) -> Self {
        let by_settings = members.iter().any(|member| {
            let all = &routes[*member].destinations;
            let mut keys: Vec<&str> = all.iter().map(|one| &*one.key).collect();
            keys.sort_unstable();
            keys.windows(2).any(|pair| pair[0] == pair[1])
        });
        let mut names = Self {
            all: Vec::new(),
            by_settings,
        };
        let mut known: Vec<&RouteDestination> = Vec::new();
        // The versions of the strategy first.
        let order = members.last().into_iter().chain(members);
        for destination in order.flat_map(|member| &routes[*member].destinations) {
            let key = names.key(destination);
            if known.iter().all(|one| names.key(one) != key) {
                known.push(destination);
            }
        }
        let at = |one: &RouteDestination, level: usize| {
            let name = one.names.get(level).or(one.names.last());
            part_name(name.map_or("version", String::as_str))
        };
        let is_unique = |level: &usize| {
            let names: Vec<String> = known.iter().map(|one| at(one, *level)).collect();
            (1..names.len()).all(|index| !names[..index].contains(&names[index]))
        };
        let levels = known.iter().map(|one| one.names.len()).max();
        let level = (0..levels.unwrap_or(1)).find(is_unique).unwrap_or(0);
        for one in known {
            let is_taken = |name: &str| names.all.iter().any(|(_, known)| known == name);
            let name = unique(&at(one, level), is_taken);
            names.all.push((names.key(one), name));
        }
        names
    }

    fn key(&self, destination: &RouteDestination) -> String {
        match self.by_settings {
            true => format!("{}\n{}", destination.key, destination.settings),
            false => destination.key.clone(),
        }
    }

    fn name(&self, destination: &RouteDestination) -> String {
        let key = self.key(destination);
        let known = self.all.iter().find(|(known, _)| *known == key);
        known.map(|(_, name)| name.clone()).unwrap_or_default()
    }

    /// Whether each version has the same settings in all of these routes.
    pub fn have_one_setting(&self, routes: &[SplitRoute], members: &[usize]) -> bool {
        let mut known: Vec<(String, &str)> = Vec::new();
        let all = members
            .iter()
            .flat_map(|member| &routes[*member].destinations);
        for destination in all {
            let name = self.name(destination);
            match known.iter().find(|(other, _)| *other == name) {
                Some((_, settings)) if *settings != destination.settings => return false,
                Some(_) => {}
                None => known.push((name, &destination.settings)),
            }
        }
        true
    }

    /// The versions of a route with their services and subsets.
    pub fn links(&self, route: &SplitRoute) -> Vec<(String, String, String)> {
        let all = route.destinations.iter();
        let all = all.map(|one| (self.name(one), one.service.clone(), one.subset.clone()));
        all.collect()
    }

    /// The versions of a route with their weights, each once.
    pub fn weights(&self, route: &SplitRoute) -> Vec<(String, u64)> {
        let mut weights: Vec<(String, u64)> = Vec::new();
        for destination in &route.destinations {
            let name = self.name(destination);
            match weights.iter_mut().find(|(known, _)| *known == name) {
                Some((_, weight)) => *weight = weight.saturating_add(destination.weight),
                None => weights.push((name, destination.weight)),
            }
        }
        weights
    }

    /// The versions of these routes, each with its first destination.
    pub fn destinations(
        &self,
        routes: &[SplitRoute],
        members: &[usize],
    ) -> Vec<(String, (usize, usize))> {
        let mut found: Vec<(String, (usize, usize))> = Vec::new();
        // Those of the last route first, whose settings the others have.
        for member in members.iter().rev() {
            for (index, destination) in routes[*member].destinations.iter().enumerate() {
                let name = self.name(destination);
                if found.iter().all(|(known, _)| *known != name) {
                    found.push((name, (*member, index)));
                }
            }
        }
        found
    }
}
