//! Signed sticky cookies.

use divvy::signature::{KeyPurpose, SignatureResult};
use serde_json::{Value, json};

use super::{HOUR, NEW, NOW, OLD, Site, flipped, sticky};

const BAD: (KeyPurpose, SignatureResult) = (KeyPurpose::Sticky, SignatureResult::Bad);
const OK: (KeyPurpose, SignatureResult) = (KeyPurpose::Sticky, SignatureResult::Ok);
const EXPIRED: (KeyPurpose, SignatureResult) = (KeyPurpose::Sticky, SignatureResult::Expired);
const UNKNOWN: (KeyPurpose, SignatureResult) = (KeyPurpose::Sticky, SignatureResult::UnknownKey);

/// A cookie that holds v2, and a user who has v1 without it at a weight of 50 %.
fn v2_cookie(config: &Value, keys: &str) -> (String, String) {
    let site = Site::new(config, keys);
    let users: Vec<String> = (0..100).map(|user: u32| format!("user-{user}")).collect();
    let with = |version: &str| {
        let begin = format!("checkout={version}");
        let mut visits = users
            .iter()
            .map(|user| (user, site.visit(&[("x-user-id", user)])));
        let (user, visit) = visits
            .find(|(_, visit)| visit.assignment.starts_with(&begin))
            .unwrap();
        (user.clone(), visit.cookie("got").unwrap())
    };
    (with("v2").1, with("v1").0)
}

fn come_back(site: &Site, user: &str, cookie: &str) -> super::Visit {
    site.visit(&[("x-user-id", user), ("cookie", &format!("got={cookie}"))])
}

const HELD: &str = "checkout=v2;reason=sticky";
const ALONE: &str = "checkout=v1;reason=split";

#[test]
fn a_signed_cookie_has_the_parts_of_the_contract_and_holds_its_version() {
    let config = sticky(50.0, &json!({}));
    let (cookie, user) = v2_cookie(&config, NEW);
    let parts: Vec<_> = cookie.split(':').collect();
    let [layout, key, epoch, version, position, minute, signature] = parts[..] else {
        panic!("{cookie}");
    };
    assert_eq!((layout, key, version), ("2", "2027a", "v2"));
    assert_eq!((epoch.len(), signature.len()), (8, 22));
    assert!(position.parse::<u32>().unwrap() < 500_000);
    assert_eq!(u64::from_str_radix(minute, 36).unwrap(), NOW / 60_000);
    let site = Site::new(&config, NEW);
    let visit = come_back(&site, &user, &cookie);
    assert_eq!(visit.assignment, HELD);
    assert_eq!(visit.cookies, [""; 0], "it is not written again");
    assert_eq!((site.count(OK.0, OK.1), site.total()), (1, 1));
    let quoted = come_back(&site, &user, &format!("\"{cookie}\""));
    assert_eq!(quoted.assignment, HELD);
}

#[test]
fn a_cookie_with_a_changed_byte_chooses_nothing() {
    let config = sticky(50.0, &json!({}));
    let (cookie, user) = v2_cookie(&config, NEW);
    let site = Site::new(&config, NEW);
    let mut tried = 0;
    for changed in flipped(&cookie) {
        // A white space at an end is not part of a value, and a semicolon ends it.
        if changed.contains(&b';') || changed.trim_ascii() == cookie.as_bytes() {
            continue;
        }
        let value = [b"got=", &changed[..]].concat();
        let headers = [(&b"x-user-id"[..], user.as_bytes()), (b"cookie", &value)];
        let visit = site.visit_with(headers.into_iter());
        let shown = String::from_utf8_lossy(&changed).into_owned();
        assert_eq!(visit.assignment, ALONE, "{shown}");
        assert!(visit.cookie("got").is_some(), "{shown} is overwritten");
        tried += 1;
    }
    assert!(tried > 300, "{tried}");
    for cut in 0..cookie.len() {
        assert_eq!(come_back(&site, &user, &cookie[..cut]).assignment, ALONE);
    }
    assert_eq!(
        come_back(&site, &user, &format!("{cookie}A")).assignment,
        ALONE
    );
    assert_eq!(site.count(OK.0, OK.1), 0);
    assert!(site.count(BAD.0, BAD.1) > 100 && site.count(UNKNOWN.0, UNKNOWN.1) > 10);
}

#[test]
fn cookies_of_others_choose_nothing() {
    let config = sticky(50.0, &json!({}));
    let (cookie, user) = v2_cookie(&config, NEW);
    let mut renamed = config.clone();
    renamed["rollouts"][0]["name"] = json!("search");
    // The same epoch: only the signature tells them apart.
    renamed["rollouts"][0]["salt"] = json!("checkout");
    let mut revised = config.clone();
    revised["rollouts"][0]["revision"] = json!("2");
    let same_id = NEW.replace("ICEi", "ICEj");
    for (why, config, keys, counted) in [
        ("another rollout", &renamed, NEW, Some(BAD)),
        ("another revision", &revised, NEW, None),
        (
            "another key under the same id",
            &config,
            &*same_id,
            Some(BAD),
        ),
        ("an unknown key", &config, OLD, Some(UNKNOWN)),
    ] {
        let site = Site::new(config, keys);
        let visit = come_back(&site, &user, &cookie);
        let alone = site.visit(&[("x-user-id", &user)]);
        assert_eq!(visit.assignment, alone.assignment, "{why}");
        let expected = u32::from(counted.is_some());
        assert_eq!(site.total(), expected, "{why}");
        if let Some((purpose, result)) = counted {
            assert_eq!(site.count(purpose, result), 1, "{why}");
        }
    }
    // A version that the rollout no longer has.
    let mut without = config.clone();
    without["rollouts"][0]["versions"] = json!([{"name": "v1"}, {"name": "v3"}]);
    without["rollouts"][0]["strategy"]["canary"]["version"] = json!("v3");
    let site = Site::new(&without, NEW);
    assert!(
        !come_back(&site, &user, &cookie)
            .assignment
            .contains("sticky")
    );
    assert_eq!(site.total(), 0);
}

#[test]
fn a_cookie_is_no_longer_valid_after_its_age_whatever_the_client_keeps() {
    let config = sticky(50.0, &json!({"maxAge": "1h"}));
    let (cookie, user) = v2_cookie(&config, NEW);
    for (now, held) in [
        (NOW, true),
        (NOW + HOUR - 1, true),
        (NOW + HOUR + 61_000, false),
        (NOW + 1000 * HOUR, false),
    ] {
        let site = Site::new(&config, NEW).at(now);
        let visit = come_back(&site, &user, &cookie);
        assert_eq!(visit.assignment == HELD, held, "{now}");
        assert_eq!(site.count(EXPIRED.0, EXPIRED.1), u32::from(!held));
        assert_eq!(site.total(), 1);
    }
    let mut site = Site::new(&config, NEW);
    site.world.now = None;
    let visit = come_back(&site, &user, &cookie);
    assert_eq!(visit.assignment, ALONE, "without a clock");
    assert_eq!(visit.cookies, [""; 0], "without a clock");
    // Without maxAge it is as old as the client keeps it.
    let mut endless = config.clone();
    endless["rollouts"][0]["sticky"]["maxAge"].take();
    endless["rollouts"][0]["sticky"]
        .as_object_mut()
        .unwrap()
        .remove("maxAge");
    let site = Site::new(&endless, NEW).at(NOW + 100_000 * HOUR);
    assert_eq!(come_back(&site, &user, &cookie).assignment, HELD);
}

#[test]
fn of_many_signatures_sixteen_are_verified() {
    let config = sticky(50.0, &json!({}));
    let (cookie, user) = v2_cookie(&config, NEW);
    let bad = cookie.replacen(":v2:", ":v1:", 1);
    for (before, held) in [(0, true), (15, true), (16, false), (2_000, false)] {
        let site = Site::new(&config, NEW);
        let mut cookies = vec![format!("got={bad}"); before];
        cookies.push(format!("got={cookie}"));
        let visit = site.visit(&[("x-user-id", &user), ("cookie", &cookies.join("; "))]);
        assert_eq!(visit.assignment == HELD, held, "{before}");
        assert_eq!(site.total(), (before as u32 + 1).min(16), "{before}");
    }
    // Others are counted as often at most.
    let unknown = cookie.replacen("2027a", "absent", 1);
    let site = Site::new(&config, NEW);
    let cookies = vec![format!("got={unknown}"); 100].join("; ");
    site.visit(&[("x-user-id", &user), ("cookie", &cookies)]);
    assert_eq!((site.count(UNKNOWN.0, UNKNOWN.1), site.total()), (16, 16));
}

#[test]
fn unsigned_cookies_count_until_an_instant_and_are_signed() {
    let mut unsigned = sticky(50.0, &json!({}));
    unsigned["rollouts"][0]["sticky"] = json!({"cookie": "got", "maxAge": "30d"});
    let (old, user) = v2_cookie(&unsigned, "");
    assert!(old.starts_with("1:"), "{old}");
    let strict = sticky(50.0, &json!({}));
    assert_eq!(
        come_back(&Site::new(&strict, NEW), &user, &old).assignment,
        ALONE
    );
    let until = sticky(
        50.0,
        &json!({"acceptUnsignedUntil": "2026-12-01T01:00:00Z"}),
    );
    let site = Site::new(&until, NEW);
    let visit = come_back(&site, &user, &old);
    assert_eq!(visit.assignment, HELD);
    let new = visit.cookie("got").unwrap();
    let place = |cookie: &str| cookie.split(':').nth_back(0).map(ToOwned::to_owned);
    assert!(new.starts_with("2:2027a:"), "{new}");
    assert!(
        new.contains(&format!(":{}:", place(&old).unwrap())),
        "{new}"
    );
    let later = Site::new(&until, NEW).at(NOW + HOUR);
    assert_eq!(come_back(&later, &user, &old).assignment, ALONE);
    assert_eq!(come_back(&later, &user, &new).assignment, HELD);
    // Beside a signed one the old one causes nothing.
    let both = format!("{new}; got={old}");
    assert_eq!(come_back(&site, &user, &both).cookies, [""; 0]);
    // One that brings a position only does not count as a split.
    let forged = format!("1:{}::0", old.split(':').nth(1).unwrap());
    let visit = come_back(&site, &user, &forged);
    assert_eq!(visit.assignment, "checkout=v2;reason=sticky");
}

#[test]
fn a_rotation_of_keys_moves_nobody() {
    let config = sticky(50.0, &json!({}));
    let (cookie, user) = v2_cookie(&config, OLD);
    let stages = [
        OLD.to_owned(),
        format!("{OLD},{NEW}"),
        format!("{NEW},{OLD}"),
        NEW.to_owned(),
    ];
    let mut cookie = cookie;
    for (nth, keys) in stages.iter().enumerate() {
        let site = Site::new(&config, keys).at(NOW + nth as u64 * HOUR);
        let visit = come_back(&site, &user, &cookie);
        assert_eq!(visit.assignment, HELD, "{keys}");
        // It is signed again when its key no longer signs, and keeps its age.
        assert_eq!(visit.cookie("got").is_some(), nth == 2, "{keys}");
        if let Some(new) = visit.cookie("got") {
            assert!(new.starts_with("2:2027a:"), "{new}");
            let minute = |cookie: &str| cookie.split(':').nth(5).map(ToOwned::to_owned);
            assert_eq!(minute(&new), minute(&cookie));
            cookie = new;
        }
    }
}
