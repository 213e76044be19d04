//! Connections: accepting them, and the two things that a handler must be able to do to the
//! one its request came on, which HTTP libraries do not offer: reset it for real, and know
//! what has gone out.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::knobs::Scope;
use super::shop::Shop;
use super::websocket::WebSocket;

/// Odd requests are tests' own: these limits are far above those of an Envoy in front.
const MAX_HEADERS: usize = 1_024;
const MAX_HEADER_BYTES: u32 = 1024 * 1024;

/// Accepts until it is cancelled, which cuts the connections too: they are its own.
pub async fn accept(listener: TcpListener, shop: Arc<Shop>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, shop.clone()));
                }
                // Out of file descriptors, most likely. To try again at once would only burn
                // the processor until somebody closes one.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            // Forgets the finished ones.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shop: Arc<Shop>) {
    // Small writes must leave at once, or Nagle's delay shows in measured latencies. If this
    // fails the connection is gone, and the first read says so.
    let _ = stream.set_nodelay(true);
    let wire = Arc::new(Wire::default());
    let socket = Socket {
        stream,
        wire: wire.clone(),
    };
    let service = service_fn(|request| {
        let (shop, wire) = (shop.clone(), wire.clone());
        async move { shop.serve(request, &wire).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_headers(MAX_HEADERS);
    builder.http2().max_header_list_size(MAX_HEADER_BYTES);
    {
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(socket), service));
        loop {
            tokio::select! {
                // How it ended is the client's to see and the tests' to judge.
                _ = connection.as_mut() => break,
                _ = wire.reset.notified() => return,
                _ = wire.last_answer.notified() => connection.as_mut().graceful_shutdown(),
            }
        }
    }
    // Here and not in a task of its own, so that it ends with the upstream.
    if let Some(websocket) = wire.take_websocket() {
        websocket.run().await;
    }
}

/// What the handlers of one connection share with its socket.
#[derive(Default)]
pub struct Wire {
    written: watch::Sender<u64>,
    broken: AtomicBool,
    reset: Notify,
    last_answer: Notify,
    websocket: Mutex<Option<WebSocket>>,
}

impl Wire {
    /// How many bytes have been written to the socket.
    pub fn written(&self) -> u64 {
        *self.written.borrow()
    }

    /// Waits until that many have.
    pub async fn wrote(&self, bytes: u64) {
        // The sender is our own, so it cannot have gone away.
        let _ = self
            .written
            .subscribe()
            .wait_for(|written| *written >= bytes)
            .await;
    }

    /// Breaks the connection off, or nothing but the stream. What comes back is the handler's
    /// to return: on HTTP/2 the library makes it RST_STREAM.
    pub fn reset(&self, scope: Scope) -> Broken {
        if scope == Scope::Connection {
            self.broken.store(true, Ordering::Release);
            self.reset.notify_one();
        }
        Broken
    }

    /// Makes the answer that is being written the last one of the connection.
    pub fn last_answer(&self) {
        self.last_answer.notify_one();
    }

    /// Leaves the WebSocket that the connection becomes with the connection.
    pub fn becomes(&self, websocket: WebSocket) {
        *self.slot() = Some(websocket);
    }

    fn take_websocket(&self) -> Option<WebSocket> {
        self.slot().take()
    }

    fn slot(&self) -> MutexGuard<'_, Option<WebSocket>> {
        self.websocket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error behind every reset.
#[derive(Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken off as it was told to")
    }
}

impl Error for Broken {}

/// The TCP stream, which counts what it writes, and which a reset leaves with RST, not FIN.
struct Socket {
    stream: TcpStream,
    wire: Arc<Wire>,
}

impl Socket {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.wire
                .written
                .send_modify(|total| *total += bytes as u64);
        }
        written
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.wire.broken.load(Ordering::Acquire) {
            // Closing with a linger time of zero is what makes the kernel send RST. It fails
            // only where the peer has reset first.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.broken.load(Ordering::Acquire) {
            // A FIN first would look like a proper end.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
