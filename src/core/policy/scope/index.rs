//! The index of all rollouts' scopes: the time of a lookup does not grow with their number.
//!
//! Hosts, exact paths, path prefixes and, for scopes without these paths, the values of a header
//! are looked up in maps. Methods, the other operators on paths and the other conditions are
//! evaluated one by one, among the scopes of the request's host.

use std::borrow::Cow;

use super::Scope;
use super::host::{self, HostPattern};
use crate::condition::Matcher;
use crate::decision::RolloutId;
use crate::request::{HeaderId, Request, byte_map::ByteMap};

/// Maximum number of pairs of a host and a path of one scope that get map entries; the paths of
/// a larger scope are compared one by one.
const MAX_PAIRS: usize = 64;

/// The scopes of all rollouts.
#[derive(Clone, Debug, Default)]
pub struct ScopeIndex {
    /// Rollouts without `match`, in order.
    everywhere: Vec<RolloutId>,
    scopes: Vec<(RolloutId, Scope)>,
    any_host: Paths,
    hosts: ByteMap<Paths>,
    /// By the end of the host, which begins with a dot.
    below: ByteMap<Paths>,
}

/// The scopes of one host, by their index in [`ScopeIndex::scopes`].
#[derive(Clone, Debug, Default)]
struct Paths {
    exact: ByteMap<Vec<usize>>,
    prefix: ByteMap<Vec<usize>>,
    /// Scopes for any path or with another operator on it: still to be compared.
    others: Vec<usize>,
    /// As `others`, of scopes that need one of these values of a header.
    headers: Vec<(HeaderId, ByteMap<Vec<usize>>)>,
}

impl ScopeIndex {
    /// Adds the next rollout in the order of the configuration. `scopes`: the entries of its
    /// `match`; if empty, the rollout decides every request.
    pub fn add(&mut self, rollout: RolloutId, scopes: Vec<Scope>) {
        if scopes.is_empty() {
            self.everywhere.push(rollout);
        }
        for scope in scopes {
            let number = self.scopes.len();
            if scope.hosts.is_empty() {
                self.any_host.add(&scope, number);
            }
            for pattern in &scope.hosts {
                let (table, key) = match pattern {
                    HostPattern::Exact(name) => (&mut self.hosts, name),
                    HostPattern::Below(ending) => (&mut self.below, ending),
                };
                table
                    .get_or_insert_with(key, Paths::default)
                    .add(&scope, number);
            }
            self.scopes.push((rollout, scope));
        }
    }

    /// The rollouts that decide every request.
    pub fn everywhere(&self) -> &[RolloutId] {
        &self.everywhere
    }

    /// The entries of a rollout's `match`.
    pub fn of(&self, rollout: RolloutId) -> impl Iterator<Item = &Scope> {
        let of = self.scopes.iter().filter(move |(id, _)| *id == rollout);
        of.map(|(_, scope)| scope)
    }

    /// The rollouts that decide this request, in the order of the configuration.
    pub fn find(&self, request: &Request<'_>) -> Cow<'_, [RolloutId]> {
        if self.scopes.is_empty() {
            return Cow::Borrowed(&self.everywhere);
        }
        Cow::Owned(self.look(request))
    }

    fn look(&self, request: &Request<'_>) -> Vec<RolloutId> {
        let mut found = self.everywhere.clone();
        if !self.any_host.is_empty() {
            self.look_in(&self.any_host, request, &mut found);
        }
        if self.hosts.is_empty() && self.below.is_empty() {
            return found;
        }
        let host = request.host().unwrap_or_default();
        // A longer one matches no pattern.
        if host.len() <= host::MAX_HOST_BYTES {
            if let Some(paths) = self.hosts.get(host) {
                self.look_in(paths, request, &mut found);
            }
            if !self.below.is_empty() {
                for dot in memchr::memchr_iter(b'.', host).filter(|dot| *dot > 0) {
                    let ending = host.get(dot..).unwrap_or_default();
                    if let Some(paths) = self.below.get(ending) {
                        self.look_in(paths, request, &mut found);
                    }
                }
            }
        }
        found
    }

    fn look_in(&self, paths: &Paths, request: &Request<'_>, found: &mut Vec<RolloutId>) {
        for number in &paths.others {
            self.take(*number, true, request, found);
        }
        for (header, numbers) in &paths.headers {
            for line in request.lines(*header) {
                for number in numbers.get(line).into_iter().flatten() {
                    self.take(*number, true, request, found);
                }
            }
        }
        let Some(path) = request.path() else { return };
        for number in paths.exact.get(path).into_iter().flatten() {
            self.take(*number, false, request, found);
        }
        if paths.prefix.is_empty() {
            return;
        }
        // A prefix ends behind a slash, before a slash or at the end of the path.
        let within = path.get(..=paths.prefix.longest()).unwrap_or(path);
        for slash in memchr::memchr_iter(b'/', within) {
            self.take_prefix(paths, path.get(..slash), request, found);
            self.take_prefix(paths, path.get(..=slash), request, found);
        }
        if !path.ends_with(b"/") {
            self.take_prefix(paths, Some(path), request, found);
        }
    }

    fn take_prefix(
        &self,
        paths: &Paths,
        prefix: Option<&[u8]>,
        request: &Request<'_>,
        found: &mut Vec<RolloutId>,
    ) {
        let numbers = prefix.and_then(|prefix| paths.prefix.get(prefix));
        for number in numbers.into_iter().flatten() {
            self.take(*number, false, request, found);
        }
    }

    /// Adds the rollout of a scope whose host matches, and whose path matches unless
    /// `check_path`, if the rest of the scope matches.
    fn take(
        &self,
        number: usize,
        check_path: bool,
        request: &Request<'_>,
        found: &mut Vec<RolloutId>,
    ) {
        let Some((rollout, scope)) = self.scopes.get(number) else {
            return;
        };
        if !scope.allows_method(request) || (check_path && !scope.allows_path(request)) {
            return;
        }
        // Few, and mostly in order.
        let place = found.partition_point(|other| other < rollout);
        if found.get(place) != Some(rollout) && scope.condition_holds(request) {
            found.push(*rollout);
            if let Some(after) = found.get_mut(place..) {
                after.rotate_right(1);
            }
        }
    }
}

impl Paths {
    fn is_empty(&self) -> bool {
        self.others.is_empty()
            && self.headers.is_empty()
            && self.exact.is_empty()
            && self.prefix.is_empty()
    }

    fn add(&mut self, scope: &Scope, number: usize) {
        // A single host needs no more entries than there are paths.
        let more_hosts = scope.hosts.len().saturating_sub(1);
        let pairs = |paths: usize| paths.saturating_mul(more_hosts);
        let (table, paths): (_, Vec<&[u8]>) = match &scope.path {
            Some(Matcher::Exact(path)) => (&mut self.exact, vec![path]),
            Some(Matcher::In(paths)) if pairs(paths.len()) <= MAX_PAIRS => {
                (&mut self.exact, paths.keys().collect())
            }
            Some(Matcher::PathPrefix(prefix)) => (&mut self.prefix, vec![prefix]),
            _ => match scope.header_values() {
                Some((header, values)) if pairs(values.len()) <= MAX_PAIRS => {
                    (self.values_of(header), values)
                }
                _ => return self.others.push(number),
            },
        };
        for path in paths {
            table.get_or_insert_with(path, Vec::new).push(number);
        }
    }

    fn values_of(&mut self, header: HeaderId) -> &mut ByteMap<Vec<usize>> {
        let known = self.headers.iter().position(|(id, _)| *id == header);
        let place = known.unwrap_or(self.headers.len());
        if known.is_none() {
            self.headers.push((header, ByteMap::default()));
        }
        match self.headers.get_mut(place) {
            Some((_, values)) => values,
            // Not reached: it was added above.
            None => &mut self.exact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::{Condition, Source};
    use crate::request::Names;

    /// A scope written as `host path method condition`; a star stands for any. `~x` is a path that
    /// contains x, and a path that ends with a star is a prefix. The condition is a header that is
    /// present, or one of some values of it: `x-a=1,2`.
    fn scope(text: &str, names: &mut Names) -> Scope {
        let [host, path, method, when] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let bytes = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
        Scope {
            hosts: match host.strip_prefix('*') {
                Some("") => vec![],
                Some(ending) => vec![HostPattern::Below(bytes(ending))],
                None => vec![HostPattern::Exact(bytes(host))],
            },
            path: match (path, path.strip_suffix('*'), path.strip_prefix('~')) {
                ("*", ..) => None,
                (_, Some(prefix), _) => Some(Matcher::PathPrefix(bytes(prefix))),
                (.., Some(part)) => Some(Matcher::Contains(Box::new(
                    memchr::memmem::Finder::new(part).into_owned(),
                ))),
                _ => Some(Matcher::Exact(bytes(path))),
            },
            methods: if method == "*" {
                vec![]
            } else {
                vec![bytes(method)]
            },
            when: (when != "*").then(|| {
                let (header, values) = when.split_once('=').unwrap_or((when, ""));
                let header = Source::Header(names.header(header));
                let test = match values.split(',').collect::<Vec<_>>()[..] {
                    [""] => Matcher::Present(true),
                    [one] => Matcher::Exact(bytes(one)),
                    ref many => Matcher::In(many.iter().map(|value| value.as_bytes()).collect()),
                };
                Condition::Leaf(header, test)
            }),
        }
    }

    const SCOPES: [&str; 27] = [
        "* * * *",
        "a.example * * *",
        "*.example * * *",
        "*.a.example * * *",
        "b.example * * *",
        "* /shop* * *",
        "* /shop/* * *",
        "* /shop/cart* * *",
        "* /* * *",
        "* /shop * *",
        "* /shop/cart * *",
        "* ~art * *",
        "* * GET *",
        "* /shop* POST *",
        "a.example /shop* GET *",
        "a.example ~x GET *",
        "*.example /shop/cart POST *",
        "* * * *",
        "* * * x-a",
        "a.example /shop* * x-a",
        "*.example ~art GET x-a",
        "* * * x-a=1",
        "* * * x-a=2,3",
        "a.example * GET x-a=3",
        "* /shop* * x-a=1,2",
        "*.example ~art * x-b=2",
        "* * POST x-b=1,3",
    ];

    const HOSTS: [&str; 8] = [
        "a.example",
        "b.example",
        "x.a.example",
        "example",
        ".example",
        "a.example.",
        "",
        "..a.example",
    ];

    const PATHS: [&str; 12] = [
        "/",
        "/shop",
        "/shop/",
        "/shop/cart",
        "/shop/cart/",
        "/shopping",
        "/x",
        "//",
        "/shop//cart",
        "*",
        "",
        "/shop/carton",
    ];

    #[test]
    fn the_index_finds_the_rollouts_whose_scopes_contain_the_request() {
        let mut names = Names::default();
        let scopes = SCOPES.map(|text| scope(text, &mut names));
        let mut index = ScopeIndex::default();
        for (number, scope) in (0..).zip(&scopes) {
            index.add(RolloutId(number), vec![scope.clone()]);
        }
        // A rollout without scopes, and one with two that overlap.
        index.add(RolloutId(27), vec![]);
        index.add(
            RolloutId(28),
            [5, 7, 18, 21]
                .map(|number: usize| scopes[number].clone())
                .to_vec(),
        );
        let mut hits = 0;
        for (host, path) in HOSTS.iter().flat_map(|host| PATHS.map(|path| (host, path))) {
            for (method, header, value) in [
                ("GET", "x-a", "1"),
                ("POST", "x-b", "1"),
                ("PUT", "x-a", "2"),
                ("GET", "x-b", "2"),
                ("GET", "x-a", "3"),
                ("GET", "x-a", "4"),
            ] {
                let request = Request::from_headers(
                    &names,
                    [
                        (&b":authority"[..], host.as_bytes()),
                        (b":path", path.as_bytes()),
                        (b":method", method.as_bytes()),
                        (header.as_bytes(), b"other"),
                        (header.as_bytes(), value.as_bytes()),
                    ],
                );
                let contained = |n: usize| scopes[n].contains(&request);
                let meant: Vec<_> = (0..29)
                    .filter(|n| match n {
                        27 => true,
                        28 => [5, 7, 18, 21].into_iter().any(contained),
                        n => contained(*n),
                    })
                    .map(|n| RolloutId(u16::try_from(n).unwrap()))
                    .collect();
                assert_eq!(
                    index.find(&request).to_vec(),
                    meant,
                    "{host} {path} {method} {header} {value}"
                );
                hits += meant.len();
            }
        }
        assert!(hits > 1_000, "{hits}");
    }

    #[test]
    fn a_request_without_host_and_path_matches_scopes_that_name_neither() {
        let mut index = ScopeIndex::default();
        let mut names = Names::default();
        for (number, text) in (0..).zip(SCOPES) {
            index.add(RolloutId(number), vec![scope(text, &mut names)]);
        }
        let found = index.find(&Request::from_headers(&names, []));
        assert_eq!(found.to_vec(), [RolloutId(0), RolloutId(17)]);
    }
}
