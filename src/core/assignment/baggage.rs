//! The member of W3C `baggage` that carries an assignment, percent-encoded. Depends on `request`
//! alone.
//!
//! Applications with OpenTelemetry forward baggage by themselves, and rewrite it: their libraries
//! decode and encode values, some of them also keys, and some write a space as `+`.

use super::MAX_BYTES;
use crate::request::query::decoded;

/// Maximum number of members that every receiver has to forward, as W3C Baggage says. The maximum
/// size is [`MAX_BYTES`].
pub const MAX_MEMBERS: usize = 64;

/// The members of one line of the header.
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
}

/// Whether every receiver has to forward a baggage of this size and number of members.
pub fn is_sendable(line: &[u8]) -> bool {
    let members = members(line).filter(|member| !member.trim_ascii().is_empty());
    line.len() <= MAX_BYTES && members.count() <= MAX_MEMBERS
}

/// Whether a library may read this member under this name, also one that decodes the key and, behind
/// another library, decodes it twice.
pub fn is_named(member: &[u8], name: &str) -> bool {
    let end = memchr::memchr2(b'=', b';', member).unwrap_or(member.len());
    let key = member.get(..end).unwrap_or_default();
    if key.len() < name.len() {
        return false;
    }
    // A library may take other bytes for white space.
    let key = decoded(key);
    let key = decoded(&key);
    let visible = key
        .iter()
        .filter(|byte| byte.is_ascii_graphic() && **byte != b'+');
    visible.eq(name.as_bytes())
}

/// The decoded value of the member with this name. `None` without one, with several, or with more
/// than [`MAX_BYTES`].
pub fn find<'l>(lines: impl Iterator<Item = &'l [u8]>, name: &str) -> Option<Vec<u8>> {
    let mut found = None;
    for line in lines {
        for member in members(line) {
            if is_named(member, name) && found.replace(member).is_some() {
                return None;
            }
        }
    }
    let member = found?;
    if member.len() > MAX_BYTES {
        return None;
    }
    let (_, value) = member.split_at_checked(memchr::memchr(b'=', member)?)?;
    // Properties follow.
    let value = value.get(1..)?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let mut value = value.get(..end)?.trim_ascii().to_vec();
    for byte in &mut value {
        if *byte == b'+' {
            *byte = b' ';
        }
    }
    Some(decoded(&value).into_owned())
}

/// Appends a value, with all bytes but the unreserved characters of a URI percent-encoded.
pub fn encode(value: &[u8], text: &mut Vec<u8>) {
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            let digit = |half: u8| {
                if half < 10 {
                    b'0' | half
                } else {
                    half.wrapping_add(b'A' - 10)
                }
            };
            text.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(lines: &[&str]) -> Option<String> {
        let found = find(lines.iter().map(|line| line.as_bytes()), "divvy")?;
        Some(String::from_utf8_lossy(&found).into_owned())
    }

    #[test]
    fn the_one_member_of_the_name_is_decoded() {
        for (lines, value) in [
            (&["divvy=checkout%3Dv2"][..], Some("checkout=v2")),
            (
                &["a=1, divvy = checkout%3dv2 ;p=1;q , b=2"],
                Some("checkout=v2"),
            ),
            (&["a=1", "b=2,divvy=x"], Some("x")),
            // Python writes a space as +, and both kinds of library keep a %2B.
            (&["divvy=a%2C+b%2C%20c%2Bd"], Some("a, b, c+d")),
            (&["%64ivvy=x"], Some("x")),
            (&["divvy=%zz%4"], Some("%zz%4")),
            (&["divvy="], Some("")),
            (&["divvy=a=b"], Some("a=b")),
            (&["divvy"], None),
            (&["divvy;x=1"], Some("1")),
            (&["Divvy=x,divvy2=x,xdivvy=x"], None),
            (&["divvy=x,divvy=x"], None),
            (&["divvy=x", "divvy=y"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(find_in(lines).as_deref(), value, "{lines:?}");
        }
        let longest = "a".repeat(MAX_BYTES - "divvy=".len());
        assert_eq!(
            find_in(&[&format!("divvy={longest}")]),
            Some(longest.clone())
        );
        assert_eq!(find_in(&[&format!("divvy={longest}a")]), None);
    }

    #[test]
    fn a_member_has_the_name_that_any_library_may_read() {
        for (member, is) in [
            ("divvy=1", true),
            (" divvy =1", true),
            ("divvy", true),
            ("divvy;p=1", true),
            ("%64%69vvy=1", true),
            ("%2564ivvy=1", true),
            ("+divvy=1", true),
            ("%20divvy%09=1", true),
            ("\u{a0}divvy=1", true),
            ("%C2%A0divvy=1", true),
            ("divv=1", false),
            ("divvy2=1", false),
            ("Divvy=1", false),
            ("a=divvy", false),
            ("a%3Ddivvy=1", false),
            ("div%20vy+=1", true),
            ("%6divvy=1", false),
            ("", false),
        ] {
            assert_eq!(is_named(member.as_bytes(), "divvy"), is, "{member}");
        }
    }

    #[test]
    fn what_is_encoded_is_found_again() {
        let every: Vec<u8> = (0..=255).collect();
        let mut text = b"divvy=".to_vec();
        encode(&every, &mut text);
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"=%-._~".contains(byte);
        assert!(text.iter().all(allowed));
        assert_eq!(find([&*text].into_iter(), "divvy"), Some(every));
    }
}
