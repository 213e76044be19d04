//! The processes that every proxy needs: API server, istiod and registry.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result, bail, ensure};
use divvy_lab::client::Http1;
use divvy_lab::metrics::Metrics;
use divvy_lab::process::Process;
use divvy_lab::{eventually, workspace_root};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Cluster;
use crate::files::mesh_config;
use crate::{PATIENCE, free_ports, programs};

/// Repository and tag of the image.
const TAG: &str = "divvy:lab";

/// All processes, to kill when a signal ends the program without destructors.
static RUNNING: Mutex<Vec<Weak<Process>>> = Mutex::new(Vec::new());

/// Kills all processes with their groups, since an agent leaves its Envoy behind.
pub fn end_everything() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for process in running.iter().filter_map(Weak::upgrade) {
        process.kill();
    }
}

/// Waits for SIGINT, SIGTERM or SIGHUP.
pub async fn signalled() -> Result<()> {
    let [mut interrupt, mut terminate, mut hangup] = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// A child process, whose log is written to a file at its end.
pub struct Part {
    process: Arc<Process>,
    log: PathBuf,
}

impl Part {
    /// Starts a process in a folder.
    pub fn start(name: &str, dir: &Path, mut command: Command) -> Result<Part> {
        command.current_dir(dir);
        let process = Process::start(command).with_context(|| format!("cannot start {name}"))?;
        let process = Arc::new(process);
        RUNNING
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&process));
        let log = dir.join(format!("{name}.log"));
        Ok(Part { process, log })
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// An error with the end of the log if the process has ended.
    pub fn alive(&self) -> Result<()> {
        let Some(exit) = self.process.exit() else {
            return Ok(());
        };
        let lines = self.process.lines(0, |_| true);
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        bail!("{} ended with {exit}:\n{last}", self.log.display())
    }

    /// Waits until `GET path` has status 200.
    pub async fn ready(&self, port: u16, path: &str) -> Result<()> {
        let client = Http1::new(SocketAddr::from(([127, 0, 0, 1], port)));
        let what = format!("{} to answer {path}", self.log.display());
        let answer = eventually(&what, PATIENCE, async || {
            if let Err(error) = self.alive() {
                return Some(Err(error));
            }
            let answer = client.get(path).await.ok()?;
            (answer.status == 200).then_some(Ok(()))
        });
        answer.await?
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After a success the folder no longer exists.
        let _ = fs::write(&self.log, self.process.lines(0, |_| true).join("\n"));
    }
}

/// A running istiod.
pub struct Istiod {
    /// The process.
    pub part: Part,
    /// Its xDS port.
    pub xds: u16,
    monitoring: u16,
}

/// A container registry in memory.
pub struct Registry {
    _part: Part,
    /// Host and port, as in the name of an image.
    pub host: String,
}

/// A running Istio without proxies. Dropping it ends all processes.
pub struct Lab {
    /// The registry with the image.
    pub registry: Registry,
    /// The default istiod of proxies.
    pub istiod: Istiod,
    /// The Kubernetes API.
    pub cluster: Cluster,
    _api: Part,
    _etcd: Part,
    dir: PathBuf,
    proxies: AtomicU8,
    keep: Mutex<bool>,
}

impl Lab {
    /// Starts a lab in a new folder below `target/istio/run`.
    pub async fn start() -> Result<Lab> {
        let dir = workspace_root().join(format!("target/istio/run/{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let (etcd, etcd_port) = etcd(&dir).await?;
        let (api, cluster) = api(&dir, etcd_port).await?;
        let registry = Registry::start(&dir, "registry").await?;
        registry.push(&image()?)?;
        for file in ["crds.yaml", "gateway-api.yaml"] {
            let path = programs::find(file)?.display().to_string();
            cluster
                .run(&["apply", "--server-side", "-f", &path])
                .await?;
        }
        cluster
            .run(&["wait", "--for=condition=Established", "crd", "--all"])
            .await?;
        for namespace in ["istio-system", "shop"] {
            cluster.run(&["create", "namespace", namespace]).await?;
        }
        let istiod = Istiod::start(&dir, "istiod", &cluster).await?;
        Ok(Lab {
            registry,
            istiod,
            cluster,
            _api: api,
            _etcd: etcd,
            dir,
            proxies: AtomicU8::new(1),
            keep: Mutex::new(false),
        })
    }

    /// The folder with logs and data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps the folder at the end.
    pub fn keep(&self) {
        if let Ok(mut keep) = self.keep.lock() {
            *keep = true;
        }
    }

    /// A unique number for a proxy: istiod identifies proxies by address and name.
    pub(crate) fn number(&self) -> u8 {
        self.proxies.fetch_add(1, Ordering::Relaxed)
    }

    /// The image of this build, for the `url` of a WasmPlugin.
    #[must_use]
    pub fn image(&self) -> String {
        self.registry.image()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let keep = self.keep.lock().is_ok_and(|keep| *keep);
        if !keep && !std::thread::panicking() {
            // Also the data of etcd and the API server, which are killed next.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The OCI image layout of `make image`.
fn image() -> Result<PathBuf> {
    let path = workspace_root().join("target/image");
    ensure!(
        path.join("index.json").exists(),
        "target/image is missing: run `make image`"
    );
    Ok(path)
}

async fn etcd(dir: &Path) -> Result<(Part, u16)> {
    let [client, peer] = free_ports()?;
    let own = format!("http://127.0.0.1:{client}");
    let peers = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new(programs::program("etcd")?);
    command
        .arg(format!("--data-dir={}", dir.join("etcd").display()))
        .arg(format!("--listen-client-urls={own}"))
        .arg(format!("--advertise-client-urls={own}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"))
        // The data need not survive a crash.
        .arg("--unsafe-no-fsync");
    let part = Part::start("etcd", dir, command)?;
    part.ready(client, "/health").await?;
    Ok((part, client))
}

async fn api(dir: &Path, etcd: u16) -> Result<(Part, Cluster)> {
    let [port] = free_ports()?;
    let token = crate::cluster::token()?;
    let key = dir.join("service-accounts.key");
    openssl(&["genrsa", "-out", &key.display().to_string(), "2048"])?;
    let tokens = dir.join("tokens.csv");
    fs::write(&tokens, format!("{token},admin,1,\"system:masters\"\n"))?;
    let mut command = Command::new(programs::program("kube-apiserver")?);
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--cert-dir={}", dir.join("certificates").display()))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=10.0.0.250"])
        .arg(format!("--service-account-issuer=https://127.0.0.1:{port}"))
        .arg(format!("--service-account-key-file={}", key.display()))
        .arg(format!(
            "--service-account-signing-key-file={}",
            key.display()
        ))
        .arg("--service-cluster-ip-range=10.96.0.0/16")
        .arg("--authorization-mode=RBAC")
        .arg(format!("--token-auth-file={}", tokens.display()))
        // No controller creates the accounts that this plugin requires.
        .arg("--disable-admission-plugins=ServiceAccount");
    let part = Part::start("kube-apiserver", dir, command)?;
    let cluster = Cluster::new(dir, port, &token)?;
    eventually("the API server to be ready", PATIENCE, async || {
        if let Err(error) = part.alive() {
            return Some(Err(error));
        }
        let ready = cluster.run(&["get", "--raw", "/readyz"]).await;
        ready.ok().map(|_| Ok(()))
    })
    .await??;
    Ok((part, cluster))
}

fn openssl(arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl")
        .args(arguments)
        .output()
        .context("install openssl, which creates the key of the API server")?;
    ensure!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Istiod {
    /// Starts an istiod for the cluster.
    pub async fn start(dir: &Path, name: &str, cluster: &Cluster) -> Result<Istiod> {
        let [xds, http, monitoring, introspection] = free_ports()?;
        let mesh = dir.join("mesh.yaml");
        let mut config = mesh_config()?;
        config["rootNamespace"] = "istio-system".into();
        config["enableAutoMtls"] = false.into();
        config["accessLogFile"] = "/dev/stdout".into();
        // JSON is valid YAML.
        fs::write(&mesh, config.to_string())?;
        let mut command = Command::new(programs::program("pilot-discovery")?);
        command
            .arg("discovery")
            .arg(format!("--kubeconfig={}", cluster.kubeconfig().display()))
            .arg(format!("--meshConfig={}", mesh.display()))
            .arg(format!("--grpcAddr=127.0.0.1:{xds}"))
            .args(["--secureGRPCAddr=", "--httpsAddr="])
            .arg(format!("--httpAddr=127.0.0.1:{http}"))
            .arg(format!("--monitoringAddr=127.0.0.1:{monitoring}"))
            .arg(format!("--ctrlz_port={introspection}"))
            .env("POD_NAMESPACE", "istio-system")
            .env("POD_NAME", name)
            .env("ENABLE_CA_SERVER", "false")
            .env("PILOT_CERT_PROVIDER", "none")
            .env("XDS_AUTH", "false")
            .env("PILOT_ENABLE_METADATA_EXCHANGE", "false")
            .env("PILOT_ENABLE_ALPN_FILTER", "false")
            .env("VALIDATION_WEBHOOK_CONFIG_NAME", "")
            .env("INJECTION_WEBHOOK_CONFIG_NAME", "");
        let part = Part::start(name, dir, command)?;
        part.ready(http, "/ready").await?;
        Ok(Istiod {
            part,
            xds,
            monitoring,
        })
    }

    /// Its metrics.
    pub async fn metrics(&self) -> Result<Metrics> {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.monitoring));
        Metrics::parse(&Http1::new(addr).get("/metrics").await?.text())
    }
}

impl Registry {
    /// Starts an empty registry.
    pub async fn start(dir: &Path, name: &str) -> Result<Registry> {
        let [port] = free_ports()?;
        let host = format!("127.0.0.1:{port}");
        let mut command = Command::new(programs::program("crane")?);
        command.args(["registry", "serve", "--address", &host]);
        let part = Part::start(name, dir, command)?;
        part.ready(port, "/v2/").await?;
        Ok(Registry { _part: part, host })
    }

    /// The pushed image, for the `url` of a WasmPlugin.
    #[must_use]
    pub fn image(&self) -> String {
        format!("{}/{TAG}", self.host)
    }

    /// Pushes an OCI image layout.
    pub fn push(&self, layout: &Path) -> Result<()> {
        let layout = layout.display().to_string();
        self.crane(&["push", &layout, &self.image()]).map(drop)
    }

    /// The output of `crane`.
    pub fn crane(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(programs::program("crane")?)
            .args(arguments)
            .output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "crane {arguments:?}: {stderr}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
