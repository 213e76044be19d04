//! Pods without containers, on a real Kubernetes control plane.
//!
//! Real: etcd, API server, controller manager (Deployments, ReplicaSets, EndpointSlices, garbage
//! collection), istiod, pilot-agent, Envoy, the filter from its image. **Simulated: the scheduler and the
//! kubelet.** They bind each pod to one node, give it an address, start an [`Upstream`] on this address that
//! answers as the `VERSION` in the environment of the first container, set the pod Ready, and end it some time
//! after its deletion. There are no images, probes, init containers or restarts.
//!
//! The process must be in a [`namespace`](crate::namespace).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use divvy_lab::client::{Http1, request};
use divvy_lab::eventually;
use divvy_lab::upstream::{Behaviour, Upstream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::Common;
use crate::lab::{Lab, Part};
use crate::{PATIENCE, free_ports, namespace, programs};

/// Name and address of the node of all pods.
pub const NODE: &str = "node-1";
/// No pod gets this address.
pub const NODE_ADDRESS: &str = "10.244.255.250";
/// The controllers that run.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,endpointslice-controller,garbage-collector-controller";
/// Interval of the simulated kubelet.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long a deleted pod still answers: proxies have to receive the new endpoints first.
const GRACE: Duration = Duration::from_secs(3);
/// Port of a container that names none.
const PORT: u16 = 8080;

/// A running pod.
struct Pod {
    version: String,
    upstream: Upstream,
    deleted: Option<Instant>,
}

#[derive(Default)]
struct State {
    /// By uid.
    pods: BTreeMap<String, Pod>,
    /// By version, for the pods of now and later ones.
    behaviours: BTreeMap<String, Behaviour>,
    /// Requests to pods that have ended, by version.
    ended: BTreeMap<String, u64>,
    addresses: u16,
}

/// A lab with pods. Dropping it ends everything.
pub struct Pods {
    /// The API server on this port without TLS and credentials, which `kubectl proxy` adds.
    pub api_port: u16,
    state: Arc<Mutex<State>>,
    kubelet: JoinHandle<()>,
    _controllers: Part,
    _proxy: Part,
    lab: Lab,
}

impl Common for Pods {
    async fn start() -> Result<Pods> {
        ensure!(
            namespace::is_inside(),
            "pods need a network namespace: call namespace::enter first"
        );
        let lab = Lab::start().await?;
        let (dir, kubeconfig) = (lab.dir().to_owned(), lab.cluster.kubeconfig());
        let [api_port] = free_ports()?;
        let mut command = Command::new(programs::program("kubectl")?);
        command
            .arg("proxy")
            .arg(format!("--port={api_port}"))
            .env("KUBECONFIG", kubeconfig);
        let proxy = Part::start("kubectl-proxy", &dir, command)?;
        proxy.ready(api_port, "/readyz").await?;
        let mut command = Command::new(programs::program("kube-controller-manager")?);
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--controllers={CONTROLLERS}"))
            .args(["--leader-elect=false", "--secure-port=0"]);
        let controllers = Part::start("kube-controller-manager", &dir, command)?;
        let kubelet = Kubelet {
            api: Http1::new(SocketAddr::from((Ipv4Addr::LOCALHOST, api_port))),
            state: Arc::default(),
        };
        kubelet.register().await?;
        Ok(Pods {
            api_port,
            state: Arc::clone(&kubelet.state),
            kubelet: tokio::spawn(kubelet.run()),
            _controllers: controllers,
            _proxy: proxy,
            lab,
        })
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }
}

impl Pods {
    /// Deletes the Deployments, Services and pods of earlier tests, and waits for the end of the pods.
    pub async fn clear(&self) -> Result<()> {
        let cluster = &self.lab.cluster;
        for (namespace, kinds) in [
            ("shop", "deployments,services"),
            ("shop", "replicasets"),
            ("shop", "pods"),
            ("istio-system", "pods"),
        ] {
            cluster
                .run(&["delete", "-n", namespace, kinds, "--all"])
                .await?;
        }
        lock(&self.state).behaviours.clear();
        Ok(())
    }

    /// Deploys the shop's checkout, two pods of v1 and one of v2, and waits until they are ready.
    pub async fn deploy_checkout(&self) -> Result<()> {
        let cluster = &self.lab.cluster;
        cluster
            .apply(&[
                deployment("checkout", "v1", 2),
                deployment("checkout", "v2", 1),
                service("checkout", "checkout"),
            ])
            .await?;
        for name in ["deployment/checkout-v1", "deployment/checkout-v2"] {
            cluster
                .run(&["rollout", "status", "-n", "shop", name, "--timeout=40s"])
                .await?;
        }
        Ok(())
    }

    /// A pod with the labels of a gateway, beside its proxy, which the lab starts as a process. Returns its address.
    pub async fn gateway(&self, name: &str) -> Result<String> {
        let cluster = &self.lab.cluster;
        let container = json!({"name": "istio-proxy", "image": "none", "env": [{"name": "VERSION", "value": "gateway"}]});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]},
            "metadata": {"name": name, "namespace": "istio-system", "labels": {"istio": "ingressgateway"}},
        });
        cluster.apply(&[pod]).await?;
        let pod = format!("pod/{name}");
        eventually("the address of the pod", PATIENCE, async || {
            let pod = cluster.get("istio-system", &pod).await.ok()?;
            pod["status"]["podIP"].as_str().map(str::to_owned)
        })
        .await
    }

    /// Sets the behaviour of all pods of a version, also of later ones.
    pub fn behave(&self, version: &str, behaviour: &Behaviour) {
        let mut state = lock(&self.state);
        for pod in state.pods.values().filter(|pod| pod.version == version) {
            pod.upstream.behave(behaviour.clone());
        }
        state
            .behaviours
            .insert(version.to_owned(), behaviour.clone());
    }

    /// The number of requests that pods of a version received.
    #[must_use]
    pub fn requests(&self, version: &str) -> u64 {
        let state = lock(&self.state);
        let pods = state.pods.values().filter(|pod| pod.version == version);
        let running: u64 = pods.map(|pod| pod.upstream.requests()).sum();
        running + state.ended.get(version).copied().unwrap_or_default()
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

/// A Deployment of a service whose pods answer as this version, on port 8080.
#[must_use]
pub fn deployment(service: &str, version: &str, replicas: u32) -> Value {
    let labels = json!({"app": service, "version": version});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": format!("{service}-{version}"), "namespace": "shop"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
                "name": service, "image": "none", "env": [{"name": "VERSION", "value": version}],
                "ports": [{"containerPort": PORT}],
            }]}},
        },
    })
}

/// A Service on port 8080 for the pods of an application.
#[must_use]
pub fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]},
    })
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The simulated scheduler and kubelet.
struct Kubelet {
    api: Http1,
    state: Arc<Mutex<State>>,
}

impl Kubelet {
    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request(method, path, &[("content-type", kind)], body)?;
        let answer = self.api.send(request).await?;
        ensure!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    async fn register(&self) -> Result<()> {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        self.call("POST", "/api/v1/nodes", &node).await?;
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}],
        }});
        let path = format!("/api/v1/nodes/{NODE}/status");
        self.call("PATCH", &path, &status).await.map(drop)
    }

    async fn run(self) {
        loop {
            if let Err(error) = self.round().await {
                // Also a conflict with a controller: the next round sees the new state.
                eprintln!("simulated kubelet: {error:#}");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn round(&self) -> Result<()> {
        let list = self.call("GET", "/api/v1/pods", &Value::Null).await?;
        let pods = list["items"].as_array().context("a list of pods")?;
        for pod in pods {
            self.advance(pod)
                .await
                .with_context(|| pod["metadata"]["name"].to_string())?;
        }
        let alive = |uid: &String| pods.iter().any(|pod| pod["metadata"]["uid"] == **uid);
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.pods.retain(|uid, pod| {
            let keep = alive(uid);
            if !keep {
                *state.ended.entry(pod.version.clone()).or_default() += pod.upstream.requests();
            }
            keep
        });
        Ok(())
    }

    /// The next step in the life of a pod.
    async fn advance(&self, pod: &Value) -> Result<()> {
        let meta = &pod["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, uid) = (text(&meta["name"]), text(&meta["uid"]));
        let path = format!(
            "/api/v1/namespaces/{}/pods/{name}",
            text(&meta["namespace"])
        );
        if !meta["deletionTimestamp"].is_null() {
            let over = lock(&self.state)
                .pods
                .get_mut(&uid)
                .is_none_or(|pod| pod.deleted.get_or_insert_with(Instant::now).elapsed() >= GRACE);
            if over {
                let now = json!({"gracePeriodSeconds": 0});
                self.call("DELETE", &path, &now).await?;
            }
        } else if pod["spec"]["nodeName"].is_null() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
            });
            self.call("POST", &format!("{path}/binding"), &binding)
                .await?;
        } else if !lock(&self.state).pods.contains_key(&uid) {
            let running = self.start(pod).await?;
            let status = ready(pod, running.upstream.addr().ip());
            self.call("PATCH", &format!("{path}/status"), &status)
                .await?;
            lock(&self.state).pods.insert(uid, running);
        }
        Ok(())
    }

    /// An upstream on a new address.
    async fn start(&self, pod: &Value) -> Result<Pod> {
        let container = &pod["spec"]["containers"][0];
        let environment = container["env"].as_array().into_iter().flatten();
        let version = environment
            .filter(|variable| variable["name"] == "VERSION")
            .find_map(|variable| variable["value"].as_str())
            .context("the first container has no VERSION in its env")?
            .to_owned();
        let port = container["ports"][0]["containerPort"].as_u64();
        let port = port.map_or(Ok(PORT), u16::try_from)?;
        let number = {
            let mut state = lock(&self.state);
            state.addresses += 1;
            state.addresses
        };
        let [high, low] = number.to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(10, 244, high, low), port));
        let upstream = Upstream::start_on(&version, address).await?;
        if let Some(behaviour) = lock(&self.state).behaviours.get(&version) {
            upstream.behave(behaviour.clone());
        }
        Ok(Pod {
            version,
            upstream,
            deleted: None,
        })
    }
}

/// The status of a pod whose containers run.
fn ready(pod: &Value, address: IpAddr) -> Value {
    let now = &pod["metadata"]["creationTimestamp"];
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let statuses = containers.map(|container| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "none", "restartCount": 0,
            "ready": true, "started": true, "state": {"running": {"startedAt": now}},
        })
    });
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
    let conditions =
        conditions.map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}));
    json!({"status": {
        "phase": "Running", "hostIP": NODE_ADDRESS, "podIP": address, "podIPs": [{"ip": address}],
        "startTime": now, "conditions": conditions, "containerStatuses": statuses.collect::<Vec<_>>(),
    }})
}
