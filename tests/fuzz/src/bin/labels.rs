//! The lines of a label header, `k=v;k=v`.
#![no_main]

use std::sync::LazyLock;

use divvy::request::{LabelId, Names, Request};
use divvy_fuzz::{Pair, invariants, is_part, policies};
use libfuzzer_sys::fuzz_target;

const HEADER: &str = "x-traffic-label";

static NAMES: LazyLock<(Names, LabelId)> = LazyLock::new(|| {
    let mut names = Names::default();
    let header = names.header(HEADER);
    let id = names.label(header, "ring");
    (names, id)
});

fuzz_target!(|bytes: &[u8]| {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let values = values_of(&lines);
    assert!(values.len() <= lines.len(), "at most one per line");
    for value in &values {
        assert!(lines.iter().any(|line| is_part(value, line)));
        assert!(!value.contains(&b';') && value.trim_ascii() == *value);
    }
    for line in &lines {
        // The first label of a key counts per line; malformed pairs and other keys do not.
        let value = values_of(&[line]);
        let mine = [b"ring=mine;", *line].concat();
        assert_eq!(values_of(&[&mine]), [b"mine"]);
        let last = [line, &b";ring=mine"[..]].concat();
        let expected = value.first().copied().unwrap_or(b"mine");
        assert_eq!(values_of(&[&last]), [expected]);
        let around = [b"=x;ring;xring=1; =;", *line, b";ringx=1;;="].concat();
        assert_eq!(values_of(&[&around]), value);
    }

    // Any bytes that a label can contain are read unchanged.
    let plain: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b';').collect();
    let line = [b"a=1; ring = ", &plain[..], b" ;b=2"].concat();
    assert_eq!(values_of(&[&line]), [plain.trim_ascii()]);

    let mut headers: Vec<Pair<'_>> = vec![(b":path", b"/page/one")];
    headers.extend(lines.iter().map(|line| (HEADER.as_bytes(), *line)));
    invariants::check_lines(policies::rich(), &headers);
});

fn values_of<'a>(lines: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let lines = lines.iter().map(|line| (HEADER.as_bytes(), *line));
    let request = Request::from_headers(&NAMES.0, lines);
    request.label(NAMES.1).collect()
}
