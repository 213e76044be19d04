//! A real Envoy as a child process: started, asked, pushed to, stopped.

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
use crate::client::{Http1, Response};
use crate::metrics::Metrics;
use crate::poll::Patience;
use crate::process::{Process, Stream};
pub use crate::push::Push;
use crate::push::{Seen, first_verdict};

/// Envoy loads a filter in well under a second; a busy machine may take its time.
pub(crate) const START: Duration = Duration::from_secs(30);
/// What Envoy gets to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// What starts the Envoy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Launcher {
    /// We do.
    #[default]
    Direct,
    /// func-e does (this is its path), told by `ENVOY_PATH` which Envoy to take.
    FuncE(PathBuf),
}

/// How an Envoy is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Worker threads.
    pub concurrency: u32,
    /// Variables for its environment, on top of ours.
    pub env: Vec<(String, String)>,
    /// For everything; `push` needs `warn` or lower to hear why it was refused.
    pub log_level: String,
    /// For single components, as `wasm:debug,http:trace`; may be empty.
    pub component_log_level: String,
    /// Who starts it.
    pub launcher: Launcher,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            concurrency: 2,
            env: Vec::new(),
            log_level: "info".to_owned(),
            component_log_level: String::new(),
            launcher: Launcher::Direct,
        }
    }
}

/// A running Envoy. Dropping it kills it, also when a test panics.
pub struct Envoy {
    // The order matters: fields are dropped from above, and the folder outlives the process.
    process: Process,
    admin: Http1,
    admin_addr: SocketAddr,
    pub(crate) plugins: Mutex<BTreeMap<String, Seen>>,
    pub(crate) dir: RunDir,
}

impl Envoy {
    /// Starts an Envoy and waits until it is ready and its workers accept connections.
    ///
    /// It runs in the root of the workspace, where the shipped files' relative paths hold. When it
    /// ends instead of becoming ready, the error is what it said last.
    pub async fn start(binary: &Binary, bootstrap: &Bootstrap, options: &Options) -> Result<Envoy> {
        // Envoys of one user share a port without complaint (SO_REUSEPORT), and each gets some of
        // the connections. So we ask first.
        for addr in bootstrap.clone().fixed_addresses() {
            TcpListener::bind(addr).map_err(|error| anyhow!("cannot listen on {addr}: {error}"))?;
        }
        let dir = RunDir::create()?;
        let config = dir.path().join("envoy.json");
        fs::write(
            &config,
            serde_json::to_vec_pretty(&bootstrap.render(dir.path())?)?,
        )?;
        for plugin in bootstrap.plugins() {
            plugin.publish(plugin_file(dir.path(), plugin.name()))?;
        }
        let admin_file = dir.path().join("admin");
        let command = command(binary, &config, &admin_file, options);
        let program = command.get_program().display().to_string();
        let process = Process::start(command).with_context(|| format!("cannot start {program}"))?;

        let mut patience = Patience::new("Envoy to be ready", START);
        let admin_addr = loop {
            let written = fs::read_to_string(&admin_file).unwrap_or_default();
            if let Ok(addr) = written.trim().parse() {
                break addr;
            }
            alive(&process)?;
            patience.pause().await?;
        };
        let mut envoy = Envoy {
            process,
            admin: Http1::new(admin_addr),
            admin_addr,
            plugins: Mutex::default(),
            dir,
        };
        while !envoy.is_ready().await {
            alive(&envoy.process)?;
            patience.pause().await?;
        }
        let mut seen = BTreeMap::new();
        for plugin in bootstrap.plugins() {
            let verdict = first_verdict(&envoy, plugin.name()).await?;
            seen.insert(plugin.name().to_owned(), Seen::new(plugin.clone(), verdict));
        }
        envoy.plugins = Mutex::new(seen);
        Ok(envoy)
    }

    async fn is_ready(&self) -> bool {
        const WORKERS: &str = "listener_manager.workers_started";
        // It says that it is ready before the workers listen.
        self.get_admin("/ready").await.is_ok()
            && (self.stats(WORKERS).await).is_ok_and(|stats| stats.get(WORKERS) == Some(&1))
    }

    /// Its number among the processes of this machine.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The address of its admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Its folder, where the bootstrap and the plugins' files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address that the listener of this name got.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let listeners = self.get_admin("/listeners?format=json").await?;
        let listeners: Value = serde_json::from_str(&listeners)?;
        let found = listeners["listener_statuses"]
            .as_array()
            .and_then(|all| all.iter().find(|listener| listener["name"] == name));
        let address = &found.with_context(|| format!("there is no listener {name:?}"))?["local_address"]
            ["socket_address"];
        let ip = address["address"]
            .as_str()
            .context("the listener has no address")?;
        let port = address["port_value"]
            .as_u64()
            .context("the listener has no port")?;
        Ok(SocketAddr::new(ip.parse()?, u16::try_from(port)?))
    }

    /// GET on the admin interface.
    pub async fn get_admin(&self, path: &str) -> Result<String> {
        self.ok(path, self.admin.get(path).await)
    }

    /// POST on the admin interface, as `/logging?wasm=debug` or `/drain_listeners` want it.
    pub async fn post_admin(&self, path: &str) -> Result<String> {
        let request = crate::client::request("POST", path, &[] as &[(&str, &str)], "")?;
        self.ok(path, self.admin.send(request).await)
    }

    fn ok(&self, path: &str, answer: Result<Response>) -> Result<String> {
        let answer = answer.map_err(|error| match self.process.exit() {
            Some(exit) => error.context(self.obituary(&exit)),
            None => error,
        })?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        Ok(answer.text())
    }

    /// The counters and gauges whose names begin with `prefix`.
    pub async fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let texts = self.text_stats(prefix).await?;
        let numbers = texts.into_iter().filter_map(|(name, value)| {
            // Texts and histograms are no numbers.
            Some((name, value.parse().ok()?))
        });
        Ok(numbers.collect())
    }

    pub(crate) async fn text_stats(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let path = format!("/stats?filter=^{}", quoted_pattern(prefix));
        let text = self.get_admin(&path).await?;
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        Ok(lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// Everything on `/stats/prometheus`.
    pub async fn prometheus(&self) -> Result<Metrics> {
        Metrics::parse(&self.get_admin("/stats/prometheus").await?)
    }

    /// All it printed so far: its log and, on stdout, the access log.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.lines(0, |_| true)
    }

    /// The lines from number `from` on, which an earlier [`Self::log_mark`] gave.
    #[must_use]
    pub fn log_since(&self, from: usize) -> Vec<String> {
        self.process.lines(from, |_| true)
    }

    /// The access log of the shipped bootstrap: what it printed on stdout. A line comes a moment
    /// after its answer, and the last ones when Envoy stops.
    #[must_use]
    pub fn access_log(&self) -> Vec<String> {
        self.process.lines(0, |stream| stream == Stream::Stdout)
    }

    /// How many lines there are by now.
    #[must_use]
    pub fn log_mark(&self) -> usize {
        self.process.line_count()
    }

    /// Waits for a line that satisfies `wanted`, among those there are as well.
    pub async fn wait_for_log(
        &self,
        wanted: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Result<String> {
        self.wait_for_log_since(0, wanted, limit).await
    }

    /// Waits for a line from number `from` on that satisfies `wanted`.
    pub async fn wait_for_log_since(
        &self,
        from: usize,
        wanted: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Result<String> {
        match timeout(limit, self.process.line(from, wanted)).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!(
                "{}",
                self.obituary(&self.process.exit().unwrap_or_default())
            ),
            Err(_) => bail!("no such line in Envoy's log within {limit:?}"),
        }
    }

    /// How it ended, when it has.
    #[must_use]
    pub fn exit(&self) -> Option<String> {
        self.process.exit()
    }

    /// Waits until it ends by itself.
    pub async fn ended(&self) {
        self.process.ended().await;
    }

    /// Stops it (SIGTERM, after a grace SIGKILL) and returns all it ever printed.
    pub async fn stop(self) -> Vec<String> {
        self.process.terminate();
        if timeout(GRACE, self.process.ended()).await.is_err() {
            self.process.kill();
            self.process.ended().await;
        }
        self.log()
    }

    fn obituary(&self, exit: &str) -> String {
        obituary(&self.process, exit)
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
        // Hot restart reserves shared memory by a number that Envoys side by side would fight for.
        .arg("--disable-hot-restart")
        // Access logs at once, and not after Envoy's ten seconds.
        .args(["--file-flush-interval-msec", "20"])
        .args(["--concurrency", &options.concurrency.to_string()])
        .args(["--log-level", &options.log_level])
        .envs(options.env.iter().map(|(key, value)| (key, value)));
    if !options.component_log_level.is_empty() {
        command.args(["--component-log-level", &options.component_log_level]);
    }
    command
}

/// An error once the process has ended.
fn alive(process: &Process) -> Result<()> {
    match process.exit() {
        Some(exit) => bail!("{}", obituary(process, &exit)),
        None => Ok(()),
    }
}

/// Why it ended: the last line of its log that is about a failure.
fn obituary(process: &Process, exit: &str) -> String {
    let lines = process.lines(0, |_| true);
    let telling = ["[critical]", "[error]"]
        .iter()
        .find_map(|level| lines.iter().rfind(|line| line.contains(level)))
        .or(lines.last());
    let line = telling.map_or("it printed nothing", String::as_str);
    format!("Envoy ended with {exit}: {line}")
}

/// `prefix` as a regex that means itself, fit for a query.
fn quoted_pattern(prefix: &str) -> String {
    let quote = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        _ => format!("%5C%{byte:02X}"),
    };
    prefix.bytes().map(quote).collect()
}

/// The folder of one run below target/lab. It stays behind when a test panics, to be looked at.
pub(crate) struct RunDir(PathBuf);

impl RunDir {
    fn create() -> Result<RunDir> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("target/lab/{}-{run}", process::id());
        let path = crate::workspace_root().join(name);
        // Another process of this number may have left it.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(RunDir(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_itself_as_a_pattern() {
        assert_eq!(quoted_pattern("a_1"), "a_1");
        assert_eq!(quoted_pattern("a.b=;"), "a%5C%2Eb%5C%3D%5C%3B");
    }
}
