//! The lines of a `cookie` header.
#![no_main]

use std::sync::LazyLock;

use divvy::request::{CookieId, Names, Request};
use divvy_fuzz::{Pair, invariants, is_part, policies};
use libfuzzer_sys::fuzz_target;

static NAMES: LazyLock<(Names, [(&str, CookieId); 2])> = LazyLock::new(|| {
    let mut names = Names::default();
    let ids = ["uid", "ring"].map(|name| (name, names.cookie(name)));
    (names, ids)
});

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for (name, id) in NAMES.1 {
        let value = value_of(id, &lines);
        if let Some(value) = &value {
            check_value(value, &lines);
        }
        // The first cookie of a name counts; cookies of other names do not.
        let (mine, other) = (format!("{name}=mine"), format!("x{name}=other; y=\"; z"));
        let mine = mine.as_bytes();
        let other = other.as_bytes();
        assert_eq!(
            value_of(id, &[&[mine], &lines[..]].concat()),
            Some(&b"mine"[..])
        );
        let last = value_of(id, &[&lines[..], &[mine]].concat());
        assert_eq!(last, value.or(Some(b"mine")));
        assert_eq!(
            value_of(id, &[&[other], &lines[..], &[other]].concat()),
            value
        );
    }

    // Any bytes that a cookie can contain are read unchanged.
    let [(_, uid), _] = NAMES.1;
    let plain: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b';').collect();
    let plain = plain.trim_ascii();
    if !plain.starts_with(b"\"") {
        assert_eq!(
            value_of(uid, &[&[b"a=1; uid=", plain].concat()]),
            Some(plain)
        );
    }
    assert_eq!(
        value_of(uid, &[&[b"uid=\"", plain, b"\" ;uid=x"].concat()]),
        Some(plain)
    );

    let mut headers: Vec<Pair<'_>> = vec![(b":path", b"/checkout?preview=1.html")];
    headers.extend(lines.iter().map(|line| (&b"cookie"[..], *line)));
    invariants::check_lines(policies::rich(), &headers);
});

fn value_of<'a>(id: CookieId, lines: &[&'a [u8]]) -> Option<&'a [u8]> {
    let lines = lines.iter().map(|line| (&b"cookie"[..], *line));
    Request::from_headers(&NAMES.0, lines).cookie(id)
}

fn check_value(value: &[u8], lines: &[&[u8]]) {
    let line = lines.iter().find(|line| is_part(value, line));
    let line = line.expect("the value is a part of a line");
    assert!(!value.contains(&b';'));
    let before = value.as_ptr().addr() - line.as_ptr().addr();
    let quoted = line[..before].ends_with(b"\"");
    assert!(
        quoted || value.trim_ascii() == value,
        "white space around the value"
    );
}
