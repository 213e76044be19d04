//! Conditions on a request: a source of values and the [`Matcher`] that one of them passes.
//!
//! Must not depend on the configuration's text, on policies or on strategies.

pub mod cidr;
mod matcher;
pub mod operator;
pub mod range;
pub mod regex;
pub mod semver;

pub use matcher::Matcher;
pub use operator::{Operator, ValueKind};

use crate::assignment::UpstreamDecisions;
use crate::decision::{Decision, RolloutId, VersionId, find_decision};
use crate::identity::Visitor;
use crate::request::{ClaimId, CookieId, HeaderId, LabelId, QueryId, Request};

/// Where a condition looks.
#[derive(Clone, Debug)]
pub enum Source {
    /// A header; the condition holds if it holds for one of its lines.
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
    /// A label; the condition holds if it holds for one of the lines that have it.
    Label(LabelId),
    /// A claim of a verified token; the condition holds if it holds for one element of a
    /// list.
    Claim(ClaimId),
    /// The path without query.
    Path,
    /// The method.
    Method,
    /// The host, normalized.
    Host,
    /// The address that the request came from, without port.
    SourceIp,
    /// The user's identity, unless it is a random one or one that is only now given.
    Identity,
}

impl Source {
    /// The kind of its values.
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Path => ValueKind::Path,
            Self::Host => ValueKind::Host,
            Self::Method => ValueKind::Method,
            Self::SourceIp => ValueKind::Address,
            Self::Header(_)
            | Self::Cookie(_)
            | Self::Query(_)
            | Self::Label(_)
            | Self::Claim(_)
            | Self::Identity => ValueKind::Text,
        }
    }
}

/// A condition on a request.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All hold.
    All(Vec<Self>),
    /// One holds.
    Any(Vec<Self>),
    /// It does not hold; true over a missing source.
    Not(Box<Self>),
    /// What the source has passes the test.
    Leaf(Source, Matcher),
    /// A rollout has chosen this version.
    Assigned(Assigned),
}

/// What a rollout is to have chosen: an earlier one here or, if that decided nothing, one of
/// a trusted proxy upstream.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The rollout and version here, if there is such a rollout.
    pub here: Option<(RolloutId, VersionId)>,
    /// The rollout's name.
    pub rollout: Box<str>,
    /// The version's name.
    pub version: Box<str>,
}

/// All that a condition can look at.
#[derive(Clone, Copy)]
pub struct EvaluationContext<'f, 'a, 'r> {
    /// The request.
    pub request: &'a Request<'r>,
    /// Its sender.
    pub visitor: &'f Visitor<'a, 'r>,
    /// What has been decided for it so far.
    pub decisions: &'f [Decision],
    /// What proxies upstream have decided.
    pub upstream: &'f UpstreamDecisions<'a, 'r>,
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self, context: &EvaluationContext<'_, '_, '_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(context)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(context)),
            Self::Not(inner) => !inner.holds(context),
            Self::Leaf(source, matcher) => leaf_holds(source, matcher, context),
            Self::Assigned(assigned) => assigned.holds(context),
        }
    }
}

impl Assigned {
    fn holds(&self, context: &EvaluationContext<'_, '_, '_>) -> bool {
        if let Some((rollout, version)) = self.here
            && let Some(decision) = find_decision(context.decisions, rollout)
        {
            return decision.version == version;
        }
        let decided = context.upstream.get(&self.rollout);
        decided.is_some_and(|member| member.version.as_ref() == Some(&self.version))
    }
}

fn leaf_holds(source: &Source, matcher: &Matcher, context: &EvaluationContext<'_, '_, '_>) -> bool {
    let request = context.request;
    let value = match source {
        // Most did not come, which is soon said.
        Source::Header(id) if request.lines(*id).next().is_none() => return matcher.accepts_none(),
        Source::Header(id) => return matcher.accepts_one_sent(request.lines(*id)),
        Source::Label(id) => return matcher.accepts_one_sent(request.label(*id)),
        Source::Claim(id) => return matcher.accepts_one_of(request.claim(*id)),
        Source::Cookie(id) => request.cookie(*id),
        Source::Query(id) => request.query_value(*id),
        Source::Path => request.path(),
        Source::Method => request.method,
        Source::Host => request.host(),
        Source::SourceIp => request.source().map(|address| address.text.as_bytes()),
        Source::Identity => context.visitor.carried_identity(),
    };
    matcher.accepts_one_of(value.into_iter())
}
