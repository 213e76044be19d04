//! The address of the client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address; an IPv4-mapped IPv6 address is stored as IPv4.
    pub ip: IpAddr,
    /// The canonical text of the address, without port.
    pub text: Box<str>,
}

impl Address {
    /// Reads the proxy's property: an address with port. `None` for others, such as a Unix socket.
    pub(super) fn read(property: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(property).ok()?;
        let ip = match text.parse() {
            Ok(with_port) => SocketAddr::ip(&with_port),
            Err(_) => text.parse().ok()?,
        };
        let ip = ip.to_canonical();
        Some(Self {
            ip,
            text: ip.to_string().into(),
        })
    }

    /// The client's identity by its address: an IPv4 address, or the /64 of an IPv6 address, as
    /// clients change their address within it.
    pub fn identity(&self) -> String {
        match self.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => {
                let net = Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX));
                format!("{net}/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_loses_its_port_and_becomes_canonical() {
        for (property, text, identity) in [
            ("10.0.0.1:80", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
            (
                "[2001:DB8:1:2:3:4:5:6]:80",
                "2001:db8:1:2:3:4:5:6",
                "2001:db8:1:2::/64",
            ),
            ("[2001:db8:0:0:0:0:0:1]:80", "2001:db8::1", "2001:db8::/64"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1", "10.0.0.1"),
            ("[::1]:1", "::1", "::/64"),
        ] {
            let address = Address::read(property.as_bytes()).unwrap();
            assert_eq!(&*address.text, text, "{property}");
            assert_eq!(address.identity(), identity, "{property}");
        }
        for property in [
            &b""[..],
            b"/var/run/sock",
            b"envoy://internal",
            b"\xff",
            b"1.2.3:4",
        ] {
            assert_eq!(Address::read(property), None, "{property:?}");
        }
    }
}
