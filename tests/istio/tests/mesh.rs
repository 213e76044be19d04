//! The overlays `mesh` and `mesh-baggage`: the gateway decides about the checkout, and payments follow
//! over mutual TLS. The test acts as the checkout's application, which forwards the assignment, or the
//! baggage alone.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::free_ports;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, Proxy};
use divvy_istio_tests::shop::{Service, Shop, served_by};
use divvy_lab::client::Http1;
use divvy_lab::tls::Authority;
use serde_json::json;

const GATEWAY: &str = "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway";
const CHECKOUT: &str = "spiffe://cluster.local/ns/shop/sa/checkout";
const STRANGER: &str = "spiffe://cluster.local/ns/default/sa/other";
const PAYMENTS: &str = "payments.shop.svc.cluster.local";

/// A pod of the checkout: the listeners of its sidecar.
struct Pod {
    _proxy: Proxy,
    inbound: u16,
    outbound: SocketAddr,
}

struct Mesh<'a> {
    shop: Shop<'a>,
    /// The header that the application forwards.
    forwarded: &'static str,
    authority: Authority,
    pods: Vec<Pod>,
    payments: Service,
}

impl Mesh<'_> {
    async fn open<'l>(lab: &'l Lab, overlay: &str, forwarded: &'static str) -> Result<Mesh<'l>> {
        let authority = Authority::new()?;
        let gateway = authority.issue(GATEWAY)?;
        // Istio does this by itself for pods with injected sidecars.
        let host = "  host: checkout.shop.svc.cluster.local\n";
        let mutual = format!("{host}  trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL}}}}\n");
        let shop = Shop::open_with(
            lab,
            overlay,
            &[Edit::replace(host, &mutual)],
            Options::gateway().with_certificate(&gateway, &authority),
        )
        .await?;
        let payments = Service::start("payments").await?;
        // An outbound listener of a sidecar has the routes of services with the same port.
        let [port] = free_ports()?;
        let mut entry = payments.entry();
        entry["spec"]["ports"][0]["number"] = json!(port);
        let strict = json!({
            "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "shop"},
            "spec": {"mtls": {"mode": "STRICT"}},
        });
        lab.cluster.apply(&[entry, strict]).await?;
        let mut mesh = Mesh {
            shop,
            forwarded,
            authority,
            pods: Vec::new(),
            payments,
        };
        for number in 0..2 {
            let pod = mesh.pod(number, port).await?;
            mesh.pods.push(pod);
        }
        // The gateway reaches the checkout through the sidecars.
        let mut entry = mesh.shop.checkout.entry();
        for (number, pod) in mesh.pods.iter().enumerate() {
            entry["spec"]["endpoints"][number]["ports"]["http"] = json!(pod.inbound);
        }
        lab.cluster.apply(&[entry]).await?;
        let tester = [("x-canary", "true")];
        for (headers, version) in [(&[][..], "v1"), (&tester, "v2")] {
            mesh.shop.until_version(version, headers).await?;
        }
        Ok(mesh)
    }

    async fn pod(&self, number: u8, payments: u16) -> Result<Pod> {
        let app = &self.shop.checkout.versions[usize::from(number)];
        let version = app.version();
        let [inbound] = free_ports()?;
        // Different addresses, since both pods listen for payments on the same port.
        let own = format!("127.0.0.{}", number + 2);
        let listener = |number: u16, bind: &str| {
            json!({"port": {"number": number, "name": "http", "protocol": "HTTP"},
            "bind": bind, "captureMode": "NONE"})
        };
        let mut ingress = listener(inbound, "127.0.0.1");
        ingress["defaultEndpoint"] = json!(app.addr().to_string());
        let mut egress = listener(payments, &own);
        egress["hosts"] = json!(["shop/*"]);
        let sidecar = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
            "metadata": {"name": format!("checkout-{version}"), "namespace": "shop"},
            "spec": {
                "workloadSelector": {"labels": {"app": "checkout", "version": version}},
                "ingress": [ingress], "egress": [egress],
            },
        });
        let lab = self.shop.lab;
        lab.cluster.apply(&[sidecar]).await?;
        let identity = self.authority.issue(CHECKOUT)?;
        let options = Options::sidecar("checkout", version);
        let options = options.with_certificate(&identity, &self.authority);
        Ok(Pod {
            _proxy: Proxy::start(lab, &options).await?,
            inbound,
            outbound: SocketAddr::new(own.parse()?, payments),
        })
    }

    /// The version of the checkout, the assignment that its application receives, and the version
    /// of payments if the application forwards that.
    async fn journey(&self, headers: &[(&str, &str)]) -> Result<(String, Option<String>, String)> {
        let answer = self
            .shop
            .client()
            .get_with("/checkout?echo", headers)
            .await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        let version = served_by(&answer).to_owned();
        let seen = answer.json()?["headers"].clone();
        let seen = seen.as_array().context("a list")?.iter();
        let value = |name: &str| {
            let header = seen.clone().find(|header| header[0] == name)?;
            header[1].as_str().map(str::to_owned)
        };
        ensure!(
            value("x-divvy-route").is_none(),
            "the application received the route header"
        );
        let assignment = value("x-divvy-assignment");
        let pod = &self.pods[usize::from(version == "v2")];
        let forwarded = value(self.forwarded);
        let forwarded: Vec<_> = forwarded
            .iter()
            .map(|value| (self.forwarded, value.as_str()))
            .collect();
        let paid = self.pay(pod, &forwarded).await?;
        Ok((version, assignment, paid))
    }

    /// The version of payments for a request of a pod's application.
    async fn pay(&self, pod: &Pod, headers: &[(&str, &str)]) -> Result<String> {
        let mut all = vec![("host", PAYMENTS)];
        all.extend_from_slice(headers);
        let answer = Http1::new(pod.outbound).get_with("/pay", &all).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(served_by(&answer).to_owned())
    }
}

pub async fn payments_follow_the_decision_of_the_gateway_about_the_checkout(
    lab: &Lab,
) -> Result<()> {
    let mut mesh = Mesh::open(lab, "overlays/mesh", "x-divvy-assignment").await?;
    let mut on_v2 = 0;
    for user in 0..60 {
        let user = format!("user-{user}");
        let (checkout, assignment, payments) = mesh.journey(&[("x-user-id", &user)]).await?;
        let expected = format!("checkout={checkout};reason=split");
        assert_eq!(assignment, Some(expected), "{user}");
        assert_eq!(payments, checkout, "{user}");
        on_v2 += u32::from(checkout == "v2");
    }
    ensure!((1..60).contains(&on_v2), "{on_v2} of 60 users on v2");
    ensure!(mesh.payments.versions[1].requests() >= u64::from(on_v2));

    // The gateway removes forged headers.
    let forged = [
        ("x-divvy-assignment", "checkout=v2;reason=rule"),
        ("x-divvy-route", "v2"),
    ];
    let (checkout, _, payments) = mesh.journey(&forged).await?;
    assert_eq!((checkout.as_str(), payments.as_str()), ("v1", "v1"));
    // An application can forward an assignment but not choose a route.
    let pod = &mesh.pods[0];
    assert_eq!(mesh.pay(pod, &[("x-divvy-route", "v2")]).await?, "v1");
    let assignment = [("x-divvy-assignment", "checkout=v2;reason=split")];
    assert_eq!(mesh.pay(pod, &assignment).await?, "v2");
    // A client without a certificate has no access.
    let plain = Http1::new(SocketAddr::from(([127, 0, 0, 1], pod.inbound)));
    ensure!(
        plain.get("/checkout").await.is_err(),
        "the sidecar accepts plain text"
    );

    // The checkout does not trust a gateway with another principal.
    let stranger = mesh.authority.issue(STRANGER)?;
    mesh.shop.options = Options::gateway().with_certificate(&stranger, &mesh.authority);
    mesh.shop.restart().await?;
    let tester = [("x-canary", "true")];
    mesh.shop.until_version("v2", &tester).await?;
    for _ in 0..10 {
        let (checkout, assignment, payments) = mesh.journey(&tester).await?;
        assert_eq!((checkout.as_str(), assignment), ("v2", None));
        assert_eq!(payments, "v1");
    }
    Ok(())
}

pub async fn applications_that_forward_baggage_alone_carry_the_decision_on(
    lab: &Lab,
) -> Result<()> {
    let mesh = Mesh::open(lab, "overlays/mesh-baggage", "baggage").await?;
    let mut on_v2 = 0;
    for user in 0..40 {
        let user = format!("user-{user}");
        let (checkout, assignment, payments) = mesh.journey(&[("x-user-id", &user)]).await?;
        let expected = format!("checkout={checkout};reason=split");
        assert_eq!(assignment, Some(expected), "{user}");
        assert_eq!(payments, checkout, "{user}");
        on_v2 += u32::from(checkout == "v2");
    }
    ensure!((1..40).contains(&on_v2), "{on_v2} of 40 users on v2");

    // The gateway removes the member of a client and leaves the others.
    let member = "divvy=checkout%3Dv2%3Breason%3Dsplit";
    let forged = format!("tenant=7,{member}");
    let headers = [("baggage", forged.as_str())];
    let answer = mesh
        .shop
        .client()
        .get_with("/checkout?echo", &headers)
        .await?;
    assert_eq!(served_by(&answer), "v1");
    let seen = answer.json()?["headers"].to_string();
    ensure!(seen.contains("tenant=7"), "{seen}");
    ensure!(!seen.contains(member), "{seen}");
    // What the application itself forwards is trusted, under this name only.
    let pod = &mesh.pods[0];
    assert_eq!(mesh.pay(pod, &[("baggage", member)]).await?, "v2");
    let assignment = [("x-divvy-assignment", "checkout=v2;reason=split")];
    assert_eq!(mesh.pay(pod, &assignment).await?, "v1");
    Ok(())
}

/// A gateway's listeners are outbound as a sidecar's are, but its requests come from clients.
pub async fn a_gateway_does_not_trust_its_clients_as_a_workload(lab: &Lab) -> Result<()> {
    // Without the early removal, so that only divvy has to tell them apart.
    let edits = [Edit::replace(
        "- remove: x-divvy-assignment",
        "- remove: x-nothing",
    )];
    let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
    let mut configuration = shop.configuration().await?;
    configuration["trust"] = json!({"workload": true});
    configuration["version"] = json!("trusting");
    shop.configure(&configuration).await?;
    let warning = "trust.workload has no effect on a gateway";
    shop.proxy.logs(&[warning]).await?;
    shop.proxy.logs(&["\"trusting\" is in force"]).await?;
    let forged = [("x-divvy-assignment", "checkout=v2;reason=split")];
    let client = shop.client();
    for _ in 0..20 {
        let answer = client.get_with("/checkout", &forged).await?;
        assert_eq!(served_by(&answer), "v1");
        let told = answer.header("x-divvy-version");
        assert_eq!(told, Some("checkout=v1;reason=no_identity"));
    }
    Ok(())
}
