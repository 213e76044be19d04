//! Responses when a part fails: the rows of the table in `istio/README.md`. In every case forged
//! headers have no effect.

use std::fs;

use anyhow::{Result, ensure};
use divvy_istio_tests::files::Edit;
use divvy_istio_tests::lab::{Istiod, Lab, Registry};
use divvy_istio_tests::proxy::Options;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_lab::client::Response;
use serde_json::json;

const FORGED: [(&str, &str); 4] = [
    ("x-divvy-route", "v2"),
    ("x-divvy-assignment", "checkout=v2;reason=rule"),
    ("x-divvy-mirror", "v2"),
    ("x_divvy_route", "v2"),
];

/// All clients get this status and version, with and without forged headers.
async fn all_clients_get(shop: &Shop<'_>, status: u16, version: &str) -> Result<()> {
    let client = shop.client();
    for forged in [&[][..], &FORGED, &FORGED[..1]] {
        for _ in 0..6 {
            let answer = client.get_with("/checkout", forged).await?;
            let got = (answer.status, served_by(&answer));
            ensure!(got == (status, version), "{got:?} with {forged:?}");
        }
    }
    Ok(())
}

/// divvy decides: testers get v2, clients without an identity v1, with and without forged headers.
async fn divvy_decides(shop: &Shop<'_>) -> Result<()> {
    let client = shop.client();
    for forged in [&[][..], &FORGED] {
        for (tester, version) in [("true", "v2"), ("false", "v1")] {
            let mut headers = vec![("x-canary", tester)];
            headers.extend_from_slice(forged);
            let answer = client.get_with("/checkout", &headers).await?;
            let got = (answer.status, served_by(&answer));
            ensure!(got == (200, version), "{got:?} with {headers:?}");
        }
    }
    Ok(())
}

/// Edits that set the fail strategy, and more edits.
fn under(strategy: &str, more: &[Edit]) -> Vec<Edit> {
    let to = format!("failStrategy: {strategy}");
    let mut edits = vec![Edit::replace("failStrategy: FAIL_OPEN", &to)];
    edits.extend_from_slice(more);
    edits
}

pub async fn a_new_pod_without_the_image_follows_the_fail_strategy(lab: &Lab) -> Result<()> {
    for (strategy, status, version) in [
        ("FAIL_OPEN", 200, "v1"),
        ("FAIL_CLOSE", 403, ""),
        ("FAIL_RELOAD", 403, ""),
    ] {
        let absent = Edit::replace(&lab.image(), &format!("{}/absent:1", lab.registry.host));
        let edits = under(strategy, &[absent]);
        let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
        all_clients_get(&shop, status, version).await?;
        if strategy == "FAIL_OPEN" {
            let message = "error in converting the wasm config";
            shop.proxy.logs(&[message]).await?;
        }
    }
    Ok(())
}

pub async fn a_running_pod_with_an_absent_image_follows_the_fail_strategy(lab: &Lab) -> Result<()> {
    for (strategy, status, version) in [
        ("FAIL_OPEN", 200, "v1"),
        ("FAIL_CLOSE", 403, ""),
        ("FAIL_RELOAD", 403, ""),
    ] {
        let edits = under(strategy, &[]);
        let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
        divvy_decides(&shop).await?;
        let url = format!("oci://{}/absent:1", lab.registry.host);
        shop.patch(&json!({"url": url})).await?;
        let tester = [("x-canary", "true")];
        let fails = |answer: &Response| (answer.status, served_by(answer)) == (status, version);
        shop.until("the fail strategy", &tester, fails).await?;
        all_clients_get(&shop, status, version).await?;
        // Back to the existing image.
        let url = format!("oci://{}", lab.image());
        shop.patch(&json!({"url": url})).await?;
        shop.until_version("v2", &tester).await?;
        divvy_decides(&shop).await?;
    }
    Ok(())
}

pub async fn without_the_registry_running_pods_decide_and_accept_changes(lab: &Lab) -> Result<()> {
    let registry = Registry::start(lab.dir(), "registry-2").await?;
    registry.push(&divvy_lab::workspace_root().join("target/image"))?;
    let image = Edit::replace(&lab.image(), &registry.image());
    let mut shop = Shop::open_with(lab, "overlays/edge", &[image], Options::gateway()).await?;
    divvy_decides(&shop).await?;
    drop(registry);
    divvy_decides(&shop).await?;
    let mut configuration = shop.configuration().await?;
    configuration["rollouts"][0]["rules"] = json!([]);
    shop.configure(&configuration).await?;
    let tester = [("x-canary", "true")];
    shop.until_version("v1", &tester).await?;
    let alice = [("x-user-id", "alice")];
    let decided = |answer: &Response| answer.header("x-divvy-version").is_some();
    shop.until("a decision", &alice, decided).await?;
    // A new pod has no module.
    shop.restart().await?;
    all_clients_get(&shop, 200, "v1").await
}

pub async fn without_istiod_running_pods_decide(lab: &Lab) -> Result<()> {
    let istiod = Istiod::start(lab.dir(), "istiod-2", &lab.cluster).await?;
    let gateway = Options::gateway().with_istiod(istiod.xds);
    let shop = Shop::open_with(lab, "overlays/edge", &[], gateway).await?;
    divvy_decides(&shop).await?;
    drop(istiod);
    for _ in 0..20 {
        divvy_decides(&shop).await?;
    }
    Ok(())
}

pub async fn an_invalid_configuration_fails_no_request_under_any_fail_strategy(
    lab: &Lab,
) -> Result<()> {
    // The tests of changes cover FAIL_OPEN.
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let edits = under(strategy, &[]);
        let gateway = Options::gateway();
        let mut shop = Shop::open_with(lab, "overlays/edge", &edits, gateway).await?;
        divvy_decides(&shop).await?;
        let mut configuration = shop.configuration().await?;
        configuration["rollouts"][0]["stable"] = json!("v9");
        shop.configure(&configuration).await?;
        shop.proxy.logs(&["\"v9\" is not one of v1, v2"]).await?;
        divvy_decides(&shop).await?;
        shop.restart().await?;
        all_clients_get(&shop, 200, "v1").await?;
    }
    Ok(())
}

pub async fn with_strict_a_new_pod_with_an_invalid_configuration_refuses_all_requests(
    lab: &Lab,
) -> Result<()> {
    let invalid = [
        Edit::replace("  # vmConfig:", "  vmConfig:"),
        Edit::replace("stable: v1\n        rules:", "stable: v9\n        rules:"),
    ];
    for strategy in ["FAIL_OPEN", "FAIL_CLOSE", "FAIL_RELOAD"] {
        let edits = under(strategy, &invalid);
        let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
        all_clients_get(&shop, 500, "").await?;
    }
    Ok(())
}

/// A minimal module that traps, since divvy has no known way to trap.
const TRAPS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_headers") (param $stream i32) (param i32 i32) (result i32)
    (if (WHEN) (then unreachable))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1)))"#;

/// Traps with every request, or with every third request but not with the first one of a VM.
const ALWAYS: &str = "i32.const 1";
const EVERY_THIRD: &str = "i32.eqz (i32.rem_u (local.get $stream) (i32.const 3))";

/// A gateway with a filter that traps.
async fn traps<'a>(lab: &'a Lab, strategy: &str, when: &str) -> Result<Shop<'a>> {
    let module = lab.dir().join("traps.wasm");
    fs::write(&module, wat::parse_str(TRAPS.replace("WHEN", when))?)?;
    let file = Edit::replace(
        &format!("oci://{}", lab.image()),
        &format!("file://{}", module.display()),
    );
    let edits = under(strategy, &[file]);
    Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await
}

pub async fn after_a_trap_requests_bypass_the_filter_under_fail_open(lab: &Lab) -> Result<()> {
    let shop = traps(lab, "FAIL_OPEN", ALWAYS).await?;
    // The request that traps fails; later requests of the same worker succeed.
    settle(&shop, 200).await?;
    all_clients_get(&shop, 200, "v1").await
}

pub async fn after_a_trap_all_requests_are_refused_under_fail_close(lab: &Lab) -> Result<()> {
    let shop = traps(lab, "FAIL_CLOSE", ALWAYS).await?;
    settle(&shop, 503).await?;
    all_clients_get(&shop, 503, "").await
}

pub async fn after_a_trap_the_filter_starts_again_under_fail_reload(lab: &Lab) -> Result<()> {
    let shop = traps(lab, "FAIL_RELOAD", EVERY_THIRD).await?;
    for _ in 0..2 {
        for (status, version) in [(503, ""), (200, "v1")] {
            let wanted = |answer: &Response| {
                let other = [(503, ""), (200, "v1")].contains(&(answer.status, served_by(answer)));
                assert!(other, "{}: {}", answer.status, answer.text());
                (answer.status, served_by(answer)) == (status, version)
            };
            shop.until("the other state", &FORGED, wanted).await?;
        }
    }
    Ok(())
}

/// Waits until 16 connections in a row, so those of both workers, get this status.
async fn settle(shop: &Shop<'_>, status: u16) -> Result<()> {
    divvy_lab::eventually(
        "the same status from both workers",
        divvy_istio_tests::PATIENCE,
        async || {
            for _ in 0..16 {
                let answer = shop.client().get("/checkout").await.ok()?;
                if answer.status != status {
                    return None;
                }
            }
            Some(())
        },
    )
    .await
}
