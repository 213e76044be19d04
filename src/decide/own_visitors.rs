//! The senders of a request by the identity sources of single rollouts. Must not depend on the order of
//! a decision.

use crate::decision::RolloutId;
use crate::identity::{Identity, Visitor};

/// The visitors of the rollouts with identity sources of their own.
#[derive(Default)]
pub(super) struct OwnVisitors<'a, 'r>(Vec<(RolloutId, Visitor<'a, 'r>)>);

impl<'a, 'r> OwnVisitors<'a, 'r> {
    pub(super) fn extend(&mut self, own: Option<(RolloutId, Visitor<'a, 'r>)>) {
        self.0.extend(own);
    }

    pub(super) fn get(&self, id: RolloutId) -> Option<&Visitor<'a, 'r>> {
        let mut all = self.0.iter();
        all.find(|(rollout, _)| *rollout == id).map(|(_, own)| own)
    }

    pub(super) fn into_identities(self) -> Vec<(RolloutId, Identity<'a>)> {
        let all = self.0.into_iter();
        all.filter_map(|(rollout, own)| Some((rollout, own.into_identity()?)))
            .collect()
    }
}
