//! `divvy_responses_total`: each request is counted once, in the expected class, however it ends.

use crate::setup::{
    Counts, Edge, PATIENCE, RESPONSES, Setup, all_users_get, configuration, rollout,
};
use anyhow::{Context, Result};
use divvy_lab::client::{Http2, Response, raw, request, websocket_handshake};
use divvy_lab::eventually;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NO_HEADERS: &[(&str, &str)] = &[];

/// An edge that serves all users v2, and its counts so far.
struct Watched {
    edge: Edge,
    http2: Http2,
    counted: Counts,
}

impl Watched {
    async fn start() -> Result<Watched> {
        let configuration = configuration(&[rollout("checkout", all_users_get("v2"))]);
        let setup = Setup::new(&configuration)?.workers(1);
        let setup = setup.bootstrap(|edge| Ok(edge.with_downstream_protocol()))?;
        let edge = setup.start().await?;
        Ok(Watched {
            http2: Http2::connect(edge.addr).await?,
            edge,
            counted: Counts::new(),
        })
    }

    /// Asserts that this class has grown by one, and no other.
    async fn assert_counted(&mut self, class: &str, what: &str) -> Result<()> {
        let labels = ["checkout", "v2", class].map(str::to_owned).to_vec();
        *self.counted.entry(labels).or_default() += 1;
        let counted = self.edge.wait_for_counts(RESPONSES, &self.counted);
        counted
            .await
            .map_err(|error| error.context(what.to_owned()))
    }

    /// A gRPC call with these knobs.
    async fn pay(&self, knobs: &[(&str, &str)]) -> Result<Response> {
        self.http2.grpc("/shop.Checkout/Pay", knobs, b"").await
    }

    /// Asserts the class, and code and response flags in Envoy's access log.
    async fn assert_ended(
        &mut self,
        class: &str,
        what: &str,
        code: u64,
        flags: &str,
    ) -> Result<()> {
        self.assert_counted(class, what).await?;
        assert_eq!(self.end().await?, (code, flags.to_owned()), "{what}");
        Ok(())
    }

    /// Code and response flags of the latest request in Envoy's access log.
    async fn end(&self) -> Result<(u64, String)> {
        let lines = usize::try_from(self.counted.values().sum::<u64>())?;
        let line = eventually("the access log", PATIENCE, async || {
            self.edge.envoy.access_log().get(lines - 1).cloned()
        });
        let line: Value = serde_json::from_str(&line.await?)?;
        // The filter's log callback has run as well, and did not count again.
        let counted = self.edge.counts(RESPONSES).await?;
        assert_eq!(counted, self.counted);
        let flags = line["flags"].as_str().unwrap_or_default();
        Ok((line["code"].as_u64().unwrap_or_default(), flags.to_owned()))
    }

    /// Waits until the upstream has received one more request than `before`.
    async fn arrived_after(&self, before: u64) -> Result<()> {
        eventually("the request upstream", PATIENCE, async || {
            (self.arrived() > before).then_some(())
        })
        .await
    }

    fn arrived(&self) -> u64 {
        self.edge.upstreams["v2"].requests()
    }

    /// Waits until the filter has seen this number of response headers.
    async fn begun(&self, responses: f64) -> Result<()> {
        eventually("the response headers", PATIENCE, async || {
            let metrics = self.edge.metrics().await.ok()?;
            let count = metrics.sum("divvy_request_duration_ms_count", &[]);
            (count == responses).then_some(())
        })
        .await
    }
}

#[tokio::test]
async fn a_response_is_counted_by_its_code() -> Result<()> {
    let mut watched = Watched::start().await?;
    for status in [
        200, 204, 206, 301, 304, 400, 404, 429, 499, 500, 501, 503, 599,
    ] {
        let class = format!("{}xx", status / 100);
        let path = format!("/?status={status}");
        assert_eq!(watched.edge.client.get(&path).await?.status, status);
        watched.assert_counted(&class, &path).await?;
        let over_http2 = request("GET", &path, NO_HEADERS, "")?;
        assert_eq!(watched.http2.send(over_http2).await?.status, status);
        watched.assert_counted(&class, &path).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_websocket_is_counted_once_when_it_opens() -> Result<()> {
    let mut watched = Watched::start().await?;
    let upgrade = |path| websocket_handshake(path, "u");
    // Closed by the client as soon as it is open.
    let answer = raw(watched.edge.addr, upgrade("/feed").as_bytes()).await?;
    assert_eq!(answer.status, 101);
    watched
        .assert_counted("1xx", "closed by the client")
        .await?;
    assert_eq!(watched.end().await?.0, 101);
    let answer = raw(watched.edge.addr, upgrade("/feed?status=403").as_bytes()).await?;
    assert_eq!(answer.status, 403);
    watched.assert_counted("4xx", "refused").await?;
    // Closed by the server after an echo of a masked "hi".
    let mut socket = TcpStream::connect(watched.edge.addr).await?;
    socket
        .write_all(upgrade("/feed?ws=drop").as_bytes())
        .await?;
    socket.write_all(b"\x81\x82\0\0\0\0hi").await?;
    let mut received = Vec::new();
    socket.read_to_end(&mut received).await?;
    assert!(
        received.ends_with(b"\x81\x02hi"),
        "{}",
        received.escape_ascii()
    );
    watched.assert_counted("1xx", "dropped by the server").await
}

#[tokio::test]
async fn a_grpc_call_is_counted_by_its_status_in_headers_or_trailers() -> Result<()> {
    let mut watched = Watched::start().await?;
    for status in 0..=16 {
        // Statuses that count as failures of the service.
        let class = match status {
            2 | 4 | 13 | 14 | 15 => "grpc_error",
            _ => "2xx",
        };
        let status = status.to_string();
        let in_trailers = [("x-test-grpc-status", &*status)];
        let in_headers = [
            ("x-test-grpc-status", &*status),
            ("x-test-grpc-trailers-only", ""),
        ];
        let answer = watched.pay(&in_trailers).await?;
        assert_eq!(answer.trailers["grpc-status"], *status);
        watched
            .assert_counted(class, &format!("{status} in trailers"))
            .await?;
        let answer = watched.pay(&in_headers).await?;
        assert_eq!(answer.header("grpc-status"), Some(&*status));
        watched
            .assert_counted(class, &format!("{status} in headers"))
            .await?;
    }
    // A call that is answered without gRPC is counted by its code.
    for (code, class) in [("302", "3xx"), ("404", "4xx"), ("503", "5xx")] {
        let knobs = [("x-test-status", code), ("x-test-grpc-status", "14")];
        watched.pay(&knobs).await?;
        watched.assert_counted(class, code).await?;
    }
    // A status means nothing without a gRPC response, whatever the client says of the request.
    for content_type in ["application/json", "application/grpc-web"] {
        let headers = [("content-type", content_type)];
        let like_grpc = request("GET", "/?header=grpc-status:14", &headers, "")?;
        watched.http2.send(like_grpc).await?;
        watched.assert_counted("2xx", content_type).await?;
    }
    Ok(())
}

/// Envoy responds for an upstream that fails before its response.
#[tokio::test]
async fn an_upstream_failure_before_the_response_is_a_5xx_or_a_reset() -> Result<()> {
    let mut watched = Watched::start().await?;
    let answer = watched.edge.client.get("/?reset=headers").await?;
    assert_eq!(answer.status, 503);
    watched.assert_ended("5xx", "reset", 503, "UC").await?;

    let reset = [("x-test-reset", "stream")];
    let answer = watched.pay(&reset).await?;
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, Some("14"))
    );
    watched
        .assert_ended("reset", "reset of a gRPC stream", 200, "UR")
        .await?;

    watched
        .edge
        .upstreams
        .remove("v2")
        .context("v2")?
        .stop()
        .await;
    let answer = watched.edge.raw_get("/", &[""; 0]).await?;
    assert_eq!(answer.status, 503);
    watched.assert_counted("5xx", "no upstream").await?;
    assert_eq!(watched.end().await?.0, 503);
    Ok(())
}

#[tokio::test]
async fn an_upstream_failure_in_the_body_is_counted_by_the_code() -> Result<()> {
    let mut watched = Watched::start().await?;
    watched
        .edge
        .client
        .get("/?reset=body")
        .await
        .expect_err("the body broke off");
    // In HTTP/1 this is a protocol error: the body is shorter than announced.
    watched
        .assert_ended("2xx", "reset in mid-body", 200, "UPE")
        .await?;

    // Envoy 1.36 resets the client's stream with NO_ERROR, which many clients treat as its end.
    let reset = request("GET", "/?reset=stream-body&size=1000", NO_HEADERS, "")?;
    let whole = watched.http2.send(reset).await;
    assert!(!whole.is_ok_and(|answer| answer.body.len() == 1000));
    watched
        .assert_ended("2xx", "reset of a stream in mid-body", 200, "UR")
        .await?;

    // A gRPC call without a status.
    let reset = [("x-test-reset", "stream-body")];
    let call = watched.pay(&reset).await;
    assert!(!call.is_ok_and(|answer| answer.trailers.contains_key("grpc-status")));
    watched
        .assert_ended("reset", "reset of a gRPC stream in mid-body", 200, "UR")
        .await?;
    Ok(())
}

/// A request whose client disconnects as soon as the upstream has received it or, with `begun`, as
/// soon as the filter has seen response headers.
async fn disconnect(
    watched: &Watched,
    kind: Client,
    path: &'static str,
    begun: Option<f64>,
) -> Result<()> {
    let before = watched.arrived();
    let (http2, addr) = (watched.http2.clone(), watched.edge.addr);
    let client = tokio::spawn(async move {
        match kind {
            Client::Http1 => {
                raw(
                    addr,
                    format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n").as_bytes(),
                )
                .await
            }
            Client::Http2 => http2.send(request("GET", path, NO_HEADERS, "")?).await,
            Client::Grpc => http2.grpc(path, &[], b"").await,
        }
    });
    watched.arrived_after(before).await?;
    if let Some(responses) = begun {
        watched.begun(responses).await?;
    }
    assert!(!client.is_finished());
    client.abort();
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Http1,
    Http2,
    Grpc,
}

#[tokio::test]
async fn a_client_disconnect_before_the_response_is_none() -> Result<()> {
    let mut watched = Watched::start().await?;
    for (client, flags) in [
        (Client::Http1, "DC"),
        (Client::Http2, "DR"),
        (Client::Grpc, "DR"),
    ] {
        disconnect(&watched, client, "/pay?delay=30s", None).await?;
        watched
            .assert_ended("none", &format!("{client:?}"), 0, flags)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_disconnect_in_the_body_is_counted_by_the_code() -> Result<()> {
    let mut watched = Watched::start().await?;
    for (client, flags, begun) in [(Client::Http1, "DC", 1.0), (Client::Http2, "DR", 2.0)] {
        disconnect(&watched, client, "/pay?body-delay=30s", Some(begun)).await?;
        watched
            .assert_ended("2xx", &format!("{client:?}"), 200, flags)
            .await?;
    }
    Ok(())
}

/// A gRPC stream that the client cancels: it has no status, and Envoy maps the code 200 to
/// "unknown".
#[tokio::test]
async fn a_cancelled_grpc_stream_is_not_an_error() -> Result<()> {
    const WATCH: &str = "/shop.Checkout/Watch?body-delay=30s";
    let mut watched = Watched::start().await?;
    disconnect(&watched, Client::Grpc, WATCH, Some(1.0)).await?;
    watched.assert_ended("2xx", "cancelled", 200, "DR").await?;

    // A client whose tasks end together with its connection.
    let process = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let addr = watched.edge.addr;
    let call =
        process.spawn(async move { Http2::connect(addr).await?.grpc(WATCH, &[], b"").await });
    watched.begun(2.0).await?;
    process.shutdown_background();
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
    watched.assert_ended("2xx", "killed", 200, "DC").await?;
    Ok(())
}
