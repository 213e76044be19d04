//! The cookie that gives a random identity to visitors who carry none.

use super::SetCookie;
use crate::assignment::UpstreamDecisions;
use crate::condition::{Condition, EvaluationContext};
use crate::identity::{MintRule, Visitor};

/// A cookie whose value is an identity that divvy has drawn.
#[derive(Clone, Debug)]
pub struct MintedCookie {
    /// The cookie; it is the last identity source.
    pub set: SetCookie,
    /// Requests that get the cookie; `None`: all that carry no identity.
    pub when: Option<Condition>,
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
