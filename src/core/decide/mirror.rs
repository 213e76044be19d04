//! Which version gets a copy of a request.

use crate::decision::{Decision, Reason, RolloutId, VersionId};
use crate::identity::Visitor;
use crate::policy::Policy;
use crate::request::{HeaderId, Request};

/// The mirror of the rollout that owns the route. None if that version serves the request
/// itself, is rolled back or unreachable, if nothing was decided, or for an upgrade.
pub(super) fn mirrored<'v, 'a: 'v, 'r: 'a>(
    policy: &Policy,
    decisions: &[Decision],
    request: &Request<'_>,
    visitor_of: impl FnOnce(RolloutId) -> &'v Visitor<'a, 'r>,
) -> Option<(RolloutId, VersionId)> {
    let owner = policy.route_owner(decisions)?;
    let rollout = policy.rollout(owner.rollout)?;
    let mirror = rollout.mirror.as_ref()?;
    let copies_method = mirror.methods.is_empty()
        || mirror
            .methods
            .iter()
            .any(|method| Some(&**method) == request.method);
    if matches!(owner.reason, Reason::Disabled | Reason::Error)
        || owner.version == mirror.version
        || !copies_method
        || is_upgrade(request, mirror.upgrade)
        || rollout.is_rolled_back(owner.rollout, mirror.version, request.environment())
        || rollout.is_unreachable(owner.rollout, mirror.version, request.environment())
    {
        return None;
    }
    let admitted = match mirror.gate.constant() {
        Some(admitted) => admitted,
        None => mirror
            .gate
            .admits(visitor_of(owner.rollout).any_identity()?),
    };
    admitted.then_some((owner.rollout, mirror.version))
}

/// Whether the request becomes a stream in both directions, such as a WebSocket: its method says
/// GET, but all that the client then sends would be copied. Envoy removes `upgrade` from a request
/// that is not one, and adds it to the extended CONNECT of HTTP/2 and HTTP/3.
fn is_upgrade(request: &Request<'_>, upgrade: HeaderId) -> bool {
    request.method == Some(b"CONNECT") || request.lines(upgrade).next().is_some()
}
