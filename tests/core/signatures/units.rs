//! Units with keys. `tests/cases` has their values.

use divvy::config;
use divvy::signature::KeyRing;
use serde_json::{Value, json};

use super::{NEW, OLD, ring, sticky};

const UNIT: &str = "unit:QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8";

fn with_unit(mut config: Value) -> Value {
    config["headers"] = json!({"route": "x-divvy-route", "unit": "x-divvy-unit"});
    config
}

fn unsigned() -> Value {
    let mut config = with_unit(sticky(5.0, &json!({})));
    config["rollouts"][0]
        .as_object_mut()
        .unwrap()
        .remove("sticky");
    config
}

/// The unit of an identity, with whether it is keyed.
fn unit(config: &Value, keys: &KeyRing) -> (Option<u64>, bool) {
    let policy = config::parse_with(config.to_string().as_bytes(), keys);
    let policy = policy.unwrap_or_else(|errors| panic!("{errors}"));
    let hash = policy.unit.unwrap();
    (hash.unit(b"1"), hash.is_keyed())
}

fn errors(config: &Value, keys: &KeyRing) -> Vec<String> {
    match config::parse_with(config.to_string().as_bytes(), keys) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

const PLAIN: u64 = 0xa1b4_64bb_5268_73c9;
const BY_NEW: u64 = 0x19c3_83e1_6308_2faa;

#[test]
fn a_unit_needs_no_keys_and_uses_those_that_are_there() {
    assert_eq!(unit(&unsigned(), &KeyRing::Missing), (Some(PLAIN), false));
    assert_eq!(unit(&unsigned(), &ring(NEW)), (Some(BY_NEW), true));
    let signed = with_unit(sticky(5.0, &json!({})));
    assert_eq!(unit(&signed, &ring(NEW)), (Some(BY_NEW), true));
}

/// A tool without keys says nothing rather than something else.
#[test]
fn without_its_key_a_unit_is_not_known() {
    assert_eq!(unit(&unsigned(), &KeyRing::Assumed), (Some(PLAIN), false));
    let signed = with_unit(sticky(5.0, &json!({})));
    assert_eq!(unit(&signed, &KeyRing::Assumed), (None, true));
}

/// Not silently without a key: the logs would have units that can be guessed.
#[test]
fn a_mistake_in_the_keys_is_an_error_once() {
    let short = ring("x:AAAA");
    for config in [unsigned(), with_unit(sticky(5.0, &json!({})))] {
        let found = errors(&config, &short);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("DIVVY_KEYS: the key x is not 32 bytes"),
            "{found:?}"
        );
    }
}

#[test]
fn a_key_with_the_id_unit_keeps_units_through_a_rotation_and_signs_nothing() {
    let stages = [
        format!("{OLD},{UNIT}"),
        format!("{OLD},{NEW},{UNIT}"),
        format!("{UNIT},{NEW},{OLD}"),
        format!("{NEW},{UNIT}"),
    ];
    let alone = unit(&unsigned(), &ring(UNIT));
    for keys in &stages {
        assert_eq!(unit(&unsigned(), &ring(keys)), alone, "{keys}");
        let ids = ring(keys).ids().to_vec();
        assert_eq!(ids.last().map(|id| &**id), Some("unit"), "{keys}");
    }
    let config = sticky(5.0, &json!({}));
    assert_eq!(errors(&config, &ring(&stages[3])), [""; 0]);
    assert_eq!(
        errors(&config, &ring(UNIT)),
        ["rollouts[0].sticky.signed: needs keys: DIVVY_KEYS has only unit, which signs nothing"]
    );
}

#[test]
fn without_a_key_of_its_own_the_unit_follows_the_key_that_signs() {
    let by_old = unit(&unsigned(), &ring(OLD));
    let both = |first: &str, second: &str| unit(&unsigned(), &ring(&format!("{first},{second}")));
    assert_eq!(both(OLD, NEW), by_old);
    assert_eq!(both(NEW, OLD), (Some(BY_NEW), true));
    assert_ne!(by_old.0, Some(BY_NEW));
}
