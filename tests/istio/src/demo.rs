//! `make run-istio`: the shop on a real Istio, to be tried with kubectl and curl, until Ctrl-C.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use divvy_istio_tests::lab::Lab;
use divvy_istio_tests::programs;
use divvy_istio_tests::shop::Shop;
use divvy_lab::process::kill_all;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = tokio::select! {
        outcome = run() => outcome,
        asked = end() => asked.map_err(Into::into),
    };
    // What was dropped is gone by now; this is for what a start had not handed over yet.
    kill_all();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("divvy-istio-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or what a program sends in its place.
async fn end() -> io::Result<()> {
    let [mut interrupt, mut terminate, mut hangup] = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

async fn run() -> Result<()> {
    println!("starting etcd, the Kubernetes API, istiod, a registry and an ingress gateway");
    let lab = Lab::start().await?;
    let shop = Shop::open(&lab, "overlays/edge").await?;
    let url = format!("http://{}/checkout", shop.addr());
    println!(
        r#"
The shop answers at {url}; istio/overlays/edge is applied, and a fifth of the users
have v2. In another terminal:

  export KUBECONFIG={kubeconfig}
  export PATH={bin}:$PATH
  export KUBECACHEDIR={dir}/kubectl

  for user in 1 2 3 4 5 6 7 8 9; do curl -s -H "x-user-id: $user" {url}; done
  curl -s -H 'x-canary: true' {url}
  curl -s -H 'x-divvy-route: v2' {url}         # forged, so it changes nothing

  kubectl get wasmplugin -n istio-system divvy -o yaml
  kubectl patch wasmplugin -n istio-system divvy --type json -p \
    '[{{"op": "replace", "path": "/spec/pluginConfig/rollouts/0/strategy/canary/weight", "value": 100}}]'
  kubectl patch wasmplugin -n istio-system divvy --type json -p \
    '[{{"op": "add", "path": "/spec/pluginConfig/rollouts/0/enabled", "value": false}}]'
  kubectl apply -k {files}/overlays/blue-green
  curl -s {admin}/stats/prometheus | grep ^divvy
  istioctl analyze --all-namespaces

Ctrl-C ends everything."#,
        kubeconfig = lab.cluster.kubeconfig().display(),
        bin = programs::find("bin")?.display(),
        dir = lab.dir().display(),
        files = shop.folder.display(),
        admin = shop.proxy.admin_url(),
    );
    shop.proxy.ended().await
}
