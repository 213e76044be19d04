//! The recipe of PEOPLE.md that keeps sessions on stable while a canary grows.

use crate::setup::{Edge, canary, served_by};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::people::{decision, get, minting, value_of};

fn recipe(weight: f64) -> Value {
    let fields = json!({
        "sticky": {"cookie": "divvy_checkout"},
        "rules": [
            {"name": "began-on-stable", "use": "v1",
             "when": {"cookie": "divvy_checkout", "regex": "1:[^:]*:v1:.*"}},
            {"name": "began-before", "use": "v1", "when": {"all": [
                {"cookie": "session", "present": true},
                {"cookie": "divvy_checkout", "present": false},
            ]}},
        ],
    });
    minting(canary(weight), fields)
}

#[tokio::test]
async fn sessions_that_began_on_stable_stay_there_while_the_canary_grows() -> Result<()> {
    let edge = Edge::start(&recipe(50.0)).await?;
    let mut sessions = Vec::new();
    for _ in 0..40 {
        let answer = get(&edge, "", "").await?;
        let version = served_by(&answer).context("a version")?.to_owned();
        let cookie = |name| value_of(&answer, name).context("a cookie");
        let [id, sticky] = [cookie("divvy_id")?, cookie("divvy_checkout")?];
        sessions.push((
            version,
            format!("session=1; divvy_id={id}; divvy_checkout={sticky}"),
        ));
    }
    for weight in [80.0, 100.0] {
        edge.put(&recipe(weight)).await?;
        let mut versions = [0, 0];
        for (version, cookies) in &sessions {
            let answer = get(&edge, "", cookies).await?;
            assert_eq!(served_by(&answer), Some(version.as_str()), "{cookies}");
            versions[usize::from(version == "v2")] += 1;
        }
        assert!(versions.iter().all(|count| *count > 5), "{versions:?}");
        // A session from before the rollout, and a new visitor.
        let before = get(&edge, "", "session=1").await?;
        assert_eq!(decision(&before)?, "checkout=v1;reason=rule");
        assert_eq!(value_of(&before, "divvy_checkout"), None);
    }
    let new = get(&edge, "", "").await?;
    assert_eq!(served_by(&new), Some("v2"));
    Ok(())
}

#[tokio::test]
async fn the_version_of_a_rule_is_not_remembered() -> Result<()> {
    let fields = json!({
        "sticky": {"cookie": "divvy_checkout"},
        "rules": [{"name": "testers", "when": {"query": "beta", "exact": "1"}, "use": "v2"}],
    });
    let edge = Edge::start(&minting(canary(0.0001), fields)).await?;
    let tester = edge
        .client
        .get_with("/?beta=1", &[("x-user-id", "1")])
        .await?;
    assert_eq!(decision(&tester)?, "checkout=v2;reason=rule");
    assert_eq!(value_of(&tester, "divvy_checkout"), None);
    let next = get(&edge, "1", "").await?;
    assert_eq!(decision(&next)?, "checkout=v1;reason=split");
    Ok(())
}
