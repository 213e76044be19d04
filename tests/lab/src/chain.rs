//! Three proxies in a row, as shipped: the edge, then two hops that are shown certificates.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bootstrap::Bootstrap;
use crate::client::{Http1, Response};
use crate::envoy::{Binary, Envoy, Options};
use crate::plugin::Plugin;
use crate::tls::{Authority, Identity};
use crate::upstream::Upstream;

/// Who the edge is to the second hop.
pub const GATEWAY: &str = "spiffe://cluster.local/ns/istio-system/sa/gateway";
/// Who the second hop is to the third.
pub const SECOND: &str = "spiffe://cluster.local/ns/shop/sa/checkout";
const THIRD: &str = "spiffe://cluster.local/ns/shop/sa/payments";
const STRANGER: &str = "spiffe://cluster.local/ns/default/sa/gateway";

/// Who speaks to the second hop.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// With the certificate of the edge.
    Gateway,
    /// With the certificate of somebody else.
    AnotherPrincipal,
    /// Without one.
    NoCertificate,
}

/// The running chain. Dropping it ends all of it.
pub struct Chain {
    /// The second hop.
    pub second: Envoy,
    /// Where the second hop's v2 is; its v1 is the third hop.
    pub stray: Upstream,
    first: Http1,
    doors: Http1,
    _others: ([Envoy; 3], Vec<Upstream>),
}

impl Chain {
    /// Starts it from its end, with a configuration for each proxy.
    pub async fn start(first: &Value, second: &Value, third: &Value) -> Result<Chain> {
        let authority = Authority::new()?;
        let [gateway, checkout, payments, stranger] = [
            authority.issue(GATEWAY)?,
            authority.issue(SECOND)?,
            authority.issue(THIRD)?,
            authority.issue(STRANGER)?,
        ];
        let mut shops = Vec::new();
        let mut bootstrap = hop(&authority, &payments, third)?;
        for version in ["v1", "v2"] {
            let shop = Upstream::start(version).await?;
            bootstrap = bootstrap.with_upstream(version, shop.addr())?;
            shops.push(shop);
        }
        let third = start(&bootstrap).await?;

        let stray = Upstream::start("stray").await?;
        let to_third = third.listener("hop").await?;
        let bootstrap = hop(&authority, &checkout, second)?;
        let bootstrap = lead(bootstrap, "v1", to_third, &authority, Some(&checkout))?;
        let second = start(&bootstrap.with_upstream("v2", stray.addr())?).await?;

        // Whatever the edge decides, the second hop is behind it.
        let to_second = second.listener("hop").await?;
        let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&first.to_string());
        let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.with_plugin(plugin);
        for version in ["v1", "v2", "v3"] {
            bootstrap = lead(bootstrap, version, to_second, &authority, Some(&gateway))?;
        }
        let edge = start(&bootstrap).await?;

        let mut bootstrap = doors()?;
        let keys = [
            ("v1", Some(&gateway)),
            ("v2", Some(&stranger)),
            ("v3", None),
        ];
        for (cluster, key) in keys {
            bootstrap = lead(bootstrap, cluster, to_second, &authority, key)?;
        }
        let doors = start(&bootstrap).await?;
        Ok(Chain {
            first: Http1::new(edge.listener("edge").await?),
            doors: Http1::new(doors.listener("edge").await?),
            second,
            stray,
            _others: ([edge, third, doors], shops),
        })
    }

    /// GET through all of it as this user, with an assignment of the client's own.
    pub async fn get(&self, user: &str, path: &str, assignment: &str) -> Result<Response> {
        let headers = [("x-user-id", user), ("x-divvy-assignment", assignment)];
        self.first.get_with(path, &headers).await
    }

    /// GET of the second hop by somebody, with an assignment.
    pub async fn through(&self, door: Door, assignment: &str) -> Result<Response> {
        let door = match door {
            Door::Gateway => "v1",
            Door::AnotherPrincipal => "v2",
            Door::NoCertificate => "v3",
        };
        let headers = [("x-door", door), ("x-divvy-assignment", assignment)];
        self.doors.get_with("/echo", &headers).await
    }
}

async fn start(bootstrap: &Bootstrap) -> Result<Envoy> {
    Envoy::start(&Binary::find()?, bootstrap, &Options::default()).await
}

/// The shipped inner proxy, with certificates of the test. It lets in whoever shows none, so that
/// it is divvy that has to tell them apart.
fn hop(authority: &Authority, own: &Identity, configuration: &Value) -> Result<Bootstrap> {
    let plugin = Plugin::load("envoy/plugin.yaml")?.with_configuration(&configuration.to_string());
    let mut bootstrap = Bootstrap::load("envoy/hop.yaml")?.with_plugin(plugin);
    let chain = &mut bootstrap.json()["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["transport_socket"] = authority.downstream(own, false);
    Ok(bootstrap)
}

/// A cluster that leads to a hop, and shows it this certificate.
fn lead(
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

/// A proxy without divvy that sends what it gets to the cluster that `x-door` names.
fn doors() -> Result<Bootstrap> {
    let mut bootstrap = Bootstrap::load("envoy/edge.yaml")?.without_http_filter("divvy")?;
    for manager in bootstrap.connection_managers()? {
        manager["early_header_mutation_extensions"] = json!([]);
        manager["route_config"]["virtual_hosts"][0]["routes"] = json!([
            {"match": {"prefix": "/"}, "route": {"cluster_header": "x-door"}},
        ]);
    }
    Ok(bootstrap)
}

/// Leaves the assignment on requests until divvy looks at it.
pub fn leave_assignment(bootstrap: &mut Bootstrap) -> Result<()> {
    for manager in bootstrap.connection_managers()? {
        let mutations =
            &mut manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
        let mutations = mutations.as_array_mut().context("early mutations")?;
        mutations.retain(|mutation| mutation["remove"] != "x-divvy-assignment");
    }
    Ok(())
}
