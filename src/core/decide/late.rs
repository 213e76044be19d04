//! Identities beside the decisions: those that only units need, and the header of the identity that
//! clients send. Must not depend on the order of a decision.

use super::Outcome;
use super::own_visitors::OwnVisitors;
use crate::decision::RolloutId;
use crate::identity::Visitor;
use crate::policy::Policy;
use crate::request::{HeaderId, Request};

/// The outcome of a request that no rollout matches: `kept` are the headers of earlier filters.
#[cold]
#[inline(never)]
pub(super) fn undecided<'a>(
    policy: &'a Policy,
    request: &'a Request<'_>,
    mut kept: Vec<HeaderId>,
) -> Outcome<'a> {
    let visitor = policy.visitor(request);
    let own_visitors = OwnVisitors::new(policy, &[], request);
    kept.extend(settle(policy, &visitor, &own_visitors, None));
    Outcome {
        identity: visitor.into_identity(),
        own_identities: own_visitors.into_identities(),
        kept,
        ..Outcome::default()
    }
}

/// Looks for the identities that units need: no identity is minted for a unit alone. The header of
/// the identity, if it keeps what the client sent: unless the identity of the rollout that owns the
/// route was looked for.
#[cold]
#[inline(never)]
pub(super) fn settle(
    policy: &Policy,
    visitor: &Visitor<'_, '_>,
    own_visitors: &OwnVisitors<'_, '_>,
    route_owner: Option<RolloutId>,
) -> Option<HeaderId> {
    if policy.features.units {
        visitor.carried_identity();
        for own in own_visitors.iter() {
            own.carried_identity();
        }
    }
    let own = route_owner.and_then(|owner| own_visitors.get(owner));
    let was_looked_for = match own {
        Some(own) => own.was_looked_for(),
        None => visitor.was_looked_for(),
    };
    let is_kept = !was_looked_for || visitor.request().is_preflight();
    policy.identity_input.filter(|_| is_kept)
}
