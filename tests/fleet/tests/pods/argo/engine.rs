//! Argo Rollouts with its controller, which has the rights of Argo's own manifest and of `istio/argo/rbac.yaml` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::engine::Engine;

/// Timeout of a whole release: its pauses take 22 s, and Argo asks again every 10 s whether a weight is in force.
const RELEASE: Duration = Duration::from_secs(120);
/// A release that halts stands still for this long, which is longer than a pause of the steps.
const HALT: Duration = Duration::from_secs(12);
const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout";
/// Namespace and name of the controller's service account.
const ACCOUNT: &str = "argo-rollouts";

/// A running Argo Rollouts with the shop's checkout.
pub struct Argo<'a> {
    pub engine: Engine<'a>,
}

impl<'a> Argo<'a> {
    /// Applies `istio/argo` with short pauses, and waits until this build serves all users.
    pub async fn start(pods: &'a Pods, build: &str) -> Result<Argo<'a>> {
        let cluster = &pods.lab().cluster;
        let meta = json!({"name": ACCOUNT, "namespace": ACCOUNT});
        cluster
            .apply(&[
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ACCOUNT}}),
                json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
            ])
            .await?;
        let plugin = workspace_root().join("target/argo/divvy-argo");
        let location = format!("file://{}", plugin.display());
        let edits = [
            ("https://artifacts.example.com/divvy-argo", &*location),
            (
                "sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"",
                "",
            ),
            ("value: v1}]", &format!("value: {build}}}]")),
            ("duration: 1m}", "duration: 2s}"),
            ("duration: 5m}", "duration: 10s}"),
            ("interval: 30s", "interval: 3s"),
            ("interval: 5s", "interval: 1s"),
            ("[2m]", "[6s]"),
        ];
        let mut engine =
            Engine::prepare(pods, "argo", &["rollouts", "analysisruns"], &edits).await?;
        engine.apply("config.yaml").await?;
        let [health, metrics] = free_ports()?;
        let mut command = engine.command("rollouts-controller")?;
        command
            .args(["--leader-elect=false", "--loglevel", "info"])
            .arg(format!("--healthzPort={health}"))
            .arg(format!("--metricsPort={metrics}"))
            .env("KUBECONFIG", account(&engine).await?)
            .env("ARGO_ROLLOUTS_NAMESPACE", ACCOUNT)
            .env("POD_NAMESPACE", ACCOUNT);
        engine.run(command)?;
        let argo = Argo { engine };
        argo.phase("Healthy").await?;
        argo.engine.serves_all(build).await?;
        Ok(argo)
    }

    /// Begins the release of a build.
    pub async fn build(&self, version: &str) -> Result<()> {
        let env = "/spec/template/spec/containers/0/env/0/value";
        let patch = json!([{"op": "replace", "path": env, "value": version}]);
        self.json_patch("shop", "rollout/checkout", &patch).await?;
        // The controller has seen it when the release is under way.
        self.status("the beginning of the release", RELEASE, |status| {
            status["phase"] == "Progressing" || status["phase"] == "Paused"
        })
        .await
        .map(drop)
    }

    /// Patches the status of the Argo Rollout, as `kubectl argo rollouts promote` and `abort` do.
    pub async fn command(&self, status: &Value) -> Result<()> {
        let patch = json!({"status": status}).to_string();
        let arguments = [
            "patch",
            "-n",
            "shop",
            "rollout/checkout",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.engine.cluster().run(&arguments).await.map(drop)
    }

    /// A JSON patch of the WasmPlugin, which must not race with the plugin's own writes: the API server applies it
    /// to the current object.
    pub async fn edit(&self, patch: &Value) -> Result<()> {
        self.json_patch("istio-system", "wasmplugin/divvy", patch)
            .await
    }

    /// Lets the shipped analysis of errors succeed in later releases, whatever it finds.
    pub async fn accept_errors(&self) -> Result<()> {
        let condition = "/spec/metrics/0/successCondition";
        let patch = json!([{"op": "replace", "path": condition, "value": "true"}]);
        self.json_patch("shop", "analysistemplate/divvy-errors", &patch)
            .await
    }

    async fn json_patch(&self, namespace: &str, object: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        let arguments = [
            "patch",
            "-n",
            namespace,
            object,
            "--type=json",
            "-p",
            &patch,
        ];
        self.engine.cluster().run(&arguments).await.map(drop)
    }

    /// Waits for a status of the Argo Rollout.
    pub async fn status(
        &self,
        what: &str,
        timeout: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let is_it = |rollout: &Value| {
            // The status of an older generation says nothing about this one.
            let generation = rollout["metadata"]["generation"].to_string();
            let status = &rollout["status"];
            status["observedGeneration"].as_str() == Some(&generation) && wanted(status)
        };
        self.engine.until(what, ROLLOUT, timeout, is_it).await?;
        Ok(())
    }

    /// Waits for a phase.
    pub async fn phase(&self, phase: &str) -> Result<()> {
        self.status(phase, RELEASE, |status| status["phase"] == phase)
            .await
    }

    /// Waits until all proxies have this weight: Argo has gone on to the pause after the step that sets it. Its field
    /// `verified` can remain false after that.
    pub async fn in_force(&self, weight: u32) -> Result<()> {
        self.status("a verified weight", RELEASE, |status| {
            let paused = status["currentStepIndex"]
                .as_u64()
                .is_some_and(|step| step % 2 == 0);
            status["canary"]["weights"]["canary"]["weight"] == weight && paused
        })
        .await
    }

    /// divvy's rollout in the WasmPlugin.
    pub async fn rollout_of_divvy(&self) -> Result<Value> {
        let path = "/apis/extensions.istio.io/v1alpha1/namespaces/istio-system/wasmplugins/divvy";
        Ok(self.engine.get(path).await?["spec"]["pluginConfig"]["rollouts"][0].clone())
    }

    /// The weight in the WasmPlugin.
    pub async fn weight(&self) -> Result<Value> {
        Ok(self.rollout_of_divvy().await?["strategy"]["canary"]["weight"].clone())
    }

    /// Waits for this weight in the WasmPlugin.
    pub async fn when_requested(&self, weight: u32) -> Result<Instant> {
        eventually("a weight in the WasmPlugin", RELEASE, async || {
            (self.weight().await.ok()? == weight).then(Instant::now)
        })
        .await
    }

    /// Waits until exactly these proxies report this weight of the canary, in percent, to Prometheus.
    pub async fn reported(&self, weight: u32, proxies: &[&str]) -> Result<()> {
        let expected: BTreeMap<_, _> = proxies
            .iter()
            .map(|proxy| ((*proxy).to_owned(), f64::from(weight) * 10_000.0))
            .collect();
        let what = format!("the weight {weight} of {proxies:?}");
        eventually(&what, PATIENCE, async || {
            let query = "divvy_weight_ppm{divvy_version=\"canary\"}";
            let series = self.engine.prometheus.query(query).await.ok()?;
            let reported = series
                .iter()
                .filter_map(|one| Some((one.label("instance").to_owned(), one.samples.first()?.1)));
            (reported.collect::<BTreeMap<_, _>>() == expected).then_some(())
        })
        .await
    }

    /// Checks that the release stands still at its first weight and an event says why.
    pub async fn halts(&self, reason: &str) -> Result<()> {
        let events = async || self.engine.events("DivvyWeightNotInForce").await;
        let found = eventually(reason, PATIENCE, async || {
            let messages = events().await.ok()?;
            let has = messages.iter().any(|message| message.contains(reason));
            has.then_some(())
        })
        .await;
        if found.is_err() {
            found.context(events().await?.join("\n"))?;
        }
        self.status("the first weight", PATIENCE, |status| {
            status["canary"]["weights"]["canary"]["weight"] == 20
        })
        .await?;
        let since = Instant::now();
        while since.elapsed() < HALT {
            let status = self.engine.get(ROLLOUT).await?["status"].clone();
            ensure!(
                status["canary"]["weights"]["canary"]["weight"] == 20
                    && status["currentStepIndex"] == 3,
                "the release went on: {status}"
            );
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// The metrics of the last analysis that failed.
    pub async fn failed_metrics(&self) -> Result<String> {
        let path = "/apis/argoproj.io/v1alpha1/namespaces/shop/analysisruns";
        let runs = self.engine.get(path).await?;
        let runs = runs["items"].as_array().context("a list of runs")?;
        let created = |run: &&Value| run["metadata"]["creationTimestamp"].to_string();
        let last = runs.iter().max_by_key(created).context("no analysis")?;
        let metrics = last["status"]["metricResults"].as_array();
        let failed = metrics
            .into_iter()
            .flatten()
            .filter(|metric| metric["phase"] == "Failed");
        let names: Vec<_> = failed
            .filter_map(|metric| metric["name"].as_str())
            .collect();
        Ok(names.join(", "))
    }

    /// The state of the guardrail, as Prometheus has it.
    pub async fn guardrail(&self) -> Result<Option<f64>> {
        let query = "max(divvy_guardrail_state{divvy_version=\"canary\"})";
        let series = self.engine.prometheus.query(query).await?;
        let sample = series.first().and_then(|series| series.samples.first());
        Ok(sample.map(|sample| sample.1))
    }

    /// Which of 300 users a version serves.
    pub async fn users_of(&self, version: &str) -> Result<BTreeSet<u32>> {
        let served = self.engine.served(300).await?.into_iter();
        let users = served.filter(|(_, served)| served == version);
        Ok(users.map(|(user, _)| user).collect())
    }
}

/// A kubeconfig of the controller's service account with Argo's own role; `istio/argo/rbac.yaml` adds the other one.
async fn account(engine: &Engine<'_>) -> Result<PathBuf> {
    let cluster = engine.cluster();
    let role = workspace_root().join("target/argo/role.yaml");
    ensure!(
        role.exists(),
        "target/argo/role.yaml is missing: run `make argo-controller`"
    );
    cluster
        .run(&["apply", "-f", &role.display().to_string()])
        .await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": ACCOUNT}],
    });
    cluster.apply(&[binding]).await?;
    let file = engine.shop.lab.dir().join("argo-kubeconfig");
    let token = cluster
        .run(&["create", "token", "-n", ACCOUNT, ACCOUNT, "--duration=1h"])
        .await?;
    fs::write(&file, cluster.kubeconfig_with(token.trim()))?;
    Ok(file)
}
