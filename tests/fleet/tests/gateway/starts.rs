//! How the filter and its first configuration reach an Envoy of Envoy Gateway.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use divvy_istio_tests::command;
use divvy_lab::{eventually, workspace_root};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::lab::{Gateway, PATIENCE, replaced};
use crate::requests::{SHIPPED_WEIGHT, configuration, differs, until_in_force, with_weight};

/// A web server that answers each request with these bytes. Returns its port and the number of requests.
async fn web_server(bytes: Vec<u8>) -> Result<(u16, Arc<AtomicU32>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let requests = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The request of a client without a body is one packet.
            if stream.read(&mut [0; 4096]).await.is_err() {
                continue;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let length = bytes.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&bytes).await;
        }
    });
    Ok((port, requests))
}

pub async fn the_filter_comes_from_a_web_server_too(gateway: &Gateway) -> Result<()> {
    let module = workspace_root().join("target/divvy.wasm");
    let output = Command::new("sha256sum").arg(&module).output()?;
    let sum = String::from_utf8(output.stdout)?;
    let sum = sum.split_whitespace().next().context("a sum")?.to_owned();
    let (port, requests) = web_server(fs::read(&module)?).await?;

    let config = workspace_root().join("envoy/gateway/config.yaml");
    let arguments = format!(
        "render envoy-gateway {} --gateway shop -n shop --wasm-url http://127.0.0.1:{port}/divvy.wasm --wasm-sha256",
        config.display()
    );
    let arguments = arguments.split(' ').map(OsString::from);
    let render = |sum: &str| -> Result<String> {
        let arguments: Vec<_> = arguments.clone().chain([OsString::from(sum)]).collect();
        let output = command::divvy(&arguments)?.output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let put = |weight: u64, sum: &str| -> Result<()> {
        let rendered = with_weight(weight)(&render(sum)?)?;
        gateway.put(|text| {
            let begin = text.find("# divvy on all routes").context("divvy.yaml")?;
            Ok(format!("{}{rendered}", &text[..begin]))
        })
    };
    put(60, &sum)?;
    until_in_force(gateway, 60).await?;
    ensure!(requests.load(Ordering::Relaxed) > 0);

    // Another file than the one that was meant: requests pass without the filter, and the routes send them to stable.
    let wrong = sum.chars().rev().collect::<String>();
    put(70, &wrong)?;
    eventually(
        "stable for all users, without divvy",
        PATIENCE,
        async || {
            let client = gateway.client();
            for user in 0..50 {
                let user = user.to_string();
                let headers = [("x-user-id", &*user)];
                let answer = client.get_with("/checkout", &headers).await.ok()?;
                let is_stable =
                    answer.status == 200 && answer.header("x-shop-version") == Some("v1");
                if !is_stable || answer.header("x-divvy-version").is_some() {
                    return None;
                }
            }
            Some(())
        },
    )
    .await?;
    ensure!(!gateway.log("checksum").is_empty());
    gateway.put(|text| Ok(text.to_owned()))?;
    until_in_force(gateway, SHIPPED_WEIGHT).await
}

pub async fn an_envoy_that_starts_with_a_refused_configuration_serves_stable(
    gateway: &Gateway,
) -> Result<()> {
    let inert =
        async || Ok::<_, anyhow::Error>(gateway.metrics().await?.sum("divvy_config_inert", &[]));
    ensure!(inert().await? == 0.0);
    // Envoy Gateway ends the Envoy of a Gateway that is not its own.
    gateway.put(|text| replaced(text, "gatewayClassName: ", "gatewayClassName: other-"))?;
    eventually("the end of Envoy", PATIENCE, async || {
        gateway.metrics().await.is_err().then_some(())
    })
    .await?;
    gateway.put(with_weight(500))?;
    eventually("the inert mode of a new Envoy", PATIENCE, async || {
        (inert().await.ok()? == 1.0).then_some(())
    })
    .await?;
    let client = gateway.client();
    for user in 0..50 {
        let user = user.to_string();
        let headers = [("x-user-id", &*user), ("x-divvy-route", "checkout-v2")];
        let answer = client.get_with("/checkout", &headers).await?;
        ensure!(
            answer.status == 200 && answer.header("x-shop-version") == Some("v1"),
            "user {user}: {answer:?}"
        );
    }
    let lines = gateway.log("500 is not a percentage");
    ensure!(!lines.is_empty());
    // The repair needs no new Envoy.
    gateway.put(|text| Ok(text.to_owned()))?;
    until_in_force(gateway, SHIPPED_WEIGHT).await?;
    ensure!(inert().await? == 0.0);
    let found = differs(gateway, &configuration(SHIPPED_WEIGHT)?).await?;
    ensure!(found.is_none(), "{found:?}");
    Ok(())
}
