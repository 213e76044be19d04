//! Real Envoys, each with its own versions of the shop.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Result, anyhow, ensure};
use divvy_cases::build;
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::envoy::{Binary, Envoy, Options, Push};
use divvy_lab::plugin::Plugin;
use divvy_lab::upstream::{Behaviour, StatusCode, Upstream, start_versions};
use divvy_lab::workspace_root;
use serde_json::{Value, json};

/// All calls between Envoy and the filter but `proxy_replace_header_map_value`.
const ALLOWED: &str = "
    proxy_log proxy_get_property proxy_set_property proxy_get_buffer_bytes proxy_get_header_map_pairs
    proxy_get_header_map_value proxy_add_header_map_value proxy_remove_header_map_value
    proxy_get_shared_data proxy_set_shared_data proxy_define_metric proxy_increment_metric
    proxy_record_metric proxy_set_tick_period_milliseconds proxy_get_current_time_nanoseconds
    proxy_set_effective_context clock_time_get random_get environ_get environ_sizes_get fd_write fd_read
    fd_close fd_seek fd_fdstat_get args_get args_sizes_get proc_exit
    proxy_on_context_create proxy_on_configure proxy_on_tick proxy_on_request_headers
    proxy_on_request_body proxy_on_request_trailers proxy_on_response_headers proxy_on_response_body
    proxy_on_response_trailers proxy_on_log proxy_on_delete proxy_on_vm_start proxy_on_done
    proxy_on_memory_allocate malloc _initialize";

/// A running proxy.
pub struct Proxy {
    /// Its scrape job.
    pub job: &'static str,
    /// Its name.
    pub instance: &'static str,
    /// Envoy.
    pub envoy: Envoy,
    /// Where clients connect.
    pub address: SocketAddr,
    upstreams: BTreeMap<&'static str, Upstream>,
    plugin: Plugin,
}

/// A configuration with these rollouts.
pub fn configuration(rollouts: &[Value]) -> Value {
    json!({"identity": [{"header": "x-user-id"}], "ignoreIdentities": [], "rollouts": rollouts})
}

/// A rollout of v1 (stable) and `version` for the paths below `/name`, with these fields in addition.
pub fn rollout(name: &str, version: &str, canary: Value, fields: &Value) -> Value {
    let strategy = json!({"canary": build::with(canary, &json!({"version": version}))});
    let scope = json!({"match": [{"path": {"prefix": format!("/{name}")}}]});
    let rollout = build::rollout(name, &["v1", version], &strategy);
    build::with(build::with(rollout, &scope), fields)
}

impl Proxy {
    /// Starts the shipped edge with this configuration, which may be invalid.
    pub async fn start(
        job: &'static str,
        instance: &'static str,
        configuration: &str,
    ) -> Result<Proxy> {
        let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(configuration);
        let edge = Bootstrap::load("envoy/edge.yaml")?.with_plugin(plugin.clone());
        Proxy::start_edge(job, instance, edge, plugin).await
    }

    /// The same with an Envoy that refuses the filter's calls to write a request header.
    pub async fn start_without_header_writes(
        job: &'static str,
        instance: &'static str,
        configuration: &str,
    ) -> Result<Proxy> {
        let mut plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(configuration);
        let allowed = ALLOWED.split_whitespace().map(|name| (name, json!({})));
        plugin.config()["capability_restriction_config"] =
            json!({"allowed_capabilities": allowed.collect::<BTreeMap<_, _>>()});
        let edge = Bootstrap::load("envoy/edge.yaml")?.with_plugin(plugin.clone());
        Proxy::start_edge(job, instance, edge, plugin).await
    }

    /// Starts the shipped edge without the filter.
    pub async fn start_without_divvy(job: &'static str, instance: &'static str) -> Result<Proxy> {
        let plugin = Plugin::load("envoy/plugin.yaml")?;
        let edge = Bootstrap::load("envoy/edge.yaml")?.without_http_filter("divvy")?;
        Proxy::start_edge(job, instance, edge, plugin).await
    }

    async fn start_edge(
        job: &'static str,
        instance: &'static str,
        edge: Bootstrap,
        plugin: Plugin,
    ) -> Result<Proxy> {
        ensure!(
            workspace_root().join("target/divvy.wasm").exists(),
            "the filter is not built: run `make build`"
        );
        let (edge, upstreams) = start_versions(edge.without_access_log()?).await?;
        let options = Options {
            concurrency: 1,
            ..Options::default()
        };
        let envoy = Envoy::start(&Binary::find()?, &edge, &options).await?;
        let address = envoy.listener("edge").await?;
        Ok(Proxy {
            job,
            instance,
            envoy,
            address,
            upstreams,
            plugin,
        })
    }

    /// What Prometheus scrapes.
    pub fn target(&self) -> (SocketAddr, &'static str, &'static str) {
        (self.envoy.admin(), self.job, self.instance)
    }

    /// Publishes a configuration and returns Envoy's verdict.
    pub async fn push(&self, configuration: &Value) -> Result<Push> {
        let plugin = self
            .plugin
            .clone()
            .with_configuration(&configuration.to_string());
        self.envoy.push(&plugin).await
    }

    /// Publishes a configuration that Envoy must accept.
    pub async fn put(&self, configuration: &Value) -> Result<()> {
        match self.push(configuration).await? {
            Push::Accepted => Ok(()),
            other => Err(anyhow!("{}: {other:?}", self.instance)),
        }
    }

    /// Changes how a version behaves: percentage of requests that fail, milliseconds of delay.
    pub fn behave(&self, version: &str, error_percent: f64, delay: u64) {
        if let Some(upstream) = self.upstreams.get(version) {
            upstream.behave(Behaviour {
                error_percent,
                error_status: StatusCode::SERVICE_UNAVAILABLE,
                delay: std::time::Duration::from_millis(delay),
                ..Behaviour::default()
            });
        }
    }
}
