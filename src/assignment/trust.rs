//! The senders whose assignment is inherited.

use crate::outside::Outside;

/// Envoy attribute: the URI SAN of the peer's certificate.
const PEER: &str = "connection\0uri_san_peer_certificate";
/// Envoy attribute: the traffic direction of the listener.
const DIRECTION: &str = "xds\0listener_direction";
/// Envoy's `TrafficDirection.OUTBOUND`, serialized.
const OUTBOUND: [u8; 8] = 2_u64.to_le_bytes();

/// The senders whose assignment is inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Peers, by the URI SAN of their certificate.
    pub principals: Vec<Principal>,
    /// The workload of this sidecar: any sender on an outbound listener.
    pub workload: bool,
}

/// A pattern for the URI SAN of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Equal to this URI.
    Exact(Box<str>),
    /// Begins with this prefix and is longer.
    Prefix(Box<str>),
}

impl Trust {
    /// Whether the sender of the request is trusted.
    pub fn holds(&self, outside: &dyn Outside) -> bool {
        if !self.principals.is_empty()
            && let Some(peer) = outside.property(PEER)
            && self
                .principals
                .iter()
                .any(|principal| principal.matches(&peer))
        {
            return true;
        }
        // An inbound listener, or one without a direction, would trust every client.
        self.workload
            && outside
                .property(DIRECTION)
                .is_some_and(|direction| direction == OUTBOUND)
    }
}

impl Principal {
    fn matches(&self, peer: &[u8]) -> bool {
        match self {
            Self::Exact(uri) => uri.as_bytes() == peer,
            Self::Prefix(prefix) => {
                let rest = peer.strip_prefix(prefix.as_bytes());
                rest.is_some_and(|rest| !rest.is_empty())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Peer(&'static str, u64);

    impl Outside for Peer {
        fn property(&self, path: &str) -> Option<Vec<u8>> {
            match path {
                PEER => Some(self.0.into()),
                DIRECTION => Some(self.1.to_le_bytes().into()),
                _ => None,
            }
        }

        fn random(&self) -> Option<[u8; 16]> {
            None
        }
    }

    #[test]
    fn a_peer_is_trusted_by_its_uri_or_its_prefix() {
        let exact = Principal::Exact("spiffe://td/ns/edge/sa/gw".into());
        let prefix = Principal::Prefix("spiffe://td/ns/edge/sa/".into());
        for (principal, peer, trusted) in [
            (&exact, "spiffe://td/ns/edge/sa/gw", true),
            (&exact, "spiffe://td/ns/edge/sa/gw2", false),
            (&exact, "", false),
            (&prefix, "spiffe://td/ns/edge/sa/gw", true),
            (&prefix, "spiffe://td/ns/edge/sa/", false),
            (&prefix, "spiffe://td/ns/other/sa/gw", false),
            (&prefix, "", false),
        ] {
            let trust = Trust {
                principals: vec![principal.clone()],
                workload: false,
            };
            assert_eq!(trust.holds(&Peer(peer, 2)), trusted, "{principal:?} {peer}");
        }
    }

    #[test]
    fn a_workload_is_trusted_on_outbound_listeners_only() {
        let trust = Trust {
            principals: Vec::new(),
            workload: true,
        };
        for (direction, trusted) in [(0, false), (1, false), (2, true)] {
            assert_eq!(trust.holds(&Peer("", direction)), trusted, "{direction}");
        }
        assert!(
            !Trust::default().holds(&Peer("", 2)),
            "no sender by default"
        );
    }
}
