//! Query strings.

use std::borrow::Cow;

/// The keys and raw values of a query's parameters. Without `=` the value is empty.
pub(super) fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').filter_map(|parameter| {
        let Some(equals) = memchr::memchr(b'=', parameter) else {
            return Some((parameter, &[][..]));
        };
        let (key, value) = parameter.split_at_checked(equals)?;
        Some((key, value.get(1..)?))
    })
}

/// Percent-decoded bytes. `+` stays `+`; a `%` without two hexadecimal digits stays `%`.
pub fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match after {
            [high, low, behind @ ..] if *byte == b'%' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = behind;
                }
                _ => bytes.push(*byte),
            },
            _ => bytes.push(*byte),
        }
    }
    Cow::Owned(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(query: &'a [u8], key: &[u8]) -> Option<Cow<'a, [u8]>> {
        let mut found = pairs(query).filter(|(name, _)| *name == key);
        found.next().map(|(_, raw)| decoded(raw))
    }

    #[test]
    fn the_first_parameter_of_a_key_counts_and_its_value_is_decoded() {
        for (query, value) in [
            ("uid=42", Some("42")),
            ("a=1&uid=42&uid=43", Some("42")),
            ("uid", Some("")),
            ("uid=", Some("")),
            ("uid=a=b", Some("a=b")),
            ("uid=a+b", Some("a+b")),
            ("uid=a%20b%2Bc", Some("a b+c")),
            ("uid=%", Some("%")),
            ("uid=%4", Some("%4")),
            ("uid=%zz%41", Some("%zzA")),
            ("uid=%%41", Some("%A")),
            ("u%69d=42", None),
            ("UID=42", None),
            ("", None),
            ("&&=&", None),
        ] {
            let found = find(query.as_bytes(), b"uid");
            assert_eq!(found.as_deref(), value.map(str::as_bytes), "{query}");
        }
    }

    #[test]
    fn values_are_bytes() {
        assert_eq!(find(b"uid=%FF%00", b"uid").as_deref(), Some(&b"\xff\0"[..]));
    }
}
