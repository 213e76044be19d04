//! Whose decisions are honoured.

use crate::outside::Outside;

/// The URI in the certificate that the peer of the connection showed.
const PEER: &str = "connection\0uri_san_peer_certificate";
/// The direction of the listener's traffic, as its configuration says.
const DIRECTION: &str = "xds\0listener_direction";
/// Envoy's `TrafficDirection.OUTBOUND`, as the proxy hands over a number.
const OUTBOUND: [u8; 8] = 2_u64.to_le_bytes();

/// Whose decisions are honoured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Peers by the URI in their certificate.
    pub principals: Vec<Principal>,
    /// The application beside this proxy: on listeners for outbound traffic, whoever sends.
    pub workload: bool,
}

/// The URI of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// This one.
    Exact(Box<str>),
    /// All that begin so and go on.
    Prefix(Box<str>),
}

impl Trust {
    /// Whether who sent the request is trusted.
    pub fn holds(&self, outside: &dyn Outside) -> bool {
        if !self.principals.is_empty()
            && let Some(peer) = outside.property(PEER)
            && self.principals.iter().any(|known| known.is(&peer))
        {
            return true;
        }
        // A listener for inbound traffic, or one that does not say, would trust the world.
        self.workload
            && outside
                .property(DIRECTION)
                .is_some_and(|direction| direction == OUTBOUND)
    }
}

impl Principal {
    fn is(&self, peer: &[u8]) -> bool {
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
    fn a_peer_is_trusted_by_its_whole_uri_or_by_how_that_begins() {
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
    fn a_workload_is_trusted_on_its_way_out_alone() {
        let trust = Trust {
            principals: Vec::new(),
            workload: true,
        };
        for (direction, trusted) in [(0, false), (1, false), (2, true)] {
            assert_eq!(trust.holds(&Peer("", direction)), trusted, "{direction}");
        }
        assert!(!Trust::default().holds(&Peer("", 2)), "nobody by default");
    }
}
