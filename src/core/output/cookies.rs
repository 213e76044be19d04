//! The cookies that follow from a decision: those for the client, and that of a minted identity for
//! the upstream. Must not depend on other headers.

use super::HeaderChange;
use crate::cookies::MintedCookie;
use crate::decide::Outcome;
use crate::identity::Origin;
use crate::overrides::Overrides;
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
    let Some(value) = mint.identities.value(&String::from_utf8_lossy(identity)) else {
        return false;
    };
    text.clear();
    for part in [mint.set.name.as_bytes(), b"=", value.as_bytes()] {
        text.extend_from_slice(part);
    }
    // In front: the first cookie of a name counts, and the request may have an empty one.
    if let Some(overrides) = &policy.overrides {
        overrides.write_cookies(request, text);
        return true;
    }
    for line in request.lines(HeaderId::COOKIE) {
        text.extend_from_slice(b"; ");
        text.extend_from_slice(line);
    }
    true
}

/// Passes the changes that remove overrides from a request to `change`.
#[cold]
#[inline(never)]
pub(super) fn remove_overrides<'p>(
    overrides: &'p Overrides,
    request: &Request<'_>,
    text: &mut Vec<u8>,
    cookies_are_written: bool,
    change: &mut impl FnMut(HeaderChange<'p, '_>),
) {
    if let Some((id, name)) = &overrides.header
        && request.lines(*id).next().is_some()
    {
        change(HeaderChange::Remove(name));
    }
    if !cookies_are_written && overrides.has_cookie(request) {
        text.clear();
        overrides.write_cookies(request, text);
        change(match &**text {
            [] => HeaderChange::Remove("cookie"),
            text => HeaderChange::Set("cookie", text),
        });
    }
    if overrides.write_target(request, text) {
        change(HeaderChange::Set(":path", text));
    }
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
    let value = mint.identities.value(&String::from_utf8_lossy(identity))?;
    Some(mint.set.line(&value))
}

/// The value of the `set-cookie` header that signs the identity of a request again: it has no signature,
/// or that of an older key.
fn renewed_identity(policy: &Policy, request: &Request<'_>) -> Option<String> {
    let mint = policy.mint.as_ref()?;
    mint.identities.signed.as_ref()?;
    let carried = request.known_identity()?;
    let identity = str::from_utf8(carried.bytes).ok()?;
    let is_usable = !carried.is_current
        && !policy.ignored_identities.contains(carried.bytes)
        && identity.bytes().all(is_cookie_octet);
    let value = if is_usable {
        mint.identities.value(identity)
    } else {
        None
    };
    value.map(|value| mint.set.line(&value))
}

/// Whether a cookie's value may have this character (RFC 6265, section 4.1.1).
const fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~')
}

/// The values of the `set-cookie` headers of the response.
pub fn cookies(policy: &Policy, request: &Request<'_>, outcome: &Outcome<'_>) -> Vec<String> {
    let mut lines: Vec<_> = minted_cookie(policy, outcome).into_iter().collect();
    if lines.is_empty() {
        lines.extend(renewed_identity(policy, request));
    }
    let minted = minted(policy, outcome).map(|(_, identity)| identity);
    for (id, memory) in &outcome.memories {
        if let Some(rollout) = policy.rollout(*id)
            && let Some(sticky) = &rollout.sticky
        {
            let version = memory.version.and_then(|id| rollout.version(id));
            let name = version.map_or("", |version| &version.name);
            lines.extend(sticky.line(name, memory, request, minted));
        }
    }
    lines
}
