//! `simulate`, `explain` and `diff` for a rollout with the hash of another system.

use crate::common::{divvy, file, json, text};
use serde_json::{Value, json};

const EXAMPLE: &str = "envoy/examples/sdk-hash.yaml";

#[test]
fn simulated_users_get_the_shares_of_the_flag() {
    let report = json(&["simulate", "-c", EXAMPLE, "--users", "100000"]);
    let rollout = &report["rollouts"][0];
    for (version, share) in ["v1", "v2", "v3"].iter().zip([60.0, 30.0, 10.0]) {
        let mut versions = rollout["versions"].as_array().unwrap().iter();
        let row = versions.find(|row| row["version"] == *version).unwrap();
        assert_eq!(row["configured"], share, "{row}");
        let interval = [0, 1].map(|end| row["interval"][end].as_f64().unwrap());
        assert!(interval[0] < share && share < interval[1], "{row}");
    }
    assert_eq!(rollout["mismatch"], false, "{rollout}");
}

#[test]
fn an_explanation_has_the_value_of_the_user_and_the_ranges_of_the_arms() {
    let output = divvy(&[
        "explain",
        "-c",
        EXAMPLE,
        "-r",
        "GET /",
        "-H",
        "x-user-id: 42",
    ]);
    // The first 15 hex digits of sha1("checkout.90c192cfd3ac94af0f21ddb66cad4a26.42"), by 16^15 - 1.
    let expected = "strategy   launchDarkly has the user at 0.001621: v1 from 0.000000 to 0.600000, v2 \
                    from 0.600000 to 0.900000, v3 from 0.900000 to 1.000000";
    let shown = text(&output);
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn a_change_of_the_hash_and_of_the_salt_beside_it_are_notes() {
    let of = |more: Value| {
        let mut rollout = json!({
            "name": "shop", "versions": [{"name": "a"}, {"name": "b"}], "stable": "a",
            "strategy": {"canary": {"version": "b", "weight": 35}},
        });
        let fields = more.as_object().unwrap().clone();
        rollout.as_object_mut().unwrap().extend(fields);
        json!({"identity": [{"header": "x-user-id"}], "rollouts": [rollout]}).to_string()
    };
    let flagd = json!({"flagd": {"flag": "shop"}});
    let split = json!({"split": {"seed": 7}});
    let rows = [
        (
            json!({}),
            json!({"hash": flagd}),
            r#"hash: was that of divvy, is now {"flagd":{"flag":"shop"}}: users are assigned again at random"#,
        ),
        (
            json!({"hash": flagd}),
            json!({"hash": split}),
            r#"hash: was {"flagd":{"flag":"shop"}}, is now {"split":{"seed":7}}: users are assigned again at random"#,
        ),
        (
            json!({"hash": flagd, "salt": "s"}),
            json!({"hash": flagd, "salt": "t"}),
            "salt: was s, is now t: the hash of another system does not read it; users of rules with \
             percent or split and of the mirror are chosen again, and sticky cookies no longer count",
        ),
    ];
    for (old, new, note) in rows {
        let [old, new] = [old, new].map(|more| file(".json", &of(more)));
        let report = json(&["diff", old.to_str().unwrap(), new.to_str().unwrap()]);
        assert_eq!(report["rollouts"][0]["notes"], json!([note]));
    }
}
