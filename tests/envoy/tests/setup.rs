//! Set-up shared by all tests: the shipped files with the built filter, in front of three
//! versions of the shop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use divvy_cases::build;
pub use divvy_cases::build::{blue_green as all_users_get, canary};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::client::{Http1, Response, raw};
use divvy_lab::envoy::{Binary, Envoy, HotRestart, Options, Push};
use divvy_lab::metrics::Metrics;
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::{Upstream, start_versions};
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// Timeout for anything that takes Envoy a moment, also on a machine with twenty other processes; only a failing test
/// reaches it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The name of the shipped plugin.
pub const PLUGIN: &str = "divvy";

/// A configuration with these rollouts. The identity is any `x-user-id`, and the response has the
/// assignment.
#[must_use]
pub fn configuration(rollouts: &[Value]) -> Value {
    json!({
        "identity": [{"header": "x-user-id"}],
        "ignoreIdentities": [],
        "responseHeader": "x-divvy-version",
        "rollouts": rollouts,
    })
}

/// A rollout of v1 (stable), v2 and v3 for every request, with this strategy.
#[must_use]
pub fn rollout(name: &str, strategy: Value) -> Value {
    build::rollout(name, &["v1", "v2", "v3"], &strategy)
}

/// A rollout as [`rollout`], with these fields added or replaced.
#[must_use]
pub fn rollout_with(name: &str, strategy: Value, fields: Value) -> Value {
    with(rollout(name, strategy), fields)
}

/// An object with these fields added or replaced.
#[must_use]
pub fn with(object: Value, fields: Value) -> Value {
    build::with(object, &fields)
}

/// An object without one of its fields.
#[must_use]
pub fn without(mut object: Value, field: &str) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove(field);
    }
    object
}

/// What precedes a message of the shipped plugin in Envoy's log.
#[must_use]
pub fn log_mark() -> String {
    Build::default().log_mark(PLUGIN)
}

/// Whether the long versions of the tests run.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("DIVVY_SOAK").is_some_and(|value| value == "1")
}

/// An edge before its start.
#[derive(Clone, Debug)]
pub struct Setup {
    bootstrap: Bootstrap,
    plugin: Plugin,
    options: Options,
    good: bool,
}

impl Setup {
    /// The shipped bootstrap and plugin with this configuration, which must be valid.
    pub fn new(configuration: &Value) -> Result<Setup> {
        let setup = Setup::of_anything(&configuration.to_string())?;
        Ok(Setup {
            good: true,
            ..setup
        })
    }

    /// The same with any bytes as configuration.
    pub fn of_anything(configuration: &str) -> Result<Setup> {
        let file = Build::default().file();
        ensure!(
            workspace_root().join(file).exists(),
            "there is no {file}: run `make build`, or `make module`"
        );
        Ok(Setup {
            bootstrap: Bootstrap::load("envoy/edge.yaml")?,
            plugin: Plugin::load("envoy/plugin.yaml")?.with_configuration(configuration),
            options: Options::default(),
            good: false,
        })
    }

    /// With a changed bootstrap.
    pub fn bootstrap(
        mut self,
        change: impl FnOnce(Bootstrap) -> Result<Bootstrap>,
    ) -> Result<Self> {
        self.bootstrap = change(self.bootstrap)?;
        Ok(self)
    }

    /// With a changed plugin.
    #[must_use]
    pub fn plugin(mut self, change: impl FnOnce(Plugin) -> Plugin) -> Self {
        self.plugin = change(self.plugin);
        self
    }

    /// With this number of worker threads.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.options.concurrency = workers;
        self
    }

    /// With these keys of signatures in the environment of Envoy, which the VM may read.
    #[must_use]
    pub fn keys(mut self, keys: &str) -> Self {
        const VARIABLE: &str = "DIVVY_KEYS";
        self.options
            .env
            .push((VARIABLE.to_owned(), keys.to_owned()));
        let vm = &mut self.plugin.config()["vm_config"];
        vm["environment_variables"]["host_env_keys"] = json!([VARIABLE]);
        self
    }

    /// With these log levels of components, such as `wasm:trace`.
    #[must_use]
    pub fn log(mut self, levels: &str) -> Self {
        levels.clone_into(&mut self.options.component_log_level);
        self
    }

    /// With this part in a hot restart.
    #[must_use]
    pub fn hot_restart(mut self, part: HotRestart) -> Self {
        self.options.hot_restart = part;
        self
    }

    /// Starts Envoy and the versions.
    pub async fn start(self) -> Result<Edge> {
        self.start_with(|_| Ok(())).await
    }

    /// The same, with a bootstrap that is changed once the clusters have their hosts.
    pub async fn start_with(
        self,
        change: impl FnOnce(&mut Bootstrap) -> Result<()>,
    ) -> Result<Edge> {
        let (mut bootstrap, upstreams) = start_versions(self.bootstrap).await?;
        change(&mut bootstrap)?;
        let bootstrap = bootstrap.with_plugin(self.plugin.clone());
        let envoy = Envoy::start(&Binary::find()?, &bootstrap, &self.options).await?;
        let addr = envoy.listener("edge").await?;
        let edge = Edge {
            envoy,
            addr,
            client: Http1::new(addr),
            upstreams,
            plugin: self.plugin,
        };
        // Many tests would pass with an inert filter.
        let inert = edge.gauge("divvy_config_inert").await?;
        let configuration = edge.plugin.configuration();
        ensure!(!self.good || inert == Some(0.0), "inert: {configuration}");
        Ok(edge)
    }
}

/// A running Envoy with the filter, and its upstreams.
pub struct Edge {
    /// Envoy.
    pub envoy: Envoy,
    /// Its address.
    pub addr: SocketAddr,
    /// A client with one connection.
    pub client: Http1,
    /// The versions of the shop, by name.
    pub upstreams: BTreeMap<&'static str, Upstream>,
    plugin: Plugin,
}

impl Edge {
    /// Starts the shipped edge with this configuration.
    pub async fn start(configuration: &Value) -> Result<Edge> {
        Setup::new(configuration)?.start().await
    }

    /// Publishes a configuration and returns Envoy's verdict on it.
    pub async fn push(&self, configuration: &Value) -> Result<Push> {
        self.push_text(&configuration.to_string()).await
    }

    /// The same with a configuration that may be anything.
    pub async fn push_text(&self, configuration: &str) -> Result<Push> {
        let plugin = self.plugin.clone().with_configuration(configuration);
        self.envoy.push(&plugin).await
    }

    /// Publishes a configuration that Envoy must accept.
    pub async fn put(&self, configuration: &Value) -> Result<()> {
        match self.push(configuration).await? {
            Push::Accepted => Ok(()),
            other => Err(anyhow!("{other:?}: {configuration}")),
        }
    }

    /// GET as this user.
    pub async fn get_as(&self, user: impl AsRef<[u8]>, path: &str) -> Result<Response> {
        self.client.get_with(path, &[("x-user-id", user)]).await
    }

    /// GET on a new connection, with these header lines verbatim (without line ends).
    pub async fn raw_get<L: AsRef<[u8]>>(
        &self,
        path: impl AsRef<[u8]>,
        lines: &[L],
    ) -> Result<Response> {
        let mut request = [b"GET ", path.as_ref(), b" HTTP/1.1\r\nhost: shop\r\n"].concat();
        for line in lines {
            request.extend([line.as_ref(), b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        raw(self.addr, &request).await
    }

    /// The number of requests that reached an upstream.
    #[must_use]
    pub fn upstream_requests(&self) -> u64 {
        self.upstreams.values().map(Upstream::requests).sum()
    }

    /// The current text of `/stats/prometheus`.
    pub async fn metrics(&self) -> Result<Metrics> {
        self.envoy.prometheus().await
    }

    /// All samples of a metric that are not 0, by the values of their labels.
    pub async fn counts(&self, series: Series) -> Result<Counts> {
        counts(&self.metrics().await?, series)
    }

    /// Waits until a metric has exactly these samples; the error lists the differences.
    pub async fn wait_for_counts(&self, series: Series, expected: &Counts) -> Result<()> {
        let Series { metric, .. } = series;
        let same = async || {
            let now = self.counts(series).await.ok()?;
            (now == *expected).then_some(())
        };
        if eventually(metric, PATIENCE, same).await.is_ok() {
            return Ok(());
        }
        let now = self.counts(series).await?;
        Err(anyhow!("{metric}: {now:#?} expected: {expected:#?}"))
    }

    /// All gauges of the filter by name; weights as `checkout v2`.
    pub async fn gauges(&self) -> Result<BTreeMap<String, f64>> {
        let metrics = self.metrics().await?;
        let mut gauges = BTreeMap::new();
        for gauge in ["divvy_config_hash", "divvy_config_inert"] {
            let value = metrics.get(gauge, &[("divvy_plugin", PLUGIN)]);
            gauges.extend(value.map(|value| (gauge.to_owned(), value)));
        }
        for labels in metrics.labels("divvy_weight_ppm") {
            let of = VERSION_LABELS.map(|label| (label, labels[label].as_str()));
            let name = of.map(|(_, value)| value).join(" ");
            let value = metrics.get("divvy_weight_ppm", &of);
            gauges.extend(value.map(|value| (name, value)));
        }
        Ok(gauges)
    }

    /// A gauge of the shipped plugin.
    pub async fn gauge(&self, metric: &str) -> Result<Option<f64>> {
        let metrics = self.metrics().await?;
        Ok(metrics.get(metric, &[("divvy_plugin", PLUGIN)]))
    }
}

/// A metric and the labels of its samples.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    metric: &'static str,
    labels: &'static [&'static str],
}

/// Requests by rollout, version and reason.
pub const REQUESTS: Series = Series {
    metric: "divvy_requests_total",
    labels: &["divvy_rollout", "divvy_version", "divvy_reason"],
};

/// Responses by rollout, version and class.
pub const RESPONSES: Series = Series {
    metric: "divvy_responses_total",
    labels: &["divvy_rollout", "divvy_version", "divvy_class"],
};

/// Numbers of durations by rollout and version. Envoy's workers merge histograms after the request
/// for them; counters and gauges are exact at once.
pub const DURATIONS: Series = Series {
    metric: "divvy_request_duration_ms_count",
    labels: &VERSION_LABELS,
};

/// Weights by rollout and version.
pub const WEIGHTS: Series = Series {
    metric: "divvy_weight_ppm",
    labels: &VERSION_LABELS,
};

const VERSION_LABELS: [&str; 2] = ["divvy_rollout", "divvy_version"];

/// Samples by the values of their labels.
pub type Counts = BTreeMap<Vec<String>, u64>;

/// Samples from pairs such as `(["checkout", "v1"], 3)`.
pub fn expect<'a, const N: usize>(
    samples: impl IntoIterator<Item = ([&'a str; N], u64)>,
) -> Counts {
    samples
        .into_iter()
        .map(|(labels, value)| (labels.map(str::to_owned).to_vec(), value))
        .collect()
}

/// The samples of a metric that are not 0; an error if one has other labels than the series.
pub fn counts(metrics: &Metrics, Series { metric, labels }: Series) -> Result<Counts> {
    let mut counts = Counts::new();
    for found in metrics.labels(metric) {
        ensure!(
            found.len() == labels.len() && labels.iter().all(|label| found.contains_key(*label)),
            "{metric} has the labels {found:?}"
        );
        let pairs: Vec<_> = labels
            .iter()
            .map(|label| (*label, &*found[*label]))
            .collect();
        let value = metrics.get(metric, &pairs).unwrap_or_default();
        if value != 0.0 {
            let values = pairs.iter().map(|(_, value)| (*value).to_owned());
            counts.insert(values.collect(), value as u64);
        }
    }
    Ok(counts)
}

/// The version of the shop that answered: the cluster of the request.
#[must_use]
pub fn served_by(answer: &Response) -> Option<&str> {
    answer.header("x-shop-version")
}

/// The assignment in the response header.
#[must_use]
pub fn assignment_of(answer: &Response) -> Option<&str> {
    answer.header("x-divvy-version")
}

/// The values of a header that the upstream received, from the response of its `/echo`.
pub fn seen_upstream(answer: &Response, header: &str) -> Result<Vec<String>> {
    let echo = answer.json()?;
    let lines = echo["headers"].as_array().into_iter().flatten();
    Ok(lines
        .filter(|line| line[0] == header)
        .filter_map(|line| line[1].as_str().map(str::to_owned))
        .collect())
}
