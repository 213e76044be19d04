//! Decisions of trusted upstream proxies. Must not depend on the order of a decision.

use super::trace::{Trace, TraceStep};
use crate::assignment::AssignmentMember;
use crate::condition::EvaluationContext;
use crate::decision::{Decision, Reason, RolloutId, VersionId};
use crate::policy::{Policy, Rollout};

/// Whether a rollout here decided and has the version of this upstream decision.
pub(super) fn is_inherited(
    policy: &Policy,
    decisions: &[Decision],
    member: &AssignmentMember,
) -> bool {
    decisions.iter().any(|decision| {
        policy.rollout(decision.rollout).is_some_and(|rollout| {
            rollout.name == member.key && version_of_member(rollout, member).is_some()
        })
    })
}

fn version_of_member(rollout: &Rollout, member: &AssignmentMember) -> Option<VersionId> {
    rollout.version_of_name(member.version.as_ref()?)
}

/// The decision of a trusted upstream proxy for a version of this rollout.
pub(super) fn inherited(
    id: RolloutId,
    rollout: &Rollout,
    context: &EvaluationContext<'_, '_, '_>,
    trace: &mut impl Trace,
) -> Option<Decision> {
    let member = context.upstream.get(&rollout.name);
    let version = member.and_then(|member| version_of_member(rollout, member));
    trace.step(|| {
        let text = match (member, version) {
            (None, _) => "no trusted proxy decided".to_owned(),
            (Some(member), Some(_)) => format!("a trusted proxy decided {}", member.text),
            (Some(member), None) => {
                format!(
                    "a trusted proxy decided {}, not a version here",
                    member.text
                )
            }
        };
        TraceStep::new("upstream", text)
    });
    let (member, version) = (member?, version?);
    Some(Decision {
        rollout: id,
        version,
        reason: Reason::Inherited,
        judged: member.reason.is_some_and(Reason::is_chosen) && !context.upstream.is_final(),
        upstream: member.reason,
    })
}
