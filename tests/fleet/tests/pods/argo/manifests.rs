//! `istio/argo/rbac.yaml`: what the API server allows a subject that has the role of the plugin alone.

use anyhow::{Result, ensure};
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_lab::workspace_root;
use serde_json::json;

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
