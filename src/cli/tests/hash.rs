//! `simulate` and `explain` for a rollout with the hash of another system.

use crate::common::{divvy, json, text};

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
