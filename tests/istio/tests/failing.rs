//! What users get when a part is missing: the rows of the table in `istio/README.md`. In every
//! one of them a client forges the route header, which changes nothing.

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

/// The status that everybody gets, and which version, whatever they forge.
async fn everybody_gets(shop: &Shop<'_>, status: u16, version: &str) -> Result<()> {
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

/// divvy decides: the rule for testers, stable for who has no identity, whatever they forge.
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

/// The shipped files with another fail strategy, and more edits.
fn under(strategy: &str, more: &[Edit]) -> Vec<Edit> {
    let to = format!("failStrategy: {strategy}");
    let mut edits = vec![Edit::replace("failStrategy: FAIL_OPEN", &to)];
    edits.extend_from_slice(more);
    edits
}

/// A gateway that starts while the image is not there.
async fn starts_without_image<'a>(lab: &'a Lab, strategy: &str) -> Result<Shop<'a>> {
    let absent = Edit::replace(&lab.image(), &format!("{}/absent:1", lab.registry.host));
    let edits = under(strategy, &[absent]);
    Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await
}

pub async fn a_new_pod_without_the_image_serves_stable_under_fail_open(lab: &Lab) -> Result<()> {
    let shop = starts_without_image(lab, "FAIL_OPEN").await?;
    everybody_gets(&shop, 200, "v1").await?;
    shop.proxy
        .says(&["error in converting the wasm config"])
        .await?;
    Ok(())
}

pub async fn a_new_pod_without_the_image_refuses_everybody_under_fail_close(
    lab: &Lab,
) -> Result<()> {
    let shop = starts_without_image(lab, "FAIL_CLOSE").await?;
    everybody_gets(&shop, 403, "").await
}

pub async fn a_new_pod_without_the_image_refuses_everybody_under_fail_reload(
    lab: &Lab,
) -> Result<()> {
    let shop = starts_without_image(lab, "FAIL_RELOAD").await?;
    everybody_gets(&shop, 403, "").await
}

/// A gateway that has the image and is told of one that is not there; and back.
async fn told_of_an_absent_image(lab: &Lab, strategy: &str, gets: (u16, &str)) -> Result<()> {
    let edits = under(strategy, &[]);
    let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
    divvy_decides(&shop).await?;
    let url = format!("oci://{}/absent:1", lab.registry.host);
    shop.patch(&json!({"url": url})).await?;
    let tester = [("x-canary", "true")];
    let told = |answer: &Response| (answer.status, served_by(answer)) == gets;
    shop.until("what is without it", &tester, told).await?;
    everybody_gets(&shop, gets.0, gets.1).await?;
    // The way back is the old url.
    shop.patch(&json!({"url": format!("oci://{}", lab.image())}))
        .await?;
    shop.until("divvy", &tester, |answer| served_by(answer) == "v2")
        .await?;
    divvy_decides(&shop).await
}

pub async fn a_running_pod_that_is_told_of_an_absent_image_serves_stable_under_fail_open(
    lab: &Lab,
) -> Result<()> {
    told_of_an_absent_image(lab, "FAIL_OPEN", (200, "v1")).await
}

pub async fn a_running_pod_that_is_told_of_an_absent_image_refuses_everybody_under_fail_close(
    lab: &Lab,
) -> Result<()> {
    told_of_an_absent_image(lab, "FAIL_CLOSE", (403, "")).await
}

pub async fn a_running_pod_that_is_told_of_an_absent_image_refuses_everybody_under_fail_reload(
    lab: &Lab,
) -> Result<()> {
    told_of_an_absent_image(lab, "FAIL_RELOAD", (403, "")).await
}

pub async fn with_the_registry_down_running_pods_decide_and_take_changes(lab: &Lab) -> Result<()> {
    let registry = Registry::start(lab.dir(), "registry-that-goes").await?;
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
    shop.until("the change", &tester, |answer| served_by(answer) == "v1")
        .await?;
    let alice = [("x-user-id", "alice")];
    let told = |answer: &Response| answer.header("x-divvy-version").is_some();
    shop.until("a decision", &alice, told).await?;
    // A new one has no module to begin with.
    shop.restart().await?;
    everybody_gets(&shop, 200, "v1").await
}

pub async fn with_istiod_down_running_pods_decide_on(lab: &Lab) -> Result<()> {
    let istiod = Istiod::start(lab.dir(), "istiod-that-goes", &lab.cluster).await?;
    let gateway = Options::gateway().asking(istiod.xds);
    let shop = Shop::open_with(lab, "overlays/edge", &[], gateway).await?;
    divvy_decides(&shop).await?;
    drop(istiod);
    for _ in 0..20 {
        divvy_decides(&shop).await?;
    }
    Ok(())
}

pub async fn a_mistake_costs_nobody_an_answer_under_any_fail_strategy(lab: &Lab) -> Result<()> {
    // FAIL_OPEN is in the tests of changes, with all that is logged and counted.
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let edits = under(strategy, &[]);
        let gateway = Options::gateway();
        let mut shop = Shop::open_with(lab, "overlays/edge", &edits, gateway).await?;
        divvy_decides(&shop).await?;
        let mut configuration = shop.configuration().await?;
        configuration["rollouts"][0]["stable"] = json!("v9");
        shop.configure(&configuration).await?;
        shop.proxy.says(&["\"v9\" is not one of v1, v2"]).await?;
        divvy_decides(&shop).await?;
        shop.restart().await?;
        everybody_gets(&shop, 200, "v1").await?;
    }
    Ok(())
}

pub async fn with_strict_a_new_pod_refuses_everybody_for_a_mistake(lab: &Lab) -> Result<()> {
    let mistake = [
        Edit::replace("  # vmConfig:", "  vmConfig:"),
        Edit::replace("stable: v1\n        rules:", "stable: v9\n        rules:"),
    ];
    for strategy in ["FAIL_OPEN", "FAIL_CLOSE", "FAIL_RELOAD"] {
        let edits = under(strategy, &mistake);
        let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
        everybody_gets(&shop, 500, "").await?;
    }
    Ok(())
}

/// A module that does as little as Envoy lets it and traps. divvy has no way to trap that anybody
/// knows of, so another one shows what Envoy then does.
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

/// With every request, and with one in three, of which the first in a new VM is none.
const ALWAYS: &str = "i32.const 1";
const AT_TIMES: &str = "i32.eqz (i32.rem_u (local.get $stream) (i32.const 3))";

/// A gateway whose filter traps.
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

pub async fn a_trapped_filter_is_passed_by_under_fail_open(lab: &Lab) -> Result<()> {
    let shop = traps(lab, "FAIL_OPEN", ALWAYS).await?;
    // The request that trapped gets an error, the later ones of that worker pass.
    settle(&shop, 200).await?;
    everybody_gets(&shop, 200, "v1").await
}

pub async fn a_trapped_filter_refuses_everybody_under_fail_close(lab: &Lab) -> Result<()> {
    let shop = traps(lab, "FAIL_CLOSE", ALWAYS).await?;
    settle(&shop, 503).await?;
    everybody_gets(&shop, 503, "").await
}

pub async fn a_trapped_filter_comes_back_under_fail_reload(lab: &Lab) -> Result<()> {
    let shop = traps(lab, "FAIL_RELOAD", AT_TIMES).await?;
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

/// Waits until many connections in a row, so those of both workers, get this status.
async fn settle(shop: &Shop<'_>, status: u16) -> Result<()> {
    divvy_lab::eventually(
        "the workers to agree",
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
