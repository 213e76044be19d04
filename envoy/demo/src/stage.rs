//! Processes of the demo: three versions of the shop and an Envoy with divvy.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use divvy_lab::bootstrap::Bootstrap;
use divvy_lab::build::Build;
use divvy_lab::envoy::{Binary, Envoy, Launcher, Options, Push};
use divvy_lab::plugin::{Plugin, from_yaml_or_json};
use divvy_lab::upstream::Upstream;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

use crate::Args;

/// Path of the access log below the workspace.
pub const ACCESS_LOG: &str = "target/demo/access.log";
/// Time after which the wait for a log line starts again.
const LOG_TIMEOUT: Duration = Duration::from_secs(60);
const BOOTSTRAP: &str = "envoy/edge.yaml";

/// Verdict of Envoy and divvy on a configuration.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is active.
    Accepted,
    /// It equals the active one.
    Unchanged,
    /// It has errors and there is no earlier valid one: divvy decides nothing, and routes serve
    /// stable. divvy's errors; empty if it logged them before.
    Inert(Vec<String>),
    /// The previous one stays active.
    Refused(Vec<String>),
}

/// A running demo. Dropping it kills all processes.
pub struct Stage {
    /// The proxy.
    pub envoy: Envoy,
    /// Its version.
    pub version: String,
    /// Address for clients.
    pub edge: SocketAddr,
    /// Versions of the shop; they run until dropped.
    pub shops: Vec<Upstream>,
    plugin: Plugin,
}

impl Stage {
    /// Starts all processes with this configuration (JSON).
    pub async fn start(args: &Args, configuration: &str) -> Result<Stage> {
        let (build, make) = match args.module {
            true => (Build::Module, "make module"),
            false => (Build::Wasm, "make build"),
        };
        let filter = build.file();
        let exists = workspace_root().join(filter).exists();
        ensure!(exists, "{filter} does not exist: run `{make}`");
        let binary = Binary::find()?;
        let ports = Ports::of(&fs::read_to_string(workspace_root().join(BOOTSTRAP))?)?;
        ports.are_free()?;

        let mut shops = Vec::new();
        for (version, address) in &ports.shops {
            shops.push(Upstream::start_on(version, *address).await?);
        }
        let plugin = Plugin::load("envoy/plugin.yaml")?
            .with_build(build)
            .with_configuration(configuration);
        let mut bootstrap = Bootstrap::load(BOOTSTRAP)?
            .with_listener_port("edge", ports.edge.port())?
            .with_admin_port(ports.admin.port())
            .with_plugin(plugin.clone());
        log_to_file(&mut bootstrap)?;
        let options = Options {
            build,
            launcher: match &args.func_e {
                Some(path) => Launcher::FuncE(path.clone()),
                None => Launcher::Direct,
            },
            ..Options::default()
        };
        let envoy = Envoy::start(&binary, &bootstrap, &options).await?;
        Ok(Stage {
            envoy,
            version: binary.version,
            edge: ports.edge,
            shops,
            plugin,
        })
    }

    /// Verdict on the initial configuration. A refusal is an error: Envoy has no filter then and
    /// answers 500 to all requests.
    pub async fn first_verdict(&self) -> Result<Verdict> {
        let said = self.envoy.verdict(self.plugin.name()).await?;
        match self.verdict(said, 0).await? {
            Verdict::Refused(reasons) => {
                let log = self.envoy.log();
                let why = log.iter().find_map(|line| refusal_reason(line));
                let why = why.map_or_else(|| reasons.join("; "), str::to_owned);
                bail!("this Envoy does not accept the filter: {why}")
            }
            verdict => Ok(verdict),
        }
    }

    /// Pushes a configuration (JSON) and waits for the verdict.
    pub async fn push(&mut self, configuration: &str) -> Result<Verdict> {
        let mark = self.envoy.log_mark();
        self.plugin = self.plugin.clone().with_configuration(configuration);
        let said = self.envoy.push(&self.plugin).await?;
        self.verdict(said, mark).await
    }

    async fn verdict(&self, said: Push, mark: usize) -> Result<Verdict> {
        Ok(match said {
            Push::Unchanged => Verdict::Unchanged,
            Push::Refused { reasons } => Verdict::Refused(reasons),
            Push::Accepted if self.gauge("divvy_config_inert").await? > 0.0 => {
                let errors = self.envoy.log_since(mark);
                let errors = errors.iter().filter_map(|line| error_of_divvy(line));
                Verdict::Inert(errors.map(str::to_owned).collect())
            }
            Push::Accepted => Verdict::Accepted,
        })
    }

    /// Sum of a divvy metric over all labels.
    pub async fn gauge(&self, name: &str) -> Result<f64> {
        Ok(self.envoy.prometheus().await?.sum(name, &[]))
    }

    /// Waits for log lines about rollouts since `mark`, such as rollbacks. Returns them, and the mark of
    /// the next ones. Never returns after the end of Envoy.
    pub async fn events(&self, mark: usize) -> (Vec<String>, usize) {
        let is_event = |line: &str| rollout_event(line).is_some();
        loop {
            let line = self.envoy.wait_for_log_since(mark, is_event, LOG_TIMEOUT);
            match line.await {
                Ok(_) => break,
                Err(_) if self.envoy.exit().is_some() => std::future::pending().await,
                Err(_) => {}
            }
        }
        let next = self.envoy.log_mark();
        let lines = self.envoy.log_since(mark);
        let events = lines
            .iter()
            .take(next - mark)
            .filter_map(|line| rollout_event(line));
        (events.map(str::to_owned).collect(), next)
    }

    /// Stops all processes.
    pub async fn stop(self) {
        self.envoy.stop().await;
        for shop in self.shops {
            shop.stop().await;
        }
    }
}

/// Converts a divvy configuration to JSON; errors name the line.
pub fn read_configuration(bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|error| anyhow!("not text: {error}"))?;
    from_yaml_or_json(text)
}

/// Addresses in the shipped bootstrap.
#[derive(Debug, PartialEq, Eq)]
struct Ports {
    edge: SocketAddr,
    admin: SocketAddr,
    shops: Vec<(String, SocketAddr)>,
}

impl Ports {
    fn of(bootstrap: &str) -> Result<Ports> {
        let bootstrap: Value = serde_json::from_str(&from_yaml_or_json(bootstrap)?)?;
        let clusters = bootstrap["static_resources"]["clusters"].as_array();
        let shops = clusters.into_iter().flatten().map(|cluster| {
            let name = cluster["name"].as_str().context("a cluster has no name")?;
            let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
            Ok((name.to_owned(), address(&endpoint["endpoint"])?))
        });
        Ok(Ports {
            edge: address(&bootstrap["static_resources"]["listeners"][0])?,
            admin: address(&bootstrap["admin"])?,
            shops: shops.collect::<Result<_>>()?,
        })
    }

    /// Checked before the start, so that the error names the port that is in use.
    fn are_free(&self) -> Result<()> {
        let ours = [("Envoy", self.edge), ("Envoy's admin", self.admin)];
        let shops = self
            .shops
            .iter()
            .map(|(version, at)| (version.as_str(), *at));
        for (whose, address) in ours.into_iter().chain(shops) {
            TcpListener::bind(address).map_err(|error| match error.kind() {
                ErrorKind::AddrInUse => {
                    let port = address.port();
                    anyhow!(
                        "port {port} (for {whose}) is in use: stop the process that listens on it"
                    )
                }
                _ => anyhow!("cannot listen on {address} (for {whose}): {error}"),
            })?;
        }
        Ok(())
    }
}

fn address(at: &Value) -> Result<SocketAddr> {
    let socket = &at["address"]["socket_address"];
    let parsed = socket["address"]
        .as_str()
        .and_then(|ip| ip.parse().ok())
        .zip(
            socket["port_value"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok()),
        );
    let (ip, port) = parsed.with_context(|| format!("{BOOTSTRAP}: no address and port in {at}"))?;
    Ok(SocketAddr::new(ip, port))
}

/// Writes the access log to a file instead of the terminal, in its own format.
fn log_to_file(bootstrap: &mut Bootstrap) -> Result<()> {
    let path = workspace_root().join(ACCESS_LOG);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    fs::write(&path, "").with_context(|| format!("cannot write {ACCESS_LOG}"))?;
    for manager in bootstrap.connection_managers()? {
        let format = manager["access_log"][0]["typed_config"]["log_format"].take();
        manager["access_log"] = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path,
                "log_format": format,
            },
        }]);
    }
    Ok(())
}

/// The message of an error of divvy.
fn error_of_divvy(line: &str) -> Option<&str> {
    let (head, words) = message_of_divvy(line)?;
    head.contains("[error]").then_some(words)
}

/// The message `rollout <name>: <message>` of divvy.
fn rollout_event(line: &str) -> Option<&str> {
    let (_, words) = message_of_divvy(line)?;
    words.starts_with("rollout ").then_some(words)
}

/// What stands before, and the message of `[…][wasm] […] wasm log divvy: <message>` or of
/// `[…][dynamic_modules] [<file>] divvy: <message>`.
fn message_of_divvy(line: &str) -> Option<(&str, &str)> {
    let (head, said) = line.split_once("wasm log ").or_else(|| {
        let (head, said) = line.split_once("[dynamic_modules] [")?;
        Some((head, said.split_once("] ")?.1))
    })?;
    Some((head, said.split_once(": ")?.1))
}

/// The message of `[…][warning][wasm] [<file>] <message>`, Envoy's reason to refuse a filter.
fn refusal_reason(line: &str) -> Option<&str> {
    let (head, words) = line.split_once("[wasm] ")?;
    let serious = ["[warning]", "[error]", "[critical]"];
    let (_, words) = words.split_once("] ")?;
    let said = serious.iter().any(|level| head.ends_with(level));
    (said && !words.starts_with("wasm log")).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_bootstrap_names_all_ports() {
        let text = fs::read_to_string(workspace_root().join(BOOTSTRAP)).unwrap();
        let ports = Ports::of(&text).unwrap();
        assert_eq!(ports.edge.to_string(), "127.0.0.1:10000");
        assert_eq!(ports.admin.to_string(), "127.0.0.1:9901");
        let shops: Vec<_> = ports
            .shops
            .iter()
            .map(|(name, at)| (name.as_str(), at.port()))
            .collect();
        assert_eq!(shops, [("v1", 9101), ("v2", 9102), ("v3", 9103)]);
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let ports = Ports {
            edge: any,
            admin: any,
            shops: vec![("v1".to_owned(), address)],
        };
        let error = ports.are_free().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("port {} (for v1) is in use", address.port())),
            "{error}"
        );
    }

    #[test]
    fn only_error_lines_of_the_filter_are_reported() {
        let line =
            "[t][1][error][wasm] [context.cc:1157] wasm log divvy: rollouts[0].name: missing";
        assert_eq!(error_of_divvy(line), Some("rollouts[0].name: missing"));
        assert_eq!(
            error_of_divvy("[t][1][info][wasm] wasm log divvy: fine"),
            None
        );
        assert_eq!(error_of_divvy("[t][1][error][config] bad"), None);
        let line = "[t][1][error][dynamic_modules] [a.cc:36] divvy: rollouts[0].name: missing";
        assert_eq!(error_of_divvy(line), Some("rollouts[0].name: missing"));
    }

    #[test]
    fn lines_about_rollouts_are_events() {
        let line =
            "[t][1][warning][wasm] [x.cc:1] wasm log divvy: rollout checkout: v2 is rolled back";
        let event = "rollout checkout: v2 is rolled back";
        assert_eq!(rollout_event(line), Some(event));
        let line = "[t][1][error][wasm] [x.cc:1] wasm log divvy: rollouts[0].name: missing";
        assert_eq!(rollout_event(line), None);
    }

    #[test]
    fn the_reason_of_a_refusal_is_found_in_envoys_log() {
        let line = "[t][1][warning][wasm] [source/wasm_vm.cc:102] Envoy was compiled without it";
        assert_eq!(refusal_reason(line), Some("Envoy was compiled without it"));
        assert_eq!(refusal_reason("[t][1][info][wasm] [x.cc:1] fine"), None);
        assert_eq!(
            refusal_reason("[t][1][error][wasm] [x.cc:1] wasm log divvy: no"),
            None
        );
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let error = read_configuration(b"a: 1\nb: [\n").unwrap_err().to_string();
        assert!(error.contains("line"), "{error}");
        assert!(
            read_configuration(b"\xff")
                .unwrap_err()
                .to_string()
                .starts_with("not text")
        );
    }
}
