//! `make run-istio`: the shop on a real Istio, to try with kubectl; Ctrl-C or SIGTERM ends it.

use std::process::ExitCode;

use anyhow::Result;
use divvy_istio_tests::lab::{Lab, signalled};
use divvy_istio_tests::programs;
use divvy_istio_tests::shop::Shop;
use divvy_lab::workspace_root;

#[tokio::main]
async fn main() -> ExitCode {
    // Dropping the other future ends all processes.
    let ending = tokio::select! {
        ending = run() => ending,
        signal = signalled() => signal,
    };
    match ending {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("divvy-istio-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    println!("Starting an API server, istiod, a registry and a gateway …");
    let lab = Lab::start().await?;
    let shop = Shop::open(&lab, "overlays/edge").await?;
    println!("{}", guide(&lab, &shop)?);
    let mut mark = 0;
    loop {
        tokio::select! {
            exit = shop.proxy.wait_for_exit() => return exit,
            (complaints, next) = shop.proxy.complaints(mark) => {
                mark = next;
                for complaint in complaints {
                    println!("log of the gateway: {complaint}");
                }
            }
        }
    }
}

fn guide(lab: &Lab, shop: &Shop<'_>) -> Result<String> {
    let programs = programs::find("bin")?;
    let (programs, files) = (programs.display(), shop.folder.display());
    let kubeconfig = lab.cluster.kubeconfig().display();
    let (shop_at, admin) = (shop.addr(), shop.proxy.admin_port);
    let root = workspace_root();
    let plugin = root.join("istio/overlays/edge/divvy.yaml");
    let plugin = plugin.display();
    let weight = r#"[{"op": "replace", "path": "/spec/pluginConfig/rollouts/0/strategy/canary/weight", "value": 60}]"#;
    let mistake = weight.replace("60", "600");
    Ok(format!(
        "
The shop is at http://{shop_at}, behind an Istio gateway with divvy: {plugin}
In another terminal:

  export KUBECONFIG={kubeconfig} PATH={programs}:$PATH

Requests of one user, of a hundred users, and of a tester:

  curl -i -H 'x-user-id: 1' http://{shop_at}/checkout
  for i in $(seq 100); do curl -s -H \"x-user-id: $i\" http://{shop_at}/checkout; done | sort | uniq -c
  curl -s -H 'x-canary: true' http://{shop_at}/checkout

More users for v2, another overlay, and the first one again:

  kubectl -n istio-system patch wasmplugin divvy --type=json -p '{weight}'
  kubectl apply -k {files}/overlays/blue-green
  kubectl apply -k {files}/overlays/edge

A mistake, which divvy refuses; its log is printed here:

  kubectl -n istio-system patch wasmplugin divvy --type=json -p '{mistake}'

Metrics of the gateway:

  curl -s http://127.0.0.1:{admin}/stats/prometheus | grep ^divvy_

Ctrl-C ends everything."
    ))
}
