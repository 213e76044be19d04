//! A gateway of the Gateway API with divvy, and services for its routes.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use divvy_istio_tests::files::{Edit, prepared};
use divvy_istio_tests::free_ports;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_lab::client::Http1;
use serde_json::{Value, json};

use super::{Change, Gateway, port_of, service_entry};

/// The gateway `shop`, for HTTPRoutes and GRPCRoutes.
pub struct GatewayOfApi<'l> {
    gateway: Gateway<'l>,
    proxy: Proxy,
    port: u16,
    services: BTreeSet<String>,
    serves: bool,
}

impl<'l> GatewayOfApi<'l> {
    /// Starts the gateway, with services of these names.
    pub async fn start(lab: &'l Lab, mut services: BTreeSet<String>) -> Result<GatewayOfApi<'l>> {
        lab.cluster.clear().await?;
        let [port] = free_ports()?;
        let edits = [
            Edit::image(&lab.image()),
            Edit::replace(
                "{istio: ingressgateway}",
                "{gateway.networking.k8s.io/gateway-name: shop}",
            ),
        ];
        let folder = prepared(lab, &edits)?;
        let pods = json!({"gateway.networking.k8s.io/gateway-name": "shop"});
        let listener = json!({"name": "http", "port": port, "protocol": "HTTP"});
        let mut all = vec![
            service("shop-istio", &pods, port),
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "metadata": {"name": "shop", "namespace": "shop"},
                "spec": {"gatewayClassName": "istio", "listeners": [listener]},
            }),
        ];
        let client = Http1::new(SocketAddr::from(([127, 0, 0, 1], port)));
        let gateway = Gateway::new(lab, client).await?;
        for name in &services {
            all.push(service(name, &json!({"app": name}), port_of(name)));
            all.push(service_entry(name, &gateway.upstreams));
        }
        lab.cluster.apply(&all).await?;
        for file in ["base/plugin.yaml", "base/strip.yaml"] {
            let file = folder.join(file).display().to_string();
            lab.cluster.run(&["apply", "-f", &file]).await?;
        }
        let options = Options {
            namespace: "shop",
            labels: pods,
            ..Options::gateway()
        };
        services.insert("shop-istio".to_owned());
        Ok(GatewayOfApi {
            gateway,
            proxy: Proxy::start(lab, &options).await?,
            port,
            services,
            serves: false,
        })
    }

    /// Compares the answers before and after a change, without routes of an earlier one.
    pub(super) async fn compare(&mut self, change: &Change<'_>) -> Result<()> {
        ensure!(!change.before.is_empty(), "{} is empty", change.source);
        self.gateway.clear("httproutes,grpcroutes").await?;
        if !self.serves {
            self.gateway.lab.cluster.apply(change.before).await?;
            self.proxy.serves(self.port).await?;
            self.serves = true;
        }
        self.gateway.compare(change).await
    }

    /// Deletes what is not deleted between tests.
    pub async fn end(self) -> Result<()> {
        for name in &self.services {
            let delete = ["delete", "-n", "shop", "service", name];
            self.gateway.lab.cluster.run(&delete).await?;
        }
        self.gateway.clear("httproutes,grpcroutes").await
    }
}

fn service(name: &str, selector: &Value, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": port}]},
    })
}
