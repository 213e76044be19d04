//! Sticky cookies and overrides, with and without a signature.

use std::time::{SystemTime, UNIX_EPOCH};

use divvy::overrides::OverrideClaims;
use divvy::signature::{KeyPurpose, KeyRing};
use serde_json::{Value, json};

use super::{
    KEYS, SIGNED_OTHER, SIGNED_USER, SIGNED_V2, SIGNED_V2_OF_USER, UNSIGNED_V2, case, config,
    cookie, open, signed, split,
};
use crate::Group;
use crate::build::with;

pub(super) fn sticky() -> Vec<Group> {
    let sources = json!({"identity": [{"header": "x-user-id"}]});
    let held = |sticky: Value| split(&json!({"sticky": sticky}), &sources);
    let sent = |value: &str, decision: &str| {
        let cookie = format!("got={value}");
        case(&[("x-user-id", "1"), ("cookie", &cookie)], decision)
    };
    vec![
        open(
            "open",
            held(json!({"cookie": "got"})),
            vec![
                case(&[("x-user-id", "1")], "v1 split"),
                sent(UNSIGNED_V2, "v2 sticky"),
                sent(SIGNED_V2, "v1 split"),
            ],
        ),
        signed(
            "closed by a signature",
            held(json!({"cookie": "got", "signed": true})),
            vec![
                sent(UNSIGNED_V2, "v1 split"),
                sent(&SIGNED_V2.replace("lHsW", "lhsW"), "v1 split"),
                sent(&SIGNED_V2.replace("htls0", "htls1"), "v1 split"),
                sent(&SIGNED_V2.replace("2027a", "2026d"), "v1 split"),
                sent(SIGNED_V2_OF_USER, "v1 split"),
                sent(&format!("{UNSIGNED_V2}; got={SIGNED_V2}"), "v2 sticky"),
                sent(SIGNED_V2, "v2 sticky"),
            ],
        ),
    ]
}

pub(super) fn of_another_user() -> Vec<Group> {
    let by_header = json!({"identity": [{"header": "x-user-id"}]});
    let by_cookie = json!({"identity": [{"cookie": "id", "mint": {"signed": true}}]});
    let open_sticky = json!({"sticky": {"cookie": "got"}});
    let signed_sticky = json!({"sticky": {"cookie": "got", "signed": true}});
    let sent = |value: &str| {
        [
            ("x-user-id", "1".to_owned()),
            ("cookie", format!("got={value}")),
        ]
    };
    let [unbound, bound] = [UNSIGNED_V2, SIGNED_V2].map(sent);
    let case_of = |lines: &[(&str, String); 2]| {
        let lines = lines.each_ref().map(|(name, value)| (*name, &**value));
        case(&lines, "v2 sticky")
    };
    let both = |user: &str, value: &str, decision: &str| {
        cookie(&format!("id={user}; got={value}"), decision)
    };
    vec![
        open(
            "open",
            split(&open_sticky, &by_header),
            vec![case_of(&unbound)],
        ),
        signed(
            "open with a signature, where no identity is minted",
            split(&signed_sticky, &by_header),
            vec![case_of(&bound)],
        ),
        signed(
            "closed by a signature over the minted identity",
            split(&signed_sticky, &by_cookie),
            vec![
                both(SIGNED_USER, SIGNED_V2_OF_USER, "v2 sticky"),
                both(SIGNED_OTHER, SIGNED_V2_OF_USER, "v1 split"),
            ],
        ),
    ]
}

/// An override for v2 that differs from a good one in this.
fn token(change: impl FnOnce(&mut OverrideClaims<'_>)) -> String {
    let KeyRing::Known(keys) = KeyRing::read(Some(KEYS.as_bytes())) else {
        panic!("the keys are valid");
    };
    let from = now() / 1_000;
    let mut claims = OverrideClaims {
        rollout: "checkout",
        version: "v2",
        identity: None,
        host: None,
        from,
        to: from + 3_600,
        random: [1; 8],
    };
    change(&mut claims);
    let token = claims.sign(&keys.of(KeyPurpose::Override));
    token.expect("the override can be signed")
}

/// Milliseconds since 1970, for the clocks of the suites: the overrides are valid now.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_millis();
    u64::try_from(now).expect("it is before the year 500,000,000")
}

pub(super) fn overrides() -> Vec<Group> {
    let places = json!({"header": "x-ov", "cookie": "ov", "query": "ov"});
    let read = |more: &Value| config(&json!({}), &with(json!({"overrides": places}), more));
    let good = token(|_| {});
    let everywhere = |token: &str, decision: &str| {
        [
            (":path", format!("/?ov={token}")),
            ("x-ov", token.to_owned()),
            ("cookie", format!("ov={token}")),
        ]
        .map(|(name, value)| case(&[(name, &value)], decision))
    };
    let all = |tokens: &[&str], decision: &str| {
        let cases = tokens.iter();
        cases
            .flat_map(|token| everywhere(token, decision))
            .collect::<Vec<_>>()
    };
    let day = 24 * 3_600;
    let refused = [
        "1".to_owned(),
        "checkout=v2".to_owned(),
        good.rsplit_once(':').expect("a signature").0.to_owned(),
        good.replace(":v2:", ":v1:"),
        good.replace("2027a", "2026d"),
        token(|claims| claims.host = Some("other.example.com")),
        token(|claims| claims.identity = Some(b"42")),
        token(|claims| claims.rollout = "search"),
        token(|claims| claims.to = claims.from + day + 1),
        token(|claims| (claims.from, claims.to) = (claims.from - 7_200, claims.from - 1)),
    ];
    let refused = refused.each_ref().map(String::as_str);
    let for_shop = token(|claims| claims.host = Some("shop.example.com"));
    let at =
        |host: &str, decision: &str| case(&[(":authority", host), ("x-ov", &for_shop)], decision);
    let for_user = token(|claims| claims.identity = Some(b"42"));
    let of =
        |user: &str, decision: &str| case(&[("x-user-id", user), ("x-ov", &for_user)], decision);
    vec![
        open(
            "closed without the field",
            config(&json!({}), &json!({})),
            all(&[&good], "v1 active"),
        ),
        signed(
            "open with a signature",
            read(&json!({})),
            all(&[&good], "v2 override"),
        ),
        signed(
            "closed without one",
            read(&json!({})),
            all(&refused, "v1 active"),
        ),
        signed(
            "closed by overridesAfter",
            read(&json!({"overridesAfter": "2999-12-01T00:00:00Z"})),
            all(&[&good], "v1 active"),
        ),
        signed(
            "closed by a host",
            read(&json!({})),
            vec![
                at("shop.example.com", "v2 override"),
                at("SHOP.example.com.:8080", "v2 override"),
                at("example.com", "v1 active"),
                at("shop.example.com.evil.example", "v1 active"),
                at("shop.example.com..", "v1 active"),
            ],
        ),
        signed(
            "closed by an identity",
            read(&json!({"identity": [{"header": "x-user-id"}]})),
            vec![
                of("42", "v2 override"),
                of("43", "v1 active"),
                of("*", "v1 active"),
            ],
        ),
    ]
}
