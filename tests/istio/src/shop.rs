//! The shop: what runs as pods elsewhere, and the files of `istio/` made ready for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use divvy_lab::client::{Http1, Response};
use divvy_lab::eventually;
use divvy_lab::upstream::Upstream;
use serde_json::{Value, json};

use crate::files::{Edit, prepared};
use crate::lab::Lab;
use crate::proxy::{Options, Proxy};
use crate::{PATIENCE, free_ports};

/// Two versions of a service, known to istiod.
pub struct Service {
    /// `checkout` for instance.
    pub name: &'static str,
    /// v1 and v2.
    pub versions: [Upstream; 2],
}

impl Service {
    /// Starts both versions.
    pub async fn start(name: &'static str) -> Result<Service> {
        let versions = [Upstream::start("v1").await?, Upstream::start("v2").await?];
        Ok(Service { name, versions })
    }

    /// What makes the endpoints known, in place of a Service and its pods.
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

/// The checkout behind the ingress gateway, with an overlay applied.
pub struct Shop<'a> {
    /// The lab it runs on.
    pub lab: &'a Lab,
    /// The two versions.
    pub checkout: Service,
    /// The gateway's proxy.
    pub proxy: Proxy,
    /// How that was started.
    pub options: Options,
    /// The folder that was applied.
    pub folder: PathBuf,
    port: u16,
}

impl Shop<'_> {
    /// `kubectl apply -k` of an overlay, image from the lab's registry, and a gateway.
    pub async fn open<'a>(lab: &'a Lab, overlay: &str) -> Result<Shop<'a>> {
        Shop::open_with(lab, overlay, &[], Options::gateway()).await
    }

    /// The same with more edits of the files, and a gateway of one's own.
    pub async fn open_with<'a>(
        lab: &'a Lab,
        overlay: &str,
        edits: &[Edit],
        options: Options,
    ) -> Result<Shop<'a>> {
        let shop = Shop::apply(lab, overlay, edits, options).await?;
        shop.proxy.serves(shop.port).await?;
        Ok(shop)
    }

    /// The same, without waiting for the gateway to answer.
    pub async fn apply<'a>(
        lab: &'a Lab,
        overlay: &str,
        edits: &[Edit],
        options: Options,
    ) -> Result<Shop<'a>> {
        lab.cluster.clear().await?;
        let checkout = Service::start("checkout").await?;
        let [port] = free_ports()?;
        let image = lab.image();
        let mut all = vec![
            Edit::image(&image),
            Edit::replace("number: 80,", &format!("number: {port},")),
        ];
        all.extend_from_slice(edits);
        let folder = prepared(lab, &all)?;
        lab.cluster.apply(&[checkout.entry()]).await?;
        let overlay = folder.join(overlay);
        lab.cluster.apply_folder(&overlay).await?;
        let proxy = Proxy::start(lab, &options).await?;
        Ok(Shop {
            lab,
            checkout,
            proxy,
            options,
            folder,
            port,
        })
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// A client of the gateway.
    #[must_use]
    pub fn client(&self) -> Http1 {
        Http1::new(self.addr())
    }

    /// Ends the gateway and starts it anew, as a new pod would.
    pub async fn restart(&mut self) -> Result<()> {
        let fresh = Proxy::launch(self.lab, &self.options).await;
        // The old one gives up the port first: two would share it.
        let old = std::mem::replace(&mut self.proxy, fresh?);
        old.stop().await;
        self.proxy.ready().await?;
        self.proxy.serves(self.port).await
    }

    /// Changes divvy's configuration by a merge patch of `pluginConfig`.
    pub async fn configure(&self, config: &Value) -> Result<()> {
        self.patch(&json!({"pluginConfig": config})).await
    }

    /// Changes the plugin by a merge patch of its `spec`.
    pub async fn patch(&self, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec});
        let cluster = &self.lab.cluster;
        cluster
            .patch("istio-system", "wasmplugin/divvy", &patch)
            .await
    }

    /// divvy's configuration, as the API server has it.
    pub async fn configuration(&self) -> Result<Value> {
        let plugin = self.lab.cluster.get("istio-system", "wasmplugin/divvy");
        Ok(plugin.await?["spec"]["pluginConfig"].clone())
    }

    /// Asks with these headers until the answer is as wanted.
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
}

/// Which version answered.
#[must_use]
pub fn served_by(answer: &Response) -> &str {
    answer.header("x-shop-version").unwrap_or_default()
}
