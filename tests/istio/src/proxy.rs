//! A proxy of the mesh: pilot-agent with its Envoy, or an Envoy that connects to istiod.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use divvy_lab::client::Http1;
use divvy_lab::envoy::Binary;
use divvy_lab::eventually;
use divvy_lab::metrics::Metrics;
use divvy_lab::tls::{Authority, Identity};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::files::{mesh_config, stat_tags};
use crate::lab::{Lab, Part};
use crate::{PATIENCE, free_ports, programs};

/// The folder of pulled modules, a constant in pilot-agent.
const MODULES: &str = "/var/lib/istio/data";

/// How to start a proxy.
#[derive(Clone, Debug)]
pub struct Options {
    /// `router` or `sidecar`.
    pub kind: &'static str,
    /// Namespace of the pod.
    pub namespace: &'static str,
    /// Labels of the pod.
    pub labels: Value,
    /// Whether pilot-agent runs Envoy.
    pub agent: bool,
    /// xDS port of istiod; by default that of the lab.
    pub istiod: Option<u16>,
    /// Additional environment variables.
    pub env: Vec<(String, String)>,
    /// Names and contents of files in its folder.
    pub files: Vec<(String, String)>,
}

impl Options {
    /// The ingress gateway of an Istio installation.
    #[must_use]
    pub fn gateway() -> Options {
        Options {
            kind: "router",
            namespace: "istio-system",
            labels: json!({"istio": "ingressgateway", "app": "istio-ingressgateway"}),
            agent: true,
            istiod: None,
            env: Vec::new(),
            files: Vec::new(),
        }
    }

    /// A sidecar in the shop's namespace, without redirection of connections: a `Sidecar` object
    /// defines its listeners.
    #[must_use]
    pub fn sidecar(app: &str, version: &str) -> Options {
        Options {
            kind: "sidecar",
            namespace: "shop",
            labels: json!({"app": app, "version": version}),
            env: vec![("ISTIO_META_INTERCEPTION_MODE".into(), "NONE".into())],
            ..Options::gateway()
        }
    }

    /// With a certificate in the folder of mounted certificates.
    #[must_use]
    pub fn with_certificate(mut self, own: &Identity, authority: &Authority) -> Options {
        let (certificate, key) = own.pem();
        self.files = [
            ("cert-chain.pem", certificate),
            ("key.pem", key),
            ("root-cert.pem", authority.pem()),
        ]
        .map(|(name, content)| (format!("etc/certs/{name}"), content.to_owned()))
        .to_vec();
        self
    }

    /// Without pilot-agent; the module must then be a `file://` URL.
    #[must_use]
    pub fn without_agent(self) -> Options {
        Options {
            agent: false,
            ..self
        }
    }

    /// With the istiod at this xDS port.
    #[must_use]
    pub fn with_istiod(self, istiod: u16) -> Options {
        Options {
            istiod: Some(istiod),
            ..self
        }
    }
}

/// A running proxy. Dropping it kills it.
pub struct Proxy {
    part: Part,
    admin: Http1,
    /// Port of Envoy's admin interface on 127.0.0.1.
    pub admin_port: u16,
    /// Folder of its files and log.
    pub dir: PathBuf,
}

impl Proxy {
    /// Starts a proxy, and waits until it has its configuration.
    pub async fn start(lab: &Lab, options: &Options) -> Result<Proxy> {
        let proxy = Proxy::launch(lab, options).await?;
        proxy.ready().await?;
        Ok(proxy)
    }

    /// Starts a proxy, and waits for its admin interface only.
    pub async fn launch(lab: &Lab, options: &Options) -> Result<Proxy> {
        let number = lab.number();
        let ip = format!("10.0.0.{number}");
        let name = format!("{}-{number}", options.kind);
        let dir = lab.dir().join(&name);
        fs::create_dir_all(&dir)?;
        for (file, content) in &options.files {
            let file = dir.join(file);
            fs::create_dir_all(file.parent().context("a file in a folder")?)?;
            fs::write(file, content)?;
        }
        let [admin, status, health, prometheus] = free_ports()?;
        let istiod = options.istiod.unwrap_or(lab.istiod.xds);
        let envoy = Binary::find()?.path;
        let labels = options.labels.to_string();
        let command = if options.agent {
            fs::create_dir_all(MODULES).with_context(|| {
                format!("pilot-agent stores modules in {MODULES}: create that folder with write permission")
            })?;
            let mut config = mesh_config()?["defaultConfig"].clone();
            config["discoveryAddress"] = json!(format!("127.0.0.1:{istiod}"));
            config["binaryPath"] = json!(envoy);
            config["configPath"] = json!("./etc/istio/proxy");
            config["controlPlaneAuthPolicy"] = json!("NONE");
            config["concurrency"] = json!(2);
            config["proxyAdminPort"] = json!(admin);
            config["statusPort"] = json!(status);
            config["terminationDrainDuration"] = json!("1s");
            let mut command = Command::new(programs::program("pilot-agent")?);
            command
                .args(["proxy", options.kind, "--domain"])
                .arg(format!("{}.svc.cluster.local", options.namespace))
                .arg("--templateFile")
                .arg(programs::find("envoy_bootstrap.json")?)
                .args(["--proxyLogLevel", "info"])
                .env("PROXY_CONFIG", config.to_string())
                .env("POD_NAME", &name)
                .env("POD_NAMESPACE", options.namespace)
                .env("INSTANCE_IP", &ip)
                .env("ENVOY_STATUS_PORT", health.to_string())
                .env("ENVOY_PROMETHEUS_PORT", prometheus.to_string())
                .env("ISTIO_META_CLUSTER_ID", "Kubernetes")
                .env("ISTIO_METAJSON_LABELS", &labels)
                .env("ISTIO_META_ISTIO_VERSION", "1.31.0")
                .env("CA_PROVIDER", "none")
                .env("FILE_MOUNTED_CERTS", "true");
            command
        } else {
            let node = json!({
                "id": format!("{}~{ip}~{name}.{ns}~{ns}.svc.cluster.local", options.kind, ns = options.namespace),
                "cluster": name,
                "metadata": {
                    "NAMESPACE": options.namespace, "LABELS": options.labels,
                    "INSTANCE_IPS": ip, "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.31.0",
                },
            });
            let file = dir.join("envoy.json");
            fs::write(&file, bootstrap(&node, admin, istiod)?.to_string())?;
            let mut command = Command::new(&envoy);
            command.arg("--config-path").arg(file).args([
                "--disable-hot-restart",
                "--concurrency",
                "2",
            ]);
            command
        };
        let mut command = command;
        command.envs(options.env.iter().map(|(key, value)| (key, value)));
        let part = Part::start(&name, &dir, command)?;
        let proxy = Proxy {
            part,
            admin: Http1::new(SocketAddr::from(([127, 0, 0, 1], admin))),
            admin_port: admin,
            dir,
        };
        eventually("Envoy's admin interface", PATIENCE, async || {
            if let Err(error) = proxy.part.alive() {
                return Some(Err(error));
            }
            proxy.get("/server_info").await.ok().map(|_| Ok(()))
        })
        .await??;
        Ok(proxy)
    }

    /// Waits until Envoy is ready and its workers accept connections.
    pub async fn ready(&self) -> Result<()> {
        eventually("the proxy to be ready", PATIENCE, async || {
            if let Err(error) = self.part.alive() {
                return Some(Err(error));
            }
            let workers = self.stat("listener_manager.workers_started").await.ok()?;
            let ready = self.get("/ready").await.is_ok();
            (ready && workers == 1).then_some(Ok(()))
        })
        .await?
    }

    /// GET on Envoy's admin interface.
    pub async fn get(&self, path: &str) -> Result<String> {
        let answer = self.admin.get(path).await?;
        anyhow::ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer.text())
    }

    /// The process id of Envoy, a child of the agent.
    pub fn envoy_pid(&self) -> Result<u32> {
        // Any thread of the agent may be the parent.
        let agent = self.part.process().pid();
        let threads = fs::read_dir(format!("/proc/{agent}/task"))?.flatten();
        let children = threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
            .collect::<String>();
        let mut children = children.split_whitespace();
        let pid = children.next().context("the agent has no child")?;
        Ok(pid.parse()?)
    }

    /// The sum of all counters and gauges whose names match a regular expression.
    pub async fn stat(&self, pattern: &str) -> Result<u64> {
        let text = self.get(&format!("/stats?filter={pattern}")).await?;
        let numbers = text.lines().filter_map(|line| line.rsplit_once(": "));
        Ok(numbers.filter_map(|(_, n)| n.parse::<u64>().ok()).sum())
    }

    /// The metrics of `/stats/prometheus`.
    pub async fn prometheus(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/stats/prometheus").await?)
    }

    /// The lines of its log and access log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.part.process().lines(0, |_| true)
    }

    /// Waits for a line of the log with all of these parts.
    pub async fn logs(&self, parts: &[&str]) -> Result<String> {
        let line = self
            .part
            .process()
            .wait_for_line(0, |line| parts.iter().all(|part| line.contains(part)));
        match timeout(PATIENCE, line).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(anyhow!("the proxy ended before it logged {parts:?}")),
            Err(_) => Err(anyhow!("the proxy did not log {parts:?}")),
        }
    }

    /// Waits for warnings and errors of divvy since the log line number `mark`, such as the errors of a
    /// refused configuration or a rollback. Returns them, and the number of the next line. Never returns
    /// after the end of the proxy.
    pub async fn complaints(&self, mark: usize) -> (Vec<String>, usize) {
        let process = self.part.process();
        let is_complaint = |line: &str| complaint(line).is_some();
        if process.wait_for_line(mark, is_complaint).await.is_none() {
            std::future::pending::<()>().await;
        }
        let next = process.line_count();
        let lines = process.lines(mark, |_| true);
        let complaints = lines
            .iter()
            .take(next - mark)
            .filter_map(|line| complaint(line));
        (complaints.map(str::to_owned).collect(), next)
    }

    /// Stops the agent, which cuts Envoy off from istiod, or lets it continue.
    pub fn cut_off(&self, yes: bool) -> Result<()> {
        let signal = if yes { "-STOP" } else { "-CONT" };
        let pid = self.part.process().pid().to_string();
        let status = Command::new("kill").args([signal, &pid]).status()?;
        anyhow::ensure!(status.success(), "kill {signal} {pid}: {status}");
        Ok(())
    }

    /// Waits for its unexpected end, which is an error.
    pub async fn wait_for_exit(&self) -> Result<()> {
        self.part.process().wait_for_exit().await;
        self.part.alive()
    }

    /// Waits for a response from this port, with any status.
    pub async fn serves(&self, port: u16) -> Result<()> {
        let client = Http1::new(SocketAddr::from(([127, 0, 0, 1], port)));
        eventually("the gateway to listen", PATIENCE, async || {
            if let Err(error) = self.part.alive() {
                return Some(Err(error));
            }
            client.get("/").await.ok().map(|_| Ok(()))
        })
        .await?
    }

    /// Sends SIGTERM, and after ten seconds SIGKILL.
    pub async fn stop(self) {
        self.part.process().terminate();
        let ended = self.part.process().wait_for_exit();
        if timeout(Duration::from_secs(10), ended).await.is_err() {
            self.part.process().kill();
        }
    }
}

/// The message of a warning or an error that divvy logged.
fn complaint(line: &str) -> Option<&str> {
    let (head, message) = line.split_once("wasm log ")?;
    let serious = ["error", "warning"]
        .iter()
        .any(|level| head.contains(level));
    serious.then_some(message)
}

/// The bootstrap of an Envoy without an agent: istiod's address and the tags of the labels.
fn bootstrap(node: &Value, admin: u16, istiod: u16) -> Result<Value> {
    let address =
        |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let tag = |name| json!({"tag_name": name, "regex": format!("({name}=\\.=(.*?);\\.;)")});
    let tags: Vec<_> = stat_tags()?.iter().map(tag).collect();
    let endpoint = json!({"endpoint": {"address": address(istiod)}});
    Ok(json!({
        "node": node,
        "admin": {"address": address(admin)},
        "stats_config": {"stats_tags": tags},
        "dynamic_resources": {
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {
                "cluster_name": "xds-grpc",
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        }]},
    }))
}

/// The command lines of processes whose working directory is in this folder.
#[must_use]
pub fn processes_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let folder = fs::read_link(entry.path().join("cwd"));
            folder.is_ok_and(|folder| folder.starts_with(dir))
        })
        .map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ")
        })
        .collect()
}
