//! The files themselves: the API server, `istioctl analyze`, and the image.

use std::collections::BTreeSet;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use divvy_istio_tests::files::{Edit, SHIPPED_IMAGE, prepared, shipped};
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::proxy::{Options, processes_in};
use divvy_istio_tests::shop::Shop;
use divvy_lab::workspace_root;
use serde_json::{Value, json};

pub async fn the_api_server_accepts_every_file(lab: &Lab) -> Result<()> {
    lab.cluster.clear().await?;
    let root = workspace_root().join("istio");
    let mut applied = 0;
    for file in shipped()? {
        let name = file.file_name().and_then(|name| name.to_str());
        let folder = root.join(&file);
        let folder = folder.parent().context("a folder")?;
        // Files of a kustomization may be patches, so the kustomization is applied.
        if folder.ends_with("admission/cert-manager") {
            // This lab does not have the kinds of cert-manager.
            let path = folder.display().to_string();
            let built = lab.cluster.run(&["kustomize", &path]).await?;
            ensure!(built.contains("inject-ca-from: istio-system/divvy-admission"));
            continue;
        }
        // Nor those of Argo and Flagger; tests/fleet applies the folders.
        let engines = [("argo", "kind: Rollout"), ("flagger", "kind: Canary")];
        let engine = engines.iter().find(|(name, _)| folder.ends_with(name));
        if let Some((_, kind)) = engine {
            let path = folder.display().to_string();
            let built = lab.cluster.run(&["kustomize", &path]).await?;
            ensure!(built.contains(kind));
            continue;
        }
        let (flag, path) = match name {
            Some("kustomization.yaml") => ("-k", folder.to_owned()),
            // Not an object of the API; istiod reads it in this lab.
            Some("mesh-config.yaml") => continue,
            // Rules of Prometheus, and the kind of an operator that this cluster does not have.
            _ if file.starts_with("prometheus") => continue,
            _ if folder.join("kustomization.yaml").exists() => continue,
            _ => ("-f", root.join(&file)),
        };
        let path = path.display().to_string();
        let arguments = ["apply", "--dry-run=server", flag, &path];
        let output = lab.cluster.run(&arguments).await?;
        ensure!(output.contains("(server dry run)"), "{path}: {output}");
        applied += 1;
    }
    ensure!(applied >= 10, "{applied} files");
    Ok(())
}

/// The messages of `istioctl analyze` about the applied objects, around which are Services and pods of these versions.
pub async fn findings(lab: &Lab, versions: &[&str]) -> Result<Vec<Value>> {
    let around = around(versions);
    for namespace in ["shop", "default"] {
        let label = [
            "label",
            "namespace",
            namespace,
            "istio-injection=enabled",
            "--overwrite",
        ];
        lab.cluster.run(&label).await?;
    }
    lab.cluster.apply(&around).await?;
    let messages = lab.cluster.analyze().await;
    for namespace in ["istio-system", "shop"] {
        let kinds = [
            "delete",
            "-n",
            namespace,
            "pods,services",
            "--all",
            "--force",
            "--grace-period=0",
        ];
        lab.cluster.run(&kinds).await?;
    }
    Ok(serde_json::from_str(&messages?)?)
}

/// The gateway, and the services of the shop with these versions.
fn around(versions: &[&str]) -> Vec<Value> {
    let gateway = json!({"app": "istio-ingressgateway", "istio": "ingressgateway"});
    let mut around = vec![
        service("istio-system", "istio-ingressgateway", 80),
        pod("istio-system", gateway),
    ];
    for app in ["checkout", "payments"] {
        around.push(service("shop", app, 8080));
        for version in versions {
            around.push(pod("shop", json!({"app": app, "version": version})));
        }
    }
    around
}

/// A Pod object, which no kubelet runs here.
fn pod(namespace: &str, labels: Value) -> Value {
    let name = labels["app"].as_str().unwrap_or_default();
    let version = labels["version"].as_str().unwrap_or("v0");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{name}-{version}"), "namespace": namespace, "labels": labels,
            "annotations": {"sidecar.istio.io/status": "{}"}},
        "spec": {"containers": [{"name": "istio-proxy", "image": "none"}]},
    })
}

fn service(namespace: &str, name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port}]},
    })
}

pub async fn istioctl_analyze_finds_nothing_in_any_overlay(lab: &Lab) -> Result<()> {
    let mut found = Vec::new();
    let overlays = fs::read_dir(workspace_root().join("istio/overlays"))?;
    let overlays = overlays.map(|entry| entry.map(|entry| entry.file_name()));
    let overlays = overlays.collect::<Result<BTreeSet<_>, _>>()?;
    ensure!(overlays.len() >= 9, "{overlays:?}");
    for overlay in overlays {
        lab.cluster.clear().await?;
        let folder = prepared(lab, &[Edit::image(SHIPPED_IMAGE)])?;
        lab.cluster
            .apply_folder(&folder.join("overlays").join(&overlay))
            .await?;
        let messages = findings(lab, &["v1", "v2", "v3"]).await?;
        found.extend(
            messages
                .iter()
                .map(|message| format!("{}: {message}", overlay.display())),
        );
    }
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

pub async fn the_image_is_reproducible(lab: &Lab) -> Result<()> {
    let root = workspace_root();
    let digest = |folder: &str| -> Result<String> {
        let folder = lab.dir().join(folder);
        let output = Command::new("python3")
            .current_dir(&root)
            .args(["istio/image.py", "target/divvy.wasm", "LICENSE"])
            .args(["istio/THIRD-PARTY.txt", env!("CARGO_PKG_VERSION")])
            .arg(&folder)
            // Neither may have an effect.
            .env("TZ", "Pacific/Apia")
            .env("PYTHONHASHSEED", "random")
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let first = digest("image-1")?;
    assert_eq!(first, digest("image-2")?);
    // The pushed image of `make image`.
    let pushed = lab.registry.crane(&["digest", &lab.image()])?;
    assert_eq!(pushed, first);
    let manifest: Value = serde_json::from_str(&lab.registry.crane(&["manifest", &lab.image()])?)?;
    let license = &manifest["annotations"]["org.opencontainers.image.licenses"];
    assert_eq!(license, "Apache-2.0");
    // The filter does not contain paths of the build machine.
    let wasm = fs::read(root.join("target/divvy.wasm"))?;
    for place in [root.display().to_string(), env::var("HOME")?] {
        let place = format!("{place}/");
        let place = place.as_bytes();
        ensure!(!wasm.windows(place.len()).any(|window| window == place));
    }
    Ok(())
}

pub async fn an_image_can_be_pulled_by_digest(lab: &Lab) -> Result<()> {
    let digest = lab.registry.crane(&["digest", &lab.image()])?;
    let by_digest = format!("{}/divvy@{digest}", lab.registry.host);
    let edits = [Edit::replace(&lab.image(), &by_digest)];
    let shop = Shop::open_with(lab, "overlays/edge", &edits, Options::gateway()).await?;
    let tester = [("x-canary", "true")];
    shop.until_version("v2", &tester).await?;
    Ok(())
}

pub async fn dropping_a_proxy_ends_its_envoy(lab: &Lab) -> Result<()> {
    let shop = Shop::open(lab, "overlays/edge").await?;
    let (dir, envoy) = (shop.proxy.dir.clone(), shop.proxy.envoy_pid()?);
    ensure!(alive(envoy), "Envoy does not run");
    drop(shop);
    divvy_lab::eventually("Envoy to end", divvy_istio_tests::PATIENCE, async || {
        (!alive(envoy)).then_some(())
    })
    .await?;
    ensure!(processes_in(&dir).is_empty());
    Ok(())
}

fn alive(pid: u32) -> bool {
    // A zombie process has ended.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
