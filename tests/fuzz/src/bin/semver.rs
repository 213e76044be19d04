//! Version requirements: a line with the requirement, then a version.
#![no_main]

use divvy::condition::semver::VersionRequirement;
use divvy_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (requirement, version) = text::first_line(bytes);
    check_order(version);
    check_numbers(bytes);
    let Ok(requirement) = std::str::from_utf8(requirement) else {
        return;
    };
    let parsed = match VersionRequirement::parse(requirement) {
        Ok(parsed) => parsed,
        Err(error) => return assert!(!error.is_empty()),
    };
    let accepted = parsed.accepts(version);
    // White space around it, a `v`, a build and the order of comparators change nothing.
    if let Ok(plain) = std::str::from_utf8(version).map(str::trim)
        && plain.len() < 100
    {
        let accepts = |version: String| parsed.accepts(version.as_bytes());
        assert_eq!(accepts(format!(" {plain} ")), accepted);
        if plain.starts_with(|first: char| first.is_ascii_digit()) {
            assert_eq!(accepts(format!("v{plain}")), accepted);
            if !plain.contains('+') && accepted {
                assert!(accepts(format!("{plain}+build.7")));
            }
        }
    }
    let mut parts: Vec<_> = requirement.split(',').collect();
    parts.reverse();
    let reversed = VersionRequirement::parse(&parts.join(",")).expect("the same comparators");
    assert_eq!(reversed.accepts(version), accepted);
    // A comma is "and", but a pre-release passes if any comparator names one.
    if !requirement.contains('-') {
        let each =
            |one: &&str| VersionRequirement::parse(one).is_ok_and(|one| one.accepts(version));
        assert_eq!(parts.iter().all(each), accepted);
    }
});

/// A version that is not a pre-release is less than, equal to or greater than another.
fn check_order(version: &[u8]) {
    let accepts = |requirement: &str| {
        let parsed = VersionRequirement::parse(requirement).expect("the requirement is valid");
        parsed.accepts(version)
    };
    let sides = [accepts("<2.3"), accepts("2.3"), accepts(">2.3")];
    let known = accepts(">=0");
    assert_eq!(
        sides.into_iter().filter(|side| *side).count(),
        usize::from(known)
    );
    assert_eq!(accepts("<=2.3"), sides[0] || sides[1]);
    assert_eq!(accepts(">=2.3"), sides[1] || sides[2]);
}

/// The order of versions is the order of their numbers.
fn check_numbers(bytes: &[u8]) {
    let Some((numbers, _)) = bytes.split_first_chunk::<6>() else {
        return;
    };
    let [a, b, c, x, y, z] = *numbers;
    let version = format!("{x}.{y}.{z}");
    for (sign, holds) in [
        (">=", (x, y, z) >= (a, b, c)),
        (">", (x, y, z) > (a, b, c)),
        ("<", (x, y, z) < (a, b, c)),
        ("", (x, y, z) == (a, b, c)),
    ] {
        let requirement = VersionRequirement::parse(&format!("{sign}{a}.{b}.{c}"))
            .expect("the requirement is valid");
        assert_eq!(requirement.accepts(version.as_bytes()), holds, "{sign}");
    }
}
