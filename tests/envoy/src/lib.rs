//! The set-up that the tests in `tests/` share: the files that users start from, as shipped, with
//! the built filter, in front of three versions of the shop.
//!
//! | file | theme |
//! |---|---|
//! | `vectors.rs` | users land where the vectors and the library say |
//! | `cases.rs` | the table of decisions that the library is tested with |
//! | `decisions.rs` | modes, rules, scopes, several rollouts |
//! | `headers.rs` | what is written for upstreams, clients and logs |
//! | `expose.rs` | headers of single rollouts, identities, levels of metrics |
//! | `forged.rs` | headers that clients have no business sending |
//! | `spoofing/` | all that clients can forge, in twelve ways |
//! | `tokens.rs` | what reaches divvy of a JSON Web Token |
//! | `bytes.rs` | requests that are no text |
//! | `reload.rs`, `start.rs` | pushes under load; good, bad and no configurations |
//! | `metrics.rs`, `responses.rs` | what is counted, exactly |
//! | `guardrail/` | verdicts, how soon they come, what they outlive; ramps |
//! | `examples.rs`, `example_filters.rs` | the examples for users, with the requests of their page |
//! | `alternatives.rs` | Envoy's own splits, and the way from there |
//! | `documents.rs` | the README and the other documents say what is so |

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use divvy_cases::build;
pub use divvy_cases::build::{blue_green as everybody, canary};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::client::{Http1, Response, raw};
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::metrics::Metrics;
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::Upstream;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};

/// For whatever takes Envoy a moment. Nothing waits this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the shipped plugin.
pub const PLUGIN: &str = "divvy";

/// A configuration with these rollouts. The user is `x-user-id`, whatever it is, and the client is
/// told what was decided.
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

/// Whether the long versions of the tests are asked for.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("DIVVY_SOAK").is_some_and(|value| value == "1")
}

/// An edge that is about to start.
#[derive(Clone, Debug)]
pub struct Setup {
    bootstrap: Bootstrap,
    plugin: Plugin,
    options: Options,
    good: bool,
}

impl Setup {
    /// The shipped bootstrap and plugin with this configuration, which has to be a good one.
    pub fn new(configuration: &Value) -> Result<Setup> {
        let setup = Setup::of_anything(&configuration.to_string())?;
        Ok(Setup {
            good: true,
            ..setup
        })
    }

    /// The same with a configuration that may be anything.
    pub fn of_anything(configuration: &str) -> Result<Setup> {
        ensure!(
            workspace_root().join("target/divvy.wasm").exists(),
            "the filter is not built: run `make build`"
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

    /// With so many worker threads.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.options.concurrency = workers;
        self
    }

    /// Starts it all.
    pub async fn start(self) -> Result<Edge> {
        let mut bootstrap = self.bootstrap;
        let mut upstreams = BTreeMap::new();
        for version in ["v1", "v2", "v3"] {
            let upstream = Upstream::start(version).await?;
            bootstrap = bootstrap.with_upstream(version, upstream.addr())?;
            upstreams.insert(version, upstream);
        }
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
        // An inert filter would pass many a test.
        let inert = edge.gauge("divvy_config_inert").await?;
        let configuration = edge.plugin.configuration();
        ensure!(!self.good || inert == Some(0.0), "inert: {configuration}");
        Ok(edge)
    }
}

/// A running Envoy with the filter, and what is behind it.
pub struct Edge {
    /// Envoy.
    pub envoy: Envoy,
    /// Where it listens.
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

    /// Moves a configuration into place and hears what Envoy says of it.
    pub async fn push(&self, configuration: &Value) -> Result<Push> {
        self.push_text(&configuration.to_string()).await
    }

    /// The same with a configuration that may be anything.
    pub async fn push_text(&self, configuration: &str) -> Result<Push> {
        let plugin = self.plugin.clone().with_configuration(configuration);
        self.envoy.push(&plugin).await
    }

    /// Pushes a configuration that Envoy has to take.
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

    /// GET on a connection of its own, with these lines of headers as they are (without line ends).
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

    /// What `/stats/prometheus` says now.
    pub async fn metrics(&self) -> Result<Metrics> {
        self.envoy.prometheus().await
    }

    /// All samples of one metric with their labels' values in the order of `labels`, without those
    /// that are 0.
    pub async fn counts(&self, metric: &str, labels: &[&str]) -> Result<Counts> {
        counts(&self.metrics().await?, metric, labels)
    }

    /// Waits until one metric's samples are exactly these. What differed is in the error.
    pub async fn wait_for_counts(
        &self,
        metric: &str,
        labels: &[&str],
        expected: &Counts,
    ) -> Result<()> {
        let same = async || {
            let now = self.counts(metric, labels).await.ok()?;
            (now == *expected).then_some(())
        };
        if eventually(metric, PATIENCE, same).await.is_ok() {
            return Ok(());
        }
        let now = self.counts(metric, labels).await?;
        Err(anyhow!("{metric}: {now:#?} where {expected:#?} is meant"))
    }

    /// All that the filter's gauges say, by name or, for weights, `checkout v2`.
    pub async fn gauges(&self) -> Result<BTreeMap<String, f64>> {
        let metrics = self.metrics().await?;
        let mut gauges = BTreeMap::new();
        for gauge in ["divvy_config_hash", "divvy_config_inert"] {
            let value = metrics.get(gauge, &[("divvy_plugin", PLUGIN)]);
            gauges.extend(value.map(|value| (gauge.to_owned(), value)));
        }
        for labels in metrics.labels("divvy_weight_ppm") {
            let of = WEIGHT_LABELS.map(|label| (label, labels[label].as_str()));
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

/// The labels of `divvy_requests_total`.
pub const REQUEST_LABELS: [&str; 3] = ["divvy_rollout", "divvy_version", "divvy_reason"];

/// The labels of `divvy_responses_total`.
pub const RESPONSE_LABELS: [&str; 3] = ["divvy_rollout", "divvy_version", "divvy_class"];

/// The labels of `divvy_weight_ppm`.
pub const WEIGHT_LABELS: [&str; 2] = ["divvy_rollout", "divvy_version"];

/// Samples by the values of their labels.
pub type Counts = BTreeMap<Vec<String>, u64>;

/// Samples as a test writes them: `(["checkout", "v1"], 3)`.
pub fn expect<'a, const N: usize>(
    samples: impl IntoIterator<Item = ([&'a str; N], u64)>,
) -> Counts {
    samples
        .into_iter()
        .map(|(labels, value)| (labels.map(str::to_owned).to_vec(), value))
        .collect()
}

/// The samples of one metric that are not 0. An error if one has other labels than these.
pub fn counts(metrics: &Metrics, metric: &str, labels: &[&str]) -> Result<Counts> {
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

/// The version of the shop that answered, which is the cluster the request went to.
#[must_use]
pub fn served_by(answer: &Response) -> Option<&str> {
    answer.header("x-shop-version")
}

/// What the filter told the client.
#[must_use]
pub fn told(answer: &Response) -> Option<&str> {
    answer.header("x-divvy-version")
}

/// The values of a header that the upstream saw, by the answer of its `/echo`.
pub fn seen_upstream(answer: &Response, header: &str) -> Result<Vec<String>> {
    let echo = answer.json()?;
    let lines = echo["headers"].as_array().into_iter().flatten();
    Ok(lines
        .filter(|line| line[0] == header)
        .filter_map(|line| line[1].as_str().map(str::to_owned))
        .collect())
}
