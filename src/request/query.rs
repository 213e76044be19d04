//! Query strings.

use std::borrow::Cow;

/// The percent-decoded value of the first parameter with this key. The key is compared
/// as sent; `+` stays `+`; a parameter without `=` has the empty value.
pub fn find<'a>(query: &'a [u8], key: &[u8]) -> Option<Cow<'a, [u8]>> {
    query.split(|byte| *byte == b'&').find_map(|parameter| {
        let (name, value) = match memchr::memchr(b'=', parameter) {
            Some(equals) => (
                parameter.get(..equals)?,
                parameter.get(equals.saturating_add(1)..)?,
            ),
            None => (parameter, &[][..]),
        };
        (name == key).then(|| decoded(value))
    })
}

/// Percent-decoded bytes; a `%` that two hexadecimal digits do not follow stays.
fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
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
