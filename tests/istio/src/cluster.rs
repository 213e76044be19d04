//! The Kubernetes API, through kubectl and istioctl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::programs;

/// All kinds of objects that a test may apply.
const KINDS: &str = "gateways.networking.istio.io,virtualservices,destinationrules,serviceentries,\
    workloadentries,sidecars,envoyfilters,wasmplugins,trafficextensions,telemetries,\
    requestauthentications,authorizationpolicies,peerauthentications,httproutes,\
    gateways.gateway.networking.k8s.io";

/// Access to the API server.
pub struct Cluster {
    port: u16,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// A random bearer token.
pub(crate) fn token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

impl Cluster {
    pub(crate) fn new(dir: &Path, port: u16, token: &str) -> Result<Cluster> {
        let cluster = Cluster {
            port,
            kubeconfig: dir.join("kubeconfig"),
            cache: dir.join("kubectl"),
        };
        fs::write(&cluster.kubeconfig, cluster.kubeconfig_with(token))?;
        Ok(cluster)
    }

    /// The text of a kubeconfig with another bearer token, such as that of a service account.
    #[must_use]
    pub fn kubeconfig_with(&self, token: &str) -> String {
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user"}}],
            "users": [{"name": "user", "user": {"token": token}}],
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "insecure-skip-tls-verify": true,
            }}],
        });
        config.to_string()
    }

    /// The file for `KUBECONFIG`.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs a program with access to the cluster.
    async fn execute(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(programs::program(program)?);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .current_dir(divvy_lab::workspace_root());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        Ok(output)
    }

    /// What `kubectl` prints, also if it fails.
    pub async fn output(&self, arguments: &[&str]) -> Result<Output> {
        self.execute("kubectl", arguments).await
    }

    /// The output of `kubectl`; an error contains its standard error.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.execute("kubectl", arguments).await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "kubectl {}: {stderr}",
            arguments.join(" ")
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The messages of `istioctl analyze` for the whole cluster, as a JSON list.
    pub async fn analyze(&self) -> Result<String> {
        let arguments = ["analyze", "--all-namespaces", "--output", "json"];
        let output = self.execute("istioctl", &arguments).await?;
        let stdout = String::from_utf8(output.stdout)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        serde_json::from_str::<Value>(&stdout)
            .with_context(|| format!("istioctl analyze: {stdout} {stderr}"))?;
        Ok(stdout)
    }

    /// `kubectl apply -k` of a folder.
    pub async fn apply_folder(&self, folder: &Path) -> Result<()> {
        let folder = folder.display().to_string();
        self.run(&["apply", "-k", &folder]).await.map(drop)
    }

    /// `kubectl apply` of objects.
    pub async fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = self.cache.with_extension("json");
        fs::write(&file, list.to_string())?;
        let file = file.display().to_string();
        self.run(&["apply", "-f", &file]).await.map(drop)
    }

    /// A merge patch of an object such as `wasmplugin/divvy`.
    pub async fn patch(&self, namespace: &str, object: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        self.run(&[
            "patch",
            "-n",
            namespace,
            object,
            "--type=merge",
            "-p",
            &patch,
        ])
        .await
        .map(drop)
    }

    /// An object such as `wasmplugin/divvy`.
    pub async fn get(&self, namespace: &str, object: &str) -> Result<Value> {
        let text = self
            .run(&["get", "-n", namespace, object, "-o", "json"])
            .await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Deletes the objects of earlier tests.
    pub async fn clear(&self) -> Result<()> {
        for namespace in ["istio-system", "shop"] {
            self.run(&["delete", "-n", namespace, KINDS, "--all", "--wait=false"])
                .await?;
        }
        Ok(())
    }
}
