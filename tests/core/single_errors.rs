//! Each error is reported once, with its path, and valid configurations have none.
use divvy::decide;
use divvy::request::{Claim, Environment, Request, serialize_pairs};
use divvy_cases::build;
use serde_json::{Value, json};

use crate::compile::{errors_of, policy};

fn rollout(name: &str, strategy: &Value) -> Value {
    build::rollout(name, &["v1", "v2"], strategy)
}

fn blue_green(name: &str) -> Value {
    rollout(name, &build::blue_green("v1"))
}

fn rule(when: &Value) -> Value {
    json!([{"name": "r", "when": when, "use": "v2"}])
}

/// One rollout with one rule.
fn with_rule(when: &Value) -> Value {
    let mut only = blue_green("a");
    only["rules"] = rule(when);
    json!({"identity": [{"header": "x-user-id"}], "rollouts": [only]})
}

#[test]
fn a_part_of_a_host_may_end_with_a_dot_and_a_method_with_ignore_case_may_be_lower_case() {
    for when in [
        json!({"host": true, "prefix": "shop."}),
        json!({"host": true, "contains": ".staging."}),
        json!({"method": true, "exact": "get", "ignoreCase": true}),
        json!({"header": "x", "regex": "(?x) a  # a comment"}),
    ] {
        assert_eq!(errors_of(&with_rule(&when)), [""; 0], "{when}");
    }
}

#[test]
fn a_list_of_invalid_elements_is_not_also_reported_as_empty() {
    for (when, path) in [
        (json!({"sourceIp": true, "cidr": [5]}), "cidr[0]"),
        (json!({"jwtClaim": [5], "exact": "x"}), "jwtClaim[0]"),
    ] {
        let path = format!("rollouts[0].rules[0].when.{path}");
        let error = format!("{path}: is a number: write a string");
        assert_eq!(errors_of(&with_rule(&when)), [error]);
    }
}

#[test]
fn an_error_in_a_cidr_list_has_the_path_of_its_element() {
    let when = json!({"sourceIp": true, "cidr": ["10.0.0.0/8", "x"]});
    let errors = errors_of(&with_rule(&when));
    let place = "rollouts[0].rules[0].when.cidr[1]: ";
    assert!(errors.iter().all(|error| error.starts_with(place)));
}

#[test]
fn a_random_identity_before_others_is_an_error_with_its_path() {
    let sources = json!([{"header": ":path"}, {"random": true}, {"header": "x"}]);
    let errors = errors_of(&json!({ "identity": sources }));
    let about_random = |error: &String| error.starts_with("identity[1]: must be the last source");
    assert!(errors.iter().any(about_random), "{errors:?}");
}

#[test]
fn a_version_whose_name_has_an_error_is_not_also_reported_as_unknown() {
    let mut leader = blue_green("a");
    leader["versions"] = json!([{"name": "v1"}, {"nam": "v2"}]);
    let mut follower = blue_green("b");
    follower["rules"] = rule(&json!({"assigned": {"rollout": "a", "version": "v2"}}));
    assert_eq!(
        errors_of(&json!({"rollouts": [leader, follower]})),
        ["rollouts[0].versions[1]: unknown field `nam`, expected `name` or `target`"]
    );
}

#[test]
fn a_missing_holdout_is_reported_beside_other_errors() {
    let test = json!({"abTest": {"split": [{"version": "v2", "weight": 1}], "holdout": true}});
    for name in ["a", "A"] {
        let config = json!({"rollouts": [rollout(name, &test)]});
        let missed = "rollouts[0].strategy.abTest.holdout: needs a holdout";
        let errors = errors_of(&config);
        let found = errors.iter().any(|error| error.starts_with(missed));
        assert!(found, "{name}: {errors:?}");
    }
}

#[test]
fn too_many_claims_are_one_error() {
    let claims: Value = (0..210)
        .map(|nth| json!({"jwtClaim": format!("c{}", nth % 205), "present": true}))
        .collect();
    assert_eq!(errors_of(&with_rule(&json!({ "any": claims }))).len(), 1);
}

/// A token with these groups in a list claim.
#[derive(Debug)]
struct Groups(Vec<String>);

impl Environment for Groups {
    fn jwt_claim(&self, _: &Claim) -> Option<Vec<u8>> {
        let groups: Vec<_> = self.0.iter().map(|group| (group, "")).collect();
        Some(serialize_pairs(&groups))
    }
}

#[test]
fn a_regular_expression_is_compared_with_every_element_of_a_list_claim() {
    let when = json!({"jwtClaim": "groups", "type": "list", "regex": "banned-.*"});
    let policy = policy(&with_rule(&when));
    for others in [0, 7, 8, 30] {
        let mut groups: Vec<_> = (0..others).map(|nth| format!("g{nth}")).collect();
        groups.push("banned-here".to_owned());
        let token = Groups(groups);
        let request = Request::from_headers(&policy.names, []).with_environment(&token);
        let decided = decide::decide(&policy, &request).decisions;
        let reasons: Vec<_> = decided.iter().map(|one| one.reason.name()).collect();
        assert_eq!(reasons, ["rule"], "behind {others} others");
    }
}

#[test]
fn a_concat_has_a_separator_even_if_its_first_part_is_empty() {
    let canary = json!({"canary": {"version": "v2", "weight": 50}});
    let config = json!({
        "ignoreIdentities": [],
        "identity": [{"concat": [{"header": "a"}, {"header": "b"}]}],
        "rollouts": [rollout("a", &canary)],
    });
    let policy = policy(&config);
    let headers = [(&b"a"[..], &b""[..]), (b"b", b"x")];
    let request = Request::from_headers(&policy.names, headers);
    let identity = decide::decide(&policy, &request).identity.unwrap();
    assert_eq!(&*identity.bytes, b"\x1fx");
}

#[test]
fn the_index_and_the_scopes_agree_on_overlong_hosts() {
    use divvy::policy::RolloutId;
    use divvy::policy::scope::{HostPattern, Scope, ScopeIndex};
    use divvy::request::Names;

    let scope = Scope {
        hosts: vec![HostPattern::Below(b".example.com".as_slice().into())],
        ..Scope::default()
    };
    let mut index = ScopeIndex::default();
    index.add(RolloutId(0), vec![scope.clone()]);
    let names = Names::default();
    for length in [63, 300] {
        let host = format!("{}.example.com", "x".repeat(length));
        let headers = [(&b":authority"[..], host.as_bytes())];
        let request = Request::from_headers(&names, headers);
        let found = !index.find(&request).is_empty();
        assert_eq!(found, scope.contains(&request), "{length}");
    }
}
