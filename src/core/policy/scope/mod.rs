//! Scopes: which rollouts decide a request, by its host, path and method, and by conditions that
//! need neither an identity nor a decision.
//!
//! Must not depend on policies or strategies; a rollout is a number here.

mod host;
mod index;

pub use host::HostPattern;
pub use index::ScopeIndex;

use crate::condition::{Condition, Matcher, Source, with_request_only};
use crate::request::{HeaderId, Request};

/// An entry of a rollout's `match`; all its parts must match.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Empty: any host.
    pub hosts: Vec<HostPattern>,
    /// `None`: any path.
    pub path: Option<Matcher>,
    /// Empty: any method.
    pub methods: Vec<Box<[u8]>>,
    /// A further condition on the request.
    pub when: Option<Condition>,
}

impl Scope {
    /// Whether the request matches. [`ScopeIndex`] finds all scopes that do.
    pub fn contains(&self, request: &Request<'_>) -> bool {
        self.allows_method(request)
            && self.allows_path(request)
            && self.allows_host(request)
            && self.condition_holds(request)
    }

    /// Whether the host is one of the entry.
    pub fn allows_host(&self, request: &Request<'_>) -> bool {
        self.hosts.is_empty()
            || (request.host()).is_some_and(|name| self.hosts.iter().any(|host| host.matches(name)))
    }

    /// Whether the path is one of the entry.
    pub fn allows_path(&self, request: &Request<'_>) -> bool {
        let path = request.path().into_iter();
        (self.path.as_ref()).is_none_or(|test| test.accepts_one_of(path))
    }

    /// Whether the further condition holds.
    pub fn condition_holds(&self, request: &Request<'_>) -> bool {
        let when = self.when.as_ref();
        when.is_none_or(|when| with_request_only(request, |context| when.holds(context)))
    }

    /// The header and its values of which a request must have one.
    fn header_values(&self) -> Option<(HeaderId, Vec<&[u8]>)> {
        match self.when.as_ref()? {
            Condition::Leaf(Source::Header(id), Matcher::Exact(value)) => Some((*id, vec![value])),
            Condition::Leaf(Source::Header(id), Matcher::In(values)) => {
                Some((*id, values.keys().collect()))
            }
            _ => None,
        }
    }

    /// Whether the method is one of the entry.
    pub fn allows_method(&self, request: &Request<'_>) -> bool {
        let asked = request.method;
        self.methods.is_empty()
            || asked.is_some_and(|asked| self.methods.iter().any(|method| &**method == asked))
    }
}
