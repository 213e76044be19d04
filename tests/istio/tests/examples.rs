//! The files of `istio/examples/`, which add to an overlay or replace parts of it.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::files::{Edit, prepared};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::{Service, Shop, served_by};
use divvy_istio_tests::users::expected;
use divvy_istio_tests::{PATIENCE, free_ports};
use divvy_lab::client::{Http1, Response};
use divvy_lab::eventually;
use divvy_lab::jwt::{Key, valid};
use serde_json::{Value, json};

/// `kubectl apply` of an example.
async fn apply(shop: &Shop<'_>, example: &str) -> Result<()> {
    let file = shop.folder.join("examples").join(example);
    let file = file.display().to_string();
    shop.lab.cluster.run(&["apply", "-f", &file]).await?;
    Ok(())
}

fn by(version: &str) -> impl Fn(&Response) -> bool {
    move |answer| answer.status == 200 && served_by(answer) == version
}

const TESTER: [(&str, &str); 1] = [("x-canary", "true")];

pub async fn a_mirror_copies_requests_of_stable_users_and_its_responses_are_ignored(
    lab: &Lab,
) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    apply(&shop, "mirror.yaml").await?;
    let mut configuration = shop.configuration().await?;
    let rollout = &mut configuration["rollouts"][0];
    rollout["strategy"]["canary"]["weight"] = json!(0);
    rollout["mirror"] = json!({"version": "v2", "percent": 100, "methods": ["GET", "HEAD"]});
    shop.configure(&configuration).await?;
    let user = [("x-user-id", "alice")];
    let (stable, canary) = (&shop.checkout.versions[0], &shop.checkout.versions[1]);
    // After the first copy both changes are active.
    eventually("a copy", PATIENCE, async || {
        let answer = shop.client().get_with("/checkout", &user).await.ok()?;
        (served_by(&answer) == "v1" && canary.requests() > 0).then_some(())
    })
    .await?;
    let client = shop.client();
    let settled = || async {
        // Envoy does not wait for copies.
        let counts = (stable.requests(), canary.requests());
        client.get_with("/settled", &TESTER).await?;
        ensure!(canary.requests() > counts.1, "no request of the tester");
        Ok(counts)
    };
    settled().await?;
    let before = stable.requests();
    let copies = canary.requests();
    for _ in 0..30 {
        let answer = client.get_with("/checkout", &user).await?;
        ensure!(by("v1")(&answer), "{:?}", answer.headers);
    }
    assert_eq!(stable.requests(), before + 30);
    eventually("a copy of each", PATIENCE, async || {
        (canary.requests() >= copies + 30).then_some(())
    })
    .await?;
    Ok(())
}

pub async fn one_route_with_cluster_header_serves_every_version(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let mut configuration = shop.configuration().await?;
    let cluster = "outbound|8080|{version}|checkout.shop.svc.cluster.local";
    configuration["rollouts"][0]["target"] = json!(cluster);
    // The plugin first: before the new route exists, the default route serves stable.
    shop.configure(&configuration).await?;
    shop.until("the default route", &TESTER, by("v1")).await?;
    apply(&shop, "cluster-header.yaml").await?;
    // Each worker gets the route at its own time, and a connection stays with one worker.
    eventually("the new route in all workers", PATIENCE, async || {
        for _ in 0..20 {
            let answer = shop.client().get_with("/checkout", &TESTER).await.ok()?;
            by("v2")(&answer).then_some(())?;
        }
        Some(())
    })
    .await?;
    let client = shop.client();
    for user in 0..200 {
        let user = format!("user-{user}");
        let headers = [
            ("x-user-id", user.as_str()),
            (
                "x-divvy-route",
                "outbound|8080|v2|checkout.shop.svc.cluster.local",
            ),
        ];
        let answer = client.get_with("/checkout", &headers).await?;
        let (assignment, _) = expected(&configuration, &user)?;
        let expected_header = format!("checkout={};reason=split", served_by(&answer));
        let status = answer.status;
        assert_eq!(
            assignment,
            Some(expected_header),
            "{user}: {status} {}",
            answer.text()
        );
    }
    Ok(())
}

pub async fn a_traffic_extension_works_like_a_wasm_plugin(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    shop.until("the plugin", &TESTER, by("v2")).await?;
    let plugin = ["delete", "-n", "istio-system", "wasmplugin", "divvy"];
    lab.cluster.run(&plugin).await?;
    shop.until("no plugin", &TESTER, by("v1")).await?;
    apply(&shop, "traffic-extension.yaml").await?;
    let extension = lab.cluster.get("istio-system", "trafficextension/divvy");
    let configuration = extension.await?["spec"]["wasm"]["pluginConfig"].clone();
    let decided = |answer: &Response| answer.header("x-divvy-version").is_some();
    shop.until("the extension", &[], decided).await?;
    let client = shop.client();
    let mut on_v2 = 0;
    for user in 0..200 {
        let user = format!("user-{user}");
        let answer = client
            .get_with("/checkout", &[("x-user-id", &user)])
            .await?;
        let (_, route) = expected(&configuration, &user)?;
        assert_eq!(Some(served_by(&answer)), route.as_deref(), "{user}");
        on_v2 += u32::from(served_by(&answer) == "v2");
    }
    ensure!((15..=65).contains(&on_v2), "{on_v2}");
    Ok(())
}

pub async fn a_claim_of_a_verified_token_is_the_identity(lab: &Lab) -> Result<()> {
    let key = Key::number(1);
    let edits = [Edit::replace(r#"{"keys":[]}"#, &key.jwks())];
    let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
    apply(&shop, "jwt.yaml").await?;
    let token = |claims| {
        let mut claims = valid(&claims);
        claims["iss"] = json!("https://login.example.com");
        format!("Bearer {}", key.sign(&claims))
    };
    let staff = token(json!({"sub": "other", "role": "staff"}));
    shop.until("staff", &[("authorization", staff.as_str())], by("v2"))
        .await?;
    let client = shop.client();
    let configuration = shop.configuration().await?;
    let mut as_header = configuration.clone();
    as_header["identity"] = json!([{"header": "x-user-id"}]);
    for user in 0..100 {
        let user = format!("user-{user}");
        let token = token(json!({"sub": user}));
        let answer = client
            .get_with("/checkout", &[("authorization", &token)])
            .await?;
        let (assignment, _) = expected(&as_header, &user)?;
        let header = answer.header("x-divvy-version").context("a decision")?;
        assert_eq!(Some(header), assignment.as_deref(), "{user}");
    }
    // A token with another signature is refused.
    let other = Key::number(2).sign(&valid(&json!({
        "iss": "https://login.example.com", "sub": "other", "role": "staff",
    })));
    let other = format!("Bearer {other}");
    let answer = client
        .get_with("/checkout", &[("authorization", &other)])
        .await?;
    assert_eq!(answer.status, 401);
    let answer = client.get_with("/checkout", &[("role", "staff")]).await?;
    assert_eq!(served_by(&answer), "v1");
    Ok(())
}

/// A Service of the shop for pods with these labels.
fn service(name: &str, selector: &Value, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": port}]},
    })
}

pub async fn routes_of_the_gateway_api_work_with_divvy(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    let [port] = free_ports()?;
    let edits = [
        Edit::image(&lab.image()),
        Edit::replace("port: 80,", &format!("port: {port},")),
        Edit::replace(
            "{istio: ingressgateway}",
            "{gateway.networking.k8s.io/gateway-name: shop}",
        ),
    ];
    let folder = prepared(lab, &edits)?;
    // Each version is a Service. Its pods are not in the cluster, so a ServiceEntry with the same
    // host has their addresses.
    let checkout = Service::start("checkout").await?;
    let mut all = Vec::new();
    for (number, name) in ["checkout-v1", "checkout-v2"].into_iter().enumerate() {
        let mut entry = checkout.entry();
        entry["metadata"]["name"] = json!(name);
        entry["spec"]["hosts"] = json!([format!("{name}.shop.svc.cluster.local")]);
        entry["spec"]["endpoints"] = json!([entry["spec"]["endpoints"][number]]);
        all.extend([service(name, &json!({"app": name}), 8080), entry]);
    }
    // On a cluster Istio creates this Service and its pods.
    let pods = json!({"gateway.networking.k8s.io/gateway-name": "shop"});
    all.push(service("shop-istio", &pods, port));
    lab.cluster.apply(&all).await?;
    for file in [
        "base/plugin.yaml",
        "base/strip.yaml",
        "examples/gateway-api.yaml",
    ] {
        let file = folder.join(file).display().to_string();
        lab.cluster.run(&["apply", "-f", &file]).await?;
    }
    let plugin = folder
        .join("overlays/edge/divvy.yaml")
        .display()
        .to_string();
    let patch = [
        "patch",
        "-f",
        &plugin,
        "--type=merge",
        "--patch-file",
        &plugin,
    ];
    lab.cluster.run(&patch).await?;

    let options = Options {
        namespace: "shop",
        labels: pods,
        ..Options::gateway()
    };
    let proxy = Proxy::start(lab, &options).await?;
    proxy.serves(port).await?;
    let client = Http1::new(SocketAddr::from(([127, 0, 0, 1], port)));
    eventually("divvy", PATIENCE, async || {
        let answer = client.get_with("/checkout", &TESTER).await.ok()?;
        by("v2")(&answer).then_some(())
    })
    .await?;
    for user in 0..100 {
        let user = format!("user-{user}");
        let headers = [("x-user-id", user.as_str()), ("x-divvy-route", "v2")];
        let answer = client.get_with("/checkout", &headers).await?;
        let expected_header = format!("checkout={};reason=split", served_by(&answer));
        assert_eq!(
            answer.header("x-divvy-version"),
            Some(expected_header.as_str())
        );
    }
    for name in ["checkout-v1", "checkout-v2", "shop-istio"] {
        lab.cluster
            .run(&["delete", "-n", "shop", "service", name])
            .await?;
    }
    Ok(())
}
