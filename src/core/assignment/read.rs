//! Reads an RFC 9651 dictionary and keeps the text of each member.
//!
//! Hand-written because members must be forwarded byte for byte, which no crate keeps. A test
//! compares it with the crate `sfv`.

use super::AssignmentMember;
use crate::decision::Reason;

/// The members of a dictionary; of equal keys the last. `None` if the text is not a
/// dictionary: the RFC requires that all of it is ignored then.
pub fn dictionary(bytes: &[u8]) -> Option<Vec<AssignmentMember>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader { rest: text };
    let mut members: Vec<AssignmentMember> = Vec::new();
    reader.skip(&[' ']);
    while !reader.rest.is_empty() {
        let begin = reader.rest;
        let key = reader.key()?;
        let (mut version, mut reason, mut upstream) = (None, None, None);
        if reader.take('=') {
            version = reader.value()?;
        }
        // A key without a value is true, and may have parameters.
        reader.parameters(|name, value| match name {
            "reason" => reason = value.and_then(Reason::of_name),
            "upstream" => upstream = value.and_then(Reason::of_name),
            _ => {}
        })?;
        let length = begin.len().checked_sub(reader.rest.len())?;
        let text = begin.get(..length)?;
        members.retain(|member| *member.key != *key);
        members.push(AssignmentMember {
            key: key.into(),
            text: text.into(),
            version: version.map(Into::into),
            reason: match reason {
                Some(Reason::Inherited) => upstream,
                reason => reason,
            },
        });
        reader.skip(&[' ', '\t']);
        if reader.rest.is_empty() {
            break;
        }
        if !reader.take(',') {
            return None;
        }
        reader.skip(&[' ', '\t']);
        // A trailing comma is an error.
        if reader.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// The unread rest of a text. Methods consume what they read and return `None` on an error.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn skip(&mut self, what: &[char]) {
        self.rest = self.rest.trim_start_matches(what);
    }

    fn take(&mut self, what: char) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The longest run of matching bytes.
    fn run(&mut self, matches: impl Fn(u8) -> bool) -> &'t str {
        let end = self.rest.bytes().position(|byte| !matches(byte));
        let (run, rest) = self
            .rest
            .split_at_checked(end.unwrap_or(self.rest.len()))
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        run
    }

    fn key(&mut self) -> Option<&'t str> {
        let first = self.rest.bytes().next()?;
        let begins = first.is_ascii_lowercase() || first == b'*';
        begins.then(|| {
            self.run(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
            })
        })
    }

    /// A value: its text if it is a token, or a string without escapes.
    fn value(&mut self) -> Option<Option<&'t str>> {
        if !self.take('(') {
            return self.item();
        }
        loop {
            self.skip(&[' ']);
            if self.take(')') {
                return Some(None);
            }
            self.item()?;
            self.parameters(|_, _| {})?;
            if !self.rest.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Option<&'t str>> {
        match self.rest.bytes().next()? {
            b'"' => self.string(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                Some(Some(self.run(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                })))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'?' => {
                self.take('?');
                (self.take('0') || self.take('1')).then_some(None)
            }
            b'@' => {
                self.take('@');
                // A date is an integer number of seconds.
                let before = self.rest;
                self.number()?;
                let length = before.len().checked_sub(self.rest.len())?;
                let whole = !before.get(..length)?.contains('.');
                whole.then_some(None)
            }
            b':' => self.binary(),
            b'%' => self.display(),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Option<&'t str>> {
        self.take('"');
        let begin = self.rest;
        let mut plain = true;
        loop {
            self.run(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
            if self.rest.starts_with('"') {
                let length = begin.len().checked_sub(self.rest.len())?;
                self.take('"');
                return Some(begin.get(..length).filter(|_| plain));
            }
            plain = false;
            if !(self.take('\\') && (self.take('"') || self.take('\\'))) {
                return None;
            }
        }
    }

    /// At most 15 digits, or 12 before and 3 after the point.
    fn number(&mut self) -> Option<Option<&'t str>> {
        self.take('-');
        let whole = self.run(|byte| byte.is_ascii_digit()).len();
        if !self.take('.') {
            return (1..=15).contains(&whole).then_some(None);
        }
        let fraction = self.run(|byte| byte.is_ascii_digit()).len();
        ((1..=12).contains(&whole) && (1..=3).contains(&fraction)).then_some(None)
    }

    /// Bytes in base64, which are not validated further.
    fn binary(&mut self) -> Option<Option<&'t str>> {
        self.take(':');
        self.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.take(':').then_some(None)
    }

    /// Percent-encoded Unicode text.
    fn display(&mut self) -> Option<Option<&'t str>> {
        self.take('%');
        if !self.take('"') {
            return None;
        }
        self.run(|byte| matches!(byte, b' '..=b'~') && byte != b'"');
        self.take('"').then_some(None)
    }

    fn parameters(&mut self, mut each: impl FnMut(&'t str, Option<&'t str>)) -> Option<()> {
        while self.take(';') {
            self.skip(&[' ']);
            let key = self.key()?;
            let value = if self.take('=') { self.item()? } else { None };
            each(key, value);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64Mcg;
    use rand_pcg::rand_core::{Rng, SeedableRng};
    use sfv::{BareItem, Dictionary, ListEntry, Parser};

    use super::*;

    /// Keys and versions as the crate reads them.
    fn read_by_crate(text: &str) -> Option<Vec<(String, Option<String>)>> {
        let read: Dictionary = Parser::new(text).parse().ok()?;
        let version = |entry: ListEntry| match entry {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::Token(token) => Some(token.to_string()),
                // A string with escapes is not a name.
                BareItem::String(text) => {
                    let text = text.to_string();
                    (!text.contains(['"', '\\'])).then_some(text)
                }
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        };
        let members = read.into_iter();
        Some(
            members
                .map(|(key, entry)| (key.to_string(), version(entry)))
                .collect(),
        )
    }

    fn read_by_divvy(text: &str) -> Option<Vec<(String, Option<String>)>> {
        let members = dictionary(text.as_bytes())?.into_iter();
        let seen = members.map(|member| (member.key.into(), member.version.map(Into::into)));
        Some(seen.collect())
    }

    #[test]
    fn reads_the_same_dictionaries_as_the_crate() {
        const PARTS: [&str; 40] = [
            "a",
            "b",
            "checkout",
            "*k",
            "A",
            "=",
            "=",
            "=",
            ";",
            ";",
            ", ",
            ",",
            ",\t",
            " ",
            "\t",
            "v2",
            "V-1",
            "*",
            "t/x:y",
            "\"",
            "\"v 2\"",
            "\"a\\\"b\"",
            "\\",
            "\"2x\"",
            "?1",
            "?0",
            "?2",
            "1",
            "-1",
            "1.5",
            "1.",
            "1.2345",
            "@1",
            "@1.5",
            "(",
            ")",
            "(a 1)",
            "(a  b;q=1)",
            "reason=split",
            "123456789012345",
        ];
        let mut draw = Pcg64Mcg::seed_from_u64(6);
        let mut dictionaries = 0;
        for _ in 0..300_000 {
            // A dictionary in which one part in eight is replaced.
            let mut text = String::new();
            for nth in 0..draw.next_u32() % 4 {
                let separator = if nth > 0 { ", " } else { "" };
                for usual in [separator, "checkout", "=", "v2", ";", "reason=split"] {
                    let other = PARTS[draw.next_u32() as usize % PARTS.len()];
                    text.push_str(if draw.next_u32() % 8 == 0 {
                        other
                    } else {
                        usual
                    });
                }
            }
            let (ours, theirs) = (read_by_divvy(&text), read_by_crate(&text));
            let same_keys = |mut members: Vec<(String, Option<String>)>| {
                members.sort();
                members
            };
            assert_eq!(
                ours.clone().map(same_keys),
                theirs.map(same_keys),
                "{text:?}"
            );
            dictionaries += u32::from(ours.is_some_and(|members| members.len() > 1));
        }
        assert!(dictionaries > 1_000, "only {dictionaries}");
    }

    #[test]
    fn binary_and_display_values_are_skipped() {
        for (text, keys) in [
            ("a=:aGk=:, b=c", Some(2)),
            ("a=%\"f%c3%bc\", b=c", Some(2)),
            ("a=:aGk=, b=c", None),
            ("a=%x", None),
            ("a=\"\u{fc}\"", None),
            ("\u{fc}=a", None),
        ] {
            assert_eq!(
                read_by_divvy(text).map(|members| members.len()),
                keys,
                "{text}"
            );
        }
        assert_eq!(dictionary(b"a=b\xff"), None);
    }

    #[test]
    fn a_member_keeps_its_text_and_the_last_of_equal_keys_wins() {
        let members = dictionary(b"  a=1;x=\"y, z\" ,b;q , a=(c  d);r=?0").unwrap();
        let texts: Vec<_> = members.iter().map(|member| &*member.text).collect();
        assert_eq!(texts, ["b;q", "a=(c  d);r=?0"]);
    }
}
