//! The host's facts as a decision asks for them.

use std::fmt;
use std::rc::Rc;

use super::active::ActivePolicy;
use super::chain::ChainHeaders;
use super::host::{Exchange, Host};
use super::reach::Reach;
use super::vm::Vm;
use super::watch::Watch;
use crate::guardrail::State;
use crate::policy::{RolloutId, VersionId};
use crate::request::{Claim, Direction, Environment};
use crate::signature::{KeyPurpose, SignatureResult};

/// Facts about the time and the rollouts, without a request.
pub struct Facts<'a, H> {
    pub vm: &'a Vm<H>,
    pub watch: &'a Watch,
    pub reach: &'a Reach,
    pub active: &'a ActivePolicy,
}

impl<H> fmt::Debug for Facts<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Facts")
    }
}

impl<H: Host> Environment for Facts<'_, H> {
    fn random_bits(&self) -> Option<[u8; 16]> {
        self.vm.host.random_bits()
    }

    fn now(&self) -> Option<u64> {
        self.watch.clock(&self.vm.host)
    }

    fn guardrail_state(&self, rollout: RolloutId) -> Option<Rc<State>> {
        self.watch.state(rollout)
    }

    fn is_unreachable(&self, rollout: RolloutId, version: VersionId) -> bool {
        self.reach.is_down((rollout, version))
    }

    fn tries(&self, rollout: RolloutId, version: VersionId) -> bool {
        let place = (rollout, version);
        self.reach.tries(&self.vm.host, &self.active.policy, place)
    }

    fn count_signature(&self, purpose: KeyPurpose, result: SignatureResult) {
        if let Some(id) = self.active.signature(self.vm, purpose, result) {
            self.vm.host.increment(id);
        }
    }
}

/// Facts about one request.
pub struct RequestFacts<'a, H, X> {
    pub facts: Facts<'a, H>,
    pub exchange: &'a X,
    pub chain: &'a ChainHeaders<'a, X>,
}

impl<H, X> fmt::Debug for RequestFacts<'_, H, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestFacts")
    }
}

impl<H: Host, X: Exchange> Environment for RequestFacts<'_, H, X> {
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        self.exchange.peer_uri_san()
    }

    fn listener_direction(&self) -> Option<Direction> {
        self.exchange.listener_direction()
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.exchange.source_address()
    }

    fn jwt_claim(&self, claim: &Claim) -> Option<Vec<u8>> {
        self.exchange.jwt_claim(claim)
    }

    fn is_written_before(&self, header: &str) -> bool {
        self.chain.contains(header)
    }

    fn random_bits(&self) -> Option<[u8; 16]> {
        self.facts.random_bits()
    }

    fn now(&self) -> Option<u64> {
        self.facts.now()
    }

    fn guardrail_state(&self, rollout: RolloutId) -> Option<Rc<State>> {
        self.facts.guardrail_state(rollout)
    }

    fn is_unreachable(&self, rollout: RolloutId, version: VersionId) -> bool {
        self.facts.is_unreachable(rollout, version)
    }

    fn tries(&self, rollout: RolloutId, version: VersionId) -> bool {
        self.facts.tries(rollout, version)
    }

    fn count_signature(&self, purpose: KeyPurpose, result: SignatureResult) {
        self.facts.count_signature(purpose, result);
    }
}
