//! The senders whose assignment is inherited.

use crate::request::{Direction, Request};

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
    pub fn holds(&self, request: &Request<'_>) -> bool {
        if !self.principals.is_empty()
            && let Some(peer) = request.peer()
            && self
                .principals
                .iter()
                .any(|principal| principal.matches(peer))
        {
            return true;
        }
        // An inbound listener, or one without a direction, would trust every client.
        let direction = || request.environment().listener_direction();
        self.workload && direction() == Some(Direction::Outbound)
    }
}

/// Whether the id of a node is that of a gateway on Istio, whose ids are
/// `TYPE~ADDRESS~NAME~DOMAIN`: of all types, only a sidecar stands beside a workload.
pub fn is_gateway(node_id: &[u8]) -> bool {
    let mut parts = node_id.split(|byte| *byte == b'~');
    let kind = parts.next();
    parts.count() == 3 && kind != Some(b"sidecar")
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
    use crate::request::{Environment, Names};

    #[derive(Debug)]
    struct Peer(&'static str, Direction);

    impl Environment for Peer {
        fn peer_uri_san(&self) -> Option<Vec<u8>> {
            Some(self.0.into())
        }

        fn listener_direction(&self) -> Option<Direction> {
            Some(self.1)
        }
    }

    fn holds(trust: &Trust, environment: &Peer) -> bool {
        let names = Names::default();
        let request = Request::from_headers(&names, []);
        trust.holds(&request.with_environment(environment))
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
            assert_eq!(
                holds(&trust, &Peer(peer, Direction::Outbound)),
                trusted,
                "{principal:?} {peer}"
            );
        }
    }

    #[test]
    fn a_gateway_is_recognized_by_the_id_of_its_node() {
        for (id, gateway) in [
            (
                "router~10.0.0.1~gw.istio-system~istio-system.svc.cluster.local",
                true,
            ),
            ("waypoint~10.0.0.1~wp.shop~shop.svc.cluster.local", true),
            ("sidecar~10.0.0.1~app.shop~shop.svc.cluster.local", false),
            ("edge", false),
            ("router~", false),
            ("", false),
        ] {
            assert_eq!(is_gateway(id.as_bytes()), gateway, "{id}");
        }
    }

    #[test]
    fn a_workload_is_trusted_on_outbound_listeners_only() {
        let trust = Trust {
            principals: Vec::new(),
            workload: true,
        };
        for (direction, trusted) in [
            (Direction::Unspecified, false),
            (Direction::Inbound, false),
            (Direction::Outbound, true),
        ] {
            assert_eq!(
                holds(&trust, &Peer("", direction)),
                trusted,
                "{direction:?}"
            );
        }
        assert!(
            !holds(&Trust::default(), &Peer("", Direction::Outbound)),
            "no sender by default"
        );
    }
}
