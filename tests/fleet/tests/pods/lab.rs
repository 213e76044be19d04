//! The lab with pods itself: Deployments, Services, and requests to their pods.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use divvy_istio_tests::PATIENCE;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::shop::{Shop, served_by};
use divvy_lab::eventually;

const USERS: u64 = 400;

pub async fn a_canary_gets_its_share_of_users_on_the_pods_of_two_deployments(
    pods: &Pods,
) -> Result<()> {
    let cluster = &pods.lab().cluster;
    let shop = Shop::over_pods(pods, "overlays/edge", &[]).await?;
    pods.deploy_checkout().await?;
    let endpoints = "endpointslices -l kubernetes.io/service-name=checkout -o jsonpath={.items[*].endpoints[*].addresses[0]}";
    let addresses = eventually("endpoints of three pods", PATIENCE, async || {
        let arguments = ["get", "-n", "shop"].into_iter();
        let arguments: Vec<_> = arguments.chain(endpoints.split(' ')).collect();
        let text = cluster.run(&arguments).await.ok()?;
        let addresses: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        (addresses.len() == 3).then_some(addresses)
    })
    .await?;
    ensure!(
        addresses
            .iter()
            .all(|address| address.starts_with("10.244.")),
        "{addresses:?}"
    );

    shop.until_version("v1", &[]).await?;
    shop.until_version("v2", &[("x-canary", "true")]).await?;
    let before = [pods.requests("v1"), pods.requests("v2")];
    let client = shop.client();
    let mut served = BTreeMap::new();
    for user in 0..USERS {
        let user = user.to_string();
        let answer = client
            .get_with("/checkout", &[("x-user-id", &user)])
            .await?;
        ensure!(answer.status == 200, "{}", answer.text());
        *served.entry(served_by(&answer).to_owned()).or_insert(0) += 1;
    }
    let [v1, v2] = ["v1", "v2"].map(|version| served.get(version).copied().unwrap_or(0));
    // 20 % of 400 users, with four standard deviations.
    ensure!((48..=112).contains(&v2) && v1 + v2 == USERS, "{served:?}");
    let [old_v1, old_v2] = before;
    ensure!(pods.requests("v1") - old_v1 == v1 && pods.requests("v2") - old_v2 == v2);

    // Fewer pods: the endpoints follow.
    cluster
        .run(&[
            "scale",
            "-n",
            "shop",
            "deployment/checkout-v1",
            "--replicas=1",
        ])
        .await?;
    eventually("the deletion of a pod", PATIENCE, async || {
        let arguments = ["get", "pods", "-n", "shop", "-o", "name"];
        let names = cluster.run(&arguments).await.ok()?;
        (names.lines().count() == 2).then_some(())
    })
    .await?;
    shop.until_version("v1", &[]).await.map(drop)
}
