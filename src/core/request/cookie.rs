//! Cookies in a `cookie` header.

/// The names and raw values of the cookies of one header line.
pub(super) fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter_map(|cookie| {
        let (name, value) = cookie.split_at_checked(memchr::memchr(b'=', cookie)?)?;
        Some((name.trim_ascii(), value.get(1..)?))
    })
}

/// A raw value without surrounding white space and quotes; not percent-decoded.
pub(super) fn value(raw: &[u8]) -> &[u8] {
    match raw.trim_ascii() {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        let mut found = pairs(line).filter(|(key, _)| *key == name);
        found.next().map(|(_, raw)| value(raw))
    }

    #[test]
    fn the_first_cookie_of_a_name_counts_without_space_and_quotes() {
        for (line, value) in [
            ("uid=42", Some("42")),
            ("a=1; uid=42; uid=43", Some("42")),
            ("a=1;uid=42", Some("42")),
            (" uid = 42 ", Some("42")),
            ("uid=\"42\"", Some("42")),
            ("uid=\"", Some("\"")),
            ("uid=\"\"", Some("")),
            ("uid=", Some("")),
            ("uid=a=b", Some("a=b")),
            ("uid=%34", Some("%34")),
            ("UID=42", None),
            ("xuid=42", None),
            ("uid", None),
            ("", None),
            (";;=;", None),
        ] {
            assert_eq!(
                find(line.as_bytes(), b"uid"),
                value.map(str::as_bytes),
                "{line}"
            );
        }
    }

    #[test]
    fn values_are_bytes() {
        assert_eq!(
            find(b"\xff=1; uid=\xfe\xff", b"uid"),
            Some(&b"\xfe\xff"[..])
        );
    }
}
