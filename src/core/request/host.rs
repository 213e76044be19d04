//! Host names.

use std::borrow::Cow;

/// The host of an `:authority`: lower case, without port and without a final dot.
pub fn normalized(authority: &[u8]) -> Cow<'_, [u8]> {
    // Most are normalized already, which one pass over the bytes finds out.
    let other = |byte: &u8| byte.is_ascii_uppercase() || *byte == b':';
    if !authority.iter().any(other) && !authority.ends_with(b".") {
        return Cow::Borrowed(authority);
    }
    let host = without_port(authority);
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

fn without_port(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', authority).and_then(|colon| authority.split_at_checked(colon)) {
        // In brackets an IPv6 address has colons too: only one behind the bracket begins a port.
        Some((host, port))
            if port.iter().skip(1).all(u8::is_ascii_digit)
                && (!host.starts_with(b"[") || host.ends_with(b"]")) =>
        {
            host
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_port_final_dot_and_capitals() {
        for (authority, host) in [
            ("shop.example.com", "shop.example.com"),
            ("Shop.Example.COM", "shop.example.com"),
            ("shop.example.com:8080", "shop.example.com"),
            ("shop.example.com.:8080", "shop.example.com"),
            ("shop.example.com.", "shop.example.com"),
            ("shop:", "shop"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[2001:DB8::1]:80", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[::1", "[::1"),
            ("", ""),
            (":", ""),
            (".", ""),
        ] {
            assert_eq!(
                normalized(authority.as_bytes()),
                host.as_bytes(),
                "{authority}"
            );
        }
    }
}
