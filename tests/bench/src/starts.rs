//! Cost of the start of a VM, and its memory.
//!
//! An update with a new VM (another `vm_id`) makes Envoy load, compile and configure one VM on the
//! main thread and one on each worker. Requests wait for the work on their worker. That Envoy is
//! otherwise idle.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::Plugin;
use divvy_lab::{process, workspace_root};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::configurations::{many, ten};
use crate::cpu;
use crate::statistics::{Estimate, estimate};

/// Maximum CPU time of all threads during a pause of an idle Envoy.
const STILL: Duration = Duration::from_micros(500);
const PAUSE: Duration = Duration::from_millis(50);
/// Goal in milliseconds per worker.
const START_GOAL: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// Number of additional workers in the comparison of memory.
const MORE_WORKERS: u32 = 8;

/// Cost of one kind of update in milliseconds.
#[derive(Clone, Debug)]
pub struct Start {
    /// Kind of the update.
    pub name: &'static str,
    /// Time per worker.
    pub worker: Estimate,
    /// Goal.
    pub goal: f64,
    /// Time of the main thread, including the compilation.
    pub main: Estimate,
}

/// Memory of each additional VM in KiB.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Configuration.
    pub name: &'static str,
    /// Memory per worker minus that of a worker without the filter.
    pub per_vm: f64,
    /// Goal.
    pub goal: f64,
}

/// Measures each kind of update.
pub async fn starts(times: usize) -> Result<Vec<Start>> {
    let thousand = many(1_000);
    let kinds = [
        ("a new VM, no rollouts", true, json!({})),
        ("a new VM, 1,000 rollouts", true, thousand.clone()),
        ("a VM that runs is given 1,000 rollouts", false, thousand),
    ];
    let mut starts = starts_of(Build::Wasm, &kinds, times).await?;
    let kinds = [
        ("the native module, no rollouts", false, json!({})),
        ("the native module, 1,000 rollouts", false, many(1_000)),
    ];
    starts.extend(starts_of(Build::Module, &kinds, times).await?);
    Ok(starts)
}

/// Measures each kind: its name, whether it needs a new VM, and its configuration.
async fn starts_of(
    build: Build,
    kinds: &[(&'static str, bool, Value)],
    times: usize,
) -> Result<Vec<Start>> {
    let first = plugin(build, &json!({}))?;
    let bootstrap = Bootstrap::load("envoy/edge.yaml")?
        .without_access_log()?
        .with_plugin(first);
    let envoy = launch(build, &bootstrap, 1).await?;
    let mut figures = vec![(Vec::new(), Vec::new()); kinds.len()];
    let mut vms = 0;
    for nth in 0..times {
        for ((_, fresh, configuration), figures) in kinds.iter().zip(&mut figures) {
            vms += 1;
            let in_vm = |configuration: &Value, version: String| -> Result<Plugin> {
                let mut configuration = configuration.clone();
                // Envoy ignores an unchanged update.
                configuration["version"] = json!(version);
                let mut plugin = plugin(build, &configuration)?;
                plugin.config()["vm_config"]["vm_id"] = json!(format!("vm-{vms}"));
                Ok(plugin)
            };
            if !fresh {
                push(&envoy, &in_vm(&json!({}), format!("{nth}, before"))?).await?;
            }
            let (worker, main) = push(&envoy, &in_vm(configuration, nth.to_string())?).await?;
            figures.0.push(worker);
            figures.1.push(main);
        }
    }
    let names = kinds.iter().map(|(name, ..)| *name);
    let starts = names.zip(figures).map(|(name, (worker, main))| Start {
        name,
        worker: estimate(&worker),
        goal: START_GOAL,
        main: estimate(&main),
    });
    Ok(starts.collect())
}

/// Memory of VMs by configuration.
pub async fn memory() -> Result<Vec<Memory>> {
    let bare = Bootstrap::load("envoy/edge.yaml")?
        .without_access_log()?
        .without_http_filter("divvy")?;
    let without = per_worker(Build::Wasm, &bare).await?;
    let mut memory = Vec::new();
    for (build, name, configuration, goal) in [
        (Build::Wasm, "10 rollouts", ten(), 4.0),
        (Build::Wasm, "1,000 rollouts", many(1_000), 16.0),
        (Build::Module, "10 rollouts, native module", ten(), 4.0),
        (
            Build::Module,
            "1,000 rollouts, native module",
            many(1_000),
            16.0,
        ),
    ] {
        let edge = Bootstrap::load("envoy/edge.yaml")?
            .without_access_log()?
            .with_plugin(plugin(build, &configuration)?);
        memory.push(Memory {
            name,
            per_vm: per_worker(build, &edge).await? - without,
            goal: goal * 1024.0,
        });
    }
    Ok(memory)
}

async fn per_worker(build: Build, bootstrap: &Bootstrap) -> Result<f64> {
    let few = resident(build, bootstrap, 1).await?;
    let many = resident(build, bootstrap, 1 + MORE_WORKERS).await?;
    Ok((many - few) / f64::from(MORE_WORKERS))
}

async fn resident(build: Build, bootstrap: &Bootstrap, workers: u32) -> Result<f64> {
    let envoy = launch(build, bootstrap, workers).await?;
    still(&envoy).await?;
    Ok(process::memory(envoy.pid())? as f64)
}

async fn launch(build: Build, bootstrap: &Bootstrap, concurrency: u32) -> Result<Envoy> {
    let options = Options {
        build,
        concurrency,
        log_level: "warn".to_owned(),
        ..Options::default()
    };
    Envoy::start(&Binary::find()?, bootstrap, &options).await
}

fn plugin(build: Build, configuration: &Value) -> Result<Plugin> {
    Ok(Plugin::load("envoy/plugin.yaml")?
        .with_build(build)
        .with_wasm(workspace_root().join("target/divvy.wasm"))
        .with_env("DIVVY_STRICT", "1")
        .with_configuration(&configuration.to_string()))
}

/// CPU times of worker and main thread for an update in milliseconds.
async fn push(envoy: &Envoy, plugin: &Plugin) -> Result<(f64, f64)> {
    let before = still(envoy).await?;
    let version = plugin.publish(envoy.dir().join(format!("{}.json", plugin.name())))?;
    let deadline = Instant::now() + PATIENCE;
    // The update has reached the worker once its CPU time changes. The native module takes no time there.
    let reached = |now: (Duration, Duration)| match plugin.build() {
        Build::Wasm => now.0 - before.0 >= STILL,
        Build::Module => now.1 - before.1 >= STILL,
    };
    loop {
        let now = times(envoy)?;
        if reached((now.0, now.1)) {
            break;
        }
        ensure!(Instant::now() < deadline, "Envoy does not take the push");
        sleep(PAUSE).await;
    }
    let after = still(envoy).await?;
    let texts = envoy.get_admin("/stats?filter=version_text").await?;
    ensure!(texts.contains(&version), "Envoy refused the push: {texts}");
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    Ok((
        milliseconds(after.0 - before.0),
        milliseconds(after.1 - before.1),
    ))
}

/// Waits until Envoy is idle; returns the CPU times of worker and main thread.
async fn still(envoy: &Envoy) -> Result<(Duration, Duration)> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = times(envoy)?;
    loop {
        sleep(PAUSE).await;
        let now = times(envoy)?;
        if now.2 - before.2 < STILL {
            return Ok((now.0, now.1));
        }
        ensure!(Instant::now() < deadline, "Envoy does not come to rest");
        before = now;
    }
}

/// CPU times of the worker, the main thread and all threads.
fn times(envoy: &Envoy) -> Result<(Duration, Duration, Duration)> {
    let all = cpu::times(envoy.pid())?;
    let of = |wanted: &str| -> Duration {
        let named = all.iter().filter(|(name, _)| name.starts_with(wanted));
        named.map(|(_, time)| *time).sum()
    };
    Ok((of("wrk:worker_0"), of("envoy"), of("")))
}
