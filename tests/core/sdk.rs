//! The buckets of other systems against `tests/vectors/compat.json`, computed by independent
//! implementations that equal each system's published suite.

use divvy::bucket::{GrowthBookVersion, Position, SdkHash, Share};
use divvy::cookies::Memory;
use divvy::decide::decide;
use divvy::decision::{Decision, Reason};
use divvy::policy::Policy;
use divvy::request::Request;
use serde_json::{Map, Value, json};

use crate::compile::policy;

const USERS: usize = 10_000;

fn systems() -> Map<String, Value> {
    let text = include_str!("../vectors/compat.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

/// A rollout with this hash and strategy; its versions are `none`, the stable one, and a to e.
pub(crate) fn rollout(hash: Value, strategy: Value, fields: Value) -> Policy {
    let versions = ["none", "a", "b", "c", "d", "e"].map(|name| json!({"name": name}));
    let mut rollout = json!({
        "name": "checkout",
        "versions": versions,
        "stable": "none",
        "strategy": strategy,
        "hash": hash,
    });
    let object = rollout.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    let identity = json!([{"header": "x-user-id"}]);
    policy(&json!({"identity": identity, "ignoreIdentities": [], "rollouts": [rollout]}))
}

fn arms(weights: &[(&str, u64)]) -> Value {
    let arms = weights.iter();
    arms.map(|(version, weight)| json!({"version": version, "weight": weight}))
        .collect()
}

pub(crate) fn decision(policy: &Policy, identity: &str) -> Decision {
    let headers = [(&b"x-user-id"[..], identity.as_bytes())];
    decide(policy, &Request::from_headers(&policy.names, headers)).decisions[0]
}

/// The version of a user, by its name; `None`: not enrolled.
fn version<'p>(policy: &'p Policy, identity: &str) -> Option<&'p str> {
    let decision = decision(policy, identity);
    match decision.reason {
        Reason::NotEnrolled => None,
        Reason::Split => {
            let version = policy.rollouts[0].version(decision.version).unwrap();
            Some(&version.name)
        }
        other => panic!("{identity}: {other:?}"),
    }
}

#[test]
fn every_row_equals_that_of_the_independent_implementation() {
    let systems = systems();
    assert_eq!(systems.len(), 7);
    for (system, rows) in &systems {
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), 150, "{system}");
        for row in rows {
            let weights = row["weights"].as_array().unwrap().iter();
            let weights: Vec<_> = weights
                .map(|arm| (arm[0].as_str().unwrap(), arm[1].as_u64().unwrap()))
                .collect();
            let identity = row["identity"].as_str().unwrap();
            let hash = json!({system: row["params"]});
            let test = json!({"abTest": {"split": arms(&weights)}});
            let test = rollout(hash.clone(), test, json!({}));
            let want = row["want"].as_str();
            assert_eq!(version(&test, identity), want, "{system}: {row}");
            let has_gate = ["unleash", "posthog"].contains(&system.as_str());
            let mut open = hash.clone();
            if has_gate {
                open[system].as_object_mut().unwrap().remove("rollout");
            }
            let weighted = rollout(open, json!({"weighted": arms(&weights)}), json!({}));
            let found = version(&weighted, identity);
            if !(has_gate && want.is_none()) {
                assert_eq!(found, want, "{system} weighted: {row}");
            }
        }
    }
}

/// A hash of each system.
pub(crate) fn hashes() -> [Value; 8] {
    [
        json!({"unleash": {"groupId": "checkout"}}),
        json!({"growthbook": {"seed": "checkout", "hashVersion": 1}}),
        json!({"growthbook": {"seed": "checkout"}}),
        json!({"posthog": {"key": "checkout"}}),
        json!({"launchDarkly": {"flag": "checkout", "salt": "4fb8"}}),
        json!({"split": {"seed": -7}}),
        json!({"optimizely": {"experiment": "4711"}}),
        json!({"flagd": {"flag": "checkout"}}),
    ]
}

fn canary(hash: &Value, weight: f64) -> Policy {
    let strategy = json!({"canary": {"version": "a", "weight": weight}});
    rollout(hash.clone(), strategy, json!({}))
}

#[test]
fn a_canary_is_the_first_of_two_arms_or_the_gate_of_the_system() {
    for hash in hashes() {
        let system = hash.as_object().unwrap().keys().next().unwrap().clone();
        let strategy = match system.as_str() {
            "unleash" | "posthog" => {
                let mut gated = hash.clone();
                gated[&system]["rollout"] = json!(17);
                let test = json!({"abTest": {"split": arms(&[("a", 1 + 99 * u64::from(system == "posthog"))])}});
                (gated, test)
            }
            "growthbook" => {
                let mut covered = hash.clone();
                covered[&system]["coverage"] = json!(0.17);
                (covered, json!({"abTest": {"split": arms(&[("a", 1)])}}))
            }
            _ => {
                let unit = match system.as_str() {
                    "launchDarkly" => 1_000,
                    "optimizely" => 100,
                    _ => 1,
                };
                let split = arms(&[("a", 17 * unit), ("none", 83 * unit)]);
                (hash.clone(), json!({"abTest": {"split": split}}))
            }
        };
        let canary = canary(&hash, 17.0);
        let (hash, strategy) = strategy;
        let test = rollout(hash, strategy, json!({}));
        for user in 0..USERS {
            let identity = format!("user-{user}");
            let ours = version(&canary, &identity).filter(|name| *name == "a");
            let theirs = version(&test, &identity).filter(|name| *name == "a");
            assert_eq!(ours, theirs, "{system}: {identity}");
        }
    }
}

#[test]
fn a_canary_that_grows_keeps_its_users_and_has_the_share_of_the_grid() {
    for hash in hashes() {
        let policies = [5.0, 6.0, 50.0].map(|weight| canary(&hash, weight));
        let mut counts = [0_usize; 3];
        for user in 0..USERS {
            let identity = format!("user-{user}");
            let mut before = false;
            for (policy, count) in policies.iter().zip(&mut counts) {
                let inside = version(policy, &identity) == Some("a");
                assert!(inside || !before, "{hash}: {identity} left");
                *count += usize::from(inside);
                before = inside;
            }
        }
        for (policy, count) in policies.iter().zip(counts) {
            let environment = divvy::request::Empty;
            let shares = policy.shares(&environment);
            let share = shares[0].iter().find(|(id, _)| id.0 == 1).unwrap().1;
            let share = f64::from(share.ppm()) / 1e6;
            let expected = share * USERS as f64;
            let off = (count as f64 - expected) / (expected * (1.0 - share)).sqrt();
            assert!(off.abs() < 4.0, "{hash}: {count} of {expected}");
        }
    }
}

#[test]
fn a_share_of_growthbooks_line_has_whole_values() {
    let hash = SdkHash::GrowthBook {
        seed: "seed".into(),
        version: GrowthBookVersion::V1,
    };
    for (percent, ppm) in [(0.0, 0), (5.0, 50_000), (5.01, 51_000), (100.0, 1_000_000)] {
        let share = Share::from_percent(percent).unwrap();
        assert_eq!(hash.admitted(share).ppm(), ppm, "{percent}");
    }
}

#[test]
fn a_sticky_cookie_has_the_value_of_the_gate() {
    for (hash, zeros) in [
        (
            json!({"growthbook": {"seed": "checkout", "coverage": 0.5}}),
            100,
        ),
        (
            json!({"unleash": {"groupId": "checkout", "rollout": 50}}),
            10_000,
        ),
        (json!({"optimizely": {"experiment": "4711"}}), 100),
    ] {
        let sticky = json!({"sticky": {"cookie": "kept"}});
        let test = json!({"abTest": {"split": arms(&[("a", 40), ("b", 60)])}});
        let policy = rollout(hash.clone(), test, sticky);
        for user in 0..100 {
            let identity = format!("user-{user}");
            let headers = [(&b"x-user-id"[..], identity.as_bytes())];
            let request = Request::from_headers(&policy.names, headers);
            let outcome = decide(&policy, &request);
            let (_, memory) = outcome.memories[0];
            assert_eq!(memory.position.get() % zeros, 0, "{hash}");
            let is_outside = outcome.decisions[0].reason == Reason::NotEnrolled;
            assert_eq!(memory.version.is_none(), is_outside, "{hash}");
        }
    }
}

#[test]
fn a_remembered_position_replaces_that_of_the_identity() {
    let hash = json!({"launchDarkly": {"flag": "checkout", "salt": "4fb8"}});
    let sticky = json!({"sticky": {"cookie": "kept"}});
    let split = arms(&[("a", 0), ("b", 30_000), ("c", 70_000)]);
    let policy = rollout(hash, json!({"abTest": {"split": split}}), sticky);
    let epoch = config_epoch(&policy);
    for (position, version) in [("299999", 2), ("300000", 3)] {
        for user in 0..100 {
            let identity = format!("user-{user}");
            let cookie = format!("kept=1:{epoch}:a:{position}");
            let headers = [
                (&b"x-user-id"[..], identity.as_bytes()),
                (&b"cookie"[..], cookie.as_bytes()),
            ];
            let request = Request::from_headers(&policy.names, headers);
            let decision = decide(&policy, &request).decisions[0];
            let found = (decision.version.0, decision.reason);
            assert_eq!(found, (version, Reason::Sticky), "{position}");
        }
    }
}

fn config_epoch(policy: &Policy) -> String {
    let sticky = policy.rollouts[0].sticky.as_ref().unwrap();
    let memory = Memory {
        version: None,
        position: Position::read(b"1").unwrap(),
        minute: None,
    };
    let request = Request::new(&policy.names);
    let line = sticky.line("a", &memory, &request, None).unwrap();
    let value = line.split(':').nth(1).unwrap();
    value.to_owned()
}

/// Answers of the real SDKs, which `tests/vectors/sdk.py` asks.
#[test]
fn a_hundred_thousand_users_get_what_the_real_sdks_answer() {
    let text = include_str!("../vectors/sdk.json");
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let weights = row["weights"].as_array().unwrap().iter();
        let weights = weights.map(|weight| weight.as_u64().unwrap());
        let weights: Vec<_> = ["a", "b", "c"].into_iter().zip(weights).collect();
        let test = json!({"abTest": {"split": arms(&weights)}});
        let policy = rollout(row["hash"].clone(), test, json!({}));
        let answers = (0..100_000).map(|user| {
            let identity = format!("user-{user}");
            version(&policy, &identity).unwrap_or("-").to_owned()
        });
        let answers: String = answers.collect();
        let hash = &row["hash"];
        let first = row["first"].as_str().unwrap();
        assert_eq!(answers.get(..first.len()), Some(first), "{hash}");
        let digest = format!("{:032x}", divvy::config::digest(answers.as_bytes()));
        assert_eq!(digest, row["digest"].as_str().unwrap(), "{hash}");
    }
}
