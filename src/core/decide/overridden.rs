//! The version that a signed override asks for. Must not depend on the order of a decision.

use super::trace::{Trace, TraceStep};
use crate::condition::EvaluationContext;
use crate::decision::{VersionId, find_version};
use crate::overrides::OverrideToken;
use crate::policy::{Policy, Rollout};

/// The version of the first valid token for this rollout.
#[cold]
#[inline(never)]
pub(super) fn version(
    policy: &Policy,
    rollout: &Rollout,
    tokens: &[OverrideToken<'_>],
    context: &EvaluationContext<'_, '_, '_>,
    trace: &mut impl Trace,
) -> Option<VersionId> {
    let overrides = policy.overrides.as_ref()?;
    let own = |token: &&OverrideToken<'_>| token.rollout == rollout.name.as_bytes();
    for token in tokens.iter().filter(own) {
        let step = |text: &str| TraceStep::new("override", text);
        let Some(version) = find_version(&rollout.versions, token.version) else {
            trace.step(|| step("a token is for a version that the rollout does not have"));
            continue;
        };
        match overrides.check(token, context.request, context.visitor) {
            Ok(()) => {
                trace.step(|| {
                    let name = rollout.version(version).map_or("", |version| &version.name);
                    step(&format!("a valid token asks for {name}"))
                });
                return Some(version);
            }
            Err(refusal) => trace.step(|| step(&format!("a token {}", refusal.text()))),
        }
    }
    None
}
