//! Routes of any source in one form: matches, destinations with weights, and the rest. Must not depend on the sources.

use crate::manifest::{ManifestNode, list, object, texts};

use super::condition::{all, any};
use super::note::{ConversionNote, Loss};

/// A route: the first one that matches a request takes it.
#[derive(Clone, Debug, Default)]
pub struct SplitRoute {
    /// Its name in the source.
    pub name: Option<String>,
    /// Its matches, of which one has to hold. Never empty: a route for every request has one without tests.
    pub entries: Vec<RouteEntry>,
    /// Where its requests go; none if it does not forward them.
    pub destinations: Vec<RouteDestination>,
    /// Everything but name, matches and destinations: routes with equal settings can be joined.
    pub settings: String,
    /// Why the route stays as it is, if it does.
    pub stays: Option<(Loss, String)>,
    /// What its matches and destinations lose if a rollout is made of it.
    pub notes: Vec<ConversionNote>,
    /// Byte offset in the document, for messages.
    pub offset: usize,
    /// Its path in the resource, such as `http[0]`.
    pub path: String,
}

/// One match of a route: all its tests have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteEntry {
    /// Which requests, by host, path and method.
    pub scope: ScopeTests,
    /// Conditions on headers and query parameters.
    pub conditions: Vec<ManifestNode>,
}

/// The tests of a match that have a field in a rollout's `match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeTests {
    /// Hosts in place of those around the route.
    pub hosts: Vec<String>,
    /// The operator on the path; `None` for every path.
    pub path: Option<ManifestNode>,
    /// Methods; empty for all.
    pub methods: Vec<String>,
    /// Tests that only the route makes, because divvy has no condition for them.
    pub route_only: Vec<String>,
}

/// A destination of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDestination {
    /// What identifies it: host, subset and port, or a cluster.
    pub key: String,
    /// Settings of this destination alone, such as header changes.
    pub settings: String,
    /// The service that it is a version of, if the source has one name for all versions.
    pub family: String,
    /// Name of its service.
    pub service: String,
    /// Name of its subset; empty without one.
    pub subset: String,
    /// Names for the version, the shortest first.
    pub names: Vec<String>,
    /// Its weight.
    pub weight: u64,
}

impl SplitRoute {
    /// Whether it divides its requests.
    pub fn splits(&self) -> bool {
        self.destinations.len() > 1
    }

    /// The scopes of its matches, each once.
    pub fn scopes(&self) -> Vec<&ScopeTests> {
        let mut scopes: Vec<&ScopeTests> = Vec::new();
        for entry in &self.entries {
            if !scopes.contains(&&entry.scope) {
                scopes.push(&entry.scope);
            }
        }
        scopes
    }

    /// Whether both have the same scopes, in any order.
    pub fn has_scopes_of(&self, other: &Self) -> bool {
        let (one, other) = (self.scopes(), other.scopes());
        one.len() == other.len() && one.iter().all(|scope| other.contains(scope))
    }

    /// Whether some request may be in the scopes of both, as far as divvy sees.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (self.scopes(), other.scopes());
        one.iter()
            .any(|scope| other.iter().any(|other| scope.overlaps(other)))
    }

    /// The condition on requests of one scope; `None` if every request of it matches.
    fn condition_in(&self, scope: &ScopeTests) -> Option<ManifestNode> {
        let entries = self.entries.iter().filter(|entry| entry.scope == *scope);
        let conditions: Option<Vec<_>> =
            entries.map(|entry| all(entry.conditions.clone())).collect();
        any(conditions?)
    }

    /// The condition that is the same in each scope; `Err` if they differ.
    pub fn condition(&self) -> Result<Option<ManifestNode>, ()> {
        let scopes = self.scopes();
        let mut conditions = scopes.iter().map(|scope| self.condition_in(scope));
        let first = conditions.next().flatten();
        match conditions.all(|other| other == first) {
            true => Ok(first),
            false => Err(()),
        }
    }

    /// The entries of a rollout's `match` for this route; empty for every request.
    pub fn match_entries(&self, hosts: &[String]) -> Vec<ManifestNode> {
        let scopes = self.scopes();
        let entries = scopes
            .iter()
            .map(|scope| scope.entry(hosts, self.condition_in(scope)));
        let mut entries: Vec<_> = entries.collect();
        entries.dedup();
        match entries.iter().any(ManifestNode::is_empty) {
            true => Vec::new(),
            false => entries,
        }
    }
}

impl ScopeTests {
    fn entry(&self, hosts: &[String], when: Option<ManifestNode>) -> ManifestNode {
        let hosts = match self.hosts.as_slice() {
            [] => hosts,
            own => own,
        };
        let mut entry = list_field(object([]), "hosts", hosts);
        entry = entry.with_some("path", self.path.clone());
        entry = list_field(entry, "methods", &self.methods);
        entry.with_some("when", when)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let paths = [&self.path, &other.path];
        let exact = |path: &Option<ManifestNode>| {
            let path = path.as_ref()?;
            path.get("exact").cloned()
        };
        match paths {
            [Some(one), Some(two)] if exact(paths[0]).is_some() && exact(paths[1]).is_some() => {
                one == two
            }
            _ => true,
        }
    }
}

fn list_field(node: ManifestNode, field: &str, values: &[String]) -> ManifestNode {
    match values {
        [] => node,
        values => node.with(field, texts(values)),
    }
}

/// A list of one node or more, or nothing.
pub fn some_list(elements: Vec<ManifestNode>) -> Option<ManifestNode> {
    (!elements.is_empty()).then(|| list(elements))
}
