//! What only some configurations have.

use super::Rollout;
use crate::cookies::MintedCookie;

/// Whether a policy has any of what most have not, worked out once, so that requests need not
/// look for it in vain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rare {
    /// A rollout has headers of its own.
    pub exposes: bool,
    /// The client may be told what was decided.
    pub tells_clients: bool,
    /// The client may be given a cookie.
    pub gives_cookies: bool,
    /// Requests may be copied.
    pub mirrors: bool,
}

impl Rare {
    /// What a policy of these rollouts has.
    pub fn of(
        rollouts: &[Rollout],
        mint: Option<&MintedCookie>,
        response_header: Option<&str>,
    ) -> Self {
        let mut exposed = rollouts
            .iter()
            .filter_map(|rollout| rollout.expose.as_ref());
        Self {
            exposes: rollouts.iter().any(|rollout| rollout.expose.is_some()),
            tells_clients: response_header.is_some() || exposed.any(|expose| expose.response),
            gives_cookies: mint.is_some()
                || rollouts.iter().any(|rollout| rollout.sticky.is_some()),
            mirrors: rollouts.iter().any(|rollout| rollout.mirror.is_some()),
        }
    }
}
