//! Lines with an unusual spelling.

use super::{Try, lines, other, value};
use crate::spoofing::sent::Expected::{Refused, With, Without};
use crate::spoofing::sent::field;
use crate::spoofing::what::{Kind, What};

pub fn letter_case(what: &What, _: bool) -> Vec<Try> {
    let upper = what.line_of(what.name.to_uppercase(), what.value);
    let mut tries = vec![value(what, what.value.to_uppercase())];
    if what.kind == Kind::Cookie {
        let shouted = [b"COOKIE", &what.line()["cookie".len()..]].concat();
        // Header names are case-insensitive, cookie names are not.
        tries.push(lines(what, &[shouted], With));
        tries.push(lines(what, &[upper], Without));
    } else {
        let mixed = what.line_of(alternating(what.name), what.value);
        tries.push(lines(what, &[upper], With));
        tries.push(lines(what, &[mixed], With));
    }
    tries
}

fn alternating(name: &str) -> String {
    let cased = name.char_indices().map(|(at, char)| match at % 2 {
        0 => char,
        _ => char.to_ascii_uppercase(),
    });
    cased.collect()
}

pub fn duplicates(what: &What, _: bool) -> Vec<Try> {
    let ours = what.line();
    let others = what.line_of(what.name, what.other());
    let upper = what.line_of(what.name.to_uppercase(), what.value);
    let joined = format!("{0}, {0}", what.value);
    let mut tries = vec![value(what, joined)];
    if what.kind == Kind::Cookie {
        // The first cookie of a name counts, on any number of lines.
        let in_one = |first: &str, second: &str| {
            let second = format!("{first}; {}={second}", what.name);
            vec![what.line_of(what.name, second)]
        };
        let others_first = other(what, what.other());
        tries.push(lines(what, &in_one(what.value, what.other()), With));
        tries.push(lines(
            what,
            &in_one(what.other(), what.value),
            others_first.clone(),
        ));
        tries.push(lines(what, &[ours.clone(), others.clone()], With));
        tries.push(lines(what, &[others, ours], others_first));
    } else {
        // A repeated identity header is unusable. A condition holds if it holds for one of the lines.
        let both = if what.is_identity { Without } else { With };
        for pair in [
            [ours.clone(), ours.clone()],
            [ours.clone(), others.clone()],
            [others, ours.clone()],
            [ours, upper],
        ] {
            tries.push(lines(what, &pair, both.clone()));
        }
    }
    tries
}

pub fn underscores(what: &What, _: bool) -> Vec<Try> {
    let names = match what.kind {
        Kind::Cookie => vec![what.name.replace('_', "-")],
        Kind::Header | Kind::Written => vec![
            what.name.replace('-', "_"),
            what.name.replacen('-', "_", 1),
            what.name.replace('-', "_").to_uppercase(),
        ],
    };
    let mut tries = Vec::new();
    for name in names {
        let forged = what.line_of(&name, what.value);
        let others = what.line_of(&name, what.other());
        tries.push(lines(what, &[forged], Without));
        // Not a duplicate either.
        tries.push(lines(what, &[others, what.line()], With));
    }
    tries
}

pub fn folded_lines(what: &What, _: bool) -> Vec<Try> {
    let (name, rest) = field(&what.line());
    let name = name.as_bytes();
    let with = |line: &[&[u8]], expected| lines(what, &[line.concat()], expected);
    let ours = &*what.line();
    let (first, last) = what.value.split_at(1);
    let in_two = format!("{first}\r\n {last}");
    let mut tries = vec![
        // A folded line is one value; Envoy replaces the fold by a space.
        with(&[name, b":\r\n ", &rest], With),
        with(&[name, b": ", &rest, b"\r\n\t"], With),
        lines(
            what,
            &[what.line_of(what.name, in_two)],
            other(what, format!("{first} {last}")),
        ),
        // A part of another header is not a header,
        with(&[b"x-harmless: 1\r\n ", ours], Without),
        with(&[b"x-harmless: 1\r\n\t", ours], Without),
        with(&[b"x-harmless: 1\r", ours], Without),
        // but Envoy treats a bare line feed as a line end, and forwards two lines.
        with(&[b"x-harmless: 1\n", ours], With),
        with(&[b" ", ours], Refused(400)),
        with(&[name, b" : ", &rest], Refused(400)),
        with(&[name, b"\r\n : ", &rest], Refused(400)),
        with(&[b"x-harmless: 1\0", ours], Refused(400)),
    ];
    if what.kind == Kind::Cookie {
        tries.push(with(&[b"cookie: a=1;\r\n ", &rest], With));
    }
    tries
}

pub fn bytes_above_ascii(what: &What, _: bool) -> Vec<Try> {
    let ours = what.value.as_bytes();
    let mut tries = Vec::new();
    // For divvy a no-break space is not white space, and typographic quotes are not quotes.
    for (before, after) in [("", "\u{a0}"), ("\u{a0}", ""), ("“", "”")] {
        tries.push(value(
            what,
            [before.as_bytes(), ours, after.as_bytes()].concat(),
        ));
    }
    for (before, after) in [(&b""[..], &b"\xff"[..]), (b"\x80", b""), (b"\xa0", b"\xa0")] {
        tries.push(value(what, [before, ours, after].concat()));
    }
    let name = [what.name.as_bytes(), b"\xff"].concat();
    let expected = match what.kind {
        Kind::Cookie => Without,
        Kind::Header | Kind::Written => Refused(400),
    };
    tries.push(lines(what, &[what.line_of(name, ours)], expected));
    tries
}
