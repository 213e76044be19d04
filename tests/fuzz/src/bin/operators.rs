//! `regex`, `range` and `cidr`: a line with the operator and its argument, then a value.
#![no_main]

use std::fmt::Write as _;

use divvy::condition::cidr::{Networks, network};
use divvy::condition::range::Range;
use divvy::condition::regex::Regex;
use divvy_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (line, value) = text::first_line(bytes);
    let Ok(line) = std::str::from_utf8(line) else {
        return;
    };
    match line.split_once(' ') {
        Some(("regex", pattern)) => regex(pattern, value),
        Some(("range", number)) => range(number, value),
        Some(("cidr", network)) => cidr(network, value),
        _ => {}
    }
});

fn regex(pattern: &str, value: &[u8]) {
    for ignore_case in [false, true] {
        match Regex::new(pattern, ignore_case) {
            Ok(pattern) => drop(pattern.matches(value)),
            Err(error) => assert!(!error.is_empty()),
        }
    }
    // A value escaped as a pattern matches itself only.
    let Ok(text) = std::str::from_utf8(value) else {
        return;
    };
    let mut literal = String::new();
    for character in text.chars().take(100) {
        let _ = write!(literal, r"\x{{{:x}}}", u32::from(character));
    }
    let text: String = text.chars().take(100).collect();
    let literal = Regex::new(&literal, false).expect("the pattern is valid");
    assert!(literal.matches(text.as_bytes()));
    assert!(!literal.matches(format!("{text}x").as_bytes()));
    assert!(!literal.matches(format!("x{text}").as_bytes()));
}

fn range(number: &str, value: &[u8]) {
    let Some(number) = number
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
    else {
        return;
    };
    let accepts = |min, max| Range { min, max }.accepts(value);
    let sides = [accepts(Some(number), None), accepts(None, Some(number))];
    let known = accepts(None, None);
    assert_eq!(
        sides.into_iter().filter(|side| *side).count(),
        usize::from(known)
    );
    assert!(!accepts(Some(number), Some(number)), "an empty range");
    if known {
        let text = std::str::from_utf8(value).expect("a number is text");
        assert!(text.parse::<f64>().is_ok_and(f64::is_finite));
    }
}

fn cidr(text: &str, value: &[u8]) {
    let Ok(network) = network(text) else {
        return;
    };
    let networks = Networks::new(vec![network]);
    for address in [network.network(), network.broadcast()] {
        let inside = networks.contain(address.to_string().as_bytes());
        // An IPv4-mapped IPv6 address is an IPv4 address, in no IPv6 network.
        assert!(inside || address.to_canonical() != address);
    }
    let everything = ["0.0.0.0/0", "::/0"].map(|all| all.parse().expect("the network is valid"));
    let is_address = Networks::new(everything.into()).contain(value);
    assert!(is_address || !networks.contain(value));
}
