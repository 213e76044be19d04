//! The native module in a gateway, by `istio/examples/native-module.yaml`.

use anyhow::{Context, Result};
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::Options;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_istio_tests::users::expected;
use divvy_lab::{eventually, workspace_root};
use serde_json::Value;

const USERS: u32 = 200;
/// Istio's build of Envoy has the filter `istio.stats`, which removes the prefix. This Envoy has not.
const REQUESTS: &str = "envoy_istiocustom_divvy_requests_total";

pub async fn the_native_module_gives_users_the_versions_of_the_plugin(lab: &Lab) -> Result<()> {
    let folder = workspace_root().join("target").display().to_string();
    let mut options = Options::gateway();
    options.env = vec![("ENVOY_DYNAMIC_MODULES_SEARCH_PATH".into(), folder)];
    let shop = Shop::open_with(lab, "overlays/edge", &[], options).await?;
    let configuration = shop.configuration().await?;
    let file = shop.folder.join("examples/native-module.yaml");
    let file = file.display().to_string();
    let plugin = ["delete", "-n", "istio-system", "wasmplugin/divvy"];
    lab.cluster.run(&plugin).await?;
    lab.cluster.run(&["apply", "-f", &file]).await?;

    let filter = lab
        .cluster
        .get("istio-system", "envoyfilter/divvy-module")
        .await?;
    let filter = &filter["spec"]["configPatches"][0]["patch"]["value"]["typed_config"];
    let text = filter["filter_config"]["value"].as_str();
    let of_module: Value = serde_json::from_str(text.context("the filter has a text")?)?;
    assert_eq!(of_module, configuration, "not that of the overlay");

    let counted = async || -> Result<f64> {
        let metrics = shop.proxy.prometheus().await?;
        Ok(metrics.sum(REQUESTS, &[("divvy_rollout", "checkout")]))
    };
    eventually("the module instead of the plugin", PATIENCE, async || {
        let page = "/config_dump?resource=dynamic_listeners";
        let listeners = shop.proxy.get(page).await.ok()?;
        let has = |text: &str| listeners.contains(text);
        (has("DynamicModuleFilter") && !has("istio-system.divvy")).then_some(())
    })
    .await?;
    let client = shop.client();
    let before = counted().await?;
    for user in 0..USERS {
        let user = format!("user-{user}");
        let headers = [("x-user-id", &*user), ("x-divvy-route", "v2")];
        let answer = client.get_with("/checkout", &headers).await?;
        let (assignment, route) = expected(&configuration, &user)?;
        assert_eq!(Some(served_by(&answer)), route.as_deref(), "{user}");
        assert_eq!(answer.header("x-divvy-version"), assignment.as_deref());
    }
    let counted = counted().await? - before;
    assert!((counted - f64::from(USERS)).abs() < 0.5, "{counted}");
    Ok(())
}
