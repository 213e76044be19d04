//! Signed minted identities, and sticky cookies that are bound to them.

use divvy::signature::{KeyPurpose, SignatureResult};
use serde_json::{Value, json};

use super::{HOUR, NEW, NOW, OLD, Site, flipped, sticky};

fn minting(fields: &Value) -> Value {
    let mut mint = json!({"signed": true});
    for (name, value) in fields.as_object().unwrap() {
        mint[name] = value.clone();
    }
    let mut config = sticky(50.0, &json!({}));
    config["identity"] = json!([{"header": "x-user-id"}, {"cookie": "id", "mint": mint}]);
    config["rollouts"][0]
        .as_object_mut()
        .unwrap()
        .remove("sticky");
    config
}

fn with_sticky(mut config: Value) -> Value {
    config["rollouts"][0]["sticky"] = json!({"cookie": "got", "signed": true});
    config
}

#[test]
fn the_uuid_alone_is_hashed_so_signing_moves_nobody() {
    let mut plain = minting(&json!({}));
    plain["identity"][1]["mint"] = json!({});
    let plain = Site::new(&plain, "");
    let unsigned = plain.visit(&[]);
    let uuid = unsigned.cookie("id").unwrap();
    let signed = Site::new(&minting(&json!({})), NEW).visit(&[]);
    let cookie = signed.cookie("id").unwrap();
    let [identity, key, signature] = cookie.split('.').collect::<Vec<_>>()[..] else {
        panic!("{cookie}");
    };
    assert_eq!((identity, key, signature.len()), (&*uuid, "2027a", 22));
    assert_eq!(signed.assignment, unsigned.assignment);
    // The application sees the cookie from the first request on.
    let sent = ("cookie".to_owned(), Some(format!("id={cookie}")));
    assert!(signed.changes.contains(&sent), "{:?}", signed.changes);
    let site = Site::new(&minting(&json!({})), NEW);
    let back = site.visit(&[("cookie", &format!("id={cookie}"))]);
    assert_eq!((back.assignment, back.cookies), (signed.assignment, vec![]));
}

#[test]
fn a_forged_identity_is_none_and_replaced() {
    let config = minting(&json!({}));
    let site = Site::new(&config, NEW);
    let cookie = site.visit(&[]).cookie("id").unwrap();
    for changed in flipped(&cookie) {
        if changed.contains(&b';') || changed.trim_ascii() == cookie.as_bytes() {
            continue;
        }
        let value = [b"id=", &changed[..]].concat();
        let visit = site.visit_with([(&b"cookie"[..], &value[..])].into_iter());
        let shown = String::from_utf8_lossy(&changed).into_owned();
        assert_eq!(visit.cookie("id").as_ref(), Some(&cookie), "{shown}");
    }
    for value in ["00000000-0000-4000-8000-000000000000", "a", "a.b.c", ""] {
        let visit = site.visit(&[("cookie", &format!("id={value}"))]);
        assert_eq!(visit.cookie("id").as_ref(), Some(&cookie), "{value}");
    }
    assert_eq!(site.count(KeyPurpose::Mint, SignatureResult::Ok), 0);
    assert!(site.count(KeyPurpose::Mint, SignatureResult::Bad) > 100);
}

#[test]
fn identities_without_a_signature_and_of_an_older_key_are_signed_again() {
    let until = minting(&json!({"acceptUnsignedUntil": "2026-12-01T01:00:00Z"}));
    let uuid = "11111111-2222-4333-8444-555555555555";
    let site = Site::new(&until, NEW);
    let visit = site.visit(&[("cookie", &format!("id={uuid}"))]);
    let new = visit.cookie("id").unwrap();
    assert!(new.starts_with(&format!("{uuid}.2027a.")), "{new}");
    let later = Site::new(&until, NEW).at(NOW + HOUR);
    let kept = later.visit(&[("cookie", &format!("id={new}"))]);
    assert_eq!(
        (kept.assignment, kept.cookies.len()),
        (visit.assignment.clone(), 0)
    );
    let lost = later.visit(&[("cookie", &format!("id={uuid}"))]);
    assert!(!lost.cookie("id").unwrap().starts_with(uuid));
    // A value that must not stand in a cookie is not written.
    for odd in ["a b", "\u{e9}", "null", ""] {
        let visit = site.visit(&[("cookie", &format!("id={odd}"))]);
        let written = visit.cookie("id").unwrap_or_default();
        assert!(odd.is_empty() || !written.contains(odd), "{odd}: {written}");
    }
    // Rotation.
    let stages = [
        format!("{NEW},{OLD}"),
        format!("{OLD},{NEW}"),
        OLD.to_owned(),
    ];
    let mut cookie = new;
    for (nth, keys) in stages.iter().enumerate() {
        let site = Site::new(&until, keys).at(NOW + 2 * HOUR);
        let visit = site.visit(&[("cookie", &format!("id={cookie}"))]);
        assert_eq!(
            visit.assignment,
            kept_assignment(&later, &cookie, nth, &visit.assignment)
        );
        assert_eq!(visit.cookie("id").is_some(), nth == 1, "{keys}");
        cookie = visit.cookie("id").unwrap_or(cookie);
        assert!(cookie.starts_with(uuid), "{cookie}");
    }
}

/// What a proxy with the first key says; later cookies are of a key that it does not have.
fn kept_assignment(site: &Site, cookie: &str, nth: usize, otherwise: &str) -> String {
    if nth == 0 {
        return site
            .visit(&[("cookie", &format!("id={cookie}"))])
            .assignment;
    }
    otherwise.to_owned()
}

#[test]
fn a_sticky_cookie_is_worth_nothing_beside_another_identity() {
    let config = with_sticky(minting(&json!({})));
    let site = Site::new(&config, NEW);
    let first = site.visit(&[]);
    let (id, got) = (first.cookie("id").unwrap(), first.cookie("got").unwrap());
    let back = site.visit(&[("cookie", &format!("id={id}; got={got}"))]);
    assert_eq!(back.cookies, [""; 0]);
    let bad = |site: &Site| site.count(KeyPurpose::Sticky, SignatureResult::Bad);
    assert_eq!(bad(&site), 0);
    // With another identity of this site, and with none.
    let other = "11111111-2222-4333-8444-555555555555";
    let until = minting(&json!({"acceptUnsignedUntil": "2026-12-02T00:00:00Z"}));
    let other = Site::new(&until, NEW).visit(&[("cookie", &format!("id={other}"))]);
    let other = other.cookie("id").unwrap();
    let visit = site.visit(&[("cookie", &format!("id={other}; got={got}"))]);
    assert!(!visit.assignment.contains("sticky"), "{visit:?}");
    assert!(bad(&site) > 0);
    let visit = site.visit(&[("cookie", &format!("got={got}"))]);
    assert!(!visit.assignment.contains("sticky"), "{visit:?}");
    // Signing in changes nothing, because the cookie of the identity is still there.
    let signed_in = site.visit(&[
        ("x-user-id", "42"),
        ("cookie", &format!("id={id}; got={got}")),
    ]);
    assert_eq!(signed_in.cookies, [""; 0]);
    assert_eq!(
        signed_in.assignment.split(';').next(),
        first.assignment.split(';').next()
    );
}

#[test]
fn a_sticky_cookie_from_before_the_minted_identity_stays_valid() {
    let config = with_sticky(minting(&json!({})));
    let site = Site::new(&config, NEW);
    let first = site.visit(&[("x-user-id", "42")]);
    assert_eq!(first.cookie("id"), None);
    let got = first.cookie("got").unwrap();
    let id = site.visit(&[]).cookie("id").unwrap();
    let back = site.visit(&[("cookie", &format!("id={id}; got={got}"))]);
    assert_eq!(back.cookies, [""; 0]);
    assert!(
        back.assignment
            .starts_with(first.assignment.split(';').next().unwrap())
    );
}

#[test]
fn rollouts_with_sources_of_their_own_read_the_same_identity() {
    let mut config = minting(&json!({}));
    let site = Site::new(&config, NEW);
    let first = site.visit(&[]);
    let id = first.cookie("id").unwrap();
    config["rollouts"][0]["identity"] = json!([{"cookie": "id"}]);
    let own = Site::new(&config, NEW);
    let visit = own.visit(&[("cookie", &format!("id={id}"))]);
    assert_eq!(visit.assignment, first.assignment);
}
