//! `cidr`: networks of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// A list of networks.
#[derive(Clone, Debug)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// A list of these networks.
    pub const fn new(list: Vec<IpNet>) -> Self {
        Self(list)
    }

    /// Whether the value is an address in one of the networks. An IPv4-mapped IPv6 address
    /// counts as the IPv4 address.
    pub fn contain(&self, value: &[u8]) -> bool {
        let text = std::str::from_utf8(value.trim_ascii()).ok();
        let address = text.and_then(|text| text.parse::<IpAddr>().ok());
        address.is_some_and(|address| {
            let address = address.to_canonical();
            self.0.iter().any(|network| network.contains(&address))
        })
    }
}

/// Reads a network: an address, `/` and the length of its prefix in bits. Without `/`: the
/// network of this address alone.
///
/// # Errors
/// What is wrong with the text.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network = parsed(text).ok_or_else(|| {
        format!("{text:?} is not a network: write it as 10.0.0.0/8 or 2001:db8::/32")
    })?;
    let canonical = network.trunc();
    if canonical != network {
        return Err(format!(
            "{text:?} has bits beyond its prefix: write {canonical}, or a longer prefix"
        ));
    }
    Ok(unmapped(canonical))
}

// `IpNet` has a reader of addresses of its own: 3 KB of code.
fn parsed(text: &str) -> Option<IpNet> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Some(IpNet::from(text.parse::<IpAddr>().ok()?));
    };
    // `parse` would accept a sign.
    if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok()
}

/// An IPv4-mapped IPv6 network as the IPv4 network: addresses are compared in that form.
fn unmapped(network: IpNet) -> IpNet {
    /// The bits of a mapped address before those of the IPv4 one.
    const PREFIX: u8 = 96;
    let length = network.prefix_len().checked_sub(PREFIX);
    match (network.network().to_canonical(), length) {
        (IpAddr::V4(address), Some(length)) if network.network().is_ipv6() => {
            IpNet::new(IpAddr::V4(address), length).unwrap_or(network)
        }
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_networks() {
        for (text, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "::1", true),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.0/8", " 10.0.0.1 ", true),
            ("10.0.0.0/8", "10.0.0.1:80", false),
            ("10.0.0.0/8", "10.0.0.1, 10.0.0.2", false),
            ("10.0.0.0/8", "10.1", false),
            ("10.0.0.0/8", "", false),
        ] {
            let networks = Networks::new(vec![network(text).unwrap()]);
            assert_eq!(
                networks.contain(address.as_bytes()),
                inside,
                "{text} {address}"
            );
        }
    }

    #[test]
    fn text_that_is_not_a_network_is_an_error() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "10/8",
            "x",
            "2001:db8::1/32",
        ] {
            assert!(network(text).is_err(), "{text:?}");
        }
    }
}
