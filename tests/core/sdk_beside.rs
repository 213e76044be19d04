//! What a rollout may have beside the hash of another system: rules, a ramp, a guardrail, versions that
//! Envoy cannot reach. All of it works as without `hash`.

use std::rc::Rc;

use divvy::decide::decide;
use divvy::decision::{Decision, Reason, RolloutId, VersionId};
use divvy::guardrail::State;
use divvy::policy::Policy;
use divvy::request::{Environment, Request};
use serde_json::{Value, json};

use crate::compile::policy;
use crate::sdk::{decision, hashes, rollout};
use crate::weighted::tripped;

const USERS: usize = 2_000;
/// 2026-12-01T09:00:00Z in milliseconds.
const START: u64 = 1_796_115_600_000;

fn canary(weight: f64) -> Value {
    json!({"canary": {"version": "a", "weight": weight}})
}

/// What a request knows of the clock, of verdicts and of outages.
#[derive(Debug, Default)]
struct Surroundings {
    now: Option<u64>,
    state: Option<Rc<State>>,
    unreachable: Option<VersionId>,
}

impl Environment for Surroundings {
    fn now(&self) -> Option<u64> {
        self.now
    }

    fn guardrail_state(&self, _: RolloutId) -> Option<Rc<State>> {
        self.state.clone()
    }

    fn is_unreachable(&self, _: RolloutId, version: VersionId) -> bool {
        self.unreachable == Some(version)
    }
}

fn decision_in(policy: &Policy, identity: &str, surroundings: &Surroundings) -> Decision {
    let headers = [(&b"x-user-id"[..], identity.as_bytes())];
    let request = Request::from_headers(&policy.names, headers).with_environment(surroundings);
    decide(policy, &request).decisions[0]
}

#[test]
fn a_rule_with_percent_chooses_its_users_by_the_hash_of_divvy() {
    let when = json!({"header": "x-user-id", "present": true});
    let rule = json!({"name": "beta", "when": when, "percent": 30, "use": "b"});
    let own = {
        let versions = ["none", "a", "b"].map(|name| json!({"name": name}));
        let rollout = json!({
            "name": "checkout", "versions": versions, "stable": "none", "strategy": canary(20.0),
            "rules": [rule],
        });
        policy(&json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout]}))
    };
    for hash in hashes() {
        let plain = rollout(hash.clone(), canary(20.0), json!({}));
        let ruled = rollout(hash.clone(), canary(20.0), json!({"rules": [rule]}));
        let mut forced = 0;
        for user in 0..USERS {
            let identity = format!("user-{user}");
            let expected = match decision(&own, &identity).reason {
                Reason::Rule => (VersionId(2), Reason::Rule),
                _ => {
                    let other = decision(&plain, &identity);
                    (other.version, other.reason)
                }
            };
            let is = decision(&ruled, &identity);
            assert_eq!((is.version, is.reason), expected, "{hash}: {identity}");
            forced += usize::from(is.reason == Reason::Rule);
        }
        assert!((500..700).contains(&forced), "{forced}");
    }
}

#[test]
fn each_step_of_a_ramp_has_the_users_of_a_canary_with_its_weight() {
    let ramp = json!({"from": 5, "by": 10, "to": 25, "every": "2m", "then": 100});
    let start = "2026-12-01T09:00:00Z";
    let growing = json!({"canary": {"version": "a", "start": start, "ramp": ramp}});
    for hash in hashes() {
        let growing = rollout(hash.clone(), growing.clone(), json!({}));
        for (minutes, weight) in [(0, 5.0), (2, 15.0), (5, 25.0), (6, 100.0)] {
            let fixed = rollout(hash.clone(), canary(weight), json!({}));
            let now = Some(START + minutes * 60_000);
            let surroundings = Surroundings {
                now,
                ..Surroundings::default()
            };
            for user in 0..USERS {
                let identity = format!("user-{user}");
                let is = decision_in(&growing, &identity, &surroundings);
                let expected = decision(&fixed, &identity);
                assert_eq!(is.version, expected.version, "{hash}: {weight}, {identity}");
            }
        }
    }
}

#[test]
fn the_users_of_a_version_that_is_rolled_back_or_unreachable_get_stable() {
    for hash in hashes() {
        let guarded = json!({"target": "{version}", "guardrail": {"errors": {"max": 1}}});
        let policy = rollout(hash.clone(), canary(20.0), guarded);
        let rollout = &policy.rollouts[0];
        let plan = rollout.plan.as_ref().unwrap();
        let state = Rc::new(tripped(plan, rollout.arms[1].unwrap()));
        let rolled_back = Surroundings {
            state: Some(state),
            ..Surroundings::default()
        };
        let unreachable = Surroundings {
            unreachable: Some(VersionId(1)),
            ..Surroundings::default()
        };
        let mut moved = 0;
        for user in 0..USERS {
            let identity = format!("user-{user}");
            let healthy = decision(&policy, &identity);
            let bad = healthy.version == VersionId(1);
            moved += usize::from(bad);
            for (surroundings, reason) in [
                (&rolled_back, Reason::RolledBack),
                (&unreachable, Reason::Unreachable),
            ] {
                let is = decision_in(&policy, &identity, surroundings);
                let expected = match bad {
                    true => (VersionId(0), reason),
                    false => (healthy.version, healthy.reason),
                };
                assert_eq!((is.version, is.reason), expected, "{hash}: {identity}");
            }
        }
        assert!((300..500).contains(&moved), "{hash}: {moved}");
    }
}
