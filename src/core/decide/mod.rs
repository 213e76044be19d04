//! The decision: which version serves a request, and why. Pure: no host calls but those of the
//! request's environment.
//!
//! For each rollout that matches the request, in the order of the configuration:
//!
//! 1. `enabled: false` → stable, `disabled`
//! 2. a valid signed override asks for a version → `override`
//! 3. a trusted upstream proxy, or an earlier filter of the chain, decided for a version of this
//!    rollout → `inherited`
//! 4. the first rule that matches → its version, `rule`
//! 5. the strategy, which reads the identity only if a hash needs it: none →
//!    stable, `no_identity`. An A/B test: `holdout`, then its layer, `excluded`; the version of a
//!    sticky cookie, `sticky`; its traffic, `not_enrolled`. Otherwise `split`, `active` or `follow`
//! 6. a version that the guardrail has rolled back → stable, `rolled_back`; not if a rule
//!    without `percent` or `split` forces it or an override asks for it, because a person asks for that version on purpose
//! 7. likewise a version that is unreachable → stable, `unreachable`; now and then one request
//!    tries it
//!
//! A CORS preflight is decided without an identity and is not a visit: no cookie, copy or sample,
//! and a decision that would count as an exposure has the reason `no_identity`.
//!
//! This order is written once, in [`decide_traced`] and the strategies; `divvy explain` prints
//! the [trace] that it records.

mod inherited;
mod late;
mod mirror;
mod overridden;
mod own_visitors;
mod possible;
mod reach;

pub use possible::possible;

use crate::assignment::{AssignmentMember, EarlierFilter, UpstreamDecisions};
use crate::condition::EvaluationContext;
use crate::cookies::Memory;
use crate::decision::{Decision, Decisions, Reason, RolloutId, VersionId};
use crate::identity::Identity;
use crate::overrides::OverrideToken;
use crate::policy::{HeaderRole, Policy, Rollout, Rule, RuleVersions};
use crate::request::{HeaderId, Request};
use crate::strategy::Inputs;
pub use crate::strategy::trace;
use inherited::{inherited, is_inherited};
use own_visitors::OwnVisitors;
use trace::{ConditionTrace, Trace, TraceStep, Untraced};

/// Everything decided for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// One decision per rollout that matches the request, in their order.
    pub decisions: Decisions,
    /// The identity by the sources at the top of the configuration, if a decision needed it.
    pub identity: Option<Identity<'a>>,
    /// The identities of the rollouts with sources of their own whose decisions needed one.
    pub own_identities: Vec<(RolloutId, Identity<'a>)>,
    /// What the client's cookies have to remember and do not yet.
    pub memories: Vec<(RolloutId, Memory)>,
    /// The version that gets a copy of the request.
    pub mirror: Option<(RolloutId, VersionId)>,
    /// Upstream decisions for proxies further downstream.
    pub forwarded: Vec<AssignmentMember>,
    /// Headers that stay as they are: those that an earlier divvy filter of the chain wrote, except
    /// that these decisions are added to the assignment; and an identity that clients send, if none was
    /// looked for.
    pub kept: Vec<HeaderId>,
    /// Whether the request is a CORS preflight.
    pub is_preflight: bool,
}

impl<'a> Outcome<'a> {
    /// The identity of a rollout, if it was looked for and found.
    pub fn identity_of(&self, policy: &Policy, id: RolloutId) -> Option<&Identity<'a>> {
        let has_own = policy.rollout(id)?.identity.is_some();
        if !has_own {
            return self.identity.as_ref();
        }
        let mut own = self.own_identities.iter();
        own.find(|(rollout, _)| *rollout == id)
            .map(|(_, identity)| identity)
    }
}

/// The decisions of all rollouts that match this request.
pub fn decide<'a>(policy: &'a Policy, request: &'a Request<'_>) -> Outcome<'a> {
    decide_traced(policy, request, &mut Untraced)
}

/// [`decide`], recording its steps.
pub fn decide_traced<'a>(
    policy: &'a Policy,
    request: &'a Request<'_>,
    trace: &mut impl Trace,
) -> Outcome<'a> {
    let visitor = policy.visitor(request);
    let mut kept = policy.written_before(request);
    let found = policy.scopes.find(request);
    if found.is_empty() && policy.inheritance.is_none() {
        if policy.features.late_identities {
            return late::undecided(policy, request, kept);
        }
        return Outcome {
            kept,
            ..Outcome::default()
        };
    }
    let is_routed = policy.has_role(&kept, HeaderRole::Route).is_some();
    let earlier = policy.has_role(&kept, HeaderRole::Assignment);
    let earlier = earlier.map(|header| (header, None)).or_else(|| {
        let (header, member) = policy.baggage_before(request)?;
        Some((header, Some(member)))
    });
    let earlier = earlier.map(|(header, member)| EarlierFilter {
        header,
        member,
        routes: is_routed,
    });
    let upstream = UpstreamDecisions::new(request, policy.inheritance.as_ref(), earlier);
    let mut decisions = Decisions::with_capacity(found.len());
    let mut memories = Vec::new();
    let own_visitors = if policy.features.own_identities {
        OwnVisitors::new(policy, &found, request)
    } else {
        OwnVisitors::default()
    };
    let tokens = match &policy.overrides {
        Some(overrides) => overrides.read(request),
        None => Vec::new(),
    };
    let mut routed = is_routed;
    for id in found.iter().copied() {
        let Some(rollout) = policy.rollout(id) else {
            continue;
        };
        let context = EvaluationContext {
            request,
            visitor: own_visitors.get(id).unwrap_or(&visitor),
            decisions: &decisions,
            upstream: &upstream,
        };
        trace.begin(id);
        let routes = rollout.routes && !routed;
        routed |= routes;
        let (decision, memory) =
            decide_one(id, (policy, rollout), (routes, &tokens), &context, trace);
        decisions.push(decision);
        memories.extend(memory.map(|memory| (id, memory)));
    }
    let is_preflight = request.is_preflight();
    let mirror = if policy.features.mirrors && !is_routed && !is_preflight {
        mirror::mirrored(policy, &decisions, request, |rollout| {
            own_visitors.get(rollout).unwrap_or(&visitor)
        })
    } else {
        None
    };
    if policy.features.late_identities {
        let owner = policy.route_owner(&decisions);
        let owner = owner.map(|owner| owner.rollout);
        kept.extend(late::settle(policy, &visitor, &own_visitors, owner));
    }
    let forwarded = upstream.into_forwarded(|member| is_inherited(policy, &decisions, member));
    Outcome {
        decisions,
        identity: visitor.into_identity(),
        own_identities: own_visitors.into_identities(),
        memories,
        mirror,
        forwarded,
        kept,
        is_preflight,
    }
}

/// The decisions about a request that cannot be read: stable, for every rollout that matches
/// all requests. Which of the others match is unknown.
pub fn decide_unread(policy: &Policy) -> Outcome<'_> {
    let certain = policy.scopes.everywhere().iter();
    let decisions = certain.filter_map(|id| {
        let version = policy.rollout(*id)?.stable;
        Some(Decision {
            rollout: *id,
            version,
            reason: Reason::Error,
            judged: false,
            upstream: None,
        })
    });
    Outcome {
        decisions: decisions.collect(),
        ..Outcome::default()
    }
}

/// `routes`: whether the rollout owns the route of the request; `tokens`: its overrides.
fn decide_one(
    id: RolloutId,
    (policy, rollout): (&Policy, &Rollout),
    (routes, tokens): (bool, &[OverrideToken<'_>]),
    context: &EvaluationContext<'_, '_, '_>,
    trace: &mut impl Trace,
) -> (Decision, Option<Memory>) {
    let stable = rollout.stable;
    let is_preflight = context.request.is_preflight();
    let decided = |version, reason, judged| Decision {
        rollout: id,
        version,
        reason,
        judged,
        upstream: None,
    };
    trace.step(|| {
        let text = if rollout.enabled { "yes" } else { "no: stable" };
        TraceStep::new("enabled", text)
    });
    if !rollout.enabled {
        return (decided(stable, Reason::Disabled, false), None);
    }
    if is_preflight {
        trace.step(|| TraceStep::new("identity", "none: a CORS preflight is not a visit"));
    }
    let mut memory = None;
    let asked = if tokens.is_empty() {
        None
    } else {
        overridden::version(policy, rollout, tokens, context, trace)
    };
    let decision = if let Some(version) = asked {
        decided(version, Reason::Override, false)
    } else if let Some(decision) = inherited(id, rollout, context, trace) {
        decision
    } else if let Some((rule, version)) = first_rule(rollout, context, trace) {
        decided(version, Reason::Rule, rule.is_judged() && version != stable)
    } else {
        let inputs = Inputs {
            rollout: id,
            versions: &rollout.versions,
            stable,
            sticky: rollout.sticky.as_ref(),
            plan: rollout.plan.as_ref(),
            context,
        };
        match rollout.strategy.choose(&inputs, trace) {
            Ok(choice) => {
                memory = choice.memory;
                decided(choice.version, choice.reason, choice.judged)
            }
            Err(reason) => decided(stable, reason, false),
        }
    };
    let rolled_back = decision.judged
        && decision.version != stable
        && rollout.is_rolled_back(id, decision.version, context.request.environment());
    if rollout.plan.as_ref().is_some_and(|plan| plan.is_guarded()) {
        trace.step(|| {
            let judged = decision.judged && !is_preflight;
            let text = match (rolled_back, judged) {
                (true, _) => "the version is rolled back: stable",
                (false, true) => "the response counts; no rollback of this version is known",
                (false, false) => "the response does not count",
            };
            TraceStep::new("guardrail", text)
        });
    }
    let decision = if rolled_back {
        decided(stable, Reason::RolledBack, false)
    } else if rollout.is_unreachable(id, decision.version, context.request.environment())
        && reach::is_kept_away(&decision, rollout, routes, context.request, trace)
    {
        decided(stable, Reason::Unreachable, false)
    } else {
        decision
    };
    if is_preflight {
        return (without_visit(decision), None);
    }
    (decision, memory)
}

/// The decision about a request that is not a visit: neither a sample for the guardrail nor an
/// exposure, which applications log by the reason.
#[cold]
fn without_visit(decision: Decision) -> Decision {
    let reason = |reason| match reason {
        Reason::Split | Reason::Sticky => Reason::NoIdentity,
        other => other,
    };
    Decision {
        reason: reason(decision.reason),
        upstream: decision.upstream.map(reason),
        judged: false,
        ..decision
    }
}

/// The first rule that matches the request and, if it selects by a hash, its user; and the version.
fn first_rule<'p>(
    rollout: &'p Rollout,
    context: &EvaluationContext<'_, '_, '_>,
    trace: &mut impl Trace,
) -> Option<(&'p Rule, VersionId)> {
    rollout.rules.iter().find_map(|rule| {
        let holds = rule.when.holds(context);
        let chosen = if holds {
            rule.choose(|| context.visitor.any_identity())
        } else {
            None
        };
        trace.step(|| rule_step(rule, rollout, context, (holds, chosen)));
        Some((rule, chosen?))
    })
}

fn rule_step(
    rule: &Rule,
    rollout: &Rollout,
    context: &EvaluationContext<'_, '_, '_>,
    (holds, chosen): (bool, Option<VersionId>),
) -> TraceStep {
    let identity = || context.visitor.any_identity();
    let percent = rule.percent.as_ref();
    let admits_none = percent.is_some_and(|gate| gate.constant() == Some(false));
    let result = match chosen.and_then(|version| rollout.version(version)) {
        Some(version) => {
            let name = &version.name;
            let split = match &rule.versions {
                RuleVersions::Split(split) if split.constant().is_none() => {
                    identity().map(|identity| trace::scores(split, identity, &rollout.versions))
                }
                _ => None,
            };
            let split = split.map_or_else(String::new, |scores| format!(" by {scores}"));
            format!("matches: {name}{split}")
        }
        None if !holds => "does not match".to_owned(),
        // Asks for the identity only if the decision did.
        None if !admits_none && rule.needs_identity() && identity().is_none() => {
            let field = match percent.filter(|gate| gate.constant().is_none()) {
                Some(_) => "percent",
                None => "split",
            };
            format!("matches, but its {field} needs an identity, and the request has none")
        }
        None => "matches, but its percent does not admit the user".to_owned(),
    };
    let mut step = TraceStep::new("rule", format!("{} {result}", rule.name));
    // An identity of its own: the report also reads parts that the decision skipped, and the
    // outcome has an identity only if the decision read it.
    let context = &EvaluationContext {
        visitor: &context.visitor.unread(),
        ..*context
    };
    step.condition = Some(ConditionTrace::new(&rule.when, context));
    match rule.percent.as_ref().filter(|_| holds) {
        Some(gate) if gate.constant().is_none() => {
            let position = context
                .visitor
                .any_identity()
                .map(|identity| gate.position(identity));
            step.at(position).below(gate.share())
        }
        _ => step,
    }
}
