//! The shipped edge and two shipped hops in series, connected with mutual TLS.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bootstrap::Bootstrap;
use crate::client::{Http1, Response};
use crate::envoy::{Binary, Envoy, Options};
use crate::plugin::Plugin;
use crate::tls::{Authority, Identity};
use crate::upstream::Upstream;

/// SPIFFE identity of the edge.
pub const GATEWAY: &str = "spiffe://cluster.local/ns/istio-system/sa/gateway";
/// SPIFFE identity of the second hop.
pub const SECOND: &str = "spiffe://cluster.local/ns/shop/sa/checkout";
const THIRD: &str = "spiffe://cluster.local/ns/shop/sa/payments";
const OTHER: &str = "spiffe://cluster.local/ns/default/sa/gateway";

/// The client of the second hop.
#[derive(Clone, Copy, Debug)]
pub enum Caller {
    /// Presents the edge's certificate.
    Gateway,
    /// Presents a valid certificate with another SPIFFE identity.
    AnotherPrincipal,
    /// Presents no certificate.
    NoCertificate,
}

/// The running proxies and upstreams. Dropping it stops them.
pub struct Chain {
    /// The second hop.
    pub second: Envoy,
    /// The upstream behind the second hop's cluster v2; its cluster v1 is the third hop.
    pub second_v2: Upstream,
    edge: Http1,
    callers: Http1,
    _others: ([Envoy; 3], Vec<Upstream>),
}

impl Chain {
    /// Starts the proxies, last first, with these divvy configurations.
    pub async fn start(first: &Value, second: &Value, third: &Value) -> Result<Chain> {
        let authority = Authority::new()?;
        let [gateway, checkout, payments, other] = [
            authority.issue(GATEWAY)?,
            authority.issue(SECOND)?,
            authority.issue(THIRD)?,
            authority.issue(OTHER)?,
        ];
        let mut shops = Vec::new();
        let mut bootstrap = hop(&authority, &payments, third)?;
        for version in ["v1", "v2"] {
            let shop = Upstream::start(version).await?;
            bootstrap = bootstrap.with_upstream(version, shop.addr())?;
            shops.push(shop);
        }
        let third = start(&bootstrap).await?;

        let second_v2 = Upstream::start("second-v2").await?;
        let to_third = third.listener("hop").await?;
        let bootstrap = hop(&authority, &checkout, second)?;
        let bootstrap = connect(bootstrap, "v1", to_third, &authority, Some(&checkout))?;
        let second = start(&bootstrap.with_upstream("v2", second_v2.addr())?).await?;

        // All clusters of the edge are the second hop.
        let to_second = second.listener("hop").await?;
        let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&first.to_string());
        let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.with_plugin(plugin);
        for version in ["v1", "v2", "v3"] {
            bootstrap = connect(bootstrap, version, to_second, &authority, Some(&gateway))?;
        }
        let edge = start(&bootstrap).await?;

        let mut bootstrap = callers()?;
        let keys = [("v1", Some(&gateway)), ("v2", Some(&other)), ("v3", None)];
        for (cluster, key) in keys {
            bootstrap = connect(bootstrap, cluster, to_second, &authority, key)?;
        }
        let callers = start(&bootstrap).await?;
        Ok(Chain {
            edge: Http1::new(edge.listener("edge").await?),
            callers: Http1::new(callers.listener("edge").await?),
            second,
            second_v2,
            _others: ([edge, third, callers], shops),
        })
    }

    /// GET at the edge as this user, with this `x-divvy-assignment`.
    pub async fn get(&self, user: &str, path: &str, assignment: &str) -> Result<Response> {
        let headers = [("x-user-id", user), ("x-divvy-assignment", assignment)];
        self.edge.get_with(path, &headers).await
    }

    /// GET at the second hop with this `x-divvy-assignment`.
    pub async fn get_second_hop(&self, caller: Caller, assignment: &str) -> Result<Response> {
        let cluster = match caller {
            Caller::Gateway => "v1",
            Caller::AnotherPrincipal => "v2",
            Caller::NoCertificate => "v3",
        };
        let headers = [("x-cluster", cluster), ("x-divvy-assignment", assignment)];
        self.callers.get_with("/echo", &headers).await
    }
}

async fn start(bootstrap: &Bootstrap) -> Result<Envoy> {
    Envoy::start(&Binary::find()?, bootstrap, &Options::default()).await
}

/// The shipped hop with certificates of this test. Client certificates are optional, so that divvy
/// has to distinguish the callers.
fn hop(authority: &Authority, own: &Identity, configuration: &Value) -> Result<Bootstrap> {
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&configuration.to_string());
    let mut bootstrap = Bootstrap::load("envoy/hop.yaml")?.with_plugin(plugin);
    let chain = &mut bootstrap.json()["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["transport_socket"] = authority.downstream(own, false);
    Ok(bootstrap)
}

/// Connects a cluster to a hop, with this client certificate.
fn connect(
    bootstrap: Bootstrap,
    cluster: &str,
    to: SocketAddr,
    authority: &Authority,
    own: Option<&Identity>,
) -> Result<Bootstrap> {
    let mut bootstrap = bootstrap.with_upstream(cluster, to)?;
    let clusters = &mut bootstrap.json()["static_resources"]["clusters"];
    let mut clusters = clusters.as_array_mut().into_iter().flatten();
    let found = clusters.find(|found| found["name"] == cluster);
    found.context("a cluster")?["transport_socket"] = authority.upstream(own);
    Ok(bootstrap)
}

/// A proxy without divvy that routes to the cluster named in `x-cluster`.
fn callers() -> Result<Bootstrap> {
    let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.without_http_filter("divvy")?;
    for manager in bootstrap.connection_managers()? {
        manager["early_header_mutation_extensions"] = json!([]);
        manager["route_config"]["virtual_hosts"][0]["routes"] = json!([
            {"match": {"prefix": "/"}, "route": {"cluster_header": "x-cluster"}},
        ]);
    }
    Ok(bootstrap)
}

/// Stops the connection manager from removing `x-divvy-assignment` before divvy reads it.
pub fn keep_assignment_header(bootstrap: &mut Bootstrap) -> Result<()> {
    for manager in bootstrap.connection_managers()? {
        let mutations =
            &mut manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
        let mutations = mutations.as_array_mut().context("early mutations")?;
        mutations.retain(|mutation| mutation["remove"] != "x-divvy-assignment");
    }
    Ok(())
}
