//! What a VM costs before its first request, and how much memory it takes.
//!
//! A push that needs a new VM (another `vm_id`) makes Envoy load, compile and configure one on its
//! main thread, and then one on each worker. What a worker runs for it is what its requests wait
//! for. Nothing else happens in that Envoy meanwhile, and nobody asks it anything.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::envoy::{Binary, Envoy, Options};
use divvy_lab::plugin::Plugin;
use divvy_lab::workspace_root;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::configurations::{many, ten};
use crate::cpu;
use crate::statistics::{Estimate, estimate};

/// Nothing more happens once all threads together run for less than this in a pause.
const STILL: Duration = Duration::from_micros(500);
const PAUSE: Duration = Duration::from_millis(50);
/// Milliseconds that a worker may take.
const START_GOAL: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory is compared between Envoys with one worker and with so many more.
const MORE_WORKERS: u32 = 8;

/// What one kind of push takes, in milliseconds.
#[derive(Clone, Debug)]
pub struct Start {
    /// What is pushed.
    pub name: &'static str,
    /// Of each worker.
    pub worker: Estimate,
    /// At most so long was the goal.
    pub goal: f64,
    /// Of the main thread, which compiles as well.
    pub main: Estimate,
}

/// How much memory each further VM takes, in KiB.
#[derive(Clone, Debug)]
pub struct Memory {
    /// With what configuration.
    pub name: &'static str,
    /// What each worker adds to the process, less what it adds without the filter.
    pub per_vm: f64,
    /// Less than this was the goal.
    pub goal: f64,
}

/// Pushes each kind so many times.
pub async fn starts(times: usize) -> Result<Vec<Start>> {
    let first = plugin(&json!({}))?;
    let bootstrap = Bootstrap::load("envoy/edge.yaml")?
        .without_access_log()?
        .with_plugin(first);
    let envoy = launch(&bootstrap, 1).await?;
    let thousand = many(1_000);
    let kinds = [
        ("a new VM, no rollouts", true, json!({})),
        ("a new VM, 1,000 rollouts", true, thousand.clone()),
        ("a VM that runs is given 1,000 rollouts", false, thousand),
    ];
    let mut figures = vec![(Vec::new(), Vec::new()); kinds.len()];
    let mut vms = 0;
    for nth in 0..times {
        for ((_, fresh, configuration), figures) in kinds.iter().zip(&mut figures) {
            vms += 1;
            let in_vm = |configuration: &Value, version: String| -> Result<Plugin> {
                let mut configuration = configuration.clone();
                // Envoy does not look at what it has already.
                configuration["version"] = json!(version);
                let mut plugin = plugin(&configuration)?;
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

/// What VMs take, by what they hold.
pub async fn memory() -> Result<Vec<Memory>> {
    let bare = Bootstrap::load("envoy/edge.yaml")?
        .without_access_log()?
        .without_http_filter("divvy")?;
    let without = per_worker(&bare).await?;
    let mut memory = Vec::new();
    for (name, configuration, goal) in [
        ("10 rollouts", ten(), 4.0),
        ("1,000 rollouts", many(1_000), 16.0),
    ] {
        let edge = Bootstrap::load("envoy/edge.yaml")?
            .without_access_log()?
            .with_plugin(plugin(&configuration)?);
        memory.push(Memory {
            name,
            per_vm: per_worker(&edge).await? - without,
            goal: goal * 1024.0,
        });
    }
    Ok(memory)
}

async fn per_worker(bootstrap: &Bootstrap) -> Result<f64> {
    let few = resident(bootstrap, 1).await?;
    let many = resident(bootstrap, 1 + MORE_WORKERS).await?;
    Ok((many - few) / f64::from(MORE_WORKERS))
}

async fn resident(bootstrap: &Bootstrap, workers: u32) -> Result<f64> {
    let envoy = launch(bootstrap, workers).await?;
    still(&envoy).await?;
    Ok(cpu::memory(envoy.pid())? as f64)
}

async fn launch(bootstrap: &Bootstrap, concurrency: u32) -> Result<Envoy> {
    let options = Options {
        concurrency,
        log_level: "warn".to_owned(),
        ..Options::default()
    };
    Envoy::start(&Binary::find()?, bootstrap, &options).await
}

fn plugin(configuration: &Value) -> Result<Plugin> {
    Ok(Plugin::load("envoy/plugin.yaml")?
        .with_wasm(workspace_root().join("target/divvy.wasm"))
        .with_env("DIVVY_STRICT", "1")
        .with_configuration(&configuration.to_string()))
}

/// What the worker and the main thread run for a push, in milliseconds.
async fn push(envoy: &Envoy, plugin: &Plugin) -> Result<(f64, f64)> {
    let before = still(envoy).await?;
    let version = plugin.publish(envoy.dir().join(format!("{}.json", plugin.name())))?;
    let deadline = Instant::now() + PATIENCE;
    // It has begun when the worker has done something.
    while times(envoy)?.0 - before.0 < STILL {
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

/// Waits until nothing happens, and returns the times of the worker and the main thread.
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

/// The worker's time, the main thread's, everybody's.
fn times(envoy: &Envoy) -> Result<(Duration, Duration, Duration)> {
    let all = cpu::times(envoy.pid())?;
    let of = |wanted: &str| -> Duration {
        let named = all.iter().filter(|(name, _)| name.starts_with(wanted));
        named.map(|(_, time)| *time).sum()
    };
    Ok((of("wrk:worker_0"), of("envoy"), of("")))
}
