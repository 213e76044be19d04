//! `divvy top --selector` with the real kubectl and API server. The node's side of a port-forward is
//! `tests/fleet/kubelet`, with the library of the real kubelet.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::lab::Part;
use divvy_istio_tests::pods::{NODE, NODE_ADDRESS, Pods};
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::Shop;
use divvy_istio_tests::{PATIENCE, command, free_ports, programs};
use divvy_lab::tls::Authority;
use divvy_lab::{eventually, workspace_root};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const NAMESPACE: &str = "istio-system";
/// The port of the metrics of a proxy of Istio.
const METRICS: u16 = 15090;

/// The port of a simulated pod, which leads to a proxy of the lab. Dropping it closes the port.
struct PodPort(JoinHandle<()>);

impl PodPort {
    async fn open(address: &str, proxy: &Proxy) -> Result<PodPort> {
        let listener = TcpListener::bind((address, METRICS)).await?;
        let admin = proxy.admin_port;
        Ok(PodPort(tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut proxy = TcpStream::connect((Ipv4Addr::LOCALHOST, admin)).await?;
                    copy_bidirectional(&mut client, &mut proxy).await
                });
            }
        })))
    }
}

impl Drop for PodPort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The kubelet's server of port-forwards, of which the node then tells.
async fn kubelet(pods: &Pods) -> Result<Part> {
    let dir = pods.lab().dir().join("kubelet");
    fs::create_dir_all(&dir)?;
    let identity = Authority::new()?.issue_to_host(NODE)?;
    let (certificate, key) = identity.pem();
    fs::write(dir.join("tls.crt"), certificate)?;
    fs::write(dir.join("tls.key"), key)?;
    let program = workspace_root().join("target/fleet/bin/kubelet");
    ensure!(
        program.exists(),
        "target/fleet/bin/kubelet is missing: run `make target/fleet/bin/kubelet`"
    );
    let [port] = free_ports()?;
    let mut command = Command::new(program);
    command
        .arg(format!("{NODE_ADDRESS}:{port}"))
        .arg(format!("http://127.0.0.1:{}", pods.api_port))
        .args(["tls.crt", "tls.key"]);
    let part = Part::start("kubelet", &dir, command)?;
    let address: SocketAddr = format!("{NODE_ADDRESS}:{port}").parse()?;
    eventually("the kubelet's port", PATIENCE, async || {
        if let Err(error) = part.alive() {
            return Some(Err(error));
        }
        TcpStream::connect(address).await.ok().map(|_| Ok(()))
    })
    .await??;
    let status = json!({"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    let status = status.to_string();
    let arguments = ["patch", "node", NODE, "--subresource=status", "-p", &status];
    pods.lab().cluster.run(&arguments).await?;
    Ok(part)
}

/// `divvy top --once` with the kubectl of the lab.
async fn top(pods: &Pods) -> Result<(Output, Value)> {
    let kubectl = programs::program("kubectl")?;
    let bin = kubectl.parent().context("a folder")?.display();
    let arguments =
        format!("top --once --output json --selector istio=ingressgateway --namespace {NAMESPACE}");
    let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
    let mut command = command::divvy(&arguments)?;
    command
        .env("PATH", format!("{bin}:{}", env::var("PATH")?))
        .env("KUBECONFIG", pods.lab().cluster.kubeconfig());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let view = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((output, view))
}

/// The kubectl processes that forward ports of this lab.
fn forwards(pods: &Pods) -> usize {
    let kubeconfig = pods.lab().cluster.kubeconfig().display().to_string();
    let kubeconfig = format!("KUBECONFIG={kubeconfig}");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let has = |file: &str, text: &str, entry: &fs::DirEntry| {
        let content = fs::read(entry.path().join(file)).unwrap_or_default();
        String::from_utf8_lossy(&content).contains(text)
    };
    entries
        .filter(|entry| has("cmdline", "port-forward", entry) && has("environ", &kubeconfig, entry))
        .count()
}

pub async fn top_shows_the_proxies_of_a_selector_through_kubectl(pods: &Pods) -> Result<()> {
    let shop = Shop::over_pods(pods, "overlays/edge", &[]).await?;
    pods.deploy_checkout().await?;
    shop.until_version("v2", &[("x-canary", "true")]).await?;
    let second = Proxy::start(pods.lab(), &Options::gateway()).await?;
    let _kubelet = kubelet(pods).await?;
    let first = PodPort::open(&pods.gateway("gw-1").await?, &shop.proxy).await?;
    let other = PodPort::open(&pods.gateway("gw-2").await?, &second).await?;

    // The first requests may come before the pods of v2 are in the proxy: v2 is then unreachable until a
    // request of one of its users is answered.
    let agreed = eventually("two proxies that agree", PATIENCE, async || {
        // Both proxies listen on the port of the gateway, so a new connection may be to either.
        let client = shop.client();
        for user in 1..=20 {
            let user = format!("user-{user}");
            client
                .get_with("/checkout", &[("x-user-id", user)])
                .await
                .ok()?;
        }
        let (output, view) = top(pods).await.ok()?;
        output.status.success().then_some(view)
    });
    let Ok(view) = agreed.await else {
        anyhow::bail!("{:?}", top(pods).await);
    };
    let names = view["proxies"].as_array().context("proxies")?.iter();
    let names: Vec<_> = names.map(|proxy| proxy["url"].as_str()).collect();
    ensure!(names == [Some("pod/gw-1"), Some("pod/gw-2")], "{view}");
    let checkout = &view["rollouts"]["checkout"];
    ensure!(checkout["versions"]["v2"]["weight"] == 20.0, "{view}");
    let requests = checkout["versions"]["v2"]["requests"].as_f64();
    ensure!(requests.is_some_and(|requests| requests >= 1.0), "{view}");
    ensure!(forwards(pods) == 0);

    // A pod that does not listen is named; the other one is shown.
    drop(other);
    let (output, view) = top(pods).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let findings = view["findings"].as_array().context("findings")?;
    let [finding] = findings.as_slice() else {
        anyhow::bail!("{findings:?}");
    };
    ensure!(
        finding
            .as_str()
            .is_some_and(|finding| finding.starts_with("pod/gw-2 does not answer: ")),
        "{finding}"
    );
    ensure!(view["proxies"][0]["hash"].is_string(), "{view}");
    ensure!(forwards(pods) == 0);

    // A pod that is gone.
    drop(first);
    let arguments = ["delete", "-n", NAMESPACE, "pods", "--all"];
    let delete = pods.lab().cluster.run(&arguments);
    tokio::time::timeout(2 * PATIENCE, delete).await??;
    let error = top(pods).await.err().context("no error")?;
    let error = format!("{error:#}");
    ensure!(
        error.contains("no pod that runs has the labels istio=ingressgateway"),
        "{error}"
    );
    Ok(())
}
