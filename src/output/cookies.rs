//! The cookies that follow from a decision: those for the client, and that of a minted identity for
//! the upstream. Must not depend on other headers.

use crate::cookies::MintedCookie;
use crate::decide::Outcome;
use crate::identity::Origin;
use crate::policy::Policy;
use crate::request::{HeaderId, Request};

/// Writes the `cookie` header of a request whose identity was minted: what arrived, behind the
/// minted cookie. So the next proxy that mints has the same identity and gives no other, and the
/// application sees it from the first request on. `false` if nothing was minted.
pub(super) fn carry_minted(
    policy: &Policy,
    request: &Request<'_>,
    outcome: &Outcome<'_>,
    text: &mut Vec<u8>,
) -> bool {
    let Some((mint, identity)) = minted(policy, outcome) else {
        return false;
    };
    text.clear();
    for part in [mint.set.name.as_bytes(), b"=", identity] {
        text.extend_from_slice(part);
    }
    // In front: the first cookie of a name counts, and the request may have an empty one.
    for line in request.lines(HeaderId::COOKIE) {
        text.extend_from_slice(b"; ");
        text.extend_from_slice(line);
    }
    true
}

/// The identity that was minted for this request, and its cookie.
fn minted<'o>(
    policy: &'o Policy,
    outcome: &'o Outcome<'_>,
) -> Option<(&'o MintedCookie, &'o [u8])> {
    let (mint, identity) = (policy.mint.as_ref()?, outcome.identity.as_ref()?);
    (identity.origin == Origin::Minted).then_some((mint, &*identity.bytes))
}

/// The value of the `set-cookie` header with the identity that was minted for this request.
pub fn minted_cookie(policy: &Policy, outcome: &Outcome<'_>) -> Option<String> {
    let (mint, identity) = minted(policy, outcome)?;
    Some(mint.set.line(&String::from_utf8_lossy(identity)))
}

/// The values of the `set-cookie` headers of the response.
pub fn cookies(policy: &Policy, outcome: &Outcome<'_>) -> Vec<String> {
    let mut lines: Vec<_> = minted_cookie(policy, outcome).into_iter().collect();
    for (id, memory) in &outcome.memories {
        if let Some(rollout) = policy.rollout(*id)
            && let Some(sticky) = &rollout.sticky
        {
            let version = memory.version.and_then(|id| rollout.version(id));
            let name = version.map_or("", |version| &version.name);
            lines.push(sticky.line(name, memory.position));
        }
    }
    lines
}
