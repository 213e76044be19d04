//! The cookie that gives a random identity to visitors who carry none.

use super::SetCookie;
use crate::assignment::UpstreamDecisions;
use crate::condition::{Condition, EvaluationContext};
use crate::identity::{MintRule, MintedIdentities, Visitor};
use crate::request::HeaderId;

/// A cookie whose value is an identity that divvy has drawn.
#[derive(Clone, Debug)]
pub struct MintedCookie {
    /// The cookie; it is the last identity source.
    pub set: SetCookie,
    /// How it is read, and its value.
    pub identities: MintedIdentities,
    /// Requests that get the cookie; `None`: all that carry no identity.
    pub when: Option<Condition>,
    /// The name under which a request keeps the `set-cookie` line. Envoy may follow a redirect of
    /// the upstream by itself (`internal_redirect_policy`): the response that would carry the
    /// line is then not sent, and the filter sees the request again.
    pub kept_as: Box<str>,
    /// `x-envoy-original-url`, which a request has after such a redirect.
    pub original_url: HeaderId,
}

impl MintRule for MintedCookie {
    fn mints(&self, visitor: &Visitor<'_, '_>) -> bool {
        let Some(when) = &self.when else { return true };
        when.holds(&EvaluationContext {
            request: visitor.request(),
            visitor,
            decisions: &[],
            upstream: &UpstreamDecisions::new(visitor.request(), None, None),
        })
    }
}
