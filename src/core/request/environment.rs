//! Facts about a request that its headers do not contain, as a trait.
//!
//! Depends on no proxy: the filter asks its host, tests and tools supply fixed values, and
//! [`Empty`] knows nothing.

use std::fmt::Debug;
use std::rc::Rc;

use super::claim::Claim;
use crate::decision::{RolloutId, VersionId};
use crate::guardrail::State;
use crate::signature::{KeyPurpose, SignatureResult};

/// Facts about a request that its headers do not contain. `None`: unknown.
///
/// Each answer can cost a call to the proxy, so a decision asks at most once per request
/// for each fact, and only if it depends on it.
pub trait Environment: Debug {
    /// URI SAN of the client certificate that the connection verified.
    fn peer_uri_san(&self) -> Option<Vec<u8>> {
        None
    }

    /// Traffic direction of the listener.
    fn listener_direction(&self) -> Option<Direction> {
        None
    }

    /// Remote address of the request: `ip:port`, as text.
    fn source_address(&self) -> Option<Vec<u8>> {
        None
    }

    /// Claim of a token that `jwt_authn` verified, in Envoy's property encoding; see
    /// [`Claim`].
    fn jwt_claim(&self, _claim: &Claim) -> Option<Vec<u8>> {
        None
    }

    /// 128 random bits.
    fn random_bits(&self) -> Option<[u8; 16]> {
        None
    }

    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Option<u64> {
        None
    }

    /// Whether an earlier divvy filter of the proxy's filter chain wrote this request header.
    fn is_written_before(&self, _header: &str) -> bool {
        false
    }

    /// Guardrail state of a rollout. `None`: no outcome has been recorded yet.
    fn guardrail_state(&self, _rollout: RolloutId) -> Option<Rc<State>> {
        None
    }

    /// Whether a version is known to be unreachable.
    fn is_unreachable(&self, _rollout: RolloutId, _version: VersionId) -> bool {
        false
    }

    /// Whether this request, which the rollout routes, tries a version that is unreachable: one
    /// request does after each pause.
    fn tries(&self, _rollout: RolloutId, _version: VersionId) -> bool {
        false
    }

    /// Counts the result of checking a signature.
    fn count_signature(&self, _purpose: KeyPurpose, _result: SignatureResult) {}
}

/// Traffic direction of an Envoy listener (`traffic_direction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `UNSPECIFIED`.
    Unspecified,
    /// `INBOUND`.
    Inbound,
    /// `OUTBOUND`.
    Outbound,
}

impl Direction {
    /// Direction by Envoy's number of it.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Unspecified),
            1 => Some(Self::Inbound),
            2 => Some(Self::Outbound),
            _ => None,
        }
    }
}

/// Environment in which every fact is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Empty;

impl Environment for Empty {}
