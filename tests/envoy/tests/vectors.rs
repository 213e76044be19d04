//! Users get the versions that an independent implementation and the native library compute.

use crate::setup::{
    Edge, assignment_of, canary, configuration, rollout, rollout_with, served_by, with,
};
use anyhow::{Context, Result, ensure};
use divvy::decide::decide;
use divvy::request::Request;
use divvy::{config, output};
use serde_json::{Value, json};

/// The 300 rows of the committed table; their ids are not trimmed.
fn vectors() -> Result<Vec<Value>> {
    let file: Value = serde_json::from_str(include_str!("../../vectors/bucketing.json"))?;
    let rows = file["rows"].as_array().context("no rows")?.clone();
    ensure!(rows.len() == 300, "{} rows", rows.len());
    Ok(rows)
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// The largest percentage that excludes a position, and the smallest that admits it.
fn around(position: &Value) -> Result<[(&'static str, f64, bool); 2]> {
    let position = position.as_u64().context("no position")?;
    let percent = |ppm: u64| ppm as f64 / 10_000.0;
    Ok([
        ("below", percent(position), false),
        ("above", percent(position + 1), true),
    ])
}

/// The name of a rollout, as `r12.below`, and a path of its own.
fn place(row: usize, side: &str) -> (String, String) {
    (format!("r{row}.{side}"), format!("/{row}/{side}"))
}

fn only(path: &str) -> Value {
    json!([{"path": {"exact": path}}])
}

#[tokio::test]
async fn the_canary_of_every_vector_begins_exactly_at_its_position() -> Result<()> {
    let vectors = vectors()?;
    let mut rollouts = Vec::new();
    for (number, row) in vectors.iter().enumerate() {
        for (side, weight, _) in around(&row["position"]["t"])? {
            let (name, path) = place(number, side);
            let fields = json!({"salt": row["salt"], "match": only(&path)});
            rollouts.push(rollout_with(&name, canary(weight), fields));
        }
    }
    let edge = Edge::start(&configuration(&rollouts)).await?;
    for (number, row) in vectors.iter().enumerate() {
        for (side, weight, admitted) in around(&row["position"]["t"])? {
            let (name, path) = place(number, side);
            let answer = edge.get_as(text(row, "id"), &path).await?;
            let version = if admitted { "v2" } else { "v1" };
            assert_eq!(served_by(&answer), Some(version), "{weight} %, {row}");
            let assignment = format!("{name}={version};reason=split");
            assert_eq!(assignment_of(&answer), Some(&*assignment), "{row}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_rules_percent_of_every_vector_begins_exactly_at_its_rule_position() -> Result<()> {
    let vectors = vectors()?;
    let mut rollouts = Vec::new();
    for (number, row) in vectors.iter().enumerate() {
        for (side, percent, _) in around(&row["rulePosition"])? {
            let (name, path) = place(number, side);
            let when = json!({"header": "x-ring", "exact": "beta"});
            let rule = json!({"name": row["rule"], "when": when, "use": "v3", "percent": percent});
            let fields = json!({"salt": row["salt"], "match": only(&path), "rules": [rule]});
            // Users outside the rule's percent continue to the canary, with another position.
            let weight = around(&row["position"]["t"])?[1].1;
            rollouts.push(rollout_with(&name, canary(weight), fields));
        }
    }
    let edge = Edge::start(&configuration(&rollouts)).await?;
    for (number, row) in vectors.iter().enumerate() {
        for (side, percent, admitted) in around(&row["rulePosition"])? {
            let (name, path) = place(number, side);
            let headers = [("x-user-id", text(row, "id")), ("x-ring", "beta")];
            let answer = edge.client.get_with(&path, &headers).await?;
            let (version, reason) = if admitted {
                ("v3", "rule")
            } else {
                ("v2", "split")
            };
            assert_eq!(served_by(&answer), Some(version), "{percent} %, {row}");
            let assignment = format!("{name}={version};reason={reason}");
            assert_eq!(assignment_of(&answer), Some(&*assignment), "{row}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_vector_picks_its_arm_of_its_split() -> Result<()> {
    let vectors = vectors()?;
    // Each salt with each list of arms is one rollout. Its arms are clusters by number.
    let mut kinds: Vec<(&Value, &Value)> = Vec::new();
    for row in &vectors {
        let kind = (&row["salt"], &row["split"]);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    assert_eq!(kinds.len(), 12);
    let arms = |split: &Value| split.as_array().cloned().unwrap_or_default();
    let rollouts: Vec<_> = (kinds.iter().enumerate())
        .map(|(number, (salt, split))| {
            let versions: Vec<_> = (arms(split).iter().zip(1..))
                .map(|(arm, cluster)| {
                    json!({"name": arm["version"], "target": format!("v{cluster}")})
                })
                .collect();
            let (name, path) = place(number, "split");
            json!({
                "name": name,
                "salt": salt,
                "match": only(&path),
                "versions": versions,
                "stable": versions[0]["name"],
                "strategy": {"abTest": {"split": split}},
            })
        })
        .collect();
    let edge = Edge::start(&configuration(&rollouts)).await?;
    for row in &vectors {
        let kind = (&row["salt"], &row["split"]);
        let number = kinds.iter().position(|other| *other == kind);
        let (name, path) = place(number.context("a kind")?, "split");
        let answer = edge.get_as(text(row, "id"), &path).await?;
        let arms = arms(&row["split"]);
        let arm = arms.iter().position(|arm| arm["version"] == row["picked"]);
        let cluster = format!("v{}", arm.context("an arm")? + 1);
        assert_eq!(served_by(&answer), Some(&*cluster), "{row}");
        let assignment = format!("{name}={};reason=split", text(row, "picked"));
        assert_eq!(assignment_of(&answer), Some(&*assignment), "{row}");
    }
    Ok(())
}

#[tokio::test]
async fn two_thousand_users_get_the_versions_of_the_library_and_a_fifth_v2() -> Result<()> {
    const USERS: u32 = 2_000;
    const SHARE: f64 = 0.2;
    let salted = json!({"salt": "checkout-2026"});
    let configuration = configuration(&[with(rollout("checkout", canary(20.0)), salted)]);
    let policy = config::parse(configuration.to_string().as_bytes())?;
    let edge = Edge::start(&configuration).await?;

    let mut on_v2 = 0.0;
    for user in 0..USERS {
        let user = format!("user-{user}");
        let headers = [(&b":path"[..], &b"/"[..]), (b"x-user-id", user.as_bytes())];
        let request = Request::from_headers(&policy.names, headers);
        let decisions = decide(&policy, &request).decisions;
        let expected = output::route(&policy, &decisions);
        let answer = edge.get_as(&user, "/").await?;
        assert_eq!(served_by(&answer), expected, "{user}");
        assert_eq!(
            assignment_of(&answer),
            output::assignment(&policy, &decisions).as_deref()
        );
        if expected == Some("v2") {
            on_v2 += 1.0;
        }
    }
    let users = f64::from(USERS);
    let standard_error = (users * SHARE * (1.0 - SHARE)).sqrt();
    let off = (on_v2 - users * SHARE).abs();
    assert!(off <= 4.0 * standard_error, "{on_v2} of {users} have v2");
    for (version, requests) in [("v1", users - on_v2), ("v2", on_v2), ("v3", 0.0)] {
        assert_eq!(
            edge.upstreams[version].requests() as f64,
            requests,
            "{version}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_thousand_users_get_what_the_sdks_of_other_systems_answer() -> Result<()> {
    let rows: Vec<Value> = serde_json::from_str(include_str!("../../vectors/sdk.json"))?;
    assert_eq!(rows.len(), 8);
    let rollouts = rows.iter().enumerate().map(|(number, row)| {
        let weights = row["weights"].as_array().into_iter().flatten();
        let arms = ["a", "b", "c"].into_iter().zip(weights);
        let split = arms.map(|(version, weight)| json!({"version": version, "weight": weight}));
        let split: Vec<_> = split.collect();
        json!({
            "name": format!("r{number}"),
            "versions": [{"name": "none"}, {"name": "a"}, {"name": "b"}, {"name": "c"}],
            "stable": "none",
            "hash": row["hash"],
            "strategy": {"abTest": {"split": split}},
        })
    });
    let edge = Edge::start(&configuration(&rollouts.collect::<Vec<_>>())).await?;
    for user in 0..1_000 {
        let members = rows.iter().enumerate().map(|(number, row)| {
            let answer = text(row, "first").chars().nth(user);
            match answer {
                Some('-') | None => format!("r{number}=none;reason=not_enrolled"),
                Some(arm) => format!("r{number}={arm};reason=split"),
            }
        });
        let expected = members.collect::<Vec<_>>().join(", ");
        let answer = edge.get_as(&format!("user-{user}"), "/").await?;
        assert_eq!(assignment_of(&answer), Some(&*expected), "user-{user}");
    }
    Ok(())
}
