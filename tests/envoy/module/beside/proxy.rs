//! One of the two Envoys, and what is compared of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::client::Http1;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::eventually;
use divvy_lab::jwt::{JwtAuthn, Key};
use divvy_lab::metrics::Metrics;
use divvy_lab::plugin::Plugin;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use super::differences;
use crate::PATIENCE;

const LOG_LINES: usize = 40;
const SIGNATURES: &str = "divvy_signature_total";
const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The key of the tokens.
pub fn key() -> Key {
    Key::number(1)
}

/// An Envoy with one of the builds, whose requests all reach the same upstream, with the headers that
/// the filter wrote.
pub struct Proxy {
    envoy: Envoy,
    client: Http1,
    plugin: Plugin,
}

impl Proxy {
    pub async fn start(build: Build, upstream: SocketAddr) -> Result<Proxy> {
        let plugin = Plugin::load("envoy/plugin.yaml")?
            .with_build(build)
            .with_env("DIVVY_KEYS", KEYS)
            .with_configuration(r#"{"version": "nothing yet"}"#);
        let mut edge = Bootstrap::load("envoy/edge.yaml")?
            .without_access_log()?
            .with_jwt(&JwtAuthn::new(&key()))?
            .with_upstream("v1", upstream)?
            .with_plugin(plugin.clone());
        for manager in edge.connection_managers()? {
            // The filter itself removes what clients forge.
            manager["early_header_mutation_extensions"] = json!([]);
            manager["xff_num_trusted_hops"] = json!(1);
            let host = &mut manager["route_config"]["virtual_hosts"][0];
            host["request_headers_to_remove"] = json!([]);
            host["routes"] = json!([{"match": {"prefix": "/"}, "route": {"cluster": "v1"}}]);
        }
        // What the application sends is trusted with `trust: {workload: true}`.
        edge.json()["static_resources"]["listeners"][0]["traffic_direction"] = json!("OUTBOUND");
        let options = Options {
            build,
            concurrency: 1,
            ..Options::default()
        };
        let envoy = Envoy::start(&Binary::find()?, &edge, &options).await?;
        let client = Http1::new(envoy.listener("edge").await?);
        Ok(Proxy {
            envoy,
            client,
            plugin,
        })
    }

    /// The reasons of a refusal; none: the configuration is in force.
    pub async fn push(&mut self, config: &str) -> Result<Vec<String>> {
        let plugin = self.plugin.clone().with_configuration(config);
        Ok(match self.envoy.push(&plugin).await? {
            Push::Accepted | Push::Unchanged => Vec::new(),
            Push::Refused { reasons } => reasons,
        })
    }

    /// The end of Envoy's log.
    pub fn last_log(&self) -> String {
        let start = self.envoy.log_mark().saturating_sub(LOG_LINES);
        self.envoy.log_since(start).join("\n")
    }

    pub async fn send(&self, request: &Request<Full<Bytes>>) -> Result<Seen> {
        let answer = self.client.send(request.clone()).await?;
        let lines = answer.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut response: Vec<_> = lines
            .filter(|(name, _)| !["date", "x-envoy-upstream-service-time"].contains(&&**name))
            .collect();
        response.sort_by(|one, other| one.0.cmp(&other.0));
        let echo: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let received = echo["headers"].as_array().into_iter().flatten();
        let received = received
            .filter_map(|line| Some((line[0].as_str()?.to_owned(), line[1].as_str()?.to_owned())));
        let mut received: Vec<_> = received
            // The ABI of the module cannot write an empty value.
            .filter(|(name, value)| name != "x-request-id" && !value.is_empty())
            .collect();
        received.push(("path".to_owned(), echo["path"].to_string()));
        received.sort_by(|one, other| one.0.cmp(&other.0));
        // Without the length of the echo, which depends on them.
        response.retain(|(name, _)| name != "content-length");
        Ok(Seen {
            status: answer.status,
            received,
            response,
        })
    }

    /// divvy's counters, gauges and numbers of durations that are not 0.
    pub async fn metrics(&self) -> Result<BTreeMap<Series, f64>> {
        self.samples("/stats/prometheus").await
    }

    /// The counters of signatures, which grow before a request reaches its upstream.
    pub async fn signatures(&self) -> Result<BTreeMap<Series, f64>> {
        let path = format!("/stats/prometheus?filter={SIGNATURES}");
        self.samples(&path).await
    }

    async fn samples(&self, path: &str) -> Result<BTreeMap<Series, f64>> {
        let metrics = Metrics::parse(&self.envoy.get_admin(path).await?)?;
        let mut all = BTreeMap::new();
        for name in metrics.names() {
            let spread = name.ends_with("_bucket") || name.ends_with("_sum");
            if !name.starts_with("divvy_") || spread {
                continue;
            }
            for labels in metrics.labels(name) {
                let pairs: Vec<_> = labels
                    .iter()
                    .map(|(key, value)| (&**key, &**value))
                    .collect();
                let value = metrics.get(name, &pairs).context("a sample")?;
                if value != 0.0 {
                    all.insert((name.to_owned(), labels.clone()), value);
                }
            }
        }
        Ok(all)
    }
}

/// Name and labels of a metric.
pub type Series = (String, BTreeMap<String, String>);

/// A response, and the request that reached the upstream.
#[derive(PartialEq, Debug)]
pub struct Seen {
    status: u16,
    received: Vec<(String, String)>,
    response: Vec<(String, String)>,
}

impl Seen {
    /// All of it, as lines.
    pub fn lines(&self) -> Vec<(String, String)> {
        let tagged = |tag: &str, lines: &[(String, String)]| -> Vec<_> {
            let lines = lines.iter();
            lines
                .map(|(name, value)| (format!("{tag} {name}"), value.clone()))
                .collect()
        };
        let status = ("status".to_owned(), self.status.to_string());
        let both = [
            tagged("upstream", &self.received),
            tagged("client", &self.response),
        ];
        [vec![status], both.concat()].concat()
    }

    /// The values of `set-cookie`.
    pub fn cookies(&self) -> impl Iterator<Item = &str> {
        let cookies = self
            .response
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        cookies.map(|(_, value)| value.as_str())
    }

    /// Whether the filter decided.
    pub fn is_decided(&self) -> bool {
        self.received
            .iter()
            .any(|(_, value)| value.contains(";reason="))
    }

    /// Names of the cookies with identities that this proxy minted for the request, with the attributes
    /// in the response. Decisions by such an identity, and so other cookies, are random.
    pub fn minted(&self, request: &Request<Full<Bytes>>) -> Vec<(String, String)> {
        let sent = request.headers().get_all("cookie").iter();
        let sent: Vec<_> = sent
            .map(|line| String::from_utf8_lossy(line.as_bytes()))
            .collect();
        let is_new = |value: &str| {
            is_uuid_4(value.as_bytes()) && !sent.iter().any(|line| line.contains(value))
        };
        let minted = |pair: &str, attributes: &str| {
            let (name, value) = pair.trim().split_once('=')?;
            is_new(value).then(|| (name.to_owned(), attributes.to_owned()))
        };
        let given = self.cookies().filter_map(|cookie| {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            minted(pair, attributes)
        });
        let lines = self.received.iter().filter(|(name, _)| name == "cookie");
        let pairs = lines.flat_map(|(_, line)| line.split(';'));
        given
            .chain(pairs.filter_map(|pair| minted(pair, "upstream")))
            .collect()
    }

    /// The status of the response.
    pub fn status(&self) -> u16 {
        self.status
    }
}

/// Whether the value is a version 4 UUID, perhaps with a signature behind it.
fn is_uuid_4(value: &[u8]) -> bool {
    [8, 13, 18, 23]
        .iter()
        .all(|at| value.get(*at) == Some(&b'-'))
        && value.get(14) == Some(&b'4')
}

/// The minute of the wall clock.
pub fn minute() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60)
}

/// Waits until both have the same gauges, and the same counters since `before`. With `minted`, versions
/// and reasons may differ, so sums of counters per rollout are compared; `before` has what minted
/// requests added to the counters of signatures.
pub async fn same_metrics(
    proxies: [&Proxy; 2],
    before: &[BTreeMap<Series, f64>; 2],
    minted: bool,
) -> Result<()> {
    let since = async |nth: usize| -> Result<Vec<(Series, f64)>> {
        let mut changes: BTreeMap<Series, f64> = BTreeMap::new();
        for ((name, mut labels), value) in proxies[nth].metrics().await? {
            let counts = name.ends_with("_total") || name.ends_with("_count");
            let key = (name.clone(), labels.clone());
            let base = before[nth].get(&key).filter(|_| counts).copied();
            if minted && counts && name != SIGNATURES {
                labels.retain(|label, _| label == "divvy_rollout");
            }
            *changes.entry((name, labels)).or_default() += value - base.unwrap_or_default();
        }
        Ok(changes
            .into_iter()
            .filter(|(_, value)| *value != 0.0)
            .collect())
    };
    let last = RefCell::new(String::new());
    let same = eventually("the same metrics", PATIENCE, async || {
        let (wasm, module) = (since(0).await.ok()?, since(1).await.ok()?);
        last.replace(differences(&wasm, &module));
        (wasm == module).then_some(())
    });
    let same = same.await;
    same.map_err(|error| anyhow!("{error}\n{}", last.borrow()))
}
