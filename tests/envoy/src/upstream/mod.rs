//! The HTTP server behind Envoy in tests and demo: one version of a shop. Every response contains
//! the version's name in `x-shop-version`.
//!
//! One port serves HTTP/1.0, HTTP/1.1 and HTTP/2 with prior knowledge, without TLS. Request bodies
//! are read completely before the response.
//!
//! # Responses
//!
//! | request | response |
//! |---|---|
//! | any path, such as `/checkout` | one line of text: `shop v2: checkout` (`/` is `home`) |
//! | `/echo` | the request as JSON: `version`, `protocol`, `method`, `host`, `path` (with the query), `headers` and `trailers` (lists of `[name, value]`), `body_length` |
//! | `/events` | server-sent events, ids from 1, data `shop v2: event 1` |
//! | content-type `application/grpc…`, any path | HTTP 200, one message, `grpc-status` in the trailers |
//! | `upgrade: websocket`, any path, HTTP/1.1 | 101, then an echo of every text and binary message |
//! | `/_behave` | the behaviour of this upstream, see below |
//!
//! In the JSON a backslash is doubled and a byte that is not part of valid UTF-8 is written `\xff`,
//! so different bytes are different text. Header names are lower case; headers with the same name
//! are adjacent, in their order. The gRPC message is protobuf with the page's line as string field 1.
//!
//! # Knobs of one request
//!
//! A knob is a query parameter or, for clients without a query such as gRPC, a header
//! `x-test-<knob>`. The query takes precedence. Unknown keys are ignored; a known key with an invalid
//! value is answered with 400 and an error. Durations are `250ms`, `2s`, `1m`, `0`.
//!
//! | knob | effect |
//! |---|---|
//! | `status=503` | this status, 200 to 599 |
//! | `delay=250ms` | delay before the response headers |
//! | `body-delay=250ms` | delay between the response headers and the body |
//! | `size=100000` | a body of this many bytes instead of the page; no effect on gRPC |
//! | `echo` | the response of `/echo`, for any path |
//! | `header=name:value` | adds a response header; may be repeated |
//! | `close` | closes the connection after this response (HTTP/2: GOAWAY) |
//! | `reset=headers` | TCP reset instead of a response; on HTTP/2 it affects all streams |
//! | `reset=body` | TCP reset after half of the body, at most 16 KiB |
//! | `reset=stream`, `reset=stream-body` | the same with RST_STREAM, for one stream; on HTTP/1 as `headers` and `body` |
//! | `grpc-status=14`, `grpc-message=text` | status and message of a gRPC response; default: 0 and no message |
//! | `grpc-trailers-only` | a gRPC response without a message, with the status in the headers |
//! | `ws=drop` | closes the connection after the first echo, without a close frame |
//! | `ws=close` | sends a close frame after the first echo |
//! | `count=3`, `interval=100ms` | number of events, at most 65,535, and pause between two; default: 3 and 0 |
//!
//! A status of 400 or more refuses a WebSocket. With an error status the response to a gRPC request
//! is plain HTTP, like that of a proxy without gRPC support. Without a response body (HEAD, 204, 304,
//! WebSocket, `grpc-trailers-only`) the reset is sent before the headers. A reset before the headers
//! does not wait for the request's body. gRPC trailers require HTTP/2.
//!
//! # Behaviour of the upstream
//!
//! [`Upstream::behave`] or `POST /_behave?errors=5&delay=20ms` replaces the behaviour for all
//! requests; absent keys have their healthy default. Unknown keys are errors. `GET /_behave` returns
//! it in the form of the POST. [`Upstream::requests`] does not count either.
//!
//! | key | effect |
//! |---|---|
//! | `errors=5` | percentage of requests that fail |
//! | `status=503` | HTTP status of failures |
//! | `grpc-status=14` | gRPC status of failed gRPC requests, whose HTTP status is 200 |
//! | `resets=5` | percentage of requests that are reset; on HTTP/2 only their stream |
//! | `delay=20ms`, `body-delay=20ms` | as above |
//! | `slow=10` | percentage of requests that are delayed; default 100 |
//!
//! Shares are counted, not random: 5 % are 5 of any 100 consecutive requests. Requests with the knob
//! `status`, `grpc-status` or `reset` are excluded from the shares of errors and resets, requests with
//! a delay from the share of delays.

mod answer;
mod behaviour;
mod body;
mod connection;
mod grpc;
mod knobs;
mod page;
mod parse;
mod shop;
mod websocket;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use behaviour::Behaviour;
pub use hyper::StatusCode;
pub use shop::Shadow;
use shop::Shop;

use crate::bootstrap::Bootstrap;

/// Starts v1, v2 and v3 as the upstreams of the clusters with these names.
pub async fn start_versions(
    mut bootstrap: Bootstrap,
) -> Result<(Bootstrap, BTreeMap<&'static str, Upstream>)> {
    let mut upstreams = BTreeMap::new();
    for version in ["v1", "v2", "v3"] {
        let upstream = Upstream::start(version).await?;
        bootstrap = bootstrap.with_upstream(version, upstream.addr())?;
        upstreams.insert(version, upstream);
    }
    Ok((bootstrap, upstreams))
}

/// A running server. Dropping it stops it and closes its connections.
pub struct Upstream {
    addr: SocketAddr,
    shop: Arc<Shop>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts a version on a free port of 127.0.0.1.
    pub async fn start(version: &str) -> Result<Upstream> {
        Upstream::start_on(version, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a version on this address.
    pub async fn start_on(version: &str, addr: SocketAddr) -> Result<Upstream> {
        let shop = Arc::new(Shop::new(version)?);
        let listener = TcpListener::bind(addr).await.map_err(|error| {
            if error.kind() == io::ErrorKind::AddrInUse {
                anyhow!("port {} on {} is in use: stop the program that listens there, or choose another port for shop {version}", addr.port(), addr.ip())
            } else {
                anyhow!("shop {version} cannot listen on {addr}: {error}")
            }
        })?;
        let addr = listener
            .local_addr()
            .context("the listener has no address")?;
        let accepting = tokio::spawn(connection::accept(listener, shop.clone()));
        Ok(Upstream {
            addr,
            shop,
            accepting,
        })
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its version.
    pub fn version(&self) -> &str {
        self.shop.version()
    }

    /// Sets the behaviour from the next request on, and resets its shares.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shop.behave(behaviour);
    }

    /// The requests that Envoy mirrored to it so far.
    #[must_use]
    pub fn shadows(&self) -> Vec<Shadow> {
        self.shop.shadows()
    }

    /// Number of requests so far, including refused and reset ones, without those to `/_behave`.
    pub fn requests(&self) -> u64 {
        self.shop.requests()
    }

    /// Stops it and waits until its port is free.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // The result is the cancellation.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
