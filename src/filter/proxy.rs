//! The proxy as the decisions see it: whom to ask for what is not in the headers.

use std::fmt;
use std::rc::Rc;

use super::host;
use super::watch::Watch;
use crate::guardrail::State;
use crate::outside::Outside;
use crate::policy::RolloutId;

/// Asks the proxy, and what this VM knows about the rollouts that it watches.
pub struct Proxy<'w> {
    pub watch: &'w Watch,
}

impl fmt::Debug for Proxy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy")
    }
}

impl Outside for Proxy<'_> {
    fn property(&self, path: &str) -> Option<Vec<u8>> {
        Some(host::property(path).ok()?.to_vec())
    }

    fn random(&self) -> Option<[u8; 16]> {
        host::random_bits()
    }

    fn now(&self) -> Option<u64> {
        self.watch.clock()
    }

    fn state(&self, rollout: RolloutId) -> Option<Rc<State>> {
        self.watch.state(rollout)
    }
}
