//! Reads a dictionary of RFC 9651, keeping each member as it stands there.
//!
//! Not a crate, because members that are for somebody else are passed on unchanged, which no
//! parser of values keeps, and because the one there is would make the filter 25 KB larger.
//! [A test](self) holds it against that one.

use super::Member;
use crate::decision::Reason;

/// The members of a dictionary, of equal keys the last. `None` for what is none: then all of
/// it is ignored, as the RFC asks for.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Member>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut from = Reader { rest: text };
    let mut members: Vec<Member> = Vec::new();
    from.skip(&[' ']);
    while !from.rest.is_empty() {
        let begin = from.rest;
        let key = from.key()?;
        let (mut version, mut reason, mut origin) = (None, None, None);
        if from.take('=') {
            version = from.value()?;
        }
        // A key alone is true, and may have parameters as well.
        from.parameters(|name, value| match name {
            "reason" => reason = value.and_then(Reason::of_name),
            "upstream" => origin = value.and_then(Reason::of_name),
            _ => {}
        })?;
        let length = begin.len().checked_sub(from.rest.len())?;
        let text = begin.get(..length)?;
        members.retain(|member| *member.key != *key);
        members.push(Member {
            key: key.into(),
            text: text.into(),
            version: version.map(Into::into),
            reason: match reason {
                Some(Reason::Inherited) => origin,
                reason => reason,
            },
        });
        from.skip(&[' ', '\t']);
        if from.rest.is_empty() {
            break;
        }
        if !from.take(',') {
            return None;
        }
        from.skip(&[' ', '\t']);
        // Nothing may follow the last comma but a member.
        if from.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

/// Goes through a text from left to right.
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

    /// As many characters as are of this kind.
    fn run(&mut self, of: impl Fn(u8) -> bool) -> &'t str {
        let end = self.rest.bytes().position(|byte| !of(byte));
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

    /// A value; the text of it where that is a token, or a string without escapes.
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
                // A date is a whole number of seconds.
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

    /// At most 15 digits, or 12 and 3 behind a point.
    fn number(&mut self) -> Option<Option<&'t str>> {
        self.take('-');
        let whole = self.run(|byte| byte.is_ascii_digit()).len();
        if !self.take('.') {
            return (1..=15).contains(&whole).then_some(None);
        }
        let fraction = self.run(|byte| byte.is_ascii_digit()).len();
        ((1..=12).contains(&whole) && (1..=3).contains(&fraction)).then_some(None)
    }

    /// Bytes in base64, which is not looked into any closer.
    fn binary(&mut self) -> Option<Option<&'t str>> {
        self.take(':');
        self.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.take(':').then_some(None)
    }

    /// Text beyond ASCII, percent-encoded.
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

    /// What the crate reads: keys with the version each, in order.
    fn by_crate(text: &str) -> Option<Vec<(String, Option<String>)>> {
        let read: Dictionary = Parser::new(text).parse().ok()?;
        let version = |entry: ListEntry| match entry {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::Token(token) => Some(token.to_string()),
                // One with escapes is no name.
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

    fn by_us(text: &str) -> Option<Vec<(String, Option<String>)>> {
        let members = read(text.as_bytes())?.into_iter();
        let seen = members.map(|member| (member.key.into(), member.version.map(Into::into)));
        Some(seen.collect())
    }

    #[test]
    fn what_is_a_dictionary_and_what_is_in_it_is_the_same_to_another_parser() {
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
            // A dictionary, in which now and then something else stands.
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
            let (ours, theirs) = (by_us(&text), by_crate(&text));
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
    fn bytes_and_text_beyond_ascii_are_passed_over() {
        for (text, keys) in [
            ("a=:aGk=:, b=c", Some(2)),
            ("a=%\"f%c3%bc\", b=c", Some(2)),
            ("a=:aGk=, b=c", None),
            ("a=%x", None),
            ("a=\"\u{fc}\"", None),
            ("\u{fc}=a", None),
        ] {
            assert_eq!(by_us(text).map(|members| members.len()), keys, "{text}");
        }
        assert_eq!(read(b"a=b\xff"), None);
    }

    #[test]
    fn a_member_is_kept_as_it_stands_and_of_equal_ones_the_last() {
        let read = read(b"  a=1;x=\"y, z\" ,b;q , a=(c  d);r=?0").unwrap();
        let texts: Vec<_> = read.iter().map(|member| &*member.text).collect();
        assert_eq!(texts, ["b;q", "a=(c  d);r=?0"]);
    }
}
