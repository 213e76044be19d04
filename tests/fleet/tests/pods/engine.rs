//! What the tests of an engine share: its kinds, a Prometheus, a gateway in front of pods, and its program. Must not
//! depend on an engine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use divvy_fleet_tests::prometheus::Prometheus;
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::cluster::Cluster;
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::lab::Part;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::proxy::Proxy;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_lab::client::Http1;
use divvy_lab::upstream::{Behaviour, StatusCode};
use divvy_lab::{eventually, workspace_root};
use serde_json::Value;

/// Builds that the tests release; each is steady until a test says otherwise.
const BUILDS: [&str; 5] = ["v1", "v2", "v3", "v4", "v5"];
/// Simultaneous requests of the users who are asked for their versions.
const CLIENTS: u32 = 10;
/// Address of Prometheus in the shipped files.
const SHIPPED_PROMETHEUS: &str = "http://prometheus.monitoring:9090";

/// A version whose share of failures is this, in percent.
pub fn failing(percent: f64) -> Behaviour {
    Behaviour {
        error_percent: percent,
        error_status: StatusCode::INTERNAL_SERVER_ERROR,
        ..steady()
    }
}

/// A version whose response time is far above the noise of a busy machine, so that the shipped limit of the response
/// time can hold: all durations are in one bucket of Envoy's histogram, 100 to 250 ms.
pub fn steady() -> Behaviour {
    Behaviour {
        delay: Duration::from_millis(120),
        ..Behaviour::default()
    }
}

/// A version that is slower than [`steady`] ones by more than the shipped limit.
pub fn slow() -> Behaviour {
    Behaviour {
        delay: Duration::from_millis(300),
        ..Behaviour::default()
    }
}

/// An engine that releases builds of the shop's checkout.
pub struct Engine<'a> {
    pub shop: Shop<'a>,
    pub prometheus: Prometheus,
    folder: &'static str,
    api: Http1,
    program: Option<Part>,
}

impl<'a> Engine<'a> {
    /// Applies the kinds in `target/FOLDER/crds.yaml`, deletes the objects of these kinds that earlier tests left, and
    /// applies `istio/FOLDER` with these edits and the address of a new Prometheus, which scrapes the gateway as `gw-1`.
    pub async fn prepare(
        pods: &'a Pods,
        folder: &'static str,
        kinds: &[&str],
        edits: &[(&str, &str)],
    ) -> Result<Engine<'a>> {
        let cluster = &pods.lab().cluster;
        let crds = built(folder, "crds.yaml")?.display().to_string();
        cluster
            .run(&["apply", "--server-side", "-f", &crds])
            .await?;
        cluster
            .run(&["wait", "--for=condition=Established", "crd", "--all"])
            .await?;
        for kind in kinds.iter().chain(&["events"]) {
            cluster
                .run(&["delete", "-n", "shop", kind, "--all"])
                .await?;
        }
        let prometheus = Prometheus::start().await?;
        let address = format!("http://{}", prometheus.address());
        let address = Edit::replace(SHIPPED_PROMETHEUS, &address);
        let edits = edits.iter().map(|(from, to)| Edit::replace(from, to));
        let edits: Vec<_> = edits.chain([address]).collect();
        let shop = Shop::over_pods(pods, folder, &edits).await?;
        for build in BUILDS {
            pods.behave(build, &steady());
        }
        let engine = Engine {
            shop,
            prometheus,
            folder,
            api: Http1::new(SocketAddr::from(([127, 0, 0, 1], pods.api_port))),
            program: None,
        };
        engine.scrape(&[("gw-1", &engine.shop.proxy)])?;
        Ok(engine)
    }

    /// A program that `make` puts below `target/FOLDER`.
    pub fn command(&self, name: &str) -> Result<Command> {
        Ok(Command::new(built(self.folder, name)?))
    }

    /// Starts the program of the engine.
    pub fn run(&mut self, command: Command) -> Result<()> {
        let dir = self.shop.lab.dir().join(self.folder);
        fs::create_dir_all(&dir)?;
        self.program = Some(Part::start(self.folder, &dir, command)?);
        Ok(())
    }

    /// Applies a file of the edited folder.
    pub async fn apply(&self, file: &str) -> Result<()> {
        let file = self.shop.folder.join(self.folder).join(file);
        let file = file.display().to_string();
        self.cluster().run(&["apply", "-f", &file]).await.map(drop)
    }

    pub fn cluster(&self) -> &Cluster {
        &self.shop.lab.cluster
    }

    /// Scrapes these proxies under these names.
    pub fn scrape(&self, proxies: &[(&str, &Proxy)]) -> Result<()> {
        let targets = proxies.iter().map(|(name, proxy)| {
            let address = SocketAddr::from(([127, 0, 0, 1], proxy.admin_port));
            (address, "divvy", *name)
        });
        self.prometheus.scrape(&targets.collect::<Vec<_>>())
    }

    /// GET of a path of the API server.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.api.get(path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Waits for a state of an object; an error contains its last status.
    pub async fn until(
        &self,
        what: &str,
        path: &str,
        timeout: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let last = RefCell::new(Value::Null);
        let found = eventually(what, timeout, async || {
            if let Some(Err(error)) = self.program.as_ref().map(Part::alive) {
                return Some(Err(error));
            }
            let object = self.get(path).await.ok()?;
            last.replace(object["status"].clone());
            wanted(&object).then_some(Ok(object))
        })
        .await;
        found
            .and_then(|found| found)
            .with_context(|| last.borrow().to_string())
    }

    /// Lines of the program's log with this text.
    pub fn log(&self, text: &str) -> Vec<String> {
        let program = self.program.iter();
        let lines = program.flat_map(|program| program.process().lines(0, |_| true));
        lines.filter(|line| line.contains(text)).collect()
    }

    /// The messages of the events in the shop's namespace with this reason.
    pub async fn events(&self, reason: &str) -> Result<Vec<String>> {
        let events = self.get("/api/v1/namespaces/shop/events").await?;
        let events = events["items"].as_array().context("a list of events")?;
        let messages = events
            .iter()
            .filter(|event| event["reason"] == reason)
            .filter_map(|event| event["message"].as_str());
        Ok(messages.map(str::to_owned).collect())
    }

    /// Which version serves each of the users `user-0`, `user-1` and so on.
    pub async fn served(&self, users: u32) -> Result<BTreeMap<u32, String>> {
        let gateway = self.shop.addr();
        let client = |first: u32| {
            tokio::spawn(async move {
                let client = Http1::new(gateway);
                let mut served = BTreeMap::new();
                for user in (first..users).step_by(CLIENTS as usize) {
                    let name = format!("user-{user}");
                    let headers = [("x-user-id", &*name)];
                    let answer = client.get_with("/checkout", &headers).await?;
                    served.insert(user, served_by(&answer).to_owned());
                }
                anyhow::Ok(served)
            })
        };
        let mut served = BTreeMap::new();
        for client in (0..CLIENTS).map(client).collect::<Vec<_>>() {
            served.extend(client.await??);
        }
        Ok(served)
    }

    /// Waits until a build serves all users: the gateway receives new routes a moment after the engine wrote them.
    pub async fn serves_all(&self, build: &str) -> Result<()> {
        let what = format!("{build} for all users");
        eventually(&what, PATIENCE, async || {
            let served = self.served(100).await.ok()?;
            served
                .values()
                .all(|version| version == build)
                .then_some(())
        })
        .await
    }
}

fn built(folder: &str, name: &str) -> Result<PathBuf> {
    let path = workspace_root().join("target").join(folder).join(name);
    ensure!(
        path.exists(),
        "target/{folder}/{name} is missing: `make test-fleet-{folder}` builds it"
    );
    Ok(path)
}
