//! `make run-istio`: the shop on a real Istio with pods, to try with kubectl; Ctrl-C or SIGTERM ends it.

use std::process::ExitCode;

use anyhow::Result;
use divvy_istio_tests::harness::Common as _;
use divvy_istio_tests::lab::{Lab, signalled};
use divvy_istio_tests::pods::Pods;
use divvy_istio_tests::shop::Shop;
use divvy_istio_tests::{namespace, programs};
use divvy_lab::workspace_root;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let runtime = namespace::enter().and_then(|()| Ok(Runtime::new()?));
    let ending = runtime.and_then(|runtime| {
        runtime.block_on(async {
            // Dropping the other future ends all processes.
            tokio::select! {
                ending = run() => ending,
                signal = signalled() => signal,
            }
        })
    });
    match ending {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("divvy-istio-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    println!(
        "Starting an API server with controllers, istiod, a registry and a gateway, in a network namespace …"
    );
    let pods = Pods::start().await?;
    let shop = Shop::over_pods(&pods, "overlays/edge", &[]).await?;
    pods.deploy_checkout().await?;
    shop.until_version("v1", &[]).await?;
    shop.until_version("v2", &[("x-canary", "true")]).await?;
    println!("{}", guide(pods.lab(), &shop)?);
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
    let entry = namespace::entry();
    let user = match entry.contains("--user") {
        true => "",
        false => "as root, ",
    };
    let root = workspace_root();
    let plugin = root.join("istio/overlays/edge/divvy.yaml");
    let plugin = plugin.display();
    let weight = r#"[{"op": "replace", "path": "/spec/pluginConfig/rollouts/0/strategy/canary/weight", "value": 60}]"#;
    let mistake = weight.replace("60", "600");
    Ok(format!(
        "
The shop is at http://{shop_at}, behind an Istio gateway with divvy: {plugin}
It answers in its own network only. In another terminal, {user}start a shell there:

  {entry} env KUBECONFIG={kubeconfig} PATH={programs}:$PATH sh

Its pods, and more of them:

  kubectl -n shop get deployments,pods,endpointslices
  kubectl -n shop scale deployment/checkout-v2 --replicas=3

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
