//! Argo Rollouts with its controller, the plugin, Prometheus and a gateway.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use divvy_fleet_tests::prometheus::Prometheus;
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::lab::Part;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::proxy::Proxy;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::Http1;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Timeout of a whole release, whose pauses take 22 s.
const RELEASE: Duration = Duration::from_secs(60);
/// A release that halts stands still for this long, which is longer than a pause of the steps.
const HALT: Duration = Duration::from_secs(12);
const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout";

/// A running Argo Rollouts with the shop's checkout.
pub struct Argo<'a> {
    pub shop: Shop<'a>,
    prometheus: Prometheus,
    api: Http1,
    _controller: Part,
}

/// A file that `make` puts below `target/argo`.
fn built(name: &str) -> Result<PathBuf> {
    let path = workspace_root().join("target/argo").join(name);
    ensure!(
        path.exists(),
        "target/argo/{name} is missing: run `make argo-plugin argo-controller`"
    );
    Ok(path)
}

impl<'a> Argo<'a> {
    /// Applies `istio/argo` with short pauses, and waits until this build serves all users.
    pub async fn start(pods: &'a Pods, build: &str) -> Result<Argo<'a>> {
        let lab = pods.lab();
        let cluster = &lab.cluster;
        let crds = built("crds.yaml")?.display().to_string();
        cluster
            .run(&["apply", "--server-side", "-f", &crds])
            .await?;
        cluster
            .run(&["wait", "--for=condition=Established", "crd", "--all"])
            .await?;
        for kinds in ["rollouts", "analysisruns,events"] {
            cluster
                .run(&["delete", "-n", "shop", kinds, "--all"])
                .await?;
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo-rollouts"}});
        cluster.apply(&[namespace]).await?;
        let prometheus = Prometheus::start().await?;
        let address = format!("http://{}", prometheus.address());
        let location = format!("file://{}", built("divvy-argo")?.display());
        let edits = [
            ("http://prometheus.monitoring:9090", &*address),
            ("https://artifacts.example.com/divvy-argo", &location),
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
            // 60 requests to a canary that answers in less than 1 ms: their p95 is noise.
            ("<= 1.1", "<= 1000"),
        ];
        let edits: Vec<_> = edits
            .iter()
            .map(|(from, to)| Edit::replace(from, to))
            .collect();
        let shop = Shop::over_pods(pods, "argo", &edits).await?;
        let config = shop.folder.join("argo/config.yaml").display().to_string();
        cluster.run(&["apply", "-f", &config]).await?;
        let [health, metrics] = free_ports()?;
        let mut command = Command::new(built("rollouts-controller")?);
        command
            .args(["--leader-elect=false", "--loglevel", "info"])
            .arg(format!("--healthzPort={health}"))
            .arg(format!("--metricsPort={metrics}"))
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("ARGO_ROLLOUTS_NAMESPACE", "argo-rollouts")
            .env("POD_NAMESPACE", "argo-rollouts");
        let dir = lab.dir().join("argo");
        fs::create_dir_all(&dir)?;
        let controller = Part::start("argo-rollouts", &dir, command)?;
        let argo = Argo {
            shop,
            prometheus,
            api: Http1::new(SocketAddr::from(([127, 0, 0, 1], pods.api_port))),
            _controller: controller,
        };
        argo.scrape(&[("gw-1", &argo.shop.proxy)])?;
        argo.phase("Healthy").await?;
        argo.shop.until_version(build, &[]).await?;
        Ok(argo)
    }

    /// Scrapes these proxies under these names.
    pub fn scrape(&self, proxies: &[(&str, &Proxy)]) -> Result<()> {
        let targets: Vec<_> = proxies
            .iter()
            .map(|(name, proxy)| {
                let address = SocketAddr::from(([127, 0, 0, 1], proxy.admin_port));
                (address, "divvy", *name)
            })
            .collect();
        self.prometheus.scrape(&targets)
    }

    /// A pod of a gateway, for the plugin's list. Returns its address.
    pub async fn gateway_pod(&self, name: &str) -> Result<String> {
        let cluster = &self.shop.lab.cluster;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "istio-system", "labels": {"istio": "ingressgateway"}},
            "spec": {"containers": [{"name": "istio-proxy", "image": "none", "env": [{"name": "VERSION", "value": "gateway"}]}]},
        });
        cluster.apply(&[pod]).await?;
        let pod = format!("pod/{name}");
        eventually("the address of the pod", PATIENCE, async || {
            let pod = cluster.get("istio-system", &pod).await.ok()?;
            pod["status"]["podIP"].as_str().map(str::to_owned)
        })
        .await
    }

    /// Begins the release of a build.
    pub async fn build(&self, version: &str) -> Result<()> {
        let env = "/spec/template/spec/containers/0/env/0/value";
        let patch = json!([{"op": "replace", "path": env, "value": version}]).to_string();
        let arguments = [
            "patch",
            "-n",
            "shop",
            "rollout/checkout",
            "--type=json",
            "-p",
            &patch,
        ];
        self.shop.lab.cluster.run(&arguments).await?;
        // The controller has seen it when the release is under way.
        self.status("the beginning of the release", RELEASE, |status| {
            status["phase"] == "Progressing" || status["phase"] == "Paused"
        })
        .await
        .map(drop)
    }

    /// A JSON patch of the WasmPlugin, which must not race with the plugin's own writes: the API server applies it
    /// to the current object.
    pub async fn edit(&self, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        let arguments = [
            "patch",
            "-n",
            "istio-system",
            "wasmplugin/divvy",
            "--type=json",
            "-p",
            &patch,
        ];
        self.shop.lab.cluster.run(&arguments).await.map(drop)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.api.get(path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits for a status of the Argo Rollout.
    async fn status(
        &self,
        what: &str,
        timeout: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let last = RefCell::new(Value::Null);
        let status = eventually(what, timeout, async || {
            let rollout = self.get(ROLLOUT).await.ok()?;
            // The status of an older generation says nothing about this one.
            let generation = rollout["metadata"]["generation"].to_string();
            let status = rollout["status"].clone();
            last.replace(status.clone());
            let current = rollout["status"]["observedGeneration"].as_str() == Some(&generation);
            (current && wanted(&status)).then_some(status)
        })
        .await;
        status.with_context(|| last.borrow().to_string())
    }

    /// Waits for a phase.
    pub async fn phase(&self, phase: &str) -> Result<()> {
        self.status(phase, RELEASE, |status| status["phase"] == phase)
            .await
            .map(drop)
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
        .map(drop)
    }

    /// divvy's rollout in the WasmPlugin.
    pub async fn rollout_of_divvy(&self) -> Result<Value> {
        let path = "/apis/extensions.istio.io/v1alpha1/namespaces/istio-system/wasmplugins/divvy";
        Ok(self.get(path).await?["spec"]["pluginConfig"]["rollouts"][0].clone())
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

    /// Checks that the release stands still at its first weight and an event says why.
    pub async fn halts(&self, reason: &str) -> Result<()> {
        let path = "/api/v1/namespaces/shop/events";
        let last = RefCell::new(Vec::new());
        eventually(reason, PATIENCE, async || {
            let events = self.get(path).await.ok()?;
            let events = events["items"].as_array()?.iter();
            let messages = events
                .filter(|event| event["reason"] == "DivvyWeightNotInForce")
                .filter_map(|event| event["message"].as_str().map(str::to_owned));
            last.replace(messages.collect());
            last.borrow()
                .iter()
                .any(|message: &String| message.contains(reason))
                .then_some(())
        })
        .await
        .with_context(|| last.borrow().join("\n"))?;
        self.status("the first weight", PATIENCE, |status| {
            status["canary"]["weights"]["canary"]["weight"] == 20
        })
        .await?;
        let since = Instant::now();
        while since.elapsed() < HALT {
            let status = self.get(ROLLOUT).await?["status"].clone();
            ensure!(
                status["canary"]["weights"]["canary"]["weight"] == 20
                    && status["currentStepIndex"] == 3,
                "the release went on: {status}"
            );
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// The metrics of the last analysis that failed, and its message.
    pub async fn failed_metrics(&self) -> Result<String> {
        let path = "/apis/argoproj.io/v1alpha1/namespaces/shop/analysisruns";
        let runs = self.get(path).await?;
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
        let series = self.prometheus.query(query).await?;
        let sample = series.first().and_then(|series| series.samples.first());
        Ok(sample.map(|sample| sample.1))
    }

    /// Which of 300 users a version serves.
    pub async fn users_of(&self, version: &str) -> Result<BTreeSet<u32>> {
        let client = self.shop.client();
        let mut users = BTreeSet::new();
        for user in 0..300 {
            let name = format!("user-{user}");
            let headers = [("x-user-id", &*name)];
            let answer = client.get_with("/checkout", &headers).await?;
            if served_by(&answer) == version {
                users.insert(user);
            }
        }
        Ok(users)
    }
}
