//! The parts that every proxy needs: API server, istiod, registry.

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

/// The tag under which the registry holds the image.
const TAG: &str = "divvy:lab";

/// All that runs, for the end that no destructor sees.
static RUNNING: Mutex<Vec<Weak<Process>>> = Mutex::new(Vec::new());

/// Kills all that runs. An agent that dies with us leaves its Envoy behind, so this kills groups.
pub fn end_everything() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for process in running.iter().filter_map(Weak::upgrade) {
        process.kill();
    }
}

/// Waits until somebody asks for the end.
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

/// A running child with a name, whose log is kept when it is over.
pub struct Part {
    process: Arc<Process>,
    log: PathBuf,
}

impl Part {
    /// Starts it in `dir`.
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

    /// What runs.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// An error with its last words, once it has ended.
    pub fn alive(&self) -> Result<()> {
        let Some(exit) = self.process.exit() else {
            return Ok(());
        };
        let lines = self.process.lines(0, |_| true);
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        bail!("{} ended with {exit}:\n{last}", self.log.display())
    }

    /// Waits until `GET path` on `port` is answered with 200.
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
        // The folder is gone when all went well.
        let _ = fs::write(&self.log, self.process.lines(0, |_| true).join("\n"));
    }
}

/// An istiod.
pub struct Istiod {
    /// What runs.
    pub part: Part,
    /// Where proxies ask it.
    pub xds: u16,
    monitoring: u16,
}

/// A registry, in memory.
pub struct Registry {
    _part: Part,
    /// As in an image's name: host and port.
    pub host: String,
}

/// Everything. Dropping it ends everything, in this order.
pub struct Lab {
    /// The registry that holds the image.
    pub registry: Registry,
    /// The istiod that proxies ask unless told otherwise.
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
    /// Starts it, in a folder of its own below `target/istio/run`.
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

    /// Where logs and data are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the folder behind, to be looked at.
    pub fn keep(&self) {
        if let Ok(mut keep) = self.keep.lock() {
            *keep = true;
        }
    }

    /// A number that no other proxy has: istiod knows proxies by address and name.
    pub(crate) fn number(&self) -> u8 {
        self.proxies.fetch_add(1, Ordering::Relaxed)
    }

    /// What stands in a WasmPlugin's `url` for the image of this build.
    #[must_use]
    pub fn image(&self) -> String {
        self.registry.image()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let keep = self.keep.lock().is_ok_and(|keep| *keep);
        if !keep && !std::thread::panicking() {
            // The data of etcd and API server go with it; both are killed a moment later.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The OCI image layout that `make image` writes.
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
        // Nobody misses this data after a power cut.
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
        .arg("--authorization-mode=AlwaysAllow")
        .arg(format!("--token-auth-file={}", tokens.display()))
        // There is no controller that would make the accounts this one asks for.
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
        .context("openssl makes the API server's key: install it")?;
    ensure!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Istiod {
    /// Starts one of this name on the cluster.
    pub async fn start(dir: &Path, name: &str, cluster: &Cluster) -> Result<Istiod> {
        let [xds, http, monitoring, introspection] = free_ports()?;
        let mesh = dir.join("mesh.yaml");
        let mut config = mesh_config()?;
        config["rootNamespace"] = "istio-system".into();
        config["enableAutoMtls"] = false.into();
        config["accessLogFile"] = "/dev/stdout".into();
        // JSON is YAML; on a cluster this is a ConfigMap.
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
}

impl Istiod {
    /// What it counted.
    pub async fn metrics(&self) -> Result<Metrics> {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.monitoring));
        Metrics::parse(&Http1::new(addr).get("/metrics").await?.text())
    }
}

impl Registry {
    /// Starts an empty one.
    pub async fn start(dir: &Path, name: &str) -> Result<Registry> {
        let [port] = free_ports()?;
        let host = format!("127.0.0.1:{port}");
        let mut command = Command::new(programs::program("crane")?);
        command.args(["registry", "serve", "--address", &host]);
        let part = Part::start(name, dir, command)?;
        part.ready(port, "/v2/").await?;
        Ok(Registry { _part: part, host })
    }

    /// What stands in a WasmPlugin's `url` for the image that [`Self::push`] took here.
    #[must_use]
    pub fn image(&self) -> String {
        format!("{}/{TAG}", self.host)
    }

    /// Pushes an OCI image layout, as `make push` does.
    pub fn push(&self, layout: &Path) -> Result<()> {
        let layout = layout.display().to_string();
        self.crane(&["push", &layout, &self.image()]).map(drop)
    }

    /// What `crane` says.
    pub fn crane(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(programs::program("crane")?)
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "crane {arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
