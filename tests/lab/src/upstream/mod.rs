//! The real small server that stands behind Envoy, in the tests and in the demo: one version
//! of a small shop. Start one per version; each answers with its own name, so that whoever
//! asks sees which version served.
//!
//! HTTP/1.0, HTTP/1.1 and HTTP/2 with prior knowledge share one port, without TLS. Every
//! answer carries `x-shop-version`. Request bodies are read to their end before the answer.
//!
//! # What it answers
//!
//! | request | answer |
//! |---|---|
//! | any path, such as `/checkout` | one line for a terminal: `shop v2: checkout` (`/` is `home`) |
//! | `/echo` | the request as JSON: `version`, `protocol`, `method`, `host`, `path` (with the query), `headers` and `trailers` (lists of `[name, value]`), `body_length` |
//! | `/events` | server-sent events, ids from 1, data `shop v2: event 1` |
//! | content-type `application/grpc…`, any path | HTTP 200, one message, `grpc-status` in the trailers |
//! | `upgrade: websocket`, any path, HTTP/1.1 | 101, then every text and binary message comes back |
//! | `/_behave` | the run-time behaviour, below |
//!
//! In the JSON a backslash is doubled and a byte that is no part of valid UTF-8 is written
//! `\xff`, so different bytes never look the same. Names of headers are lower case, and lines
//! of the same name stand together, in their order. The gRPC message is protobuf with the
//! page's line as string field 1.
//!
//! # Knobs of one request
//!
//! In the query, or as a header `x-test-<knob>` for clients that have no query, such as gRPC's.
//! The query wins. Unknown keys are ignored, they may be the test's own; a known key with a
//! value that does not parse is answered with 400 and a line that says so, because a typo must
//! not pass for a healthy answer. Durations are `250ms`, `2s`, `1m`, `0`.
//!
//! | knob | effect |
//! |---|---|
//! | `status=503` | this status, 200 to 599 |
//! | `delay=250ms` | waits before the response headers |
//! | `body-delay=250ms` | waits between the response headers and the body |
//! | `size=100000` | a body of this many bytes, instead of the page; not of a gRPC answer |
//! | `echo` | the answer of `/echo`, whatever the path |
//! | `header=name:value` | adds a response header; may come several times |
//! | `close` | ends the connection after this answer (HTTP/2: GOAWAY) |
//! | `reset=headers` | TCP reset instead of a response; on HTTP/2 this takes every stream along |
//! | `reset=body` | TCP reset when half of the body, at most 16 KiB, has gone out |
//! | `reset=stream`, `reset=stream-body` | the same with RST_STREAM, which ends one stream only; on HTTP/1 as `headers` and `body` |
//! | `grpc-status=14`, `grpc-message=text` | of a gRPC answer; the default is status 0 without a message |
//! | `grpc-trailers-only` | a gRPC answer whose status stands in the headers, without a message |
//! | `ws=drop` | ends the connection after the first echo, without a close frame |
//! | `ws=close` | closes properly after the first echo |
//! | `count=3`, `interval=100ms` | how many events, and the pause between two; the defaults are 3 and none |
//!
//! A status of 400 and more refuses a WebSocket. A failing status on a gRPC request is answered
//! as on any other, like that of a proxy that knows no gRPC. Where there is no body to reset
//! (HEAD, 204, 304, a WebSocket, `grpc-trailers-only`) the reset comes before the headers; such
//! a reset does not wait for the request's body. gRPC trailers need HTTP/2.
//!
//! # Behaviour at run time
//!
//! [`Upstream::behave`], or `POST /_behave?errors=5&delay=20ms` on the port of this upstream.
//! It replaces the behaviour as a whole: what is not named is healthy again, and `POST
//! /_behave` heals. Unknown keys are refused. `GET /_behave` prints it in the form that POST
//! takes. Neither counts in [`Upstream::requests`].
//!
//! | key | effect |
//! |---|---|
//! | `errors=5` | this percentage of requests fails |
//! | `status=503` | with this status |
//! | `grpc-status=14` | a gRPC request fails with HTTP 200 and this status instead |
//! | `resets=5` | this percentage of requests ends in a reset, of its stream only on HTTP/2 |
//! | `delay=20ms`, `body-delay=20ms` | as above |
//! | `slow=10` | the delays hit this percentage of requests only; default 100 |
//!
//! The shares are exact and evenly spread: of any 100 requests in a row 5 % are 5, counted,
//! not drawn. A request whose own knobs name `status`, `grpc-status` or `reset` stands outside
//! of the shares of errors and resets; one that names a delay has that delay.

mod answer;
mod behaviour;
mod body;
mod grpc;
mod knobs;
mod page;
mod parse;
mod shop;
mod websocket;
mod wire;

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

/// A running server. Dropping it stops it and cuts its connections.
pub struct Upstream {
    addr: SocketAddr,
    shop: Arc<Shop>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Starts the named version on a free port of 127.0.0.1.
    pub async fn start(version: &str) -> Result<Upstream> {
        Upstream::start_on(version, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts the named version on this address.
    pub async fn start_on(version: &str, addr: SocketAddr) -> Result<Upstream> {
        let shop = Arc::new(Shop::new(version)?);
        let listener = TcpListener::bind(addr).await.map_err(|error| {
            if error.kind() == io::ErrorKind::AddrInUse {
                anyhow!("port {} on {} is in use: stop what listens there, or choose another port for shop {version}", addr.port(), addr.ip())
            } else {
                anyhow!("shop {version} cannot listen on {addr}: {error}")
            }
        })?;
        let addr = listener
            .local_addr()
            .with_context(|| format!("the address of shop {version}"))?;
        let accepting = tokio::spawn(wire::accept(listener, shop.clone()));
        Ok(Upstream {
            addr,
            shop,
            accepting,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The version it answers as.
    pub fn version(&self) -> &str {
        self.shop.version()
    }

    /// Behaves like this from the next request on. The counting of shares starts anew.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shop.behave(behaviour);
    }

    /// The copies of others' requests that have arrived.
    #[must_use]
    pub fn shadows(&self) -> Vec<Shadow> {
        self.shop.shadows()
    }

    /// How many requests have arrived, those among them that were refused or reset included,
    /// those to `/_behave` not.
    pub fn requests(&self) -> u64 {
        self.shop.requests()
    }

    /// Stops it, and returns when the port is free again.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Nothing but the cancellation that was asked for can come back.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
