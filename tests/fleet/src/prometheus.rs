//! A real Prometheus with compressed rules.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use divvy_lab::client::Http1;
use divvy_lab::process::Process;
use divvy_lab::{eventually, workspace_root};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::compressed::compressed;

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Half a minute of the rules.
const SCRAPE_INTERVAL: &str = "500ms";
/// Five minutes of the rules, as Prometheus has by default.
const LOOKBACK: &str = "5s";

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// A series with its samples: seconds since 1970, value.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Its labels, with `__name__` if it has a name.
    pub labels: Labels,
    /// In order of time.
    pub samples: Vec<(f64, f64)>,
}

impl Series {
    /// A label, or the empty text.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A program of the Prometheus package: `$PROMETHEUS_BIN/NAME`, else the one that `make` unpacked.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("PROMETHEUS_BIN").filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(|| workspace_root().join("target/fleet/bin"), PathBuf::from);
    let path = folder.join(name);
    ensure!(
        path.exists(),
        "there is no {}: run `make target/fleet/bin/prometheus`, or set PROMETHEUS_BIN to a folder with prometheus and promtool",
        path.display()
    );
    Ok(path)
}

/// The time now, in seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// A running Prometheus. Dropping it kills it.
pub struct Prometheus {
    // Drop order: the process before its directory.
    process: Process,
    address: SocketAddr,
    client: Http1,
    dir: TempDir,
}

impl Prometheus {
    /// Starts Prometheus with the compressed rules of `istio/prometheus/rules.yaml`.
    pub async fn start() -> Result<Prometheus> {
        let rules = workspace_root().join("istio/prometheus/rules.yaml");
        let dir = TempDir::new()?;
        let file = |name: &str| dir.path().join(name);
        fs::write(file("rules.yaml"), compressed(&fs::read_to_string(rules)?))?;
        fs::write(file("targets.json"), "[]")?;
        let config = json!({
            "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "proxies", "metrics_path": "/stats/prometheus",
                "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}]}],
        });
        fs::write(file("prometheus.yaml"), config.to_string())?;
        // Freed before Prometheus takes it; a collision ends Prometheus, and the test fails.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(program("prometheus")?);
        command
            .arg(format!(
                "--config.file={}",
                file("prometheus.yaml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--query.lookback-delta={LOOKBACK}"));
        let prometheus = Prometheus {
            process: Process::start(command).context("cannot start Prometheus")?,
            address,
            client: Http1::new(address),
            dir,
        };
        eventually("Prometheus to be ready", START_TIMEOUT, async || {
            let answer = prometheus.client.get("/-/ready").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await
        .with_context(|| prometheus.process.lines(0, |_| true).join("\n"))?;
        Ok(prometheus)
    }

    /// The address of its API.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scrapes these proxies: address, job and instance of each.
    pub fn scrape(&self, targets: &[(SocketAddr, &str, &str)]) -> Result<()> {
        let groups: Vec<_> = targets
            .iter()
            .map(|(address, job, instance)| {
                json!({"targets": [address.to_string()], "labels": {"job": job, "instance": instance}})
            })
            .collect();
        let new = self.dir.path().join("targets.new");
        fs::write(&new, Value::from(groups).to_string())?;
        fs::rename(new, self.dir.path().join("targets.json"))?;
        Ok(())
    }

    async fn api(&self, path: &str) -> Result<Value> {
        let answer = self.client.get(&format!("/api/v1/{path}")).await?;
        let body = answer.json().with_context(|| answer.text())?;
        ensure!(body["status"] == "success", "{path}: {body}");
        Ok(body["data"].clone())
    }

    /// The series of an instant query, with one sample each.
    pub async fn query(&self, query: &str) -> Result<Vec<Series>> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        series(&self.api(&format!("query?query={query}")).await?["result"])
    }

    /// The series of a query from `from` to `to`, in seconds since 1970, twice a second.
    pub async fn range(&self, query: &str, from: f64, to: f64) -> Result<Vec<Series>> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let path = format!("query_range?query={query}&start={from:.3}&end={to:.3}&step=0.5");
        series(&self.api(&path).await?["result"])
    }

    /// The rules that Prometheus could not evaluate, with their errors.
    pub async fn broken_rules(&self) -> Result<Vec<String>> {
        let data = self.api("rules").await?;
        let groups = data["groups"].as_array().context("groups")?;
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let broken = rules.filter(|rule| rule["health"] != "ok");
        Ok(broken
            .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
            .collect())
    }
}

/// The result of a query, as `vector` or `matrix`.
fn series(result: &Value) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    for one in result.as_array().context("a list of series")? {
        let labels = serde_json::from_value(one["metric"].clone())?;
        let pairs = match one["values"].as_array() {
            Some(values) => values.clone(),
            None => vec![one["value"].clone()],
        };
        let samples = pairs
            .iter()
            .map(|pair| {
                let value = pair[1].as_str().context("a value")?.parse()?;
                Ok((pair[0].as_f64().context("a time")?, value))
            })
            .collect::<Result<_>>()?;
        all.push(Series { labels, samples });
    }
    Ok(all)
}
