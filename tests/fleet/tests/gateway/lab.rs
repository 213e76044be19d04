//! An Envoy Gateway without Kubernetes: its resources are in a file, and it starts Envoy itself.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use divvy_istio_tests::lab::{Part, Registry};
use divvy_lab::client::Http1;
use divvy_lab::envoy::Binary;
use divvy_lab::metrics::Metrics;
use divvy_lab::upstream::Upstream;
use divvy_lab::{eventually, workspace_root};
use tempfile::TempDir;

/// Timeout of everything that waits for Envoy Gateway, which also fetches the image.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The port of the Gateway.
const PORT: u16 = 8888;
/// The admin interface of Envoy.
const ADMIN: u16 = 19900;
/// Where Envoy expects its certificates.
const CERTIFICATES: &str = "/certs";
/// The name by which Envoy connects to Envoy Gateway.
const NAMES: &str = "127.0.0.1 localhost envoy-gateway envoy-gateway.envoy-gateway-system \
                     envoy-gateway.envoy-gateway-system.svc envoy-gateway.envoy-gateway-system.svc.cluster.local\n";

/// A running Envoy Gateway with two versions of the shop.
pub struct Gateway {
    // Drop order: the processes before their folder.
    part: Part,
    registry: Registry,
    dir: TempDir,
    versions: Vec<Upstream>,
    secret: String,
    is_made: bool,
}

/// The program of `make target/fleet/bin/envoy-gateway`.
fn program() -> Result<PathBuf> {
    let path = workspace_root().join("target/fleet/bin/envoy-gateway");
    ensure!(
        path.exists(),
        "target/fleet/bin/envoy-gateway is missing: run `make target/fleet/bin/envoy-gateway`"
    );
    Ok(path)
}

/// Mounts a file or folder at another place, in the namespace of this process alone.
fn bind(from: &Path, to: &str) -> Result<()> {
    let output = Command::new("mount")
        .arg("--bind")
        .args([from, Path::new(to)])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mount {to}: {said}");
    Ok(())
}

/// A text of a shipped file replaced, which has to be there.
pub fn replaced(text: &str, old: &str, new: &str) -> Result<String> {
    ensure!(text.contains(old), "{old:?} is not in:\n{text}");
    Ok(text.replace(old, new))
}

impl Gateway {
    /// Starts it with the shipped files.
    pub async fn start() -> Result<Gateway> {
        let dir = TempDir::new()?;
        let home = dir.path().join("home");
        for folder in ["config", "data", "state", "run"] {
            fs::create_dir_all(home.join(folder))?;
        }
        let envoy = Binary::find()?;
        let versions = home.join(format!("data/envoy-versions/{}/bin", envoy.version));
        fs::create_dir_all(&versions)?;
        symlink(&envoy.path, versions.join("envoy"))?;
        let mut command = Command::new(program()?);
        let output = command
            .args(["certgen", "--local", "--config-home"])
            .arg(home.join("config"))
            .env("HOME", &home)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "envoy-gateway certgen: {said}");

        let certificates = home.join("config/certs/envoy");
        let is_made = fs::create_dir(CERTIFICATES).is_ok();
        bind(&certificates, CERTIFICATES)?;
        fs::write(dir.path().join("hosts"), NAMES)?;
        bind(&dir.path().join("hosts"), "/etc/hosts")?;
        let file = |name: &str| -> Result<String> {
            Ok(BASE64_STANDARD.encode(fs::read(certificates.join(name))?))
        };
        let secret = format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: envoy, namespace: envoy-gateway-system}}\n\
             type: kubernetes.io/tls\ndata: {{tls.crt: {}, tls.key: {}, ca.crt: {}}}\n",
            file("tls.crt")?,
            file("tls.key")?,
            file("ca.crt")?
        );
        let registry = Registry::start(dir.path(), "registry").await?;
        registry.push(&workspace_root().join("target/image"))?;
        let versions = vec![Upstream::start("v1").await?, Upstream::start("v2").await?];

        fs::create_dir(dir.path().join("resources"))?;
        let server = dir.path().join("envoy-gateway.yaml");
        let place = |name: &str| home.join(name).display().to_string();
        fs::write(
            &server,
            format!(
                "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyGateway\n\
                 gateway: {{controllerName: gateway.envoyproxy.io/gatewayclass-controller}}\n\
                 provider:\n  type: Custom\n  custom:\n    resource: {{type: File, file: {{paths: [{}]}}}}\n    \
                 infrastructure:\n      type: Host\n      \
                 host: {{configHome: {}, dataHome: {}, stateHome: {}, runtimeDir: {}}}\n\
                 logging: {{level: {{default: info}}}}\nextensionApis: {{enableBackend: true}}\n",
                dir.path().join("resources").display(),
                place("config"),
                place("data"),
                place("state"),
                place("run")
            ),
        )?;
        let mut command = Command::new(program()?);
        command
            .args(["server", "--config-path"])
            .arg(&server)
            .env("HOME", &home);
        // The resources are there before it starts.
        let resources = dir.path().join("resources/all.yaml");
        fs::write(
            &resources,
            resources_of(&versions, &registry, &secret, &envoy.version, shipped()?)?,
        )?;
        let gateway = Gateway {
            part: Part::start("envoy-gateway", dir.path(), command)?,
            registry,
            dir,
            versions,
            secret,
            is_made,
        };
        gateway.until_decided().await?;
        Ok(gateway)
    }

    /// Waits until divvy decides.
    pub async fn until_decided(&self) -> Result<()> {
        let client = self.client();
        let started = eventually("a decision", PATIENCE, async || {
            if let Err(error) = self.part.alive() {
                return Some(Err(error));
            }
            let answer = client.get_with("/", &[("x-user-id", "1")]).await.ok()?;
            answer.header("x-divvy-version").map(|_| Ok(()))
        });
        started
            .await
            .and_then(|started| started)
            .with_context(|| self.log_end())
    }

    /// Replaces all resources: the shipped ones with a change.
    pub fn put(&self, change: impl Fn(&str) -> Result<String>) -> Result<()> {
        let version = Binary::find()?.version;
        let text = change(&shipped()?)?;
        let text = resources_of(&self.versions, &self.registry, &self.secret, &version, text)?;
        let new = self.dir.path().join("all.yaml");
        fs::write(&new, text)?;
        fs::rename(new, self.dir.path().join("resources/all.yaml"))?;
        Ok(())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], PORT))
    }

    /// A client of the Gateway.
    pub fn client(&self) -> Http1 {
        Http1::new(self.address())
    }

    /// The metrics of Envoy, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<Metrics> {
        let admin = Http1::new(SocketAddr::from(([127, 0, 0, 1], ADMIN)));
        Metrics::parse(&admin.get("/stats/prometheus").await?.text())
    }

    /// Lines of its log with this text. Envoy writes to the same log.
    pub fn log(&self, text: &str) -> Vec<String> {
        let mut lines = self.part.process().lines(0, |_| true);
        lines.retain(|line| line.contains(text));
        lines
    }

    /// The end of its log.
    pub fn log_end(&self) -> String {
        let lines = self.log("");
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The mount ends with the namespace; its empty folder would stay.
        if self.is_made {
            let _ = Command::new("umount").arg(CERTIFICATES).output();
            let _ = fs::remove_dir(CERTIFICATES);
        }
    }
}

/// The shipped files.
fn shipped() -> Result<String> {
    let folder = workspace_root().join("envoy/gateway");
    let files = ["gateway.yaml", "divvy.yaml"].map(|file| fs::read_to_string(folder.join(file)));
    let [gateway, divvy] = files;
    Ok(format!("{}---\n{}", gateway?, divvy?))
}

/// Shipped files for this machine: its Envoy, ports and image, and Backends in place of Services.
fn resources_of(
    versions: &[Upstream],
    registry: &Registry,
    secret: &str,
    envoy: &str,
    text: String,
) -> Result<String> {
    let mut text = replaced(&text, "port: 80}", &format!("port: {PORT}}}"))?;
    let image = format!("registry.example.com/divvy:{}", env!("CARGO_PKG_VERSION"));
    // Not there without the policy.
    text = text.replace(&image, &registry.image());
    let host = format!(
        "spec:\n  provider: {{type: Host, host: {{envoyVersion: {envoy}}}}}\n  # Labels out"
    );
    text = replaced(&text, "spec:\n  # Labels out", &host)?;
    let admin = format!(
        "value: |\n      admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {ADMIN}}}}}}}\n"
    );
    text = replaced(&text, "value: |\n", &admin)?;
    for version in versions {
        let name = format!("checkout-{}", version.version());
        let backend = format!("{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}");
        text = replaced(&text, &format!("{{name: {name}, port: 8080}}"), &backend)?;
        let address = version.addr();
        text += &format!(
            "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec:\n  endpoints: [{{ip: {{address: {}, port: {}}}}}]\n  appProtocols: [gateway.envoyproxy.io/h2c]\n",
            address.ip(),
            address.port()
        );
    }
    Ok(text + secret)
}
