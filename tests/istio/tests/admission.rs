//! `istio/admission`: the API server asks `divvy admission`, and kubectl is refused what the filter would refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use divvy_istio_tests::lab::{Lab, Part};
use divvy_istio_tests::{PATIENCE, command, free_ports, programs};
use divvy_lab::process::Stream;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

const NAMESPACE: &str = "istio-system";

/// A configuration with a canary at this weight.
fn canary(weight: u32) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "rollouts": [{
            "name": "checkout", "target": "{version}",
            "versions": [{"name": "v1"}, {"name": "v2"}], "stable": "v1",
            "strategy": {"canary": {"version": "v2", "weight": weight}},
        }],
    })
}

/// The same configuration in each kind of object that carries one.
fn carriers(config: &Value) -> Vec<Value> {
    let url = "oci://registry.example.com/divvy:1";
    let object = |api: &str, kind: &str, field: &str, content: Value| {
        json!({
            "apiVersion": api, "kind": kind, field: content,
            "metadata": {"name": "asked", "namespace": NAMESPACE, "labels": {"divvy": "configuration"}},
        })
    };
    let envoy = json!({"name": "divvy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string(),
            },
            "vm_config": {"runtime": "envoy.wasm.runtime.v8"},
        },
    }});
    vec![
        object(
            "extensions.istio.io/v1alpha1",
            "WasmPlugin",
            "spec",
            json!({"url": url, "pluginConfig": config}),
        ),
        object(
            "extensions.istio.io/v1alpha1",
            "TrafficExtension",
            "spec",
            json!({"wasm": {"url": url, "pluginConfig": config}}),
        ),
        object(
            "gateway.envoyproxy.io/v1alpha1",
            "EnvoyExtensionPolicy",
            "spec",
            json!({"wasm": [{"name": "divvy", "config": config}]}),
        ),
        object(
            "networking.istio.io/v1alpha3",
            "EnvoyFilter",
            "spec",
            json!({"configPatches": [{"applyTo": "HTTP_FILTER", "patch": {"operation": "INSERT_BEFORE", "value": envoy}}]}),
        ),
        object(
            "v1",
            "ConfigMap",
            "data",
            json!({"divvy.json": config.to_string()}),
        ),
    ]
}

/// Envoy Gateway's kind, of which the test needs the name only.
fn policy_definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "envoyextensionpolicies.gateway.envoyproxy.io"},
        "spec": {
            "group": "gateway.envoyproxy.io", "scope": "Namespaced",
            "names": {"plural": "envoyextensionpolicies", "kind": "EnvoyExtensionPolicy"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

/// The cluster with the files of `istio/admission`, and a server beside it instead of pods.
struct Webhook<'l> {
    lab: &'l Lab,
    folder: PathBuf,
    port: u16,
}

impl<'l> Webhook<'l> {
    async fn install(lab: &'l Lab) -> Result<Webhook<'l>> {
        let folder = lab.dir().join("admission");
        fs::create_dir_all(&folder)?;
        let [port] = free_ports()?;
        let webhook = Webhook { lab, folder, port };
        let files = workspace_root().join("istio/admission/base");
        lab.cluster.apply_folder(&files).await?;
        webhook.certify().await?;
        // No pod runs here. The API server connects to what this Service names, with the name of the real one.
        let service = ["-n", NAMESPACE, "service", "divvy-admission"];
        lab.cluster
            .run(&[&["delete"], &service[..]].concat())
            .await?;
        let outside = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "divvy-admission", "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        lab.cluster.apply(&[outside]).await?;
        let path = "/webhooks/0/clientConfig/service/port";
        let patch = json!([{"op": "add", "path": path, "value": port}]).to_string();
        let object = "validatingwebhookconfiguration/divvy";
        lab.cluster
            .run(&["patch", object, "--type=json", "-p", &patch])
            .await?;
        Ok(webhook)
    }

    /// Runs `certificate.sh`, and does what the kubelet does with the Secret.
    async fn certify(&self) -> Result<()> {
        let kubectl = programs::program("kubectl")?;
        let bin = kubectl.parent().context("a folder")?.display();
        let path = std::env::var("PATH")?;
        let mut command = Command::new(workspace_root().join("istio/admission/certificate.sh"));
        command
            .env("PATH", format!("{bin}:{path}"))
            .env("KUBECONFIG", self.lab.cluster.kubeconfig());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(output.status.success(), "{output:?}");
        let object = "secret/divvy-admission-tls";
        let secret = self.lab.cluster.get(NAMESPACE, object).await?;
        for name in ["tls.crt", "tls.key"] {
            let text = secret["data"][name].as_str().context("a file")?;
            fs::write(self.folder.join(name), BASE64_STANDARD.decode(text)?)?;
        }
        Ok(())
    }

    async fn serve(&self) -> Result<Part> {
        let file = |name: &str| self.folder.join(name).into_os_string();
        let arguments = [
            "admission".into(),
            "--listen".into(),
            format!("127.0.0.1:{}", self.port).into(),
            "--certificate".into(),
            file("tls.crt"),
            "--key".into(),
            file("tls.key"),
        ];
        let command = command::divvy(&arguments)?;
        let part = Part::start("divvy-admission", &self.folder, command)?;
        said(&part, "listening on https://").await?;
        Ok(part)
    }

    /// `kubectl apply` of an object.
    async fn apply(&self, object: &Value, more: &[&str]) -> Result<Output> {
        let file = self.folder.join("object.json");
        fs::write(&file, object.to_string())?;
        let file = file.display().to_string();
        let arguments = [&["apply", "-f", &file], more].concat();
        self.lab.cluster.output(&arguments).await
    }

    /// Waits until the API server asks, which it does about a second after a change of its webhooks.
    async fn asks(&self) -> Result<()> {
        let invalid = carriers(&canary(500)).remove(0);
        eventually("the API server to ask", PATIENCE, async || {
            let output = self.apply(&invalid, &["--dry-run=server"]).await.ok()?;
            (!output.status.success()).then_some(())
        })
        .await
    }
}

async fn said(part: &Part, text: &str) -> Result<()> {
    eventually(text, PATIENCE, async || {
        let lines = part.process().lines(0, |stream| stream == Stream::Stderr);
        lines.iter().any(|line| line.contains(text)).then_some(())
    })
    .await
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The errors that `divvy check` prints about a file.
fn check(file: &Path) -> Result<String> {
    let arguments = ["check".into(), "--output=json".into(), file.into()];
    let output = command::divvy(&arguments)?.output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let findings = report["findings"].as_array().context("findings")?.iter();
    let lines = findings.map(|finding| {
        let [path, message] = ["path", "message"].map(|field| finding[field].as_str());
        Some(format!("{}: {}", path?, message?))
    });
    let lines: Option<Vec<String>> = lines.collect();
    Ok(lines.context("texts")?.join("\n"))
}

pub async fn kubectl_is_refused_with_the_message_of_check(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    lab.cluster.apply(&[policy_definition()]).await?;
    let webhook = Webhook::install(lab).await?;
    let server = webhook.serve().await?;
    webhook.asks().await?;
    let denied = "admission webhook \"check.divvy.example\" denied the request: ";
    for (invalid, valid) in carriers(&canary(500)).iter().zip(&carriers(&canary(20))) {
        let kind = &invalid["kind"];
        let output = webhook.apply(invalid, &[]).await?;
        let complaint = stderr(&output);
        let expected = format!("{denied}{}", check(&webhook.folder.join("object.json"))?);
        ensure!(
            !output.status.success() && complaint.contains(&expected),
            "{kind}: {complaint}"
        );
        let output = webhook.apply(valid, &[]).await?;
        ensure!(output.status.success(), "{kind}: {}", stderr(&output));
        ensure!(output.stderr.is_empty(), "{kind}: {}", stderr(&output));
    }

    // A patch of a field, and a warning.
    let weight = "/spec/pluginConfig/rollouts/0/strategy/canary/weight";
    let patch = json!([{"op": "replace", "path": weight, "value": 500}]).to_string();
    let patch = [
        "-n",
        NAMESPACE,
        "patch",
        "wasmplugin",
        "asked",
        "--type=json",
        "-p",
        &patch,
    ];
    let output = lab.cluster.output(&patch).await?;
    let complaint = stderr(&output);
    let weight = "rollouts[0].strategy.canary.weight: 500 is not a percentage: ";
    let expected = format!("The request is invalid: {denied}{weight}");
    ensure!(
        !output.status.success() && complaint.contains(&expected),
        "{complaint}"
    );
    let mut warned = carriers(&canary(20)).remove(0);
    warned["spec"]["pluginConfig"]["rollouts"][0]["rules"] = json!([{"name": "none", "when": {"header": "x-ring", "exact": "a"}, "use": "v2", "percent": 0}]);
    let output = webhook.apply(&warned, &[]).await?;
    let warning = stderr(&output);
    ensure!(
        output.status.success() && warning.starts_with("Warning: rollouts[0].rules[0]"),
        "{warning}"
    );

    // An object without the label is not asked about, and stays when it was invalid before it had the label.
    let mut unlabelled = carriers(&canary(500)).remove(0);
    unlabelled["metadata"] = json!({"name": "unasked", "namespace": NAMESPACE});
    ensure!(webhook.apply(&unlabelled, &[]).await?.status.success());
    let label = [
        "-n",
        NAMESPACE,
        "label",
        "wasmplugin",
        "unasked",
        "divvy=configuration",
    ];
    let output = lab.cluster.output(&label).await?;
    let warning = stderr(&output);
    ensure!(
        output.status.success()
            && warning.contains("invalid, as it was before this change: rollouts[0]"),
        "{warning}"
    );

    // A new certificate of a new authority: no request passes without an answer.
    webhook.certify().await?;
    let replaced = said(&server, "the certificate was replaced");
    let invalid = carriers(&canary(500)).remove(0);
    let refused = async {
        for _ in 0..20 {
            let output = webhook.apply(&invalid, &["--dry-run=server"]).await?;
            ensure!(!output.status.success(), "the API server did not ask");
        }
        anyhow::Ok(())
    };
    let (replaced, refused) = tokio::join!(replaced, refused);
    replaced.and(refused)?;

    // Without the server, changes pass.
    server.process().kill();
    server.process().wait_for_exit().await;
    let start = Instant::now();
    let output = webhook.apply(&invalid, &[]).await?;
    ensure!(output.status.success(), "{}", stderr(&output));
    ensure!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );

    let files = workspace_root()
        .join("istio/admission/base")
        .display()
        .to_string();
    lab.cluster
        .run(&["delete", "-k", &files, "--ignore-not-found", "--wait=false"])
        .await?;
    for object in ["secret/divvy-admission-tls", "configmap/asked"] {
        lab.cluster
            .run(&["delete", "-n", NAMESPACE, object])
            .await?;
    }
    lab.cluster
        .run(&[
            "delete",
            "crd",
            "envoyextensionpolicies.gateway.envoyproxy.io",
        ])
        .await?;
    lab.cluster.clear().await
}
