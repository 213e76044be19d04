//! Two WasmPlugins that select one workload: one of the gateway and one of the whole mesh.

use anyhow::{Result, ensure};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_lab::client::Response;
use serde_json::{Value, json};

/// A plugin of the root namespace without a selector, which applies to all workloads.
fn mesh_wide(lab: &Lab, priority: u8, rollout: &Value) -> Value {
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "mesh-wide", "namespace": "istio-system"},
        "spec": {
            "url": format!("oci://{}", lab.image()), "phase": "STATS", "priority": priority,
            "failStrategy": "FAIL_OPEN", "match": [{"mode": "CLIENT"}],
            "pluginConfig": {"responseHeader": "x-divvy-version", "rollouts": [rollout]},
        },
    })
}

/// All users get this version.
fn rollout(name: &str, version: &str, fields: Value) -> Value {
    let mut rollout = json!({
        "name": name, "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
        "strategy": {"blueGreen": {"active": version}},
    });
    for (field, value) in fields.as_object().into_iter().flatten() {
        rollout[field] = value.clone();
    }
    rollout
}

pub async fn two_plugins_of_one_gateway_agree_in_both_orders(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let tester = [
        ("x-canary", "true"),
        ("x-divvy-route", "v1"),
        ("x-divvy-assignment", "checkout=v1;reason=rule"),
    ];
    let tags = rollout("search", "v2", json!({}));
    // The same service, to which everyone without the other plugin would be routed by this one.
    let again = rollout("checkout", "v1", json!({"target": "{version}"}));
    // The plugin of the overlay has priority 10.
    for (priority, rollout, version, told) in [
        (
            5,
            &tags,
            "v2",
            "checkout=v2;reason=rule, search=v2;reason=active",
        ),
        (
            20,
            &tags,
            "v2",
            "search=v2;reason=active, checkout=v2;reason=rule",
        ),
        (
            5,
            &again,
            "v2",
            "checkout=v2;reason=inherited;upstream=rule",
        ),
        (
            20,
            &again,
            "v1",
            "checkout=v1;reason=inherited;upstream=active",
        ),
    ] {
        lab.cluster
            .apply(&[mesh_wide(lab, priority, rollout)])
            .await?;
        let wanted = |answer: &Response| answer.header("x-divvy-version") == Some(told);
        // Every worker.
        for _ in 0..8 {
            shop.until(told, &tester, wanted).await?;
        }
        let client = shop.client();
        for _ in 0..20 {
            let answer = client.get_with("/checkout?echo", &tester).await?;
            ensure!(wanted(&answer), "{priority}: {:?}", answer.headers);
            assert_eq!(served_by(&answer), version, "{priority}: {told}");
            let seen = answer.json()?["headers"].clone();
            let mut seen = seen.as_array().into_iter().flatten();
            let assignment = seen.find(|header| header[0] == "x-divvy-assignment");
            let assignment = assignment.and_then(|header| header[1].as_str());
            let mut members: Vec<_> = assignment.unwrap_or_default().split(", ").collect();
            let mut expected: Vec<_> = told.split(", ").collect();
            members.sort_unstable();
            expected.sort_unstable();
            assert_eq!(members, expected, "{priority}");
        }
    }
    Ok(())
}
