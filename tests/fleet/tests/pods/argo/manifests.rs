//! `istio/argo/rbac.yaml`: what the API server allows a subject that has the role of the plugin alone. And what
//! `istio/argo/argo-cd.yaml` ignores of the Services; the paths of the WasmPlugin are tested by the Go package.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_lab::plugin::from_yaml_or_json;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

use crate::engine::Engine;

const USER: &str = "divvy-argo-alone";
const VERBS: [&str; 7] = [
    "get", "list", "watch", "create", "update", "patch", "delete",
];
/// What the plugin does: verbs and resources in this namespace.
const ALLOWED: [(&str, &str); 3] = [
    ("get", "wasmplugins.extensions.istio.io/divvy"),
    ("update", "wasmplugins.extensions.istio.io/divvy"),
    ("list", "pods"),
];
const NAMESPACE: &str = "istio-system";

pub async fn the_api_server_takes_the_application_of_argo_cd(pods: &Pods) -> Result<()> {
    let cluster = &pods.lab().cluster;
    let kinds = workspace_root().join("target/argo/argo-cd-crds.yaml");
    let kinds = kinds.display().to_string();
    cluster
        .run(&["apply", "--server-side", "-f", &kinds])
        .await?;
    cluster
        .run(&["wait", "--for=condition=Established", "crd", "--all"])
        .await?;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}});
    cluster.apply(&[namespace]).await?;
    let file = workspace_root().join("istio/argo/argo-cd.yaml");
    // An unknown field is an error.
    let arguments = ["apply", "--validate=strict", "-f"];
    let file = file.display().to_string();
    cluster.run(&[&arguments[..], &[&*file]].concat()).await?;
    Ok(())
}

/// Checks that Argo CD sees nothing of what Argo Rollouts changed in the Services: without the fields that
/// `istio/argo/argo-cd.yaml` ignores, they are those of `services.yaml`.
pub async fn argo_cd_sees_no_change_of_the_services(engine: &Engine<'_>) -> Result<()> {
    let file = workspace_root().join("istio/argo/argo-cd.yaml");
    let application: Value = serde_json::from_str(&from_yaml_or_json(&fs::read_to_string(file)?)?)?;
    let ignored = application["spec"]["ignoreDifferences"].as_array();
    let ignored = ignored.context("ignoreDifferences")?.iter();
    let mut services = BTreeSet::new();
    for entry in ignored.filter(|entry| entry["kind"] == "Service") {
        let name = entry["name"].as_str().context("a name")?;
        let path = format!("/api/v1/namespaces/shop/services/{name}");
        let mut service = engine.get(&path).await?;
        for pointer in entry["jsonPointers"].as_array().context("pointers")? {
            let pointer = pointer.as_str().context("a pointer")?;
            let (parent, field) = pointer.rsplit_once('/').context("a path")?;
            let parent = service.pointer_mut(parent).and_then(Value::as_object_mut);
            let removed = parent.and_then(|parent| parent.remove(field));
            ensure!(removed.is_some(), "{name} has no {pointer}");
        }
        ensure!(
            service["spec"]["selector"] == json!({"app": "checkout"}),
            "{service}"
        );
        services.insert(name.to_owned());
    }
    let expected = ["checkout-canary", "checkout-stable"].map(str::to_owned);
    ensure!(services == BTreeSet::from(expected), "{services:?}");
    Ok(())
}

pub async fn the_role_allows_what_the_plugin_does_and_nothing_else(pods: &Pods) -> Result<()> {
    let cluster = &pods.lab().cluster;
    let file = workspace_root().join("istio/argo/rbac.yaml");
    cluster
        .run(&["apply", "-f", &file.display().to_string()])
        .await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": USER, "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "divvy-argo"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    });
    cluster.apply(&[binding]).await?;
    let mut allowed = Vec::new();
    for resource in [
        "wasmplugins.extensions.istio.io/divvy",
        "wasmplugins.extensions.istio.io/other",
        "trafficextensions.extensions.istio.io/divvy",
        "pods",
        "secrets",
        "configmaps/divvy",
        "roles.rbac.authorization.k8s.io",
    ] {
        for verb in VERBS {
            for namespace in [NAMESPACE, "shop"] {
                let arguments = [
                    "auth", "can-i", verb, resource, "-n", namespace, "--as", USER,
                ];
                // Exit code 1 is no.
                let output = cluster.output(&arguments).await?;
                let text = String::from_utf8_lossy(&output.stdout);
                let can = text.trim() == "yes";
                ensure!(can || text.trim() == "no", "{verb} {resource}: {output:?}");
                if can {
                    ensure!(namespace == NAMESPACE, "{verb} {resource} in {namespace}");
                    allowed.push((verb, resource));
                }
            }
        }
    }
    ensure!(allowed == ALLOWED, "{allowed:?}");
    Ok(())
}
