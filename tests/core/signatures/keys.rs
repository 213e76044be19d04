//! The environment variable with the keys: mistakes and what their messages say.

use divvy::config;
use divvy::signature::KeyRing;
use serde_json::json;

use super::{NEW, OLD, ring, sticky};

/// The errors of a configuration that needs keys.
fn errors(keys: Option<&str>) -> Vec<String> {
    let ring = KeyRing::read(keys.map(str::as_bytes));
    let config = sticky(5.0, &json!({})).to_string();
    match config::parse_with(config.as_bytes(), &ring) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_configuration_that_needs_keys_says_so() {
    for keys in [None, Some(""), Some(" \n")] {
        assert_eq!(
            errors(keys),
            ["rollouts[0].sticky.signed: needs keys: set DIVVY_KEYS in the environment of the VM"]
        );
    }
    let plain = br#"{"rollouts": []}"#;
    config::parse_with(plain, &KeyRing::Missing).unwrap();
    config::parse_with(plain, &ring("nonsense")).unwrap();
}

#[test]
fn without_keys_the_other_errors_are_reported_too() {
    let config = json!({
        "identity": [{"header": "x-same"}],
        "overrides": {"header": "x-same"}, "overridesAfter": "yesterday",
        "rollouts": [],
    });
    let result = config::parse_with(config.to_string().as_bytes(), &KeyRing::Missing);
    let errors: Vec<_> = result.unwrap_err().iter().map(|e| e.path.clone()).collect();
    assert_eq!(
        errors,
        ["overridesAfter", "overrides", "identity[0].header"]
    );
}

#[test]
fn a_mistake_names_the_id_and_never_a_byte_of_a_key() {
    let (_, key) = NEW.split_once(':').unwrap();
    let short = &key[..42];
    let long = format!("{key}A");
    let other_last = format!("{short}9");
    for (keys, message) in [
        (short.to_owned(), "entry 1 is not <id>:<key>"),
        (format!("{OLD},{key}"), "entry 2 is not <id>:<key>"),
        (format!("{key}:2027a"), "entry 1 is not <id>:<key>"),
        (format!("2027-a:{key}"), "entry 1 is not <id>:<key>"),
        (format!("UPPER:{key}"), "entry 1 is not <id>:<key>"),
        (format!("123456789:{key}"), "entry 1 is not <id>:<key>"),
        (format!("{OLD},"), "entry 2 is not <id>:<key>"),
        (format!("x:{short}"), "the key x is not 32 bytes"),
        (format!("x:{long}"), "the key x is not 32 bytes"),
        (format!("x:{other_last}"), "the key x is not 32 bytes"),
        (
            format!("x:{}", key.replace('I', "+")),
            "the key x is not 32 bytes",
        ),
        (format!("x:{key},x:{key}"), "has the id x twice"),
        (
            format!("x:{key},y:{key}"),
            "has the same key under the ids x and y",
        ),
        (
            ["a", "b", "c", "d", "e"]
                .map(|id| format!("{id}:{}", shifted(key, id)))
                .join(","),
            "has 5 keys: the maximum is 4",
        ),
    ] {
        let found = errors(Some(&keys));
        assert_eq!(found.len(), 1, "{keys}: {found:?}");
        assert!(found[0].contains(message), "{keys}: {found:?}");
        let parts = keys.split([',', ':']).filter(|part| part.len() > 20);
        for part in parts {
            for begin in 0..part.len() - 6 {
                let shown = found[0].contains(&part[begin..begin + 6]);
                assert!(!shown, "{keys}: {found:?}");
            }
        }
    }
    let several = errors(Some("x:1,y:2"));
    assert_eq!(several.len(), 2, "{several:?}");
}

/// Another key for each id.
fn shifted(key: &str, id: &str) -> String {
    format!("{}{}", id.to_uppercase(), &key[1..])
}

#[test]
fn one_to_four_keys_are_valid_and_white_space_around_them_does_not_matter() {
    let (_, key) = NEW.split_once(':').unwrap();
    let four = ["a", "b", "c", "12345678"].map(|id| format!("{id}:{}", shifted(key, &id[..1])));
    for keys in [
        NEW.to_owned(),
        format!("{NEW}\n"),
        format!(" {NEW} , {OLD} "),
        four.join(","),
    ] {
        assert_eq!(errors(Some(&keys)), [""; 0], "{keys}");
    }
    let ids = ring(&format!("{NEW},{OLD}"));
    assert_eq!(ids.ids(), ["2027a".into(), "2026d".into()]);
    assert!(!format!("{ids:?}").contains("ICEi"), "{ids:?}");
}
