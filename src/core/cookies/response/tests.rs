//! The cases of RFC 9111, RFC 9213 and Surrogate-Control, as a table.

use std::time::Duration;

use super::ResponseRules;

/// 2026-06-01T00:00:00Z
const NOW: Duration = Duration::from_secs(1_780_272_000);
const YESTERDAY: &str = "Sun, 31 May 2026 00:00:00 GMT";
const TODAY: &str = "Mon, 01 Jun 2026 00:00:00 GMT";
const TOMORROW: &str = "Tue, 02 Jun 2026 00:00:00 GMT";

fn rules(lines: &[(&str, &str)]) -> ResponseRules {
    let mut rules = ResponseRules::default();
    for (name, value) in lines {
        rules.read(name.as_bytes(), value.as_bytes());
    }
    rules
}

fn may_be_shared(lines: &[(&str, &str)]) -> bool {
    rules(lines).may_be_shared(|| Some(NOW))
}

#[test]
fn cache_control_decides_whether_a_shared_cache_may_store_the_response() {
    for (line, shared) in [
        ("", false),
        ("public", true),
        ("Public", true),
        ("max-age=60", true),
        ("max-age=1, must-revalidate", true),
        ("MAX-AGE=60", true),
        ("s-maxage=60", true),
        ("s-maxage=0", true),
        ("S-MaxAge = 60", true),
        ("immutable, max-age=31536000", true),
        // Nothing is fresh.
        ("max-age=0", false),
        ("max-age=000", false),
        ("no-cache", false),
        ("must-revalidate", false),
        ("stale-while-revalidate=60", false),
        // What prevents it.
        ("no-store", false),
        ("private", false),
        ("private, max-age=60", false),
        ("max-age=60,private", false),
        ("max-age=60 , PRIVATE ", false),
        ("public, no-store", false),
        ("s-maxage=60, No-Store", false),
        // What does not.
        ("no-cache, max-age=60", true),
        ("no-cache=\"set-cookie\", max-age=60", true),
        ("private=\"set-cookie\", max-age=60", true),
        ("private=\"\", max-age=60", true),
        ("private=set-cookie, max-age=60", true),
        ("must-understand, max-age=60", true),
        // Directive names in quoted strings and in other names.
        ("ext=\"public\"", false),
        ("ext=\"a, public, max-age=60\"", false),
        ("ext=\"a\\\", public\"", false),
        ("ext=\"a\\\\\", public", true),
        ("ext=\"private, no-store\", max-age=60", true),
        ("private=\"x-a, no-store\", public", true),
        ("publicity, x-max-age=60, max-age-x=60", false),
        ("x=public", false),
        ("not-private, max-age=60", true),
        // A quoted string without an end.
        ("ext=\"a, max-age=60", true),
        ("ext=\"a, public, private", true),
        ("private, ext=\"a, public", true),
        ("private, ext=\"a", false),
        // Numbers.
        ("max-age=\"60\"", true),
        ("max-age=\" 60\"", true),
        ("max-age=\"0\"", false),
        ("max-age= 60", true),
        ("max-age=00060", true),
        ("max-age=99999999999999999999999999", true),
        ("max-age=2147483648", true),
        ("max-age=60s", true),
        ("max-age=1.5", true),
        ("max-age", false),
        ("max-age=", false),
        ("max-age=\"\"", false),
        ("max-age=-1", false),
        ("max-age=+60", false),
        ("max-age=abc", false),
        ("max-age=0x10", false),
        // Lists.
        (",, ,max-age=60,,", true),
        ("max-age=0, max-age=60", true),
        ("max-age=60, max-age=0", true),
        ("\tmax-age=60\t,\tx", true),
    ] {
        assert_eq!(may_be_shared(&[("cache-control", line)]), shared, "{line}");
    }
}

#[test]
fn lines_of_cache_control_are_one_list() {
    for (lines, shared) in [
        (["no-cache", "s-maxage=60"], true),
        (["public", "private"], false),
        (["private", "max-age=60"], false),
        (["max-age=60", "no-store"], false),
        (["", "max-age=60"], true),
    ] {
        let both = lines.map(|line| ("cache-control", line));
        assert_eq!(may_be_shared(&both), shared, "{lines:?}");
    }
}

#[test]
fn expires_counts_from_the_date_of_the_response_or_from_now() {
    for (lines, shared) in [
        (&[("expires", TOMORROW)][..], true),
        (&[("expires", TODAY)], false),
        (&[("expires", YESTERDAY)], false),
        (&[("expires", "Tuesday, 02-Jun-26 00:00:00 GMT")], true),
        (&[("expires", "Tue Jun  2 00:00:00 2026")], true),
        (&[("expires", "Tue Jun 30 23:59:59 2026")], true),
        (&[("expires", "Sunday, 06-Nov-94 08:49:37 GMT")], false),
        (&[("expires", "Sun Nov  6 08:49:37 1994")], false),
        (&[("expires", "Sun, 06 Nov 1994 08:49:37 GMT")], false),
        // Caches read it, although the day of the week is wrong or the hyphens are.
        (&[("expires", "Mon, 02 Jun 2026 00:00:00 GMT")], true),
        (&[("expires", "Tue, 02-Jun-2026 00:00:00 GMT")], true),
        // Not a date: in the past.
        (&[("expires", "0")], false),
        (&[("expires", "-1")], false),
        (&[("expires", "")], false),
        (&[("expires", "tomorrow")], false),
        (&[("expires", "Tue, 02 Jun 2026 00:00:00 CET")], false),
        (&[("expires", "1780358400")], false),
        (&[("expires", "Tue, 02 June 2026 00:00:00 GMT")], false),
        (&[("expires", "Tue, 02 anF 2026 00:00:00 GMT")], false),
        (&[("expires", "Tue, 31 Jun 2026 00:00:00 GMT")], false),
        (&[("expires", "Tue, 02 Jun 2026 25:00:00 GMT")], false),
        (&[("expires", "Tue, 02 Jun 20260 00:00:00 GMT")], false),
        (&[("expires", "Tue, 02 Jun 2026")], false),
        (&[("expires", "2026-06-02T00:00:00Z")], false),
        (&[("expires", YESTERDAY), ("expires", TOMORROW)], true),
        (&[("expires", "0"), ("expires", TOMORROW)], true),
        (&[("expires", "0"), ("date", YESTERDAY)], false),
        // The clock of the upstream.
        (&[("expires", TODAY), ("date", YESTERDAY)], true),
        (&[("date", YESTERDAY), ("expires", TODAY)], true),
        (&[("expires", TOMORROW), ("date", TOMORROW)], false),
        (&[("expires", TODAY), ("date", TOMORROW)], false),
        (&[("expires", TOMORROW), ("date", "0")], true),
        (&[("expires", TODAY), ("date", "0")], false),
        // Beside cache-control.
        (
            &[("expires", TOMORROW), ("cache-control", "private")],
            false,
        ),
        (
            &[("expires", TOMORROW), ("cache-control", "no-store")],
            false,
        ),
        (
            &[("expires", TOMORROW), ("cache-control", "no-cache")],
            true,
        ),
        (
            &[("expires", TOMORROW), ("cache-control", "max-age=0")],
            true,
        ),
        (&[("expires", "0"), ("cache-control", "max-age=60")], true),
    ] {
        assert_eq!(may_be_shared(lines), shared, "{lines:?}");
    }
    let without_a_clock = |line| rules(&[("expires", line)]).may_be_shared(|| None);
    assert!(without_a_clock(YESTERDAY), "it may be in the future");
    assert!(!without_a_clock("0"));
}

#[test]
fn the_clock_is_read_only_for_a_date_in_expires() {
    for lines in [
        &[("cache-control", "max-age=0"), ("date", TODAY)][..],
        &[("expires", "0")],
        &[("expires", TOMORROW), ("date", TODAY)],
        &[("expires", TOMORROW), ("cache-control", "private")],
        &[("expires", TOMORROW), ("cache-control", "public")],
    ] {
        rules(lines).may_be_shared(|| panic!("{lines:?}"));
    }
}

#[test]
fn headers_for_special_caches_are_judged_by_their_own_directives() {
    for (lines, shared) in [
        (&[("cdn-cache-control", "max-age=60")][..], true),
        (&[("cdn-cache-control", "s-maxage=60")], true),
        (&[("cdn-cache-control", "public")], true),
        (&[("cdn-cache-control", "max-age=0")], false),
        (&[("cdn-cache-control", "no-store")], false),
        (&[("cdn-cache-control", "max-age=60, private")], false),
        (&[("example-cdn-cache-control", "max-age=60")], true),
        (&[("surrogate-control", "max-age=60")], true),
        (&[("surrogate-control", "max-age=60+30")], true),
        (&[("surrogate-control", "max-age=60;abc")], true),
        (&[("surrogate-control", "content=\"ESI/1.0\"")], false),
        (&[("surrogate-control", "no-store, max-age=60")], false),
        (&[("surrogate-control", "no-store;abc, max-age=60")], true),
        (
            &[("surrogate-control", "no-store-remote, max-age=60")],
            true,
        ),
        // The others read cache-control.
        (
            &[
                ("cache-control", "private"),
                ("cdn-cache-control", "max-age=60"),
            ],
            true,
        ),
        (
            &[
                ("cache-control", "no-store"),
                ("surrogate-control", "max-age=60"),
            ],
            true,
        ),
        (
            &[
                ("cache-control", "max-age=60"),
                ("cdn-cache-control", "no-store"),
            ],
            true,
        ),
        (
            &[("expires", TOMORROW), ("surrogate-control", "no-store")],
            true,
        ),
        (
            &[
                ("cdn-cache-control", "max-age=60"),
                ("surrogate-control", "no-store"),
            ],
            true,
        ),
        (&[("x-cache-control", "max-age=60")], false),
        (&[("pragma", "public")], false),
    ] {
        assert_eq!(may_be_shared(lines), shared, "{lines:?}");
    }
}

#[test]
fn only_a_whole_response_to_a_browser_carries_cookies() {
    for (status, content_type, allowed) in [
        ("200", "text/html", true),
        ("201", "", true),
        ("204", "", true),
        ("301", "", true),
        ("302", "", true),
        ("404", "text/html", true),
        ("503", "text/plain", true),
        ("100", "", false),
        ("101", "", false),
        ("103", "", false),
        ("304", "", false),
        ("", "", false),
        ("200", "application/grpc", false),
        ("200", "application/grpc+proto", false),
        ("200", "application/grpc;x=y", false),
        ("200", "application/grpc-web", true),
    ] {
        let lines = [(":status", status), ("content-type", content_type)];
        let allows = rules(&lines).allow_cookies(|| Some(NOW));
        assert_eq!(allows, allowed, "{status} {content_type}");
        let stored = [lines[0], lines[1], ("cache-control", "max-age=1")];
        assert!(!rules(&stored).allow_cookies(|| Some(NOW)), "{stored:?}");
    }
}
