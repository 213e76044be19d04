//! Overrides.

use divvy::overrides::OverrideClaims;
use divvy::signature::{KeyPurpose, KeyRing, SignatureResult};
use serde_json::{Value, json};

use super::{HOUR, NEW, NOW, OLD, Site, flipped, ring};

const SECONDS: u64 = NOW / 1_000;
fn config(places: &Value) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "overrides": places,
        "rollouts": [{
            "name": "checkout", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "target": "{version}", "strategy": {"canary": {"version": "v2", "weight": 0}},
            "rules": [{"name": "all", "when": {"path": true, "prefix": "/"}, "use": "v1"}],
        }],
    })
}

fn by_header() -> Value {
    config(&json!({"header": "x-override"}))
}

fn claims() -> OverrideClaims<'static> {
    OverrideClaims {
        rollout: "checkout",
        version: "v2",
        identity: None,
        host: None,
        from: SECONDS,
        to: SECONDS + 7_200,
        random: [1; 8],
    }
}

fn sign(claims: OverrideClaims<'_>, keys: &str) -> String {
    let KeyRing::Known(set) = ring(keys) else {
        panic!("{keys}");
    };
    claims.sign(&set.of(KeyPurpose::Override)).unwrap()
}

const ASKED: &str = "checkout=v2;reason=override";
const ALONE: &str = "checkout=v1;reason=rule";

fn ask(site: &Site, token: &str, others: &[(&str, &str)]) -> super::Visit {
    let path = [
        (":path", "/a"),
        (":authority", "shop.example"),
        ("x-override", token),
    ];
    site.visit(&[&path[..], others].concat())
}

#[test]
fn an_override_is_read_from_each_place_and_removed_from_the_request() {
    let token = sign(claims(), NEW);
    for (places, headers, changes) in [
        (
            json!({"header": "x-override"}),
            vec![
                (":path", "/a?x=1".to_owned()),
                ("x-override", token.clone()),
            ],
            vec![("x-override", None)],
        ),
        (
            json!({"cookie": "ov"}),
            vec![
                (":path", "/a".to_owned()),
                ("cookie", format!("a=b; ov={token}; c=d")),
            ],
            vec![("cookie", Some("a=b; c=d"))],
        ),
        (
            json!({"cookie": "ov"}),
            vec![
                (":path", "/a".to_owned()),
                ("cookie", format!("ov={token}")),
            ],
            vec![("cookie", None)],
        ),
        (
            json!({"query": "ov"}),
            vec![(":path", format!("/a?x=1&ov={token}&y"))],
            vec![(":path", Some("/a?x=1&y"))],
        ),
        (
            json!({"query": "ov"}),
            vec![(":path", format!("/a?ov={token}"))],
            vec![(":path", Some("/a"))],
        ),
        (
            json!({"query": "ov", "cookie": "ov", "header": "x-override"}),
            vec![
                (":path", format!("/?ov={token}&ov=2")),
                ("cookie", "ov=x".to_owned()),
            ],
            vec![("cookie", None), (":path", Some("/"))],
        ),
    ] {
        let site = Site::new(&config(&places), NEW);
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, &**v)).collect();
        let visit = site.visit(&headers);
        assert_eq!(visit.assignment, ASKED, "{places} {headers:?}");
        let changes: Vec<_> = changes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        assert_eq!(visit.changes, changes, "{headers:?}");
        assert_eq!(visit.cookies, [""; 0]);
    }
}

#[test]
fn what_is_not_an_override_is_removed_too_and_other_bytes_stay() {
    let places = json!({"header": "x-override", "cookie": "ov", "query": "ov"});
    let site = Site::new(&config(&places), NEW);
    let visit = site.visit(&[
        (":path", "/%20a?ov&x=%zz&&ov=1&y=a+b"),
        ("cookie", "x=\"q\"; ov=1"),
        ("cookie", "ov; xov=2;ov =3"),
        ("x-override", "junk"),
    ]);
    assert_eq!(visit.assignment, ALONE);
    let expected = [
        ("x-override", None),
        ("cookie", Some("x=\"q\"; ov; xov=2")),
        (":path", Some("/%20a?x=%zz&&y=a+b")),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
    assert_eq!(visit.changes, expected);
    let other = site.visit(&[(":path", "/?x=ov&ovx=1"), ("cookie", "xov=1; a=ov=1")]);
    assert_eq!(other.changes, []);
}

#[test]
fn a_token_with_a_changed_byte_chooses_nothing() {
    let site = Site::new(&by_header(), NEW);
    let identity = Some(&b"42"[..]);
    let host = Some("shop.example");
    let token = sign(
        OverrideClaims {
            identity,
            host,
            ..claims()
        },
        NEW,
    );
    assert_eq!(ask(&site, &token, &[("x-user-id", "42")]).assignment, ASKED);
    for changed in flipped(&token) {
        let headers = [
            (&b":path"[..], &b"/a"[..]),
            (b":authority", b"shop.example"),
            (b"x-user-id", b"42"),
            (b"x-override", &changed),
        ];
        let visit = site.visit_with(headers.into_iter());
        let shown = String::from_utf8_lossy(&changed).into_owned();
        assert_eq!(visit.assignment, ALONE, "{shown}");
    }
    for cut in 0..token.len() {
        assert_eq!(
            ask(&site, &token[..cut], &[("x-user-id", "42")]).assignment,
            ALONE
        );
    }
}

#[test]
fn a_token_counts_for_its_host_identity_rollout_and_time_alone() {
    let site = Site::new(&by_header(), NEW);
    let claims = claims();
    let day = 24 * 3_600;
    for (why, claims, user, asked) in [
        ("everyone", claims, None, true),
        (
            "its host",
            OverrideClaims {
                host: Some("shop.example"),
                ..claims
            },
            None,
            true,
        ),
        (
            "another host",
            OverrideClaims {
                host: Some("other.example"),
                ..claims
            },
            None,
            false,
        ),
        (
            "a host above",
            OverrideClaims {
                host: Some("example"),
                ..claims
            },
            None,
            false,
        ),
        (
            "its identity",
            OverrideClaims {
                identity: Some(b"42"),
                ..claims
            },
            Some("42"),
            true,
        ),
        (
            "another identity",
            OverrideClaims {
                identity: Some(b"42"),
                ..claims
            },
            Some("43"),
            false,
        ),
        (
            "no identity",
            OverrideClaims {
                identity: Some(b"42"),
                ..claims
            },
            None,
            false,
        ),
        (
            "another rollout",
            OverrideClaims {
                rollout: "search",
                ..claims
            },
            None,
            false,
        ),
        (
            "another version",
            OverrideClaims {
                version: "v3",
                ..claims
            },
            None,
            false,
        ),
        (
            "it has ended",
            OverrideClaims {
                from: SECONDS - 60,
                to: SECONDS,
                ..claims
            },
            None,
            false,
        ),
        (
            "its last second",
            OverrideClaims {
                from: SECONDS - 60,
                to: SECONDS + 1,
                ..claims
            },
            None,
            true,
        ),
        (
            "the clocks differ",
            OverrideClaims {
                from: SECONDS + 59,
                ..claims
            },
            None,
            true,
        ),
        (
            "it has not begun",
            OverrideClaims {
                from: SECONDS + 61,
                ..claims
            },
            None,
            false,
        ),
        (
            "a day",
            OverrideClaims {
                to: SECONDS + day,
                ..claims
            },
            None,
            true,
        ),
        (
            "more than a day",
            OverrideClaims {
                to: SECONDS + day + 1,
                ..claims
            },
            None,
            false,
        ),
    ] {
        let token = sign(claims, NEW);
        let user: Vec<_> = user.map(|user| ("x-user-id", user)).into_iter().collect();
        let visit = ask(&site, &token, &user);
        assert_eq!(visit.assignment == ASKED, asked, "{why}: {visit:?}");
    }
    assert_eq!(ask(&site, &sign(claims, OLD), &[]).assignment, ALONE);
    let both = Site::new(&by_header(), &format!("{NEW},{OLD}"));
    assert_eq!(ask(&both, &sign(claims, OLD), &[]).assignment, ASKED);
    let mut unclocked = Site::new(&by_header(), NEW);
    unclocked.world.now = None;
    assert_eq!(ask(&unclocked, &sign(claims, NEW), &[]).assignment, ALONE);
    // A signature for another purpose.
    let KeyRing::Known(set) = ring(NEW) else {
        panic!()
    };
    let wrong = claims.sign(&set.of(KeyPurpose::Sticky)).unwrap();
    assert_eq!(ask(&site, &wrong, &[]).assignment, ALONE);
}

#[test]
fn overrides_after_revokes_earlier_ones() {
    let mut config = by_header();
    config["overridesAfter"] = json!("2026-12-01T00:00:00Z");
    let site = Site::new(&config, NEW).at(NOW + HOUR);
    assert_eq!(ask(&site, &sign(claims(), NEW), &[]).assignment, ASKED);
    let earlier = OverrideClaims {
        from: SECONDS - 1,
        ..claims()
    };
    assert_eq!(ask(&site, &sign(earlier, NEW), &[]).assignment, ALONE);
    assert_eq!(
        site.count(KeyPurpose::Override, SignatureResult::Expired),
        1
    );
}

#[test]
fn of_several_tokens_the_first_valid_one_counts_up_to_the_sixteenth() {
    let site = Site::new(&by_header(), NEW);
    let good = sign(claims(), NEW);
    let bad = sign(claims(), &NEW.replace("ICEi", "ICEj"));
    let foreign = sign(
        OverrideClaims {
            rollout: "search",
            ..claims()
        },
        NEW,
    );
    assert_eq!(ask(&site, &format!("{bad}~{good}"), &[]).assignment, ASKED);
    assert_eq!(
        ask(&site, &format!("{foreign} ~ {good}"), &[]).assignment,
        ASKED
    );
    assert_eq!(ask(&site, &bad, &[("x-override", &good)]).assignment, ASKED);
    for (before, asked) in [(15, true), (16, false), (400, false)] {
        let site = Site::new(&by_header(), NEW);
        let mut tokens = vec![bad.clone(); before];
        tokens.push(good.clone());
        let visit = ask(&site, &tokens.join("~"), &[]);
        assert_eq!(visit.assignment == ASKED, asked, "{before}");
        assert_eq!(site.total(), (before as u32 + 1).min(16));
    }
}

#[test]
fn a_disabled_rollout_obeys_no_override() {
    let mut config = by_header();
    config["rollouts"][0]["enabled"] = json!(false);
    let site = Site::new(&config, NEW);
    let visit = ask(&site, &sign(claims(), NEW), &[]);
    assert_eq!(visit.assignment, "checkout=v1;reason=disabled");
    assert_eq!(site.total(), 0);
}

#[test]
fn an_override_is_not_remembered_and_looks_for_no_identity() {
    let mut config = by_header();
    config["identity"] = json!([{"cookie": "id", "mint": {}}]);
    config["rollouts"][0]["sticky"] = json!({"cookie": "got"});
    config["rollouts"][0]["rules"] = json!([]);
    config["rollouts"][0]["strategy"]["canary"]["weight"] = json!(50);
    let site = Site::new(&config, NEW);
    let visit = ask(&site, &sign(claims(), NEW), &[]);
    assert_eq!((visit.assignment.as_str(), visit.cookies.len()), (ASKED, 0));
    // One for an identity does not mint one.
    let bound = OverrideClaims {
        identity: Some(b"42"),
        ..claims()
    };
    let visit = ask(&site, &sign(bound, NEW), &[]);
    assert!(!visit.assignment.contains("override"), "{visit:?}");
    assert_eq!(visit.cookies.len(), 2);
}
