//! Features that few configurations use.

use super::Rollout;
use crate::cookies::MintedCookie;

/// Which rare features a policy uses, computed once so that a request skips the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// A rollout writes request headers of its own.
    pub exposes: bool,
    /// A rollout has identity sources of its own.
    pub own_identities: bool,
    /// Responses may get cookies.
    pub sets_cookies: bool,
    /// Requests may be mirrored.
    pub mirrors: bool,
    /// Every request gets a unit.
    pub units: bool,
    /// Identities matter after the decisions too: for units, or for a header that is read and written.
    pub late_identities: bool,
}

impl Features {
    /// The features that a policy with these parts uses. `reads_own`: clients may send the header
    /// of the identity.
    pub fn of(
        rollouts: &[Rollout],
        mint: Option<&MintedCookie>,
        units: bool,
        reads_own: bool,
    ) -> Self {
        Self {
            exposes: rollouts.iter().any(|rollout| rollout.expose.is_some()),
            own_identities: rollouts.iter().any(|rollout| rollout.identity.is_some()),
            sets_cookies: mint.is_some() || rollouts.iter().any(|rollout| rollout.sticky.is_some()),
            mirrors: rollouts.iter().any(|rollout| rollout.mirror.is_some()),
            units,
            late_identities: units || reads_own,
        }
    }
}
