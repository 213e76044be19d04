//! One Envoy with one worker, and a listener for each variant.
//!
//! The listeners are those of the shipped `envoy/edge.yaml` without its access log. Listeners and
//! upstreams use Unix sockets, which cost a third of TCP, so that the filter is a larger part of
//! the measurement. Everything else is as in production: the route header selects the cluster, and
//! the request reaches a server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process};

use anyhow::{Context, Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::{Build, SEARCH_PATH};
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::Plugin;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

use crate::cpu::{self, Thread};
use crate::slim;
use crate::upstream::Upstream;
use crate::variants::{Filter, Variant};

const WORKER: &str = "wrk:worker_0";
const PROBES: &str = "target/wasm32-wasip1/probes/examples";
/// Copies of the native module.
const COPIES: &str = "target/bench/modules";

/// A running Envoy with all variants.
pub struct Stage {
    /// The proxy.
    pub envoy: Envoy,
    /// The worker thread.
    pub worker: Thread,
    /// Whether it has its own processor.
    pub alone: bool,
    /// Envoy's version.
    pub version: String,
    upstreams: Vec<(&'static str, Upstream)>,
    prefix: String,
}

impl Stage {
    /// Starts Envoy and the upstreams.
    pub async fn start(variants: &[Variant]) -> Result<Stage> {
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let stage = STAGES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("@divvy-bench-{}-{stage}-", process::id());
        let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.without_access_log()?;
        let shipped = bootstrap.json()["static_resources"]["listeners"][0].clone();
        let listeners = variants
            .iter()
            .map(|variant| listener(&shipped, variant, &prefix));
        let listeners: Vec<Value> = listeners.collect::<Result<_>>()?;
        bootstrap.json()["static_resources"]["listeners"] = listeners.into();

        let mut upstreams = Vec::new();
        for version in ["v1", "v2", "v3"] {
            let socket = format!("{prefix}{version}");
            upstreams.push((version, Upstream::start(version, &socket)?));
            lead(&mut bootstrap, version, &socket)?;
        }
        let binary = Binary::find()?;
        let options = Options {
            concurrency: 1,
            log_level: "warn".to_owned(),
            build: Build::Wasm,
            // For the native module, as for VMs.
            env: vec![
                ("DIVVY_STRICT".to_owned(), "1".to_owned()),
                (SEARCH_PATH.to_owned(), COPIES.to_owned()),
            ],
            ..Options::default()
        };
        let envoy = Envoy::start(&binary, &bootstrap, &options).await?;
        let worker = Thread::find(envoy.pid(), WORKER)?;
        let alone = cpu::separate(envoy.pid(), &worker)?;
        Ok(Stage {
            envoy,
            worker,
            alone,
            version: binary.version,
            upstreams,
            prefix,
        })
    }

    /// Socket of a variant.
    #[must_use]
    pub fn socket(&self, variant: &Variant) -> String {
        format!("{}{}", self.prefix, variant.id)
    }

    /// Upstream of this version.
    #[must_use]
    pub fn upstream(&self, version: &str) -> Option<&Upstream> {
        let mut upstreams = self.upstreams.iter();
        upstreams.find_map(|(name, upstream)| (*name == version).then_some(upstream))
    }
}

/// Connection manager of a listener.
pub(crate) fn manager(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]
}

fn listener(shipped: &Value, variant: &Variant, prefix: &str) -> Result<Value> {
    let mut listener = shipped.clone();
    listener["name"] = json!(variant.id);
    listener["address"] = json!({"pipe": {"path": format!("{prefix}{}", variant.id)}});
    let manager = manager(&mut listener);
    manager["stat_prefix"] = json!(variant.id);
    let filters = manager["http_filters"].as_array_mut();
    let router = filters
        .and_then(Vec::pop)
        .context("envoy/edge.yaml has no router")?;
    let mut filters: Vec<Value> = variant.before.iter().cloned().collect();
    filters.extend(filter(variant)?);
    filters.push(router);
    manager["http_filters"] = filters.into();
    (variant.edit)(&mut listener);
    Ok(listener)
}

fn filter(variant: &Variant) -> Result<Option<Value>> {
    let mut build = Build::Wasm;
    let (module, configuration) = match &variant.filter {
        Filter::None => return Ok(None),
        Filter::Own(filter) => return Ok(Some(filter.clone())),
        Filter::Probe(name) => (probe(name)?, String::new()),
        Filter::SlimProbe(name) => (slim::slim(&probe(name)?)?, String::new()),
        Filter::Divvy(configuration) => (
            workspace_root().join("target/divvy.wasm"),
            configuration.to_string(),
        ),
        Filter::Module(configuration) => {
            build = Build::Module;
            let file = workspace_root().join(build.file());
            ensure!(
                file.exists(),
                "there is no {}: run `make bench`",
                build.file()
            );
            (
                workspace_root().join(Build::Wasm.file()),
                configuration.to_string(),
            )
        }
        Filter::OtherBuild(module, configuration) => {
            (module.to_path_buf(), configuration.to_string())
        }
    };
    ensure!(
        module.exists(),
        "there is no {}: run `make bench`",
        module.display()
    );
    // Envoy does not start with a refused configuration and answers 503 after a trap.
    let mut plugin = Plugin::load("envoy/plugin.yaml")?
        .with_name(variant.id)
        .with_wasm(module)
        .with_configuration(&configuration)
        .with_env("DIVVY_STRICT", "1")
        .with_failure_policy("FAIL_CLOSED");
    // A separate VM for each variant.
    plugin.config()["vm_config"]["vm_id"] = json!(variant.id);
    let mut filter = json!({"name": variant.id, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": plugin.config(),
    }});
    build.put_into(&mut filter);
    if build == Build::Module {
        filter["typed_config"]["dynamic_module_config"]["name"] = json!(copied(variant.id)?);
    }
    Ok(Some(filter))
}

/// The name of a copy of the native module for one variant. Its state is apart, as that of a VM is: more
/// than one plugin in a process costs a note of the headers that each wrote.
fn copied(id: &str) -> Result<String> {
    let copies = workspace_root().join(COPIES);
    fs::create_dir_all(&copies)?;
    let copy = copies.join(format!("lib{id}.so"));
    // An Envoy may still run the file that had this name.
    let _ = fs::remove_file(&copy);
    fs::copy(workspace_root().join(Build::Module.file()), copy)?;
    Ok(id.to_owned())
}

fn probe(name: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty());
    let path = match target {
        Some(target) => PathBuf::from(target).join("wasm32-wasip1/probes/examples"),
        None => workspace_root().join(PROBES),
    };
    let path = path.join(format!("{name}.wasm"));
    ensure!(
        path.exists(),
        "there is no {}: run `make bench`",
        path.display()
    );
    Ok(path)
}

fn lead(bootstrap: &mut Bootstrap, cluster: &str, socket: &str) -> Result<()> {
    let clusters = bootstrap.json()["static_resources"]["clusters"].as_array_mut();
    let mut clusters = clusters.into_iter().flatten();
    let cluster = clusters
        .find(|candidate| candidate["name"] == cluster)
        .with_context(|| format!("envoy/edge.yaml has no cluster {cluster}"))?;
    cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": [
        {"endpoint": {"address": {"pipe": {"path": socket}}}},
    ]}]);
    Ok(())
}
