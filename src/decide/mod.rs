//! Which version serves a request, and why.
//!
//! For each rollout that looks at the request, in the order of the configuration:
//!
//! 1. `enabled: false` → stable, `disabled`
//! 2. what a trusted proxy upstream has decided for it, if it has that version → `inherited`
//! 3. the first rule that matches → its version, `rule`
//! 4. the strategy, which asks who the user is only if a hash is needed: nobody → stable,
//!    `no_identity`. An A/B test first keeps out those in the `holdout`, then those who are
//!    `excluded` by its layer. Whom a cookie remembers has that version on, `sticky`; an A/B
//!    test does not let in those outside its `traffic`, `not_enrolled`. Otherwise `split`,
//!    `active` or `follow`
//! 5. a version that the guardrail has taken back → stable, `rolled_back`; not where a rule
//!    without `percent` asked for it, since somebody looks at that version on purpose
//!
//! A decision is a value; nothing here talks to anybody.

mod possible;
mod strategy;

pub use possible::possible;

use crate::assignment::{AssignmentMember, UpstreamDecisions};
use crate::bucket::Gate;
use crate::condition::EvaluationContext;
use crate::cookies::Memory;
use crate::decision::{Decision, Decisions, Reason};
use crate::identity::Identity;
use crate::identity::Visitor;
use crate::policy::{Policy, Rollout, RolloutId, Rule, Strategy, VersionId};
use crate::request::Request;

/// All that was decided for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// A decision for each rollout that looks at the request, in their order.
    pub decisions: Decisions,
    /// Who the user is, if a decision depended on it.
    pub identity: Option<Identity<'a>>,
    /// What the client is to remember that it does not by now.
    pub memories: Vec<(RolloutId, Memory)>,
    /// The version that gets a copy of the request.
    pub mirror: Option<(RolloutId, VersionId)>,
    /// What proxies upstream have decided for somebody further down.
    pub forwarded: Vec<AssignmentMember>,
}

/// The decisions of all rollouts that look at this request.
pub fn decide<'a>(policy: &'a Policy, request: &'a Request<'_>) -> Outcome<'a> {
    let visitor = policy.visitor(request);
    let upstream = UpstreamDecisions::new(request, policy.inheritance.as_ref());
    let found = policy.scopes.find(request);
    // Most requests are nobody's where there are many services.
    if found.is_empty() && policy.inheritance.is_none() {
        return Outcome::default();
    }
    let mut decisions = Decisions::with_capacity(found.len());
    let mut memories = Vec::new();
    for id in found.iter().copied() {
        let Some(rollout) = policy.rollout(id) else {
            continue;
        };
        let context = EvaluationContext {
            request,
            visitor: &visitor,
            decisions: &decisions,
            upstream: &upstream,
        };
        let (decision, memory) = decide_one(id, rollout, &context);
        decisions.push(decision);
        memories.extend(memory.map(|memory| (id, memory)));
    }
    let mirror = if policy.rare.mirrors {
        mirrored(policy, &decisions, request, &visitor)
    } else {
        None
    };
    let forwarded = upstream.into_forwarded(|member| is_ours(policy, &decisions, member));
    Outcome {
        decisions,
        identity: visitor.into_identity(),
        memories,
        mirror,
        forwarded,
    }
}

/// What is decided when the request cannot be read: stable, for every rollout that looks
/// at all requests. Which others would have looked at this one cannot be known.
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

/// Whether a rollout here has decided what a proxy upstream has decided as well, and could
/// have honoured that.
fn is_ours(policy: &Policy, decisions: &[Decision], member: &AssignmentMember) -> bool {
    decisions.iter().any(|decision| {
        policy.rollout(decision.rollout).is_some_and(|rollout| {
            rollout.name == member.key && of_member(rollout, member).is_some()
        })
    })
}

fn of_member(rollout: &Rollout, member: &AssignmentMember) -> Option<VersionId> {
    rollout.version_of_name(member.version.as_ref()?)
}

fn decide_one(
    id: RolloutId,
    rollout: &Rollout,
    context: &EvaluationContext<'_, '_, '_>,
) -> (Decision, Option<Memory>) {
    let stable = rollout.stable;
    let decided = |version, reason, judged| Decision {
        rollout: id,
        version,
        reason,
        judged,
        upstream: None,
    };
    if !rollout.enabled {
        return (decided(stable, Reason::Disabled, false), None);
    }
    let mut memory = None;
    let decision = if let Some(decision) = inherited(id, rollout, context) {
        decision
    } else if let Some(rule) = rollout.rules.iter().find(|rule| applies(rule, context)) {
        let judged = rule.percent.is_some() && rule.version != stable;
        decided(rule.version, Reason::Rule, judged)
    } else {
        match strategy::choose(id, rollout, context) {
            Ok(chosen) => {
                memory = chosen.memory;
                // Who follows a version that somebody asked for has been asked for as well.
                let judged = !follows_forced(rollout, context);
                decided(chosen.version, chosen.reason, judged)
            }
            Err(reason) => decided(stable, reason, false),
        }
    };
    if decision.judged
        && decision.version != stable
        && rollout.is_rolled_back(id, decision.version, context.request.environment())
    {
        return (decided(stable, Reason::RolledBack, false), memory);
    }
    (decision, memory)
}

/// What a trusted proxy upstream has decided for a version that this rollout has.
fn inherited(
    id: RolloutId,
    rollout: &Rollout,
    context: &EvaluationContext<'_, '_, '_>,
) -> Option<Decision> {
    let member = context.upstream.get(&rollout.name)?;
    Some(Decision {
        rollout: id,
        version: of_member(rollout, member)?,
        reason: Reason::Inherited,
        judged: member.reason.is_some_and(Reason::is_chosen),
        upstream: member.reason,
    })
}

/// Whether the rollout that this one follows was forced by a rule.
fn follows_forced(rollout: &Rollout, context: &EvaluationContext<'_, '_, '_>) -> bool {
    let Strategy::Follow { leader, here } = &rollout.strategy else {
        return false;
    };
    let mut decisions = context.decisions.iter();
    let leading = here
        .as_ref()
        .and_then(|(here, _)| decisions.find(|decision| decision.rollout == *here));
    match leading {
        Some(decision) => match decision.reason {
            Reason::Follow | Reason::Rule | Reason::Inherited => !decision.judged,
            _ => false,
        },
        None => match context.upstream.get(leader) {
            Some(member) => !member.reason.is_some_and(Reason::is_chosen),
            None => false,
        },
    }
}

fn applies(rule: &Rule, context: &EvaluationContext<'_, '_, '_>) -> bool {
    let lets_in = |gate: &Gate| {
        context
            .visitor
            .any_identity()
            .is_some_and(|who| gate.admits(who))
    };
    rule.when.holds(context) && rule.percent.as_ref().is_none_or(lets_in)
}

/// Which version gets a copy: by the rollout that owns the route, and none where it serves
/// the request itself, nothing was decided, or it was taken back.
fn mirrored(
    policy: &Policy,
    decisions: &[Decision],
    request: &Request<'_>,
    visitor: &Visitor<'_, '_>,
) -> Option<(RolloutId, VersionId)> {
    let owner = policy.owner(decisions)?;
    let rollout = policy.rollout(owner.rollout)?;
    let mirror = rollout.mirror.as_ref()?;
    let method = |method: &[u8]| Some(method) == request.method;
    let silent = matches!(owner.reason, Reason::Disabled | Reason::Error)
        || owner.version == mirror.version
        || !(mirror.methods.is_empty() || mirror.methods.iter().any(|copied| method(copied)))
        || rollout.is_rolled_back(owner.rollout, mirror.version, request.environment());
    if silent {
        return None;
    }
    let admitted = match mirror.gate.foregone() {
        Some(admitted) => admitted,
        None => mirror.gate.admits(visitor.any_identity()?),
    };
    admitted.then_some((owner.rollout, mirror.version))
}
