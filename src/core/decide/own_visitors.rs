//! The senders of a request by the identity sources of single rollouts. Must not depend on the order of
//! a decision.

use crate::decision::RolloutId;
use crate::identity::{Identity, Visitor};
use crate::policy::Policy;
use crate::request::Request;

/// The visitors of the matching rollouts with identity sources of their own; with units, of all such
/// rollouts.
#[derive(Default)]
pub(super) struct OwnVisitors<'a, 'r>(Vec<(RolloutId, Visitor<'a, 'r>)>);

impl<'a, 'r> OwnVisitors<'a, 'r> {
    #[cold]
    #[inline(never)]
    pub(super) fn new(policy: &'a Policy, found: &[RolloutId], request: &'a Request<'r>) -> Self {
        let own = |(id, rollout)| Some((id, policy.own_visitor(rollout, request)?));
        if policy.features.units {
            return Self(policy.numbered().filter_map(own).collect());
        }
        let found = found.iter();
        let found = found.filter_map(|id| own((*id, policy.rollout(*id)?)));
        Self(found.collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Visitor<'a, 'r>> {
        self.0.iter().map(|(_, visitor)| visitor)
    }

    pub(super) fn get(&self, id: RolloutId) -> Option<&Visitor<'a, 'r>> {
        // Few configurations have any.
        if self.0.is_empty() {
            return None;
        }
        let mut all = self.0.iter();
        all.find(|(rollout, _)| *rollout == id).map(|(_, own)| own)
    }

    pub(super) fn into_identities(self) -> Vec<(RolloutId, Identity<'a>)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.identities()
    }

    #[cold]
    #[inline(never)]
    fn identities(self) -> Vec<(RolloutId, Identity<'a>)> {
        let all = self.0.into_iter();
        all.filter_map(|(rollout, own)| Some((rollout, own.into_identity()?)))
            .collect()
    }
}
