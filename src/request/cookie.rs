//! Cookies, as they stand in a `cookie` header.

/// The value of the first cookie of this name in one header line: without the white
/// space around it and without surrounding quotes, not percent-decoded.
pub fn find<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.split(|byte| *byte == b';').find_map(|cookie| {
        let equals = memchr::memchr(b'=', cookie)?;
        let (key, value) = cookie.split_at_checked(equals)?;
        if key.trim_ascii() != name {
            return None;
        }
        Some(unquoted(value.get(1..)?.trim_ascii()))
    })
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
