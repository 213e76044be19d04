//! A real Envoy as a child process: start, admin interface, log, stop.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use crate::binary::{Binary, PINNED_VERSION};
use crate::bootstrap::{Bootstrap, plugin_file};
use crate::build::{Build, SEARCH_PATH};
use crate::client::{Http1, Response};
pub use crate::hot_restart::HotRestart;
use crate::hot_restart::base_id;
use crate::metrics::{Metrics, escaped_regex};
use crate::poll::Backoff;
use crate::process::{Process, Stream};
pub use crate::push::Push;
use crate::push::{LastPush, first_verdict};

/// Timeout of a start and of a push. Either takes Envoy less than a second on an idle machine.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Time between SIGTERM and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The program that starts Envoy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Launcher {
    /// None: Envoy is the child process.
    #[default]
    Direct,
    /// func-e at this path; it receives Envoy's path in `ENVOY_PATH`.
    FuncE(PathBuf),
}

/// Options of a start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Worker threads.
    pub concurrency: u32,
    /// Build of the filter; plugins have their own ([`crate::plugin::Plugin::with_build`]).
    pub build: Build,
    /// Environment variables, in addition to those of this process.
    pub env: Vec<(String, String)>,
    /// Log level; at most `warn`, because [`Envoy::push`] reads refusals from the log.
    pub log_level: String,
    /// Log levels of components, such as `wasm:debug,http:trace`; may be empty.
    pub component_log_level: String,
    /// The program that starts Envoy.
    pub launcher: Launcher,
    /// Its part in a hot restart.
    pub hot_restart: HotRestart,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            concurrency: 2,
            build: Build::default(),
            env: Vec::new(),
            log_level: "info".to_owned(),
            component_log_level: String::new(),
            launcher: Launcher::Direct,
            hot_restart: HotRestart::Disabled,
        }
    }
}

/// A running Envoy. Dropping it, also in a panic, kills it.
pub struct Envoy {
    // Drop order: the process before its directory.
    process: Process,
    admin: Http1,
    admin_addr: SocketAddr,
    pub(crate) plugins: Mutex<BTreeMap<String, LastPush>>,
    pub(crate) dir: RunDirectory,
}

impl Envoy {
    /// Starts Envoy in the root of the workspace, to which the shipped files' paths are relative, and
    /// waits until its workers accept connections. If it exits first, the error contains the last
    /// error of its log.
    pub async fn start(binary: &Binary, bootstrap: &Bootstrap, options: &Options) -> Result<Envoy> {
        // Envoys of one user share a port silently (SO_REUSEPORT), so test that it is free. In a hot
        // restart it is that of the process before.
        let takes_over = matches!(options.hot_restart, HotRestart::Next { .. });
        let addresses = bootstrap.clone().fixed_addresses();
        for addr in addresses.into_iter().filter(|_| !takes_over) {
            TcpListener::bind(addr).map_err(|error| anyhow!("cannot listen on {addr}: {error}"))?;
        }
        let dir = RunDirectory::create()?;
        let config = dir.path().join("envoy.json");
        let mut json = bootstrap.render(dir.path())?;
        let mut env = options.build.put_into(&mut json);
        fs::write(&config, serde_json::to_vec_pretty(&json)?)?;
        for plugin in bootstrap.plugins() {
            plugin.publish(plugin_file(dir.path(), plugin.name()))?;
            env.extend(plugin.variables());
        }
        let admin_file = dir.path().join("admin");
        let mut command = command(binary, &config, &admin_file, options);
        command
            .envs(env)
            .envs(options.env.iter().map(|(key, value)| (key, value)));
        let program = command.get_program().display().to_string();
        let process = Process::start(command).with_context(|| format!("cannot start {program}"))?;

        let mut backoff = Backoff::new("Envoy to be ready", START_TIMEOUT);
        let admin_addr = loop {
            let written = fs::read_to_string(&admin_file).unwrap_or_default();
            if let Ok(addr) = written.trim().parse() {
                break addr;
            }
            ensure_running(&process)?;
            backoff.pause().await?;
        };
        let mut envoy = Envoy {
            process,
            admin: Http1::new(admin_addr),
            admin_addr,
            plugins: Mutex::default(),
            dir,
        };
        while !envoy.is_ready().await {
            ensure_running(&envoy.process)?;
            backoff.pause().await?;
        }
        let mut plugins = BTreeMap::new();
        for plugin in bootstrap.plugins() {
            let verdict = first_verdict(&envoy, plugin).await?;
            plugins.insert(
                plugin.name().to_owned(),
                LastPush::new(plugin.clone(), verdict),
            );
        }
        envoy.plugins = Mutex::new(plugins);
        Ok(envoy)
    }

    async fn is_ready(&self) -> bool {
        const WORKERS: &str = "listener_manager.workers_started";
        // /ready answers 200 before the workers listen.
        self.get_admin("/ready").await.is_ok()
            && (self.stats(WORKERS).await).is_ok_and(|stats| stats.get(WORKERS) == Some(&1))
    }

    /// Its process ID.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The address of its admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin_addr
    }

    /// What an Envoy that takes over from this one needs.
    pub fn base_id(&self) -> Result<u32> {
        base_id(self.dir())
    }

    /// The directory of its bootstrap and plugin files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address of this listener.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let listeners = self.get_admin("/listeners?format=json").await?;
        let listeners: Value = serde_json::from_str(&listeners)?;
        let found = listeners["listener_statuses"]
            .as_array()
            .and_then(|all| all.iter().find(|listener| listener["name"] == name))
            .with_context(|| format!("there is no listener {name:?}"))?;
        let address = &found["local_address"]["socket_address"];
        let ip = address["address"].as_str();
        let port = address["port_value"].as_u64();
        let (ip, port) = ip.zip(port).context("the listener has no address")?;
        Ok(SocketAddr::new(ip.parse()?, u16::try_from(port)?))
    }

    /// GET on the admin interface.
    pub async fn get_admin(&self, path: &str) -> Result<String> {
        self.expect_200(path, self.admin.get(path).await)
    }

    /// POST on the admin interface, such as `/drain_listeners`.
    pub async fn post_admin(&self, path: &str) -> Result<String> {
        let request = crate::client::request("POST", path, &[] as &[(&str, &str)], "")?;
        self.expect_200(path, self.admin.send(request).await)
    }

    fn expect_200(&self, path: &str, response: Result<Response>) -> Result<String> {
        let response = response.map_err(|error| match self.process.exit() {
            Some(exit) => error.context(exit_message(&self.process, &exit)),
            None => error,
        })?;
        let (status, text) = (response.status, response.text());
        ensure!(status == 200, "{path}: {status} {text}");
        Ok(text)
    }

    /// The counters and gauges whose names start with `prefix`.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let texts = self.text_stats(prefix).await?;
        let texts = texts.into_iter();
        Ok(texts
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect())
    }

    pub(crate) async fn text_stats(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let path = format!("/stats?filter=^{}", escaped_regex(prefix));
        let text = self.get_admin(&path).await?;
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        Ok(lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// All samples of `/stats/prometheus`.
    pub async fn prometheus(&self) -> Result<Metrics> {
        Metrics::parse(&self.get_admin("/stats/prometheus").await?)
    }

    /// All lines of its log and access log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.lines(0, |_| true)
    }

    /// The lines since an earlier [`Self::log_mark`].
    #[must_use]
    pub fn log_since(&self, from: usize) -> Vec<String> {
        self.process.lines(from, |_| true)
    }

    /// The access log of the shipped bootstrap, from stdout. Lines are flushed after the response,
    /// the last ones when Envoy stops.
    #[must_use]
    pub fn access_log(&self) -> Vec<String> {
        self.process.lines(0, |stream| stream == Stream::Stdout)
    }

    /// The number of lines so far.
    #[must_use]
    pub fn log_mark(&self) -> usize {
        self.process.line_count()
    }

    /// Waits for a line, past or future, that satisfies `wanted`.
    pub async fn wait_for_log(
        &self,
        wanted: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Result<String> {
        self.wait_for_log_since(0, wanted, limit).await
    }

    /// Waits for a line since the log mark `from` that satisfies `wanted`.
    pub async fn wait_for_log_since(
        &self,
        from: usize,
        wanted: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Result<String> {
        match timeout(limit, self.process.wait_for_line(from, wanted)).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                let exit = self.process.exit().unwrap_or_default();
                bail!(exit_message(&self.process, &exit))
            }
            Err(_) => bail!("Envoy's log lacks the line after {limit:?}"),
        }
    }

    /// Runs `while_paused` while all threads of Envoy are stopped (SIGSTOP): what arrives in that time,
    /// Envoy reads in one go, in the order of arrival.
    pub async fn paused<T>(&self, while_paused: impl Future<Output = T>) -> T {
        self.process.pause();
        let result = while_paused.await;
        self.process.resume();
        result
    }

    /// The exit code or signal, if it has exited.
    #[must_use]
    pub fn exit(&self) -> Option<String> {
        self.process.exit()
    }

    /// Waits for its exit.
    pub async fn wait_for_exit(&self) {
        self.process.wait_for_exit().await;
    }

    /// Stops it (SIGTERM, after 5 s SIGKILL) and returns all lines of its logs.
    pub async fn stop(self) -> Vec<String> {
        self.process.terminate();
        if timeout(STOP_TIMEOUT, self.process.wait_for_exit())
            .await
            .is_err()
        {
            self.process.kill();
            self.process.wait_for_exit().await;
        }
        self.log()
    }
}

fn command(binary: &Binary, config: &Path, admin_file: &Path, options: &Options) -> Command {
    let mut command = match &options.launcher {
        Launcher::Direct => Command::new(&binary.path),
        Launcher::FuncE(path) => {
            let mut command = Command::new(path);
            command.arg("run").env("ENVOY_PATH", &binary.path);
            command
        }
    };
    command
        .current_dir(crate::workspace_root())
        .arg("--config-path")
        .arg(config)
        .arg("--admin-address-path")
        .arg(admin_file)
        .args(
            options
                .hot_restart
                .arguments(config.parent().unwrap_or(config)),
        )
        // Envoy's default is 10 s.
        .args(["--file-flush-interval-msec", "20"])
        .args(["--concurrency", &options.concurrency.to_string()])
        .args(["--log-level", &options.log_level])
        .env(SEARCH_PATH, crate::workspace_root().join("target"));
    if !options.component_log_level.is_empty() {
        command.args(["--component-log-level", &options.component_log_level]);
    }
    command
}

fn ensure_running(process: &Process) -> Result<()> {
    match process.exit() {
        Some(exit) => bail!(exit_message(process, &exit)),
        None => Ok(()),
    }
}

/// The exit code and the last critical line of the log, or else the last error, or the last line.
fn exit_message(process: &Process, exit: &str) -> String {
    let lines = process.lines(0, |_| true);
    let last = ["[critical]", "[error]"]
        .iter()
        .find_map(|level| lines.iter().rfind(|line| line.contains(level)))
        .or(lines.last());
    let line = last.map_or("its log is empty", String::as_str);
    format!("Envoy ended with {exit}: {line}")
}

/// The directory of one run in target/lab. It is kept after a panic.
pub(crate) struct RunDirectory(PathBuf);

impl RunDirectory {
    fn create() -> Result<RunDirectory> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("target/lab/{}-{run}", process::id());
        let path = crate::workspace_root().join(name);
        // An earlier process with the same ID may have left it.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(RunDirectory(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
