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
use crate::identity::{Identification, Visitor};
use crate::request::{ClaimId, CookieId, HeaderId, LabelId, QueryId, Request};

/// The source of a condition's values.
#[derive(Clone, Debug)]
pub enum Source {
    /// A header; one line that passes is enough.
    Header(HeaderId),
    /// A cookie.
    Cookie(CookieId),
    /// A query parameter.
    Query(QueryId),
    /// A label of a label header; one line that passes is enough.
    Label(LabelId),
    /// A claim of a verified token; one element of a list that passes is enough.
    Claim(ClaimId),
    /// The path without query.
    Path,
    /// The method.
    Method,
    /// The host, normalized.
    Host,
    /// The address of the client, without port.
    SourceIp,
    /// The URI SAN of the client's verified certificate.
    Peer,
    /// The identity that the request carried, never a random or minted one.
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
            | Self::Peer
            | Self::Identity => ValueKind::Text,
        }
    }

    /// Passes its values to `read`: several for several lines, none if it is missing.
    pub fn read<T>(
        &self,
        context: &EvaluationContext<'_, '_, '_>,
        read: impl FnOnce(&mut dyn Iterator<Item = &[u8]>) -> T,
    ) -> T {
        let request = context.request;
        let value = match self {
            Self::Header(id) => return read(&mut request.lines(*id)),
            Self::Label(id) => return read(&mut request.label(*id)),
            Self::Claim(id) => return read(&mut request.claim(*id)),
            Self::Cookie(id) => request.cookie(*id),
            Self::Query(id) => request.query_value(*id),
            Self::Path => request.path(),
            Self::Method => request.method,
            Self::Host => request.host(),
            Self::SourceIp => request.source().map(|address| address.text.as_bytes()),
            Self::Peer => request.peer(),
            Self::Identity => context.visitor.carried_identity(),
        };
        read(&mut value.into_iter())
    }
}

/// A condition on a request.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All parts hold.
    All(Vec<Self>),
    /// At least one part holds.
    Any(Vec<Self>),
    /// The part does not hold; true if its source is missing.
    Not(Box<Self>),
    /// A value of the source passes the matcher.
    Leaf(Source, Matcher),
    /// A rollout has decided for this version.
    Assigned(Assigned),
}

/// A version that a rollout must have decided for: an earlier rollout of this configuration or,
/// if it decided nothing, the rollout of that name in a trusted upstream proxy.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The rollout and version of this configuration; `None` if it has no such rollout.
    pub here: Option<(RolloutId, VersionId)>,
    /// The rollout's name.
    pub rollout: Box<str>,
    /// The version's name.
    pub version: Box<str>,
}

/// Everything that a condition can depend on.
#[derive(Clone, Copy)]
pub struct EvaluationContext<'f, 'a, 'r> {
    /// The request.
    pub request: &'a Request<'r>,
    /// Its sender.
    pub visitor: &'f Visitor<'a, 'r>,
    /// The decisions of the rollouts before this one.
    pub decisions: &'f [Decision],
    /// The decisions of upstream proxies.
    pub upstream: &'f UpstreamDecisions<'a, 'r>,
}

/// Evaluates a condition of a `match`: it knows the request only, neither a user nor a decision.
pub fn with_request_only<T>(
    request: &Request<'_>,
    evaluate: impl FnOnce(&EvaluationContext<'_, '_, '_>) -> T,
) -> T {
    evaluate(&EvaluationContext {
        request,
        visitor: &Visitor::new(request, Identification::NONE, None),
        decisions: &[],
        upstream: &UpstreamDecisions::new(request, None, None),
    })
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
    match source {
        // The most frequent case: the header is missing.
        Source::Header(id) if context.request.lines(*id).next().is_none() => matcher.accepts_none(),
        // The client does not choose the number of its values.
        Source::Claim(_) => source.read(context, |values| matcher.accepts_one_of(values)),
        _ => source.read(context, |values| matcher.accepts_one_sent(values)),
    }
}
