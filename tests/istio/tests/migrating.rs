//! From a weighted `VirtualService` inside the mesh to `istio/examples/mesh-canary.yaml`: before and
//! after, and the two mistakes of which MIGRATING.md warns. Three destinations become the overlay
//! `mesh-weighted`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::files::{Edit, prepared};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::{Service, served_by};
use divvy_istio_tests::users::expected;
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::Http1;
use divvy_lab::eventually;
use serde_json::{Value, json};

const PAYMENTS: &str = "payments.shop.svc.cluster.local";

/// The application of the checkout, which calls payments through its sidecar.
pub struct Caller {
    _proxy: Proxy,
    sidecar: SocketAddr,
}

impl Caller {
    pub async fn start(lab: &Lab, port: u16) -> Result<Caller> {
        // Addresses of other tests on this machine have the same ports.
        let own = "127.0.0.4";
        let egress = json!({
            "port": {"number": port, "name": "http", "protocol": "HTTP"},
            "bind": own, "captureMode": "NONE", "hosts": ["shop/*"],
        });
        let sidecar = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {"workloadSelector": {"labels": {"app": "checkout"}}, "egress": [egress]},
        });
        lab.cluster.apply(&[sidecar]).await?;
        let proxy = Proxy::start(lab, &Options::sidecar("checkout", "v1")).await?;
        Ok(Caller {
            _proxy: proxy,
            sidecar: SocketAddr::new(own.parse()?, port),
        })
    }

    /// Status and version of a call.
    pub async fn call(&self, path: &str, headers: &[(&str, &str)]) -> Result<(u16, String)> {
        let mut all = vec![("host", PAYMENTS)];
        all.extend_from_slice(headers);
        let answer = Http1::new(self.sidecar).get_with(path, &all).await?;
        Ok((answer.status, served_by(&answer).to_owned()))
    }

    /// The versions that answer 80 calls of one user.
    async fn versions(&self, headers: &[(&str, &str)]) -> Result<BTreeSet<String>> {
        let mut versions = BTreeSet::new();
        for _ in 0..80 {
            let (status, version) = self.call("/pay", headers).await?;
            ensure!(status == 200, "{status}");
            versions.insert(version);
        }
        Ok(versions)
    }

    /// Waits until this path has this status.
    async fn until(&self, path: &str, status: u16) -> Result<()> {
        eventually("the status of a call", PATIENCE, async || {
            let call = self.call(path, &[]).await.ok()?;
            (call.0 == status).then_some(())
        })
        .await
        .with_context(|| format!("{path} {status}"))
    }
}

/// The routes before: weights per request, for one path.
fn weights(destinations: &[(&str, u32)]) -> Vec<Value> {
    let to = |version: &str, weight: u32| json!({"destination": {"host": PAYMENTS, "subset": version}, "weight": weight});
    let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
    let routes = destinations
        .iter()
        .map(|(version, weight)| to(version, *weight));
    let subsets = destinations.iter().map(|(version, _)| subset(version));
    let meta = json!({"name": "payments", "namespace": "shop"});
    vec![
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta,
            "spec": {"hosts": [PAYMENTS], "gateways": ["mesh"], "http": [{
                "match": [{"uri": {"prefix": "/pay"}}],
                "route": routes.collect::<Vec<_>>(),
            }]},
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta,
            "spec": {"host": PAYMENTS, "subsets": subsets.collect::<Vec<_>>()},
        }),
    ]
}

async fn apply_example(lab: &Lab, edits: &[Edit]) -> Result<()> {
    let mut all = vec![Edit::image(&lab.image())];
    all.extend_from_slice(edits);
    let file = prepared(lab, &all)?.join("examples/mesh-canary.yaml");
    let file = file.display().to_string();
    lab.cluster.run(&["apply", "-f", &file]).await.map(drop)
}

pub async fn weights_of_a_mesh_service_become_a_canary_in_the_sidecars_of_its_callers(
    lab: &Lab,
) -> Result<()> {
    lab.cluster.clear().await?;
    let payments = Service::start("payments").await?;
    // An outbound listener of a sidecar has the routes of services with the same port.
    let [port] = free_ports()?;
    let mut entry = payments.entry();
    entry["spec"]["ports"][0]["number"] = json!(port);
    let mut before = weights(&[("v1", 80), ("v2", 20)]);
    before.push(entry);
    lab.cluster.apply(&before).await?;
    let caller = Caller::start(lab, port).await?;
    let both = BTreeSet::from(["v1", "v2"].map(str::to_owned));
    let stable = BTreeSet::from(["v1".to_owned()]);

    // Before: each call of a user draws again, and other paths are 404.
    caller.until("/pay", 200).await?;
    let user = [("x-user-id", "1")];
    assert_eq!(caller.versions(&user).await?, both);
    assert_eq!(caller.call("/other", &[]).await?.0, 404);

    // A plugin beside the called service does not choose the route.
    let callee = Edit::replace(
        "matchLabels: {app: checkout}      # the callers, not payments",
        "matchLabels: {app: payments}",
    );
    apply_example(lab, &[callee]).await?;
    eventually("the routes of the example", PATIENCE, async || {
        (caller.versions(&[]).await.ok()? == stable).then_some(())
    })
    .await?;
    for user in 0..40 {
        let user = format!("user-{user}");
        let call = caller.call("/pay", &[("x-user-id", &user)]).await?;
        assert_eq!(call, (200, "v1".to_owned()), "{user}");
    }

    // After: users keep a version, calls without a user draw, other paths are still 404.
    apply_example(lab, &[]).await?;
    eventually("divvy in the sidecar", PATIENCE, async || {
        (caller.versions(&[]).await.ok()? == both).then_some(())
    })
    .await?;
    let mut all = BTreeSet::new();
    for user in 0..20 {
        let user = format!("user-{user}");
        let forged = [("x-user-id", user.as_str()), ("x-divvy-route", "v2")];
        let own = caller.call("/pay", &[("x-user-id", &user)]).await?;
        for _ in 0..3 {
            assert_eq!(caller.call("/pay", &forged).await?, own, "{user}");
        }
        all.insert(own.1);
    }
    assert_eq!(all, both);
    assert_eq!(caller.call("/other", &[]).await?.0, 404);

    // Without the path in the routes and in the rollout, other paths become reachable.
    let without_path = [
        Edit::replace(
            "        - uri: {prefix: /pay}\n          headers",
            "        - headers",
        ),
        Edit::replace("      match:\n        - uri: {prefix: /pay}\n", ""),
        Edit::replace("            path: {prefix: /pay}\n", ""),
    ];
    apply_example(lab, &without_path).await?;
    caller.until("/other", 200).await
}

pub async fn three_weighted_destinations_become_a_version_for_each_user(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    let versions = ["v1", "v2", "v3"];
    let payments = Service::start_versions("payments", &versions).await?;
    let [port] = free_ports()?;
    let mut entry = payments.entry();
    entry["spec"]["ports"][0]["number"] = json!(port);
    let mut before = weights(&[("v1", 80), ("v2", 15), ("v3", 5)]);
    before.push(entry);
    lab.cluster.apply(&before).await?;
    let caller = Caller::start(lab, port).await?;
    let all = BTreeSet::from(versions.map(str::to_owned));

    // Before: a user gets any version. Not all of three in 80 calls: once in 60 times.
    caller.until("/pay", 200).await?;
    let user = [("x-user-id", "1")];
    eventually("all versions for one user", PATIENCE, async || {
        (caller.versions(&user).await.ok()? == all).then_some(())
    })
    .await?;

    let folder = prepared(lab, &[Edit::image(&lab.image())])?;
    let overlay = folder.join("overlays/mesh-weighted");
    lab.cluster.apply_folder(&overlay).await?;
    let plugin = lab.cluster.get("shop", "wasmplugin/divvy-payments").await?;
    let mut configuration = plugin["spec"]["pluginConfig"].clone();
    // The library decides without the host of the calls.
    configuration["rollouts"][0]["match"] = json!([{"path": {"prefix": "/"}}]);
    let version_of = |user: &str| -> Result<String> {
        let (_, route) = expected(&configuration, user)?;
        route.context("a route")
    };
    let users: Vec<_> = (0..300).map(|user| format!("user-{user}")).collect();
    let third = users
        .iter()
        .find(|user| version_of(user).is_ok_and(|version| version == "v3"));
    let third = third.context("a user of v3")?;
    eventually("divvy in the sidecar", PATIENCE, async || {
        let mut calls = BTreeSet::new();
        for _ in 0..20 {
            calls.insert(caller.call("/pay", &[("x-user-id", third)]).await.ok()?);
        }
        (calls == BTreeSet::from([(200, "v3".to_owned())])).then_some(())
    })
    .await?;

    // After: each user has one version, whatever route header the call carries.
    let mut counts = [0_u32; 3];
    for user in &users {
        let version = version_of(user)?;
        let forged = [("x-user-id", user.as_str()), ("x-divvy-route", "v2")];
        for headers in [&forged[..1], &forged] {
            let call = caller.call("/pay", headers).await?;
            assert_eq!(call, (200, version.clone()), "{user}");
        }
        let place = versions.iter().position(|name| *name == version);
        counts[place.context("a version")?] += 1;
    }
    // 80, 15 and 5 % of 300, within four standard errors.
    for (count, expected, error) in [(counts[0], 240, 7), (counts[1], 45, 7), (counts[2], 15, 4)] {
        assert!(count.abs_diff(expected) <= 4 * error, "{counts:?}");
    }
    // Calls without a user still draw.
    eventually("all versions without a user", PATIENCE, async || {
        (caller.versions(&[]).await.ok()? == all).then_some(())
    })
    .await
}
