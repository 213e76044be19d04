//! The shop of the examples: upstreams, the applied files, and an ingress gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use divvy_lab::client::{Http1, Response};
use divvy_lab::eventually;
use divvy_lab::upstream::Upstream;
use serde_json::{Value, json};

use crate::files::{Edit, prepared};
use crate::harness::Common as _;
use crate::lab::Lab;
use crate::pods::Pods;
use crate::proxy::{Options, Proxy};
use crate::{PATIENCE, free_ports};

/// The versions of a service.
pub struct Service {
    /// Name of the service, such as `checkout`.
    pub name: &'static str,
    /// v1, v2 and so on.
    pub versions: Vec<Upstream>,
}

impl Service {
    /// Starts v1 and v2.
    pub async fn start(name: &'static str) -> Result<Service> {
        Service::start_versions(name, &["v1", "v2"]).await
    }

    /// Starts these versions.
    pub async fn start_versions(name: &'static str, versions: &[&'static str]) -> Result<Service> {
        let mut started = Vec::new();
        for version in versions {
            started.push(Upstream::start(version).await?);
        }
        let versions = started;
        Ok(Service { name, versions })
    }

    /// A `ServiceEntry` in place of a Service and its pods.
    #[must_use]
    pub fn entry(&self) -> Value {
        let endpoints = self.versions.iter().map(|upstream| {
            let addr: SocketAddr = upstream.addr();
            json!({
                "address": addr.ip().to_string(),
                "ports": {"http": addr.port()},
                "labels": {"app": self.name, "version": upstream.version()},
            })
        });
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": self.name, "namespace": "shop"},
            "spec": {
                "hosts": [format!("{}.shop.svc.cluster.local", self.name)],
                "addresses": [], "location": "MESH_INTERNAL", "resolution": "STATIC",
                "ports": [{"number": 8080, "name": "http", "protocol": "HTTP"}],
                "endpoints": endpoints.collect::<Vec<_>>(),
            },
        })
    }
}

/// The checkout behind an ingress gateway, with an overlay.
pub struct Shop<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The upstreams; none if pods answer.
    pub checkout: Service,
    /// The gateway.
    pub proxy: Proxy,
    /// The options of the gateway.
    pub options: Options,
    /// The edited files.
    pub folder: PathBuf,
    port: u16,
}

impl Shop<'_> {
    /// Applies an overlay with the image in the lab's registry, and starts a gateway.
    pub async fn open<'a>(lab: &'a Lab, overlay: &str) -> Result<Shop<'a>> {
        Shop::open_with(lab, overlay, &[], Options::gateway()).await
    }

    /// The same with more edits and other options of the gateway.
    pub async fn open_with<'a>(
        lab: &'a Lab,
        overlay: &str,
        edits: &[Edit],
        options: Options,
    ) -> Result<Shop<'a>> {
        let checkout = Service::start("checkout").await?;
        Shop::opened(lab, overlay, edits, options, checkout).await
    }

    /// The same without upstreams: the pods of Deployments and Services that a test applies answer.
    pub async fn over_pods<'a>(pods: &'a Pods, overlay: &str, edits: &[Edit]) -> Result<Shop<'a>> {
        pods.clear().await?;
        let checkout = Service {
            name: "checkout",
            versions: Vec::new(),
        };
        Shop::opened(pods.lab(), overlay, edits, Options::gateway(), checkout).await
    }

    async fn opened<'a>(
        lab: &'a Lab,
        overlay: &str,
        edits: &[Edit],
        options: Options,
        checkout: Service,
    ) -> Result<Shop<'a>> {
        lab.cluster.clear().await?;
        let [port] = free_ports()?;
        let image = lab.image();
        let mut all = vec![
            Edit::image(&image),
            Edit::replace("number: 80,", &format!("number: {port},")),
        ];
        all.extend_from_slice(edits);
        let folder = prepared(lab, &all)?;
        if !checkout.versions.is_empty() {
            lab.cluster.apply(&[checkout.entry()]).await?;
        }
        let overlay = folder.join(overlay);
        lab.cluster.apply_folder(&overlay).await?;
        let proxy = Proxy::start(lab, &options).await?;
        proxy.serves(port).await?;
        Ok(Shop {
            lab,
            checkout,
            proxy,
            options,
            folder,
            port,
        })
    }

    /// The address of the gateway.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A client of the gateway.
    #[must_use]
    pub fn client(&self) -> Http1 {
        Http1::new(self.addr())
    }

    /// Replaces the gateway by a new one.
    pub async fn restart(&mut self) -> Result<()> {
        let new = Proxy::launch(self.lab, &self.options).await;
        // The old one must release the port first.
        let old = std::mem::replace(&mut self.proxy, new?);
        old.stop().await;
        self.proxy.ready().await?;
        self.proxy.serves(self.port).await
    }

    /// Applies a merge patch to `pluginConfig`.
    pub async fn configure(&self, config: &Value) -> Result<()> {
        self.patch(&json!({"pluginConfig": config})).await
    }

    /// Applies a merge patch to the `spec` of the plugin.
    pub async fn patch(&self, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec});
        let cluster = &self.lab.cluster;
        cluster
            .patch("istio-system", "wasmplugin/divvy", &patch)
            .await
    }

    /// The `pluginConfig` in the API server.
    pub async fn configuration(&self) -> Result<Value> {
        let plugin = self.lab.cluster.get("istio-system", "wasmplugin/divvy");
        Ok(plugin.await?["spec"]["pluginConfig"].clone())
    }

    /// Sends requests with these headers until a response fulfils the condition.
    pub async fn until(
        &self,
        what: &str,
        headers: &[(&str, &str)],
        wanted: impl Fn(&Response) -> bool,
    ) -> Result<Response> {
        let client = self.client();
        eventually(what, PATIENCE, async || {
            let answer = client.get_with("/checkout", headers).await.ok()?;
            wanted(&answer).then_some(answer)
        })
        .await
        .with_context(|| format!("the gateway's log is in {}", self.proxy.dir.display()))
    }

    /// Sends requests with these headers until this version answers.
    pub async fn until_version(&self, version: &str, headers: &[(&str, &str)]) -> Result<Response> {
        let what = format!("a response of {version}");
        let answers = |response: &Response| served_by(response) == version;
        self.until(&what, headers, answers).await
    }
}

/// The version that answered.
#[must_use]
pub fn served_by(answer: &Response) -> &str {
    answer.header("x-shop-version").unwrap_or_default()
}
