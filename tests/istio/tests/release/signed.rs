//! An image that cosign signed: a client verifies it, and Istio's agent pulls it by its digest.

use std::fs;

use anyhow::{Result, ensure};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::shop::served_by;

use crate::chart::install;
use crate::{finished, run, tool};

/// cosign in a folder of the lab, with the password of its key.
fn cosign(lab: &Lab, words: &[&str]) -> Result<std::process::Command> {
    let folder = lab.dir().join("cosign");
    fs::create_dir_all(&folder)?;
    let mut command = tool("cosign")?;
    command.current_dir(folder).args(words);
    command.env("COSIGN_PASSWORD", "a password of the test");
    Ok(command)
}

pub async fn a_signed_image_is_verified_and_pulled_by_digest(lab: &Lab) -> Result<()> {
    let digest = lab.registry.crane(&["digest", &lab.image()])?;
    let image = format!("{}/divvy@{digest}", lab.registry.host);
    let verify = [
        "verify",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        &image,
    ];
    run(cosign(lab, &["generate-key-pair"])?).await?;
    let before = finished(cosign(lab, &verify)?).await?;
    ensure!(!before.status.success(), "verified without a signature");

    let config = divvy_lab::workspace_root().join(".ci/release/signing.json");
    let config = config.display().to_string();
    let sign = [
        "sign",
        "--yes",
        "--key",
        "cosign.key",
        "--signing-config",
        &config,
        &image,
    ];
    run(cosign(lab, &sign)?).await?;
    let said = run(cosign(lab, &verify)?).await?;
    ensure!(said.contains(&digest), "{said}");

    // Another image of the same repository has no signature.
    let other = format!("{}/divvy:other", lab.registry.host);
    lab.registry.crane(&[
        "mutate",
        "--annotation",
        "a=b",
        &lab.image(),
        "--tag",
        &other,
    ])?;
    let unsigned = [
        "verify",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        &other,
    ];
    let refused = finished(cosign(lab, &unsigned)?).await?;
    ensure!(
        !refused.status.success(),
        "verified an image without a signature"
    );

    // The agent pulls exactly this image: the chart names it by its digest.
    let installed = install(lab).await?;
    let plugin = lab.cluster.get("istio-system", "wasmplugin/divvy").await?;
    assert_eq!(plugin["spec"]["url"], format!("oci://{image}"));
    let tester = [("x-canary", "true")];
    let answer = installed.client.get_with("/checkout", &tester).await?;
    assert_eq!(served_by(&answer), "v2");
    Ok(())
}
