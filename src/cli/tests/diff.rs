//! `divvy diff`: the users who change version, compared with a decision for each user.

mod pairs;

use std::collections::BTreeMap;

use crate::common::{divvy, file, json, text};
use divvy::request::Request;
use divvy::{config, decide};
use serde_json::{Value, json};

use pairs::{canary, config_of, pairs, rollout, weighted};

/// The version of each user.
fn enumerated(config: &Value, users: usize) -> Vec<String> {
    let policy = config::parse(config.to_string().as_bytes()).unwrap();
    let one = |nth: usize| {
        let user = format!("user-{nth}");
        let session = format!("session={user}");
        let headers = [("x-user-id", &user), ("cookie", &session)];
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let request = Request::from_headers(&policy.names, headers);
        let decided = decide::decide(&policy, &request).decisions;
        policy.rollouts[0]
            .version(decided[0].version)
            .unwrap()
            .name
            .to_string()
    };
    (1..=users).map(one).collect()
}

/// Whether users are assigned again at random, rather than only the minimum of them moved.
fn reassigns(old: &Value, new: &Value) -> bool {
    let salts = [old, new].map(|rollout| rollout.get("salt").unwrap_or(&rollout["name"]));
    let kinds = [old, new].map(|rollout| {
        let strategy = rollout["strategy"].as_object().unwrap();
        // The hash of both is the same.
        strategy
            .keys()
            .next()
            .unwrap()
            .replace("weighted", "abTest")
    });
    if old.get("hash") != new.get("hash") {
        return true;
    }
    // The hash of another system does not read the salt.
    let reads_salt = old.get("hash").is_none();
    (reads_salt && salts[0] != salts[1]) || (kinds[0] != kinds[1] && kinds[0] != "blueGreen")
}

#[test]
fn the_report_equals_the_decisions_for_100_000_users() {
    const USERS: usize = 100_000;
    assert!(pairs().len() >= 20);
    for (old, new, minimum) in pairs() {
        let reassigns = reassigns(&old, &new);
        let [old, new] = [old, new].map(config_of);
        let files = [&old, &new].map(|config| file(".json", &config.to_string()));
        let [before, after] = [0, 1].map(|nth: usize| files[nth].to_str().unwrap());
        let report = json(&["diff", before, after]);
        let mut expected: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (from, to) in enumerated(&old, USERS)
            .into_iter()
            .zip(enumerated(&new, USERS))
        {
            if from != to {
                *expected.entry((from, to)).or_default() += 1;
            }
        }
        let change = &report["rollouts"][0];
        let moves = change["moves"].as_array().unwrap().iter().map(|one| {
            let name = |key: &str| one[key].as_str().unwrap().to_owned();
            (
                (name("from"), name("to")),
                usize::try_from(one["users"].as_u64().unwrap()).unwrap(),
            )
        });
        assert_eq!(moves.collect::<BTreeMap<_, _>>(), expected, "{old}\n{new}");
        let moved = expected.values().sum::<usize>() as f64 / USERS as f64 * 100.0;
        assert!(
            (change["movedPercent"].as_f64().unwrap() - moved).abs() < 1e-9,
            "{change}"
        );
        let reported = change["minimumPercent"].as_f64().unwrap();
        assert!(
            (reported - minimum).abs() < 1e-9,
            "{reported}, {minimum}: {old}\n{new}"
        );
        // The tolerance of one percent is for the random positions of the users.
        assert_eq!(moved > minimum + 1.0, reassigns, "{old}\n{new}");
    }
}

#[test]
fn the_report_names_new_removed_renamed_and_reassigned_rollouts() {
    let named = |name: &str, salt: &str, more: Value| {
        let mut rollout = rollout(&canary("b", 5.0), &more);
        rollout["name"] = json!(name);
        rollout["salt"] = json!(salt);
        rollout
    };
    let all = |rollouts: Vec<Value>| {
        json!({"identity": [{"header": "x-user-id"}], "rollouts": rollouts}).to_string()
    };
    let none = || json!({});
    let old = file(
        ".json",
        &all(vec![
            named("kept", "k", none()),
            named("old", "o", none()),
            named("gone", "g", none()),
            named("reassigned", "d", none()),
        ]),
    );
    let new = file(
        ".json",
        &all(vec![
            named("kept", "k", none()),
            named("young", "o", none()),
            named("new", "n", none()),
            named("reassigned", "e", json!({"revision": "2"})),
        ]),
    );
    let args = [
        "diff",
        "--users",
        "1000",
        old.to_str().unwrap(),
        new.to_str().unwrap(),
    ];
    let report = json(&args);
    let changes = report["rollouts"].as_array().unwrap().iter();
    let statuses = changes.map(|change| {
        let part = |key: &str| change[key].as_str().unwrap();
        (part("rollout"), part("status"))
    });
    let statuses: Vec<_> = statuses.collect();
    assert_eq!(
        statuses,
        [
            ("kept", "same"),
            ("young", "renamed"),
            ("new", "new"),
            ("reassigned", "changed"),
            ("gone", "gone")
        ]
    );
    let notes = report["rollouts"][3]["notes"].as_array().unwrap();
    assert_eq!(
        notes[0],
        "salt: was d, is now e: users are assigned again at random"
    );
    assert_eq!(
        notes[1],
        "revision: changed, so sticky cookies, rollbacks and outages no longer count"
    );

    let table = text(&divvy(&[&args[..], &["--output", "markdown"]].concat()));
    assert!(
        table.starts_with("| rollout | | users who change version |"),
        "{table}"
    );
    assert!(
        table.contains("| `kept` | same | 0.000 % | 0.000 % |  |  |\n"),
        "{table}"
    );
    let shown = text(&divvy(&args));
    assert!(
        shown.contains("young: renamed, 0.000 % of the users change version (minimum 0.000 %)\n  name: was old\n"),
        "{shown}"
    );
    for (most, code) in [("0", 1), ("50", 0)] {
        let output = divvy(&[&args[..], &["--max-moved", most]].concat());
        assert_eq!(output.status.code(), Some(code));
    }
}

#[test]
fn notes_name_every_change_that_affects_users() {
    let base = json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [rollout(&canary("b", 10.0), &json!({"target": "{version}"}))],
    });
    for (pointer, value, note) in [
        (
            "/rollouts/0/target",
            json!("x-{version}"),
            "target of a: was a, is now x-a",
        ),
        (
            "/rollouts/0/mirror",
            json!({"version": "b", "percent": 100}),
            "mirror: b gets copies of the requests of 100 % of the users, with all methods",
        ),
        (
            "/rollouts/0/mirror",
            json!({"version": "b", "percent": 5, "methods": ["GET"]}),
            "mirror: b gets copies of the requests of 5 % of the users, with GET",
        ),
        (
            "/rollouts/0/guardrail",
            json!({"errors": {"max": 1}}),
            "guardrail: was the default, is now {\"errors\"",
        ),
        (
            "/rollouts/0/sticky",
            json!({"cookie": "s"}),
            "sticky: was the default, is now",
        ),
        (
            "/rollouts/0/expose",
            json!({"group": "x-g"}),
            "expose: was the default",
        ),
        (
            "/rollouts/0/metrics",
            json!("off"),
            "metrics: was the default, is now off",
        ),
        (
            "/headers",
            json!({"route": "x-r"}),
            "headers: was the default, is now {\"route\":\"x-r\"}",
        ),
        (
            "/trust",
            json!({"workload": true}),
            "trust: was the default, is now {\"workload\":true}",
        ),
        (
            "/responseHeader",
            json!("x-v"),
            "responseHeader: was the default, is now x-v",
        ),
        (
            "/ignoreIdentities",
            json!(["-"]),
            "ignoreIdentities: was the default",
        ),
        (
            "/holdout",
            json!({"name": "h", "percent": 1}),
            "holdout: was the default",
        ),
        ("/identity", json!([{"cookie": "c"}]), "identity: changed"),
    ] {
        let mut new = base.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        new.pointer_mut(parent).unwrap()[field] = value;
        let files = [&base, &new].map(|config| file(".json", &config.to_string()));
        let [before, after] = [0, 1].map(|nth: usize| files[nth].to_str().unwrap());
        for (args, expected) in [([before, after], note), ([before, before], "")] {
            let report = json(&["diff", "--users", "10", args[0], args[1]]);
            let lists = [&report["notes"], &report["rollouts"][0]["notes"]];
            let notes = lists.iter().flat_map(|list| list.as_array().unwrap());
            let notes: Vec<_> = notes.map(|note| note.as_str().unwrap()).collect();
            if expected.is_empty() {
                assert_eq!(notes, [""; 0], "{pointer}");
            } else {
                assert!(
                    notes.iter().any(|one| one.starts_with(expected)),
                    "{pointer}: {notes:?}"
                );
            }
        }
        let shown = text(&divvy(&["diff", "--users", "10", before, after]));
        assert!(shown.contains(note), "{shown}");
    }
}

#[test]
fn another_identity_of_a_rollout_and_other_conditions_are_noted() {
    let of = |more: Value| config_of(rollout(&weighted([80, 15, 5]), &more));
    let old = of(json!({"match": [{"when": {"header": "x-tenant", "exact": "acme"}}]}));
    let new = of(json!({
        "match": [{"when": {"header": "x-tenant", "in": ["acme", "globex"]}}],
        "identity": [{"cookie": "session"}],
    }));
    let files = [&old, &new].map(|config| file(".json", &config.to_string()));
    let [before, after] = [0, 1].map(|nth: usize| files[nth].to_str().unwrap());
    let report = json(&["diff", "--users", "1000", before, after]);
    let change = &report["rollouts"][0];
    // The requests of the users meet the condition of each side.
    assert_eq!(change["movedPercent"], 0.0, "{report:#}");
    let notes = [
        "identity: changed, so a user with another identity is another user",
        "match: changed",
    ];
    assert_eq!(change["notes"], json!(notes), "{report:#}");
}
