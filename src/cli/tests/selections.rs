//! `divvy explain` and `divvy simulate` with identities of single rollouts, conditions of `match`, weighted
//! versions and splits of rules.

use crate::common::{divvy, file, json, text};
use serde_json::{Value, json};

/// A rollout of v1 and v2 with further fields.
fn config(more: &Value) -> tempfile::TempPath {
    let mut config = json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "shop", "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"blueGreen": {"active": "v1"}},
        }],
    });
    let rollout = config["rollouts"][0].as_object_mut().unwrap();
    rollout.extend(more.as_object().unwrap().clone());
    file(".json", &config.to_string())
}

#[test]
fn the_certificate_of_the_client_is_an_argument() {
    let peer = json!({"peer": true, "prefix": "spiffe://td/"});
    let ruled = config(&json!({"rules": [{"name": "r", "when": peer, "use": "v2"}]}));
    let ruled = ruled.to_str().unwrap();
    for (args, reason) in [
        (&["--peer", "spiffe://td/ns/a/sa/b"][..], "rule"),
        (&["--peer", "spiffe://other/ns/a/sa/b"], "active"),
        (&[], "active"),
    ] {
        let explained = json(&[&["explain", ruled, "-r", "/"], args].concat());
        assert_eq!(explained["decisions"][0]["reason"], reason, "{args:?}");
    }
}

#[test]
fn a_split_shows_the_scores_and_a_match_its_condition() {
    let arms = json!([{"version": "v1", "weight": 80}, {"version": "v2", "weight": 20}]);
    let beta = json!({"name": "beta", "when": {"cookie": "ring", "exact": "b"}, "split": arms});
    let tenant = json!({"header": "x-tenant", "exact": "acme"});
    let config = config(&json!({
        "match": [{"path": {"prefix": "/shop"}, "when": tenant}],
        "rules": [beta],
        "strategy": {"weighted": arms},
    }));
    let config = config.to_str().unwrap();
    let ask = |path: &str, more: &[&str]| {
        let args = [&["explain", config, "-r", path, "-H", "x-user-id: 7"], more].concat();
        text(&divvy(&args))
    };
    let other = ask("/shop", &["-H", "x-tenant: globex"]);
    for line in [
        "entry 0 does not match: its condition is false\n",
        "false header x-tenant exact \"acme\"  (is \"globex\")\n",
        "no entry matches, so the rollout does not decide\n",
    ] {
        assert!(other.contains(line), "{line}: {other}");
    }
    let other = ask("/", &["-H", "x-tenant: acme"]);
    assert!(
        other.contains("entry 0 does not match: other path\n"),
        "{other}"
    );
    let tenant = ["-H", "x-tenant: acme"];
    let split = ask("/shop", &tenant);
    for line in [
        "entry 0 matches\n",
        "true  header x-tenant exact \"acme\"  (is \"acme\")\n",
        "strategy   split, the smallest score wins: v1 0.",
    ] {
        assert!(split.contains(line), "{line}: {split}");
    }
    let ruled = ask("/shop", &[&tenant[..], &["-H", "cookie: ring=b"]].concat());
    let matches = "rule       beta matches: v1 by split, the smallest score wins: v1 0.";
    assert!(ruled.contains(matches), "{ruled}");
    let args = [
        "explain",
        config,
        "-r",
        "/shop",
        "-H",
        "x-tenant: acme",
        "-H",
        "cookie: ring=b",
    ];
    let none = text(&divvy(&args));
    let missing = "beta matches, but its split needs an identity, and the request has none\n";
    assert!(none.contains(missing), "{none}");
}

#[test]
fn the_identity_of_a_rollout_with_sources_of_its_own_is_shown() {
    let rollout = |name: &str, more: Value| {
        let mut rollout = json!({
            "name": name, "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"canary": {"version": "v2", "weight": 50}},
        });
        let fields = more.as_object().unwrap().clone();
        rollout.as_object_mut().unwrap().extend(fields);
        rollout
    };
    let config = json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [
            rollout("basket", json!({"identity": [{"cookie": "session"}]})), rollout("search", json!({})),
        ],
    });
    let config = file(".json", &config.to_string());
    let config = config.to_str().unwrap();
    let both = ["-r", "/", "-H", "x-user-id: 7", "-H", "cookie: session=s1"];
    let explained = json(&[&["explain", config], &both[..]].concat());
    assert_eq!(explained["identity"]["value"], "7");
    let own = json!([{"rollout": "basket", "identity": {"value": "s1", "origin": "given", "source": "cookie session"}}]);
    assert_eq!(explained["ownIdentities"], own);
    let shown = text(&divvy(&[
        "explain",
        config,
        "-r",
        "/",
        "-H",
        "cookie: session=null",
    ]));
    for line in [
        "identity: none: header x-user-id has no usable value\n",
        "identity of basket: none: cookie session is \"null\", one of ignoreIdentities\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn weighted_versions_get_their_shares_for_every_identity_and_match_of_the_rollout() {
    let arms = json!([
        {"version": "v1", "weight": 80}, {"version": "v2", "weight": 15}, {"version": "v3", "weight": 5},
    ]);
    let beta = json!({"header": "x-tenant", "prefix": "beta-"});
    let scope = |when: Value| json!([{"hosts": ["shop.example"], "when": when}]);
    for (identity, when) in [
        (json!({"cookie": "session"}), beta.clone()),
        (
            json!({"header": "X-Tenant"}),
            json!({"header": "x-tenant", "present": true}),
        ),
        (
            json!({"query": "s"}),
            json!({"all": [{"query": "a", "exact": "b"}, {"cookie": "c", "in": ["d"]}]}),
        ),
        (
            json!({"random": true}),
            json!({"peer": true, "prefix": "spiffe://td/"}),
        ),
        (
            json!({"jwtClaim": "sub"}),
            json!({"label": {"header": "x-label", "key": "k"}, "suffix": "v"}),
        ),
        (
            json!({"cookie": "session"}),
            json!({"any": [{"sourceIp": true, "cidr": "10.0.0.0/8"}, beta]}),
        ),
    ] {
        let rollout = json!({
            "name": "a", "identity": [identity], "match": scope(when),
            "versions": [{"name": "v1"}, {"name": "v2"}, {"name": "v3"}], "stable": "v1",
            "strategy": {"weighted": arms},
        });
        let config = json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout]});
        let config = file(".json", &config.to_string());
        let report = json(&["simulate", config.to_str().unwrap(), "--users", "20000"]);
        let one = &report["rollouts"][0];
        assert_eq!(
            (&one["users"], &one["mismatch"]),
            (&json!(20_000), &json!(false)),
            "{one}"
        );
        for (version, configured) in [(0, 80.0), (1, 15.0), (2, 5.0)] {
            assert_eq!(one["versions"][version]["configured"], configured, "{one}");
        }
    }
}
